"""What is extracted from a container, written down in one line each: what table cases compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webhook.sources import hub, llama_sources, loaders, programs, server_sources
from webhook.sources.container import Reading, read
from webhook.sources.found import Item, Source, Switch

SERVERS = {
    "llama.cpp": llama_sources.llama_cpp,
    "llama-cpp-python": llama_sources.llama_cpp_python,
    "SGLang": server_sources.sglang,
    "TGI": server_sources.tgi,
    "huggingfaceserver": server_sources.huggingfaceserver,
}


def line(item: Item) -> str:
    """Write an item down: `role location > into`, `switch=value`, `? about reason`."""
    if isinstance(item, Source):
        local = " (local)" if item.local else ""
        return f"{item.role} {item.location}{local}" + (f" > {item.into}" if item.into else "")
    if isinstance(item, Switch):
        return f"{item.name}={item.value}"
    return f"? {item.about or 'anything'} {item.reason}"


def reading(command: str | Sequence[str], env: Mapping[str, Any] | None = None, **container: Any) -> Reading:
    """Read a container: a text is a script, a sequence the words of `command`."""
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    entries = [
        {"name": name, **(value if isinstance(value, dict) else {"value": value})}
        for name, value in (env or {}).items()
    ]
    return read(0, "spec.containers[0]", {"name": "c", "command": words, "env": entries, **container})


def loaded(command: str | Sequence[str], env: Mapping[str, Any] | None = None, **container: Any) -> list[str]:
    """Give what commands beside a server load."""
    return [line(item) for item in loaders.items(reading(command, env, **container))]


def switched(
    command: str | Sequence[str], env: Mapping[str, Any] | None = None, **container: Any
) -> list[str]:
    """Give what variables say of hubs and secrets."""
    return [line(item) for item in hub.environment(reading(command, env, **container))]


def served(command: str | Sequence[str], env: Mapping[str, Any] | None = None, **container: Any) -> list[str]:
    """Give what the servers among the commands load."""
    found = reading(command, env, **container)
    return [line(item) for item in served_items(found)]


def served_items(found: Reading) -> list[Item]:
    """Give what the servers among the commands load, as items."""
    items: list[Item] = []
    for call in found.calls:
        if started := programs.start(call.words):
            reader = SERVERS[started.program.name]
            items += reader(found, call, len(call.words) - len(started.words))
    return items

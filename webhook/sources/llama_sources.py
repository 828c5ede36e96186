"""What llama.cpp's server and llama-cpp-python's load, by command line and variables.

The tables are those of `webhook.sources.openai`. Variables are `LLAMA_ARG_*` as `llama-server --help` lists
them, and the older names of draft models; an option overrides its variable. A repository's file, or its
quantization, is the tag of the location. A llama-server that is told no model is a router: it serves what is
asked of it, from a directory, from presets or from its cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from webhook.sources import locations, openai
from webhook.sources.argv import Call
from webhook.sources.container import Reading
from webhook.sources.found import Item, Role, Switch, SwitchName, Unknown
from webhook.sources.said import Said, Told
from webhook.sources.spot import Spot
from webhook.sources.text import readable

_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("LLAMA_ARG_MODEL",),
    "url": ("LLAMA_ARG_MODEL_URL",),
    "docker": ("LLAMA_ARG_DOCKER_REPO",),
    "repo": ("LLAMA_ARG_HF_REPO",),
    "file": ("LLAMA_ARG_HF_FILE",),
    "draft": ("LLAMA_ARG_SPEC_DRAFT_MODEL", "LLAMA_ARG_MODEL_DRAFT"),
    "draft-repo": ("LLAMA_ARG_SPEC_DRAFT_HF_REPO", "LLAMA_ARG_HFD_REPO"),
    "mmproj": ("LLAMA_ARG_MMPROJ",),
    "mmproj-url": ("LLAMA_ARG_MMPROJ_URL",),
    "models": ("LLAMA_ARG_MODELS_DIR",),
    "preset": ("LLAMA_ARG_MODELS_PRESET",),
    "tools": ("LLAMA_ARG_TOOLS",),
    "mcp": ("LLAMA_ARG_MCP_SERVERS_CONFIG", "LLAMA_ARG_MCP_SERVERS_JSON"),
    "agent": ("LLAMA_ARG_AGENT",),
}
_PYTHON_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("MODEL",),
    "repo": ("HF_MODEL_REPO_ID",),
    "config": ("CONFIG_FILE",),
}
# Options that download a model of the program's own choice.
_OWN: Final = ("-default", "-spec")


def llama_cpp(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what `llama-server` loads: files, URLs, repositories of two hubs."""
    said = Said(Spot(reading, call), start, openai.LLAMA_CPP, _VARIABLES)
    yield from said.common()
    yield from _main(said)
    for value in said.all("draft-repo"):
        yield from _repository(said, Role.DRAFT, value, "")
    for value in said.all("draft"):
        yield from said.file(Role.DRAFT, value)
    for value in (*said.all("lora"), *said.all("control")):
        for part in said.parts(Role.LORA, value):
            if isinstance(part, Told):
                path, colon, scale = part.text.rpartition(":")
                scaled = colon and scale.replace(".", "").lstrip("+-").isdigit()
                yield from said.file(Role.LORA, Told(path, part.path) if scaled else part)
            else:
                yield part
    for value in (*said.all("mmproj"), *said.all("vocoder")):
        yield from said.file(Role.WEIGHTS, value)
    yield from said.source(Role.WEIGHTS, "mmproj-url")
    yield from said.source(Role.WEIGHTS, "vocoder-repo")
    yield from _tools(said)
    yield from said.switch(SwitchName.MEDIA_PATH, "media")


def _main(said: Said) -> Iterator[Item]:
    """Give the model itself; a file's name beside a repository or a URL is where the download goes."""
    own = [name for name in said.found.values if name.endswith(_OWN)]
    for name in own:
        detail = f"--{name} loads what this version chooses"
        yield said.unresolvable(Role.MODEL, Unknown.AMBIGUOUS, detail)
    fetched = [*said.all("url"), *said.all("docker"), *said.all("repo")]
    for value in said.all("repo"):
        yield from _repository(said, Role.MODEL, value, said.text("file"))
    for value in said.all("docker"):
        yield from said.model(Role.MODEL, Told(_docker(value.text), value.path))
    yield from said.source(Role.MODEL, "url")
    if fetched:
        return
    for value in said.all("model"):
        yield from said.file(Role.MODEL, value)
    if not said.all("model") and not own:
        yield from _router(said)


def _tools(said: Said) -> Iterator[Item]:
    """Give what lets requests run programs in the container; a value may hold secrets, so it is not told."""
    for name in ("tools", "mcp"):
        if value := said.last(name):
            yield Switch(SwitchName.PLUGIN, f"--{name}", value.path, said.name)
    for name in ("agent", "ag"):
        yield from said.on(SwitchName.PLUGIN, name)


def llama_cpp_python(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what `python -m llama_cpp.server` loads; with a repository, `--model` is a file in it."""
    said = Said(Spot(reading, call), start, openai.LLAMA_CPP_PYTHON, _PYTHON_VARIABLES)
    yield from said.common()
    if repo := said.last("repo"):
        yield from _repository(said, Role.MODEL, repo, said.text("model"))
    else:
        for value in said.all("model"):
            yield from said.file(Role.MODEL, value)
    yield from said.source(Role.TOKENIZER, "tokenizer")
    for value in said.all("lora"):
        yield from said.file(Role.LORA, value)
    for value in said.all("mmproj"):
        yield from said.file(Role.WEIGHTS, value)


def _repository(said: Said, role: Role, repo: Told, file: str) -> Iterator[Item]:
    """Give a repository of the hub; a file of it stands in the place of the quantization."""
    for item in said.model(role, repo):
        location = getattr(item, "location", None)
        if location is not None and location.scheme == locations.HUB and file:
            located = locations.source(role, location._replace(tag=readable(file)), repo.path, said.name)
            yield located
        else:
            yield item


def _router(said: Said) -> Iterator[Item]:
    """Give what a llama-server without a model chooses from."""
    for value in said.all("models"):
        yield from said.file(Role.MODEL, value)
    for value in said.all("preset"):
        detail = "models stand in a file of presets"
        yield said.unresolvable(Role.MODEL, Unknown.CONFIG_FILE, detail, value.path)
    if not said.all("models") and not said.all("preset") and not said.found.open:
        detail = "llama-server names no model: it serves what is asked of it, from its cache"
        yield said.unresolvable(Role.MODEL, Unknown.RUNTIME, detail)


def _docker(text: str) -> str:
    """Write what `--docker-repo` means as an image: `ai/` and `latest` where nothing says otherwise."""
    name, _, tag = text.partition(":")
    return f"oci://docker.io/{name if '/' in name else f'ai/{name}'}:{tag or 'latest'}"

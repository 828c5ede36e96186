"""What is true of the real model servers: written by hand from how each is started and what it then does.

Nothing here is read from the registrar's code or from what it says. How the less obvious truths were seen:
llama-server returns `tool_calls` where the template writes them and text where it does not (also with
`tool_choice: required`), and goes on with a last message that is the assistant's. vLLM and llama-server
answer with `reasoning` or `reasoning_content` where they know how thoughts look. An image makes the prompt
longer by its 16 tokens on the three that see. Ollama has no tool_choice. All three report cached tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.peers.scripts import CACHE
from tests.peers.servers import ModelServer

# LiteLLM's flags about models, without `supports_` (litellm/types/utils.py, ProviderSpecificModelInfo).
FLAGS: Final = frozenset(
    {
        *("assistant_prefill", "audio_input", "audio_output", "computer_use", "embedding_image_input"),
        *("function_calling", "native_structured_output", "parallel_function_calling", "pdf_input"),
        *("prompt_caching", "reasoning", "response_schema", "system_messages", "tool_choice", "url_context"),
        *("video_input", "vision", "web_search"),
    }
)
KEY: Final = "sk-of-the-model-server"
_SECRET: Final = "server-key"
LORA: Final = CACHE / "model-servers" / "models" / "tiny-lora"


@dataclass(frozen=True, slots=True)
class Truth:
    """What one model is and can do.

    `can` are the flags that are true of it, all others are false. `untold` are flags that its server tells to
    nobody who makes it compute nothing: the row must call them unknown, whether they are true or not; `asked`
    are those of them that `probe: active` finds out. `vector` is the length of an embedding.
    """

    mode: str
    context: int
    can: frozenset[str] = frozenset()
    untold: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    vector: int | None = None
    quantization: str | None = None

    def when_asked(self) -> Truth:
        """Give what is told where active probing is allowed."""
        return replace(self, untold=self.untold - self.asked, asked=frozenset())

    def info(self) -> dict[str, Any]:
        """Give the keys of `model_info` that LiteLLM must show."""
        flags = {f"supports_{flag}": flag in self.can - self.untold for flag in FLAGS}
        output = 0 if self.mode in {"embedding", "rerank"} else self.context
        sizes = {"max_tokens": self.context, "max_input_tokens": self.context, "max_output_tokens": output}
        size = self.vector if self.mode == "embedding" else 0
        vector = {} if "vector" in self.untold else {"output_vector_size": size}
        return {"mode": self.mode, **flags, **sizes, **vector}

    def wrong(self, row: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Give what a row of LiteLLM says otherwise, as (said, true) by its key."""
        info, owner = row["model_info"], row["model_info"]["registrar"]
        true = {**self.info(), "unknown": self.unknown(), "quantization": self.quantization}
        own = {"unknown": owner["unknown"], "quantization": owner.get("quantization")}
        said = {**{key: info.get(key) for key in true}, **own}
        return {key: (said[key], true[key]) for key in true if said[key] != true[key]}

    def all(self) -> dict[str, Any]:
        """Give what is true, by the names that `/status` has."""
        flags = {f"supports_{flag}": flag in self.can for flag in FLAGS}
        plain = {"context": self.context, "embedding_size": self.vector, "quantization": self.quantization}
        return {"mode": self.mode, **plain, **flags}

    def told(self) -> dict[str, Any]:
        """Give what `/status` must tell, None for what is unknown."""
        untold = {"embedding_size" if word == "vector" else f"supports_{word}" for word in self.untold}
        return {key: None if key in untold else value for key, value in self.all().items()}

    def unknown(self) -> list[str]:
        """Give `model_info.registrar.unknown` as it must be."""
        names = {"vector": "output_vector_size"}
        return sorted(names.get(word, f"supports_{word}") for word in self.untold)


@dataclass(frozen=True, slots=True)
class Served:
    """One server: the folder and flags of its run.sh, the label for it, and its models by their ids."""

    name: str
    engine: str
    label: str
    models: Mapping[str, Truth]
    flags: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str | None:
        """The API key it wants."""
        return KEY if KEY in self.flags else None

    def secrets(self) -> dict[str, dict[str, str]]:
        """Give the Secret that its container takes the key from, if there is one."""
        return {_SECRET: {"token": KEY}} if self.key else {}

    def container(self, server: ModelServer) -> dict[str, Any]:
        """Give the keys of its container that name this Secret in place of the key."""
        if self.key is None:
            return {}
        args = [arg.replace(self.key, "$(API_KEY)") for arg in server.container()["args"]]
        reference = {"valueFrom": {"secretKeyRef": {"name": _SECRET, "key": "token"}}}
        return {"args": args, "env": [{"name": "API_KEY", **reference}]}


_OF_TEXT: Final = frozenset({"response_schema", "prompt_caching"})
_OF_CHAT: Final = _OF_TEXT | {"system_messages"}
_CALLS: Final = frozenset({"function_calling", "tool_choice", "parallel_function_calling"})


def _llama_server(name: str, truth: Truth, *flags: str, label: str = "openai", **env: str) -> Served:
    return Served(name, "llama-server", label, {name: truth}, (*flags, "--metrics"), {"ALIAS": name, **env})


def _llama_chat(*can: str, context: int = 2048) -> Truth:
    """Give the truth of a model that chats; that it goes on with a last message and caches is always so."""
    always = frozenset({"assistant_prefill", "prompt_caching"})
    return Truth("chat", context, _OF_CHAT | always | set(can), untold=always, quantization=_F32)


_F32: Final = "all F32"
LLAMA_SERVERS: Final = (
    _llama_server("llama-tools", _llama_chat(*_CALLS)),
    _llama_server("llama-plain", _llama_chat(), "--no-tools", label="auto"),
    _llama_server("llama-vision", _llama_chat(*_CALLS, "vision", "video_input"), "--vision"),
    _llama_server("llama-thinking", _llama_chat(*_CALLS, "reasoning"), "--thinking"),
    _llama_server("llama-embed", Truth("embedding", 2048, vector=64, quantization=_F32), "--embed"),
    _llama_server("llama-rerank", Truth("rerank", 2048, quantization=_F32), "--rerank", label="auto"),
    _llama_server("llama-keyed", _llama_chat(*_CALLS, context=512), "--api-key", KEY, CONTEXT="512"),
)


def _ollama_chat(context: int, *can: str, untold: frozenset[str] = frozenset()) -> Truth:
    return Truth(
        "chat", context, _OF_CHAT | set(can), untold=untold | {"assistant_prefill", "prompt_caching"}
    )


_SEVERAL: Final = frozenset({"parallel_function_calling"})
OLLAMA: Final = Served(
    "ollama",
    "ollama",
    "ollama",
    {
        # Ollama has no tool_choice
        "tiny:latest": _ollama_chat(1024, "function_calling", *_SEVERAL, untold=_SEVERAL),
        # no num_ctx: the default is 4096, and it was trained with 2048
        "tiny-plain:latest": _ollama_chat(2048),
        "tiny-slow:latest": _ollama_chat(8192),
        "tiny-vision:latest": _ollama_chat(1024, "vision"),
        "tiny-thinking:latest": _ollama_chat(1024, "reasoning"),
        "tiny-embed:latest": Truth("embedding", 2048, vector=64),
    },
    ("--more",),
)


def _vllm(name: str, models: Mapping[str, Truth], *flags: str, label: str = "vllm") -> Served:
    return Served(name, "vllm", label, models, flags, {"ALIAS": name})


_ONLY_ASKED: Final = frozenset({"reasoning"})
_GUARDED: Final = Truth(
    "chat",
    1024,
    _OF_CHAT | _CALLS | {"vision", "reasoning"},
    untold=_SEVERAL | _ONLY_ASKED,
    asked=_ONLY_ASKED,
)
# The one that the session's tests share (conftest.py): --tools --slow.
VLLM_SHARED: Final = Truth("chat", 8192, _OF_CHAT | _CALLS, untold=_SEVERAL | _ONLY_ASKED)
VLLM_PLAIN: Final = _vllm(
    "vllm-plain", {"vllm-plain": Truth("chat", 1024, _OF_CHAT, untold=_ONLY_ASKED, asked=_ONLY_ASKED)}
)
VLLM_GUARDED: Final = _vllm(
    "vllm-guarded",
    {"vllm-guarded": _GUARDED, "fixed": _GUARDED},
    *("--tools", "--vision", "--api-key", KEY, "--root-path", "/serve"),
    *("--reasoning-parser", "qwen3", "--lora-modules", f"fixed={LORA}"),
)
VLLM_BASE: Final = _vllm(
    "vllm-base", {"vllm-base": Truth("completion", 1024, _OF_TEXT)}, "--base", label="auto"
)
_VECTOR: Final = frozenset({"vector"})
VLLM_EMBED: Final = _vllm(
    "vllm-embed",
    {"vllm-embed": Truth("embedding", 1024, untold=_VECTOR, asked=_VECTOR, vector=128)},
    "--embed",
)
VLLM_RERANK: Final = _vllm("vllm-rerank", {"vllm-rerank": Truth("rerank", 1024)}, "--rerank")

# A vLLM takes 2.9 GB: only those of a group run at the same time.
GROUPS: Final[Mapping[str, tuple[Served, ...]]] = {
    "llama-servers": LLAMA_SERVERS,
    **{one.name: (one,) for one in (OLLAMA, VLLM_PLAIN, VLLM_GUARDED, VLLM_BASE, VLLM_EMBED, VLLM_RERANK)},
}


def wrong(truths: Mapping[str, Truth], rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give what rows say otherwise than is true, by model; nothing when all is well."""
    return {model: found for model, truth in truths.items() if (found := truth.wrong(rows[model]))}

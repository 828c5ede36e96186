"""vLLM's OpenAI server: the options that say where and how it serves.

From vLLM's `vllm/entrypoints/launchers/cli_args.py` (formerly `openai/cli_args.py`) and
`vllm/utils/argparse_utils.py`: argparse with its abbreviations, underscores for dashes, a config file
that the command line overrides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from webhook.sources.options import Option, Serving, read_options
from webhook.sources.text import is_loose

PORT: Final = 8000


def _spelled(name: str, shortest: str, option: Option) -> dict[str, Option]:
    """Give the spellings argparse takes: the name, and its beginnings down to the shortest unique one."""
    return {name[:end]: option for end in range(len(shortest), len(name) + 1)}


# The shortest spellings are those of vLLM 0.32; where an older version knows fewer options, shorter ones
# were unique as well.
_OPTIONS: Final[Mapping[str, Option]] = {
    **_spelled("--port", "--por", Option("port")),
    **_spelled("--host", "--ho", Option("host")),
    **_spelled("--uds", "--ud", Option("uds")),
    **_spelled("--ssl-keyfile", "--ssl-k", Option("tls")),
    **_spelled("--ssl-certfile", "--ssl-certf", Option("tls")),
    **_spelled("--root-path", "--ro", Option("root-path")),
    **_spelled("--api-key", "--api-k", Option("api-key", many=True)),
    **_spelled("--served-model-name", "--ser", Option("served-model-name", many=True)),
    "--model": Option("model"),
    "--config": Option("config"),
    **_spelled("--headless", "--hea", Option("no-http", flag=True)),
    "--grpc": Option("no-http", flag=True),
}


def read(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read what stands behind `vllm serve` or `python -m vllm.entrypoints.openai.api_server`."""
    # A word that the shell may split into several can hold options too: then nothing says which is the model.
    model = words[0] if words and words[0][:1] != "-" and not is_loose(words[0]) else None
    found = read_options(words[1:] if model else words, _OPTIONS)
    model = model or found.last("model")
    names = found.all("served-model-name") or ((model,) if model else ())
    return Serving(
        port=found.last("port"),
        host=found.last("host"),
        unix_socket=found.last("uds"),
        tls=bool(found.last("tls")),
        path=found.last("root-path") or "",
        served_names=names,
        api_key=found.last("api-key") or env.get("VLLM_API_KEY"),
        open=found.open or "config" in found.values,
        served="no-http" not in found.values,
    )


def read_image_env(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read what an image with an entrypoint of its own was given: vLLM's options, else names by variable."""
    serving = read(words, env)
    if serving.served_names:
        return serving
    name = env.get("SERVED_MODEL_NAME") or env.get("MODEL_NAME")
    return replace(serving, served_names=(name,)) if name else serving

"""The model servers known by their command, and the images whose entrypoint starts one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sidecar.contract import Engine
from webhook.sources import ollama, openai, vllm
from webhook.sources.argv import ENTRYPOINT, basename
from webhook.sources.options import Serving


@dataclass(frozen=True, slots=True)
class Program:
    """One kind of server: the engine a label may call it, its own port, how its command line is read."""

    name: str
    engine: Engine
    port: int | None
    read: Callable[[Sequence[str], Mapping[str, str]], Serving]

    def suits(self, engine: Engine) -> bool:
        """Tell whether a pod labelled with this engine may mean this program."""
        return engine is self.engine or engine is Engine.OPENAI or engine is Engine.AUTO


class Start(NamedTuple):
    """A program and the words behind its name."""

    program: Program
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Image:
    """What a known image starts with: ENTRYPOINT, CMD and the variables that matter.

    Without a `program` it is one of a tool that loads models and serves none.
    """

    program: Program | None
    entrypoint: tuple[str, ...] = (ENTRYPOINT,)
    default: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


VLLM: Final = Program("vLLM", Engine.VLLM, vllm.PORT, vllm.read)
VLLM_MODULE: Final = Program("vLLM", Engine.VLLM, vllm.PORT, vllm.read_module)
OLLAMA: Final = Program("Ollama", Engine.OLLAMA, ollama.PORT, ollama.read)
LLAMA_CPP: Final = Program("llama.cpp", Engine.OPENAI, 8080, openai.read_llama_cpp)
LLAMA_CPP_PYTHON: Final = Program("llama-cpp-python", Engine.OPENAI, 8000, openai.read_any)
SGLANG: Final = Program("SGLang", Engine.OPENAI, 30000, openai.read_sglang)
TGI: Final = Program("TGI", Engine.OPENAI, 3000, openai.read_tgi)
# vLLM behind KServe's own server, so a label may call it vllm.
HUGGINGFACESERVER: Final = Program("huggingfaceserver", Engine.VLLM, 8080, openai.read_huggingfaceserver)

# What a container is read as when its program is not known, by the engine of the label.
UNKNOWN: Final[Mapping[Engine, Program]] = {
    Engine.VLLM: Program("vLLM", Engine.VLLM, vllm.PORT, vllm.read_image_env),
    Engine.OLLAMA: OLLAMA,
    Engine.OPENAI: Program("a server", Engine.OPENAI, None, openai.read_any),
    Engine.AUTO: Program("a server", Engine.OPENAI, None, openai.read_any),
}

# Executable -> subcommand that serves ("" for any) -> program.
_EXECUTABLES: Final[Mapping[str, Mapping[str, Program]]] = {
    "vllm": {"serve": VLLM},
    "ollama": {"serve": OLLAMA, "start": OLLAMA},
    "llama-server": {"": LLAMA_CPP},
    "sglang": {"serve": SGLANG},
    "text-generation-launcher": {"": TGI},
}
_MODULES: Final[Mapping[str, Program]] = {
    "vllm.entrypoints.openai.api_server": VLLM_MODULE,
    "vllm.entrypoints.launchers.api_server.entry": VLLM_MODULE,
    "sglang.launch_server": SGLANG,
    "llama_cpp.server": LLAMA_CPP_PYTHON,
    "huggingfaceserver": HUGGINGFACESERVER,
}
# The modules of the program `vllm` itself.
_VLLM_PROGRAM: Final = ("vllm.entrypoints.cli.main", "vllm")
# Letters of options of Python that take no value, then `m`.
_MODULE_OPTION: Final = re.compile(r"-[bBdEhiIOPqRsSuvVx?]*m(.*)", re.DOTALL)
_CODE_OPTION: Final = re.compile(r"-[bBdEhiIOPqRsSuvVx?]*c")
# By the last part of the repository, so that mirrors count.
_VLLM_IMAGE: Final = Image(VLLM, ("vllm", "serve"))
_IMAGES: Final[Mapping[str, Image]] = {
    "vllm-openai": _VLLM_IMAGE,
    "vllm-openai-cpu": _VLLM_IMAGE,
    "vllm-openai-rocm": _VLLM_IMAGE,
    "vllm-cpu-release-repo": _VLLM_IMAGE,
    "ollama": Image(OLLAMA, ("ollama",), ("serve",)),
    "llama.cpp": Image(LLAMA_CPP, ("llama-server",)),
    "sglang": Image(SGLANG),
    "text-generation-inference": Image(TGI, ("text-generation-launcher",), env={"PORT": "80"}),
    "huggingfaceserver": Image(HUGGINGFACESERVER, ("python3", "-m", "huggingfaceserver")),
    **{
        name: Image(None, (program,))
        for name, program in {
            **{name: name for name in ("curl", "git", "rclone", "mc", "oras", "s5cmd")},
            "aws-cli": "aws",
        }.items()
    },
}


# The subcommands of vLLM that load models and are no server, and the words of their names.
VLLM_LOADERS: Final = MappingProxyType({"launch": 2, "bench": 2, "snapshot": 2, "run-batch": 1, "preload": 1})
_VLLM_CLIENTS: Final = frozenset(
    {"chat", "complete", "collect-env", "download-kernels", "-h", "--help", "-v", "--version"}
)


def start(words: Sequence[str]) -> Start | None:
    """Tell which program these words (one at least) start as a server; None if none that is known."""
    name = basename(words[0])
    if name.startswith("python"):
        return _module(words)
    subcommands = _EXECUTABLES.get(name)
    if subcommands is None:
        return None
    if program := subcommands.get(""):
        return Start(program, words[1:])
    program = subcommands.get(words[1]) if len(words) > 1 else None
    return Start(program, words[2:]) if program else None


def loads(words: Sequence[str]) -> int | None:
    """Tell where the options of a vLLM that is no server begin; None if it loads no model.

    A subcommand that nobody knows here may well load one.
    """
    if basename(words[0]) != "vllm" or len(words) == 1 or words[1] in _VLLM_CLIENTS or start(words):
        return None
    return min(1 + VLLM_LOADERS.get(words[1], 1), len(words))


def is_client(words: Sequence[str]) -> bool:
    """Tell whether these words run a known program, but not as a server (`ollama pull`, `vllm bench`)."""
    return basename(words[0]) in _EXECUTABLES and start(words) is None


def image_name(reference: Any) -> tuple[str, str]:
    """Give the last part of an image's repository, and its tag; empty for what is no reference."""
    last = basename(reference.partition("@")[0]) if isinstance(reference, str) else ""
    name, _, tag = last.partition(":")
    return name.lower(), tag


def image(reference: Any) -> Image | None:
    """Give what is known of an image."""
    name, tag = image_name(reference)
    if name == "llama.cpp" and not tag.startswith("server"):
        # The other flavours (full, light) start other programs.
        return None
    return _IMAGES.get(name)


def _module(words: Sequence[str]) -> Start | None:
    """Find what Python is told to run: `-m module`, or a file."""
    index = 1
    while index < len(words):
        word = words[index]
        index += 1
        if word[:1] != "-":
            return _file(word, words[index - 1 :])
        if _CODE_OPTION.match(word):
            # What stands behind it are the code and its arguments, whatever they are called.
            return None
        # The module may stand in the same word, and the `m` behind other letters: `-mvllm`, `-um vllm`.
        if match := _MODULE_OPTION.match(word):
            module = match[1] or (words[index] if index < len(words) else "")
            return _named_module(module, words[index if match[1] else index + 1 :])
        index += word in {"-W", "-X"}
    return None


def _named_module(module: str, rest: Sequence[str]) -> Start | None:
    if module in _VLLM_PROGRAM:
        return start(["vllm", *rest])
    program = _MODULES.get(module)
    return Start(program, rest) if program else None


def _file(path: str, words: Sequence[str]) -> Start | None:
    """Recognise a module by its file, and console scripts like `python /usr/local/bin/vllm serve`."""
    module = path.removesuffix(".py").replace("/", ".")
    for name in (*_MODULES, _VLLM_PROGRAM[0]):
        if module.endswith(f".{name}"):
            return _named_module(name, words[1:])
    return None if basename(path).startswith("python") else start(words)

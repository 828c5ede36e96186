"""What tools of a shell script do to files: which write nothing of weight, what an archive is unpacked to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from webhook.sources import loaders, programs
from webhook.sources.argv import Call, basename

# They print, wait or prepare directories; what they write is no model.
_HARMLESS: Final = frozenset(
    {
        *("echo", "printf", "mkdir", "chmod", "chown", "chgrp", "ls", "test", "[", "[[", "true", "false"),
        ":",
        *("sleep", "set", "cd", "exit", "date", "rm", "rmdir", "touch", "export", "unset", "trap", "wait"),
        *("nvidia-smi", "df", "du", "id", "whoami", "hostname", "sync", "kill", "stat", "ulimit"),
        *("umask", "nslookup", "ping", "pwd", "break", "continue", "return", "local", "readonly"),
    }
)
# They set up tools in their own places, unless they are told a directory.
_INSTALLING: Final = frozenset({"pip", "pip3", "apk", "apt", "apt-get", "yum", "dnf", "microdnf"})
_ELSEWHERE: Final = ("/", "-t", "--target", "--prefix", "--root", "--user", ".")
_PIP_FLAGS: Final = frozenset(
    {
        *("-q", "-qq", "-U", "-qU", "-Uq", "--quiet", "--upgrade", "--no-cache-dir", "--no-deps"),
        *("--break-system-packages", "--disable-pip-version-check", "--root-user-action=ignore"),
    }
)
_PACKAGE_END: Final = re.compile(r"[=<>~!;\[ ]")
# What scripts of model servers install, each from its makers.
_PACKAGES: Final = frozenset(
    {
        *("accelerate", "autoawq", "bitsandbytes", "boto3", "botocore", "awscli", "datasets", "einops"),
        *("flash-attn", "flashinfer-python", "hf-transfer", "hf-xet", "huggingface-hub", "librosa"),
        *("lmcache", "mistral-common", "modelscope", "nixl", "numpy", "outlines", "pandas", "peft"),
        *("pillow", "prometheus-client", "protobuf", "qwen-vl-utils", "ray", "runai-model-streamer"),
        *("runai-model-streamer-s3", "safetensors", "scipy", "sentence-transformers", "sentencepiece"),
        *("soundfile", "tensorizer", "tiktoken", "timm", "tokenizers", "torch", "transformers"),
        *("triton", "vllm", "xformers", "xgrammar", "s5cmd", "google-cloud-storage"),
    }
)
# The shell's own root, as a modelcar names it.
_EXTRACT: Final = re.compile(r"-?[vzjJopmk]*x[vzjJopmk]*f")
# Programs that only read, if their words say no more.
_READING: Final[Mapping[str, Callable[[Sequence[str]], bool]]] = {
    "nc": lambda words: "-z" in words,
    "grep": lambda words: sum(word[:1] != "-" for word in words[1:]) <= 1,
    "find": lambda words: not any(word.startswith(("-exec", "-ok", "-fprint", "-fls")) for word in words),
}


def installs_known(words: Sequence[str]) -> bool:
    """Tell whether pip installs only packages that are known here: code may be anybody's in all others."""
    if words[:1] != ("install",):
        return "install" not in words
    if not _PIP_FLAGS.issuperset(word for word in words[1:] if word[:1] == "-"):
        return False
    names = (_PACKAGE_END.split(word, maxsplit=1)[0] for word in words[1:] if word[:1] != "-")
    return all(name.lower().replace("_", "-") in _PACKAGES for name in names)


def unpacked(words: Sequence[str]) -> Sequence[str] | None:
    """Give archive and directory of `tar xf FILE -C DIR` or `unzip FILE -d DIR`; None if it is neither."""
    match words:
        case [tar, bundle, file, *rest] if basename(tar) == "tar" and _EXTRACT.fullmatch(bundle):
            option = "-C"
        case [unzip, *flags, file, "-d", target] if basename(unzip) == "unzip":
            rest, option = ["-d", target], "-d"
            if not all(flag in {"-q", "-o", "-qo", "-oq"} for flag in flags):
                return ()
        case [name, *_] if basename(name) in {"tar", "unzip"}:
            return ()
        case _:
            return None
    if not rest:
        return file, "."
    return (file, rest[1]) if len(rest) == 2 and rest[0] == option else ()  # noqa: PLR2004 - option and value


def is_harmless(call: Call) -> bool:
    """Tell whether a command writes nothing that a server would load, or what it loads is known."""
    words, name = call.words, basename(call.words[0])
    if name in _HARMLESS:
        return words[0] in {name, f"/bin/{name}", f"/usr/bin/{name}"}
    if name[:3] == "pip" and not installs_known(words[1:]):
        # What is installed runs, and may write anything.
        return False
    if name in _INSTALLING:
        return not any(word.startswith(_ELSEWHERE) for word in words[1:])
    if name in _READING:
        return _READING[name](words)
    serves = programs.start(words) or programs.is_client(words)
    is_file = name.startswith("python") and "-c" not in words and "-m" not in words
    return bool(serves) or (not is_file and loaders.only_loads(words))

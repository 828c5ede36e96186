"""Random command lines of vLLM, and what we read from one: shared by the differential tests and the bench."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from webhook.sources import programs, vllm_sources
from webhook.sources.container import read
from webhook.sources.found import Item, Role, Source, Switch, SwitchName, Unresolvable
from webhook.sources.locations import BadValueError, LocalPath, model
from webhook.sources.vllm_options import CURRENT

SERVE: Final = ("vllm", "serve")
MODULE: Final = ("python3", "-m", "vllm.entrypoints.openai.api_server")
DEFAULT_PORT: Final = 8000

MODELS: Final = (
    *("org/model", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-8B", "a_b/c.d-e", "gpt2", "/mnt/models/m"),
    *("s3://bucket/key", "S3://bucket/key", "org/repo:Q4_K_M", "./local", "org/m/file.gguf"),
)
REVISIONS: Final = (
    "main",
    "v1.0",
    "refs/pr/1",
    "0123456789abcdef0123456789abcdef01234567",
    "None",
    "abc1234",
)
# Values that the real parser takes.
VALUED: Final[dict[str, Sequence[str]]] = {
    "--port": ("8000", "1", "65535", "08080", "-1", " 80"),
    "--host": ("0.0.0.0", "::", "localhost"),  # noqa: S104 - written, not bound
    "--revision": REVISIONS,
    "--tokenizer": MODELS,
    "--tokenizer-revision": REVISIONS,
    "--code-revision": REVISIONS,
    "--hf-config-path": MODELS,
    "--generation-config": ("auto", "vllm", "org/config"),
    "--chat-template": ("./t.jinja", "{{ a }}", "--x y"),
    "--seed": ("0", "-1", "7"),
    "--dtype": ("auto", "bfloat16"),
    "--max-model-len": ("4096", "32k", "-1", "auto"),
    "--tensor-parallel-size": ("1", "8"),
    "--pipeline-parallel-size": ("1", "2"),
    "--data-parallel-size": ("1", "2"),
    "--data-parallel-rpc-port": ("13345",),
    "--gpu-memory-utilization": ("0.9", ".5"),
    "--max-num-seqs": ("16",),
    "--max-num-batched-tokens": ("8192", "8k"),
    "--nnodes": ("1", "2"),
    "--node-rank": ("0", "1"),
    "--quantization": ("awq", "fp8", "None"),
    "--download-dir": ("/data", "None"),
    "--load-format": ("auto", "safetensors"),
    "--hf-overrides": ('{"a": 1}', '{"rope": {"b": 2.5}}'),
    "--speculative-config": ('{"model": "org/draft", "num_speculative_tokens": 3}', "None"),
    "--spec-model": ("org/draft",),
    "--middleware": ("a.b", "c.d"),
    "--worker-cls": ("auto", "my.Worker"),
    "--worker-extension-cls": ("my.Extension",),
    "--tool-call-parser": ("hermes",),
    "--tool-parser-plugin": ("/plugins/p.py",),
    "--reasoning-parser": ("qwen3",),
    "--reasoning-parser-plugin": ("/plugins/r.py",),
    "--allowed-local-media-path": ("/media",),
    "--root-path": ("/v", "None", ""),
    "--uds": ("/run/vllm.sock",),
    "--ssl-keyfile": ("/tls/tls.key", "None"),
    "--ssl-certfile": ("/tls/tls.crt",),
    "--runner": ("auto", "generate", "pooling"),
    "--api-server-count": ("1", "2"),
    "--optimization-level": ("2",),
}
MANY: Final[dict[str, Sequence[str]]] = {
    "--served-model-name": ("a", "b/c", "name", "x y", "-1"),
    "--api-key": ("k1", "k2"),
    "--allowed-media-domains": ("example.com", "example.org"),
    "--lora-modules": ("a=org/lora", '{"name": "b", "path": "/l"}'),
    "--logits-processors": ("a.B", "c.D"),
}
DOTTED: Final = (
    *(("--speculative-config.model", "org/d"), ("--speculative_config.num_speculative_tokens", "3")),
    *(("-sc.model", "org/e"), ("--hf-overrides.a.b_c", "1k"), ("--hf-overrides.list+", "a,b")),
    *(("--hf_overrides.x", "true"), ("-cc.cudagraph_capture_sizes+", "1,2"), ("--hf-ov.y", "-1.5")),
)
FLAGS: Final = tuple(
    name for name, option in CURRENT.items() if option.flag and name[:2] == "--" and name != "--help"
)
# What the parser refuses, or what only another version takes.
ODD: Final = (
    *(["--trust"], ["--not-an-option"], ["--newer-option", "x"], ["--port"], ["stray"], ["--", "stray"]),
    *(["--task", "generate"], ["-t", "2"], ["-tp2"], ["-.5"], ["--trust-remote-code=true"], ["--model="]),
    *(["--speculative-model", "org/d"], ["-O"], ["--max-model", "5"], ["-"]),
)


class Asked(NamedTuple):
    """One command line: how the container starts vLLM, and the words behind that."""

    entry: tuple[str, ...]
    words: tuple[str, ...]


class Said(NamedTuple):
    """What decides most, of one command line; `model` and `revision` as one canonical source."""

    model: str
    trust: bool
    names: tuple[str, ...]
    port: str


def random_lines(count: int, seed: int, *, dotted: bool = True) -> Iterator[Asked]:
    """Give command lines, nine in ten of them such that vLLM takes them."""
    random_ = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(count):
        yield _line(random_, dotted=dotted)


def _line(r: random.Random, *, dotted: bool) -> Asked:
    entry = SERVE if r.random() < 0.65 else MODULE
    parts = [_option(r, dotted=dotted) for _ in range(r.randint(0, 7))]
    named = r.random()
    text = r.choice(MODELS)
    if named < (0.65 if entry is SERVE else 0.02):
        # In front it stands on its own; further back no option that takes many may stand before it.
        place = 0 if r.random() < 0.7 else r.randint(0, len(parts))
        parts.insert(place, [text])
    elif named < 0.95:
        written = [f"--model={text}"] if r.random() < 0.5 else ["--model", text]
        parts.insert(0 if entry is SERVE and r.random() < 0.5 else r.randint(0, len(parts)), written)
        if r.random() < 0.1:
            parts.append(["--model", r.choice(MODELS)])
    if r.random() < 0.08:
        parts.insert(r.randint(0, len(parts)), r.choice(ODD))
    return Asked(entry, tuple(word for part in parts for word in part))


def _option(r: random.Random, *, dotted: bool) -> list[str]:
    kind = r.random()
    if kind < 0.1:
        return [_spelled(r, r.choice(("--trust-remote-code", "--no-trust-remote-code")))]
    if kind < 0.2:
        return [_spelled(r, r.choice(FLAGS))]
    if kind < 0.32:
        name = r.choice(("--served-model-name", *MANY))
        values = [r.choice(MANY[name]) for _ in range(r.randint(1, 3))]
        return [_spelled(r, name), *values]
    if kind < 0.36:
        return [_spelled(r, "--hf-token"), *r.choice(([], ["hf_abc"]))]
    if kind < 0.44 and dotted:
        name, value = r.choice(DOTTED)
        return [f"{name}={value}"] if r.random() < 0.3 else [name, value]
    if kind < 0.46:
        return r.choice((["-O3"], ["-O", "2"], ["-O=1"]))
    name = r.choice(("--port", "--revision", *VALUED))
    value = r.choice(VALUED[name])
    joined = r.random() < 0.4
    spelled = _spelled(r, name, joined=joined)
    return [f"{spelled}={value}"] if joined else [spelled, value]


def _spelled(r: random.Random, name: str, *, joined: bool = False) -> str:
    """Write an option otherwise than it is: underscores, an abbreviation, its short form."""
    way = r.random()
    if way < 0.6:
        return name
    if way < 0.75:
        return "--" + name[2:].replace("-", "_")
    if way < 0.9 or joined or name not in _shorts():
        return name[: r.randint(_shortest()[name], len(name))]
    return _shorts()[name]


@cache
def _shorts() -> dict[str, str]:
    long = {option: name for name, option in CURRENT.items() if name[:2] == "--"}
    return {
        long[option]: name for name, option in CURRENT.items() if name[:2] != "--" and option.name != "help"
    }


@cache
def _shortest() -> dict[str, int]:
    """Give the length of the shortest unique beginning of each option."""
    return {
        name: next(
            length
            for length in range(3, len(name) + 1)
            if length == len(name) or sum(other.startswith(name[:length]) for other in CURRENT) == 1
        )
        for name in CURRENT
        if name[:2] == "--"
    }


def items(asked: Asked) -> list[Item]:
    """Give what we find in a container with this command line."""
    container = {"name": "server", "image": "x", "command": list(asked.entry), "args": list(asked.words)}
    reading = read(0, "spec.containers[0]", container)
    (call,) = reading.calls
    return list(vllm_sources.items(reading, call, len(asked.entry)))


def ours(asked: Asked) -> tuple[Said, bool]:
    """Give what we read, and whether something of it is said to be unknown."""
    found = items(asked)
    started = programs.start([*asked.entry, *asked.words])
    assert started is not None
    serving = started.program.read(started.words, {})
    models = [i for i in found if isinstance(i, Source) and i.role is Role.MODEL]
    switched = {i.name for i in found if isinstance(i, Switch)}
    unknown = SwitchName.UNKNOWN_OPTION in switched or any(isinstance(i, Unresolvable) for i in found)
    return (
        Said(
            model=str(models[0].location) if models else "",
            trust=SwitchName.TRUST_REMOTE_CODE in switched,
            names=serving.served_names,
            port=serving.port or str(DEFAULT_PORT),
        ),
        unknown,
    )


def canonical(text: str, revision: str | None) -> str | None:
    """Write what a parser gives for model and revision as a canonical source; None for no model at all."""
    try:
        found = model(text, revision or "")
    except BadValueError:
        return None
    if isinstance(found, LocalPath):
        return "file:///" + found.path.removeprefix("/").removeprefix("./")
    return str(found)


def differs(asked: Asked, real: dict[str, Any]) -> str:
    """Say what we read otherwise than the real parser; empty for what is equal, or said to be unknown."""
    found, unknown = ours(asked)
    wanted = canonical(real["model"], real["revision"])
    # `None` as a name is none.
    named = [name for name in real["names"] or () if name]
    wrong = []
    if not unknown and found.model != wanted:
        wrong.append(f"model {found.model}, not {wanted}")
    if not unknown and found.trust != real["trust"]:
        wrong.append(f"trust {found.trust}, not {real['trust']}")
    if named and list(found.names) != named:
        wrong.append(f"names {found.names}, not {named}")
    if not named and found.names not in {(), (real["model"],)}:
        wrong.append(f"names {found.names}, not the model's")
    if _port(found.port) != real["port"]:
        wrong.append(f"port {found.port}, not {real['port']}")
    return f"{json.dumps(asked.words)}: {'; '.join(wrong)}" if wrong else ""


def _port(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None

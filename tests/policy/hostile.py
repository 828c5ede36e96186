"""Pods that are made to take long: as large as asked, of every shape that something here has to read."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from sidecar.contract import LABEL_SERVER

JSON = dict[str, Any]
VLLM: Final = "vllm/vllm-openai:v0.32.0"
OLLAMA: Final = "ollama/ollama:0.12.6"


def pod(containers: list[JSON], engine: str = "vllm", **spec: Any) -> JSON:
    """Give a labelled pod."""
    metadata = {"name": "hostile", "namespace": "ns", "labels": {LABEL_SERVER: engine}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": containers, **spec},
    }


def _server(*args: str, **more: Any) -> JSON:
    return {"name": "vllm", "image": VLLM, "args": ["Qwen/Qwen3-8B", *args], **more}


def _script(text: str, image: str = VLLM) -> list[JSON]:
    return [{"name": "vllm", "image": image, "command": ["sh", "-c", text]}]


def _repeated(text: str, size: int) -> str:
    return text * (size // len(text) + 1)


def _many(make: Callable[[int], Any], size: int) -> list[Any]:
    """Give so many of something that they are about `size` bytes of JSON."""
    return [make(index) for index in range(size // (len(json.dumps(make(10_000))) + 1) + 1)]


def _arguments(size: int) -> Iterator[tuple[str, JSON]]:
    yield "one argument", pod([_server("--model", "a" * size)])
    yield "many arguments", pod([_server(*_many(lambda i: f"--max-model-len={i}", size))])
    yield "many words", pod([_server(*_many(lambda i: f"word-{i}", size))])
    yield "many unknown options", pod([_server(*_many(lambda i: f"--no-such-{i}", size))])
    yield "many abbreviations", pod([_server(*_many(lambda _: "--tensor-par", size))])
    yield "many dotted options", pod([_server(*_many(lambda i: f"--speculative-config.k{i}.x=1", size))])
    yield "one deep dotted option", pod([_server("--speculative-config" + _repeated(".a", size), "1")])
    yield "many adapters", pod([_server("--lora-modules", *_many(lambda i: f"n{i}=org/lora-{i}", size))])
    yield "deep JSON", pod([_server("--speculative-config", "[" * size)])
    yield "deep closed JSON", pod([_server("--speculative-config", "[" * (size // 2) + "]" * (size // 2))])
    wide = json.dumps({"model": "a/b", "x": list(range(size // 7))})
    yield "wide JSON", pod([_server("--speculative-config", wide)])
    yield (
        "many variables in one word",
        pod([_server(_repeated("$(A)", size), env=[{"name": "A", "value": "b"}])]),
    )
    # each names the one before it twice: the kubelet expands only what stands before
    doubling = [{"name": f"V{i}", "value": f"$(V{i - 1})$(V{i - 1})"} for i in range(1, 200)]
    yield "doubling variables", pod([_server("$(V199)", env=[{"name": "V0", "value": "x"}, *doubling])])
    yield "one component", pod([_server("--model", "s3://" + "a" * size)])
    yield "many components", pod([_server("--model", "s3://" + _repeated("a/", size))])
    yield "dots and slashes", pod([_server("--model", "/" + _repeated("../", size))])
    yield "many colons", pod([_server("--model", _repeated("a:", size))])


def _scripts(size: int) -> Iterator[tuple[str, JSON]]:
    for name, text in {
        "script of words": "word ",
        "script of commands": "vllm serve a/b; ",
        "script of and": "true && ",
        "script of quotes": "'",
        "script of quoted quotes": '"\'" ',
        "script of backslashes": "\\",
        "script of brackets": "(",
        "script of substitutions": "$(",
        "script of backticks": "`a` ",
        "script of braces": "${A:-",
        "script of here documents": "<<A\n",
        "script of lines": "# comment\n",
        "script of pipes": "a | ",
        "script of assignments": "A=$A$A; ",
        "script of shells": "sh -c '",
        "script of wrappers": "exec env tini -- ",
        "script of pulls": "ollama pull a:b; ",
        "script of curls": 'curl http://localhost:11434/api/pull -d \'{"model":"a"}\'; ',
        "script of downloads": "hf download a/b --local-dir /m; ",
        "script of loops": "while true; do ",
    }.items():
        yield name, pod(_script(_repeated(text, size)))
        yield f"{name}, ollama", pod(_script(_repeated(text, size), OLLAMA), "ollama")
    yield (
        "shells in shells",
        pod([{"name": "vllm", "image": VLLM, "command": _many(lambda _: "sh -c", size)}]),
    )
    yield "wrappers", pod([{"name": "vllm", "image": VLLM, "command": _many(lambda _: "exec", size)}])


def _lists(size: int) -> Iterator[tuple[str, JSON]]:
    small = _many(lambda i: {"name": f"c{i}", "image": f"r.example.com/i{i}:1"}, size)
    yield "many containers", pod([_server(), *small])
    yield "many init containers", pod([_server()], initContainers=small)
    yield "many servers", pod(_many(lambda i: {"name": f"c{i}", "image": VLLM, "args": ["a/b"]}, size))
    yield "many Ollamas", pod(_many(lambda i: {"name": f"c{i}", "image": OLLAMA}, size), "ollama")
    mount = {"name": "m", "mountPath": "/m"}
    filling = _many(
        lambda i: {
            "name": f"c{i}",
            "command": ["hf", "download", f"a/b{i}", "--local-dir", "/m"],
            "volumeMounts": [mount],
        },
        size,
    )
    volume = [{"name": "m", "emptyDir": {}}]
    server = {**_server(), "args": ["/m"], "volumeMounts": [mount]}
    yield "many that fill a volume", pod([server], initContainers=filling, volumes=volume)
    yield "many variables", pod([_server(env=_many(lambda i: {"name": f"V{i}", "value": "x"}, size))])
    hub = _many(lambda _: {"name": "HF_ENDPOINT", "value": "https://a.example"}, size)
    yield "one variable many times", pod([_server(env=hub)])
    volumes = _many(lambda i: {"name": f"v{i}", "emptyDir": {}}, size // 2)
    mounts = _many(lambda i: {"name": f"v{i}", "mountPath": f"/m/{i}"}, size // 2)
    yield "many volumes", pod([{**_server(), "args": ["/m/77"], "volumeMounts": mounts}], volumes=volumes)
    adapters = _many(lambda i: f"n{i}=/m/{i}", size // 3)
    yield (
        "many local adapters",
        pod(
            [_server("--lora-modules", *adapters, volumeMounts=mounts[: len(mounts) // 2])],
            volumes=volumes[: len(volumes) // 2],
        ),
    )
    yield "many ports", pod([_server(ports=_many(lambda i: {"containerPort": i}, size))])
    limits = {f"example.com/r{i}": "1" for i in range(size // 24)}
    yield "many resources", pod([_server(resources={"limits": limits})])
    yield "long image", pod([{"name": "vllm", "image": "a/" * (size // 2)}])
    yield "long tag", pod([{"name": "vllm", "image": "vllm/vllm-openai:" + "a" * size}])
    yield "long quantity", pod([_server(resources={"limits": {"nvidia.com/gpu": "9" * size}})])
    labelled = pod([_server()])
    labelled["metadata"]["labels"] |= {f"k{i}": "v" for i in range(size // 12)}
    yield "many labels", labelled


def shapes(size: int) -> Iterator[tuple[str, JSON]]:
    """Give pods of about `size` bytes (or characters), with a name for each."""
    yield from _arguments(size)
    yield from _scripts(size)
    yield from _lists(size)

"""Whatever the body: a defined answer, never an exception, and every readable uid comes back."""

import copy
import io
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml

from sidecar.contract import LogFormat
from tests.server.reviews import deployment, dump, pod, review
from tests.server.running import Running
from tests.server.workloads import PATHS, workload
from webhook.app import MUTATE, VALIDATE, Admission
from webhook.inject import Injection
from webhook.log import Log
from webhook.policy.document import parse as parse_policy
from webhook.policy.policy import Policy
from webhook.policy.table import RULES
from webhook.policy_file import shipped_path
from webhook.review import BodyError

BODIES: Final = 10_000
SETTINGS: Final = {
    "litellm-registrar.io/container": "vllm",
    "litellm-registrar.io/drain-timeout": "120s",
    "litellm-registrar.io/name-template": "{namespace}/{model}",
    "litellm-registrar.io/carried-settings": '{"port": "8000", "scheme": "https", "host": "qwen"}',
}


def _rich_pod() -> dict[str, Any]:
    """Give a pod with every part the webhook looks at."""
    obj = pod()
    obj["metadata"]["annotations"] = dict(SETTINGS)
    server = obj["spec"]["containers"][0]
    server["command"] = ["/bin/sh", "-c", "exec vllm serve --api-key $(KEY) --port=8000 $MODEL"]
    server["env"] = [
        {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "k", "key": "k"}}},
        {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
    ]
    server["readinessProbe"] = {"httpGet": {"path": "/health", "port": "http", "httpHeaders": []}}
    server["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    ollama = {"name": "o", "image": "ollama/ollama@sha256:ab", "ports": [{"containerPort": 11434}]}
    obj["spec"]["containers"].append(ollama)
    obj["spec"]["initContainers"] = [{"name": "pull", "image": "curl", "restartPolicy": "Always"}]
    obj["spec"] |= {"hostNetwork": True, "resources": {"limits": {"cpu": "4"}}, "os": {"name": "linux"}}
    return obj


def _seeds() -> list[dict[str, Any]]:
    labels = {"litellm-registrar.io/server": "vllm"}
    carried = pod(**{"litellm-registrar.io/carried": "ollama"})
    old = deployment({})
    old["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}
    bound = deployment(labels, SETTINGS)
    bound["spec"]["template"]["metadata"] |= {"labels": labels, "annotations": SETTINGS}
    return [
        review(pod()),
        review(_rich_pod()),
        review(carried),
        review(pod(), "UPDATE", oldObject=pod(app="x")),
        review(deployment(labels, SETTINGS)),
        review(deployment(labels, SETTINGS), "UPDATE", oldObject=old),
        review(deployment({}), "UPDATE", oldObject=bound),
        review(deployment(labels) | {"kind": "StatefulSet"}),
        review(None, "DELETE", oldObject=pod()),
        review(_rich_pod(), "UPDATE", oldObject=pod(), subResource="ephemeralcontainers"),
        review(_rich_pod(), "UPDATE", oldObject=carried),
        review(pod(app="x")),
        review(pod(app="x"), "UPDATE", oldObject=_rich_pod()),
        *(review(workload(kind, _rich_pod())) for kind in PATHS),
        *(review(workload(kind, _rich_pod()), "UPDATE", oldObject=workload(kind, pod())) for kind in PATHS),
        review(_service()),
    ]


def _service() -> dict[str, Any]:
    model = {
        "modelFormat": {"name": "huggingface"},
        "storageUri": "hf://a/b",
        "args": ["--trust-remote-code"],
    }
    predictor = {"model": model, "storageUris": [{"uri": "s3://b/m", "mountPath": "/m"}], "hostNetwork": True}
    labels = {"litellm-registrar.io/server": "vllm"}
    metadata = {"name": "qwen", "labels": labels}
    return {"kind": "InferenceService", "metadata": metadata, "spec": {"predictor": predictor}}


def _strict() -> Policy:
    """Give the policy that ships, enforced, with every door closed and workloads denied."""
    raw = yaml.safe_load(shipped_path().read_text())
    raw["spec"]["defaults"] = {"mode": "enforce", "onUnresolvable": "deny", "workloads": "deny"}
    raw["spec"]["rules"]["modelSources"]["allow"] = ["hf://Qwen/*", "s3://b/**"]
    raw["spec"]["rules"]["scope"] = dict.fromkeys(("requireLabel", "keepLabel", "imageChange"), "deny")
    return parse_policy(json.dumps(raw), RULES)


SCALARS: Final = (
    *(None, True, False, 0, -1, 8000, 65536, 2**70, 1.5, -0.0, "", " ", "vllm", "auto"),
    *(
        "$(X)",
        "$",
        "--port",
        "--port=x",
        "\ud800",
        "\x00",
        "é" * 300,
        "a" * 5000,
        "../..",
        "1e9",
        "25%",
        "-25%",
    ),
    *(
        "litellm-registrar.io/server",
        "registrar",
        "Always",
        "Recreate",
        "OnDelete",
        "[::]:1",
        ":",
        "sh",
        "{}",
    ),
)
KEYS: Final = (
    *("name", "image", "args", "command", "env", "value", "valueFrom", "ports", "containerPort", "lifecycle"),
    *(
        "preStop",
        "labels",
        "annotations",
        "spec",
        "metadata",
        "template",
        "containers",
        "resources",
        "limits",
    ),
    *("uid", "request", "object", "deletionTimestamp", "readinessProbe", "\ud800", "", *SETTINGS),
)


def _value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if depth > 3 or kind < 0.6:
        return rng.choice(SCALARS)
    if kind < 0.8:
        return [_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(KEYS): _value(rng, depth + 1) for _ in range(rng.randrange(4))}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every (container, key) of a JSON tree."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        yield value, key
        if isinstance(child, dict | list):
            yield from _places(child)


def _restructured(rng: random.Random, seed: dict[str, Any]) -> bytes:
    """Change one to four places of the review: another value, none, one more, or twice."""
    raw = copy.deepcopy(seed)
    for _ in range(rng.randint(1, 4)):
        places = list(_places(raw))
        if not places:
            break
        parent, key = rng.choice(places)
        match rng.randrange(4):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[rng.choice(KEYS)] = _value(rng)
            case 1 | 2 if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[key]))
            case _:
                parent[key] = _value(rng)
    return dump(raw)


def _flipped(rng: random.Random, seed: dict[str, Any]) -> bytes:
    body = bytearray(dump(seed))
    for _ in range(rng.randint(1, 8)):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(body)


def _cut(rng: random.Random, seed: dict[str, Any]) -> bytes:
    body = dump(seed)
    start, end = sorted((rng.randrange(len(body)), rng.randrange(len(body))))
    return rng.choice((body[:start], body[start:], body[:start] + body[end:], body + body[start:end]))


def _spliced(rng: random.Random, seed: dict[str, Any]) -> bytes:
    """Put a piece of text somewhere, as often as not where it is still JSON."""
    body = dump(seed)
    at = rng.choice([i for i, c in enumerate(body) if c in b'{["'] or [0]) + 1
    deep = rng.randrange(3000)
    pieces = (
        *(b'"uid": "other", ', b'"uid": 7, ', b"NaN, ", b'"a": -Infinity, ', b'"a": 1e999, ', b"\\ud800"),
        *(
            b'"a": ' + b"[" * 900 + b"]" * 900 + b", ",
            b'"a": ' + b"9" * 5000 + b", ",
            b"/* */",
            b"\xef\xbb\xbf",
        ),
        *(b"[" * deep, b'{"a":' * deep, b"\\u0000", b"\xed\xa0\x80", b"\xff", b"\x00"),
    )
    piece = rng.choice(pieces)
    return body[:at] + piece + body[at:]


def _random(rng: random.Random, _: dict[str, Any]) -> bytes:
    return rng.choice((dump(_value(rng)), dump(review(None) | {"request": _value(rng)}), rng.randbytes(60)))


KINDS: Final[tuple[Callable[[random.Random, dict[str, Any]], bytes], ...]] = (
    *(_restructured,) * 8,
    *(_flipped, _cut, _spliced, _random),
)


def _bodies(seed: int, count: int) -> Iterator[bytes]:
    rng = random.Random(seed)  # noqa: S311 - bodies for tests
    seeds = _seeds()
    for _ in range(count):
        yield rng.choice(KINDS)(rng, rng.choice(seeds))


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _uid(body: bytes) -> str | None:
    """Read the uid the way a strict reader does, independently of the webhook."""
    try:
        raw = json.loads(body.decode(), parse_constant=_no_constant)
        json.dumps(raw, allow_nan=False)  # 1e999 is read as infinite
    except (ValueError, RecursionError):
        return None
    request = raw.get("request") if isinstance(raw, dict) else None
    uid = request.get("uid") if isinstance(request, dict) else None
    return uid if isinstance(uid, str) else None


def test_ten_thousand_bodies_get_a_defined_answer() -> None:
    """Of 10,000 fuzzed bodies every readable uid comes back, and nothing fails on the way or in judging."""
    stream = io.StringIO()
    admission = Admission(Injection(cluster="c", image="i"), Log(stream, LogFormat.JSON))
    admission.hold(_strict())
    answered = 0
    for number, body in enumerate(_bodies(20261121, BODIES)):
        uid = _uid(body)
        try:
            answer = json.loads(
                admission.answer((MUTATE, VALIDATE)[number % 2], body), parse_constant=_no_constant
            )
        except BodyError:
            assert uid is None, body
        else:
            assert answer["response"]["uid"] == uid, body
            assert isinstance(answer["response"]["allowed"], bool)
            answered += 1
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line for line in lines if line["event"] == "failed"] == []
    assert {line["event"] for line in lines} == {"injected", "carried", "allowed", "warned", "denied"}
    assert len(lines) == answered > BODIES / 2
    rules = {rule for line in lines for rule in line.get("rules", "").split()}
    assert {"modelSources.allow", "code.trustRemoteCode", "scope.requireLabel", "scope.keepLabel"} <= rules


async def test_fuzzed_bodies_over_the_network(running: Running) -> None:
    """Over TLS a readable uid is always 200, anything else 400."""
    for number, body in enumerate(_bodies(1, 300)):
        answer = await running.post(("/mutate", "/validate")[number % 2], body)
        uid = _uid(body)
        assert answer.status_code == (400 if uid is None else 200)
        assert uid is None or answer.json()["response"]["uid"] == uid

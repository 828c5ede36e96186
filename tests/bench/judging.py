"""How long the policy's verdict of a pod takes, and whether it refuses what is honest."""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from sidecar.contract import Engine
from tests.bench.figures import Figure
from tests.bench.reviews import pod as plain_pod
from tests.policy.honest import corpus
from tests.policy.hostile import OLLAMA, VLLM, pod, shapes
from webhook.policy.document import parse
from webhook.policy.judge import judge
from webhook.policy.policy import Policy
from webhook.policy.subject import Subject
from webhook.policy.table import RULES

JSON = dict[str, Any]
LARGE: Final = 3_000_000
_PATTERNS: Final = (10, 1000)
_ROUNDS: Final = 300


async def measure_false_denials() -> list[Figure]:
    """Give how many honest manifests are refused by the policy that ships, or by the strict one."""
    strict = parse((corpus.FOLDER / "policy.yaml").read_text(), RULES)
    paths = corpus.paths()
    refused = {path for path in paths if corpus.refusals(path, corpus.shipped_enforced())}
    kept = [path for path in paths if path.parent.name == "strict"]
    refused |= {path for path in kept if corpus.refusals(path, strict)}
    of = f"of {len(paths)} by the policy that ships, at enforce; {len(kept)} of them also by a strict one"
    return [Figure("false_denials", len(refused), "manifests refused", "= 0", of)]


async def measure() -> list[Figure]:
    """Give the three figures of time."""
    policy = parse((corpus.FOLDER / "policy.yaml").read_text(), RULES)
    small, _ = _slowest([("2 containers", plain_pod(2))], policy, 50)
    hundred, which_hundred = _slowest(_hundreds(), policy, 9)
    large, which_large = _slowest(shapes(LARGE), policy, 3)
    return [
        Figure(
            "verdict_100", hundred, "ms", "<= 50", f"slowest: {which_hundred}; 2 containers: {small:.2f} ms"
        ),
        Figure("verdict_3mb", large, "ms", "<= 250", f"slowest: {which_large}"),
        Figure("policy_1000_patterns", _ratio(), "ratio", "<= 3", "a policy of 10 patterns"),
    ]


def _hundreds() -> Iterable[tuple[str, JSON]]:
    """Give pods of 100 containers."""
    script = "set -e; if [ -f /x ]; then ollama pull a:b; fi; exec vllm serve a/b --port 8000"
    containers: dict[str, Callable[[int], JSON]] = {
        "servers": lambda i: {"image": VLLM, "args": ["--model", f"org/model-{i}", "--port", "8000"]},
        "scripts": lambda _: {"image": VLLM, "command": ["sh", "-c", script]},
        "pulls": lambda i: {"image": OLLAMA, "command": ["ollama", "pull", f"model-{i}"]},
        "local paths": lambda i: {
            "image": VLLM,
            "args": [f"/m/{i}"],
            "volumeMounts": [{"name": "m", "mountPath": "/m"}],
        },
    }
    yield "one server and its helpers", plain_pod(100)
    for name, make in containers.items():
        each = [{"name": f"c{i}", **make(i)} for i in range(100)]
        yield name, pod(each, volumes=[{"name": "m", "emptyDir": {}}])
    init = [{"name": f"i{i}", **containers["scripts"](i)} for i in range(99)]
    yield "init containers", pod([{"name": "c", **containers["local paths"](0)}], initContainers=init)


def _slowest(pods: Iterable[tuple[str, JSON]], policy: Policy, times: int) -> tuple[float, str]:
    """Give the slowest verdict in milliseconds, each the median of some, and which it was."""
    return max(
        (statistics.median(_milliseconds(obj, policy) for _ in range(times)), name) for name, obj in pods
    )


def _milliseconds(obj: JSON, policy: Policy) -> float:
    begun = time.perf_counter()
    judge(policy, "ns", "name", Subject(obj, Engine.VLLM), 0.0)
    return (time.perf_counter() - begun) * 1000


def _ratio() -> float:
    """Give the cost of a policy of many patterns, as a ratio to one of few; they take turns."""
    obj = plain_pod(2)
    few, many = (_patterns(number) for number in _PATTERNS)
    pairs = [(_milliseconds(obj, few), _milliseconds(obj, many)) for _ in range(_ROUNDS)]
    return statistics.median(b for _, b in pairs) / statistics.median(a for a, _ in pairs)


def _patterns(number: int) -> Policy:
    """Give a policy with so many patterns of sources and as many of images; the last ones match."""
    sources = [*(f"hf://org-{i}/*" for i in range(number - 1)), "hf://Qwen/*"]
    images = [*(f"registry.example.com/team-{i}/**" for i in range(number - 2))]
    images += ["docker.io/vllm/vllm-openai", "registry.example.com/team/**"]
    rules = f"{{modelSources: {{allow: {sources}}}, images: {{allow: {images}}}}}".replace("'", '"')
    return parse(
        "{apiVersion: policy.litellm-registrar.io/v1, kind: ModelServerPolicy, metadata: {name: bench}, "
        f"spec: {{defaults: {{mode: enforce}}, rules: {rules}}}}}",
        RULES,
    )

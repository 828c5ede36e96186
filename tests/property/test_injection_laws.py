"""Laws of injection, over pods and workloads with unknown fields at every depth."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sidecar import contract
from sidecar.broker_contract import TOKEN_VOLUME
from tests.restricted import violations
from webhook import mesh
from webhook.access import Broker
from webhook.defaults import NO_DEFAULTS, Defaults
from webhook.inject import Injection, inject
from webhook.patch import Op, apply, pointer
from webhook.reasons import Reason
from webhook.wishes import InjectMode, PreStop, Wishes
from webhook.workload import carry, check

CONFIG = Injection(cluster="c", image="registry.example.com/sidecar:1")
BROKERED = replace(CONFIG, broker=Broker("https://broker.example.com", "PEM $(A)"), token_audience="us")
CONFIGS = [CONFIG, BROKERED, replace(CONFIG, user=None, pull_secrets=("ours", "theirs"))]
MESHES = [pointer("metadata", "annotations", key) for key in mesh.LISTS]
NOTE = pointer("metadata", "annotations", contract.ANNOTATION_INJECTED)
GRACE = "/spec/terminationGracePeriodSeconds"
MANY = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SOME = settings(MANY, max_examples=200)


ABSENT = object()
UNKNOWN: list[Any] = [
    None,
    True,
    0,
    -1.5,
    "",
    "text",
    [],
    {},
    [1, {"a": None}],
    {"b": {"c": []}},
    {"name": "registrar"},
]
STALE = {"path": "/drain", "port": 9469, "httpHeaders": [{"name": contract.NONCE_HEADER, "value": "old"}]}
HOOKS = [
    {"exec": {"command": ["sleep", "10"]}},
    {"sleep": {"seconds": 15}},
    {"httpGet": {"path": "/drain", "port": 8000}},
    {"httpGet": STALE},
]
LIFECYCLES = [ABSENT, None, {}, {"preStop": None}, {"postStart": {}}, *({"preStop": hook} for hook in HOOKS)]
VOLUMES = [
    ABSENT,
    None,
    [],
    [{"name": "data", "emptyDir": {}}],
    [{"name": TOKEN_VOLUME, "emptyDir": {}}],
    [{"name": TOKEN_VOLUME, "projected": {"sources": []}}, {"name": f"{TOKEN_VOLUME}-2", "emptyDir": {}}],
]
PROBES = [
    ABSENT,
    None,
    {"httpGet": {"path": "/health", "port": "http"}},
    {"httpGet": {"port": 8000, "scheme": "HTTPS", "httpHeaders": [{"name": "A", "value": "$(B)"}]}},
    {"tcpSocket": {"port": 8000}, "timeoutSeconds": 3},
    {"exec": {"command": ["true"]}},
]
FULL = {"cpu": "500m", "memory": "1Gi"}
# The API server refuses a request above its limit: such are not drawn.
RESOURCES = [
    ABSENT,
    {},
    {"limits": {"nvidia.com/gpu": "1"}},
    {"requests": {"cpu": "1"}},
    {"limits": {"cpu": "8"}, "requests": {"cpu": "1e-1", "memory": "2"}},
    {"limits": {"cpu": "0", "memory": "0"}},
    {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "0", "memory": "1Gi"}},
    {"limits": {**FULL, "nvidia.com/gpu": "1"}},
    {"limits": FULL, "requests": {"cpu": "0.5", "memory": "1024Mi"}},
    {"limits": FULL, "requests": FULL},
    {"limits": FULL, "requests": {"memory": "1Gi"}},
]
WISHES = [
    ABSENT,
    None,
    {},
    {"inject-mode": "container"},
    {"pre-stop": "replace", "drain-timeout": "1h"},
    {"injected": "spoofed", "propagation": "0"},
    dict.fromkeys(mesh.LISTS, "15020,9000-9400"),
    {"include": "a$", "aliases": "x,y=z", "rpm": "5", "litellm-params": "{rpm: 6, tpm: 1}", "mode": "chat"},
    {
        "overrides": "[{match: ^a, model_info: {b: [1, {c: ~}]}}]",
        "model-info": "&a [*a]",
        "carried-settings": "{}",
    },
]
DEFAULTS = [
    NO_DEFAULTS,
    Defaults(Wishes(drain_timeout=600.0, pre_stop=PreStop.REPLACE, overrides=(contract.Override("a"),))),
    Defaults(namespaces={"team": Wishes(model_info={"owner": "team"}, inject_mode=InjectMode.CONTAINER)}),
]
ANNOTATIONS = [
    {key if "/" in key else f"{contract.DOMAIN}/{key}": value for key, value in wish.items()}
    if isinstance(wish, dict)
    else wish
    for wish in WISHES
]


def pick(draw: st.DrawFn, holder: dict[str, Any], key: str, values: list[Any]) -> None:
    """Set a field to one of the values, never sharing it with another; ABSENT leaves it out."""
    value = draw(st.sampled_from(values))
    if value is not ABSENT:
        holder[key] = copy.deepcopy(value)


@st.composite
def containers(draw: st.DrawFn, name: str, image: str, port: int) -> dict[str, Any]:
    """Draw a container."""
    container: dict[str, Any] = {"name": name, "image": image}
    pick(draw, container, "ports", [ABSENT, [{"name": "http", "containerPort": port}]])
    pick(draw, container, "resources", RESOURCES)
    pick(draw, container, "readinessProbe", PROBES)
    pick(draw, container, "lifecycle", LIFECYCLES)
    return container


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a labelled pod with one vLLM server among other containers, and unknown fields everywhere."""
    all_containers = [draw(containers("server", "vllm/vllm-openai:v0.32.0", 8000))]
    for index in range(draw(st.integers(0, 2))):
        other = draw(containers(f"other-{index}", "example.com/other:1", 9469 + index))
        all_containers.insert(draw(st.sampled_from([0, 2])), other)
    spec: dict[str, Any] = {"containers": all_containers}
    pick(draw, spec, "initContainers", [ABSENT, None, [], [{"name": "init", "image": "example.com/init:1"}]])
    if spec.get("initContainers"):
        pick(draw, spec["initContainers"][0], "resources", RESOURCES)
    pick(draw, spec, "terminationGracePeriodSeconds", [ABSENT, None, 0, 30, 165, 7200])
    pick(draw, spec, "volumes", VOLUMES)
    pick(draw, spec, "imagePullSecrets", [ABSENT, None, [], [{"name": "theirs"}]])
    pick(draw, spec, "restartPolicy", [ABSENT, "Always", "Never"])
    pick(draw, spec, "hostNetwork", [ABSENT, False, True])
    pick(draw, spec, "resources", [ABSENT, ABSENT, None, {"limits": FULL}])
    metadata: dict[str, Any] = {"labels": {contract.LABEL_SERVER: "vllm"}}
    pick(draw, metadata, "annotations", ANNOTATIONS)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    everywhere = list(holders(pod))
    for index in draw(st.sets(st.integers(0, len(everywhere) - 1), max_size=6)):
        pick(draw, everywhere[index], "x-unknown", UNKNOWN)
    return pod


def holders(value: Any, key: str = "") -> Iterator[dict[str, Any]]:
    """Give every object within, but maps of texts, which have no unknown fields."""
    if isinstance(value, dict):
        if key not in ("labels", "annotations", "limits", "requests"):
            yield value
        for name, item in value.items():
            yield from holders(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from holders(item)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Give each value that holds no other, by its pointer."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not items or not value:
        yield pointer(*path), value
    for key, item in items:
        yield from leaves(item, (*path, key))


def may_change(path: str, value: Any, pod: Mapping[str, Any]) -> bool:
    """Tell the documented exceptions: empty holders, the note, the grace, a hook of ours or handed over."""
    holders = ("/lifecycle", "/preStop", "/initContainers", "/annotations", "/volumes", "/imagePullSecrets")
    if value in (None, {}, []) and path.endswith((*holders, GRACE)):
        return True
    annotations = pod["metadata"].get("annotations") or {}
    handed_over = annotations.get(f"{contract.DOMAIN}/pre-stop") == "replace"
    stale = path.partition("/lifecycle/")[0] in {
        pointer("spec", "containers", index)
        for index, item in enumerate(pod["spec"]["containers"])
        if contract.NONCE_HEADER in json.dumps(item.get("lifecycle"))
    }
    hook = "/lifecycle/preStop/" in path and (handed_over or stale)
    return path in (NOTE, GRACE) or hook


def registrars(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the containers called registrar, of both lists."""
    both = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    return [item for item in both if item["name"] == contract.CONTAINER_NAME]


@MANY
@given(pods(), st.sampled_from(CONFIGS), st.sampled_from(InjectMode))
def test_only_adds(pod: dict[str, Any], config: Injection, mode: InjectMode) -> None:
    """Every original path keeps its value; operations add, or replace what is ours; lists and grace grow."""
    before = copy.deepcopy(pod)
    decision = inject(pod, replace(config, mode=mode), "n0")
    assert pod == before
    after = dict(leaves(apply(pod, decision.ops)))
    for path, value in leaves(before):
        if path in MESHES:
            assert after[path].startswith(value)
        else:
            assert after.get(path, "(gone)") == value or may_change(path, value, before), path
    json.dumps([op.to_json() for op in decision.ops], allow_nan=False)
    for op in decision.ops:
        assert op.op in ("add", "replace")
        if op.op == "replace":
            assert op.path in (NOTE, GRACE, *MESHES) or op.path.endswith("/lifecycle/preStop")
    old, new = (
        found["spec"].get("terminationGracePeriodSeconds") for found in (pod, apply(pod, decision.ops))
    )
    assert old == new or new > (old if old is not None else 30)


@SOME
@given(pods(), st.sampled_from(InjectMode))
def test_a_token_and_no_secret(pod: dict[str, Any], mode: InjectMode) -> None:
    """With a broker the registrar mounts a new volume with the pod's token, and no Secret is named."""
    decision = inject(pod, replace(BROKERED, mode=mode), "n0")
    assume(decision.reason is Reason.INJECTED)
    injected = apply(pod, decision.ops)
    assert "secretKeyRef" not in json.dumps([op.to_json() for op in decision.ops])
    (ours,) = registrars(injected)
    (mount,) = ours["volumeMounts"]
    (volume,) = (found for found in injected["spec"]["volumes"] if found["name"] == mount["name"])
    (source,) = volume["projected"]["sources"]
    assert source == {"serviceAccountToken": {"audience": "us", "expirationSeconds": 3600, "path": "token"}}
    assert volume not in (pod["spec"].get("volumes") or ())


CALLS = st.builds(
    replace,
    st.sampled_from([*CONFIGS, replace(BROKERED, broker=Broker("https://elsewhere", "other", 600))]),
    mode=st.sampled_from(InjectMode),
    defaults=st.sampled_from(DEFAULTS),
)


@settings(MANY, max_examples=500)
@given(pods(), CALLS, CALLS)
def test_idempotent(pod: dict[str, Any], first: Injection, second: Injection) -> None:
    """A second call has nothing to do, whatever its nonce, even if every setting changed in between."""
    decision = inject(pod, first, "n0", "team")
    assume(decision.reason is Reason.INJECTED)
    injected = apply(pod, decision.ops)
    assert len(registrars(injected)) == 1
    again = inject(injected, second, "n1", "team")
    assert (again.ops, again.reason) == ((), Reason.ALREADY_INJECTED)


@SOME
@given(pods(), st.sampled_from(InjectMode))
def test_idempotent_among_others(pod: dict[str, Any], mode: InjectMode) -> None:
    """The same after another webhook put containers before ours and a mount was added to ours."""
    decision = inject(pod, replace(CONFIG, mode=mode), "n0")
    assume(decision.reason is Reason.INJECTED)
    injected = apply(pod, decision.ops)
    proxy = {"name": "istio-proxy", "image": "istio/proxyv2:1.28.0", "ports": [{"containerPort": 15090}]}
    for kind in ("initContainers", "containers"):
        injected["spec"][kind] = [{**proxy, "name": f"istio-{kind[:4]}"}, *(injected["spec"].get(kind) or ())]
    registrars(injected)[0].setdefault("volumeMounts", []).append(
        {"name": "kube-api-access", "mountPath": "/run"}
    )
    assert inject(injected, replace(CONFIG, mode=mode), "n1").ops == ()


def qos(spec: Mapping[str, Any]) -> str:
    """Compute the class as ComputePodQOS in pkg/apis/core/v1/helper/qos does, with sums."""
    sums: dict[str, dict[str, Fraction]] = {"requests": {}, "limits": {}}
    guaranteed = True
    pod_level = spec.get("resources")
    everything = (
        [{"resources": pod_level}]
        if pod_level is not None
        else [
            *spec["containers"],
            *(spec.get("initContainers") or ()),
        ]
    )
    for container in everything:
        found = container.get("resources") or {}
        limits = found.get("limits") or {}
        limited = set()
        for kind, amounts in (("requests", {**limits, **(found.get("requests") or {})}), ("limits", limits)):
            for name in ("cpu", "memory"):
                amount = fraction(amounts.get(name, "0"))
                if amount > 0:
                    sums[kind][name] = sums[kind].get(name, Fraction(0)) + amount
                    limited |= {name} if kind == "limits" else set()
        guaranteed &= limited == {"cpu", "memory"}
    if not sums["requests"] and not sums["limits"]:
        return "BestEffort"
    return "Guaranteed" if guaranteed and sums["requests"] == sums["limits"] else "Burstable"


def fraction(text: str) -> Fraction:
    """Read the quantities that are drawn here, and ours."""
    for suffix, factor in (("Mi", Fraction(2**20)), ("Gi", Fraction(2**30)), ("m", Fraction(1, 1000))):
        if text.endswith(suffix):
            return Fraction(text.removesuffix(suffix)) * factor
    return Fraction(text)


@settings(MANY, max_examples=500)
@given(pods())
def test_quality_of_service(pod: dict[str, Any]) -> None:
    """The pod's class stays as it is; only BestEffort becomes Burstable, as anything with requests is."""
    before = qos(pod["spec"])
    decision = inject(pod, CONFIG, "n0")
    after = qos(apply(pod, decision.ops)["spec"])
    assert after == ("Burstable" if before == "BestEffort" and decision.ops else before)


@SOME
@given(pods(), st.sampled_from(CONFIGS), st.sampled_from(InjectMode))
def test_restricted(pod: dict[str, Any], config: Injection, mode: InjectMode) -> None:
    """The container added passes the restricted Pod Security Standard by itself, in any pod.

    But where its user is the cluster's choice: whether a pod may be root's is then the cluster's business.
    """
    for ours in registrars(apply(pod, inject(pod, replace(config, mode=mode, user=65534), "n0").ops)):
        assert violations(ours) == []


@SOME
@given(pods())
def test_only_where_asked(pod: dict[str, Any]) -> None:
    """Without our label, or with inject: "false" beside it, a pod gets no patch and no warning."""
    pod["metadata"]["labels"][contract.LABEL_INJECT] = "false"
    assert inject(pod, CONFIG, "n0") == inject({}, CONFIG, "n0")
    pod["metadata"]["labels"] = {"app": "x"}
    decision = inject(pod, CONFIG, "n0")
    assert (decision.ops, decision.problems) == ((), ())


@SOME
@given(pods(), st.sampled_from(["initContainers", "containers"]))
def test_foreign_container(pod: dict[str, Any], kind: str) -> None:
    """A container of our name that is not ours is refused with its reason, and nothing is changed."""
    pod["spec"][kind] = [*(pod["spec"].get(kind) or ()), {"name": contract.CONTAINER_NAME, "image": "x"}]
    decision = inject(pod, CONFIG, "n0")
    assert (decision.ops, decision.reason) == ((), Reason.FOREIGN_CONTAINER)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 70000), st.sampled_from(["", "vllm", "name", "$(X)"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@SOME
@given(pods(), st.sampled_from(CONFIGS), st.data())
def test_any_shape_is_decided(pod: dict[str, Any], config: Injection, data: st.DataObject) -> None:
    """Whatever stands where something else should, a decision is made and its patch applies."""
    holder = data.draw(st.sampled_from([found for found in holders(pod) if found]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)
    apply(pod, inject(pod, config, "n0").ops)


TEMPLATE = ("spec", "template", "metadata")
CARRIED = (
    pointer(*TEMPLATE, "labels", contract.LABEL_CARRIED),
    pointer(*TEMPLATE, "annotations", contract.ANNOTATION_CARRIED_SETTINGS),
)


@st.composite
def workloads(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a workload around a pod, labelled or not, with or without what an earlier call carried."""
    keys = (contract.LABEL_SERVER, contract.LABEL_INJECT, contract.LABEL_CARRIED)
    labels = [
        {keys[0]: "vllm"},
        {keys[0]: "ollama", keys[1]: "false"},
        {keys[2]: "ollama"},
        {keys[1]: "false"},
    ]
    carried = {contract.ANNOTATION_CARRIED_SETTINGS: "{}", "team": "a"}
    template, own = draw(pods()), {"name": "w"}
    for metadata in (template["metadata"], own):
        metadata.pop("labels", None)
        pick(draw, metadata, "labels", [ABSENT, None, {}, *labels])
        pick(draw, metadata, "annotations", [*ANNOTATIONS, carried])
    kind = draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet"]))
    selector = {"matchLabels": {contract.LABEL_CARRIED: "never ours to write"}}
    return {"kind": kind, "metadata": own, "spec": {"selector": selector, "template": template}}


@settings(MANY, max_examples=500)
@given(workloads())
def test_carrying_writes_our_keys_only(obj: dict[str, Any]) -> None:
    """Nothing of a workload changes but our two keys on its template, and a second call changes nothing."""
    before = copy.deepcopy(obj)
    patched = apply(obj, carry(obj, None).ops)
    assert obj == before
    old, new = (
        {path: value for path, value in leaves(found) if path not in CARRIED and value not in (None, {})}
        for found in (before, patched)
    )
    assert new == old
    assert carry(patched, before).ops == ()


@SOME
@given(workloads(), st.data())
def test_any_workload_is_decided(obj: dict[str, Any], data: st.DataObject) -> None:
    """Whatever stands where something else should, a workload is carried and checked without an error."""
    holder = data.draw(st.sampled_from([found for found in holders(obj) if found]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)
    apply(obj, carry(obj, obj).ops)
    check(obj)


def test_the_law_on_leaves_can_fail() -> None:
    """A changed value and a removed one are both seen."""
    pod = {"a": {"b": [1, {"c": 2}]}, "d": None}
    assert dict(leaves(pod)) == {"/a/b/0": 1, "/a/b/1/c": 2, "/d": None}
    assert dict(leaves(apply(pod, [Op("remove", "/a/b/1/c")]))) == {"/a/b/0": 1, "/a/b/1": {}, "/d": None}

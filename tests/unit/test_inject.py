"""From a pod to its patch: which parts are added, what is kept, what is refused and by which reason."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar import contract
from sidecar.contract import Settings
from webhook import container, layer
from webhook.defaults import Defaults
from webhook.inject import Decision, Injection, inject
from webhook.patch import Op, apply
from webhook.reasons import Reason
from webhook.wishes import InjectMode, PreStop, Wishes

CONFIG = Injection(cluster="c", image="registry.example.com/sidecar:1")
HOOK = "/spec/containers/0/lifecycle/preStop"
GRACE = "/spec/terminationGracePeriodSeconds"
NOTE = "/metadata/annotations/litellm-registrar.io~1injected"


def pod(
    *, labels: dict[str, str] | None = None, wishes: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """Give a labelled pod with one vLLM server; `wishes` are annotations of our domain."""
    metadata: dict[str, Any] = {"labels": {contract.LABEL_SERVER: "vllm"} if labels is None else labels}
    if wishes is not None:
        metadata["annotations"] = {f"{contract.DOMAIN}/{key}": value for key, value in wishes.items()}
    return {"metadata": metadata, "spec": {"containers": [server()], **spec}}


def server(**fields: Any) -> dict[str, Any]:
    """Give a container that runs vLLM."""
    return {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model", "m"], **fields}


def op(decision: Decision, path: str) -> Op:
    """Give the one operation on a path."""
    (found,) = (op for op in decision.ops if op.path == path)
    return found


def added(decision: Decision) -> dict[str, Any]:
    """Give the container that a decision adds."""
    values = (op.value[0] if isinstance(op.value, list) else op.value for op in decision.ops)
    (found,) = (value for value in values if isinstance(value, dict) and value.get("name") == "registrar")
    return dict(found)


def settings_of(decision: Decision) -> Settings:
    """Read back the settings of the container that a decision adds."""
    written = {e["name"]: e["value"] for e in added(decision)["env"] if "value" in e}
    return Settings.from_env({name: text.replace("$$", "$") for name, text in written.items()})


def reasons(decision: Decision) -> list[Reason]:
    """Give the reasons of a decision's warnings."""
    return [problem.reason for problem in decision.problems]


@pytest.mark.parametrize(
    "labels", [{}, {"app": "x"}, {contract.LABEL_SERVER: "vllm", contract.LABEL_INJECT: "false"}]
)
def test_not_asked(labels: dict[str, str]) -> None:
    """A pod without our label, or with inject: "false", is not touched and not spoken of."""
    assert inject(pod(labels=labels), CONFIG, "n") == Decision()


def test_carried_label() -> None:
    """The label that was carried from a workload counts like the pod's own."""
    assert inject(pod(labels={contract.LABEL_CARRIED: "vllm"}), CONFIG, "n").reason is Reason.INJECTED


def test_bad_label() -> None:
    """An unknown value of the label gets a warning that names what is allowed, and no patch."""
    decision = inject(pod(labels={contract.LABEL_SERVER: "vlm"}), CONFIG, "n")
    assert (decision.ops, decision.reason) == ((), Reason.BAD_LABEL)
    assert "vllm, ollama, openai, auto" in decision.problems[0].message


@pytest.mark.parametrize("present", [{}, {"initContainers": None}])
def test_first_init_container(present: dict[str, Any]) -> None:
    """Where there are no init containers, absent or null, the list is added with ours."""
    value = op(inject(pod(**present), CONFIG, "n"), "/spec/initContainers").value
    assert [item["name"] for item in value] == ["registrar"]


@pytest.mark.parametrize("others", [[], [{"name": "pull", "image": "x"}]])
def test_last_init_container(others: list[Any]) -> None:
    """A native sidecar comes last among the init containers, so that it holds up none of them."""
    original = pod(initContainers=others)
    patched = apply(original, inject(original, CONFIG, "n").ops)
    assert patched["spec"]["initContainers"][:-1] == others
    assert patched["spec"]["initContainers"][-1]["name"] == "registrar"


@pytest.mark.parametrize("wishes", [None, {"inject-mode": "container"}])
def test_mode(wishes: dict[str, str] | None) -> None:
    """The annotation decides over the webhook's setting which list the registrar goes to."""
    config = Injection(
        cluster="c", image="i", mode=InjectMode.CONTAINER if wishes is None else InjectMode.NATIVE
    )
    decision = inject(pod(wishes=wishes), config, "n")
    assert op(decision, "/spec/containers/-").value["name"] == "registrar"
    assert "restartPolicy" not in added(decision)


@pytest.mark.parametrize(
    ("node", "kind"),
    [("old", "containers"), ("new", "initContainers"), ("unknown", "containers"), (None, "containers")],
)
def test_a_pod_that_is_bound_to_a_node_has_that_nodes_mode(node: str | None, kind: str) -> None:
    """The mode for any node counts for pods that the scheduler places, and for nodes that are not known."""
    modes = {"old": InjectMode.CONTAINER, "new": InjectMode.NATIVE}
    config = replace(CONFIG, mode=InjectMode.CONTAINER, nodes=modes)
    patched = apply(bound := pod(nodeName=node), inject(bound, config, "n").ops)
    assert [item["name"] for item in patched["spec"][kind]][-1] == "registrar"


def test_the_annotation_decides_over_the_nodes_mode() -> None:
    """Who says inject-mode on the pod knows its node."""
    config = replace(CONFIG, nodes={"old": InjectMode.CONTAINER})
    decision = inject(pod(wishes={"inject-mode": "native"}, nodeName="old"), config, "n")
    assert added(decision)["restartPolicy"] == "Always"


@pytest.mark.parametrize(
    ("user", "group", "found"),
    [
        (65534, 65534, {"runAsUser": 65534, "runAsGroup": 65534}),
        (1000, None, {"runAsUser": 1000}),
        (None, 65534, {}),
        (None, None, {}),
    ],
)
def test_user_and_group_may_be_left_to_the_cluster(
    user: int | None, group: int | None, found: dict[str, int]
) -> None:
    """A group is said with a user only; the container must not be root in any case."""
    context = added(inject(pod(), replace(CONFIG, user=user, group=group), "n"))["securityContext"]
    assert {key: context[key] for key in ("runAsUser", "runAsGroup") if key in context} == found
    assert context["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ({}, [{"name": "ours"}, {"name": "mirror"}]),
        ({"imagePullSecrets": None}, [{"name": "ours"}, {"name": "mirror"}]),
        ({"imagePullSecrets": []}, [{"name": "ours"}, {"name": "mirror"}]),
        (
            {"imagePullSecrets": [{"name": "theirs"}]},
            [{"name": "theirs"}, {"name": "ours"}, {"name": "mirror"}],
        ),
        ({"imagePullSecrets": [{"name": "mirror"}]}, [{"name": "mirror"}, {"name": "ours"}]),
        ({"imagePullSecrets": [{}]}, [{}, {"name": "ours"}, {"name": "mirror"}]),
    ],
)
def test_pull_secrets_are_added_to_those_of_the_pod(
    present: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    """What the pod has stays first, and none is there twice."""
    config = replace(CONFIG, pull_secrets=("ours", "mirror"))
    patched = apply(original := pod(**present), inject(original, config, "n").ops)
    assert patched["spec"]["imagePullSecrets"] == expected
    assert inject(patched, config, "m").ops == ()


def test_without_pull_secrets_nothing_is_said_of_them() -> None:
    """The field stays away where it is not needed."""
    assert not [op for op in inject(pod(), CONFIG, "n").ops if "imagePullSecrets" in op.path]


def test_no_registrar_before_the_cluster_has_a_name() -> None:
    """A row without it would belong to nobody; the pod starts without, and is told why."""
    decision = inject(pod(), replace(CONFIG, cluster=""), "n")
    assert (decision.ops, decision.reason) == ((), Reason.CLUSTER_UNKNOWN)
    assert reasons(decision) == [Reason.CLUSTER_UNKNOWN]


def test_annotations_become_settings() -> None:
    """The registrar is told what the annotations say; what they do not say is the contract's default."""
    wishes = {
        "model-name": "m1",
        "provider": "openai",
        "poll-interval": "2s",
        "propagation": "0",
        "drain-timeout": "10m",
        "ready-timeout": "1m",
        "log-format": "json",
        "host": "h.example.com",
        "path": "/p",
        "port": "8080",
    }
    assert settings_of(inject(pod(wishes=wishes), CONFIG, "n0")) == Settings(
        cluster="c",
        engine=contract.Engine.VLLM,
        port=8080,
        nonce="n0",
        host="h.example.com",
        path="/p",
        model_name="m1",
        provider="openai",
        poll_interval=2.0,
        propagation=0.0,
        drain_timeout=600.0,
        grace_period=610.0,
        ready_timeout=60.0,
        log_format=contract.LogFormat.JSON,
    )
    assert settings_of(inject(pod(), CONFIG, "n0")) == Settings(
        cluster="c", engine=contract.Engine.VLLM, port=8000, nonce="n0"
    )


def test_what_the_owner_says_of_models_becomes_settings() -> None:
    """The registrar reads back exactly what the annotations say, whatever characters are in it."""
    wishes = {
        "include": "^(qwen|llama)",
        "exclude": "-(awq|gptq)$",
        "aliases": "fast, smart=smollm2:135m",
        "served-names": "first",
        "cloud-models": "register",
        "when-asleep": "route",
        "probe": "active",
        "mode": "embedding",
        "rpm": "60",
        "max-tokens": "512",
        "model-info": "{owner: 'Zo\u00eb $(HOME)', supports_vision: false}",
        "overrides": "[{match: '^a$', litellm_params: {weight: 2}}]",
    }
    assert settings_of(inject(pod(wishes=wishes), CONFIG, "n0")) == Settings(
        cluster="c",
        engine=contract.Engine.VLLM,
        port=8000,
        nonce="n0",
        include="^(qwen|llama)",
        exclude="-(awq|gptq)$",
        aliases=(contract.Alias("fast"), contract.Alias("smart", "smollm2:135m")),
        served_names=contract.ServedNames.FIRST,
        cloud_models=contract.CloudModels.REGISTER,
        when_asleep=contract.WhenAsleep.ROUTE,
        probing=contract.Probing.ACTIVE,
        mode="embedding",
        model_info={
            "mode": "embedding",
            "max_tokens": 512,
            "max_output_tokens": 512,
            "owner": "Zo\u00eb $(HOME)",
            "supports_vision": False,
        },
        litellm_params={"rpm": 60},
        overrides=(contract.Override("^a$", {}, {"weight": 2}),),
    )


def test_a_mode_among_the_keys_of_model_info_is_the_mode() -> None:
    """It may be said in either way, also for some keys by a default and for others by the pod."""
    said = {"model-info": "{mode: rerank}"}
    assert settings_of(inject(pod(wishes=said), CONFIG, "n")).mode == "rerank"


def test_defaults_count_where_the_pod_says_nothing() -> None:
    """Those of its namespace, else the cluster's; they reach grace period, mode and hook like annotations."""
    defaults = Defaults(
        Wishes(drain_timeout=300.0, model_info={"category": "a"}),
        {"team-a": Wishes(pre_stop=PreStop.REPLACE, model_info={"mode": "rerank", "owner": "b"})},
    )
    config = replace(CONFIG, defaults=defaults)
    elsewhere = inject(pod(), config, "n", "team-b")
    assert op(elsewhere, GRACE).value == 345
    assert settings_of(elsewhere).model_info == {"category": "a"}
    hooked = pod(containers=[server(lifecycle={"preStop": OWN_HOOK})], wishes={"model-info": "{owner: c}"})
    there = inject(hooked, config, "n", "team-a")
    assert op(there, HOOK).op == "replace"
    assert settings_of(there).model_info == {"mode": "rerank", "owner": "c"}
    assert settings_of(there).mode == "rerank"


@pytest.mark.parametrize("wishes", [None, {"rpm": "many"}])
def test_a_pod_without_the_label_gets_no_defaults(wishes: dict[str, str] | None) -> None:
    """Defaults ask for nothing by themselves."""
    config = replace(CONFIG, defaults=Defaults(Wishes(drain_timeout=300.0)))
    assert inject(pod(labels={}, wishes=wishes), config, "n", "team-a") == Decision()


def test_the_largest_settings_fit_into_an_environment() -> None:
    """Four layers of the longest overrides stay under what Linux takes for one variable (128 KiB)."""
    item = "{match: a, model_info: {k: " + "\u00e9" * 4030 + "}}"
    (override,) = Wishes(overrides=layer.read({"overrides": f"[{item}]"})[0]["overrides"]).overrides or ()
    config = replace(CONFIG, defaults=Defaults(Wishes(overrides=(override, override))))
    text = json.dumps({"overrides": f"[{item}]"})
    wishes = {"overrides": f"[{item}]", "carried-settings": text}
    written = {
        e["name"]: e["value"] for e in added(inject(pod(wishes=wishes), config, "n"))["env"] if "value" in e
    }
    assert written["REGISTRAR_OVERRIDES"].count("match") == 4
    assert len(written["REGISTRAR_OVERRIDES"].encode()) < 128 * 1024


def test_image_and_secret() -> None:
    """Image and Secret are the webhook's, unless the pod's annotations name others."""
    wishes = {"registrar-image": "mirror.example.com/sidecar:2", "litellm-secret": "team-a"}
    found = []
    for ours in (added(inject(pod(wishes=said), CONFIG, "n")) for said in (None, wishes)):
        url = next(entry for entry in ours["env"] if entry["name"] == contract.ENV_LITELLM_URL)
        found.append((ours["image"], url["valueFrom"]["secretKeyRef"]["name"]))
    assert found == [(CONFIG.image, CONFIG.litellm_secret), ("mirror.example.com/sidecar:2", "team-a")]


def test_bad_annotation_is_ignored() -> None:
    """On a pod a bad annotation is warned of and ignored: nothing may keep it from starting at night."""
    decision = inject(pod(wishes={"port": "eighty", "prot": "8000"}), CONFIG, "n")
    assert decision.reason is Reason.INJECTED
    assert reasons(decision) == [Reason.BAD_ANNOTATION, Reason.UNKNOWN_ANNOTATION]
    assert settings_of(decision).port == 8000


@pytest.mark.parametrize(
    ("grace", "expected"),
    [
        ({}, Op("add", GRACE, 165)),
        ({"terminationGracePeriodSeconds": 30}, Op("replace", GRACE, 165)),
        ({"terminationGracePeriodSeconds": None}, Op("replace", GRACE, 165)),
        ({"terminationGracePeriodSeconds": 0}, Op("replace", GRACE, 165)),
    ],
)
def test_grace_raised(grace: dict[str, Any], expected: Op) -> None:
    """The grace period is raised to hold propagation, drain timeout and margin."""
    decision = inject(pod(**grace), CONFIG, "n")
    assert op(decision, GRACE) == expected
    assert settings_of(decision).grace_period == 165


@pytest.mark.parametrize("grace", [165, 7200])
def test_grace_kept(grace: int) -> None:
    """A grace period that is long enough stays, and the registrar is told how long it is."""
    decision = inject(pod(terminationGracePeriodSeconds=grace), CONFIG, "n")
    assert GRACE not in [op.path for op in decision.ops]
    assert settings_of(decision).grace_period == grace


def test_grace_of_fractions() -> None:
    """The kubelet counts whole seconds: a fraction is rounded up."""
    assert op(inject(pod(wishes={"drain-timeout": "500ms"}), CONFIG, "n"), GRACE).value == 46


@pytest.mark.parametrize(
    "lifecycle", [{}, {"lifecycle": None}, {"lifecycle": {}}, {"lifecycle": {"preStop": None}}]
)
def test_hook_added(lifecycle: dict[str, Any]) -> None:
    """A server without a preStop hook gets ours, whatever is missing on the way to it."""
    original = pod(containers=[server(**lifecycle)])
    patched = apply(original, inject(original, CONFIG, "n0").ops)
    assert patched["spec"]["containers"][0]["lifecycle"] == {"preStop": container.drain_hook(9469, "n0")}


def test_post_start_stays() -> None:
    """The other half of the server's lifecycle is not touched."""
    start = {"exec": {"command": ["true"]}}
    decision = inject(pod(containers=[server(lifecycle={"postStart": start})]), CONFIG, "n")
    assert op(decision, HOOK).op == "add"


OWN_HOOK = {"exec": {"command": ["sleep", "15"]}}


def test_own_hook_kept() -> None:
    """A user's own hook stays, and the warning says what that costs and what would change it."""
    decision = inject(pod(containers=[server(lifecycle={"preStop": OWN_HOOK})]), CONFIG, "n")
    assert decision.reason is Reason.INJECTED
    assert HOOK not in [op.path for op in decision.ops]
    (problem,) = decision.problems
    assert (problem.reason, problem.path) == (
        Reason.OWN_PRE_STOP_KEPT,
        "spec.containers[0].lifecycle.preStop",
    )
    assert "pre-stop: replace" in problem.message


def test_own_hook_handed_over() -> None:
    """`pre-stop: replace` hands the hook to us, without a warning."""
    handed = pod(containers=[server(lifecycle={"preStop": OWN_HOOK})], wishes={"pre-stop": "replace"})
    decision = inject(handed, CONFIG, "n0")
    assert op(decision, HOOK) == Op("replace", HOOK, container.drain_hook(9469, "n0"))
    assert decision.problems == ()


def test_stale_hook_replaced() -> None:
    """A hook of ours that came with a copied manifest calls nobody any more: it is renewed."""
    stale = pod(containers=[server(lifecycle={"preStop": container.drain_hook(9470, "old")})])
    decision = inject(stale, CONFIG, "n0")
    assert op(decision, HOOK) == Op("replace", HOOK, container.drain_hook(9469, "n0"))
    assert decision.problems == ()


def test_copied_registrar_is_completed() -> None:
    """In a copied manifest that has our container only, what is around it is added for its nonce and port."""
    original = pod()
    ours = added(inject(original, CONFIG, "old"))
    original["spec"]["initContainers"] = [ours]
    decision = inject(original, CONFIG, "new")
    assert decision.reason is Reason.ALREADY_INJECTED
    assert [op.path for op in decision.ops] == [
        "/spec/containers/0/lifecycle",
        GRACE,
        "/metadata/annotations",
    ]
    assert decision.ops[0].value["preStop"] == container.drain_hook(9469, "old")


def test_second_call_without_a_server() -> None:
    """A registrar that is there stays, even where the server can no longer be told."""
    original = pod()
    patched = apply(original, inject(original, CONFIG, "n").ops)
    patched["spec"]["containers"][0] = {"name": "ollama", "image": "ollama/ollama"}
    decision = inject(patched, CONFIG, "n")
    assert (decision.ops, decision.reason) == ((), Reason.ALREADY_INJECTED)
    assert reasons(decision) == [Reason.NO_SERVER]


def test_warnings_come_again() -> None:
    """The second call says the same as the first: the API server shows each warning once."""
    original = pod(containers=[server(lifecycle={"preStop": OWN_HOOK})], wishes={"prot": "1"})
    first = inject(original, CONFIG, "n")
    assert inject(apply(original, first.ops), CONFIG, "n").problems == first.problems


@pytest.mark.parametrize("kind", ["initContainers", "containers"])
def test_foreign_container(kind: str) -> None:
    """A container of our name that is not ours is refused, with its place; a note of ours proves nothing."""
    foreign = {"name": "registrar", "image": "x", "env": [{"name": "REGISTRAR_CONTRACT", "value": "1"}]}
    original = pod(wishes={"injected": "{}"})
    original["spec"].setdefault(kind, []).append(foreign)
    decision = inject(original, CONFIG, "n")
    assert (decision.ops, decision.reason) == ((), Reason.FOREIGN_CONTAINER)
    assert decision.problems[0].path == f"spec.{kind}[{len(original['spec'][kind]) - 1}]"


def test_spoofed_note() -> None:
    """A note that says a registrar is there, where none is, is corrected; it keeps nothing from happening."""
    decision = inject(pod(wishes={"injected": "spoofed"}), CONFIG, "n")
    assert decision.reason is Reason.INJECTED
    note = op(decision, NOTE)
    assert note.op == "replace"
    assert json.loads(note.value) == {
        "contract": contract.CONTRACT_VERSION,
        "image": CONFIG.image,
        "engine": "vllm",
        "container": "vllm",
        "port": 8000,
    }


@pytest.mark.parametrize(
    ("metadata", "path", "kind"),
    [
        ({}, "/metadata/annotations", "add"),
        ({"annotations": None}, "/metadata/annotations", "add"),
        ({"annotations": {}}, NOTE, "add"),
        ({"annotations": {"a": "b"}}, NOTE, "add"),
    ],
)
def test_note(metadata: dict[str, Any], path: str, kind: str) -> None:
    """The note is added beside the annotations that are there, if any are."""
    original = pod()
    original["metadata"].update(metadata)
    assert op(inject(original, CONFIG, "n"), path).op == kind


@pytest.mark.parametrize(
    "ends", [{"spec": {"restartPolicy": "Never"}}, {"spec": {"restartPolicy": "OnFailure"}}, {"owner": "Job"}]
)
def test_pods_that_end(ends: dict[str, Any]) -> None:
    """A pod that ends gets a native sidecar, but no ordinary container: it would never complete."""
    original = pod(wishes={"inject-mode": "container"}, **ends.get("spec", {}))
    if "owner" in ends:
        original["metadata"]["ownerReferences"] = [{"kind": ends["owner"], "name": "j"}]
    decision = inject(original, CONFIG, "n")
    assert (decision.ops, decision.reason) == ((), Reason.JOB_WOULD_NOT_COMPLETE)
    del original["metadata"]["annotations"]
    assert inject(original, CONFIG, "n").reason is Reason.INJECTED


def test_pods_of_other_owners() -> None:
    """A ReplicaSet's pod does not end."""
    original = pod(wishes={"inject-mode": "container"}, restartPolicy="Always")
    original["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "r"}]
    assert inject(original, CONFIG, "n").reason is Reason.INJECTED


def test_windows() -> None:
    """A Windows pod is left alone, with its reason."""
    decision = inject(pod(os={"name": "windows"}), CONFIG, "n")
    assert (decision.ops, decision.reason) == ((), Reason.WINDOWS_POD)
    assert inject(pod(os={"name": "linux"}), CONFIG, "n").reason is Reason.INJECTED


def test_a_static_pod() -> None:
    """The API server's copy of a static pod stays as it is: with a Secret or a token it would be refused."""
    mirror = pod()
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "5f0c"}
    decision = inject(mirror, CONFIG, "n")
    assert (decision.ops, decision.reason) == ((), Reason.STATIC_POD)


def test_no_server() -> None:
    """Where no server is found, detection's own reason is given and nothing is changed."""
    decision = inject(pod(containers=[{"name": "db", "image": "ollama/ollama"}]), CONFIG, "n")
    assert (decision.ops, decision.reason) == ((), Reason.NO_SERVER)
    assert reasons(decision) == [Reason.NO_SERVER]


def ports(*numbers: int) -> dict[str, Any]:
    """Give a container that declares ports."""
    return {
        "name": f"p{numbers[0]}",
        "image": "x",
        "ports": [{"containerPort": number} for number in numbers],
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, 9469),
        ({"initContainers": [ports(9469)]}, 9470),
        ({"containers": [server(), ports(9469, 9471)]}, 9470),
        ({"containers": [server(), ports(*range(9469, 9499))]}, 9499),
        ({"containers": [server(args=["--model=m", "--port=9469"])]}, 9470),
    ],
)
def test_port(spec: dict[str, Any], expected: int) -> None:
    """The first port is taken that no container declares and the server does not listen on."""
    decision = inject(pod(**spec), CONFIG, "n0")
    assert settings_of(decision).listen_port == expected
    assert added(decision)["readinessProbe"]["httpGet"]["port"] == expected
    assert op(decision, "/spec/containers/0/lifecycle").value["preStop"] == container.drain_hook(
        expected, "n0"
    )


def test_no_port_left() -> None:
    """With all of them taken the pod is left alone, with its reason."""
    decision = inject(pod(containers=[server(), ports(*range(9469, 9500))]), CONFIG, "n")
    assert (decision.ops, decision.reason) == ((), Reason.PORT_TAKEN)


def test_host_network() -> None:
    """On the node's network the port comes from the nonce, the same for the same, and skips taken ones."""
    chosen = [settings_of(inject(pod(hostNetwork=True), CONFIG, f"n{i}")).listen_port for i in range(50)]
    assert all(20000 <= port < 30000 for port in chosen)
    assert len(set(chosen)) > 45
    beside = pod(hostNetwork=True, containers=[server(), ports(chosen[0], chosen[0] + 1)])
    assert settings_of(inject(beside, CONFIG, "n0")).listen_port == chosen[0] + 2


def test_host_network_wraps() -> None:
    """After the last port of the range comes its first."""
    nonces = (f"n{i}" for i in itertools.count())
    last = next(
        n for n in nonces if settings_of(inject(pod(hostNetwork=True), CONFIG, n)).listen_port > 29990
    )
    beside = pod(hostNetwork=True, containers=[server(), ports(*range(29000, 30000))])
    assert settings_of(inject(beside, CONFIG, last)).listen_port == 20000


GUARANTEED = {"limits": {"cpu": "4", "memory": "8Gi"}, "requests": {"cpu": "4", "memory": "8Gi"}}
LIMITS = {"cpu": "250m", "memory": "128Mi"}


@pytest.mark.parametrize(
    ("spec", "requests"),
    [
        ({}, {"cpu": "20m", "memory": "64Mi"}),
        ({"containers": [server(resources=GUARANTEED)]}, LIMITS),
        (
            {"containers": [server(resources=GUARANTEED)], "initContainers": [{"name": "i", "image": "x"}]},
            {"cpu": "20m", "memory": "64Mi"},
        ),
    ],
)
def test_resources(spec: dict[str, Any], requests: dict[str, str]) -> None:
    """Requests are small, but in a Guaranteed pod (init containers count) they are the limits."""
    assert added(inject(pod(**spec), CONFIG, "n"))["resources"] == {"requests": requests, "limits": LIMITS}


def test_pod_level_resources() -> None:
    """A pod with resources as a whole shares them with the registrar."""
    assert "resources" not in added(inject(pod(resources={"limits": {"cpu": "4"}}), CONFIG, "n"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cpu_request": "1"}, "cpu_request: found 1, allowed is up to cpu_limit, 250m"),
        ({"memory_limit": "32Mi"}, "memory_request: found 64Mi, allowed is up to memory_limit, 32Mi"),
        ({"cpu_limit": "much"}, "'much' is no quantity"),
    ],
)
def test_impossible_resources(changes: dict[str, str], message: str) -> None:
    """Resources that the API server would refuse in every pod are refused when the webhook starts."""
    with pytest.raises(ValueError, match=message):
        Injection(cluster="c", image="i", **changes)  # type: ignore[arg-type]

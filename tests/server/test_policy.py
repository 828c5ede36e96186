"""What the policy makes of each kind of review: answers, audit annotations, log and metrics; no network."""

import builtins
import copy
import json
import socket
from typing import Any, NoReturn

import pytest

from tests.server.desk import IMAGE, Desk
from tests.server.reviews import dump, pod, review
from tests.server.workloads import PATHS, workload
from webhook import judging
from webhook.app import MUTATE, VALIDATE
from webhook.defaults import Defaults
from webhook.policy.document import parse
from webhook.policy.table import RULES
from webhook.settings import OnError
from webhook.wishes import Wishes

JSON = dict[str, Any]
LABEL = "litellm-registrar.io/server"
SERVER = {LABEL: "vllm"}
CARRIED = {"litellm-registrar.io/carried": "vllm"}
GPUS, IMAGES = "accelerators.maxPerPod", "images.allow"
HEAD = """
apiVersion: policy.litellm-registrar.io/v1
kind: ModelServerPolicy
metadata: {name: test}
"""
BOTH = """
    accelerators: {mode: enforce, maxPerPod: 1}
    images: {mode: enforce, allow: ["docker.io/vllm/*", "docker.io/library/*"]}
"""


def policy(rules: str = BOTH, **spec: Any) -> str:
    """Give a policy file with these rules and further keys of its spec."""
    more = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in spec.items())
    return f"{HEAD}spec:\n{more}  rules:\n{rules}"


def scope(**doors: str) -> str:
    """Give a policy with nothing but doors."""
    return policy(f"    scope: {json.dumps({'mode': 'enforce', **doors})}\n")


def server(gpus: int = 1, image: str = "docker.io/vllm/vllm-openai:v1", **labels: str) -> JSON:
    """Give a pod with so many GPUs and this image; labelled `vllm` unless other labels are given."""
    obj = pod(**labels)
    (container,) = obj["spec"]["containers"]
    container["image"], container["resources"] = image, {"limits": {"nvidia.com/gpu": str(gpus)}}
    return obj


BAD = server(2, "quay.io/evil/vllm-openai:v1")


def changed(obj: JSON, **changes: Any) -> JSON:
    """Give a copy with these values at paths like `spec__hostNetwork` or `metadata__labels`."""
    obj = copy.deepcopy(obj)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = obj
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    return obj


def update(new: JSON, old: JSON, **request: Any) -> JSON:
    """Give the review of an update."""
    return review(new, "UPDATE", oldObject=old, **request)


def rules_of(text: str) -> list[str]:
    """Give the ids that a denial's message names."""
    return [part.split(":")[0] for part in text.split("; ")]


def test_every_violation_is_denied_at_once() -> None:
    """403 with a reason; each violation with its rule, path, what is found and what is wanted."""
    desk = Desk(policy=policy())
    response = desk.ask(VALIDATE, review(BAD))
    status = response["status"]
    assert (response["allowed"], status["code"], status["reason"]) == (False, 403, "policy_violation")
    assert rules_of(status["message"]) == [IMAGES, GPUS]
    assert f"{IMAGES}: spec.containers[0].image: found " in status["message"]
    assert "quay.io/evil/vllm-openai" in status["message"]
    assert desk.line["event"] == "denied"
    assert desk.line["rules"] == f"{IMAGES} {GPUS}"
    assert desk.line["reason"] == "policy_violation"


def test_the_audit_annotations_tell_what_was_decided_and_by_what() -> None:
    """The decision, the policy's hash, each rule with its mode."""
    text = policy(
        "    accelerators: {mode: enforce, maxPerPod: 1}\n    images: {mode: audit, allow: [docker.io/**]}\n"
    )
    response = Desk(policy=text).ask(VALIDATE, review(BAD))
    assert response["auditAnnotations"] == {
        "decision": "denied",
        "policy": parse(text, RULES).hash,
        "violations": f"{IMAGES}=audit {GPUS}=enforce",
    }


@pytest.mark.parametrize(
    ("mode", "allowed", "warns", "event"),
    [
        ("enforce", False, False, "denied"),
        ("warn", True, True, "warned"),
        ("audit", True, False, "allowed"),
        ("off", True, False, "allowed"),
    ],
)
def test_a_rules_mode_decides_what_becomes_of_a_violation(
    mode: str, event: str, *, allowed: bool, warns: bool
) -> None:
    """Denied, warned of, only written down, or not looked at; written down and counted but for off."""
    desk = Desk(policy=policy(f"    accelerators: {{mode: {mode}, maxPerPod: 1}}\n"))
    response = desk.ask(VALIDATE, review(server(2)))
    assert response["allowed"] is allowed
    assert [text.split(":")[0] for text in response.get("warnings", ())] == [GPUS] * warns
    looked = mode != "off"
    assert response["auditAnnotations"].get("violations", "") == f"{GPUS}={mode}" * looked
    assert desk.counted("policy_violations_total", rule=GPUS, mode=mode) == looked
    assert desk.line["event"] == event


@pytest.mark.parametrize(
    ("labels", "judged"),
    [
        (SERVER, True),
        (CARRIED, True),
        (SERVER | {"litellm-registrar.io/inject": "false"}, True),
        ({LABEL: "no such engine"}, True),
        ({"app": "x"}, False),
    ],
)
def test_pods_with_a_label_of_ours_are_judged(labels: dict[str, str], *, judged: bool) -> None:
    """Whatever its value and whether or not a registrar is injected; others are none of ours."""
    response = Desk(policy=policy()).ask(VALIDATE, review(server(2, **labels)))
    assert response["allowed"] is not judged


def test_without_a_policy_nothing_is_judged() -> None:
    """No annotation either."""
    assert set(Desk().ask(VALIDATE, review(BAD))) == {"uid", "allowed"}


@pytest.mark.parametrize(
    "request_",
    [
        {"subResource": "binding"},
        {"operation": "DELETE", "object": None, "oldObject": BAD},
        {"operation": "CONNECT", "subResource": "exec"},
        {"kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "subResource": "scale"},
        {"kind": {"group": "example.com", "version": "v1", "kind": "Deployment"}},
        {
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "subResource": "status",
            "operation": "UPDATE",
            "object": workload("Deployment", BAD),
            "oldObject": workload("Deployment", server(1)),
        },
    ],
)
def test_other_requests_are_allowed(request_: JSON) -> None:
    """Other operations, subresources and kinds; the audit log has the decision all the same."""
    response = Desk(policy=policy()).ask(VALIDATE, review(BAD, **request_))
    assert response["allowed"]
    assert set(response["auditAnnotations"]) == {"decision", "policy"}


@pytest.mark.parametrize(("on_error", "allowed"), [(OnError.BY_PATH, False), (OnError.ALLOW, True)])
def test_the_audit_log_tells_of_pods_that_an_error_kept_from_being_judged(
    on_error: OnError, monkeypatch: pytest.MonkeyPatch, *, allowed: bool
) -> None:
    """Whether they were let in or not, the decision is called failed."""

    def fail(*_: object) -> NoReturn:
        raise RuntimeError

    monkeypatch.setattr(judging, "judge", fail)
    response = Desk(on_error, policy=policy()).ask(VALIDATE, review(BAD))
    assert response["allowed"] is allowed
    assert response["auditAnnotations"] == {"decision": "failed", "policy": parse(policy(), RULES).hash}


def test_the_audit_log_tells_of_reviews_that_cannot_be_read() -> None:
    """They are denied unjudged, and the decision says so."""
    response = Desk(policy=policy()).ask(VALIDATE, review(BAD, subResource=5))
    assert (response["allowed"], response["auditAnnotations"]["decision"]) == (False, "denied")


def test_the_injecting_path_never_judges() -> None:
    """/mutate has no opinion."""
    response = Desk(policy=policy()).ask(MUTATE, review(BAD))
    assert (response["allowed"], "auditAnnotations" in response) == (True, False)


def test_mistakes_and_violations_are_told_together() -> None:
    """A workload with both is denied with both; on a pod the mistakes are warnings beside the denial."""
    typo = {"litellm-registrar.io/prot": "8000"}
    desk = Desk(policy=policy(defaults={"workloads": "deny"}))
    both = workload("Deployment", BAD, labels=SERVER, annotations=typo)
    response = desk.ask(VALIDATE, review(both))
    status = response["status"]
    assert "warnings" not in response
    assert rules_of(status["message"])[:3] == [IMAGES, GPUS, "unknown_annotation"]
    assert desk.line["message"].count("unknown_annotation") == 1
    assert status["reason"] == "policy_violation"
    response = Desk(policy=policy()).ask(VALIDATE, review(changed(BAD, metadata__annotations=typo)))
    assert rules_of(response["status"]["message"]) == [IMAGES, GPUS]
    assert response["warnings"][0].startswith("unknown_annotation: ")


def test_a_denial_is_bounded_and_says_so() -> None:
    """256 characters for each violation, 4096 in all, then how many are cut."""
    obj = server()
    obj["spec"]["containers"] = [{"name": f"c{i}", "image": f"quay.io/{'x' * 300}/{i}"} for i in range(100)]
    message = Desk(policy=policy()).ask(VALIDATE, review(obj))["status"]["message"]
    *violations, cut = message.split("; ")
    assert len(message) <= 4096
    assert max(map(len, violations)) <= 256
    assert "more violations are not shown" in f"{violations[-1]}; {cut}"


@pytest.mark.parametrize(
    ("new", "old", "request_", "denied"),
    [
        (changed(BAD, metadata__finalizers=["x/y"]), BAD, {}, []),
        (changed(BAD, metadata__annotations={"note": "x"}), BAD, {}, []),
        (changed(BAD, spec__activeDeadlineSeconds=5), BAD, {}, []),
        (server(1), BAD, {}, []),
        (server(3), server(2), {}, [GPUS]),
        (server(2), server(1), {"subResource": "resize"}, [GPUS]),
        (server(2), server(1), {"subResource": "status"}, []),
        (server(1, "quay.io/evil/vllm:v1"), server(1), {}, [IMAGES]),
        (server(1, "quay.io/evil/vllm:v1"), changed(server(1), metadata__deletionTimestamp="2026"), {}, []),
        (changed(server(1), metadata__deletionTimestamp="2026"), server(1), {}, []),
    ],
)
def test_an_update_is_denied_for_what_it_brings_in(
    new: JSON, old: JSON, request_: JSON, denied: list[str]
) -> None:
    """On an already bad pod finalizers, metadata and what is not judged pass, and so does what is dying."""
    response = Desk(policy=policy()).ask(VALIDATE, update(new, old, **request_))
    assert rules_of(response.get("status", {"message": ""})["message"]) == (denied or [""])


def test_an_annotation_that_a_rule_asks_for_stays() -> None:
    """Metadata is judged where a rule is about it: taking it away is an update like any other."""
    text = policy("    metadata: {mode: enforce, requireAnnotations: [example.com/owner]}\n")
    old = changed(server(1), metadata__annotations={"example.com/owner": "a"})
    assert not Desk(policy=text).ask(VALIDATE, update(server(1), old))["allowed"]


def test_a_deletion_timestamp_of_ones_own_lets_nothing_pass() -> None:
    """Only the object as it was tells that it is being deleted."""
    new = changed(BAD, metadata__deletionTimestamp="2026-01-01T00:00:00Z")
    assert not Desk(policy=policy()).ask(VALIDATE, update(new, server(1)))["allowed"]
    assert not Desk(policy=policy()).ask(VALIDATE, review(new))["allowed"]


def test_an_ephemeral_container_is_judged() -> None:
    """`kubectl debug` on a running server brings in a container like any other."""
    new = changed(server(1), spec__ephemeralContainers=[{"name": "debugger", "image": "quay.io/evil/shell"}])
    response = Desk(policy=policy()).ask(VALIDATE, update(new, server(1), subResource="ephemeralcontainers"))
    assert f"{IMAGES}: spec.ephemeralContainers[0].image: " in response["status"]["message"]


@pytest.mark.parametrize("kind", PATHS)
def test_a_workload_is_told_what_becomes_of_its_pods(kind: str) -> None:
    """Allowed with the violations of the pod it would make, at their places; denied where the policy says."""
    obj = workload(kind, server(2, "quay.io/evil/vllm:v1"))
    response = Desk(policy=policy()).ask(VALIDATE, review(obj))
    assert response["allowed"]
    first, *rest = response["warnings"]
    assert first == "policy_violation: the pods it makes would be refused for the first 2 of what follows"
    assert rest[0].startswith(f"{IMAGES}: {PATHS[kind]}.containers[0].image: found ")
    assert rest[1].startswith(f"{GPUS}: {PATHS[kind]}")
    assert response["auditAnnotations"]["violations"] == f"{IMAGES}=warn {GPUS}=warn"
    denying = Desk(policy=policy(defaults={"workloads": "deny"}))
    assert rules_of(denying.ask(VALIDATE, review(obj))["status"]["message"]) == [IMAGES, GPUS]


@pytest.mark.parametrize("kind", PATHS)
def test_an_already_bad_workload_can_be_updated(kind: str) -> None:
    """Controllers write to workloads too; what an update brings in counts, what was there does not."""
    desk = Desk(policy=policy(defaults={"workloads": "deny"}))
    old = workload(kind, server(2))
    assert desk.ask(VALIDATE, update(changed(old, spec__replicas=5), old))["allowed"]
    worse = workload(kind, server(2, "quay.io/evil/vllm:v1"))
    desk = Desk(policy=policy(defaults={"workloads": "deny"}))
    assert rules_of(desk.ask(VALIDATE, update(worse, old))["status"]["message"]) == [IMAGES]


@pytest.mark.parametrize(
    ("kind", "judged"), [("Deployment", True), ("StatefulSet", True), ("DaemonSet", True), ("Job", False)]
)
def test_the_label_on_the_workload_counts_where_it_is_carried(kind: str, *, judged: bool) -> None:
    """The pods of a labelled Deployment are ours; a Job's template cannot get the label."""
    obj = workload(kind, server(2, app="qwen"), labels=SERVER)
    response = Desk(policy=policy()).ask(VALIDATE, review(obj))
    assert ("warnings" in response) is judged


@pytest.mark.parametrize(
    ("model", "rule", "place"),
    [
        ({"storageUri": "hf://evil/x"}, "modelSources.allow", "storageUri: found weights hf://evil/x"),
        ({"args": ["--model_id=evil/x"]}, "modelSources.allow", "args[0]: found model hf://evil/x"),
        ({"storage": {"path": "x"}}, "modelSources.unresolvable", "storage: found "),
        ({"storageUri": "hf://Qwen/x", "runtime": "own"}, "", ""),
        ({"runtime": "own"}, "", ""),
    ],
)
def test_what_an_inference_service_loads_is_told_where_it_stands(model: JSON, rule: str, place: str) -> None:
    """And nothing is told of what a ServingRuntime may put there: limits, an image, a model of its own."""
    rules = """
    modelSources: {mode: enforce, allow: ["hf://Qwen/*"]}
    resources: {mode: enforce, requireLimits: [memory]}
    images: {mode: enforce, requireDigest: true}
"""
    model = {"modelFormat": {"name": "huggingface"}, **model}
    obj = {
        "kind": "InferenceService",
        "metadata": {"name": "qwen", "labels": SERVER},
        "spec": {"predictor": {"model": model}},
    }
    warnings = Desk(policy=policy(rules)).ask(VALIDATE, review(obj)).get("warnings", [])
    assert len(warnings) == (2 if rule else 0)
    assert rule == "" or warnings[1].startswith(f"{rule}: spec.predictor.model.{place}")


def test_workers_and_leaders_are_judged_each() -> None:
    """What a leader may not have is new in it though the workers had it before."""
    old = workload("LeaderWorkerSet", server(2))
    old["spec"]["leaderWorkerTemplate"]["leaderTemplate"] = server(1)
    new = copy.deepcopy(old)
    new["spec"]["leaderWorkerTemplate"]["leaderTemplate"] = server(2)
    (_, warning) = Desk(policy=policy()).ask(VALIDATE, update(new, old))["warnings"]
    assert warning.startswith(f"{GPUS}: spec.leaderWorkerTemplate.leaderTemplate.spec")


@pytest.mark.parametrize(
    ("image", "command", "caught"),
    [
        ("docker.io/vllm/vllm-openai:v1", None, True),
        ("docker.io/ollama/ollama", None, True),
        ("docker.io/ollama/ollama", ["ollama", "pull", "x"], True),
        ("registry.example.com/My-vLLM-build:1", None, True),
        ("registry.example.com/tools:1", ["vllm", "serve", "x"], True),
        ("registry.example.com/tools:1", ["sh", "-c", "exec ollama serve"], True),
        ("docker.io/library/nginx", None, False),
        ("registry.example.com/tools:1", ["python", "-m", "http.server"], False),
    ],
)
def test_a_server_without_the_label_is_denied_where_the_policy_asks_for_it(
    image: str, command: list[str] | None, *, caught: bool
) -> None:
    """By its image or by its command; other unlabelled pods are judged by nothing at all."""
    obj = server(9, image, app="x")
    if command:
        obj["spec"]["containers"][0] |= {"command": command, "args": []}
    response = Desk(policy=policy(f"{BOTH}    scope: {{mode: enforce, requireLabel: deny}}")).ask(
        VALIDATE, review(obj)
    )
    assert response["allowed"] is not caught
    if caught:
        assert rules_of(response["status"]["message"]) == ["scope.requireLabel"]
        assert "spec.containers[0].image: found " in response["status"]["message"]


@pytest.mark.parametrize(
    ("labels", "rule"), [({"app": "x"}, "scope.requireLabel"), (None, "scope.maxContainers")]
)
def test_a_pod_of_more_than_1000_containers_is_denied_labelled_or_not(
    labels: dict[str, str] | None, rule: str
) -> None:
    """The 1001st container is looked at by nobody, so no pod that has one passes either door."""
    obj = server(9, **labels) if labels else server(9)
    obj["spec"]["containers"] += [{"name": f"c{index}", "image": "a/b:1"} for index in range(1000)]
    response = Desk(policy=policy(f"{BOTH}    scope: {{mode: enforce, requireLabel: deny}}")).ask(
        VALIDATE, review(obj)
    )
    assert rules_of(response["status"]["message"]) == [rule]


@pytest.mark.parametrize(
    ("door", "new", "old", "denied"),
    [
        ("keepLabel", server(1, app="x"), server(1), True),
        ("keepLabel", server(1, **CARRIED), server(1), False),
        ("keepLabel", server(1, app="x"), server(1, app="y"), False),
        ("keepLabel", workload("Deployment", server(1, app="x")), workload("Deployment", server(1)), True),
        ("imageChange", server(1, "docker.io/vllm/vllm-openai:v2"), server(1), True),
        ("imageChange", server(1, "docker.io/vllm/v2", app="x"), server(1, app="x"), False),
        (
            "imageChange",
            workload("Deployment", server(1, "docker.io/vllm/vllm-openai:v2")),
            workload("Deployment", server(1)),
            False,
        ),
        ("requireLabel", server(1, app="x"), server(1, app="x"), False),
        ("requireLabel", server(1, app="x"), server(1), True),
        ("requireLabel", server(1, app="x"), server(1, "docker.io/library/nginx", app="x"), True),
    ],
)
def test_the_doors_beside_the_label_are_closed_by_option(
    door: str, new: JSON, old: JSON, *, denied: bool
) -> None:
    """Open unless the policy closes them; a workload's image may change: its new pods are judged."""
    opened = Desk(policy=scope()).ask(VALIDATE, update(new, old))
    assert (opened["allowed"], "violations" in opened["auditAnnotations"]) == (True, False)
    response = Desk(policy=scope(**{door: "deny"})).ask(VALIDATE, update(new, old))
    assert response["allowed"] is not denied
    if denied:
        assert rules_of(response["status"]["message"]) == [f"scope.{door}"]


def test_the_registrar_may_be_upgraded_in_place() -> None:
    """The image of our own container is the webhook's affair."""
    registrar = {"name": "registrar", "image": "registry.example.com/registrar:0"}
    old = changed(server(1), spec__initContainers=[registrar])
    new = changed(server(1), spec__initContainers=[{**registrar, "image": IMAGE}])
    assert Desk(policy=scope(imageChange="deny")).ask(VALIDATE, update(new, old))["allowed"]


def test_the_injected_registrar_breaks_no_rule_of_images() -> None:
    """Its image is the webhook's or the namespace's default; one that a pod picks is judged."""
    obj = server(1)
    obj["spec"]["initContainers"] = [{"name": "registrar", "image": "registry.example.com/ours:2"}]
    defaults = Defaults(Wishes(registrar_image="registry.example.com/ours:2"))
    assert Desk(policy=policy(), defaults=defaults).ask(VALIDATE, review(obj))["allowed"]
    assert not Desk(policy=policy()).ask(VALIDATE, review(obj))["allowed"]


EXCEPTION = {
    "id": "EX-12",
    "rules": [GPUS],
    "match": {"namespace": "team-*", "podName": "qwen-*"},
    "reason": "two models",
    "owner": "team-a",
    "expires": "1970-01-02T00:00:00Z",
}


def test_an_exception_lets_pass_until_its_second() -> None:
    """Each use is counted and in the audit annotation; at the second it expires, the pod is denied."""
    desk = Desk(policy=policy(exceptions=[EXCEPTION]))
    assert b'exceptions_used_total{id="EX-12"} 0.0' in desk.metrics.text()
    desk.now = 86399.999
    response = desk.ask(VALIDATE, review(server(2)))
    assert (response["allowed"], "warnings" in response) == (True, False)
    assert response["auditAnnotations"]["exceptions"] == f"EX-12={GPUS}"
    assert "violations" not in response["auditAnnotations"]
    line = desk.line
    assert (line["exceptions"], "rules" in line) == ("EX-12", False)
    assert line["message"] == "What is found is only counted, or let pass by an exception."
    assert desk.counted("policy_exceptions_used_total", id="EX-12") == 1
    assert desk.counted("policy_violations_total", rule=GPUS, mode="enforce") == 0
    desk.now = 86400.0
    assert not desk.ask(VALIDATE, review(server(2)))["allowed"]
    assert desk.counted("policy_exceptions_used_total", id="EX-12") == 1


def test_an_exception_for_pods_holds_for_their_workload() -> None:
    """The pods of Deployment `qwen` are called `qwen-...`."""
    desk = Desk(policy=policy(defaults={"workloads": "deny"}, exceptions=[EXCEPTION]))
    assert desk.ask(VALIDATE, review(workload("Deployment", server(2))))["allowed"]


def test_an_exception_opens_a_door_for_some_pods() -> None:
    """Those of the doors beside the label are rules like others."""
    exception = {**EXCEPTION, "rules": ["scope.imageChange"]}
    text = policy("    scope: {mode: enforce, imageChange: deny}\n", exceptions=[exception])
    new = server(1, "docker.io/vllm/vllm-openai:v2")
    assert Desk(policy=text).ask(VALIDATE, update(new, server(1)))["allowed"]
    other = {"metadata__generateName": "other-"}
    assert not Desk(policy=text).ask(VALIDATE, update(changed(new, **other), changed(server(1), **other)))[
        "allowed"
    ]


def test_what_an_exception_lets_pass_does_not_refuse_the_pods() -> None:
    """A workload is told only of what will."""
    desk = Desk(policy=policy(exceptions=[EXCEPTION]))
    obj = workload("Deployment", server(2, "quay.io/evil/vllm:v1"))
    first, second = desk.ask(VALIDATE, review(obj))["warnings"]
    assert "the first of what follows" in first
    assert second.startswith(f"{IMAGES}: ")


def test_the_namespace_picks_the_rules() -> None:
    """What an entry tightens for some namespaces holds nowhere else."""
    tighter = [{"match": "team-a", "rules": {"accelerators": {"maxPerPod": 0}}}]
    desk = Desk(policy=policy(namespaces=tighter))
    assert not desk.ask(VALIDATE, review(server(1)))["allowed"]
    assert desk.ask(VALIDATE, review(server(1), namespace="team-b"))["allowed"]


def test_another_policy_counts_for_the_next_review() -> None:
    """Series of exceptions that are gone go too, and the hash is that of the new one."""
    desk = Desk(policy=policy(exceptions=[EXCEPTION]))
    desk.ask(VALIDATE, review(server(2)))
    strict = policy()
    desk.hold(strict)
    assert not desk.ask(VALIDATE, review(server(2)))["allowed"]
    assert "EX-12" not in desk.metrics.text().decode()
    assert desk.counted("policy_info", hash=parse(strict, RULES).hash) == 1
    assert desk.metrics.text().count(b"policy_info{") == 1


def test_no_review_opens_a_socket_or_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entries say sideEffects None: judging and injecting read nothing and call nobody."""
    desk = Desk(policy=policy(f"{BOTH}    scope: {{mode: enforce, requireLabel: deny}}"))

    def fail(*_: object, **__: object) -> NoReturn:
        raise AssertionError("something was opened")

    monkeypatch.setattr(socket.socket, "__init__", fail)
    monkeypatch.setattr(builtins, "open", fail)
    monkeypatch.setattr("io.open", fail)
    monkeypatch.setattr("os.open", fail)
    for obj in (BAD, server(1, app="x"), workload("Deployment", BAD)):
        for path in (MUTATE, VALIDATE):
            desk.ask(path, review(obj))
    monkeypatch.undo()
    assert '"failed"' not in desk.stream.getvalue()


def test_the_number_of_series_does_not_grow_with_what_is_asked() -> None:
    """Namespaces, names and images of requests are in no label."""
    desk = Desk(policy=policy(exceptions=[EXCEPTION]))
    for name in ("x-", "qwen-"):
        desk.ask(VALIDATE, review(changed(BAD, metadata__generateName=name)))
    before = len(desk.metrics.text().splitlines())
    for number in range(1000):
        obj = changed(server(2, f"quay.io/x/{number}"), metadata__generateName=f"x{number}-")
        desk.ask(VALIDATE, review(obj, namespace=f"ns-{number}"))
    assert len(desk.metrics.text().splitlines()) == before
    assert desk.counted("reviews_total", path=VALIDATE, decision="denied", reason="policy_violation") == 1002
    assert desk.counted("review_seconds_bucket", path=VALIDATE, le="0.0025") == 1002


def test_the_answer_is_the_bytes_of_a_review() -> None:
    """The same bytes in give the same bytes out: no clock but for exceptions, no order of a set."""
    body = dump(review(BAD))
    answers = {Desk(policy=policy())._admission.answer(VALIDATE, body) for _ in range(3)}
    assert len(answers) == 1

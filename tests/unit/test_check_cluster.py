"""What lives in a cluster, as `check --cluster` tells it: owners, what has ended, what only a pod has."""

import json
from typing import Any

from webhook.check.cluster import COLLECTIONS, Survey
from webhook.check.report import Entry, Format, written
from webhook.check.verdicts import Engine, Outcome
from webhook.inject import Injection, inject
from webhook.patch import apply
from webhook.policy.document import parse
from webhook.policy.policy import Policy
from webhook.policy.table import RULES

JSON = dict[str, Any]
CONFIG = Injection(cluster="t", image="registry.example.com/registrar:1")
TRUST = "code.trustRemoteCode"


def policy(**spec: Any) -> Policy:
    """Give a policy that enforces these rules."""
    text = {
        "apiVersion": "policy.litellm-registrar.io/v1",
        "kind": "ModelServerPolicy",
        "metadata": {"name": "t"},
        "spec": {"defaults": {"mode": "enforce"}, **spec},
    }
    return parse(json.dumps(text), RULES)


POLICY = policy(rules={"code": {"trustRemoteCode": "deny"}, "images": {"allow": ["docker.io/vllm/**"]}})


def survey(*objects: tuple[str, JSON]) -> list[Entry]:
    """Judge these objects, as they would come from the API server."""
    gathered = Survey(Engine(POLICY, CONFIG, now=0.0))
    for collection in COLLECTIONS:
        for kind, obj in objects:
            if kind == collection.kind:
                gathered.add(kind, obj)
    return gathered.entries()


def told(entries: list[Entry]) -> list[tuple[str, str, list[str]]]:
    """Say of each entry which object it is, what becomes of it, and by which rules."""
    return [
        (str(entry.checked), str(entry.checked.outcome), [v.rule for v in entry.checked.violations])
        for entry in entries
    ]


def metadata(name: str, owner: str = "", **more: Any) -> JSON:
    """Give metadata whose uid is the name."""
    owners = [{"uid": owner, "controller": True}] if owner else []
    labels = {"litellm-registrar.io/server": "vllm"}
    return {"name": name, "namespace": "ns", "uid": name, "labels": labels, "ownerReferences": owners} | more


def spec(*args: str, image: str = "vllm/vllm-openai:v0.32.0") -> JSON:
    """Give a vLLM pod's spec with these options."""
    container = {
        "name": "vllm",
        "image": image,
        "args": ["Qwen/Qwen3-8B", *args],
        "ports": [{"containerPort": 8000}],
    }
    return {"containers": [container]}


def pod(name: str, owner: str = "", *args: str, **more: Any) -> tuple[str, JSON]:
    """Give a pod."""
    return "Pod", {"metadata": metadata(name, owner), "spec": spec(*args), **more}


def workload(kind: str, name: str, owner: str = "", *args: str, **more: Any) -> tuple[str, JSON]:
    """Give a workload whose template has these options."""
    template = {"metadata": {"labels": metadata("")["labels"]}, "spec": spec(*args)}
    return kind, {"metadata": metadata(name, owner), "spec": {"template": template, **more}}


def test_a_hundred_replicas_are_told_once() -> None:
    """Of a Deployment with its pods one entry is told, at the Deployment, with how many pods it has."""
    replicas = [pod(f"web-rs-{i}", "web-rs", "--trust-remote-code") for i in range(100)]
    (entry,) = survey(
        workload("apps/Deployment", "web", "", "--trust-remote-code"),
        workload("apps/ReplicaSet", "web-rs", "web", "--trust-remote-code"),
        *replicas,
    )
    assert told([entry]) == [("Deployment ns/web", "pods denied", [TRUST])]
    assert entry.more == {"pods": 100}


def test_of_all_that_lives_the_text_names_what_there_is_to_tell() -> None:
    """The honest are only counted, whatever their number."""
    entries = survey(pod("bad", "", "--trust-remote-code"), *(pod(f"good-{i}") for i in range(50)))
    first, second, last = written(Format.TEXT, entries, POLICY, "model server")
    assert first == "Pod ns/bad: denied"
    assert second.startswith(f"  deny   {TRUST}: ")
    assert last.startswith("51 model servers; denied: 1, allowed: 50 (policy t ")


def test_what_only_a_pod_has_is_told_of_the_pod() -> None:
    """Pods that differ from the template they come from are told with what is theirs, alike ones once."""
    entries = survey(
        workload("apps/StatefulSet", "web"),
        pod("web-0", "web", "--trust-remote-code"),
        pod("web-1", "web", "--trust-remote-code"),
        pod("web-2", "web"),
    )
    assert told(entries) == [
        ("StatefulSet ns/web", "allowed", []),
        ("Pod ns/web-0", "denied", [TRUST]),
    ]
    assert entries[1].more == {"like it": 1}


def test_pods_of_unknown_owners_stand_for_themselves() -> None:
    """A pod whose owner is of a kind that is not read is judged as it lives."""
    assert told(survey(pod("model-0", "some-model", "--trust-remote-code"))) == [
        ("Pod ns/model-0", "denied", [TRUST])
    ]


def test_owners_in_a_circle_end_the_chain() -> None:
    """Owner references are anyone's to write; a circle of them does not hang."""
    entries = survey(
        workload("apps/ReplicaSet", "a", "b", "--trust-remote-code"),
        workload("apps/ReplicaSet", "b", "a", "--trust-remote-code"),
    )
    assert {entry.checked.outcome for entry in entries} == {Outcome.PODS_DENIED}


def test_what_has_ended_is_not_told() -> None:
    """Pods that have ended or are being deleted, finished Jobs and old ReplicaSets are not made anew."""
    bad = "--trust-remote-code"
    going = pod("going", "", bad)
    going[1]["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"
    job = workload("batch/Job", "job", "", bad)
    job[1]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    assert survey(
        going, job, pod("done", "", bad, status={"phase": "Succeeded"}),
        workload("apps/ReplicaSet", "old", "", bad, replicas=0),
    ) == []  # fmt: skip
    assert survey(workload("apps/Deployment", "asleep", "", bad, replicas=0)) != []


def test_the_registrar_of_a_living_pod_is_not_held_against_it() -> None:
    """A pod made anew gets another registrar; one that only has its name is judged as any container."""
    _, server = pod("web")
    patched = apply(server, inject(server, CONFIG, "nonce").ops)
    other = {"name": "registrar", "image": "docker.io/evil/registrar:1"}
    posing = replace_containers(server, [*server["spec"]["containers"], other])
    entries = survey(("Pod", {**patched, "metadata": {**patched["metadata"], "uid": "1"}}), ("Pod", posing))
    assert sorted(entry.checked.outcome for entry in entries) == ["allowed", "denied"]


def replace_containers(obj: JSON, containers: list[JSON]) -> JSON:
    """Give the pod with other containers."""
    return {**obj, "spec": {**obj["spec"], "containers": containers}}


def test_unlabelled_servers_are_told_where_the_webhook_sees_them() -> None:
    """A server without the label is told in namespaces that are closed to it, or if these are not known."""
    door = policy(rules={"scope": {"requireLabel": "deny"}})
    kind, server = pod("web")
    del server["metadata"]["labels"]
    outcomes = []
    for closed in (None, {"ns"}, {"other"}):
        gathered = Survey(Engine(door, CONFIG, now=0.0), closed=closed)
        gathered.add(kind, server)
        outcomes.append([entry.checked.outcome for entry in gathered.entries()])
    assert outcomes == [[Outcome.DENIED], [Outcome.DENIED], []]


def test_a_cluster_is_judged_as_of_a_date() -> None:
    """What an exception lets pass until then is refused from its last second on."""
    exception = {
        "id": "EX-1",
        "rules": [TRUST],
        "match": {"namespace": "ns"},
        "reason": "not in vLLM yet",
        "owner": "research",
        "expires": "2026-12-31T00:00:00Z",
    }
    excepting = policy(rules={"code": {"trustRemoteCode": "deny"}}, exceptions=[exception])
    end = excepting.exceptions[0].expires
    outcomes = []
    for now in (end - 1, end):
        gathered = Survey(Engine(excepting, CONFIG, now))
        gathered.add(*pod("web", "", "--trust-remote-code"))
        outcomes.append(gathered.entries()[0].checked.outcome)
    assert outcomes == [Outcome.ALLOWED, Outcome.DENIED]

"""The label on a workload: what is carried to the template, what is said of it, which mistakes are found."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from sidecar.contract import (
    ANNOTATION_CARRIED_SETTINGS,
    DOMAIN,
    LABEL_CARRIED,
    LABEL_INJECT,
    LABEL_SERVER,
)
from webhook.inject import Decision
from webhook.patch import apply
from webhook.reasons import Reason
from webhook.workload import carry, check

LABEL = {LABEL_SERVER: "vllm"}
POD_LABEL = "/spec/template/metadata/labels/litellm-registrar.io~1carried"
POD_SETTINGS = "/spec/template/metadata/annotations/litellm-registrar.io~1carried-settings"


def workload(
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    *,
    kind: str = "Deployment",
    template: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Give a workload; `template` is its pods' metadata."""
    pods = {
        "metadata": {"labels": {"app": "x"}} if template is None else template,
        "spec": {
            "containers": [{"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model=m"]}]
        },
    }
    return {
        "kind": kind,
        "metadata": {"name": "x", "labels": labels or {}, "annotations": annotations or {}},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": pods, **spec},
    }


def ours(**settings: str) -> dict[str, str]:
    """Give annotations of our domain."""
    return {f"{DOMAIN}/{key.replace('_', '-')}": value for key, value in settings.items()}


def after(obj: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give the workload after its patch."""
    result: dict[str, Any] = apply(obj, carry(obj, old).ops)
    return result


def shown(decision: Decision) -> list[tuple[str, str]]:
    """Give kind and path of each operation."""
    return [(op.op, op.path) for op in decision.ops]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_carried(kind: str) -> None:
    """The label goes to the template as a key of ours; selector and the user's keys stay as they are."""
    obj = workload(LABEL, kind=kind)
    assert shown(carry(obj, None)) == [("add", POD_LABEL)]
    patched = after(obj)
    assert patched["spec"]["template"]["metadata"]["labels"] == {"app": "x", LABEL_CARRIED: "vllm"}
    del patched["spec"]["template"]["metadata"]["labels"][LABEL_CARRIED]
    assert patched == obj
    assert carry(obj, None).reason is Reason.CARRIED


def test_settings_are_carried() -> None:
    """The settings beside the label go along as one annotation; other annotations and our notes do not."""
    annotations = ours(port="8000", drain_timeout="5m", injected="{}") | {"team": "a"}
    template = after(workload(LABEL, annotations))["spec"]["template"]
    assert json.loads(template["metadata"]["annotations"][ANNOTATION_CARRIED_SETTINGS]) == {
        "port": "8000",
        "drain-timeout": "5m",
    }


@pytest.mark.parametrize(
    "template", [{}, {"labels": None, "annotations": None}, {"labels": {}, "annotations": {"a": "b"}}]
)
def test_bare_templates(template: dict[str, Any]) -> None:
    """Maps that are missing or null on the way are added, what is in them stays."""
    patched = after(workload(LABEL, ours(port="1"), template=template))["spec"]["template"]["metadata"]
    assert patched["labels"] == {LABEL_CARRIED: "vllm"}
    carried = {ANNOTATION_CARRIED_SETTINGS: '{"port":"1"}'}
    assert patched["annotations"] == {**(template.get("annotations") or {}), **carried}


def test_template_without_metadata() -> None:
    """Even the template's metadata may be missing; it is added only if something goes there."""
    obj = workload(LABEL, ours(port="1"))
    del obj["spec"]["template"]["metadata"]
    assert after(obj)["spec"]["template"]["metadata"]["labels"] == {LABEL_CARRIED: "vllm"}
    obj["metadata"]["labels"] = {}
    assert carry(obj, None) == Decision()


CARRIED = {
    "labels": {"app": "x", LABEL_CARRIED: "vllm"},
    "annotations": {ANNOTATION_CARRIED_SETTINGS: '{"port":"1"}', "a": "b"},
}


@pytest.mark.parametrize(
    ("labels", "template_labels"),
    [
        ({}, {}),
        (LABEL | {LABEL_INJECT: "false"}, {}),
        (LABEL, {LABEL_SERVER: "ollama"}),
        (LABEL, {LABEL_INJECT: "false"}),
    ],
)
def test_removed(labels: dict[str, str], template_labels: dict[str, str]) -> None:
    """Both keys go with the label, with inject: "false", and where the template has a label of its own."""
    template = copy.deepcopy(CARRIED)
    template["labels"] |= template_labels
    obj = workload(labels, ours(port="1"), template=template)
    assert shown(carry(obj, None)) == [("remove", POD_LABEL), ("remove", POD_SETTINGS)]
    metadata = after(obj)["spec"]["template"]["metadata"]
    assert metadata == {"labels": {"app": "x"} | template_labels, "annotations": {"a": "b"}}


def test_changed() -> None:
    """A changed label or setting replaces what was carried; settings that are gone go there too."""
    obj = workload({LABEL_SERVER: "ollama"}, ours(port="2"), template=CARRIED)
    assert shown(carry(obj, None)) == [("replace", POD_LABEL), ("replace", POD_SETTINGS)]
    assert shown(carry(workload(LABEL, template=CARRIED), None)) == [("remove", POD_SETTINGS)]


@pytest.mark.parametrize("labels", [{}, LABEL, LABEL | {LABEL_INJECT: "false"}])
@pytest.mark.parametrize("annotations", [{}, ours(port="1")])
@pytest.mark.parametrize("template", [None, CARRIED, {}])
def test_second_call(labels: dict[str, str], annotations: dict[str, str], template: Any) -> None:
    """A second call finds nothing left to do."""
    assert carry(after(workload(labels, annotations, template=template)), None).ops == ()


def test_never_while_deleted() -> None:
    """An object that is being deleted is not touched: a change can hold up its deletion."""
    obj = workload(LABEL, ours(prot="1"))
    obj["metadata"]["deletionTimestamp"] = "2026-11-21T06:00:00Z"
    assert carry(obj, workload()) == Decision()
    assert check(obj) == ()


@pytest.mark.parametrize("obj", [{}, {"kind": "Deployment"}, {"kind": "ConfigMap", "spec": {"template": {}}}])
def test_no_template(obj: dict[str, Any]) -> None:
    """What has no pod template is none of ours."""
    assert carry(obj, None) == Decision()
    assert check(obj) == ()


def test_bad_label_is_not_carried() -> None:
    """A value that is none is not carried, and neither does it take away what is there."""
    decision = carry(workload({LABEL_SERVER: "vlm"}, template=CARRIED), None)
    assert (decision.ops, decision.reason) == ((), Reason.BAD_LABEL)
    assert decision.problems[0].path == f"metadata.labels[{LABEL_SERVER}]"


def warning(obj: dict[str, Any], old: dict[str, Any] | None) -> str:
    """Give the one warning of an update, or nothing."""
    return "\n".join(map(str, carry(obj, old).problems))


ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}


@pytest.mark.parametrize(
    ("kind", "spec", "reason", "words"),
    [
        ("Deployment", {}, "pods_replaced", "are replaced to get the registrar"),
        ("Deployment", {"strategy": ROLLING, "replicas": 4}, "pods_replaced", ""),
        ("Deployment", {"strategy": {"type": "Recreate"}}, "pods_interrupted", "Recreate"),
        ("Deployment", {"strategy": {"rollingUpdate": {"maxSurge": 0}}}, "pods_interrupted", "maxSurge 0"),
        ("Deployment", {"strategy": {"rollingUpdate": {"maxSurge": "0%"}}}, "pods_interrupted", "maxSurge 0"),
        ("Deployment", {"strategy": {"rollingUpdate": {"maxSurge": 1}}}, "pods_replaced", ""),
        ("Deployment", {"strategy": {"rollingUpdate": {"maxSurge": "x"}}}, "pods_replaced", ""),
        (
            "Deployment",
            {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}},
            "pods_interrupted",
            "all at once",
        ),
        (
            "Deployment",
            {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "100%"}}, "replicas": 3},
            "pods_interrupted",
            "all at once",
        ),
        ("Deployment", {"paused": True}, "pods_replaced", "once its rollout is resumed"),
        ("StatefulSet", {}, "pods_interrupted", "each stopped before its replacement starts"),
        ("StatefulSet", {"updateStrategy": {"type": "RollingUpdate"}}, "pods_interrupted", "each stopped"),
        ("StatefulSet", {"updateStrategy": {"type": "OnDelete"}}, "pods_replaced", "deleted by hand"),
        ("DaemonSet", {}, "pods_interrupted", "maxSurge 0"),
        ("DaemonSet", {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}, "pods_replaced", ""),
        ("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, "pods_replaced", "deleted by hand"),
    ],
)
def test_warning(kind: str, spec: dict[str, Any], reason: str, words: str) -> None:
    """An update that changes what is carried says that pods are replaced, and if that interrupts serving."""
    text = warning(workload(LABEL, kind=kind, **spec), workload(kind=kind, **spec))
    assert text.startswith(f"{reason}: ")
    assert words in text
    assert len(text) <= 256, "kubectl shows 256 characters of a warning"


def test_warning_says_what_for() -> None:
    """Pods are replaced to get the registrar, for changed settings, and to lose it."""
    bare, labelled = workload(), after(workload(LABEL))
    changed = workload(LABEL, ours(port="1"), template=labelled["spec"]["template"]["metadata"])
    gone = workload(template=labelled["spec"]["template"]["metadata"])
    assert warning(workload(LABEL), bare).endswith("to get the registrar")
    assert warning(changed, labelled).endswith("for the changed settings")
    assert warning(gone, labelled).endswith("to run without the registrar")


def test_moving_the_label() -> None:
    """Moving the label from the workload to its template replaces the pods, but they keep a registrar."""
    moved = workload(template={"labels": {"app": "x", LABEL_CARRIED: "vllm", **LABEL}})
    assert shown(carry(moved, after(workload(LABEL)))) == [("remove", POD_LABEL)]
    assert warning(moved, after(workload(LABEL))).endswith("for the changed settings")


@pytest.mark.parametrize(
    ("obj", "old"),
    [
        (workload(LABEL), None),
        (workload(LABEL, replicas=0), workload(replicas=0)),
        (workload(LABEL), after(workload(LABEL))),
        (after(workload(LABEL)), after(workload(LABEL))),
        (workload(), workload()),
        (
            workload({**LABEL, "x": "y"}, {"a": "b"}, template=CARRIED | {"annotations": {}}),
            after(workload(LABEL)),
        ),
    ],
)
def test_no_warning(obj: dict[str, Any], old: dict[str, Any] | None) -> None:
    """Nothing is said where nothing changes, where no pods run, or of a workload that is new.

    `kubectl replace` with a manifest that lacks our keys changes nothing either: they are put back.
    """
    assert warning(obj, old) == ""


def found(obj: dict[str, Any]) -> list[tuple[str, str]]:
    """Give reason and path of every mistake."""
    return [(problem.reason, problem.path) for problem in check(obj)]


@pytest.mark.parametrize(
    "obj",
    [
        workload(),
        workload(LABEL),
        workload(LABEL, ours(port="8000")),
        workload(template={"labels": LABEL}),
        workload(annotations=ours(prot="no label, none of ours")),
        workload(LABEL | {LABEL_INJECT: "false"}, ours(prot="1")),
        workload(LABEL, ours(prot="1"), template={"labels": {LABEL_INJECT: "false"}}),
    ],
)
def test_nothing_to_find(obj: dict[str, Any]) -> None:
    """A workload without mistakes has none, and one that asks for nothing is not judged."""
    assert check(obj) == ()


def test_every_mistake_at_once() -> None:
    """Label and annotations, on the workload and on its template, are all judged, each with its place."""
    obj = workload(
        {LABEL_SERVER: "vlm"}, ours(prot="1"), template={"labels": {}, "annotations": ours(port="eighty")}
    )
    assert found(obj) == [
        ("bad_label", f"metadata.labels[{LABEL_SERVER}]"),
        ("unknown_annotation", f"metadata.annotations[{DOMAIN}/prot]"),
        ("bad_annotation", f"spec.template.metadata.annotations[{DOMAIN}/port]"),
    ]


def test_label_of_the_template() -> None:
    """The template's own label is the one that is judged."""
    obj = workload(LABEL, template={"labels": {LABEL_SERVER: "vlm"}})
    assert found(obj) == [("bad_label", f"spec.template.metadata.labels[{LABEL_SERVER}]")]


def test_carried_mistakes_are_told_once() -> None:
    """After the mutating call the settings stand on the template too; that is no second mistake."""
    obj = workload(LABEL, ours(prot="1"))
    assert found(after(obj)) == found(obj) == [("unknown_annotation", f"metadata.annotations[{DOMAIN}/prot]")]


def test_detection_problems() -> None:
    """What would keep the pods from getting a registrar is said of the workload, by the template's path."""
    obj = workload({LABEL_SERVER: "ollama"})
    assert [reason for reason, _ in found(obj)] == ["no_server"]
    assert check(obj)[0].path.startswith("spec.template.spec.containers")


def test_wishes_count_for_detection() -> None:
    """Settings of the workload and of its template settle what detection could not know."""
    args = {"args": ["--model=m", "--ssl-keyfile=/k", "--ssl-certfile=/c"]}
    for place in ("workload", "template"):
        host = ours(host="h.example.com")
        obj = workload(
            LABEL,
            host if place == "workload" else None,
            template={"labels": {}, "annotations": host} if place == "template" else None,
        )
        obj["spec"]["template"]["spec"]["containers"][0] |= args
        assert found(obj) == []
        obj["metadata"]["annotations"] = obj["spec"]["template"]["metadata"]["annotations"] = {}
        assert [reason for reason, _ in found(obj)] == ["tls_needs_host"]


def test_carried_settings_of_a_label_of_its_own() -> None:
    """Settings beside the workload's label do not count where the template has a label of its own."""
    obj = workload(None, ours(host="h.example.com", scheme="https"), template={"labels": LABEL})
    assert found(obj) == []
    obj["spec"]["template"]["metadata"]["annotations"] = ours(scheme="https")
    assert [reason for reason, _ in found(obj)] == ["tls_needs_host"]


def test_several_obstacles() -> None:
    """A foreign container and a server that is not found are both said."""
    obj = workload({LABEL_SERVER: "ollama"})
    obj["spec"]["template"]["spec"]["containers"].append({"name": "registrar", "image": "x"})
    assert [reason for reason, _ in found(obj)] == ["foreign_container", "no_server"]
    assert check(obj)[0].path == "spec.template.spec.containers[1]"


def test_own_hook_is_no_mistake() -> None:
    """A preStop hook of the user's own is his right: a warning at the pod, no mistake of the workload."""
    obj = workload(LABEL)
    obj["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    assert check(obj) == ()


def test_workers_of_a_leader_worker_set() -> None:
    """The set's StatefulSet of workers has the leader's labels and no server: that is no mistake."""
    labels = LABEL | {"leaderworkerset.sigs.k8s.io/name": "set"}
    assert check(workload(kind="StatefulSet", template={"labels": labels})) == ()

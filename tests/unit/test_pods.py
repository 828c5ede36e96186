"""Views over raw pods and workloads: what asks for a registrar, where templates stand, hostile shapes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contract import (
    ANNOTATION_CARRIED_SETTINGS,
    DOMAIN,
    LABEL_CARRIED,
    LABEL_INJECT,
    LABEL_SERVER,
    Engine,
)
from webhook.pods import Opted, Template, annotations_of, labels_of, opted, opted_out, template
from webhook.reasons import Problem, Reason
from webhook.wishes import Wishes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def pod(labels: Any = None, annotations: Any = None) -> dict[str, Any]:
    """Make a pod with this metadata."""
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": {}}


@pytest.mark.parametrize("engine", Engine)
def test_the_label_names_the_engine(engine: Engine) -> None:
    """Each engine is a value of the label."""
    assert opted(pod({LABEL_SERVER: engine.value})) == Opted(engine, Wishes(), ())


def test_a_carried_label_counts_where_the_pod_has_none_of_its_own() -> None:
    """The pod's own label wins over the one carried from its workload."""
    assert opted(pod({LABEL_CARRIED: "ollama"})) == Opted(Engine.OLLAMA, Wishes(), ())
    assert opted(pod({LABEL_CARRIED: "ollama", LABEL_SERVER: "vllm"})) == Opted(Engine.VLLM, Wishes(), ())


def test_carried_settings_count_with_the_pods_own() -> None:
    """Annotations of the pod come with what was carried."""
    wish = opted(
        pod({LABEL_CARRIED: "auto"}, {ANNOTATION_CARRIED_SETTINGS: '{"port":"9"}', f"{DOMAIN}/path": "/a"})
    )
    assert wish == Opted(Engine.AUTO, Wishes(port=9, path="/a"), ())


@pytest.mark.parametrize("labels", [None, {}, {"app": "x"}, {LABEL_INJECT: "true"}])
def test_a_pod_without_the_label_is_none_of_ours(labels: Any) -> None:
    """No label, no opinion, not even about its annotations."""
    assert opted(pod(labels, {f"{DOMAIN}/nope": "x"})) is None


@pytest.mark.parametrize("value", ["false", "False"])
def test_opting_out_wins(value: str) -> None:
    """`inject: "false"` wins over both labels."""
    found = pod({LABEL_SERVER: "vllm", LABEL_CARRIED: "vllm", LABEL_INJECT: value})
    assert opted_out(found)
    assert opted(found) is None


@pytest.mark.parametrize("value", ["true", "", "no", None, False, 0, {}])
def test_only_false_opts_out(value: Any) -> None:
    """Other values of `inject` change nothing."""
    assert opted(pod({LABEL_SERVER: "vllm", LABEL_INJECT: value})) == Opted(Engine.VLLM, Wishes(), ())


@pytest.mark.parametrize("value", ["vlm", "VLLM", "", None, 1, True, [], {"vllm": 1}])
def test_a_bad_label_is_a_problem_with_the_values_allowed(value: Any) -> None:
    """A value that is no engine leaves the engine open and says what may stand there."""
    wish = opted(pod({LABEL_SERVER: value}, {f"{DOMAIN}/prot": "1"}))
    assert wish is not None
    assert (wish.engine, [problem.reason for problem in wish.problems]) == (
        None,
        [Reason.BAD_LABEL, Reason.UNKNOWN_ANNOTATION],
    )
    label = wish.problems[0]
    assert label.path == f"metadata.labels[{LABEL_SERVER}]"
    assert "allowed are vllm, ollama, openai, auto" in label.message


def test_problems_of_a_template_have_its_path() -> None:
    """A template's fields are named from the workload's root."""
    wish = opted(pod({LABEL_SERVER: "x"}, {f"{DOMAIN}/prot": "1"}), "spec.template")
    assert wish is not None
    assert [problem.path for problem in wish.problems] == [
        f"spec.template.metadata.labels[{LABEL_SERVER}]",
        f"spec.template.metadata.annotations[{DOMAIN}/prot]",
    ]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", "spec.template"),
        ("StatefulSet", "spec.template"),
        ("DaemonSet", "spec.template"),
        ("ReplicaSet", "spec.template"),
        ("Job", "spec.template"),
        ("CronJob", "spec.jobTemplate.spec.template"),
        ("LeaderWorkerSet", "spec.leaderWorkerTemplate.leaderTemplate"),
        ("LeaderWorkerSet", "spec.leaderWorkerTemplate.workerTemplate"),
    ],
)
def test_a_workloads_template_is_found_by_kind(kind: str, path: str) -> None:
    """Each kind keeps its template in its own place; a LeaderWorkerSet's leader may be one of its workers."""
    wanted = pod({"a": "b"})
    obj: Any = wanted
    for key in reversed(path.split(".")):
        obj = {key: obj}
    assert template({"kind": kind, **obj}) == Template(wanted, path)


def test_the_leaders_own_template_is_preferred() -> None:
    """With both templates, the leader's is the one that serves."""
    both = {"leaderTemplate": pod({"l": ""}), "workerTemplate": pod({"w": ""})}
    found = template({"kind": "LeaderWorkerSet", "spec": {"leaderWorkerTemplate": both}})
    assert found is not None
    assert "l" in labels_of(found.pod)


@pytest.mark.parametrize("kind", ["Pod", "Service", "", None, 3, [], {}])
def test_other_kinds_have_no_template(kind: Any) -> None:
    """A kind without a template gives none, whatever its spec looks like."""
    assert template({"kind": kind, "spec": {"template": {}}}) is None


@pytest.mark.parametrize(("reason", "path"), [(Reason.NO_SERVER, "spec"), (Reason.INTERNAL_ERROR, "")])
def test_a_problem_reads_reason_path_message(reason: Reason, path: str) -> None:
    """The reason is the first word; an empty path leaves no gap."""
    expected = f"{reason}: {path}: m" if path else f"{reason}: m"
    assert str(Problem(reason, "m", path)) == expected


@given(JSON, JSON, JSON)
def test_no_shape_of_metadata_raises(metadata: Any, labels: Any, value: Any) -> None:
    """Whatever stands where a pod's metadata should be, it is read or counts as absent."""
    for obj in (
        {"metadata": metadata},
        {"metadata": {"labels": labels, "annotations": labels}},
        {"metadata": {"labels": {LABEL_SERVER: value, LABEL_INJECT: labels}, "annotations": {DOMAIN: value}}},
        {"kind": value, "spec": metadata},
    ):
        opted(obj)
        template({"kind": "CronJob", **obj})
        template(obj)
        assert isinstance(annotations_of(obj), dict)

"""What is said of pods that live: which were missed, whose registrar has not started, each thing once."""

from typing import Any

import pytest

from sidecar.contract import CONTRACT_VERSION, ENV_CONTRACT, LABEL_CARRIED, LABEL_INJECT, LABEL_SERVER
from webhook.access import Broker
from webhook.inject import Decision, Injection, inject
from webhook.living.figures import Kind, PodFigures
from webhook.living.pods import PATIENCE, Living, LivingPod, Registrar, Trouble, living
from webhook.patch import apply
from webhook.reasons import Problem, Reason

JSON = dict[str, Any]
CONFIG = Injection(cluster="c", image="registry.example.com/registrar:1")
IMAGE_AWAY = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
RUNS = {"running": {"startedAt": "2026-11-21T10:00:00Z"}}
NEW = Registrar(str(CONTRACT_VERSION), CONFIG.image)
CRASHED = {"terminated": {"exitCode": 2, "reason": "Error"}}


def image(_: str) -> str:
    """Give the image that registrars get now."""
    return CONFIG.image


def decide(pod: Any, namespace: str) -> Decision:
    """Decide as the injector does."""
    return inject(pod, CONFIG, "0", namespace)


def made(labels: JSON | None = None, args: tuple[str, ...] = (), **status: Any) -> JSON:
    """Give a vLLM pod without a registrar."""
    server = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["Qwen/Qwen3-0.6B", *args]}
    labels = {LABEL_SERVER: "vllm"} if labels is None else labels
    metadata = {"name": "qwen", "namespace": "shop", "uid": "u1", "labels": labels}
    return {"metadata": metadata, "spec": {"containers": [server]}, "status": status}


def injected(state: JSON, *, native: bool = True, **more: Any) -> JSON:
    """Give the pod with a registrar in this state."""
    pod: JSON = made()
    if not native:
        pod["metadata"]["annotations"] = {"litellm-registrar.io/inject-mode": "container"}
    pod = apply(pod, decide(pod, "shop").ops)
    statuses = [{"name": "other", "state": RUNS}, {"name": "registrar", "state": state, **more}]
    return {**pod, "status": {"initContainerStatuses" if native else "containerStatuses": statuses}}


def seen(pod: JSON) -> LivingPod:
    """Read a pod of which something is kept."""
    found = living(pod, decide)
    assert found is not None
    return found


@pytest.mark.parametrize("label", [LABEL_SERVER, LABEL_CARRIED])
def test_a_labelled_pod_without_a_registrar_that_would_get_one_now_was_missed(label: str) -> None:
    """Labelled itself or by its workload: what has happened is that nobody was asked."""
    found = seen(made({label: "vllm"}))
    assert found.without is not None
    assert found.without.reason is Reason.MISSED
    assert "kubectl rollout restart" in found.without.message
    assert found.about == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "qwen",
        "uid": "u1",
    }


def test_while_the_brokers_certificates_are_unknown_such_a_pod_was_missed_too() -> None:
    """Why no registrar could be made at this moment is not why this pod has none."""
    broker = Injection(cluster="c", image="i", broker=Broker("https://broker.example.com", ca=None))
    found = living(made(), lambda pod, namespace: inject(pod, broker, "0", namespace))
    assert found is not None
    assert found.without is not None
    assert found.without.reason is Reason.MISSED


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (made({LABEL_SERVER: "vlm"}), Reason.BAD_LABEL),
        (made(args=("--host", "127.0.0.1")), Reason.LOOPBACK_ONLY),
    ],
)
def test_a_pod_that_cannot_have_a_registrar_says_why(pod: JSON, reason: Reason) -> None:
    """It is not called missed: made anew it would have none either."""
    found = seen(pod)
    assert found.without is not None
    assert found.without.reason is reason


@pytest.mark.parametrize(
    "pod",
    [
        made({LABEL_SERVER: "vllm", LABEL_INJECT: "false"}),
        made({}),
        made(phase="Succeeded"),
        made(phase="Failed"),
        {**made(), "metadata": {**made()["metadata"], "deletionTimestamp": "2026-11-21T10:00:00Z"}},
        {**injected(IMAGE_AWAY), "metadata": {"deletionTimestamp": "2026-11-21T10:00:00Z"}},
    ],
    ids=["opted out", "unlabelled", "succeeded", "failed", "being deleted", "injected, being deleted"],
)
def test_of_pods_that_ask_for_nothing_or_have_ended_nothing_is_kept(pod: JSON) -> None:
    """They need no registrar, or no longer."""
    assert living(pod, decide) is None


@pytest.mark.parametrize("native", [True, False])
def test_a_registrar_whose_image_cannot_be_pulled_is_in_trouble(native: bool) -> None:  # noqa: FBT001 - a case
    """The kubelet's own words, whichever list of containers it stands in."""
    found = seen(injected(IMAGE_AWAY, native=native))
    assert found.without is None
    assert found.trouble == Trouble("ImagePullBackOff", "Back-off pulling image")


@pytest.mark.parametrize(
    "status",
    [
        {"state": CRASHED},
        {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "it ended with 2, Error"}}},
        {"state": RUNS, "lastState": CRASHED, "ready": False},
    ],
    ids=["has ended", "waits", "runs again"],
)
def test_a_registrar_that_crashes_is_in_trouble_until_it_is_ready(status: JSON) -> None:
    """Between two crashes it runs: that alone is no end of the trouble."""
    assert seen(injected(**status)).trouble == Trouble("CrashLoopBackOff", "it ended with 2, Error")


@pytest.mark.parametrize(
    "status",
    [
        {"state": {}},
        {"state": {"waiting": {"reason": "PodInitializing"}}},
        {"state": {"waiting": {"reason": "ContainerCreating"}}},
        {"state": RUNS, "ready": False},
        {"state": RUNS, "lastState": CRASHED, "ready": True},
    ],
    ids=["unknown", "waits for its turn", "is created", "first run", "has come back"],
)
def test_a_registrar_that_waits_for_its_turn_or_runs_is_in_no_trouble(status: JSON) -> None:
    """An init container may load a model for an hour before it; a LiteLLM that is away is no crash."""
    assert seen(injected(**status)).trouble is None


def test_before_the_kubelet_has_said_anything_there_is_no_trouble() -> None:
    """A pod that waits for a node."""
    assert seen({**injected({}), "status": {"phase": "Pending"}}).trouble is None


def pods(*, missed: int = 0, troubled: int = 0, fine: int = 0) -> list[LivingPod]:
    """Give so many pods."""
    without = Problem(Reason.MISSED, "none")
    return [
        *(LivingPod("shop", f"m{n}", f"m{n}", without=without) for n in range(missed)),
        *(LivingPod("shop", f"t{n}", f"t{n}", NEW, trouble=Trouble("ErrImagePull")) for n in range(troubled)),
        *(LivingPod("shop", f"f{n}", f"f{n}", NEW) for n in range(fine)),
    ]


def test_pods_are_counted_by_what_they_are() -> None:
    """Those with a registrar, of these those whose does not start, and those without, by why."""
    state = Living(image)
    found = pods(missed=2, troubled=1, fine=3)
    state.look(found, 0.0, 99)
    figures, _ = state.look(found, PATIENCE, 99)
    newest = Kind(str(CONTRACT_VERSION), current=True)
    assert figures == PodFigures({newest: 4}, not_started=1, missed={Reason.MISSED: 2})


def test_registrars_are_counted_by_contract_and_by_whether_their_image_is_the_current_one() -> None:
    """Which image that is may differ from namespace to namespace, and is asked for when it is counted."""
    old = Registrar("2", "registry.example.com/registrar:0")
    found = [
        LivingPod("shop", "a", "a", NEW),
        LivingPod("elsewhere", "b", "b", NEW),
        LivingPod("elsewhere", "c", "c", old),
        LivingPod("shop", "d", "d", old),
    ]
    figures, _ = Living(lambda namespace: NEW.image if namespace == "shop" else old.image).look(found, 0.0, 9)
    newest = NEW.contract
    assert figures.registrars == {
        Kind(newest, current=True): 1,
        Kind(newest, current=False): 1,
        Kind("2", current=True): 1,
        Kind("2", current=False): 1,
    }
    assert figures.injected == 4


@pytest.mark.parametrize("said", ["0", "03", "4711", "", "a"])
def test_of_a_contract_that_never_was_nothing_is_repeated(said: str) -> None:
    """Whoever writes a pod chooses this text: it must not become the label of a metric."""
    pod = injected(RUNS)
    (registrar,) = pod["spec"]["initContainers"]
    for variable in registrar["env"]:
        if variable["name"] == ENV_CONTRACT:
            variable["value"] = said
    assert seen(pod).registrar == Registrar("other", CONFIG.image)


def test_a_registrar_is_known_by_contract_and_image() -> None:
    """As it was injected."""
    assert seen(injected(RUNS)).registrar == NEW


def test_a_registrar_in_trouble_is_said_when_it_has_been_for_a_while() -> None:
    """A pull that fails once, or a crash, is not worth an alarm; the time begins anew with each trouble."""
    state = Living(image)
    troubled, well = pods(troubled=1), [LivingPod("shop", "t0", "t0")]
    for now, found, expected in [
        (0.0, troubled, 0),
        (PATIENCE - 1, troubled, 0),
        (PATIENCE, well, 0),
        (PATIENCE + 1, troubled, 0),
        (2 * PATIENCE, troubled, 0),
        (2 * PATIENCE + 1, troubled, 1),
    ]:
        figures, said = state.look(found, now, 99)
        assert (figures.not_started, len(said)) == (expected, expected)
    assert said[0].problem.reason is Reason.REGISTRAR_NOT_STARTED
    assert "ErrImagePull" in said[0].problem.message


def test_each_thing_is_said_once() -> None:
    """As long as it is so; of a pod's successor it is said again."""
    state = Living(image)
    assert len(state.look(pods(missed=2), 0.0, 99)[1]) == 2
    assert state.look(pods(missed=2), 1.0, 99)[1] == []
    assert [said.about["name"] for said in state.look(pods(missed=3), 2.0, 99)[1]] == ["m2"]
    state.look(pods(missed=1), 3.0, 99)
    assert [said.about["name"] for said in state.look(pods(missed=2), 4.0, 99)[1]] == ["m1"]


def test_a_pod_whose_registrar_stops_for_another_reason_is_said_of_again() -> None:
    """What is remembered is the reason too."""
    state = Living(image)
    state.look([LivingPod("shop", "p", "p", without=Problem(Reason.MISSED, "none"))], 0.0, 99)
    other = LivingPod("shop", "p", "p", without=Problem(Reason.BAD_LABEL, "bad"))
    assert [said.problem.reason for said in state.look([other], 1.0, 99)[1]] == [Reason.BAD_LABEL]


def test_however_many_there_are_all_are_said_in_time() -> None:
    """No more at a time than can be written, and the rest with the looks that follow."""
    state = Living(image)
    said = [state.look(pods(missed=10), float(now), 4)[1] for now in range(4)]
    assert [len(some) for some in said] == [4, 4, 2, 0]
    assert len({one.about["uid"] for some in said for one in some}) == 10

"""What each kind of review is answered, and what the log says of it; without the network."""

import json
import socket
import subprocess
import sys
from typing import Any, NoReturn

import pytest

from sidecar.contract import LogFormat
from tests.server.desk import Desk
from tests.server.reviews import UID, deployment, patched, pod, review
from webhook import handlers
from webhook.app import MUTATE, SELF_TEST, VALIDATE
from webhook.settings import OnError

SERVER = {"litellm-registrar.io/server": "vllm"}
CARRIED = {"litellm-registrar.io/carried": "vllm"}
TYPO = {"litellm-registrar.io/prot": "8000", "litellm-registrar.io/scheme": "gopher"}


@pytest.fixture
def desk() -> Desk:
    """Give a desk with the defaults."""
    return Desk()


def test_the_line_of_an_injection(desk: Desk) -> None:
    """Time, decision, sentence, and whom it is about: a controller's pod goes by its generateName."""
    desk.ask(MUTATE, review(pod()))
    assert desk.line == {
        "time": "2026-11-21T06:00:00.123Z",
        "event": "injected",
        "message": "The pod gets its registrar.",
        "path": "/mutate",
        "namespace": "team-a",
        "kind": "Pod",
        "generateName": "qwen-6d4cf56db6-",
        "operation": "CREATE",
        "reason": "injected",
        "ms": 1.0,
    }


def test_the_line_as_text() -> None:
    """Time, word, sentence, then key=value; a value with a space in it is quoted."""
    desk = Desk(style=LogFormat.TEXT)
    desk.ask(MUTATE, review(pod(app="x"), name="a b"))
    assert desk.stream.getvalue() == (
        "2026-11-21T06:00:00.123Z ALLOWED  Nothing is to be changed. path=/mutate namespace=team-a kind=Pod "
        'name="a b" operation=CREATE ms=1.0\n'
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_the_self_test_refuses_whatever_is_asked(desk: Desk, labelled: bool) -> None:  # noqa: FBT001 - a row
    """Who gets this very refusal from the API server knows that it reaches the webhook (`webhook.gate`)."""
    response = desk.ask(SELF_TEST, review(pod() if labelled else {"metadata": {}}))
    assert response["allowed"] is False
    assert response["status"]["message"] == "self_test: the API server reaches this webhook"
    assert (desk.line["event"], desk.line["reason"]) == ("denied", "self_test")


def test_a_pod_is_injected_once(desk: Desk) -> None:
    """The second call for the same pod has no patch."""
    first = desk.ask(MUTATE, review(pod()))
    again = desk.ask(MUTATE, review(patched(pod(), first)))
    assert again == {"uid": UID, "allowed": True}


def test_a_pod_that_cannot_be_injected_is_allowed_with_its_reason(desk: Desk) -> None:
    """Mutate never denies: no patch, and a warning whose first word is the reason, which the log has too."""
    obj = pod(**{"litellm-registrar.io/server": "lamma"})
    response = desk.ask(MUTATE, review(obj))
    assert (response["allowed"], "patch" in response) == (True, False)
    assert response["warnings"][0].startswith("bad_label: metadata.labels[litellm-registrar.io/server]: ")
    assert (desk.line["event"], desk.line["reason"]) == ("warned", "bad_label")


def test_mistakes_on_a_pod_are_warned_of_and_the_pod_is_injected(desk: Desk) -> None:
    """A pod must not fail to be rescheduled for a typo; every mistake is a warning."""
    obj = pod()
    obj["metadata"]["annotations"] = TYPO
    response = desk.ask(MUTATE, review(obj))
    assert "patch" in response
    assert {text.split(":")[0] for text in response["warnings"]} == {"unknown_annotation", "bad_annotation"}
    assert "unknown_annotation: metadata.annotations[" in desk.line["message"]


@pytest.mark.parametrize(
    "labels", [SERVER, CARRIED, SERVER | {"litellm-registrar.io/inject": "false"}, {"app": "x"}]
)
def test_validate_never_denies_a_new_pod(desk: Desk, labels: dict[str, str]) -> None:
    """Mistakes on pods are warnings there too."""
    obj = pod(**labels)
    obj["metadata"]["annotations"] = TYPO
    response = desk.ask(VALIDATE, review(obj))
    assert response["allowed"] is True
    assert ("warnings" in response) is (labels in (SERVER, CARRIED))


def test_a_label_on_a_running_pod_is_refused(desk: Desk) -> None:
    """An UPDATE that brings the label: 403 that says to label the workload."""
    response = desk.ask(VALIDATE, review(pod(), "UPDATE", oldObject=pod(app="qwen"), name="qwen-x"))
    status = response["status"]
    assert (response["allowed"], status["code"], status["reason"]) == (False, 403, "label_running_pod")
    assert "label the workload" in status["message"]
    line = desk.line
    assert (line["event"], line["name"], line["message"]) == ("denied", "qwen-x", status["message"] + ".")


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (SERVER, SERVER),
        ({"app": "x"}, SERVER),
        (SERVER | {"litellm-registrar.io/inject": "false"}, {"app": "x"}),
        (CARRIED, {"app": "x"}),
    ],
)
def test_other_updates_of_pods_are_allowed(desk: Desk, new: dict[str, str], old: dict[str, str]) -> None:
    """The label was there before, is taken away, has no effect, or is ours."""
    response = desk.ask(VALIDATE, review(pod(**new), "UPDATE", oldObject=pod(**old)))
    assert response == {"uid": UID, "allowed": True}


def test_pods_are_never_changed_on_update(desk: Desk) -> None:
    """Containers cannot be added to a pod that exists."""
    assert desk.ask(MUTATE, review(pod(), "UPDATE", oldObject=pod(app="x"))) == {"uid": UID, "allowed": True}


def test_a_label_on_a_deployment_is_carried(desk: Desk) -> None:
    """The template gets the key of ours, and the answer warns that the pods are replaced."""
    new, old = deployment(SERVER), deployment({})
    response = desk.ask(MUTATE, review(new, "UPDATE", oldObject=old, name="qwen"))
    labels = patched(new, response)["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app": "qwen"} | CARRIED
    assert response["warnings"][0].startswith("pods_replaced: ")
    assert (desk.line["event"], desk.line["kind"], desk.line["name"]) == (
        "carried",
        "apps/Deployment",
        "qwen",
    )


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
def test_every_mistake_of_a_workload_is_denied_at_once(desk: Desk, operation: str) -> None:
    """403 with all of them, each with its path; the first one's reason is the status's and the log's."""
    old = deployment({}) if operation == "UPDATE" else None
    obj = deployment({"litellm-registrar.io/server": "lamma"}, TYPO)
    response = desk.ask(VALIDATE, review(obj, operation, oldObject=old))
    status = response["status"]
    assert (response["allowed"], status["code"], status["reason"]) == (False, 403, "bad_label")
    for part in ("bad_label: metadata.labels[", "unknown_annotation: metadata.annotations[", "did you mean"):
        assert part in status["message"]
    assert "bad_annotation: metadata.annotations[litellm-registrar.io/scheme]: " in status["message"]
    assert (desk.line["event"], desk.line["reason"]) == ("denied", "bad_label")


def test_a_mistake_that_was_there_before_does_not_stop_an_update(desk: Desk) -> None:
    """The deployment controller and autoscalers must go on; the old mistake is a warning."""
    old = deployment(SERVER, TYPO)
    new = deployment(SERVER, TYPO)
    new["spec"]["replicas"] = 5
    response = desk.ask(VALIDATE, review(new, "UPDATE", oldObject=old))
    assert (response["allowed"], len(response["warnings"])) == (True, 2)
    new["metadata"]["annotations"] = TYPO | {"litellm-registrar.io/port": "x"}
    response = desk.ask(VALIDATE, review(new, "UPDATE", oldObject=old))
    assert (response["allowed"], response["status"]["message"].count("_annotation: ")) == (False, 3)


def test_a_mistake_in_a_denial_is_one_line_of_bounded_length(desk: Desk) -> None:
    """An annotation's key can be of any length and hold anything before the API server has validated it."""
    wrong = {f"litellm-registrar.io/{'x' * 100_000}": "1", "litellm-registrar.io/a\nb": "1"}
    message = desk.ask(VALIDATE, review(deployment(SERVER, wrong)))["status"]["message"]
    assert message.count("unknown_annotation: ") == 2
    assert message.isprintable()
    assert len(message) < 2 * 514


@pytest.mark.parametrize("path", [MUTATE, VALIDATE])
@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "DELETE", "object": None, "oldObject": pod()},
        {"operation": "CONNECT"},
        {"operation": ""},
        {"kind": {"group": "apps", "version": "v1", "kind": "ReplicaSet"}},
        {"kind": {"group": "batch", "version": "v1", "kind": "Job"}},
        {"kind": {"group": "example.com", "version": "v1", "kind": "Pod"}},
        {"subResource": "ephemeralcontainers"},
        {"subResource": "status", "operation": "UPDATE", "oldObject": pod(app="x")},
    ],
)
def test_anything_else_is_allowed_as_it_is(desk: Desk, path: str, changes: dict[str, Any]) -> None:
    """Other operations, kinds and subresources: allowed, no patch, no warning."""
    assert desk.ask(path, review(pod(), **changes)) == {"uid": UID, "allowed": True}
    assert desk.line["event"] == "allowed"
    assert desk.line["message"] == "Nothing in this request is for this webhook."


@pytest.mark.parametrize("path", [MUTATE, VALIDATE])
def test_v1beta1_is_refused_with_a_clear_word(desk: Desk, path: str) -> None:
    """403 in its own version, with what to set in the configuration."""
    response = desk.ask(path, review(pod()) | {"apiVersion": "admission.k8s.io/v1beta1"})
    assert (response["allowed"], response["status"]["code"]) == (False, 403)
    assert response["status"]["reason"] == "unsupported_version"
    assert "admission.k8s.io/v1beta1" in response["status"]["message"]
    assert 'admissionReviewVersions to ["v1"]' in response["status"]["message"]
    assert (desk.line["event"], desk.line["path"]) == ("denied", path)


@pytest.mark.parametrize(
    ("path", "on_error", "allowed"),
    [
        (MUTATE, OnError.BY_PATH, True),
        (VALIDATE, OnError.BY_PATH, False),
        (MUTATE, OnError.ALLOW, True),
        (VALIDATE, OnError.ALLOW, True),
        (MUTATE, OnError.DENY, False),
        (VALIDATE, OnError.DENY, False),
    ],
)
def test_a_review_of_the_wrong_shape_follows_on_error(path: str, on_error: OnError, *, allowed: bool) -> None:
    """Allowed with a warning or denied; both have the reason and the field."""
    desk = Desk(on_error)
    response = desk.ask(path, review(pod(), object=["not", "a", "pod"]))
    assert response["allowed"] is allowed
    text = response["warnings"][0] if allowed else response["status"]["message"]
    assert text == "bad_review: request.object: found a list, allowed are an object and null"
    assert desk.line["reason"] == "bad_review"


@pytest.mark.parametrize(
    ("path", "on_error", "allowed"),
    [
        (MUTATE, OnError.BY_PATH, True),
        (VALIDATE, OnError.BY_PATH, False),
        (VALIDATE, OnError.ALLOW, True),
        (MUTATE, OnError.DENY, False),
    ],
)
@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, AssertionError])
def test_an_internal_error_follows_on_error(
    path: str,
    on_error: OnError,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    *,
    allowed: bool,
) -> None:
    """Answered by path or setting; logged once with the reference of the answer, without the error's text."""

    def fail(*_: object) -> NoReturn:
        raise error("sk-secret")

    monkeypatch.setattr(handlers, "inject", fail)
    monkeypatch.setattr(handlers, "opted", fail)
    desk = Desk(on_error)
    response = desk.ask(path, review(pod()))
    assert response["allowed"] is allowed
    if allowed:
        text = response["warnings"][0]
    else:
        assert (response["status"]["code"], response["status"]["reason"]) == (500, "internal_error")
        text = response["status"]["message"]
    assert text.startswith("internal_error: ")
    assert "5ca1ab1e" in text
    line = desk.line
    assert (line["event"], line["reference"], line["error"]) == ("failed", "5ca1ab1e", error.__name__)
    assert " fail" in line["at"]
    assert "sk-secret" not in json.dumps([line, response])


def test_dry_run_changes_nothing_because_nothing_ever_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same with and without dryRun, and nothing is called on the way: no socket is made."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket.socket, "__init__", fail)
    answers = [Desk().ask(MUTATE, review(pod(), dryRun=dry)) for dry in (True, False)]
    assert answers[0] == answers[1]
    assert "patch" in answers[0]


def test_the_program_that_serves_knows_nothing_of_litellm() -> None:
    """Neither httpx nor the broker's process nor the registrar's own code is imported for `serve`."""
    code = "import sys, webhook.cli, webhook.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "httpx",
        "h11",
        "webhook.broker.server",
        "webhook.broker.upstream",
        "sidecar.reasons",
    }

"""What each path answers to a review. Pure: the nonce is handed in, nothing is logged here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from sidecar.contract import LABEL_SERVER
from webhook import workload
from webhook.inject import Decision, Injection, inject
from webhook.pods import labels_of, opted, opted_out
from webhook.reasons import Problem, Reason
from webhook.review import Answer, Review, clean

_WORKLOADS: Final = frozenset({"apps/Deployment", "apps/StatefulSet", "apps/DaemonSet"})
# Of one problem in a denial; an annotation's key, which may be in it, is not yet validated at admission.
_PROBLEM_LENGTH: Final = 512


class Word(StrEnum):
    """What was decided, as the log says it."""

    INJECTED = "INJECTED"
    CARRIED = "CARRIED"
    ALLOWED = "ALLOWED"
    WARNED = "WARNED"
    DENIED = "DENIED"
    FAILED = "FAILED"


class Verdict(NamedTuple):
    """A decision: what is answered, and what the log says of it."""

    word: Word
    sentence: str
    answer: Answer
    reason: str = ""


_NOT_OURS: Final = Verdict(Word.ALLOWED, "Nothing in this request is for this webhook", Answer())
_FINE: Final = Verdict(Word.ALLOWED, "No mistake is found", Answer())


def mutate(review: Review, config: Injection, new_nonce: Callable[[], str]) -> Verdict:
    """Add the registrar to a new pod, or carry a workload's label to its template. Never denies."""
    if not review.sub_resource:
        if review.kind == "Pod" and review.operation == "CREATE":
            return _inject(review, config, new_nonce)
        if review.kind in _WORKLOADS and review.operation in ("CREATE", "UPDATE"):
            return _carry(review)
    return _NOT_OURS


def validate(review: Review) -> Verdict:
    """Deny workloads with mistakes and labels put on running pods; warn of mistakes on new pods."""
    if not review.sub_resource:
        if review.kind == "Pod" and review.operation == "CREATE":
            return _read_pod(review)
        if review.kind == "Pod" and review.operation == "UPDATE":
            return _label_running_pod(review)
        if review.kind in _WORKLOADS and review.operation in ("CREATE", "UPDATE"):
            return _check_workload(review)
    return _NOT_OURS


def denied(problems: Sequence[Problem], code: int = 403) -> Verdict:
    """Deny with every problem; the first one's reason is the status's reason.

    A reason that Kubernetes' clients do not know leaves the meaning to the code: 403 is Forbidden
    (`IsForbidden` in `k8s.io/apimachinery/pkg/api/errors`).
    """
    message, reason = (
        "; ".join(clean(str(problem), _PROBLEM_LENGTH) for problem in problems),
        problems[0].reason,
    )
    return Verdict(
        Word.DENIED, message, Answer(allowed=False, code=code, reason=reason, message=message), reason
    )


def warned(problems: Sequence[Problem]) -> Verdict:
    """Allow, unchanged, with each problem as a warning."""
    warnings = tuple(map(str, problems))
    return Verdict(Word.WARNED, "; ".join(warnings), Answer(warnings=warnings), problems[0].reason)


def _inject(review: Review, config: Injection, new_nonce: Callable[[], str]) -> Verdict:
    decision = inject(review.object, config, new_nonce(), review.namespace)
    return _decided(decision, Word.INJECTED, "The pod gets its registrar")


def _carry(review: Review) -> Verdict:
    decision = workload.carry(review.object, review.old_object or None)
    return _decided(decision, Word.CARRIED, "The pod template follows the workload's label")


def _decided(decision: Decision, word: Word, sentence: str) -> Verdict:
    if not decision.ops:
        if any(problem.reason == decision.reason for problem in decision.problems):
            return warned(decision.problems)
        word, sentence = Word.ALLOWED, "Nothing is to be changed"
    warnings = tuple(map(str, decision.problems))
    answer = Answer(patch=decision.ops, warnings=warnings)
    return Verdict(word, "; ".join((sentence, *warnings)), answer, decision.reason or "")


def _read_pod(review: Review) -> Verdict:
    wish = opted(review.object)
    return warned(wish.problems) if wish and wish.problems else _FINE


def _label_running_pod(review: Review) -> Verdict:
    new = LABEL_SERVER in labels_of(review.object) and LABEL_SERVER not in labels_of(review.old_object)
    if not new or opted_out(review.object):
        return _FINE
    message = (
        "a running pod cannot get a registrar; label the workload, which replaces its pods: "
        f"kubectl label deployment NAME {LABEL_SERVER}=... (or statefulset, daemonset)"
    )
    return denied([Problem(Reason.LABEL_RUNNING_POD, message, f"metadata.labels[{LABEL_SERVER}]")])


def _check_workload(review: Review) -> Verdict:
    """Deny mistakes that this request brings in; only warn of those the object had before.

    Controllers update workloads too (a rollout's revision, an autoscaler's replicas): a mistake that is
    already there, say because the webhook was away when it was made, must not stop them.
    """
    problems = workload.check(review.object)
    if not problems:
        return _FINE
    known = workload.check(review.old_object)
    return warned(problems) if set(problems) <= set(known) else denied(problems)

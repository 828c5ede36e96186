"""What each path answers to a review. Pure: the nonce is handed in, nothing is logged here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from sidecar.contract import LABEL_SERVER
from webhook import workload
from webhook.inject import SECRET_IGNORED, Decision, Injection, inject
from webhook.judging import Judge, Judged
from webhook.pods import labels_of, opted, opted_out
from webhook.policy.policy import Policy
from webhook.policy.verdict import Judgement, Mode, listed
from webhook.reasons import Problem, Reason
from webhook.review import Answer, Review, clean

_WORKLOADS: Final = frozenset({"apps/Deployment", "apps/StatefulSet", "apps/DaemonSet"})
# Of one problem in a denial; an annotation's key, which may be in it, is not yet validated at admission.
_PROBLEM_LENGTH: Final = 512
# Of one audit annotation: more than the names of all rules need.
_AUDIT_LENGTH: Final = 4096
_LATER: Final = "the pods it makes would be refused for the first{} of what follows"


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
    judgement: Judgement = Judgement()
    # what is wrong with the use of our labels and annotations
    problems: tuple[Problem, ...] = ()


_NOT_OURS: Final = Verdict(Word.ALLOWED, "Nothing in this request is for this webhook", Answer())
_FINE: Final = Verdict(Word.ALLOWED, "No mistake is found", Answer())
_LET_PASS: Final = Verdict(
    Word.ALLOWED, "What is found is only counted, or let pass by an exception", Answer()
)


def mutate(review: Review, config: Injection, new_nonce: Callable[[], str]) -> Verdict:
    """Add the registrar to a new pod, or carry a workload's label to its template. Never denies."""
    if not review.sub_resource:
        if review.kind == "Pod" and review.operation == "CREATE":
            return _inject(review, config, new_nonce)
        if review.kind in _WORKLOADS and review.operation in ("CREATE", "UPDATE"):
            return _carry(review, config)
    return _NOT_OURS


def validate(review: Review, config: Injection, policy: Policy | None = None, now: float = 0.0) -> Verdict:
    """Tell of mistakes, and hold the object against the policy; everything wrong is said at once.

    Workloads with mistakes are denied, and labels put on running pods; of mistakes on new pods is warned.
    What the policy says counts at `now`, in seconds since the epoch.
    """
    mistakes = _mistakes(review)
    if policy is None:
        return _told(mistakes, Judged())._replace(problems=mistakes.problems)
    image = config.image_of(review.namespace)
    judged = Judge(policy, review.namespace, image, now, config.token_audience).request(review)
    verdict = _told(mistakes, judged)
    audit = _audit(verdict.word, judged.judgement)
    return verdict._replace(
        answer=verdict.answer._replace(audit=audit), judgement=judged.judgement, problems=mistakes.problems
    )


def noted(verdict: Verdict, policy: Policy) -> Verdict:
    """Give a decision that the policy was not asked for, an error's, its place in the audit log."""
    audit = _audit(verdict.word, Judgement(policy=policy.hash))
    return verdict._replace(answer=verdict.answer._replace(audit=audit))


def denied(problems: Sequence[Problem], code: int = 403) -> Verdict:
    """Deny with every problem; the first one's reason is the status's reason.

    A reason that Kubernetes' clients do not know leaves the meaning to the code: 403 is Forbidden
    (`IsForbidden` in `k8s.io/apimachinery/pkg/api/errors`).
    """
    return _denied([clean(str(problem), _PROBLEM_LENGTH) for problem in problems], problems[0].reason, code)


def warned(problems: Sequence[Problem]) -> Verdict:
    """Allow, unchanged, with each problem as a warning."""
    return _warned(tuple(map(str, problems)), problems[0].reason)


def _denied(
    texts: Iterable[object], reason: Reason, code: int = 403, warnings: Sequence[str] = ()
) -> Verdict:
    message = "; ".join(listed(texts))
    answer = Answer(allowed=False, code=code, reason=reason, message=message, warnings=warnings)
    return Verdict(Word.DENIED, message, answer, reason)


def _warned(warnings: Sequence[str], reason: Reason) -> Verdict:
    return Verdict(Word.WARNED, "; ".join(warnings), Answer(warnings=warnings), reason)


def _inject(review: Review, config: Injection, new_nonce: Callable[[], str]) -> Verdict:
    decision = inject(review.object, config, new_nonce(), review.namespace)
    return _decided(decision, Word.INJECTED, "The pod gets its registrar")


def _carry(review: Review, config: Injection) -> Verdict:
    decision = workload.carry(review.object, review.old_object or None)
    if config.broker is not None and workload.names_secret(review.object):
        decision = decision._replace(problems=(*decision.problems, SECRET_IGNORED))
    return _decided(decision, Word.CARRIED, "The pod template follows the workload's label")


def _decided(decision: Decision, word: Word, sentence: str) -> Verdict:
    if not decision.ops:
        if any(problem.reason == decision.reason for problem in decision.problems):
            return warned(decision.problems)
        word, sentence = Word.ALLOWED, "Nothing is to be changed"
    warnings = tuple(map(str, decision.problems))
    answer = Answer(patch=decision.ops, warnings=warnings)
    return Verdict(word, "; ".join((sentence, *warnings)), answer, decision.reason or "")


class _Mistakes(NamedTuple):
    """What is wrong with the use of our labels and annotations, and whether that is refused."""

    problems: tuple[Problem, ...] = ()
    denied: bool = False
    looked: bool = True


def _told(mistakes: _Mistakes, judged: Judged) -> Verdict:
    """Put everything into one answer: what refuses in its message, the rest as warnings."""
    judgement = judged.judgement
    refused, warnings = judgement.of(Mode.ENFORCE), [str(v) for v in judgement.of(Mode.WARN)]
    if judged.later:
        warnings.insert(
            0,
            str(
                Problem(
                    Reason.POLICY_VIOLATION, _LATER.format(f" {judged.later}" if judged.later > 1 else "")
                )
            ),
        )
    problems = mistakes.problems
    if not mistakes.denied:
        warnings = [*map(str, problems), *warnings]
    if refused or mistakes.denied:
        texts = [clean(str(problem), _PROBLEM_LENGTH) for problem in problems] if mistakes.denied else []
        reason = Reason.POLICY_VIOLATION if refused else problems[0].reason
        return _denied([*refused, *texts], reason, warnings=warnings)
    if warnings:
        return _warned(tuple(warnings), problems[0].reason if problems else Reason.POLICY_VIOLATION)
    if judgement.violations:
        return _LET_PASS
    return _FINE if mistakes.looked else _NOT_OURS


def _audit(word: Word, judgement: Judgement) -> dict[str, str]:
    """Write down what was decided, by which rules and exceptions: as many words as the policy has of them."""
    rules = {f"{v.rule}={v.mode}": None for v in judgement.violations if not v.exception}
    used = {f"{v.exception}={v.rule}": None for v in judgement.excepted}
    audit = {"decision": word.lower(), "policy": judgement.policy}
    if rules:
        audit["violations"] = clean(" ".join(rules), _AUDIT_LENGTH)
    if used:
        audit["exceptions"] = clean(" ".join(used), _AUDIT_LENGTH)
    return audit


def _mistakes(review: Review) -> _Mistakes:
    if not review.sub_resource:
        if review.kind == "Pod" and review.operation == "CREATE":
            return _read_pod(review)
        if review.kind == "Pod" and review.operation == "UPDATE":
            return _label_running_pod(review)
        if review.kind in _WORKLOADS and review.operation in ("CREATE", "UPDATE"):
            return _check_workload(review)
    return _Mistakes(looked=False)


def _read_pod(review: Review) -> _Mistakes:
    wish = opted(review.object)
    return _Mistakes(wish.problems if wish else ())


def _label_running_pod(review: Review) -> _Mistakes:
    new = LABEL_SERVER in labels_of(review.object) and LABEL_SERVER not in labels_of(review.old_object)
    if not new or opted_out(review.object):
        return _Mistakes()
    message = (
        "a running pod cannot get a registrar; label the workload, which replaces its pods: "
        f"kubectl label deployment NAME {LABEL_SERVER}=... (or statefulset, daemonset)"
    )
    problem = Problem(Reason.LABEL_RUNNING_POD, message, f"metadata.labels[{LABEL_SERVER}]")
    return _Mistakes((problem,), denied=True)


def _check_workload(review: Review) -> _Mistakes:
    """Deny mistakes that this request brings in; only warn of those the object had before.

    Controllers update workloads too (a rollout's revision, an autoscaler's replicas): a mistake that is
    already there, say because the webhook was away when it was made, must not stop them.
    """
    problems = workload.check(review.object)
    known = workload.check(review.old_object) if problems else ()
    return _Mistakes(problems, denied=not set(problems) <= set(known))

"""What a policy says of a request: its pods before and after, and the doors beside the label. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sidecar.broker_contract import DEFAULT_AUDIENCE
from webhook.made import WORKLOADS, Made, made, stands
from webhook.pods import annotations_of, labels_of, mapping
from webhook.policy import scope
from webhook.policy.judge import judge
from webhook.policy.policy import Policy
from webhook.policy.subject import Subject
from webhook.policy.verdict import Finding, Judgement, Mode, Violation
from webhook.review import Review

_POD: Final = "Pod"
# Of updates of pods; `status` and `binding` change nothing that is judged.
_SUB_RESOURCES: Final = frozenset({"", "ephemeralcontainers", "resize"})


class Judged(NamedTuple):
    """What is told of a request. Its first `later` warnings refuse the pods when the workload makes them."""

    judgement: Judgement = Judgement()
    later: int = 0


@dataclass(frozen=True)
class Judge:
    """A policy at a time (seconds since the epoch).

    `own_image` is what registrars run in this namespace, `own_audience` whom their tokens are for.
    """

    policy: Policy
    namespace: str
    own_image: str
    now: float
    own_audience: str = DEFAULT_AUDIENCE

    def request(self, review: Review) -> Judged:
        """Judge what a request brings in: what the object had before it is not held against it.

        A workload is told what its pods would be; it is refused for that where the policy says so.
        """
        empty = Judgement(policy=self.policy.hash)
        if not _counts(review):
            return Judged(empty)
        updates = review.operation == "UPDATE"
        before = (
            {(one.path, one.name): one for one in made(review.kind, review.old_object)} if updates else {}
        )
        found: list[Violation] = []
        changes: list[Violation] = []
        for one in made(review.kind, review.object):
            judgement = empty._replace(violations=tuple(self._pod(one, review.object)))
            if old := before.get((one.path, one.name)):
                judgement = judgement.since(Judgement(tuple(self._pod(old, review.old_object))))
                changes += self._changed(one, old, review.kind)
            found += judgement.violations
        at_most = self.policy.defaults.workloads
        later = 0
        if review.kind in WORKLOADS and at_most is not Mode.ENFORCE:
            refusing = [v for v in found if v.mode is Mode.ENFORCE]
            later = sum(not v.exception for v in refusing)
            others = [v for v in found if v.mode is not Mode.ENFORCE]
            found = [*(v._replace(mode=at_most) for v in refusing), *others]
        return Judged(empty._replace(violations=(*found, *changes)), later)

    def _pod(self, one: Made, obj: Mapping[str, Any]) -> Iterator[Violation]:
        for violation in self._violations_of(one):
            if not one.places:
                yield violation
                continue
            placed = violation._replace(path=one.place(violation.path))
            # what is not there may still come from elsewhere
            if stands(obj, placed.path):
                yield placed

    def _violations_of(self, one: Made) -> Iterable[Violation]:
        if one.ours:
            return judge(self.policy, self.namespace, one.name, self._subject(one), self.now).violations
        if self._mode(scope.REQUIRE_LABEL) is Mode.OFF:
            return ()
        return self._violations(scope.REQUIRE_LABEL, one, scope.unlabelled(self._subject(one)))

    def _changed(self, one: Made, old: Made, kind: str) -> Iterator[Violation]:
        """Give what only a comparison of a server's pod before and after tells."""
        if not old.ours:
            return
        subject = self._subject(one)
        if not one.ours:
            removed = scope.label_removed(one.place(subject.metadata_path))
            yield from self._violations(scope.KEEP_LABEL, old, [removed])
        if kind == _POD:
            changed = scope.image_changed(subject, self._subject(old))
            yield from self._violations(scope.IMAGE_CHANGE, old, changed)

    def _violations(self, rule: str, one: Made, findings: Iterable[Finding]) -> Iterator[Violation]:
        mode = self._mode(rule)
        if mode is Mode.OFF:
            return
        exempted = self.policy.exempted(rule, self.namespace, one.name, labels_of(one.pod), self.now)
        for path, found, wanted, container, _ in findings:
            yield Violation(rule, path, found, wanted, mode, container, exempted)

    def _mode(self, rule: str) -> Mode:
        return self.policy.of(self.namespace).mode(rule)

    def _subject(self, one: Made) -> Subject:
        return Subject(one.pod, one.engine, one.path, self.own_image, self.own_audience)


def _counts(review: Review) -> bool:
    """Tell whether a request can bring in anything: what is being deleted, and finalizers, cannot."""
    if review.kind != _POD and review.kind not in WORKLOADS:
        return False
    if review.operation == "CREATE":
        return not review.sub_resource
    new, old = review.object, review.old_object
    return (
        review.operation == "UPDATE"
        and review.sub_resource in _SUB_RESOURCES
        and not mapping(old.get("metadata")).get("deletionTimestamp")
        and (
            new.get("spec") != old.get("spec")
            or labels_of(new) != labels_of(old)
            or annotations_of(new) != annotations_of(old)
        )
    )

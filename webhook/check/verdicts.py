"""What the webhook would say to an object, and what it would do to its pods. Pure.

The object goes the way of an admission: mutated, then validated as it would then be. A workload is also asked
what becomes of its pods, whatever the policy makes of that at `kubectl apply`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sidecar.contract import ANNOTATION_INJECTED
from webhook import handlers
from webhook.inject import Injection, inject
from webhook.made import Made, made
from webhook.patch import apply
from webhook.pods import annotations_of, mapping
from webhook.policy.policy import Policy
from webhook.policy.verdict import Mode, Violation
from webhook.reasons import Problem, Reason
from webhook.review import Review

# Nothing of the patch is kept.
_NONCE: Final = "0"


class Outcome(StrEnum):
    """What becomes of an object, the worst first."""

    DENIED = "denied"
    # taken by the API server, with warnings; the pods it makes would be refused
    PODS_DENIED = "pods denied"
    WARNED = "warned"
    ALLOWED = "allowed"
    # no pod, none of a model server, or of a kind that makes none
    NOT_JUDGED = "not judged"

    @property
    def is_refusal(self) -> bool:
        """Tell whether it means that pods are refused, now or later."""
        return self in {Outcome.DENIED, Outcome.PODS_DENIED}


class Registrar(NamedTuple):
    """What the injector would do to the pod whose spec is at `path`: `engine` is empty where it adds none."""

    path: str
    reason: str
    message: str
    engine: str = ""
    container: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one object; `uid` is that of one that lives.

    Violations have the mode in which they hold for its pods.
    """

    kind: str
    namespace: str
    name: str
    outcome: Outcome
    violations: tuple[Violation, ...] = ()
    problems: tuple[Problem, ...] = ()
    registrars: tuple[Registrar, ...] = ()
    uid: str = ""

    @property
    def problems_deny(self) -> bool:
        """Tell whether problems refuse the object; of a new pod's is only warned (webhook.handlers)."""
        return self.kind != "Pod"

    def __str__(self) -> str:
        return f"{self.kind.rpartition('/')[2]} {self.namespace}/{self.name or '(no name)'}"


class Engine:
    """The webhook's decisions under one policy at one time, in seconds since the epoch."""

    def __init__(self, policy: Policy, config: Injection, now: float) -> None:
        self.policy = policy
        self._config = config
        self._now = now
        # as if it refused workloads for what their pods would be: so each violation has its own mode
        self._strict = replace(policy, defaults=policy.defaults._replace(workloads=Mode.ENFORCE))

    def check(self, kind: str, obj: Mapping[str, Any], namespace: str) -> Checked:
        """Decide on an object that is being created. `kind` has its group, as in reviews."""
        metadata = mapping(obj.get("metadata"))
        name = metadata.get("name") or metadata.get("generateName")
        review = Review(
            "", "CREATE", kind, "", namespace, name if isinstance(name, str) else "", dict(obj), {}
        )
        ops = handlers.mutate(review, self._config, lambda: _NONCE).answer.patch
        patched = review._replace(object=apply(obj, ops))
        verdict = handlers.validate(patched, self._config, self._strict, self._now)
        registrars = tuple(self._registrars(kind, obj if kind == "Pod" else patched.object, namespace))
        violations = verdict.judgement.violations
        outcome = Outcome.NOT_JUDGED
        if verdict.word is handlers.Word.DENIED:
            answered = handlers.validate(patched, self._config, self.policy, self._now).answer
            outcome = Outcome.PODS_DENIED if answered.allowed else Outcome.DENIED
        elif verdict.word is handlers.Word.WARNED:
            outcome = Outcome.WARNED
        elif violations or any(one.ours for one in made(kind, patched.object)):
            outcome = Outcome.ALLOWED
        uid = str(metadata.get("uid") or "")
        return Checked(kind, namespace, review.name, outcome, violations, verdict.problems, registrars, uid)

    def _registrars(self, kind: str, obj: Mapping[str, Any], namespace: str) -> Iterator[Registrar]:
        for one in made(kind, obj):
            if one.ours:
                yield self._registrar(one, namespace)

    def _registrar(self, one: Made, namespace: str) -> Registrar:
        decision = inject(one.pod, self._config, _NONCE, namespace)
        told = "; ".join(_placed(one, problem) for problem in decision.problems)
        if decision.reason is Reason.INJECTED:
            facts = json.loads(annotations_of(apply(one.pod, decision.ops))[ANNOTATION_INJECTED])
            known = {key: facts[key] for key in ("engine", "container", "port")}
            return Registrar(one.place(one.path), Reason.INJECTED, told, **known)
        return Registrar(one.place(one.path), decision.reason or "", told)


def _placed(one: Made, problem: Problem) -> str:
    """Write a problem of a pod down with the path it has in its object."""
    path = problem.path
    for begin in ("spec", "metadata"):
        if path.startswith(begin):
            path = one.place(one.path.removesuffix("spec") + path)
            break
    return str(replace(problem, path=path))

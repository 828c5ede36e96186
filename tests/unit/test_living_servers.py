"""What the policy says of model servers that live, now and when exceptions end; when that is asked again."""

import json
from typing import Any

import pytest

from webhook.check.cluster import COLLECTIONS
from webhook.inject import Injection
from webhook.living.figures import Judged
from webhook.living.servers import Look, Refusal, ends, next_look
from webhook.policy.document import parse
from webhook.policy.policy import Policy
from webhook.policy.table import RULES
from webhook.reasons import Reason

JSON = dict[str, Any]
CONFIG = Injection(cluster="t", image="registry.example.com/registrar:1")
DAY = 86400.0
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def policy(*exceptions: tuple[str, str], mode: str = "enforce", **spec: Any) -> Policy:
    """Give a policy that wants no foreign code, with exceptions of these ids until these dates."""
    written = [
        {
            "id": name,
            "rules": ["code.trustRemoteCode"],
            "match": {"namespace": "shop"},
            "reason": "it is needed",
            "owner": "team-a",
            "expires": expires,
        }
        for name, expires in exceptions
    ]
    text = {
        "apiVersion": "policy.litellm-registrar.io/v1",
        "kind": "ModelServerPolicy",
        "metadata": {"name": "t"},
        "spec": {
            "defaults": {"mode": mode},
            "rules": {"code": {"trustRemoteCode": "deny"}},
            "exceptions": written,
            **spec,
        },
    }
    return parse(json.dumps(text), RULES)


def metadata(name: str, namespace: str = "shop", owner: str = "", *, labelled: bool = True) -> JSON:
    """Give metadata whose uid is the name."""
    owners = [{"uid": owner, "controller": True}] if owner else []
    labels = {"litellm-registrar.io/server": "vllm"} if labelled else {}
    return {"name": name, "namespace": namespace, "uid": name, "labels": labels, "ownerReferences": owners}


def spec(*args: str) -> JSON:
    """Give a vLLM pod's spec with these options."""
    server = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["Qwen/Qwen3-8B", *args]}
    return {"containers": [server]}


def pod(name: str, *args: str, **meta: Any) -> tuple[str, JSON]:
    """Give a pod with these options."""
    return "Pod", {"metadata": metadata(name, **meta), "spec": spec(*args)}


def workload(kind: str, name: str, *args: str, **meta: Any) -> tuple[str, JSON]:
    """Give a workload of pods with these options."""
    template = {"metadata": {"labels": metadata("")["labels"]}, "spec": spec(*args)}
    return kind, {"metadata": metadata(name, **meta), "spec": {"template": template}}


def look(held: Policy, *objects: tuple[str, JSON], closed: frozenset[str] = frozenset()) -> Look:
    """Look at these objects."""
    found = Look(held, CONFIG, NOW, closed=closed, excluded=frozenset({"kube-system"}))
    for collection in COLLECTIONS:
        for kind, obj in objects:
            if kind == collection.kind:
                found.add(kind, obj)
    return found


def refusals(held: Policy, *objects: tuple[str, JSON]) -> list[Refusal]:
    """Give what would be refused of these objects."""
    return look(held, *objects).result()[1]


TRUSTING = "--trust-remote-code"
CHAIN = (
    workload("apps/Deployment", "d", TRUSTING),
    workload("apps/ReplicaSet", "rs", TRUSTING, owner="d"),
    pod("p1", TRUSTING, owner="rs"),
    pod("p2", TRUSTING, owner="rs"),
)


def test_a_chain_of_owners_that_would_be_refused_is_said_once_on_its_end() -> None:
    """The Deployment is what is to be mended; its hundred pods say nothing more."""
    figures, (refusal,) = look(policy(), *CHAIN, pod("fine")).result()
    assert figures == Judged(at=NOW, judged=2, refused_now=1, refused_later=0)
    assert refusal.said.about == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "namespace": "shop",
        "name": "d",
        "uid": "d",
    }
    problem = refusal.said.problem
    assert problem.reason is Reason.POLICY_VIOLATION
    assert "code.trustRemoteCode: spec.template.spec.containers[0].args[1]" in problem.message


def test_every_kind_that_is_judged_can_be_referred_to() -> None:
    """An Event needs the object's own apiVersion, which lists leave out."""
    versions = {collection.kind: collection.api_version for collection in COLLECTIONS}
    assert versions["Pod"] == "v1"
    assert versions["batch/CronJob"] == "batch/v1"
    assert versions["serving.kserve.io/InferenceService"] == "serving.kserve.io/v1beta1"


@pytest.mark.parametrize("mode", ["warn", "audit"])
def test_what_is_only_warned_of_or_counted_would_not_be_refused(mode: str) -> None:
    """It is judged all the same."""
    figures, found = look(policy(mode=mode), *CHAIN).result()
    assert (figures.judged, found) == (1, [])


def test_namespaces_that_are_left_out_are_not_judged() -> None:
    """Nor are pods without the label, where nobody asks for it."""
    assert look(policy(), pod("p", TRUSTING, namespace="kube-system")).result()[0].judged == 0
    assert look(policy(), pod("p", TRUSTING, labelled=False)).result()[0].judged == 0


def test_a_server_without_the_label_is_judged_in_a_namespace_that_asks_for_it() -> None:
    """As it is at admission."""
    held = policy(rules={"scope": {"requireLabel": "deny"}})
    found = look(held, pod("p", labelled=False), closed=frozenset({"shop"})).result()[1]
    assert [v.rule for refusal in found for v in refusal.violations] == ["scope.requireLabel"]


def test_a_server_that_an_exception_lets_pass_is_said_before_that_ends() -> None:
    """With the exception's name and the time that is left: it ends with its date."""
    (refusal,) = refusals(policy(("legacy", "2026-01-04")), *CHAIN)
    assert (refusal.within, refusal.exceptions) == (4 * DAY, ("legacy",))
    assert refusal.said.problem.reason is Reason.EXCEPTION_ENDS
    assert refusal.said.problem.message.startswith("legacy ends in 4 days; from then on the policy would")


def test_an_exception_that_ends_late_says_nothing_yet() -> None:
    """There is time: it is judged again when there is less."""
    assert refusals(policy(("legacy", "2026-06-01")), *CHAIN) == []


def test_of_two_exceptions_for_one_server_the_later_end_counts() -> None:
    """While another one lets it pass, it is not refused."""
    (refusal,) = refusals(policy(("first", "2026-01-02"), ("second", "2026-01-05")), *CHAIN)
    assert (refusal.within, refusal.exceptions) == (5 * DAY, ("second",))


def test_a_server_that_is_refused_now_is_counted_so_and_not_as_one_that_will_be() -> None:
    """An exception that is for another namespace changes nothing of it when it ends."""
    other = pod("p", TRUSTING, namespace="zoo")
    figures, found = look(policy(("legacy", "2026-01-04")), *CHAIN, other).result()
    assert (figures.refused_now, figures.refused_later) == (1, 1)
    assert {refusal.checked.name: refusal.exceptions for refusal in found} == {"p": (), "d": ("legacy",)}


def test_an_exception_that_has_ended_lets_nothing_pass() -> None:
    """What it was for is refused now."""
    assert [refusal.within for refusal in refusals(policy(("over", "2025-12-01")), *CHAIN)] == [0]


def test_only_the_ends_that_come_next_are_looked_at_each_at_its_time() -> None:
    """Each costs as much as a look: those after them have their turn at later looks."""
    dates = [f"2026-01-{day:02}" for day in range(1, 10)]
    held = policy(*((f"e{date[-2:]}", date) for date in dates))
    assert ends(held, NOW) == [NOW + day * DAY for day in (1, 2, 3, 4)]
    assert ends(held, NOW + 3 * DAY) == [NOW + day * DAY for day in (4, 5, 6, 7)]


def test_servers_are_judged_again_two_weeks_and_a_day_before_an_exception_ends_and_then() -> None:
    """Time to mend the server, or to ask again; and at its end the figures change."""
    held = policy(("legacy", "2026-02-01"))
    end = NOW + 32 * DAY
    times = [NOW]
    while (time := next_look(held, Judged(times[-1], 1, 0, 0))) is not None:
        times.append(time)
    assert times[1:] == [end - 14 * DAY, end - DAY, end]


def test_without_exceptions_servers_are_judged_again_only_while_one_would_be_refused() -> None:
    """Hourly, so that who mends it sees the figure fall; daily while there is time until it is refused."""
    assert next_look(policy(), Judged(NOW, 1, 0, 0)) is None
    assert next_look(policy(), Judged(NOW, 1, 1, 1)) == NOW + 3600
    assert next_look(policy(), Judged(NOW, 1, 0, 1)) == NOW + DAY

"""One engine: what `check` says of a manifest is what the webhook answers to the API server."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest

from tests.golden.cases import cases as golden_cases
from tests.policy.evasions.cases import cases as evasion_cases
from tests.policy.honest.corpus import FOLDER, manifests, paths
from tests.server.desk import IMAGE, Desk
from tests.server.reviews import patched, review
from webhook.app import MUTATE, VALIDATE
from webhook.check.verdicts import Checked, Engine, Outcome
from webhook.inject import Injection
from webhook.policy.document import parse
from webhook.policy.table import RULES
from webhook.policy.verdict import Mode, listed

JSON = dict[str, Any]
POLICY: Final = (FOLDER / "policy.yaml").read_text()
NAMESPACE: Final = "team-a"


def corpus() -> Iterator[Any]:
    """Give every object of the honest corpus, of the golden cases and of the evasions."""
    for path in paths():
        for one in manifests(path):
            yield pytest.param(one.manifest.kind, one.manifest.obj, id=f"{path.stem}-{one.manifest.name}")
    for case in golden_cases():
        manifest = case.manifest
        group = manifest["apiVersion"].rpartition("/")[0]
        kind = f"{group}/{manifest['kind']}" if group else manifest["kind"]
        yield pytest.param(kind, manifest, id=case.folder.name)
    for evasion in evasion_cases():
        if "before" not in evasion.denied.changes:
            yield pytest.param("Pod", evasion.denied.pod, id=evasion.name)
            yield pytest.param("Pod", evasion.allowed.pod, id=f"{evasion.name}, twin")


@cache
def both(policy: str) -> tuple[Engine, Desk]:
    """Give what `check` decides by, and the webhook, with the same policy."""
    config = Injection(cluster="test", image=IMAGE)
    return Engine(parse(policy, RULES), config, now=0.0), Desk(policy=policy)


def answered(desk: Desk, obj: JSON) -> JSON:
    """Give the response to the review of an object as it is once it was mutated."""
    mutated = desk.ask(MUTATE, review(obj))
    return desk.ask(VALIDATE, review(patched(obj, mutated) if "patch" in mutated else obj))


@pytest.mark.parametrize("workloads", ["warn", "deny"])
@pytest.mark.parametrize(("kind", "obj"), list(corpus()))
def test_check_and_webhook_agree(kind: str, obj: JSON, workloads: str) -> None:
    """An object that the webhook denies, `check` denies, for the same violations; and so with warnings."""
    engine, desk = both(POLICY.replace("workloads: deny", f"workloads: {workloads}"))
    checked = engine.check(kind, obj, NAMESPACE)
    answer = answered(desk, obj)
    assert answer["allowed"] == (checked.outcome is not Outcome.DENIED), checked
    refused = [v for v in checked.violations if v.mode is Mode.ENFORCE and not v.exception]
    told = answer.get("warnings", [])
    if checked.outcome is Outcome.DENIED and refused:
        assert listed(refused)[0] in answer["status"]["message"]
    elif checked.outcome is Outcome.PODS_DENIED:
        number = f" {len(refused)}" if len(refused) > 1 else ""
        assert any(f"refused for the first{number} of what follows" in text for text in told)
        assert str(refused[0]) in told
    elif checked.outcome is not Outcome.DENIED:
        assert not refused
    assert rules_told(answer) == {f"{v.rule}={mode(v.mode, checked)}" for v in checked.violations}


def mode(own: Mode, checked: Checked) -> Mode:
    """Give the mode a violation has in the webhook's answer: of a workload's pods at most a warning."""
    return own.at_most(Mode.WARN) if checked.outcome is Outcome.PODS_DENIED else own


def rules_told(answer: JSON) -> set[str]:
    """Give the rules and modes in an answer's audit annotation."""
    return set(answer.get("auditAnnotations", {}).get("violations", "").split())

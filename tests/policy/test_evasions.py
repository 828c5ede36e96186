"""Pods that try to get past the policy, and their honest twins; UPDATE_GOLDEN=1 rewrites the goldens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.policy.evasions.cases import Case, cases, files, golden, golden_path
from webhook.policy.table import RULES

ALL = cases()
EACH = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)


@EACH
def test_the_evasion_is_refused(case: Case) -> None:
    """Each evasion is refused by the rules it tries to get past."""
    assert not case.denied.verdict.answer.allowed
    assert not case.passes, f"{sorted(case.refusing)} refuse it"


@EACH
def test_the_twin_passes(case: Case) -> None:
    """The honest way to say the same is not refused."""
    verdict = case.allowed.verdict
    assert verdict.answer.allowed, verdict.answer.message


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    """What a denial says is what was reviewed and committed."""
    text = golden(path)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        golden_path(path).write_text(text)
    assert golden_path(path).read_text() == text, f"{golden_path(path).name} is stale: make golden"


@EACH
def test_no_secret_is_told(case: Case) -> None:
    """A secret in a pod (all hold the word `hidden`) stands neither in the answer nor in the audit log."""
    assert "hidden" in str(case.denied.pod) or not case.name.startswith("secret"), "no secret to be told"
    assert "hidden" not in str(case.denied.verdict)


def test_the_list() -> None:
    """Each case has a name of its own and rules that exist; at least 60 of them."""
    assert len(ALL) >= 60
    assert len({case.name for case in ALL}) == len(ALL)
    known = {rule_id for rule in RULES for rule_id in rule.ids}
    for case in ALL:
        assert case.rules, case.name
        assert set(case.rules) <= known, case.name

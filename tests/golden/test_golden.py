"""Manifests written after real ones, and exactly what the webhook makes of them; UPDATE_GOLDEN=1 rewrites."""

from __future__ import annotations

import os

import pytest

from tests.golden.cases import FOLDER, KINDS, OUTPUTS, Case, cases
from webhook.inject import inject
from webhook.patch import apply
from webhook.workload import carry

ALL = cases()
EACH = pytest.mark.parametrize("case", ALL, ids=lambda case: case.folder.name)


@EACH
def test_golden(case: Case) -> None:
    """The patch and the patched object are those that were reviewed and committed."""
    rendered = case.rendered()
    if os.environ.get("UPDATE_GOLDEN") == "1":
        for name, text in rendered.items():
            (case.folder / name).write_text(text)
    for name, text in rendered.items():
        assert (case.folder / name).read_text() == text, f"{case.folder.name}/{name} is stale: make golden"


def test_no_orphans() -> None:
    """Every folder is a case with one manifest, and no output stands where nothing makes it."""
    assert len(ALL) >= 15
    for case in ALL:
        names = {path.name for path in case.folder.iterdir()}
        manifests = names & {f"{kind}.yaml" for kind in KINDS}
        assert len(manifests) == 1, f"{case.folder.name}: one manifest is needed, found {manifests}"
        assert names - manifests == set(OUTPUTS), case.folder.name
    files = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert files == {"cases.py", "test_golden.py"}


@EACH
def test_second_call(case: Case) -> None:
    """The API server's second call, on the patched object and with a new nonce, changes nothing."""
    for step in case.steps():
        if step.obj["kind"] == "Pod":
            assert inject(step.patched, case.config, "another").ops == ()
        else:
            assert carry(step.patched, None).ops == ()


@EACH
def test_the_manifest_is_left_alone(case: Case) -> None:
    """Deciding writes nothing into the object it looks at."""
    for step in case.steps():
        before = apply(step.obj, ())
        inject(step.obj, case.config, "nonce")
        carry(step.obj, None)
        assert step.obj == before

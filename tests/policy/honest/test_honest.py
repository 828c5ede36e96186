"""What people really run is not refused: manifests after charts, tutorials and platforms.

Those in `plain` are held against the policy that ships, with every mode switched to `enforce` that its own
header names; those in `strict` also against `policy.yaml` beside them, which denies whatever it can.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.policy.honest.corpus import CONFIG, FOLDER, manifests, refusals, shipped_enforced
from webhook.access import Broker
from webhook.policy.document import parse
from webhook.policy.table import RULES

PLAIN = sorted((FOLDER / "plain").glob("*.yaml"))
STRICT = sorted((FOLDER / "strict").glob("*.yaml"))


def ids(path: Path) -> str:
    """Name a case by its file."""
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", [*PLAIN, *STRICT], ids=ids)
def test_the_shipped_policy_refuses_no_honest_manifest(path: Path) -> None:
    """Switched to `enforce`, the policy that ships refuses nothing of what people ordinarily run."""
    assert refusals(path, shipped_enforced()) == []


@pytest.mark.parametrize("path", STRICT, ids=ids)
def test_a_strict_policy_refuses_no_manifest_that_keeps_to_it(path: Path) -> None:
    """A policy in which every rule denies refuses nothing of what was written for it."""
    policy = parse((FOLDER / "policy.yaml").read_text(), RULES)
    assert refusals(path, policy) == []


@pytest.mark.parametrize("path", STRICT, ids=ids)
@pytest.mark.parametrize("audience", ["litellm-registrar.io", "us"])
def test_the_token_for_the_broker_is_refused_by_no_rule(path: Path, audience: str) -> None:
    """What is injected in broker mode, whomever the token is for, keeps to that strict policy."""
    policy = parse((FOLDER / "policy.yaml").read_text(), RULES)
    config = replace(CONFIG, broker=Broker("https://broker", "bundle"), token_audience=audience)
    assert refusals(path, policy, config) == []


def test_the_corpus_is_large_and_labelled() -> None:
    """There are 60 manifests at least, most with a pod that is judged; each says in a line what it is."""
    assert len(PLAIN) + len(STRICT) >= 60
    labelled = [path for path in (*PLAIN, *STRICT) if any(one.judged for one in manifests(path))]
    assert len(labelled) >= 60
    assert all(path.read_text().startswith("# ") for path in (*PLAIN, *STRICT))

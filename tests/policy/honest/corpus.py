"""The honest corpus: its manifests, and what a policy refuses of them."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from webhook.check import manifests as reader
from webhook.check.manifests import Manifest
from webhook.check.verdicts import Engine
from webhook.inject import Injection
from webhook.made import made
from webhook.policy.document import parse
from webhook.policy.policy import Policy
from webhook.policy.table import RULES
from webhook.policy.verdict import Mode
from webhook.policy_file import shipped_path

FOLDER: Final = Path(__file__).parent
CONFIG: Final = Injection(cluster="honest", image="registry.example.com/llm/registrar:0.1.0")


class One(NamedTuple):
    """An object of the corpus, and whether a pod of it has our label."""

    manifest: Manifest
    judged: bool


def paths() -> list[Path]:
    """Give every file of the corpus."""
    return sorted((*(FOLDER / "plain").glob("*.yaml"), *(FOLDER / "strict").glob("*.yaml")))


def manifests(path: Path) -> Iterator[One]:
    """Give the objects of a file."""
    for manifest in reader.read(path.read_bytes()):
        judged = any(one.ours for one in made(manifest.kind, manifest.obj))
        yield One(manifest, judged)


@cache
def shipped_enforced() -> Policy:
    """Give the policy that ships with `defaults.mode: enforce`, as its header tells to switch it on."""
    policy = parse(shipped_path().read_text(), RULES)
    return replace(policy, defaults=policy.defaults._replace(mode=Mode.ENFORCE))


def refusals(path: Path, policy: Policy, config: Injection = CONFIG) -> list[str]:
    """Say what the policy refuses of a file's objects or of their pods, injected by this configuration."""
    engine = Engine(policy, config, now=0.0)
    found = []
    for manifest, _ in manifests(path):
        checked = engine.check(manifest.kind, manifest.obj, manifest.namespace or "default")
        found += [str(v) for v in checked.violations if v.mode is Mode.ENFORCE and not v.exception]
        if checked.outcome.is_refusal:
            found += map(str, checked.problems)
    return found

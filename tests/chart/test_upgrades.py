"""What the webhook writes into its configurations, while Helm 3 and 4 upgrade, roll back and switch off."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.certificates import make_ca
from tests.chart.rendering import NAMESPACE, RELEASE, values
from tests.peers.cluster import JSON, Cluster
from tests.peers.helm import PROGRAMS, Helm
from webhook.held_rules import SELFTEST, held_back, ops
from webhook.tls.publication import webhook_configurations

pytestmark = pytest.mark.cluster

CONFIGURATIONS = webhook_configurations([f"admission.{RELEASE}"])
PEM = make_ca("webhook").certificate
FAIL = {"admission": {"mutateFailurePolicy": "Fail", "validateFailurePolicy": "Fail"}}
IGNORE = {"admission": {"validateFailurePolicy": "Ignore"}}
OFF = {"admission": {"enabled": False}}


class Written:
    """A release whose webhook writes what it would, by the same patches and under the same name."""

    def __init__(self, cluster: Cluster, helm: Helm) -> None:
        self._cluster = cluster
        self.helm = helm

    def upgrade(self, given: JSON) -> None:
        """Upgrade to these values; no pod has to run for it."""
        self.helm.upgrade(values(**given), flags=("--install",), release=RELEASE, namespace=NAMESPACE)

    def rollback(self) -> None:
        """Go back to the revision before."""
        self.helm.rollback(flags=(), release=RELEASE, namespace=NAMESPACE)

    def found(self) -> list[JSON]:
        """Give the configurations that are there."""
        names = (one.path.split("/")[-2:] for one in CONFIGURATIONS)
        answers = (
            self._cluster.kubectl("get", *name, "--ignore-not-found", "-o", "json").out for name in names
        )
        return [json.loads(answer) for answer in answers if answer]

    def write(self) -> None:
        """Write caBundle and rules, as `webhook serve` does."""
        for target, found in zip(CONFIGURATIONS, self.found(), strict=True):
            changes = [*target.ops(found, PEM), *ops(found)[1:]]
            kind, name = target.path.split("/")[-2:]
            how = ("--type=json", "--field-manager=litellm-registrar")
            self._cluster.kubectl("patch", kind, name, *how, "-p", json.dumps(changes))

    def in_force(self) -> dict[str, bool]:
        """Tell of each webhook whether it has rules and our bundle, by its failurePolicy and name."""
        bundle = base64.b64encode(PEM).decode()
        return {
            f"{found['kind']} {each['failurePolicy']} {each['name']}": bool(each.get("rules"))
            and each["clientConfig"].get("caBundle") == bundle
            for found in self.found()
            for each in found["webhooks"]
        }


@pytest.fixture(params=sorted(PROGRAMS))
def written(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Written]:
    """Give a release of each major version of Helm, with failurePolicy Fail, as its webhook leaves it."""
    found = Written(cluster, Helm(cluster, request.param))
    flags = ("--no-hooks",)
    found.helm.install(values(**FAIL), flags=flags, release=RELEASE, namespace=NAMESPACE)
    assert not any(held for key, held in found.in_force().items() if " Fail " in key)
    found.write()
    yield found
    found.helm.uninstall(flags=flags, release=RELEASE, namespace=NAMESPACE)


@pytest.mark.timeout(900)
def test_what_the_webhook_writes_outlives_what_helm_does(written: Written) -> None:
    """An upgrade and a roll back keep it; where the failure policy changes, the rules are there or told.

    At no moment has an entry no rules that is not about to get them.
    """
    written.upgrade(FAIL | {"clusterId": "changed"})
    assert all(written.in_force().values())
    written.upgrade(IGNORE)
    assert all(written.in_force().values())
    assert not any(SELFTEST in key or " Fail " in key for key in written.in_force())
    written.rollback()
    held = [held_back(found) for found in written.found()]
    told = [name for rules in held for name in rules]
    lacking = [key.rpartition(" ")[2] for key, there in written.in_force().items() if not there]
    assert sorted(lacking) == sorted([*told, SELFTEST])
    written.write()
    assert all(written.in_force().values())
    written.upgrade(OFF)
    assert written.found() == []

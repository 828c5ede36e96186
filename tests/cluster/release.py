"""One release of the chart in a cluster, and what is looked at of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from tests.cluster.creating import pod
from tests.peers import learned
from tests.peers.admitted import injects
from tests.peers.cluster import JSON, Answer, Cluster, wait_until
from tests.peers.helm import NAMESPACE, RELEASE, Helm
from tests.peers.webhook import change_ca

FULLNAME: Final = f"{RELEASE}-litellm-registrar"
WEBHOOK: Final = f"{FULLNAME}-webhook"
BROKER: Final = f"{FULLNAME}-broker"
ADMISSION: Final = f"admission.{FULLNAME}"
CONFIGURATIONS: Final = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


@dataclass(frozen=True, slots=True)
class Release:
    """A release with these values, whoever installs it."""

    helm: Helm
    values: tuple[JSON, ...]

    @property
    def cluster(self) -> Cluster:
        """Where it is."""
        return self.helm.cluster

    @property
    def namespace(self) -> str:
        """The release's own namespace."""
        return NAMESPACE

    def install(self, *more: JSON) -> Answer:
        """Install it, and wait until it is ready."""
        return self.helm.install(*self.values, *more)

    def upgrade(self, *more: JSON) -> Answer:
        """Upgrade it to its values and these, and wait until all of it is of the new kind."""
        return self.helm.upgrade(*self.values, *more)

    def rollback(self, revision: int) -> Answer:
        """Go back to a revision."""
        return self.helm.rollback(revision)

    def uninstall(self) -> Answer:
        """Uninstall it, and wait until it is gone."""
        return self.helm.uninstall()

    def scale_webhook(self, replicas: int) -> None:
        """Have so many replicas of the webhook, and wait until it is so."""
        kubectl = self.cluster.kubectl
        kubectl("scale", "deployment", WEBHOOK, f"--replicas={replicas}", "-n", NAMESPACE)
        if replicas:
            kubectl("rollout", "status", "deployment", WEBHOOK, "-n", NAMESPACE, "--timeout=180s")
        else:
            selector = "app.kubernetes.io/component=webhook"
            kubectl("wait", "--for=delete", "pod", "-l", selector, "-n", NAMESPACE, "--timeout=180s")

    def configurations(self) -> list[JSON]:
        """Give our webhook configurations that are there."""
        found = []
        for kind in CONFIGURATIONS:
            every = self.cluster.list(kind, NAMESPACE)
            found += [one for one in every if one["metadata"]["name"] == ADMISSION]
        return found

    def enforced(self) -> bool:
        """Tell whether every entry has its rules, those that may refuse as well."""
        return all(entry.get("rules") for one in self.configurations() for entry in one["webhooks"])

    def until_enforced(self) -> None:
        """Wait until what may refuse does, and the API server has heard of it."""
        wait_until("rules of every entry", 180, self.enforced, every=0.5)
        learned.configurations(self.cluster)

    def until_injecting(self) -> None:
        """Wait until the API server calls the webhook, a moment after its first replica is ready.

        Helm 3 and `kubectl rollout status` may return before that (see `selftest` of the webhook).
        """
        wait_until(
            "registrar in a labelled pod", 90, lambda: injects(self.cluster, pod(labelled=True), "default")
        )

    def until_not_injecting(self) -> None:
        """Wait until the API server has heard that there is no webhook to call any more."""
        wait_until("end of injections", 90, lambda: not injects(self.cluster, pod(labelled=True), "default"))

    def leaf(self) -> str:
        """Give the certificate that the webhook serves with."""
        return str(self._secret()["tls.crt"])

    def until_renewed(self) -> None:
        """Wait for another certificate, and until every replica has had the time to take it."""
        before = self.leaf()
        wait_until("another certificate", 240, lambda: self.leaf() != before, every=0.5)

    def until_published(self, count: int) -> None:
        """Wait until every entry is published with so many certificates."""
        wait_until(f"{count} certificates published", 240, lambda: self.published() == {count}, every=0.5)

    def change_ca(self) -> None:
        """Ask for another CA, as a person would."""
        change_ca(self.cluster.work / "kubeconfig", NAMESPACE, f"{WEBHOOK}-tls")

    def published(self) -> set[int]:
        """Give with how many certificates entries are published."""
        bundles = (
            base64.b64decode(webhook["clientConfig"].get("caBundle", ""))
            for one in self.configurations()
            for webhook in one["webhooks"]
        )
        return {bundle.count(b"BEGIN CERTIFICATE") for bundle in bundles}

    def _secret(self) -> JSON:
        found: JSON = self.cluster.get("secret", f"{WEBHOOK}-tls", NAMESPACE)["data"]
        return found

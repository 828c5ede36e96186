"""The golden cases: manifests in, what the webhook makes of them out.

A case is a folder with one manifest, named by its kind (`pod.yaml`, `deployment.yaml`, ...). Beside it stand
`patch.yaml`, one document for each call of the webhook, and `patched.yaml`, the objects after it. The second
call of a workload is for the pod that its patched template makes. Folders called `broker-...` are decided as
where registrars ask a broker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from webhook.access import Broker
from webhook.inject import Decision, Injection, inject
from webhook.patch import apply
from webhook.workload import carry

FOLDER = Path(__file__).parent
KINDS = ("pod", "deployment", "statefulset", "daemonset")
OUTPUTS = ("patch.yaml", "patched.yaml")
CONFIG = Injection(cluster="golden-cluster", image="registry.example.com/litellm-registrar/sidecar:0.1.0")
BROKER = "broker-"
BROKER_URL = "https://broker.litellm-registrar.svc:8443"
# The bundle as it might be: what is in it is not looked at here.
BROKER_CA = "-----BEGIN CERTIFICATE-----\nMIIBgoldenCAQ==\n-----END CERTIFICATE-----\n"
NONCE = "5f0c1e0d6b7a49f2a1c3e5d7f9b1a3c5"


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the webhook: the object it is about, and what was decided."""

    obj: Mapping[str, Any]
    decision: Decision

    @property
    def patched(self) -> dict[str, Any]:
        """The object afterwards."""
        result: dict[str, Any] = apply(self.obj, self.decision.ops)
        return result


@dataclass(frozen=True, slots=True)
class Case:
    """One golden folder."""

    folder: Path

    @property
    def asks_broker(self) -> bool:
        """Whether the case is decided in broker mode."""
        return self.folder.name.startswith(BROKER)

    @property
    def config(self) -> Injection:
        """The webhook's choices for this case."""
        return replace(CONFIG, broker=Broker(BROKER_URL, BROKER_CA)) if self.asks_broker else CONFIG

    @property
    def manifest(self) -> dict[str, Any]:
        """What a user, or a controller, sends to the API server."""
        (source,) = (path for kind in KINDS if (path := self.folder / f"{kind}.yaml").exists())
        loaded: dict[str, Any] = yaml.safe_load(source.read_text())
        return loaded

    def steps(self) -> tuple[Step, ...]:
        """Call the webhook for the object and, if that is a workload, for its pod."""
        manifest = self.manifest
        if manifest["kind"] == "Pod":
            return (Step(manifest, inject(manifest, self.config, NONCE)),)
        workload = Step(manifest, carry(manifest, None))
        pod = pod_of(workload.patched)
        return workload, Step(pod, inject(pod, self.config, NONCE))

    def rendered(self) -> dict[str, str]:
        """Give the content of each output file."""
        steps = self.steps()
        patches = [
            {
                "object": f"{step.obj['kind']} {_name(step.obj)}",
                "reason": None if step.decision.reason is None else str(step.decision.reason),
                "warnings": [str(problem) for problem in step.decision.problems],
                "patch": [op.to_json() for op in step.decision.ops],
            }
            for step in steps
        ]
        return dict(zip(OUTPUTS, (_yaml(patches), _yaml([step.patched for step in steps])), strict=True))


def pod_of(workload: Mapping[str, Any]) -> dict[str, Any]:
    """Give the pod that a workload's controller would create; of a StatefulSet the first one."""
    template = workload["spec"]["template"]
    name, namespace = workload["metadata"]["name"], workload["metadata"]["namespace"]
    spec = template["spec"]
    if workload["kind"] == "StatefulSet":
        named = {"name": f"{name}-0"}
        claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())]
        volumes = [
            {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}-0"}} for claim in claims
        ]
        spec = {**spec, "volumes": [*spec.get("volumes", ()), *volumes]}
    else:
        named = {"generateName": f"{name}-"}
    metadata = {**named, "namespace": namespace, **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def cases() -> list[Case]:
    """Give every golden case there is."""
    return [
        Case(folder) for folder in sorted(FOLDER.iterdir()) if folder.is_dir() and folder.name[0] not in "_."
    ]


def _name(obj: Mapping[str, Any]) -> str:
    metadata = obj["metadata"]
    return str(metadata.get("name") or metadata["generateName"])


def _yaml(documents: list[dict[str, Any]]) -> str:
    plain = json.loads(json.dumps(documents))  # without the enums and the sharing that YAML would show
    return yaml.safe_dump_all(plain, sort_keys=False, width=110, explicit_start=True)

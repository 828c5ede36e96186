"""LiteLLM keys and references to Secrets that an injection brings into pods: for tests and bench."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sidecar.contract import ENV_LITELLM_KEY
from tests.golden import cases as golden
from tests.policy.honest import corpus
from webhook.inject import Injection, inject
from webhook.made import made
from webhook.patch import apply
from webhook.reasons import Reason
from webhook.wishes import InjectMode
from webhook.workload import carry


def brought(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name each LiteLLM key, and each reference to a Secret that the pod did not have before."""
    had = set(_references(before))
    keys = [path for path, value in _values(after) if path.endswith("/name") and value == ENV_LITELLM_KEY]
    return [
        *keys,
        *(f"Secret {name} key {key}" for name, key in _references(after) if (name, key) not in had),
    ]


def injected(config: Injection) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Give every pod of the golden files and of the honest corpus that is injected, before and after.

    Each in both modes of injection.
    """
    for pod in _pods():
        for mode in InjectMode:
            decision = inject(pod, replace(config, mode=mode), "n0nce", "team")
            if decision.reason is Reason.INJECTED:
                yield pod, apply(pod, decision.ops)


def _pods() -> Iterator[dict[str, Any]]:
    for case in golden.cases():
        yield dict(case.steps()[-1].obj)
    for path in corpus.paths():
        for one in corpus.manifests(path):
            obj = one.manifest.obj
            carried = apply(obj, carry(obj, None).ops)
            yield from (dict(found.pod) for found in made(one.manifest.kind, carried) if found.ours)


def _references(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give name and key of every reference to a Secret, the key empty for all of it.

    `secretKeyRef` and `secretRef` of variables, `secret` of volumes, projected or not (core/v1).
    """
    values = dict(_values(pod))
    for path, value in values.items():
        holder, _, last = path.rpartition("/")
        kind = holder.rpartition("/")[2]
        if (kind, last) in {("secretKeyRef", "name"), ("secretRef", "name"), ("secret", "name")}:
            yield str(value), str(values.get(f"{holder}/key", ""))
        elif (kind, last) == ("secret", "secretName"):
            yield str(value), ""


def _values(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _values(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _values(item, f"{path}/{index}")
    else:
        yield path, value

"""The chart as Helm renders it, for tests."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from tests.peers.cluster import TOOLS
from tests.peers.helm import CHART, PROGRAMS

# With this name the release's objects have the names of the manifests in `examples`.
RELEASE: Final = "litellm-registrar"
NAMESPACE: Final = "litellm-registrar"
HELMS: Final = tuple(PROGRAMS.values())
HELM: Final = PROGRAMS[4]
# What `helm install` needs to be told.
NEEDED: Final[Mapping[str, Any]] = {
    "litellm": {"url": "https://litellm.example.com", "existingSecret": "litellm-admin"},
}
# The values of `ci/*.yaml`, by name: all that is proven of the chart holds for each.
MATRIX: Final = {file.stem: file for file in sorted(CHART.glob("ci/*.yaml"))}

JSON = dict[str, Any]


def values(**more: Any) -> JSON:
    """Give what must be told, and more beside it; sections of one name are merged."""
    return merged(NEEDED, more)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> JSON:
    """Merge two trees; where both say something the other counts."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], Mapping) and isinstance(other[key], Mapping):
            both[key] = merged(one[key], other[key])
    return both


def matrix(name: str) -> JSON:
    """Read one of the matrix's files."""
    loaded: JSON = yaml.safe_load(MATRIX[name].read_text()) or {}
    return loaded


def run(
    helm: str, *arguments: str, given: Mapping[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of `HELMS`; `given` are values for `-f -`."""
    take = [] if given is None else ["-f", "-"]
    return subprocess.run(
        [TOOLS / "bin" / helm, *arguments, *take],
        input=None if given is None else json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )


def template(
    given: Mapping[str, Any], helm: str = HELM, release: str = RELEASE, namespace: str = NAMESPACE
) -> str:
    """Render the chart with these values. Raises AssertionError with Helm's complaint."""
    done = run(helm, "template", release, str(CHART), "--namespace", namespace, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _rendered_once(given: str, release: str, namespace: str) -> str:
    return template(json.loads(given), release=release, namespace=namespace)


def documents(text: str) -> list[JSON]:
    """Read what was rendered."""
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(given: Mapping[str, Any], release: str = RELEASE, namespace: str = NAMESPACE) -> list[JSON]:
    """Give the chart's manifests with these values; rendered once, read anew."""
    return documents(_rendered_once(json.dumps(given, sort_keys=True), release, namespace))


def by_name(manifests: Iterable[JSON]) -> dict[tuple[str, str, str], JSON]:
    """Give them by kind, namespace and name. Raises AssertionError if two are the same object."""
    found: dict[tuple[str, str, str], JSON] = {}
    for manifest in manifests:
        metadata = manifest["metadata"]
        key = manifest["kind"], metadata.get("namespace", ""), metadata["name"]
        assert key not in found, key
        found[key] = manifest
    return found


def refusal(given: Mapping[str, Any], helm: str = HELM) -> str:
    """Give Helm's complaint about values that it must not take."""
    done = run(helm, "template", RELEASE, str(CHART), "--namespace", NAMESPACE, given=given)
    assert done.returncode != 0, "these values were taken"
    return done.stderr


def of_kind(manifests: Iterable[JSON], *kinds: str) -> list[JSON]:
    """Give those of some kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def one(manifests: Iterable[JSON], kind: str, name: str = "") -> JSON:
    """Give the only one of a kind, or of that name."""
    found = [each for each in of_kind(manifests, kind) if name in ("", each["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def pod_templates(manifests: Sequence[JSON]) -> dict[str, JSON]:
    """Give the template of every pod that is made of these, by kind and name; hooks and tests as well."""
    found = {}
    for manifest in manifests:
        where = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            found[where] = manifest
        elif "template" in (manifest.get("spec") or {}):
            found[where] = manifest["spec"]["template"]
    return found

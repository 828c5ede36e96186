"""The evasions: pods that try to get past the policy beside them, each with its honest twin.

Each file is a list of cases: a `name`, the `trick`, the pod of `pods.yaml` it begins with (`base`), what is
`denied` and what is `allowed`, and the `rules` that must refuse the first. Both are written as changes:

- `options` and `env` are added to the server's args and variables, `server` replaces fields of its container;
- `fill` is the command of the init container `fill`;
- `pod` is merged into the pod: objects key by key, containers and volumes by their names; `null` takes
  a key away;
- `before`, changes of the same kind, makes it an update of what they give; `sub_resource` says of which.

The lines of the denial stand in a file of the same name that ends in `.golden.yaml` (`make golden`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from webhook.handlers import Verdict, validate
from webhook.inject import Injection
from webhook.policy.document import parse
from webhook.policy.policy import Policy
from webhook.policy.table import RULES
from webhook.policy.verdict import Mode
from webhook.review import Review

FOLDER: Final = Path(__file__).parent
OWN_IMAGE: Final = "registry.example.com/litellm-registrar/sidecar:0.1.0"
_CONFIG: Final = Injection(cluster="golden-cluster", image=OWN_IMAGE)
_NAMED_LISTS: Final = frozenset({"containers", "initContainers", "ephemeralContainers", "volumes"})
_SERVER: Final = "server"
_FILL: Final = "fill"
_CHANGES: Final = frozenset({"options", "env", "server", "fill", "pod", "before", "sub_resource"})


@dataclass(frozen=True)
class Request:
    """One request that a case sends."""

    base: str
    changes: Mapping[str, Any]

    @cached_property
    def pod(self) -> dict[str, Any]:
        """The pod that is asked for."""
        return _changed(self.base, self.changes)

    @property
    def verdict(self) -> Verdict:
        """What the webhook answers."""
        before = self.changes.get("before")
        pod = self.pod
        review = Review(
            uid="evasion",
            operation="CREATE" if before is None else "UPDATE",
            kind="Pod",
            sub_resource=self.changes.get("sub_resource", ""),
            namespace=pod["metadata"]["namespace"],
            name=pod["metadata"]["name"],
            object=pod,
            old_object={} if before is None else _changed(self.base, before),
        )
        return validate(review, _CONFIG, policy(), now=0.0)


@dataclass(frozen=True)
class Case:
    """One evasion and its twin."""

    file: str
    name: str
    trick: str
    rules: tuple[str, ...]
    denied: Request
    allowed: Request

    @property
    def refusing(self) -> set[str]:
        """The rules that refuse the evasion."""
        return {violation.rule for violation in self.denied.verdict.judgement.of(Mode.ENFORCE)}

    @property
    def passes(self) -> bool:
        """Tell whether the evasion gets past a rule that should refuse it."""
        return not self.refusing or not self.refusing.issuperset(self.rules)

    @property
    def lines(self) -> list[str]:
        """What the denial says."""
        return [str(violation) for violation in self.denied.verdict.judgement.of(Mode.ENFORCE)]


@cache
def policy() -> Policy:
    """Give the policy that all are held against."""
    return parse((FOLDER / "policy.yaml").read_text(), RULES)


def files() -> list[Path]:
    """Give the files that hold cases."""
    others = {"policy.yaml", "pods.yaml"}
    return [
        path
        for path in sorted(FOLDER.glob("*.yaml"))
        if path.name not in others and not path.name.endswith(".golden.yaml")
    ]


def cases() -> list[Case]:
    """Give every case there is."""
    return [case for path in files() for case in _read(path)]


def golden(path: Path) -> str:
    """Give what should stand beside a file of cases."""
    lines = {case.name: case.lines for case in _read(path)}
    text: str = yaml.safe_dump(lines, sort_keys=False, width=300, allow_unicode=True)
    return text


def golden_path(path: Path) -> Path:
    """Give the file that holds the goldens of a file of cases."""
    return path.with_suffix(".golden.yaml")


def _read(path: Path) -> Iterator[Case]:
    for case in yaml.safe_load(path.read_text()):
        base = case.pop("base", "vllm")
        denied, allowed = Request(base, case.pop("denied")), Request(base, case.pop("allowed"))
        yield Case(path.stem, case.pop("name"), case.pop("trick"), tuple(case.pop("rules")), denied, allowed)
        if case:
            raise ValueError(f"{path.name}: unknown keys {sorted(case)}")


@cache
def _bases() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "pods.yaml").read_text())
    return loaded


def _changed(base: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give the pod of this name with the changes made."""
    if unknown := changes.keys() - _CHANGES:
        raise ValueError(f"unknown changes {sorted(unknown)}")
    pod: dict[str, Any] = copy.deepcopy(_bases()[base])
    spec = pod["spec"]
    if _FILL in changes:
        _named(spec["initContainers"], _FILL)["command"] = changes[_FILL]
    server = _named(spec["containers"], _SERVER)
    _merge(server, changes.get("server", {}))
    server["args"] = [*server.get("args", ()), *changes.get("options", ())]
    server["env"] = [*server.get("env", ()), *changes.get("env", ())]
    _merge(pod, changes.get("pod", {}))
    return pod


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(item for item in items if item["name"] == name)


def _merge(target: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        elif key in _NAMED_LISTS:
            items = target.setdefault(key, [])
            for item in value:
                known = next((one for one in items if one["name"] == item["name"]), None)
                if known is None:
                    items.append(copy.deepcopy(item))
                else:
                    _merge(known, item)
        else:
            target[key] = copy.deepcopy(value)

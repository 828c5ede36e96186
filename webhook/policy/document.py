"""The policy file: YAML of a closed schema to a Policy, or everything that is wrong with it. Pure.

apiVersion: policy.litellm-registrar.io/v1
kind: ModelServerPolicy
metadata: {name: default}
spec:
  defaults: {mode: warn, onUnresolvable: deny, workloads: warn}
  rules: {code: {mode: enforce, trustRemoteCode: deny}}
  namespaces: [{match: "team-a-*", rules: {accelerators: {maxPerPod: 2}}}]
  exceptions: [{id: EX-1, rules: [code.trustRemoteCode], match: {namespace: research},
                reason: ..., owner: ..., expires: 2026-12-31}]
  delegate: [accelerators.maxPerPod]
"""

from __future__ import annotations

import calendar
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sidecar.contract import DOMAIN
from webhook.config import Sheet, listed
from webhook.documents import DocumentError, Fault, Path
from webhook.policy.kinds import Choice, ModeWord, Name, Words
from webhook.policy.policy import Defaults, Exemption, Group, Groups, Match, Override, Policy
from webhook.policy.rule import Rule
from webhook.policy.tighter import loosenings
from webhook.reasons import shown
from webhook.sources.globs import GlobError, Globs

API_VERSION: Final = f"policy.{DOMAIN}/v1"
KIND: Final = "ModelServerPolicy"

_MODE: Final = ModeWord()
_TEXT: Final = Name()
_DEFAULTS: Final[Mapping[str, ModeWord | Choice]] = {
    "mode": _MODE,
    "onUnresolvable": Choice(),
    "workloads": Choice(("deny", "warn")),
}
_HASH_DIGITS: Final = 12
_ID: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DATE: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:Z|([+-])(\d\d):(\d\d)))?", re.ASCII
)
_EXPIRES: Final = (
    "a date like 2026-12-31, which counts to its end in UTC, or a time like 2026-12-31T18:00:00Z"
)
_PATTERN: Final = "one name, in which `*` stands for any characters"
_RULE_IDS: Final = "ids of rules, like `code.trustRemoteCode`"
_DAY: Final = 86400
_FIRST_YEAR: Final = 1970


def parse(text: str, rules: tuple[Rule, ...]) -> Policy:
    """Read a policy file by a table of rules. Raises ConfigError with everything that is wrong."""
    return read(text, rules)[0]


def read(text: str, rules: tuple[Rule, ...]) -> tuple[Policy, Sheet]:
    """Give the sheet too, which knows the lines. Raises ConfigError with everything that is wrong."""
    sheet = Sheet(text, _is_text)
    content_hash = hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
    return _Reader(sheet, rules).policy(content_hash), sheet


def _is_text(path: Path, text: str) -> bool:
    """Take `off`, a mode, for a text, and the date at which an exception expires."""
    return text == "off" or path[-1:] == ("expires",)


class _Reader:
    """Reads the parts of one file."""

    def __init__(self, sheet: Sheet, rules: tuple[Rule, ...]) -> None:
        self._sheet = sheet
        self._rules = rules
        self._groups: dict[str, dict[str, Rule]] = {}
        for rule in rules:
            self._groups.setdefault(rule.group, {})[rule.field] = rule
        # what an exception may name -> the ids it stands for
        self._known: dict[str, tuple[str, ...]] = {
            rule_id: (rule_id,) for rule in rules for rule_id in rule.ids
        }
        self._known |= {rule.id: (rule.id, *rule.ids) for rule in rules if rule.parts}

    def policy(self, content_hash: str) -> Policy:
        """Read it all. Raises ConfigError."""
        sheet = self._sheet
        top = sheet.object(sheet.value, (), ("apiVersion", "kind", "metadata", "spec"))
        for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
            if top.get(key) != wanted:
                sheet.problem((key,), f"found {shown(top.get(key))}, allowed is {wanted}")
        metadata = self._fields(top.get("metadata"), ("metadata",), ("name",), ("name",))
        spec = self._fields(
            top.get("spec"),
            ("spec",),
            ("defaults", "rules", "namespaces", "exceptions", "delegate"),
        )
        name = metadata.get("name")
        if "name" in metadata:
            name = sheet.taken(_TEXT.parse, name, ("metadata", "name"))
        defaults = self._defaults(spec.get("defaults"))
        groups = self._rules_at(spec.get("rules"), ("spec", "rules"))
        delegated = self._delegated(spec.get("delegate"), ("spec", "delegate"))
        overrides = self._overrides(spec.get("namespaces"), groups, defaults, delegated)
        exceptions = self._exceptions(spec.get("exceptions"))
        sheet.done()
        return Policy(
            name or "", content_hash, self._rules, groups, defaults, overrides, exceptions, delegated
        )

    def _fields(
        self, value: Any, path: Path, names: tuple[str, ...], required: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        found = self._sheet.object(value, path, names)
        if missing := [name for name in required if name not in found]:
            self._sheet.problem(path, f"{listed(missing)} must be there")
        return found

    def _defaults(self, value: Any) -> Defaults:
        path = ("spec", "defaults")
        found = {
            name: self._sheet.taken(_DEFAULTS[name].parse, item, (*path, name))
            for name, item in self._sheet.object(value, path, _DEFAULTS).items()
        }
        built_in = Defaults()
        return Defaults(
            found.get("mode") or built_in.mode,
            found.get("onUnresolvable") or built_in.on_unresolvable,
            found.get("workloads") or built_in.workloads,
        )

    def _rules_at(self, value: Any, path: Path) -> dict[str, Group]:
        return {
            name: self._group(self._groups[name], item, (*path, name))
            for name, item in self._sheet.object(value, path, self._groups).items()
        }

    def _group(self, rules: dict[str, Rule], value: Any, path: Path) -> Group:
        found = self._sheet.object(value, path, ("mode", "modes", *rules))
        mode = self._sheet.taken(_MODE.parse, found["mode"], (*path, "mode")) if "mode" in found else None
        parts = [part for rule in rules.values() for part in rule.parts]
        modes, values = {}, {}
        for key, item in self._sheet.object(found.get("modes"), (*path, "modes"), [*rules, *parts]).items():
            modes[key] = self._sheet.taken(_MODE.parse, item, (*path, "modes", key))
        for name, rule in rules.items():
            if name in found:
                values[name] = self._sheet.taken(rule.kind.parse, found[name], (*path, name))
        return Group(mode, _there(modes), _there(values))

    def _overrides(
        self, value: Any, base: Groups, defaults: Defaults, delegated: frozenset[str]
    ) -> tuple[Override, ...]:
        overrides = []
        path: Path = ("spec", "namespaces")
        for index, item in enumerate(self._sheet.items(value, path)):
            here = (*path, index)
            found = self._fields(item, here, ("match", "rules"), ("match", "rules"))
            match = self._names(found.get("match"), (*here, "match")) if "match" in found else None
            groups = self._rules_at(found.get("rules"), (*here, "rules"))
            for loose in loosenings(self._rules, base, groups, defaults, delegated):
                self._sheet.problem(
                    (*here, "rules", *loose.path),
                    f"allows more than spec.rules; that takes {loose.rule} in spec.delegate",
                )
            if match is not None:
                overrides.append(Override(match, groups))
        return tuple(overrides)

    def _delegated(self, value: Any, path: Path) -> frozenset[str]:
        ids = tuple(rule.id for rule in self._rules)
        known = Words(ids, what=_RULE_IDS)
        return frozenset((self._sheet.taken(known.parse, value, path) or ()) if value is not None else ())

    def _exceptions(self, value: Any) -> tuple[Exemption, ...]:
        names = ("id", "rules", "match", "reason", "owner", "expires")
        path: Path = ("spec", "exceptions")
        exceptions: dict[str, Exemption] = {}
        for index, item in enumerate(self._sheet.items(value, path)):
            here = (*path, index)
            exemption = self._exception(self._fields(item, here, names, names), here)
            if exemption.id in exceptions and exemption.id:
                self._sheet.problem((*here, "id"), f"{shown(exemption.id)} is there twice")
            exceptions[exemption.id] = exemption
        return tuple(exceptions.values())

    def _exception(self, found: dict[str, Any], path: Path) -> Exemption:
        """Read what is there of one; what is not has been told."""
        if found.get("rules") == []:
            self._sheet.problem((*path, "rules"), "found an empty list, allowed is at least one rule")
        known = Words(tuple(self._known), what=_RULE_IDS)
        readers: dict[str, Callable[[Any], Any]] = {
            "id": _exception_id,
            "rules": known.parse,
            "reason": _TEXT.parse,
            "owner": _TEXT.parse,
            "expires": expiry,
        }
        taken = {
            name: self._sheet.taken(read, found[name], (*path, name))
            for name, read in readers.items()
            if name in found
        }
        return Exemption(
            taken.get("id") or "",
            tuple(rule_id for name in taken.get("rules") or () for rule_id in self._known[name]),
            self._match(found["match"], (*path, "match")) if "match" in found else Match(),
            taken.get("reason") or "",
            taken.get("owner") or "",
            taken.get("expires") or 0.0,
        )

    def _match(self, value: Any, path: Path) -> Match:
        found = self._fields(value, path, ("namespace", "podName", "labels"))
        labels = self._sheet.object(found.get("labels"), (*path, "labels"))
        if not found or not (labels or "namespace" in found or "podName" in found):
            self._sheet.problem(path, "must say at least one of namespace, podName and labels")
        globs = {
            key: self._names(found[key], (*path, key)) if key in found else None
            for key in ("namespace", "podName")
        }
        by_label = {key: self._names(item, (*path, "labels", key)) for key, item in labels.items()}
        return Match(globs["namespace"], globs["podName"], _there(by_label))

    def _names(self, value: Any, path: Path) -> Globs | None:
        return self._sheet.taken(_names, value, path)


def _there(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what could not be taken."""
    return {key: value for key, value in found.items() if value is not None}


def _names(value: Any) -> Globs:
    if not isinstance(value, str):
        raise DocumentError([Fault((), f"found {shown(value)}, allowed is {_PATTERN}")])
    try:
        return Globs.names((_TEXT.parse(value),))
    except GlobError as error:
        raise DocumentError([Fault((), str(error))]) from None


def _exception_id(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        allowed = "1 to 63 letters, digits, '.', '-' and '_'"
        raise DocumentError([Fault((), f"found {shown(value)}, allowed are {allowed}")])
    return value


def expiry(value: Any) -> float:
    """Give the first second (since the epoch) at which an exception no longer counts.

    A date counts to its end in UTC; a time is one of RFC 3339 with whole seconds. Raises DocumentError.
    """
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise DocumentError([Fault((), f"found {shown(value)}, allowed is {_EXPIRES}")])
    year, month, day = (int(part) for part in found.groups()[:3])
    hour, minute, second = (int(part or 0) for part in found.groups()[3:6])
    sign, off_hours, off_minutes = found.groups()[6:]
    offset = int(off_hours or 0) * 3600 + int(off_minutes or 0) * 60
    if (
        year < _FIRST_YEAR
        or not 1 <= month <= 12  # noqa: PLR2004 - months
        or not 1 <= day <= calendar.monthrange(year, month)[1]
        or max(hour / 24, minute / 60, second / 60, offset / _DAY, int(off_minutes or 0) / 60) >= 1
    ):
        raise DocumentError([Fault((), f"found {shown(value)}, which is no date; allowed is {_EXPIRES}")])
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    if found[4] is None:
        return float(seconds + _DAY)
    return float(seconds - (offset if sign == "+" else -offset))

"""What `check` says: for people, as JSON, and as annotations of a GitHub workflow. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from webhook.check.verdicts import Checked, Outcome, Registrar
from webhook.policy.policy import Policy
from webhook.policy.verdict import Mode, Violation
from webhook.reasons import Problem
from webhook.review import clean

# How the modes of violations are called here.
_WORDS: Final[Mapping[Mode, str]] = {Mode.ENFORCE: "deny", Mode.WARN: "warn", Mode.AUDIT: "audit"}
_LENGTH: Final = 512


class Format(StrEnum):
    """How the report is written."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"  # workflow commands, which a pull request shows beside its lines


@dataclass(frozen=True)
class Entry:
    """One object that was checked, and where it stands: `file` is empty for one that lives in a cluster.

    `more` tells what else belongs to it, for people; `line_of` gives the line of a path in it.
    """

    checked: Checked
    file: str = ""
    line: int | None = None
    line_of: Callable[[str], int | None] = lambda _: None
    more: Mapping[str, int] | None = None

    @property
    def place(self) -> str:
        """File and line, as far as they are known."""
        return ":".join(str(part) for part in (self.file, self.line) if part)


def written(form: Format, entries: Sequence[Entry], policy: Policy, what: str = "object") -> Iterator[str]:
    """Give the lines of the report; `what` names one of what was looked at."""
    if form is Format.JSON:
        yield json.dumps(_json(entries, policy), indent=2)
    elif form is Format.GITHUB:
        for entry in entries:
            yield from _commands(entry)
        yield _summary(entries, policy, what)
    else:
        for entry in entries:
            yield from _text(entry)
        yield _summary(entries, policy, what)


def refused(entries: Iterable[Entry]) -> bool:
    """Tell whether anything is refused, now or later."""
    return any(entry.checked.outcome.is_refusal for entry in entries)


def _summary(entries: Sequence[Entry], policy: Policy, what: str) -> str:
    count = Counter(entry.checked.outcome for entry in entries)
    parts = ", ".join(f"{outcome}: {count[outcome]}" for outcome in Outcome if count[outcome])
    number = f"{len(entries)} {what}{'' if len(entries) == 1 else 's'}"
    return f"{number}{'; ' if parts else ''}{parts} (policy {policy.name} {policy.hash})"


def _text(entry: Entry) -> Iterator[str]:
    checked = entry.checked
    if checked.outcome is Outcome.NOT_JUDGED or (
        # of all that lives only what is to be told; the last line counts the rest
        not entry.file and checked.outcome is Outcome.ALLOWED and not checked.violations
    ):
        return
    place = f"{entry.place}: " if entry.place else ""
    more = ", ".join(f"{number} {kind}" for kind, number in (entry.more or {}).items())
    yield clean(f"{place}{checked}: {checked.outcome}{f' ({more})' if more else ''}", _LENGTH)
    for violation in checked.violations:
        yield f"  {_mode(violation):6} {violation}{_at(entry, violation.path)}"
    for problem in checked.problems:
        word = "deny" if checked.problems_deny else "warn"
        yield clean(f"  {word:6} {problem}{_at(entry, problem.path)}", _LENGTH)
    for registrar in checked.registrars:
        yield clean(f"  {'inject' if registrar.engine else 'leave':6} {_told(registrar)}", _LENGTH)


def _mode(violation: Violation) -> str:
    return "except" if violation.exception else _WORDS[violation.mode]


def _at(entry: Entry, path: str) -> str:
    line = entry.line_of(path)
    return "" if line is None else f" (line {line})"


def _told(registrar: Registrar) -> str:
    """Say what the injector would do."""
    if not registrar.engine:
        return registrar.message or f"{registrar.path}: {registrar.reason or 'asks for no registrar'}"
    told = f"{registrar.path}: {registrar.engine} in container {registrar.container}, port {registrar.port}"
    return f"{told}; {registrar.message}" if registrar.message else told


def _commands(entry: Entry) -> Iterator[str]:
    """Give the workflow commands `error` and `warning` (GitHub's "Workflow commands for GitHub Actions")."""
    checked = entry.checked
    for violation in checked.violations:
        if violation.exception or violation.mode is Mode.AUDIT:
            continue
        level = "error" if violation.mode is Mode.ENFORCE else "warning"
        yield _command(level, entry, violation.rule, violation.path, f"{checked}: {violation}")
    for problem in checked.problems:
        level = "error" if checked.problems_deny else "warning"
        yield _command(level, entry, problem.reason, problem.path, f"{checked}: {problem}")


def _command(level: str, entry: Entry, title: str, path: str, message: str) -> str:
    known = {"file": entry.file, "line": entry.line_of(path) or entry.line, "title": title}
    properties = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in known.items() if value)
    return f"::{level} {properties}::{_escaped(clean(message, _LENGTH))}"


def _escaped(text: str, more: str = "") -> str:
    """Escape as the toolkit does (`escapeData`, `escapeProperty` of actions/toolkit, core/src/command.ts)."""
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _json(entries: Sequence[Entry], policy: Policy) -> dict[str, Any]:
    count = Counter(entry.checked.outcome for entry in entries)
    return {
        "policy": {"name": policy.name, "hash": policy.hash},
        "objects": [_object(entry) for entry in entries],
        "summary": {outcome: count[outcome] for outcome in Outcome},
    }


def _object(entry: Entry) -> dict[str, Any]:
    checked = entry.checked
    return {
        **({"file": entry.file, "line": entry.line} if entry.file else {}),
        "kind": checked.kind,
        "namespace": checked.namespace,
        "name": checked.name,
        "outcome": checked.outcome,
        **(dict(entry.more) if entry.more else {}),
        "violations": [_violation(entry, violation) for violation in checked.violations],
        "problems": [_problem(entry, problem) for problem in checked.problems],
        "registrars": [registrar._asdict() for registrar in checked.registrars],
    }


def _violation(entry: Entry, violation: Violation) -> dict[str, Any]:
    return {**violation._asdict(), "line": entry.line_of(violation.path)}


def _problem(entry: Entry, problem: Problem) -> dict[str, Any]:
    found = {"reason": problem.reason, "path": problem.path, "message": problem.message}
    return {**found, "line": entry.line_of(problem.path)}

"""The commands `check`, `policy lint` and `names lint`: reads files, judges, prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from webhook.broker.names_document import doubts
from webhook.broker.names_document import parse as parse_names
from webhook.check import manifests, report
from webhook.check.cluster import CLOSED, COLLECTIONS, NAMESPACES, Survey
from webhook.check.manifests import ManifestError
from webhook.check.report import Entry, Format
from webhook.check.verdicts import Engine
from webhook.config import ConfigError
from webhook.defaults import NO_DEFAULTS, Defaults
from webhook.defaults import parse as parse_defaults
from webhook.documents import DocumentError
from webhook.inject import Injection
from webhook.policy.document import expiry
from webhook.policy.document import parse as parse_policy
from webhook.policy.lint import lint
from webhook.policy.policy import Policy
from webhook.policy.table import RULES
from webhook.policy_file import SHIPPED, shipped_path
from webhook.reasons import shown

T = TypeVar("T")

STDIN: Final = "-"
_DAY: Final = 86400
# A date without a time of day.
_DATE: Final = len("2026-12-31")
# Stands for the registrar's image where none is given: no image is called that.
_ANY_IMAGE: Final = "(registrar)"


class UnusableError(Exception):
    """The input cannot be used; each of `problems` names the file, and the line if it is known."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Options:
    """What both ways of `check` are told. `now` is in seconds since the epoch."""

    policy: Policy
    now: float
    form: Format
    registrar_image: str
    token_audience: str
    defaults: Defaults

    @property
    def engine(self) -> Engine:
        """The decisions under these."""
        image = self.registrar_image or _ANY_IMAGE
        config = Injection(
            cluster="check", image=image, token_audience=self.token_audience, defaults=self.defaults
        )
        return Engine(self.policy, config, self.now)


def options(
    *, policy: str, defaults: str, at: str, form: str, registrar_image: str, token_audience: str
) -> Options:
    """Read what the flags name. Raises UnusableError with everything that is wrong."""
    problems: list[str] = []

    def taken(read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except UnusableError as error:
            problems.extend(error.problems)
            return otherwise

    held = taken(lambda: read_policy(policy), None)
    wished = taken(lambda: _read(defaults, parse_defaults), NO_DEFAULTS) if defaults else NO_DEFAULTS
    now = taken(lambda: _moment(at), 0.0) if at else time.time()
    if problems or held is None:
        raise UnusableError(problems)
    return Options(held, now, Format(form), registrar_image, token_audience, wished)


def check_files(names: Sequence[str], given: Options, namespace: str) -> int:
    """Judge the manifests in these files (`-`: standard input). Gives the exit code, 0 or 1.

    `namespace` counts for those that name none.
    Raises UnusableError if any of them cannot be used.
    """
    problems: list[str] = []
    entries: list[Entry] = []
    engine = given.engine
    for name in names:
        try:
            entries += _entries(name, engine, namespace)
        except UnusableError as error:
            problems += error.problems
    if problems:
        raise UnusableError(problems)
    say(report.written(given.form, entries, given.policy))
    return int(report.refused(entries))


def check_cluster(given: Options, kubeconfig: str, context: str, namespace: str) -> int:
    """Judge what lives in a cluster, or in one namespace of it. Gives the exit code, 0 or 1.

    Raises UnusableError if it cannot be read.
    """
    from webhook.kube.reading import Cluster, KubeError  # noqa: PLC0415 - the client takes a while to import

    try:
        cluster = Cluster(kubeconfig, context)
        # of one namespace alone the rights may not reach to namespaces
        closed = (
            None
            if namespace
            else {str(found["metadata"]["name"]) for found in cluster.listed(NAMESPACES, CLOSED)}
        )
        survey = Survey(given.engine, given.registrar_image, closed)
        for collection in COLLECTIONS:
            for obj in cluster.listed(collection.path(namespace)):
                survey.add(collection.kind, obj)
    except KubeError as error:
        raise UnusableError([str(error)]) from None
    entries = survey.entries()
    say(report.written(given.form, entries, given.policy, "model server"))
    return int(report.refused(entries))


def lint_policy(name: str) -> int:
    """Check a policy file; `default` is the one that ships. Gives 0.

    What its author probably did not mean is told and is no failure. Raises UnusableError with every mistake.
    """
    path = _policy_path(name)
    text, called = _text(path), _called(path)
    found = lint(text, RULES, time.time())
    if found.errors:
        raise UnusableError([f"{called}: {error}" for error in found.errors])
    say([f"{called}: warning: {warning}" for warning in found.warnings])
    policy = parse_policy(text, RULES)
    say([f"{called}: policy {policy.name} {policy.hash} can be used"])
    return 0


def lint_names(name: str) -> int:
    """Check a names file of the broker. Gives 0. Raises UnusableError with every mistake."""
    names, called = _read(name, parse_names), _called(name)
    say([f"{called}: warning: {doubt}" for doubt in doubts(names)])
    say([f"{called}: names for {len(names.entries)} kinds of namespaces can be used"])
    return 0


def say(lines: Iterator[str] | Sequence[str]) -> None:
    """Print the result."""
    for line in lines:
        print(line)  # noqa: T201 - the command's output


def read_policy(name: str) -> Policy:
    """Read a policy file; `default` is the one that ships. Raises UnusableError."""
    return _read(_policy_path(name), lambda text: parse_policy(text, RULES))


def _policy_path(name: str) -> str:
    return str(shipped_path()) if name == SHIPPED else name


def _entries(name: str, engine: Engine, namespace: str) -> Iterator[Entry]:
    file = _called(name)
    try:
        found = manifests.read(_content(name))
    except ManifestError as error:
        line = f":{error.line}" if error.line else ""
        raise UnusableError([f"{file}{line}: {error}"]) from None
    for manifest in found:
        checked = engine.check(manifest.kind, manifest.obj, manifest.namespace or namespace)
        yield Entry(checked, file, manifest.line, manifest.line_of)


def _read(name: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(_text(name))
    except ConfigError as error:
        raise UnusableError([f"{_called(name)}: {problem}" for problem in error.problems]) from None


def _called(name: str) -> str:
    return "<stdin>" if name == STDIN else name


def _text(name: str) -> str:
    try:
        return _content(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableError([f"{_called(name)}: not UTF-8, at byte {error.start}"]) from None


def _content(name: str) -> bytes:
    try:
        # one byte more than is allowed tells that it is too much
        if name == STDIN:
            return sys.stdin.buffer.read(manifests.MAX_BYTES + 1)
        with Path(name).open("rb") as file:
            return file.read(manifests.MAX_BYTES + 1)
    except OSError as error:
        raise UnusableError([f"{name}: cannot be read: {error.strerror or error}"]) from None


def _moment(text: str) -> float:
    """Read `--at`: of a date its first second in UTC, since an exception of that date still counts then."""
    try:
        end = expiry(text)
    except DocumentError:
        allowed = "a date like 2026-12-31 or a time like 2026-12-31T18:00:00Z"
        raise UnusableError([f"--at: found {shown(text)}, allowed is {allowed}"]) from None
    return end - _DAY if len(text) == _DATE else end

"""What `list` says: a table as kubectl prints them, and JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

from webhook.broker.limits import MAX_TEXT
from webhook.flags import without_secrets
from webhook.listing.shapes import Entry, Listing
from webhook.review import clean

# Of the JSON: only ever added to under the same number.
VERSION: Final = 1

_COLUMNS: Final = (
    "NAMESPACE",
    "POD",
    "AGE",
    "STATE",
    "SINCE",
    "MODEL",
    "ROW-AGE",
    "ADDRESS",
    "NODE",
    "DIFFERS",
)
# As kubectl: between columns, and where there is nothing to show.
_GAP: Final = "   "
_NONE: Final = "<none>"
_UNKNOWN: Final = "<unknown>"
# No name is longer: Kubernetes' have 253 characters at most, those of models this many (broker/limits.py).
_LONGEST: Final = MAX_TEXT
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_YEAR: Final = 365 * _DAY


# Gives the seconds since a time as Kubernetes writes it (RFC 3339), None for a text that is none.
SecondsSince = Callable[[str], float | None]


class Output(StrEnum):
    """How the list is written."""

    TABLE = "table"
    JSON = "json"


def table(entries: Sequence[Entry], seconds_since: SecondsSince) -> Iterator[str]:
    """Give the lines of the table: every name whole, however long."""
    lines = [_COLUMNS, *(tuple(map(_plain, _cells(entry, seconds_since))) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def document(listing: Listing, now: str) -> dict[str, Any]:
    """Give the list as an object of JSON, of which the README tells the fields; `now` is RFC 3339."""
    entries = listing.entries
    return {
        "version": VERSION,
        "at": now,
        "cluster": listing.cluster,
        "namespace": listing.namespace or None,
        "entries": [_object(entry) for entry in entries],
        "summary": {
            "pods": len({entry.pod.uid for entry in entries if entry.pod}),
            "rows": sum(entry.row is not None for entry in entries),
            "differing": sum(bool(entry.differs) for entry in entries),
        },
        "notes": list(listing.notes),
    }


def age(created: str, seconds_since: SecondsSince) -> str:
    """Say how long ago a time was, as kubectl does.

    (`translateTimestampSince` of kubernetes, pkg/printers/internalversion/printers.go.)
    """
    if not created:
        return _NONE
    seconds = seconds_since(created)
    return _UNKNOWN if seconds is None else lasting(max(int(seconds), 0))


def lasting(seconds: int) -> str:
    """Say how long something lasts, ever less exactly: below each bound in these units.

    (`HumanDuration` of k8s.io/apimachinery, pkg/util/duration/duration.go.)
    """
    for bound, large, small in (
        (2 * _MINUTE, (1, "s"), None),
        (10 * _MINUTE, (_MINUTE, "m"), (1, "s")),
        (3 * _HOUR, (_MINUTE, "m"), None),
        (8 * _HOUR, (_HOUR, "h"), (_MINUTE, "m")),
        (2 * _DAY, (_HOUR, "h"), None),
        (8 * _DAY, (_DAY, "d"), (_HOUR, "h")),
        (2 * _YEAR, (_DAY, "d"), None),
        (8 * _YEAR, (_YEAR, "y"), (_DAY, "d")),
    ):
        if seconds < bound:
            rest = seconds % large[0] // small[0] if small else 0
            return f"{seconds // large[0]}{large[1]}{f'{rest}{small[1]}' if small and rest else ''}"
    return f"{seconds // _YEAR}y"


def _cells(entry: Entry, seconds_since: SecondsSince) -> Iterator[str]:
    pod, row = entry.pod, entry.row
    registered = pod.registered if pod else None
    yield from entry.pod_id[:2]
    yield age(pod.created, seconds_since) if pod else _NONE
    yield registered.word or _UNKNOWN if registered else _NONE
    yield age(registered.since, seconds_since) if registered else _NONE
    yield row.own.name if row else _NONE
    yield age(row.created, seconds_since) if row else _NONE
    yield without_secrets(row.address) if row else _NONE
    yield pod.node if pod else _NONE
    yield ",".join(entry.differs)


def _plain(cell: str) -> str:
    """Leave nothing in a cell that moves a terminal's cursor."""
    return clean(cell, _LONGEST) or _NONE


def _object(entry: Entry) -> dict[str, Any]:
    pod, row = entry.pod, entry.row
    registered = pod.registered if pod else None
    namespace, name, uid = entry.pod_id
    return {
        "namespace": namespace,
        "pod": name,
        "pod_uid": uid,
        "pod_created": (pod.created or None) if pod else None,
        "deleting": pod.deleting if pod else None,
        "server": (pod.server or None) if pod else None,
        "node": (pod.node or None) if pod else None,
        "node_ready": entry.node_ready,
        "state": registered.state if registered else None,
        "reason": (registered.reason or None) if registered else None,
        "message": (registered.message or None) if registered else None,
        "since": (registered.since or None) if registered else None,
        "registrar_trouble": (pod.trouble or None) if pod else None,
        "model": row.own.name if row else None,
        "row": row.own.id if row else None,
        "row_created": (row.created or None) if row else None,
        "address": without_secrets(row.address) if row else None,
        "elsewhere": [asdict(holder) for holder in entry.elsewhere],
        "differs": list(entry.differs),
    }

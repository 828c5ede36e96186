"""How many rows may be written at once, as annotations of the Lease tell. Pure.

What was written in the last ten minutes stands in the Lease that the leader holds, so that the next leader
goes on from there, and two at once cannot both use up the share: the Lease is written under its
resourceVersion before any row is.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.contract import DOMAIN
from webhook.reaper.shapes import Bounds

# A person's word: so many rows may go once, beyond the share.
LEAVE: Final = f"{DOMAIN}/reap"
# What was written and when: JSON, seconds since 1970 to the rows' short names.
WRITTEN: Final = f"{DOMAIN}/reaped"
# Seconds for which a row that was written counts.
WINDOW: Final = 600.0
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
# Of a hash: with 10,000 rows two share a short name once in 200,000 times.
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Grant:
    """How many of the rows that are due may be written, and the annotations to be stored before (None: off).

    `limit` is how many could be within ten minutes, `used` tells that a person's word was needed, `bad` a
    word that is none.
    """

    count: int
    limit: int
    annotations: Mapping[str, str | None]
    used: bool = False
    bad: str = ""


def granted(
    annotations: Mapping[str, str], due: Collection[str], own: Collection[str], now: float, bounds: Bounds
) -> Grant:
    """Tell how many of the rows with the ids `due` may be written, in their order, of all that we own.

    A row that was written within ten minutes counts once, however often it is tried. `now` is the time of
    day, in seconds since 1970.
    """
    written = _written(annotations.get(WRITTEN, ""), now)
    before = {name for names in written.values() for name in names}
    short = {key: _short(key) for key in due}
    limit = max(bounds.at_least, math.floor(bounds.share * len(before | {_short(key) for key in own})))
    word = annotations.get(LEAVE)
    leave = int(word) if word is not None and _NUMBER.fullmatch(word) else 0
    bad = word if word is not None and not leave else ""
    within = len(before | set(short.values())) <= limit
    count = len(short) if within else min(leave, len(short))
    if not count:
        return Grant(0, limit, {}, bad=bad)
    names = [*short.values()][:count]
    kept = {at: [name for name in old if name not in names] for at, old in written.items()}
    moment = math.ceil(now)  # later, so that nothing counts for too short a time
    kept[moment] = [*kept.get(moment, []), *names]
    stored = json.dumps({str(at): names for at, names in kept.items() if names}, separators=(",", ":"))
    taken = {} if word is None or bad else {LEAVE: None}
    return Grant(count, limit, {WRITTEN: stored, **taken}, used=not within, bad=bad)


def _written(text: str, now: float) -> dict[int, list[str]]:
    """Read what was written within the window; what is of later than now counts as of now.

    Clocks of replicas differ, and one may be set.
    """
    try:
        found = json.loads(text) if text else {}
        entries = [
            (min(int(at), math.ceil(now)), [str(name) for name in names]) for at, names in found.items()
        ]
    except (ValueError, TypeError, AttributeError):
        return {}
    kept: dict[int, list[str]] = {}
    for at, names in entries:
        if now - at < WINDOW:
            kept.setdefault(at, []).extend(names)
    return kept


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:_DIGITS]

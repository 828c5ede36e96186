"""Which pods live and have ended, and what is wrong with a write or a row because of that. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.row_contract import OWNER_KEY, pod_prefix

# Seconds after which a row whose pod has ended is late.
LATE: Final = 120.0
# Seconds for which a pod has just ended: what its registrar had sent may still be carried out. A broker may
# stand still for 20 s before it reads that, and a write waits its turn for up to 28.
JUST_ENDED: Final = 60.0
# The broker asks what its key can do, and whether LiteLLM has its database, by calls on these, which no row
# is called (`webhook/broker/key_abilities.py`, `known_rows.py`).
_NOBODY: Final = frozenset({"registrar-nobody", "nobody"})

JSON = dict[str, Any]


@dataclass(slots=True)
class _Pod:
    """`leaving` and `ended` are when its end began and when it was over (seconds; None: not yet)."""

    told: str
    leaving: float | None = None
    ended: float | None = None


class Ledger:
    """Counts what must not be. Times are seconds on one clock.

    `strange` are writes, or changes of others' rows, that nobody may make; `doubled` models of one pod with
    two rows; `outlived` is how long a row was seen after its pod's end, by id; `reaped` counts deletions of
    rows whose pod had ended.
    """

    def __init__(self, cluster: str, foreign: Mapping[str, str]) -> None:
        """`foreign` are the rows of others by id, as the database writes them: they stay like that."""
        self.strange: set[str] = set()
        self.doubled: set[str] = set()
        self.outlived: dict[str, float] = {}
        self.reaped = 0
        self.born = 0
        self._cluster = cluster
        self._foreign = dict(foreign)
        self._pods: dict[str, _Pod] = {}

    def begins(self, namespace: str, name: str, uid: str) -> None:
        """Learn of a pod."""
        self.born += 1
        self._pods[pod_prefix(self._cluster, namespace, uid)] = _Pod(f"{namespace}/{name} {uid}")

    def leaves(self, namespace: str, uid: str, now: float) -> None:
        """Learn that a pod's end has begun: from now on its rows may be deleted."""
        self._pods[pod_prefix(self._cluster, namespace, uid)].leaving = now

    def ends(self, namespace: str, uid: str, now: float) -> None:
        """Learn that a pod is gone, or will never run again: from now on it may have no new rows."""
        self._pods[pod_prefix(self._cluster, namespace, uid)].ended = now

    def wrote(self, method: str, path: str, body: bytes, now: float) -> None:
        """Judge a write that is on its way to LiteLLM."""
        key, deletes = _written(method, path, body)
        if key in _NOBODY:
            return
        what, pod = f"{method} {path} of {key}", self._pods.get(_prefix(key))
        if pod is None:
            self.strange.add(f"{what}, which is no pod's")
        elif deletes and pod.leaving is None:
            self.strange.add(f"{what}, whose pod {pod.told} lives")
        elif not deletes and pod.ended is not None and now - pod.ended > JUST_ENDED:
            self.strange.add(f"{what}, whose pod {pod.told} ended {now - pod.ended:.0f} s ago")
        elif deletes and pod.ended is not None:
            self.reaped += 1

    def saw(self, stored: Mapping[str, str], now: float) -> None:
        """Judge the whole table, each row by its id as the database writes it."""
        for key, row in self._foreign.items():
            if stored.get(key) != row:
                self.strange.add(f"{key} of others is {'changed' if key in stored else 'gone'}")
        models: Counter[tuple[str, str]] = Counter()
        for key in stored.keys() - self._foreign.keys():
            pod = self._pods.get(_prefix(key))
            if pod is None:
                self.strange.add(f"{key}, a row of no pod")
                continue
            models[pod.told, str(_info(stored[key]).get(OWNER_KEY, {}).get("model"))] += 1
            if pod.ended is not None:
                self.outlived[key] = now - pod.ended
        self.doubled |= {f"{told}: {model}" for (told, model), rows in models.items() if rows > 1}

    def astray(self, stored: Mapping[str, str]) -> list[str]:
        """Name what differs from one open row for each pod that lives, and none besides."""
        rows: Counter[str] = Counter(_prefix(key) for key in stored.keys() - self._foreign.keys())
        blocked = {_prefix(key) for key, row in stored.items() if json.loads(row).get("blocked")}
        lives = {prefix: pod.told for prefix, pod in self._pods.items() if pod.ended is None}
        return [
            *(f"{rows[prefix]} rows of {told}" for prefix, told in lives.items() if rows[prefix] != 1),
            *(f"a blocked row of {told}" for prefix, told in lives.items() if prefix in blocked),
            *(f"a row of {prefix}, which does not live" for prefix in rows if prefix not in lives),
        ]

    def late(self) -> int:
        """Count the rows that were seen more than two minutes after their pod's end."""
        return sum(seconds > LATE for seconds in self.outlived.values())

    def wrong(self) -> list[str]:
        """Name everything that must not have been."""
        return [
            *(f"foreign write: {one}" for one in sorted(self.strange)),
            *(f"two rows: {one}" for one in sorted(self.doubled)),
        ]


def _written(method: str, path: str, body: bytes) -> tuple[str, bool]:
    """Give the id of the row that is written, and whether it is deleted."""
    asked: JSON = json.loads(body or b"{}")
    if (method, path) == ("POST", "/model/delete"):
        return str(asked.get("id")), True
    if (method, path) == ("POST", "/model/new"):
        refused = asked.get("model_name") in _NOBODY and not asked.get("litellm_params")
        return str(asked["model_name"] if refused else asked.get("model_info", {}).get("id")), False
    if method == "PATCH" and path.startswith("/model/") and path.endswith("/update"):
        return path.removeprefix("/model/").removesuffix("/update"), False
    return "a call that no registrar makes", False


def _prefix(key: str) -> str:
    """Give what ids of one pod's rows have in common (`pod_prefix`)."""
    return key.rpartition("-")[0] + "-"


def _info(row: str) -> JSON:
    found = json.loads(row).get("model_info") or {}
    return found if isinstance(found, dict) else {}

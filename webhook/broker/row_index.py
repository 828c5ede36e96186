"""Whose rows LiteLLM has, and by which names a request reaches them: of each row only that. Pure.

A request reaches a row by more names than `model_name` (`_common_checks_available_deployment` in
litellm/router.py and litellm/router_utils/pattern_match_deployments.py, 1.106, and tried): by its id, by its
`litellm_params.model`, within a team by `team_public_model_name`, and by what fits a name with `*`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.row_contract import OWNER_KEY, pod_prefix
from webhook.broker.shapes import Holder
from webhook.pods import mapping

_ELSEWHERE: Final = Holder()
_PREFIX: Final = len(pod_prefix("", "", ""))
# Seconds for which a replica of LiteLLM that did not delete a row itself may show it still, and send requests
# to it (PROXY_CONFIG_RELOAD_INTERVAL_SECONDS is 30, measured 14 to 30).
LAG: Final = 40.0


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row: its id, the name it was given, every name that leads to it, and whose it is.

    `patterns` are those of its names that have a `*`.
    """

    id: str
    name: str
    names: frozenset[str]
    patterns: tuple[str, ...]
    holder: Holder


def known_row(shown: Mapping[str, Any]) -> KnownRow | None:
    """Take of a row, as LiteLLM shows it or as it is sent, what is kept; None: it is none."""
    info, params = mapping(shown.get("model_info")), mapping(shown.get("litellm_params"))
    key, name = info.get("id"), shown.get("model_name")
    if not isinstance(key, str) or not isinstance(name, str):
        return None
    given = {each for each in (name, info.get("team_public_model_name")) if isinstance(each, str)}
    leading = given | {each for each in (key, params.get("model")) if isinstance(each, str)}
    patterns = tuple(each for each in given if "*" in each)
    return KnownRow(key, name, frozenset(leading), patterns, _holder(key, info))


def _holder(key: str, info: Mapping[str, Any]) -> Holder:
    """Read whose a row is; an id that tells its pod must tell the same.

    Ids of registrars up to contract 2 do not: there the block alone counts.
    """
    block = mapping(info.get(OWNER_KEY))
    cluster, namespace, uid = (block.get(name) for name in ("cluster", "namespace", "pod_uid"))
    if not isinstance(cluster, str) or not isinstance(namespace, str) or not isinstance(uid, str):
        return _ELSEWHERE
    tells = key[_PREFIX - 1 : _PREFIX] == "-" and key.startswith("registrar-")
    if tells and not key.startswith(pod_prefix(cluster, namespace, uid)):
        return _ELSEWHERE
    return Holder(cluster, namespace)


def catches(pattern: str, name: str) -> bool:
    """Tell whether LiteLLM's router takes this name for one of a pattern with `*`.

    It looks for the pattern at the name's beginning and does not ask where the name ends: `a-*-b` takes
    `a-1-bc` too.
    """
    first, *others = pattern.split("*")
    if not name.startswith(first):
        return False
    at = len(first)
    for part in others:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


class RowIndex:
    """The rows that were seen, each with the moment it was seen last.

    A row that was deleted goes on holding its names until it is forgotten, and counts as nobody's otherwise.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[KnownRow, float]] = {}
        self._by_name: defaultdict[str, set[str]] = defaultdict(set)
        self._by_pod: defaultdict[str, set[str]] = defaultdict(set)
        self._with_patterns: dict[str, KnownRow] = {}
        self._holders: Counter[Holder] = Counter()
        self._deleted: dict[str, float] = {}
        self._listed: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Tell how many rows are known."""
        return len(self._rows)

    def saw(self, rows: Iterable[KnownRow], now: float) -> None:
        """Take up rows as LiteLLM shows them; a deleted one may be shown for a while."""
        for row in rows:
            if now - self._deleted.get(row.id, now) > LAG:
                del self._deleted[row.id]
            self._put(row, now)

    def wrote(self, row: KnownRow, now: float) -> None:
        """Take up a row that is there now."""
        self._deleted.pop(row.id, None)
        self._put(row, now)

    def deleted(self, key: str, now: float) -> None:
        """Learn that a row is gone, if not yet for every replica of LiteLLM."""
        if key in self._rows:
            self._deleted.setdefault(key, now)

    def is_deleted(self, key: str) -> bool:
        """Tell whether a row is known to be gone, whatever a replica of LiteLLM still shows."""
        return key in self._deleted

    def listed(self, names: Collection[str]) -> None:
        """Take up every name that LiteLLM says can be asked for: of rows, aliases, groups, known models."""
        self._listed = frozenset(names)

    def forget(self, before: float) -> None:
        """Drop what was not seen since."""
        for key in [key for key, (_, seen) in self._rows.items() if seen < before]:
            self._drop(key)
            self._deleted.pop(key, None)

    def get(self, key: str) -> KnownRow | None:
        """Give a row by its id."""
        known = self._rows.get(key)
        return known and known[0]

    def own(self, prefix: str) -> dict[str, str]:
        """Give the rows whose ids begin so, id to name; `prefix` is a pod's."""
        there = self._by_pod.get(prefix, set()) - self._deleted.keys()
        return {key: self._rows[key][0].name for key in there}

    def count(self, holder: Holder) -> int:
        """Tell how many rows are known to be theirs."""
        deleted = (self._rows[key][0].holder for key in self._deleted)
        return self._holders[holder] - sum(of == holder for of in deleted)

    def holders(self, name: str) -> frozenset[Holder]:
        """Give whose rows a request by this name reaches now; what is no row's is of elsewhere."""
        found = self.by_rows(name)
        if not found and name in self._listed:
            return frozenset({_ELSEWHERE})
        return found

    def by_rows(self, name: str) -> frozenset[Holder]:
        """Give whose of the known rows a request by this name reaches, whatever else is listed."""
        return self.exactly(name) | {
            row.holder
            for row in self._with_patterns.values()
            if any(self._taken(pattern, name) for pattern in row.patterns)
        }

    def exactly(self, name: str) -> frozenset[Holder]:
        """Give whose rows a request by this name reaches when no pattern takes it."""
        return frozenset(self._rows[key][0].holder for key in self._by_name.get(name, ()))

    def _taken(self, pattern: str, name: str) -> bool:
        """Tell whether a pattern takes a name, by itself or with the provider that LiteLLM knows it to be of.

        `openai/*` takes `gpt-4.1` too (`get_pattern` in the same file): such models are listed as
        `openai/gpt-4.1`, and OpenAI's tuned ones known by their names' form (`get_llm_provider` in
        litellm/litellm_core_utils/get_llm_provider_logic.py).
        """
        if catches(pattern, name):
            return True
        provider, slash, _ = pattern.partition("/")
        whole = f"{provider}/{name}"
        if not slash or "*" in provider or not catches(pattern, whole):
            return False
        tuned = "ft:gpt-3.5-turbo" in name or "ft:gpt-4" in name or name.startswith("gpt-image")
        return (whole in self._listed and not self._by_name.get(whole)) or (provider == "openai" and tuned)

    def _put(self, row: KnownRow, now: float) -> None:
        if self.get(row.id) != row:
            self._drop(row.id)
            self._add(row)
        self._rows[row.id] = row, now

    def _drop(self, key: str) -> None:
        known = self._rows.pop(key, None)
        if known is None:
            return
        row = known[0]
        for name in row.names:
            _discard(self._by_name, name, key)
        self._with_patterns.pop(key, None)
        _discard(self._by_pod, key[:_PREFIX], key)
        self._holders[row.holder] -= 1

    def _add(self, row: KnownRow) -> None:
        for name in row.names:
            self._by_name[name].add(row.id)
        if row.patterns:
            self._with_patterns[row.id] = row
        self._by_pod[row.id[:_PREFIX]].add(row.id)
        self._holders[row.holder] += 1


def _discard(sets: defaultdict[str, set[str]], name: str, key: str) -> None:
    sets[name].discard(key)
    if not sets[name]:
        del sets[name]

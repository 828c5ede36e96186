"""The table of answers: what model servers say, and what is true of their models.

Each YAML file beside this one holds `rows`. A row:

    name: one line, unlike all others
    recorded | read: a server run here and its version, or the source file the answers were taken from
    label: vllm | ollama | openai | auto
    like: (optional) the name of an earlier row of the file whose answers are taken over
    answers: `GET /path` (with or without its query) or `POST /path` -> {status, json | text, headers}, or a
        list of these with `when` (all these strings are in the JSON body, written without blanks), of which
        the first that fits counts; `*` answers every other route, which is 404 otherwise
    probe: (optional) active
    models: served id -> {mode, context, embedding_size, quantization, can: [...], cannot: [...]}; what is not
        named is unknown. `told` names further facts that the engine's API tells: an unknown there is a fault
    or, in place of models, `not_well`: the reason why the server counts as not well, or `asleep: true`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from sidecar.contract import Engine, Probing
from sidecar.servers.facts import Ability
from sidecar.servers.shapes import Ambiguous, Asleep, Observation, Refused
from tests.standins.canned import Canned

FOLDER: Final = Path(__file__).parent
PLAIN: Final = ("mode", "context", "embedding_size", "quantization")
# A server is looked at so often: what was found at once must still be found later.
POLLS: Final = 2
# More than there are questions that make a server compute.
QUESTIONS: Final = 16

# What is known of a fact (None is "unknown"), by (served id, fact); `NO_MODEL` where there is no model.
Truth = Mapping[tuple[str, str], Any]
NO_MODEL: Final = ("", "state")


@dataclass(frozen=True, slots=True)
class Row:
    """One server and the truth about it; `told` are the facts its API answers."""

    name: str
    label: Engine
    source: str
    recorded: bool
    probing: Probing
    answers: Mapping[str, Any]
    expected: Truth
    told: frozenset[tuple[str, str]] = field(repr=False)


def load() -> tuple[Row, ...]:
    """Read all rows, in the order of files and rows. Raises ValueError or KeyError on an unsound one."""
    return tuple(
        row for file in sorted(FOLDER.glob("*.yaml")) for row in _read(yaml.safe_load(file.read_text()))
    )


async def found(row: Row) -> Truth:
    """Look at the row's server as the registrar does, and give what it found."""
    watched = _Server(row.answers).watched(row.label, probing=row.probing)
    for _ in range(POLLS):
        await watched.observe()
        for _ in range(QUESTIONS):
            await watched.explore(_idle)
    return _flat(await watched.observe())


async def _idle() -> bool:
    return True


def _flat(seen: Observation) -> Truth:
    match seen:
        case Ambiguous():
            return {NO_MODEL: str(seen.reason)}
        case Asleep():
            return {NO_MODEL: "asleep"}
        case Refused():
            return {NO_MODEL: "refused"}
    flat: dict[tuple[str, str], Any] = {}
    for model in seen.models:
        flat |= {(model.id, name): getattr(model.facts, name).value for name in PLAIN}
        flat |= {(model.id, str(ability)): model.facts.ability(ability).value for ability in Ability}
    return flat or {NO_MODEL: "no models"}


def _read(data: Mapping[str, Any]) -> list[Row]:
    answers: dict[str, Mapping[str, Any]] = {}
    rows = []
    for raw in data["rows"]:
        name = raw["name"]
        answers[name] = {**answers.get(raw.get("like"), {}), **raw.get("answers", {})}
        if "like" in raw and raw["like"] not in answers:
            raise ValueError(f"{name}: no row before it is named {raw['like']!r}")
        expected, told = _expected(name, raw)
        rows.append(
            Row(
                name=name,
                label=Engine(raw["label"]),
                source=raw["recorded"] if "recorded" in raw else raw["read"],
                recorded="recorded" in raw,
                probing=Probing(raw.get("probe", Probing.PASSIVE)),
                answers=answers[name],
                expected=expected,
                told=told,
            )
        )
    return rows


def _expected(name: str, raw: Mapping[str, Any]) -> tuple[Truth, frozenset[tuple[str, str]]]:
    models = raw.get("models")
    if not models:
        state = "asleep" if raw.get("asleep") else raw.get("not_well", "no models")
        return {NO_MODEL: state}, frozenset()
    expected: dict[tuple[str, str], Any] = {}
    told: set[tuple[str, str]] = set()
    for model, truth in models.items():
        if left := set(truth) - {*PLAIN, "can", "cannot", "told"}:
            raise ValueError(f"{name}: {model}: unknown keys {sorted(left)}")
        yes, no = ({Ability(word) for word in truth.get(key, ())} for key in ("can", "cannot"))
        if yes & no:
            raise ValueError(f"{name}: {model}: both can and cannot: {sorted(yes & no)}")
        expected |= {(model, fact): truth.get(fact) for fact in PLAIN}
        expected |= {(model, str(a)): True if a in yes else False if a in no else None for a in Ability}
        told |= {(model, fact) for fact in truth.get("told", ())}
    return expected, frozenset(told | {key for key, value in expected.items() if value is not None})


class _Server(Canned):
    """Answers as a row says."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__({})
        self._answers = answers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        with_query = f"{request.method} {request.url.raw_path.decode()}"
        plain = f"{request.method} {request.url.path}"
        given = next((self._answers[key] for key in (with_query, plain, "*") if key in self._answers), None)
        for answer in given if isinstance(given, list) else [given]:
            if answer is not None and _fits(answer, request):
                return _response(answer)
        return httpx.Response(404, json={"detail": "Not Found"})


def _fits(answer: Mapping[str, Any], request: httpx.Request) -> bool:
    wanted = answer.get("when", ())
    if not wanted:
        return True
    try:
        body = json.dumps(json.loads(request.content), separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return False
    return all(part in body for part in ([wanted] if isinstance(wanted, str) else wanted))


def _response(answer: Mapping[str, Any]) -> httpx.Response:
    body = json.dumps(answer["json"]) if "json" in answer else answer.get("text", "")
    kind = "application/json" if "json" in answer else "text/plain"
    return httpx.Response(
        answer.get("status", 200),
        content=body,
        headers={"Content-Type": kind, **answer.get("headers", {})},
    )

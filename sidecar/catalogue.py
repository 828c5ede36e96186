"""What the server serves, and the rows that follow from it: kept through hiccups, said when it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sidecar import telling
from sidecar.contract import PodIdentity, Settings
from sidecar.description import overridden, owners_word
from sidecar.health import Roster, update
from sidecar.log import Log, Word
from sidecar.naming import Naming, naming
from sidecar.problems import Problems
from sidecar.reasons import Reason
from sidecar.registration import Row, Stored, adopted, desired_rows, left_over
from sidecar.servers.shapes import Answer, Model
from sidecar.steadiness import Held, steadied

LEFT_OUT: Final = "models"


class Catalogue:
    """The models of one server as last seen; one is gone when several good answers in a row lack it."""

    def __init__(
        self,
        settings: Settings,
        identity: PodIdentity,
        base_url: str,
        *,
        api_key: str | None,
        problems: Problems,
        log: Log,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._base_url = base_url
        self._api_key = api_key
        self._problems = problems
        self._log = log
        self._roster = Roster({})
        self._answer: Answer | None = None
        self._held: Mapping[str, Held] = {}
        self._told: dict[str, Model] = {}
        self._rows: tuple[Row, ...] = ()

    @property
    def answer(self) -> Answer | None:
        """Give the last good answer."""
        return self._answer

    @property
    def rows(self) -> tuple[Row, ...]:
        """Give the rows that are to be in LiteLLM."""
        return self._rows

    @property
    def empty(self) -> bool:
        """Whether no model counts as served."""
        return not self._roster.missing

    def status(self) -> Mapping[str, Any]:
        """Give what is known of each model, by its served id."""
        return {key: telling.status(model) for key, model in self._told.items()}

    def take(self, answer: Answer | None, *, now: float, waited: float) -> None:
        """Take in one more look at the server at `now` (seconds): its good answer, or None.

        `waited` is how many seconds were waited for a first answer.
        """
        self._roster = update(self._roster, answer)
        if answer is None:
            return
        answer = self._believed(answer, now)
        before, self._answer = self._answer, answer
        names = naming(answer.models, answer.engine, self._settings, self._identity)
        self._tell_server(before, answer, names, waited)
        self._tell_models(answer)
        self._tell_naming(answer, names)
        seen = {model.id for model in answer.models}
        wanted = desired_rows(answer, self._base_url, self._settings, self._identity, api_key=self._api_key)
        # Rows of models that this answer lacks stay as they are: missing ones, and those of an earlier life.
        kept = (row for row in self._rows if row.served in self._roster and row.served not in seen)
        self._rows = (*wanted, *kept)

    def adopt(self, stored: Stored) -> tuple[Row, bool]:
        """Take over a row of this pod found in LiteLLM; tells whether it is kept until more is known."""
        row = adopted(stored)
        keep = not left_over(row, self._settings, self._identity)
        if keep:
            self._rows = (*self._rows, row)
            self._roster = Roster({**self._roster.missing, row.served: 0})
        return row, keep

    def forget(self) -> None:
        """Forget everything: the rows go, and what is served next is found anew."""
        self._roster = Roster({})
        self._answer = None
        self._held = {}
        self._told.clear()
        self._rows = ()

    def _believed(self, answer: Answer, now: float) -> Answer:
        """Give the answer with what is believed of each model."""
        held = steadied(self._held, answer.models, now)
        for served, each in held.items():
            if each.unsteady:
                self._problems.say(f"model {served}", Reason.SERVER_UNSTEADY, model=served)
            elif not each.changes:
                self._problems.clear(f"model {served}", model=served)
        for served in self._held.keys() - self._roster.missing.keys():
            self._problems.clear(f"model {served}", quiet=True)
        missing = {served: each for served, each in self._held.items() if served in self._roster}
        self._held = {**missing, **held}
        return replace(answer, models=tuple(each.model for each in held.values()))

    def _tell_server(self, before: Answer | None, now: Answer, names: Naming, waited: float) -> None:
        listed = {served for served in self._told if served in self._roster} | {m.id for m in now.models}
        same = before is not None and (before.engine, before.version) == (now.engine, now.version)
        if not now.models or (same and listed == self._told.keys()):
            return
        self._log.event(
            Word.FOUND,
            "The server answers",
            engine=now.engine,
            version=now.version,
            models=sorted(listed),
            left_out=names.left_out or None,
            url=self._base_url,
            waited=waited if before is None or not before.models else None,
        )

    def _tell_models(self, now: Answer) -> None:
        """Say what is known of each model when it is first seen, and again when that changes."""
        told = {key: model for key, model in self._told.items() if key in self._roster}
        for served in now.models:
            facts = overridden(served.facts, owners_word(served.id, self._settings))
            model = told[served.id] = replace(served, facts=facts)
            before = self._told.get(served.id)
            if before is None or (before.facts, before.digest) != (model.facts, model.digest):
                sentence = "A model is served" if before is None else "More, or other, is known of a model"
                self._log.event(Word.FOUND, sentence, model=served.id, **telling.line(model))
        self._told = told

    def _tell_naming(self, now: Answer, names: Naming) -> None:
        if now.models and not names.named:
            self._problems.say(LEFT_OUT, Reason.ALL_LEFT_OUT, models=names.left_out)
        else:
            self._problems.clear(LEFT_OUT)
        for alias in self._settings.aliases:
            subject, reason = f"alias {alias.name} {alias.model}", names.unfit.get(alias)
            if reason is None:
                self._problems.clear(subject, alias=alias.name)
            else:
                self._problems.say(subject, reason, alias=alias.name, model=alias.model)

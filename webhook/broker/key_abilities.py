"""What LiteLLM's key can do, found out without writing anything: each call is one that cannot succeed.

A key is bound to routes by `allowed_routes` (litellm/proxy/auth/route_checks.py, 1.106); what it may not call
is 403 before anything else is looked at. The answers below are those of LiteLLM 1.106.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from webhook.broker.shapes import Call, RefusedError, Reply

# The routes of the narrowest key that works. `/model/registrar-*` lets it change rows of registrars alone;
# a deletion names its row in the body, so that no key can be bound to some.
ROUTES: Final = ("/model/new", "/model/registrar-*", "/model/delete", "/v2/model/info", "/v1/models")

# An id that no row has: neither a registrar's nor one that LiteLLM makes.
_NOBODY: Final = "registrar-nobody"
_FORBIDDEN: Final = 403
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_OK: Final = 200
_SECONDS: Final = 15.0


class Ability(StrEnum):
    """What the broker needs a key for."""

    CREATE = "create"
    CHANGE = "change, block and unblock"
    DELETE = "delete"
    READ = "read rows"
    LIST = "list names"


_NEEDED: Final = {
    # refused by FastAPI after the key was looked at: 422
    Ability.CREATE: Call("POST", "/model/new", body={"model_name": _NOBODY, "litellm_params": {}}),
    # 404
    Ability.CHANGE: Call("PATCH", f"/model/{_NOBODY}/update", body={}),
    # 400 "Model with id=... not found in db"
    Ability.DELETE: Call("POST", "/model/delete", body={"id": _NOBODY}),
    # 200 without a row
    Ability.READ: Call("GET", "/v2/model/info", {"modelId": _NOBODY, "size": "1"}),
    Ability.LIST: Call("GET", "/v1/models", {"scope": "expand"}),
}
# 404 for a key that may change anybody's rows.
_ANY_ROW: Final = Call("PATCH", "/model/nobody/update", body={})
# 403 for a key that may not call it, 200 for one that may, 404 for the master key, which is in no database.
_OF_A_KEY: Final = Call("GET", "/key/info")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a key can do. `unknown` says why that could not be found out; then nothing else counts.

    `wide` is a key that may change rows that are not registrars', `unbound` one that may call more than rows
    need, `master` the master key itself.
    """

    missing: tuple[Ability, ...] = ()
    wide: bool = False
    unbound: bool = False
    master: bool = False
    unknown: str = ""

    @property
    def is_narrow(self) -> bool:
        """Tell whether nobody need be warned: the key can do what is needed, and no more than need be."""
        return self == Abilities()

    def sentence(self) -> str:
        """Say it in one line."""
        if self.unknown:
            return f"What LiteLLM's key can do is not known: {self.unknown}"
        able = [ability for ability in Ability if ability not in self.missing]
        parts = [
            f"LiteLLM's key can {_listed(able)}" if able else "LiteLLM's key can do nothing that is needed"
        ]
        if self.missing:
            parts.append(f"it cannot {_listed(self.missing)}")
        if self.master:
            parts.append("it is the master key, which can do everything: make one that is bound to routes")
        elif self.unbound:
            parts.append("it is not bound to what rows need: make one with fewer allowed_routes")
        elif self.wide:
            parts.append("it can change rows of anybody's: /model/registrar-* suffices")
        return "; ".join(parts)


class Sending(Protocol):
    """What is needed of the way to LiteLLM."""

    async def send(self, call: Call, seconds: float) -> Reply:
        """Make a call. Raises RefusedError."""


async def find_out(upstream: Sending) -> Abilities:
    """Ask LiteLLM what the key can do."""
    try:
        answers = {ability: await upstream.send(call, _SECONDS) for ability, call in _NEEDED.items()}
        any_row, of_a_key = [await upstream.send(call, _SECONDS) for call in (_ANY_ROW, _OF_A_KEY)]
    except RefusedError as error:
        return Abilities(unknown=error.message)
    statuses = [answer.status for answer in (*answers.values(), any_row, of_a_key)]
    if _UNAUTHORIZED in statuses:
        return Abilities(unknown="LiteLLM does not know it (401)")
    # Where the database is away LiteLLM answers so, before it looks at anything (`no_db_connection`).
    if all(status >= 500 for status in statuses):  # noqa: PLR2004 - faults of a server
        return Abilities(unknown=f"LiteLLM answers {statuses[0]}")
    return Abilities(
        missing=tuple(ability for ability, answer in answers.items() if answer.status == _FORBIDDEN),
        wide=any_row.status == _NOT_FOUND,
        unbound=of_a_key.status == _OK,
        master=of_a_key.status == _NOT_FOUND,
    )


def _listed(abilities: Iterable[Ability]) -> str:
    return ", ".join(abilities)

"""What is said of LiteLLM's key; the answers are those of 1.106.2 (tests/real/broker shows them)."""

import pytest

from webhook.broker.key_abilities import Abilities, Ability, find_out
from webhook.broker.shapes import Call, RefusedError, Reply, Rule

NOT_ALLOWED = Reply(403, b'{"detail":"Virtual key is not allowed to call this route."}')
WELL = {
    "POST /model/new": 422,
    "PATCH /model/registrar-nobody/update": 404,
    "POST /model/delete": 400,
    "GET /v2/model/info": 200,
    "GET /v1/models": 200,
    "PATCH /model/nobody/update": 403,
    "GET /key/info": 403,
}


class LiteLLM:
    """Answers each route with one status, or fails."""

    def __init__(self, statuses: dict[str, int], error: RefusedError | None = None) -> None:
        self.statuses = {**WELL, **statuses}
        self.error = error

    async def send(self, call: Call, _: float) -> Reply:
        """Answer."""
        if self.error is not None:
            raise self.error
        status = self.statuses[f"{call.method} {call.path}"]
        return NOT_ALLOWED if status == 403 else Reply(status, b"{}")


async def test_the_narrowest_key_that_works_is_nothing_to_warn_of() -> None:
    """It can do what is needed; of another row and of keys it is refused."""
    found = await find_out(LiteLLM({}))
    assert found.is_narrow
    assert found.sentence() == (
        "LiteLLM's key can create, change, block and unblock, delete, read rows, list names"
    )


@pytest.mark.parametrize(
    ("statuses", "found", "said"),
    [
        ({"POST /model/new": 403}, Abilities(missing=(Ability.CREATE,)), "it cannot create"),
        (
            {"PATCH /model/registrar-nobody/update": 403, "GET /v1/models": 403},
            Abilities(missing=(Ability.CHANGE, Ability.LIST)),
            "it cannot change, block and unblock, list names",
        ),
        (dict.fromkeys(WELL, 403), Abilities(missing=tuple(Ability)), "can do nothing that is needed"),
        ({"PATCH /model/nobody/update": 404}, Abilities(wide=True), "it can change rows of anybody's"),
        (
            {"PATCH /model/nobody/update": 404, "GET /key/info": 200},
            Abilities(wide=True, unbound=True),
            "make one with fewer allowed_routes",
        ),
        (
            {"PATCH /model/nobody/update": 404, "GET /key/info": 404},
            Abilities(wide=True, master=True),
            "it is the master key",
        ),
        (dict.fromkeys(WELL, 401), Abilities(unknown="LiteLLM does not know it (401)"), "is not known"),
        (dict.fromkeys(WELL, 503), Abilities(unknown="LiteLLM answers 503"), "LiteLLM answers 503"),
    ],
)
async def test_gaps_and_excess_are_named(statuses: dict[str, int], found: Abilities, said: str) -> None:
    """One line says what is missing, and what the key can do that it need not."""
    abilities = await find_out(LiteLLM(statuses))
    assert abilities == found
    assert said in abilities.sentence()
    assert not abilities.is_narrow


async def test_a_litellm_that_cannot_be_asked_leaves_it_open() -> None:
    """The broker starts all the same, and says why it does not know."""
    error = RefusedError(Rule.CANNOT_ASK_LITELLM, "LiteLLM cannot be asked: refused", 502)
    found = await find_out(LiteLLM({}, error))
    assert found.sentence() == ("What LiteLLM's key can do is not known: LiteLLM cannot be asked: refused")

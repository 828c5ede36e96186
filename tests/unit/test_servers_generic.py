"""Servers of OpenAI's API of which only the list of models is known."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.contract import Engine
from sidecar.servers.facts import Ability
from sidecar.servers.shapes import Answer
from tests.standins.canned import Canned


async def answer(*cards: object) -> Answer:
    """Observe once a server with these cards; it must be well."""
    canned = Canned({"/v1/models": {"object": "list", "data": list(cards)}})
    seen = await canned.watched(Engine.OPENAI).observe()
    assert isinstance(seen, Answer), seen
    return seen


async def test_nothing_is_guessed() -> None:
    """Of a server of no known kind no ability and no mode is known."""
    seen = await answer(
        {"id": "gpt-4o-vision-tools", "capabilities": ["tools", "vision"], "modalities": ["image"]}
    )
    facts = seen.models[0].facts
    assert not facts.mode.known
    assert not any(facts.ability(ability).known for ability in Ability)


@pytest.mark.parametrize("key", ["max_model_len", "context_length", "max_input_tokens", "context_window"])
async def test_context_by_any_name(key: str) -> None:
    """A server of no known kind may tell its context by any of the usual names."""
    seen = await answer({"id": "m", key: 512})
    assert (seen.engine, seen.version, seen.gauges) == ("openai", None, False)
    assert [model.facts.context.value for model in seen.models] == [512]


@pytest.mark.parametrize("value", [None, 0, -1, True, "4096", 4096.0, [1]])
async def test_context_must_be_a_number_of_tokens(value: object) -> None:
    """What is no whole number above zero is no context length."""
    seen = await answer({"id": "m", "context_length": value})
    assert [model.facts.context.known for model in seen.models] == [False]


async def test_cards_without_an_id_and_twice_the_same() -> None:
    """Cards are sorted by id, one each; what has no id that can be written is no model."""
    cards: tuple[Any, ...] = (
        {"id": "b"},
        {"id": "a"},
        {"id": "b"},
        {"id": ""},
        {"id": 7},
        {"id": "\ud800"},
        {"id": "a\0"},
        {"id": "a" * 1025},
        "c",
        None,
    )
    assert [model.id for model in (await answer(*cards)).models] == ["a", "b"]


async def test_our_requests_are_known_by_name() -> None:
    """In a server's access log each one says whose it is."""
    server = Canned({"/v1/models": {"data": [{"id": "m"}]}})
    await server.watched(Engine.AUTO).observe()
    assert {request.headers["User-Agent"] for request in server.requests} == {"litellm-registrar"}


async def test_what_a_server_says_in_a_million_letters_gets_into_no_row() -> None:
    """A row holds names; what is none is left out, the model stays."""
    long = "a" * 1_000_000
    (model,) = (
        await answer({"id": "m", "root": long, "parent": long, "owned_by": long, "digest": long})
    ).models
    assert (model.root, model.parent, model.owner, model.digest) == (None,) * 4


@pytest.mark.parametrize("data", [None, []])
async def test_no_models(data: object) -> None:
    """A server with an empty list is well and serves nothing."""
    seen = await Canned({"/v1/models": {"object": "list", "data": data}}).watched(Engine.OPENAI).observe()
    assert isinstance(seen, Answer)
    assert seen.models == ()

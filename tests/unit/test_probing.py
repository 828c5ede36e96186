"""Which questions are put to a server, when, and what becomes of their answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sidecar.contract import Engine, Probing
from sidecar.servers import auto
from sidecar.servers.ask import Ask
from sidecar.servers.engine import Profile
from sidecar.servers.facts import UNKNOWN, Ability, Fact, Facts, Mode, Origin, abilities
from sidecar.servers.listing import Card
from sidecar.servers.modes import implied
from sidecar.servers.probe import Probe, Told
from sidecar.servers.probing import FIRST_AGAIN, LAST_AGAIN, MOST_KEPT, Findings, key_of
from sidecar.servers.server import ModelServer
from sidecar.servers.shapes import Answer, Asleep, Model, Observation, Refused
from sidecar.servers.vllm_probes import SENSES
from tests.standins.canned import HANGS, Canned
from tests.standins.clock import FakeClock

VISION = frozenset({"vision"})
YES = {"vision": True}
REFUSED = httpx.ConnectError("refused")
REFUSED.__cause__ = ConnectionRefusedError()
BUSY = [
    HANGS,
    httpx.Response(429),
    httpx.Response(503),
    httpx.Response(500, text="nonsense"),
    httpx.ReadError("cut"),
    "<html>",
    ["vision"],
    {"vision": "perhaps"},
]


def asking(path: str, ability: Ability = Ability.VISION) -> Callable[[Ask, Card], Awaitable[Facts]]:
    """Give a question that reads an ability from a route."""

    async def ask(ask: Ask, _card: Card) -> Facts:
        told = (await ask.optional(path) or {}).get(str(ability))
        return Facts(abilities=abilities(Origin.PROBE, **{ability: told if isinstance(told, bool) else None}))

    return ask


ONE = Probe(VISION, asking("/one"))
TWO = Probe(frozenset({"audio_input"}), asking("/two", Ability.AUDIO_INPUT))


@pytest.fixture
def clock() -> FakeClock:
    """Give time."""
    return FakeClock()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only a moment for what never comes."""
    for name in ("FREE_SECONDS", "ACTIVE_SECONDS"):
        monkeypatch.setattr(f"sidecar.servers.engine.{name}", 0.2)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Callable[..., tuple[Canned, ModelServer]]:
    """Give a server of a profile of our own, and the registrar's view of it."""

    def make(routes: dict[str, Any], *cards: Any, **profile: Any) -> tuple[Canned, ModelServer]:
        monkeypatch.setattr(auto, "told_by", lambda _listing: Profile(**{"name": "test", **profile}))
        listed = {"data": list(cards or ({"id": "m"},))}
        server = Canned({"/v1/models": listed, **routes})
        probing = Probing.ACTIVE if "active" in profile else Probing.PASSIVE
        return server, server.watched(Engine.OPENAI, now=clock.now, probing=probing)

    return make


Watch = Callable[..., tuple[Canned, ModelServer]]


async def models(watched: ModelServer) -> dict[str, Model]:
    """Look once; the server must be well."""
    seen = await watched.observe()
    assert isinstance(seen, Answer), seen
    return {model.id: model for model in seen.models}


async def vision(watched: ModelServer, model: str = "m") -> bool | None:
    """Look once and give what is known of one ability."""
    return (await models(watched))[model].facts.ability(Ability.VISION).value


async def idle() -> bool:
    """Nothing waits on the server."""
    return True


class TestFree:
    """Questions that make the server compute nothing."""

    @pytest.mark.parametrize("told", [True, False])
    async def test_yes_and_no_are_kept(self, watch: Watch, clock: FakeClock, told: bool) -> None:  # noqa: FBT001
        """What was told is not asked again, however much later."""
        server, watched = watch({"/one": {"vision": told}}, probes=(ONE,))
        for _ in range(3):
            assert await vision(watched) is told
            await clock.advance(LAST_AGAIN)
        assert server.calls.count("/one") == 1

    @pytest.mark.parametrize("busy", BUSY)
    async def test_no_clear_answer_is_unknown(self, watch: Watch, clock: FakeClock, busy: Any) -> None:
        """A slow, refusing, broken or strange server is well, its ability unknown, and told later."""
        server, watched = watch({"/one": busy}, probes=(ONE,))
        assert await vision(watched) is None
        server.routes["/one"] = YES
        await clock.advance(FIRST_AGAIN)
        assert await vision(watched) is True

    async def test_asked_again_with_backoff(self, watch: Watch, clock: FakeClock) -> None:
        """What is unknown is asked after 5 s, then each time after twice as long, up to ten minutes."""
        server, watched = watch({"/one": httpx.Response(503)}, probes=(ONE,))
        asked: list[float] = []
        for _ in range(400):
            await watched.observe()
            asked += [clock.now()] * (server.calls.count("/one") - len(asked))
            await clock.advance(5)
        gaps = [later - sooner for sooner, later in itertools.pairwise(asked)]
        assert gaps == [5, 10, 20, 40, 80, 160, 320, 600, 600]

    async def test_what_was_not_reached_is_asked_at_the_next_look(self, watch: Watch) -> None:
        """A question that hangs takes the time of one look only; the next goes on after it."""
        server, watched = watch({"/one": HANGS, "/two": {"audio_input": True}}, probes=(ONE, TWO))
        await watched.observe()
        assert "/two" not in server.calls
        model = (await models(watched))["m"]
        assert model.facts.ability(Ability.AUDIO_INPUT).value is True
        assert server.calls.count("/one") == 1

    async def test_questions_have_time_of_their_own(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A question that hangs for longer than a look may take does not make the server slow."""
        monkeypatch.setattr("sidecar.servers.server.POLL_SECONDS", 0.1)
        _, watched = watch({"/one": HANGS}, probes=(ONE,))
        assert await vision(watched) is None

    async def test_one_at_a_time(self, watch: Watch) -> None:
        """While a question is open no other is put."""
        server, watched = watch({"/one": HANGS, "/two": HANGS}, probes=(ONE, TWO))
        await watched.observe()
        assert [call for call in server.calls if call != "/v1/models"] == ["/one"]

    async def test_what_is_known_is_not_asked(self, watch: Watch) -> None:
        """What card, default or mode tell already is no question."""
        can = Facts(abilities=abilities(Origin.ENGINE, vision=True))
        embeds = Facts(mode=Fact(Mode.EMBEDDING))
        for profile in ({"facts": lambda *_: can}, {"defaults": can}, {"facts": lambda *_: embeds}):
            server, watched = watch({"/one": YES}, probes=(ONE,), **profile)
            await watched.observe()
            assert "/one" not in server.calls

    async def test_only_models_of_its_mode_are_asked_about(self, watch: Watch) -> None:
        """A question about chat is not put while it is not known that the model chats."""
        chat = Probe(VISION, asking("/one"), frozenset({Mode.CHAT}))

        async def tell(ask: Ask, _card: Card) -> Facts:
            return Facts(mode=Fact(Mode.CHAT) if await ask.optional("/mode") else UNKNOWN)

        server, watched = watch({"/one": YES}, probes=(chat, Probe(frozenset({"mode"}), tell)))
        assert await vision(watched) is None
        assert "/one" not in server.calls
        server, watched = watch({"/one": YES, "/mode": YES}, probes=(chat, Probe(frozenset({"mode"}), tell)))
        assert await vision(watched) is True

    async def test_a_restart_is_asked_anew(self, watch: Watch) -> None:
        """Once the server was refused, or another one listens, nothing of it is kept."""
        server, watched = watch({"/one": YES}, probes=(ONE,))
        assert await vision(watched) is True
        listed = server.routes["/v1/models"]
        server.routes |= {"/one": {"vision": False}, "/v1/models": REFUSED}
        assert isinstance(await watched.observe(), Refused)
        server.routes["/v1/models"] = listed
        assert await vision(watched) is False
        server.routes["/one"] = YES
        watched.forget()
        assert await vision(watched) is True

    @pytest.mark.parametrize("sign", ["version", "model_path"])
    async def test_another_version_is_asked_anew(self, watch: Watch, clock: FakeClock, sign: str) -> None:
        """A server whose version or model is another one after a while is another server."""
        server, watched = watch({"/one": YES, "/v": {sign: "1"}}, probes=(ONE,), about="/v")
        assert await vision(watched) is True
        server.routes |= {"/one": {"vision": False}, "/v": httpx.Response(503)}
        await clock.advance(60)
        assert await vision(watched) is True
        server.routes["/v"] = {sign: "2"}
        await clock.advance(60)
        assert await vision(watched) is False

    @pytest.mark.parametrize("shared", [True, False])
    @pytest.mark.parametrize("other", [{"root": "b"}, {"digest": "2"}, {"parent": "gone"}])
    async def test_another_model_of_the_name_is_asked_anew(
        self,
        watch: Watch,
        other: dict[str, str],
        shared: bool,  # noqa: FBT001 - whether roots tell models apart
    ) -> None:
        """Under a name that got another root, parent or digest nothing of the old model counts."""
        card = {"id": "m", "root": "a", "digest": "1"}
        server, watched = watch({"/one": YES}, card, probes=(ONE,), shared_root=shared)
        assert await vision(watched) is True
        server.routes |= {"/one": {"vision": False}, "/v1/models": {"data": [{**card, **other}]}}
        assert await vision(watched) is False

    async def test_a_card_that_falls_silent_changes_nothing(self, watch: Watch) -> None:
        """A router tells no context length of a model it has unloaded: what it told is kept."""
        server, watched = watch({}, {"id": "m", "max_model_len": 7})
        lengths = []
        for card in ({"max_model_len": 7}, {}, {"max_model_len": 9}, {}, {"digest": "2"}):
            server.routes["/v1/models"] = {"data": [{"id": "m", **card}]}
            lengths.append((await models(watched))["m"].facts.context.value)
        assert lengths == [7, 7, 9, 9, None]

    async def test_a_list_that_is_short_once_costs_nothing(self, watch: Watch) -> None:
        """A model that is missing from one answer is known as before when it is back."""
        server, watched = watch({"/one": YES}, probes=(ONE,))
        assert await vision(watched) is True
        listed = server.routes["/v1/models"]
        server.routes["/v1/models"] = {"data": []}
        await watched.observe()
        server.routes |= {"/one": httpx.Response(503), "/v1/models": listed}
        assert await vision(watched) is True

    async def test_roots_are_only_trusted_where_they_tell_models_apart(self, watch: Watch) -> None:
        """Of an unknown server two models of one root are two models."""
        cards = ({"id": "a", "root": "x"}, {"id": "b", "root": "x"})
        for shared, times in ((True, 1), (False, 2)):
            server, watched = watch({"/one": YES}, *cards, probes=(ONE,), shared_root=shared)
            await watched.observe()
            assert server.calls.count("/one") == times


class TestAdapters:
    """Adapters: cards whose parent is in the list."""

    async def test_parent_before_default(self, watch: Watch) -> None:
        """What an adapter's own card leaves open is as with its parent, then as with every server."""
        cards = ({"id": "ad", "parent": "m"}, {"id": "m", "max_model_len": 7})
        no = Facts(abilities=abilities(Origin.DEFAULT, vision=False, pdf_input=False))
        seen = Probe(frozenset({"reasoning"}), asking("/one", Ability.REASONING))

        def of_card(card: Card, _about: object) -> Facts:
            return Facts(abilities=abilities(Origin.ENGINE, vision=True if card["id"] == "m" else None))

        routes = {"/one": {"reasoning": True}}
        server, watched = watch(routes, *cards, probes=(seen,), facts=of_card, defaults=no)
        facts = (await models(watched))["ad"].facts
        told = [facts.ability(Ability(name)).value for name in ("vision", "pdf_input", "reasoning")]
        assert (told, facts.context.value) == ([True, False, True], 7)
        assert server.calls.count("/one") == 1

    async def test_its_own_card_counts_first(self, watch: Watch) -> None:
        """What an adapter's own card tells is so."""
        cards = ({"id": "ad", "parent": "m", "max_model_len": 5}, {"id": "m", "max_model_len": 7})
        _, watched = watch({}, *cards)
        assert (await models(watched))["ad"].facts.context.value == 5

    @pytest.mark.parametrize("parent", ["gone", "ad", "", 7])
    async def test_a_parent_that_is_not_there(self, watch: Watch, parent: object) -> None:
        """A card whose parent is not in the list, or itself, is a model of its own."""
        _, watched = watch({"/one": YES}, {"id": "ad", "parent": parent}, probes=(ONE,))
        assert await vision(watched, "ad") is True


class TestActive:
    """Questions that make the server compute."""

    async def test_only_if_allowed(self, watch: Watch) -> None:
        """Without the owner's word nothing is asked."""
        server, _ = watch({"/one": YES}, active=(ONE,))
        watched = server.watched(Engine.OPENAI, probing=Probing.PASSIVE)
        await watched.observe()
        assert not await watched.explore(idle)
        assert "/one" not in server.calls

    async def test_one_at_a_time_and_kept(self, watch: Watch) -> None:
        """Each call puts one question; what it told is in the next look, and is not asked again."""
        server, watched = watch({"/one": YES, "/two": {"audio_input": True}}, active=(ONE, TWO))
        assert not await watched.explore(idle)  # before the server was seen
        assert await vision(watched) is None
        assert await watched.explore(idle)
        assert server.calls.count("/one") + server.calls.count("/two") == 1
        assert await watched.explore(idle)
        assert not await watched.explore(idle)
        facts = (await models(watched))["m"].facts
        assert facts.ability(Ability.VISION) == Fact(True, Origin.PROBE)
        assert facts.ability(Ability.AUDIO_INPUT) == Fact(True, Origin.PROBE)
        assert server.calls.count("/one") + server.calls.count("/two") == 2

    async def test_what_came_of_looks_and_questions_is_told(self, watch: Watch) -> None:
        """Each look and each question once: something new, nothing of it, no answer."""
        routes = {"/one": YES, "/two": {}, "/three": httpx.ReadTimeout("slow")}
        three = Probe(frozenset({"reasoning"}), asking("/three", Ability.REASONING))
        _, watched = watch(routes, probes=(ONE,), active=(TWO, three))
        looks: list[Observation] = []
        questions: list[Told] = []
        watched.tell(looks.append, questions.append)
        seen = await watched.observe()
        assert not await watched.explore(idle)
        assert not await watched.explore(idle)
        assert looks == [seen]
        assert sorted(questions) == [Told.LEARNED, Told.NO_ANSWER, Told.NOTHING_NEW]

    async def test_only_when_nothing_waits(self, watch: Watch) -> None:
        """A server with requests in flight is not asked, and is asked as soon as it has none."""
        server, watched = watch({"/one": YES}, active=(ONE,))
        await watched.observe()

        async def busy() -> bool:
            return False

        assert not await watched.explore(busy)
        assert "/one" not in server.calls
        assert await watched.explore(idle)

    async def test_an_answer_of_the_former_server_is_dropped(self, watch: Watch, clock: FakeClock) -> None:
        """A question may still be open when another version has taken the server's place."""
        routes = {"/v": {"version": "1"}}

        async def slow(_ask: Ask, _card: Card) -> Facts:
            server.routes["/v"] = {"version": "2"}
            await clock.advance(60)
            await watched.observe()
            return Facts(abilities=abilities(Origin.PROBE, vision=True))

        server, watched = watch(routes, active=(Probe(VISION, slow),), about="/v")
        await watched.observe()
        await watched.explore(idle)
        assert await vision(watched) is None

    async def test_idle_is_not_asked_in_vain(self, watch: Watch) -> None:
        """Without a question that is due nobody looks whether the server is idle."""
        looks = []

        async def look() -> bool:
            looks.append(1)
            return True

        _, watched = watch({"/one": httpx.Response(503)}, active=(ONE,))
        await watched.observe()
        await watched.explore(look)
        await watched.explore(look)
        assert looks == [1]

    @pytest.mark.parametrize("unclear", BUSY)
    async def test_asked_again_later(self, watch: Watch, clock: FakeClock, unclear: Any) -> None:
        """Without a clear answer it tells nothing, raises nothing, and is due again later."""
        server, watched = watch({"/one": unclear}, active=(ONE,))
        await watched.observe()
        assert not await watched.explore(idle)
        assert not await watched.explore(idle)
        assert server.calls.count("/one") == 1
        server.routes["/one"] = YES
        await clock.advance(FIRST_AGAIN)
        assert await watched.explore(idle)

    async def test_a_server_that_sleeps_is_not_asked(self, watch: Watch) -> None:
        """Nothing that would wake it is sent to a server that sleeps."""

        async def sleeps(_ask: Ask) -> bool:
            return True

        server, watched = watch({"/one": YES}, active=(ONE,), asleep=sleeps)
        assert isinstance(await watched.observe(), Asleep)
        assert not await watched.explore(idle)
        assert "/one" not in server.calls

    async def test_never_of_ollama(self, clock: FakeClock) -> None:
        """Any question would make an Ollama load a model."""
        routes = {
            "/v1/models": {"data": []},
            "/api/version": {"version": "0.17.4"},
            "/api/tags": {"models": []},
            "/api/ps": {"models": []},
        }
        server = Canned(routes)
        watched = server.watched(Engine.OLLAMA, now=clock.now, probing=Probing.ACTIVE)
        assert isinstance(await watched.observe(), Answer)
        asked = len(server.calls)
        assert not await watched.explore(idle)
        assert len(server.calls) == asked


class TestFindings:
    """The store by itself."""

    def test_many_models_that_went_are_forgotten(self) -> None:
        """A server that names its models anew again and again does not fill the memory."""
        findings = Findings()
        keys = [key_of({"id": str(number)}, shared_root=False) for number in range(MOST_KEPT + 1)]
        for key in keys:
            findings.learned(key, Facts(context=Fact(1)))
        findings.keep(frozenset(keys[:1]))
        assert findings.of(keys[0]).context.value == 1
        assert not findings.of(keys[1]).context.known

    def test_the_longest_due_comes_first(self) -> None:
        """Of questions that are due the one that has waited longest is put."""
        findings = Findings()
        models = [(("m",), {"id": "m"}, Facts())]
        first = findings.due(models, (ONE, TWO), 0)
        assert first is not None
        findings.asked(first, 0)
        second = findings.due(models, (ONE, TWO), 100)
        assert second is not None
        assert (first.probe, second.probe) == (ONE, TWO)

    def test_what_is_known_stays(self) -> None:
        """A later answer adds to an earlier one and never turns it round."""
        findings = Findings()
        assert findings.learned(("m",), Facts(context=Fact(1)))
        assert not findings.learned(("m",), Facts(context=Fact(2)))
        assert findings.of(("m",)).context.value == 1


@pytest.mark.parametrize("mode", Mode)
def test_a_mode_only_rules_out(mode: Mode) -> None:
    """A mode never says that a model can do something; one that chats may do all but embed pictures."""
    ruled_out = implied(mode).abilities
    assert all(fact == Fact(False, Origin.DEFAULT) for fact in ruled_out.values())
    assert (len(ruled_out) == 1) == (mode is Mode.CHAT)
    assert implied(None) == Facts()


def test_samples_are_small() -> None:
    """No picture, sound or film that is posted is over 64 KB."""
    assert max(len(json.dumps(part)) for part in SENSES.values()) < 65536

"""A CA bundle kept where clients read it, against wipes, other hands, missing rights and absent objects."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.certificates import make_ca
from tests.standins.kube import UNREACHABLE, FakeApi
from tests.unit.test_tls_publication import webhook
from tests.virtual_time import now, run
from webhook.kube.api import ApiError
from webhook.log import Log
from webhook.tls.certificates import bundle
from webhook.tls.publication import ConfigMapKey, Target, webhook_configurations
from webhook.tls.publish import Publisher

ONE, TWO = bundle(make_ca("one").certificate), bundle(make_ca("two").certificate)
MUTATING, VALIDATING = webhook_configurations(["registrar"])
CONFIG_MAP = ConfigMapKey("shop", "broker-ca")
STRANGER = webhook("pods.example.com")


class Bench:
    """A publisher, its cluster, and a leader that wants one bundle everywhere, as the keeper does."""

    def __init__(self, *targets: Target) -> None:
        self.api = FakeApi()
        self.lines = io.StringIO()
        self.states: dict[str, str] = {}
        self.wanted = ONE
        self._bell = asyncio.Event()
        self.publisher = Publisher(
            self.api, targets, Log(self.lines), changed=self._bell.set, show=self.states.__setitem__
        )

    def put(self, target: Target, *webhooks: dict[str, Any], manager: str = "helm") -> None:
        """Write a configuration as somebody else would."""
        fields = [{"manager": manager, "time": "2026-11-21T12:00:00Z"}]
        self.api.put(target.path, {"metadata": {"managedFields": fields}, "webhooks": [*webhooks]})

    def holds(self, target: Target) -> list[list[str]]:
        """Give the fingerprints of each place of ours in an object."""
        return [list(place.bundle) for place in target.places(self.api.objects.get(target.path))]

    def writes(self) -> int:
        """Count what was written, or tried."""
        return sum(verb in {"patch", "create"} for verb, _ in self.api.calls)

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return self.lines.getvalue().count(text)

    async def _lead(self) -> None:
        while True:
            self._bell.clear()
            published = await self.publisher.read()
            wanted = set(self.wanted)
            if published and any(set(place.bundle) != wanted for place in published.places):
                await self.publisher.publish(published, self.wanted)
            await self._bell.wait()

    @contextlib.asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """Publish for a while."""
        tasks = [asyncio.create_task(one) for one in (self.publisher.run(), self._lead())]
        await asyncio.sleep(0.3)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def ours(bundles: Sequence[dict[str, bytes]] = (ONE,)) -> list[list[str]]:
    """Give what places hold that hold these."""
    return [list(one) for one in bundles]


def test_the_bundle_is_written_once_and_left_alone() -> None:
    """Hours later there was one write, and the stranger's webhook is what it was."""

    async def main() -> None:
        bench = Bench(MUTATING, VALIDATING)
        bench.put(MUTATING, STRANGER, webhook("pods.litellm-registrar.io"))
        async with bench.leading():
            await asyncio.sleep(7200)
        assert bench.holds(MUTATING) == ours()
        assert bench.api.objects[MUTATING.path]["webhooks"][0] == STRANGER
        assert bench.writes() == 1
        assert bench.states == {
            "mutatingwebhookconfigurations/registrar": "good",
            "validatingwebhookconfigurations/registrar": "absent",
        }
        assert bench.said("there is no such object") == 1

    run(main())


def test_a_wiped_bundle_is_put_back_at_once() -> None:
    """A helm upgrade without a caBundle, once in a while, is put right within half a second each time."""

    async def main() -> None:
        bench = Bench(MUTATING)
        async with bench.leading():
            for _ in range(20):
                bench.put(MUTATING, webhook("pods.litellm-registrar.io"))
                await asyncio.sleep(0.5)
                assert bench.holds(MUTATING) == ours()
                await asyncio.sleep(300)
        assert bench.states["mutatingwebhookconfigurations/registrar"] == "good"
        assert bench.said("changes it again and again") == 0

    run(main())


def test_a_configuration_that_comes_later_gets_the_bundle() -> None:
    """Who installs the configuration after the webhook needs no restart; both states are said once."""

    async def main() -> None:
        bench = Bench(MUTATING)
        async with bench.leading():
            await asyncio.sleep(60)
            bench.put(MUTATING, STRANGER)
            await asyncio.sleep(60)
            assert bench.states["mutatingwebhookconfigurations/registrar"] == "no_webhook"
            bench.put(MUTATING, STRANGER, webhook("pods.litellm-registrar.io"))
            await asyncio.sleep(0.5)
            assert bench.holds(MUTATING) == ours()
        assert bench.said("there is no such object") == 1
        assert bench.said("none of its webhooks has a name of ours") == 1
        assert bench.said("can be kept from now on") == 1

    run(main())


def test_who_rewrites_it_all_the_time_is_named_and_answered_ever_more_seldom() -> None:
    """Half an hour of rewriting every 3 s leads to some twenty writes, one line, a state; then it is over."""

    async def main() -> None:
        bench = Bench(MUTATING)
        bench.put(MUTATING, webhook("pods.litellm-registrar.io"))
        async with bench.leading():
            began = now()
            while now() < began + 1800:
                bench.put(MUTATING, webhook("pods.litellm-registrar.io"), manager="argocd-controller")
                await asyncio.sleep(3)
            assert bench.states["mutatingwebhookconfigurations/registrar"] == "fought_over"
            assert 10 < bench.writes() < 40
            assert bench.said("another hand changes it again and again") == 1
            assert bench.said("managers=argocd-controller") == 1
            await asyncio.sleep(121)
            assert bench.holds(MUTATING) == ours()
            await asyncio.sleep(601)
        assert bench.states["mutatingwebhookconfigurations/registrar"] == "good"
        assert bench.said("can be kept from now on") == 1

    run(main())


def test_another_bundle_in_a_fight_over_one_object_does_not_wait_in_others() -> None:
    """Patience is by object: what is not fought over is written at once."""

    async def main() -> None:
        bench = Bench(MUTATING, VALIDATING)
        bench.put(VALIDATING, webhook("pods.litellm-registrar.io"))
        async with bench.leading():
            for _ in range(100):
                bench.put(MUTATING, webhook("pods.litellm-registrar.io"))
                await asyncio.sleep(0.1)
            bench.wanted = TWO
            bench.put(MUTATING, webhook("pods.litellm-registrar.io"))
            await asyncio.sleep(0.5)
            assert bench.holds(VALIDATING) == ours([TWO])

    run(main())


def test_nothing_is_written_over_a_change_that_was_not_read() -> None:
    """What another leader published meanwhile stays; the next try is by what is there then."""

    async def main() -> None:
        bench = Bench(MUTATING)
        bench.put(MUTATING, webhook("pods.litellm-registrar.io"))
        before = await bench.publisher.read()
        assert before is not None
        both = b"".join([*ONE.values(), *TWO.values()])
        bench.put(MUTATING, webhook("pods.litellm-registrar.io", both))
        await bench.publisher.publish(before, ONE)
        assert bench.holds(MUTATING) == [[*ONE, *TWO]]
        assert bench.said("PROBLEM") == 0

    run(main())


def test_missing_rights_are_said_once_and_tried_again() -> None:
    """Who may not write says so, is not in a hurry, and goes on when it may."""

    async def main() -> None:
        bench = Bench(MUTATING)
        bench.put(MUTATING, webhook("pods.litellm-registrar.io"))
        bench.api.fail["patch"] = ApiError(403, "Forbidden", "cannot patch resource")
        async with bench.leading():
            await asyncio.sleep(3600)
            assert bench.states["mutatingwebhookconfigurations/registrar"] == "refused"
            assert bench.said("403 Forbidden: cannot patch resource") == 1
            assert bench.said("another hand") == 0
            assert bench.writes() < 70
            bench.api.fail.clear()
            await asyncio.sleep(121)
            assert bench.holds(MUTATING) == ours()
        assert bench.states["mutatingwebhookconfigurations/registrar"] == "good"

    run(main())


def test_an_api_server_that_is_away_is_no_other_hand() -> None:
    """While nothing can be written nothing is counted against anyone; afterwards the bundle is there soon."""

    async def main() -> None:
        bench = Bench(MUTATING)
        bench.put(MUTATING, webhook("pods.litellm-registrar.io"))
        bench.api.fail["patch"] = UNREACHABLE
        async with bench.leading():
            await asyncio.sleep(600)
            bench.api.fail.clear()
            await asyncio.sleep(2.5)
            assert bench.holds(MUTATING) == ours()
        assert bench.states["mutatingwebhookconfigurations/registrar"] == "good"
        assert bench.said("PROBLEM") == 0

    run(main())


def test_what_cannot_be_read_cannot_be_told() -> None:
    """If one object cannot be read nobody knows what is published, whatever the others say."""

    async def main() -> None:
        bench = Bench(MUTATING, VALIDATING)
        bench.put(MUTATING, webhook("pods.litellm-registrar.io"))
        bench.api.fail["get"] = UNREACHABLE
        assert await bench.publisher.read() is None
        assert set(bench.states.values()) == {"unreadable"}
        bench.api.fail.clear()
        published = await bench.publisher.read()
        assert published is not None
        assert [dict(place.bundle) for place in published.places] == [{}]

    run(main())


@pytest.mark.parametrize("wiped", [None, {"data": {}}, {"data": {"other": "x"}}])
def test_a_config_map_is_made_and_made_again(wiped: dict[str, Any] | None) -> None:
    """Deleted or emptied, the broker's bundle is there again at once."""

    async def main() -> None:
        bench = Bench(CONFIG_MAP)
        async with bench.leading():
            assert bench.holds(CONFIG_MAP) == ours()
            bench.api.put(CONFIG_MAP.path, wiped)
            await asyncio.sleep(0.5)
            assert bench.holds(CONFIG_MAP) == ours()
            await asyncio.sleep(3600)
        assert bench.writes() == 2
        assert bench.states == {"configmaps/broker-ca": "good"}

    run(main())

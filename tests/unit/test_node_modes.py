"""The mode of new pods follows the nodes."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping

from prometheus_client import CollectorRegistry

from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import run
from webhook.kubelets import STABLE
from webhook.log import Log
from webhook.node_modes import PATIENCE, KubeletMetrics, NodeModes
from webhook.reasons import Reason
from webhook.wishes import InjectMode

NATIVE, CONTAINER = InjectMode.NATIVE, InjectMode.CONTAINER


class Bench:
    """A cluster's nodes, and the mode that pods have by them."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.lines = io.StringIO()
        self.registry = CollectorRegistry()
        self.used: list[InjectMode] = []
        self.nodes: Mapping[str, InjectMode] = {}
        metrics = KubeletMetrics(self.registry)
        self.modes = NodeModes(self.api, STABLE, self.use, Log(self.lines), metrics)

    def use(self, mode: InjectMode, nodes: Mapping[str, InjectMode]) -> None:
        """Take note."""
        self.used.append(mode)
        self.nodes = nodes

    def node(self, name: str, version: str | None) -> None:
        """Have a node join, be upgraded, or (None) leave."""
        info = {"nodeInfo": {"kubeletVersion": version, "operatingSystem": "linux"}}
        self.api.put(f"/api/v1/nodes/{name}", None if version is None else {"status": info})

    def gauge(self, name: str, **labels: str) -> float | None:
        """Give a figure."""
        return self.registry.get_sample_value(f"litellm_registrar_webhook_{name}", labels)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow for a while."""
        task = asyncio.create_task(self.modes.run())
        await asyncio.sleep(0.01)
        yield
        task.cancel()
        await asyncio.wait([task])


def test_the_mode_is_known_at_once_and_follows_upgrades_and_old_nodes_that_join() -> None:
    """Native, until a node comes that is too old; native again when that one has left."""

    async def main() -> None:
        bench = Bench()
        bench.node("a", "v1.34.1")
        assert bench.modes.unready == Reason.KUBELETS_UNKNOWN
        async with bench.following():
            assert (bench.modes.unready, bench.used) == ("", [NATIVE])
            bench.node("b", "v1.31.0+k3s1")
            await asyncio.sleep(0.01)
            assert (bench.used[-1], bench.nodes) == (CONTAINER, {"a": NATIVE, "b": CONTAINER})
            bench.node("b", "v1.33.0+k3s1")
            await asyncio.sleep(0.01)
            assert bench.used[-1] is NATIVE
            bench.node("c", "custom")
            await asyncio.sleep(0.01)
            assert bench.used[-1] is CONTAINER
            bench.node("c", None)
            await asyncio.sleep(0.01)
            assert bench.used[-1] is NATIVE
        said = [line for line in bench.lines.getvalue().splitlines() if " NODES " in line]
        assert len(said) == 5
        assert "an ordinary container: not every kubelet is 1.33 or newer. nodes=2 old=1" in said[1]
        assert "an ordinary container: the version of a kubelet cannot be read" in said[3]

    run(main())


def test_what_the_kubelets_are_is_counted() -> None:
    """New, old and unreadable ones, and what comes of it."""

    async def main() -> None:
        bench = Bench()
        for name, version in (("a", "v1.34.1"), ("b", "v1.33.0"), ("c", "v1.32.0"), ("d", "")):
            bench.node(name, version)
        async with bench.following():
            counted = {kind: bench.gauge("nodes", kubelet=kind) for kind in ("new", "old", "unreadable")}
            assert counted == {"new": 2, "old": 1, "unreadable": 1}
            assert bench.gauge("native") == 0

    run(main())


def test_heartbeats_of_nodes_are_no_news() -> None:
    """Of a thousand changes that leave the versions alone nobody hears."""

    async def main() -> None:
        bench = Bench()
        async with bench.following():
            for _ in range(1000):
                bench.node("a", "v1.34.1")
            await asyncio.sleep(0.01)
            assert bench.used == [CONTAINER, NATIVE]

    run(main())


def test_without_nodes_the_last_known_ones_count_and_at_the_start_a_container() -> None:
    """A cluster that is scaled down to none goes on as it was; one that never had a node runs anything."""

    async def main() -> None:
        bench = Bench()
        async with bench.following():
            assert (bench.modes.unready, bench.used) == ("", [CONTAINER])
            bench.node("a", "v1.34.1")
            await asyncio.sleep(0.01)
            bench.node("a", None)
            await asyncio.sleep(0.01)
            assert (bench.used[-1], bench.nodes) == (NATIVE, {})

    run(main())


def test_an_api_server_that_is_away_at_the_start_is_not_waited_for_for_ever() -> None:
    """It is not ready for a while; then pods get an ordinary container until it is back, and that is said."""

    async def main() -> None:
        bench = Bench()
        bench.node("a", "v1.34.1")
        bench.api.fail[""] = UNREACHABLE
        async with bench.following():
            await asyncio.sleep(PATIENCE - 1)
            assert bench.modes.unready == Reason.KUBELETS_UNKNOWN
            await asyncio.sleep(2)
            assert (bench.modes.unready, bench.used) == ("", [])
            assert "is not known yet: pods get an ordinary container until it is" in bench.lines.getvalue()
            bench.api.fail.clear()
            await asyncio.sleep(60)
            assert bench.used == [NATIVE]

    run(main())


def test_an_api_server_that_goes_away_later_changes_nothing() -> None:
    """The last known mode counts, and the webhook stays ready."""

    async def main() -> None:
        bench = Bench()
        bench.node("a", "v1.34.1")
        async with bench.following():
            bench.api.fail[""] = UNREACHABLE
            bench.api.end_watches()
            await asyncio.sleep(3600)
            assert (bench.modes.unready, bench.used) == ("", [NATIVE])

    run(main())

"""A Deployment is restarted, scaled and drained under load: no request is lost, each pod ends in order."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.load import examples
from tests.node import rollouts
from tests.node.checks import check_ending, check_log
from tests.node.release import Release
from tests.node.rollouts import Change, under_load
from tests.node.world import World, new_world

pytestmark = [pytest.mark.node, pytest.mark.timeout(1200)]

# Seconds: the default, more than LiteLLM's replicas take to hear of a deletion.
PROPAGATION = 35.0
# The words of a registrar's log, in the order in which each comes first.
LIFE = ("STARTED", "FOUND", "REGISTERED", "SERVING", "DRAINING", "REMOVED", "GONE", "STOPPED")
CHANGES = {"restart": rollouts.restart, "scale": rollouts.scale, "drain": rollouts.drain}


@pytest.fixture(scope="module")
def changes(release: Release, work: Path) -> Iterator[dict[str, tuple[World, Future[Change]]]]:
    """Begin all at a time, each in a namespace of its own: each takes a minute, most of it waiting."""
    with ExitStack() as stack, ThreadPoolExecutor(len(CHANGES)) as pool:
        worlds = {name: stack.enter_context(new_world(release, work)) for name in CHANGES}
        yield {
            name: (world, pool.submit(under_load, world, f"under-{name}", CHANGES[name]))
            for name, world in worlds.items()
        }


@pytest.mark.parametrize("name", CHANGES)
def test_no_request_is_lost(changes: dict[str, tuple[World, Future[Change]]], name: str) -> None:
    """Each pod that goes is drained before its kubelet stops its server, and its log tells its whole life."""
    world, future = changes[name]
    change = future.result()
    tally = change.tally
    print(world.story())
    print(f"{tally.sent} requests during {name}, {tally.failed()} lost: {examples(tally.lost)}")
    assert tally.failed() == 0, examples(tally.lost)
    assert tally.answered > 100
    assert len(change.old) == rollouts.REPLICAS
    rows = world.until_rows(f"under-{name}", rollouts.REPLICAS)
    assert {row["model_info"]["registrar"]["pod"] for row in rows} == set(change.new)
    for pod in change.old:
        check_ending(world.ending(pod), at_least=PROPAGATION)
        log = world.registrars.whole_log(pod)
        check_log(log, (world.proxy.key,))
        words = [line.split()[1] for line in log.splitlines()]
        assert [word for word in dict.fromkeys(words) if word in LIFE] == list(LIFE), log
        assert "The pod is being deleted. grace=" in log

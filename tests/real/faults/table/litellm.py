"""Faults of LiteLLM and its database: killed at any step, frozen, without a disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from tests.real.faults.fault import Fault, Inflict
from tests.real.faults.meddler import Call
from tests.real.faults.table.striking import Kill, killing_at, stopped
from tests.real.faults.world import World


def litellm_killed(*replicas: int) -> Inflict:
    """Kill these replicas as a crash does, and start them again."""

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        for replica in replicas:
            world.proxy.kill(replica)
        yield
        for replica in replicas:
            world.proxy.start(replica)

    return inflict


def litellm_killed_at(kind: str, *, done: bool) -> Inflict:
    """Kill the replica that is written to when such a write has reached it, or when it is done."""

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        struck = threading.Event()

        async def meet(call: Call, kill: Kill) -> web.StreamResponse:
            if not struck.is_set():
                struck.set()
                if done:
                    await call.send()
                else:
                    world.meddler.later(call)
                kill(lambda: world.proxy.kill(0))
            return call.cut()

        with killing_at(world, kind, meet):
            yield
        world.proxy.start(0)

    return inflict


@contextmanager
def litellm_frozen(world: World) -> Iterator[None]:
    """Stop the replica that is written to; what was sent meanwhile is carried out when it goes on."""
    with stopped(world.proxy.pid(0)):
        yield


@contextmanager
def database_stopped(world: World) -> Iterator[None]:
    """Stop PostgreSQL: connections are cut, new ones refused."""
    world.proxy.stop_database()
    yield
    world.proxy.start_database()


def database_killed_at(kind: str) -> Inflict:
    """Kill PostgreSQL when such a write has reached LiteLLM."""

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        struck = threading.Event()

        async def meet(call: Call, kill: Kill) -> web.StreamResponse:
            if not struck.is_set():
                struck.set()
                kill(world.proxy.kill_database)
            return await call.forward()

        with killing_at(world, kind, meet):
            yield
        world.proxy.start_database()

    return inflict


@contextmanager
def database_frozen(world: World) -> Iterator[None]:
    """Stop PostgreSQL with all its children: what is asked of it waits."""
    with stopped(world.proxy.pid(None)):
        yield


@contextmanager
def database_read_only(world: World) -> Iterator[None]:
    """Let PostgreSQL take no writes, as those who run one do when its disk is full."""
    world.proxy.sql("alter system set default_transaction_read_only = on", "select pg_reload_conf()")
    yield
    world.proxy.sql("alter system reset default_transaction_read_only", "select pg_reload_conf()")


_OF_A_DATABASE: Final = "litellm_database_down|litellm_no_answer|cannot_ask_litellm|HTTP 500|HTTP 503"
_AWAY: Final = "litellm_unreachable|litellm_no_answer|cannot_ask_litellm"

FAULTS: Final = (
    Fault(
        "litellm_killed",
        "The replica that is written to is killed, and starts again.",
        litellm_killed(0),
        _AWAY,
    ),
    Fault(
        "other_litellm_killed",
        "The replica that nobody writes to is killed, and starts again.",
        litellm_killed(1),
    ),
    Fault(
        "litellm_killed_before_creation",
        "LiteLLM is killed when a creation has reached it.",
        litellm_killed_at("create", done=False),
        _AWAY,
    ),
    Fault(
        "litellm_killed_after_creation",
        "LiteLLM is killed when it has made a row and not said so.",
        litellm_killed_at("create", done=True),
        _AWAY,
    ),
    Fault(
        "litellm_killed_after_deletion",
        "LiteLLM is killed when it has deleted a row and not said so.",
        litellm_killed_at("delete", done=True),
        _AWAY,
    ),
    Fault(
        "litellm_frozen",
        "LiteLLM stands still for longer than a creation may take, and then does all it was asked.",
        litellm_frozen,
        "litellm_no_answer|cannot_ask_litellm",
        seconds=34,
    ),
    Fault("database_stopped", "PostgreSQL is stopped.", database_stopped, _OF_A_DATABASE, bounded=True),
    Fault(
        "database_killed_at_creation",
        "PostgreSQL is killed when a creation has reached LiteLLM.",
        database_killed_at("create"),
        _OF_A_DATABASE,
    ),
    Fault(
        "database_killed_at_deletion",
        "PostgreSQL is killed when a deletion has reached LiteLLM.",
        database_killed_at("delete"),
        _OF_A_DATABASE,
    ),
    Fault(
        "database_frozen",
        "PostgreSQL stands still.",
        database_frozen,
        _OF_A_DATABASE,
        seconds=34,
    ),
    Fault(
        "database_disk_full",
        "PostgreSQL takes no writes: its disk is full.",
        database_read_only,
        _OF_A_DATABASE + "|HTTP 400",
    ),
)

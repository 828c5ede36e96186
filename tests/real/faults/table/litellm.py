"""Faults of LiteLLM and its database: killed at any step, frozen, without a disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from tests.real.faults.fault import Fault, Inflict
from tests.real.faults.table.striking import cut, forwarded, killed_at, stopped, unheard
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
    return killed_at(
        kind,
        lambda world, _: ("replica", partial(world.proxy.kill, 0)),
        done=done,
        answer=cut if done else unheard,
        mend=lambda world: world.proxy.start(0),
    )


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
    return killed_at(
        kind,
        lambda world, _: ("database", world.proxy.kill_database),
        answer=forwarded,
        mend=lambda world: world.proxy.start_database(),
    )


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

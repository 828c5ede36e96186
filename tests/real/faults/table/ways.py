"""Faults on the ways between the parts: lines, names, certificates, tokens, clocks, disks."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from tests.certificates import make_ca, make_leaf
from tests.peers.broker import Caller
from tests.real.faults.fault import BROKER, Fault, Inflict
from tests.real.faults.moody import CLOCK, DISK_AGAIN, DISK_FULL, NO_DNS
from tests.real.faults.wire import Mode as Line
from tests.real.faults.world import World

_DAY: Final = 24 * 3600
_YEAR: Final = 365 * _DAY


def line(mode: Line) -> Inflict:
    """Treat connections between registrars and brokers so."""

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        world.loop.run(world.wire.change(mode))
        yield
        world.loop.run(world.wire.change(Line.THROUGH))

    return inflict


def impostor(valid: timedelta | None) -> Inflict:
    """Have another certificate shown at the brokers' address: of another CA, or of theirs, so long valid."""

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        pair = world.broker_leaf(valid) if valid else make_leaf(make_ca(), ["localhost"])
        certificate, key = pair.write(world.place.folder / "impostor")
        world.wire.impostor = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        world.wire.impostor.load_cert_chain(certificate, key)
        with line(Line.IMPOSTOR)(world):
            yield

    return inflict


@contextmanager
def no_names(world: World) -> Iterator[None]:
    """Find no name, in registrars and brokers; what is connected stays so until it is cut."""
    file = world.place.moods / NO_DNS
    file.touch()
    world.loop.run(world.wire.change(Line.THROUGH))
    yield
    file.unlink()


def clock(seconds: float) -> Inflict:
    """Set the time of day of registrars and brokers so much off at once, and back at the end."""

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        file = world.place.moods / CLOCK
        file.write_text(str(seconds))
        yield
        file.unlink()

    return inflict


@contextmanager
def disk_full(world: World) -> Iterator[None]:
    """Let nobody print a line: the disk of the node's logs is full."""
    pids = [broker.pid for broker in world.brokers]
    lives = world.lives()  # one that begins meanwhile could not take the signal yet

    def tell(number: signal.Signals) -> None:
        for pid in pids:
            os.kill(pid, number)
        for life in lives:
            life.signal(number)

    tell(DISK_FULL)
    yield
    tell(DISK_AGAIN)


def tokens(bad: Callable[[Caller], str]) -> Inflict:
    """Give every pod another token in place of its own, as what renews them might."""

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        pods = [life for life in world.lives() if life.caller is not None]
        genuine, world.place.token = world.place.token, bad
        for life in pods:
            life.mount()
        yield
        world.place.token = genuine
        for life in world.lives():
            if life.caller is not None:
                life.mount()

    return inflict


def of_no_pod(pod: Caller) -> str:
    """Give a token of its namespace that is bound to no pod."""
    return pod.new_token("--duration=10m")


FAULTS: Final = (
    Fault(
        "line_cut",
        "Every connection to a broker is cut as soon as it is there.",
        line(Line.CUT),
        "broker_unreachable|broker_no_answer",
        BROKER,
        8,
        bounded=True,
    ),
    Fault(
        "line_silent",
        "Packets to the brokers are dropped.",
        line(Line.SILENT),
        "broker_unreachable|broker_no_answer",
        BROKER,
        20,
    ),
    Fault(
        "line_truncated",
        "Every connection to a broker ends within the first answer.",
        line(Line.TRUNCATED),
        "broker_no_answer|broker_unreachable",
        BROKER,
        8,
    ),
    Fault("line_late", "Every answer of a broker comes seconds late.", line(Line.LATE), "", BROKER, 10),
    Fault(
        "broker_certificate_expired",
        "The brokers' certificate has ended.",
        impostor(timedelta(minutes=-1)),
        "broker_bad_tls",
        BROKER,
        bounded=True,
    ),
    Fault(
        "broker_is_an_impostor",
        "Somebody else answers at the brokers' address, by a certificate of another CA.",
        impostor(None),
        "broker_bad_tls",
        BROKER,
    ),
    Fault(
        "names_gone",
        "No name is found any more, by registrars and brokers.",
        no_names,
        "broker_unreachable|litellm_unreachable",
        seconds=8,
        bounded=True,
    ),
    Fault("clock_ahead", "All clocks jump a day ahead, and back.", clock(_DAY), bounded=True),
    Fault("clock_far_ahead", "All clocks jump two years ahead, and back.", clock(2 * _YEAR)),
    Fault("clock_back", "All clocks jump a year back, and to the present.", clock(-_YEAR)),
    Fault("disk_full", "Nothing can be printed: the disk of the logs is full.", disk_full, bounded=True),
    Fault(
        "token_expired",
        "Every pod's token has ended, and nobody has renewed it.",
        tokens(Caller.expired_token),
        "broker_refused_token",
        BROKER,
        bounded=True,
    ),
    Fault(
        "token_of_no_pod",
        "Every pod's token is one that is bound to no pod.",
        tokens(of_no_pod),
        "token_not_of_a_pod",
        BROKER,
    ),
    Fault(
        "token_empty",
        "The file of every pod's token is empty.",
        tokens(lambda _: ""),
        "broker_no_token",
        BROKER,
    ),
)

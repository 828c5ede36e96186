"""Connections as the kernel tells them, and which of them are busy."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.sockets import (
    LATELY,
    SAME_TICK,
    STREAM_GAP,
    Connection,
    ServerSockets,
    SocketSample,
    judge,
    may_be_busy,
    messages,
    owes,
    request,
)

# Recorded on Linux 6.18 from a server on [::]:35221. Its own two ends: an IPv4 client that was answered
# 100 ms after it asked, 300 ms ago; an IPv6 client whose request of 6 bytes is not read yet.
SERVED = bytes.fromhex("""
980100001400020001000000dd7800000a0100008995aafe00000000000000000000ffff7f00000100000000000000000000ffff
7f000001000000002711000000000000000000000000000000000000000000009b0b0600050008000000000008000f0000000000
0c001500010000000000000006001600120000001c010200010000000007aa01e01c0300409c0000008000001802000000000000
000000000000000000000000000000002c01000000000000900100002c010000ffff0000cbff00000b00000005000000ffffff7f
0b000000cbff00000300000000000000cbff000000000000bb74732b12000000ffffffffffffffff060000000000000003000000
00000000020000000400000000000000090000000100000001000000388e03d90000000000000000000000000000000000000000
00000000000000000200000000000000060000000000000000000000000000000000000000000000000000000000010000000100
00000000000000000000000000000000000000000000000000000000000000000000000000000000000000009801000014000200
01000000dd7800000a0100008995eb5c000000000000000000000000000000010000000000000000000000000000000100000000
2811000000000000000000000600000000000000000000009d0b0600050008000000000008000f00000000000c00150001000000
0000000006001600120000001c010200010000000007aa01e01c0300409c00000080000018020000000000000000000000000000
000000000000000090010000000000002c0100002c01000000000100b8ff00000600000003000000ffffff7f0a000000b8ff0000
0300000000000000b8ff00000000000076e9e65624000000ffffffffffffffff0000000000000000060000000000000001000000
03000000000000000600000001000000000000000000000000000000000000000000000000000000000000000000000000000000
01000000000000000000000000000000000000000000000000000000000000000000000000000100000001000000000000000000
000000000000000000000000000000000000000000000000000000000000000000000000
""")
# The first client's end, asked for by IPv4.
CLIENT = bytes.fromhex("""
980100001400020001000000dd78000002010000aafe89957f0000010000000000000000000000007f0000010000000000000000
00000000000000002911000000000000000000000000000000000000000000009a0b0600050008000000000008000f0000000000
0c001500010000000000000006001600520000001c010200010000000007aa01e01c0300409c0000008000001802000000000000
0000000000000000000000000000000090010000000000002c0100002c010000ffff0000d7ff00000b00000006000000ffffff7f
0b000000cbff00000300000000000000d7ff000000000000604a9e2712000000ffffffffffffffff040000000000000006000000
00000000040000000300000000000000040000000100000001000000000048e80100000000000000000000000000000000000000
00000000000000000200000000000000030000000000000000000000000000000000000000000000000000000000010000000100
0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
""")
DONE = bytes.fromhex("140000000300020001000000dd78000000000000")
# The answer to a question for address family 99.
REFUSED = bytes.fromhex("""
5c0000000200000001000000d94f0000eaffffff4800000014000103010000000000000063060200020000000000000000000000
00000000000000000000000000000000000000000000000000000000000000000000000000000000
""")

OWN = ("10.0.0.5", 8000)
OTHER = ("10.0.1.7", 41000)
KUBELET = ("10.0.0.1", 52000)


def connection(known: dict[str, int], remote: tuple[str, int] = OTHER) -> Connection:
    """Give the server's end of a connection: one answered long ago and idle since, but for what is known."""
    idle = {
        "inode": 1,
        "unread": 0,
        "unsent": 0,
        "sent": 200_000,
        "received": 200_040,
        "acknowledged": 199_990,
        "segments_in": 3,
        "segments_out": 3,
    }
    return Connection(OWN, remote, **{**idle, **known})


def test_recorded_connections() -> None:
    """A dump of the kernel is read: addresses (IPv4 out of IPv6), ports, queues, times and segments."""
    answered = Connection(
        ("127.0.0.1", 35221), ("127.0.0.1", 43774), 396187, 0, 0, 300, 400, 300, segments_in=1, segments_out=1
    )
    waits = Connection(
        ("::1", 35221), ("::1", 60252), 396189, 6, 0, 400, 300, 300, segments_in=1, segments_out=0
    )
    assert list(messages(SERVED)) == [answered, waits]
    assert list(messages(CLIENT + DONE)) == [
        Connection(
            ("127.0.0.1", 43774),
            ("127.0.0.1", 35221),
            396186,
            0,
            0,
            400,
            300,
            300,
            segments_in=1,
            segments_out=1,
        ),
        None,
    ]


def test_recorded_connections_are_judged() -> None:
    """Both recorded connections may be busy and were spoken on; were the first our own, one is left."""
    served = [found for found in messages(SERVED) if found is not None]
    assert judge(served) == SocketSample(busy=2, spoken_lately=2)
    assert judge(served, own={("127.0.0.1", 43774)}) == SocketSample(busy=1, spoken_lately=1)


def test_a_refusal_of_the_kernel() -> None:
    """When the kernel refuses the question, its error is raised."""
    with pytest.raises(OSError, match="Invalid argument") as caught:
        list(messages(REFUSED))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("cut", [17, 40, 90, 200])
def test_a_kernel_that_tells_too_little(cut: int) -> None:
    """A message without what the rules need is an error, not an idle connection."""
    short = cut.to_bytes(4, sys.byteorder) + SERVED[4:cut]
    with pytest.raises(ValueError, match=r"needed|older"):
        list(messages(short))


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    """Whatever bytes come, they are read or named as an error."""
    try:
        for found in messages(data):
            assert found is None or isinstance(found, Connection)
    except (OSError, ValueError):
        pass


def test_question() -> None:
    """The question asks for established TCP connections of one port, with tcp_info, and nothing else."""
    asked = request(socket.AF_INET, local_port=8000)
    assert len(asked) == 72
    assert asked[:4] == (72).to_bytes(4, sys.byteorder)
    assert asked[16:19] == bytes([socket.AF_INET, socket.IPPROTO_TCP, 2])
    assert asked[20:24] == (2).to_bytes(4, sys.byteorder)
    assert asked[24:28] == (8000).to_bytes(2, "big") + b"\0\0"
    assert request(socket.AF_INET6, remote_port=8000)[24:28] == b"\0\0" + (8000).to_bytes(2, "big")


IDLE: dict[str, int] = {}
ASKED = {"sent": 30_000, "received": 29_000, "acknowledged": 29_000}
FRESH = {"sent": 30_000, "received": 30_000, "acknowledged": 30_000, "segments_in": 1, "segments_out": 0}
REUSED_AT_ONCE = {"sent": 30_000, "received": 30_000, "acknowledged": 30_000}
ANSWERED_AT_ONCE = {"sent": 30_000, "received": 30_000, "acknowledged": 29_960}
ONLY_CONNECTED = {
    "sent": 30_000,
    "received": 30_000,
    "acknowledged": 30_000,
    "segments_in": 0,
    "segments_out": 0,
}


@pytest.mark.parametrize(
    ("known", "certainly", "perhaps"),
    [
        (IDLE, False, False),
        (ASKED, True, False),
        (FRESH, True, True),
        ({**IDLE, "unread": 1}, True, False),
        ({**IDLE, "unsent": 1}, True, False),
        ({"sent": STREAM_GAP - 1, "received": 20_000}, False, True),
        ({"sent": STREAM_GAP, "received": 20_000}, False, False),
        (REUSED_AT_ONCE, False, True),
        (
            {**REUSED_AT_ONCE, "sent": SAME_TICK, "received": SAME_TICK, "acknowledged": SAME_TICK},
            False,
            False,
        ),
        (ANSWERED_AT_ONCE, False, False),
        (ONLY_CONNECTED, False, False),
        ({**ONLY_CONNECTED, "sent": 10, "received": 10, "acknowledged": 10}, False, True),
    ],
    ids=[
        "answered long ago",
        "asked after the last answer",
        "first request, in the tick of its connection",
        "request not read",
        "answer not taken",
        "stream between chunks",
        "stream gap over",
        "next request in the tick of the answer",
        "the same, too long ago",
        "answered in the tick of the request",
        "connected without a word",
        "just connected",
    ],
)
def test_which_are_busy(known: dict[str, int], certainly: bool, perhaps: bool) -> None:  # noqa: FBT001 - a table
    """What the server certainly owes an answer to, and where a request may be in flight."""
    end = connection(known)
    assert (owes(end), may_be_busy(end)) == (certainly, perhaps)


def test_each_connection_counts_once() -> None:
    """Busy and spoken on are counted over all connections, our own left out."""
    served = [
        connection(ASKED),
        connection(IDLE),
        connection({"sent": LATELY + 1_000, "received": LATELY + 2_000}),
        connection(ASKED, ("10.0.0.5", 40_000)),
    ]
    assert judge(served, own={("10.0.0.5", 40_000)}) == SocketSample(busy=2, spoken_lately=1)
    assert judge([]) == SocketSample(0, 0)


def test_probes_are_no_arrivals() -> None:
    """A connection of the kubelet counts only while an answer is owed to it."""
    just_answered = connection({"sent": 10, "received": 14}, KUBELET)
    assert judge([just_answered], probers={KUBELET[0]}) == SocketSample(0, 0)
    assert judge([just_answered]) == SocketSample(1, 1)
    waiting = replace(just_answered, sent=5_000)
    assert judge([waiting], probers={KUBELET[0]}) == SocketSample(1, 1)


def test_nothing_to_be_told_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel does not answer, the sample is unknown, not empty, and it says why."""

    def refused(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    sockets = ServerSockets(8000)
    monkeypatch.setattr(socket, "socket", refused)
    assert sockets.sample() is None
    assert sockets.why_not == "[Errno 1] Operation not permitted"


def test_no_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such thing as netlink, the sample is unknown."""
    monkeypatch.delattr(socket, "AF_NETLINK")
    sockets = ServerSockets(8000)
    assert sockets.sample() is None
    assert "AF_NETLINK" in str(sockets.why_not)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_own_connections_are_left_out(address: str) -> None:
    """The kernel is asked for real: a connection of this very process is seen and not counted."""
    writers: list[asyncio.StreamWriter] = []
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    port = both.getsockname()[1]
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), sock=both)
    async with server:
        _, ours = await asyncio.open_connection(address, port)
        ours.write(b"a request")
        await ours.drain()
        sockets = ServerSockets(port)
        assert sockets.sample() == SocketSample(0, 0)
        assert sockets.why_not is None
        for writer in (ours, *writers):
            writer.close()
            await writer.wait_closed()


def test_the_listening_socket_tells_one_start_from_another() -> None:
    """What listens on the port has an identity, another one after each start, none when nothing listens."""
    first = socket.create_server(("127.0.0.1", 0))
    port = first.getsockname()[1]
    sockets = ServerSockets(port)
    before = sockets.listening()
    assert len(before) == 1
    assert sockets.listening() == before
    first.close()
    assert sockets.listening() == frozenset()
    with socket.create_server(("127.0.0.1", port)):
        assert len(sockets.listening() - before) == 1

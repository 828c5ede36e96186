"""Connections of the server's port, by the kernel's socket diagnostics (Linux, man 7 sock_diag).

No privilege is needed. Reading the kernel's messages and judging them is pure; `ServerSockets` asks.
Structures: linux/netlink.h, linux/inet_diag.h, linux/tcp.h.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# On a connection the server sent on so lately there may be a stream between two chunks (ms).
STREAM_GAP: Final = 10_000
# The kernel's clock ticks each 1 to 10 ms. When the last data in and out fall into one tick, either may have
# come last: a client's next request right after an answer, or an answer given at once. It is taken as a
# request in flight for so long (ms).
SAME_TICK: Final = 60_000
# So long after something was said on a connection, it still counts as an arrival (ms).
LATELY: Final = 5_000

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ERROR: Final = 2
_DONE: Final = 3
_INET_DIAG_INFO: Final = 2
_ESTABLISHED: Final = 1
_LISTEN: Final = 10
_BUFFER: Final = 1 << 16
_ANSWER_SECONDS: Final = 0.5

# Length, type, flags, sequence number, port id.
_HEADER: Final = struct.Struct("=IHHII")
# inet_diag_req_v2: family, protocol, extensions, states, source port, destination port; the rest is any.
_REQUEST: Final = struct.Struct("=BBBxI2s2s44x")
# inet_diag_msg: family, ports and addresses of source and destination, receive and send queue, inode.
_MESSAGE: Final = struct.Struct("=B3x2s2s16s16s16xII4xI")
# Length with this header, type.
_ATTRIBUTE: Final = struct.Struct("=HH")
# tcp_info: ms since data was sent, data was received, anything was acknowledged; segments with data, in and
# out (these since Linux 4.6).
_TCP_INFO: Final = struct.Struct("=44xI4xII92xII")


Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Connection:
    """One end of an established connection as the kernel tells it.

    `unread` and `unsent` are bytes; `sent`, `received` and `acknowledged` ms since the end last sent data,
    received data, received an acknowledgement (all three begin with the connection). Segments are those with
    data.
    """

    local: Address
    remote: Address
    inode: int
    unread: int
    unsent: int
    sent: int
    received: int
    acknowledged: int
    segments_in: int
    segments_out: int


@dataclass(frozen=True, slots=True)
class SocketSample:
    """Connections that others have with the server.

    `busy`: the server owes an answer, or may be in the middle of one. `spoken_lately`: it owes one, or
    something was said in the last 5 s.
    """

    busy: int
    spoken_lately: int


def owes(connection: Connection) -> bool:
    """Tell whether the server certainly has a request it has not answered."""
    return (
        connection.unread > 0
        or connection.unsent > 0
        or connection.received < connection.sent
        or connection.segments_in > 0 == connection.segments_out
    )


def may_be_busy(connection: Connection) -> bool:
    """Tell whether a request may be in flight, though it need not be."""
    same_tick = connection.sent == connection.received and connection.segments_in > 0
    # A lone acknowledgement after the last request is that of its answer.
    answered = connection.acknowledged < connection.received
    return connection.sent < STREAM_GAP or (same_tick and not answered and connection.sent < SAME_TICK)


def judge(
    served: Iterable[Connection], own: Collection[Address] = (), probers: Collection[str] = ()
) -> SocketSample:
    """Count the server's ends of its connections, without those to our `own` ends.

    `probers` are addresses the kubelet calls from: they count only while an answer is owed to them, or its
    probes would be arrivals for ever.
    """
    busy = lately = 0
    for connection in served:
        if connection.remote in own:
            continue
        asks = connection.remote[0] not in probers
        works = owes(connection) or (asks and may_be_busy(connection))
        busy += works
        lately += owes(connection) or (asks and min(connection.sent, connection.received) < LATELY)
    return SocketSample(busy, lately)


def request(family: int, *, local_port: int = 0, remote_port: int = 0, state: int = _ESTABLISHED) -> bytes:
    """Write the question for all TCP sockets of a family in one state with these ports (0: any)."""
    ports = local_port.to_bytes(2, "big"), remote_port.to_bytes(2, "big")
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 1 << state, *ports)
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + body


def messages(datagram: bytes) -> Iterator[Connection | None]:
    """Give the connections in one datagram of the kernel, and None for the end of the dump.

    Raises OSError when the kernel refuses, ValueError when it tells too little.
    """
    for kind, body in _records(datagram, _HEADER):
        if kind == _DONE:
            yield None
            return
        if kind == _ERROR:
            code = -int.from_bytes(body[:4], sys.byteorder, signed=True)
            raise OSError(code, os.strerror(code))
        yield _connection(body)


def _connection(body: bytes) -> Connection:
    if len(body) < _MESSAGE.size:
        raise ValueError(f"a message of {len(body)} bytes where {_MESSAGE.size} are needed")
    family, local_port, remote_port, local, remote, unread, unsent, inode = _MESSAGE.unpack_from(body)
    info = next(
        (data for kind, data in _records(body[_MESSAGE.size :], _ATTRIBUTE) if kind == _INET_DIAG_INFO), b""
    )
    if len(info) < _TCP_INFO.size:
        raise ValueError("the kernel does not count segments with data (older than Linux 4.6)")
    return Connection(
        (_address(family, local), int.from_bytes(local_port, "big")),
        (_address(family, remote), int.from_bytes(remote_port, "big")),
        inode,
        unread,
        unsent,
        *_TCP_INFO.unpack_from(info),
    )


def _records(data: bytes, header: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """Give type and body of each record; both headers begin with a length that includes the header."""
    at = 0
    while at + header.size <= len(data):
        length, kind = header.unpack_from(data, at)[:2]
        if length < header.size:
            raise ValueError(f"a record of {length} bytes")
        yield kind, data[at + header.size : at + length]
        at += (length + 3) & ~3


def _address(family: int, raw: bytes) -> str:
    if family == socket.AF_INET:
        return str(ipaddress.IPv4Address(raw[:4]))
    address = ipaddress.IPv6Address(raw)
    # A server that listens on :: has its IPv4 clients as ::ffff:10.0.0.1.
    return str(address.ipv4_mapped or address)


class ServerSockets:
    """Looks at the connections of one local port; `why_not` says why that cannot be done, if it cannot."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.why_not: str | None = None

    def sample(self, probers: Collection[str] = ()) -> SocketSample | None:
        """Look once (about a millisecond, half a second at the very most); None when it cannot be told here.

        `probers`: see `judge`.
        """
        try:
            served = tuple(connections(local_port=self._port))
            to_server = connections(remote_port=self._port)
            inodes = _own_inodes()
            own = {end.local for end in to_server if end.inode in inodes}
        except (OSError, ValueError, AttributeError) as error:  # AttributeError: no AF_NETLINK, no Linux
            self.why_not = str(error)
            return None
        self.why_not = None
        return judge(served, own, probers)

    def listening(self) -> frozenset[int]:
        """Give the inodes of the sockets that listen on the port: others after each start of the server.

        Empty when none listens, or when it cannot be told here.
        """
        try:
            return frozenset(c.inode for c in connections(local_port=self._port, state=_LISTEN))
        except (OSError, ValueError, AttributeError):
            return frozenset()


def connections(
    *, local_port: int = 0, remote_port: int = 0, state: int = _ESTABLISHED
) -> Iterator[Connection]:
    """Ask the kernel for TCP sockets with these ports (0: any) in this state. Raises OSError, ValueError."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(_ANSWER_SECONDS)
            kernel.send(request(family, local_port=local_port, remote_port=remote_port, state=state))
            yield from _dump(kernel)


def _dump(kernel: socket.socket) -> Iterator[Connection]:
    while True:
        for connection in messages(kernel.recv(_BUFFER)):
            if connection is None:
                return
            yield connection


def _own_inodes() -> frozenset[int]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            name = str(entry.readlink())
            if name.startswith("socket:["):
                found.add(int(name[8:-1]))
    return frozenset(found)

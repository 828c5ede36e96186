"""Connections of the server's port, by the kernel's socket diagnostics."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SocketSample:
    """Connections others have with the server.

    `busy`: the server owes an answer or has sent a moment ago. `spoken_lately`: busy, or data came or went in the
    last 5 s. `open`: all of them.
    """

    busy: int
    spoken_lately: int
    open: int


class ServerSockets:
    """Looks at the connections of one local port; `why_not` says why it cannot."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.why_not: str | None = None

    def sample(self, probers: Collection[str] = ()) -> SocketSample | None:
        """Count the connections now; `probers` are addresses counted only while an answer is owed to them.

        Blocks for about a millisecond. None when it cannot be told here.
        """
        raise NotImplementedError

"""The registrar's own HTTP endpoint: /drain, /ready and /status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any


class Endpoint:
    """Serves on the pod's address.

    `drain` is called for each /drain with the right nonce and must join a drain under way; its outcome is the
    answer. `wrong_nonce` is told the peer's address. `probers` holds the addresses the kubelet calls from.
    """

    def __init__(
        self,
        nonce: str,
        *,
        drain: Callable[[], Awaitable[Mapping[str, Any]]],
        ready: Callable[[], bool],
        status: Callable[[], Mapping[str, Any]],
        wrong_nonce: Callable[[str], None],
    ) -> None:
        self.probers: set[str] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError."""

    async def stop(self) -> None:
        """Stop listening and close every connection."""

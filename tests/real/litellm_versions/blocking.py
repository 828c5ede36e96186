"""Which versions of LiteLLM cannot block a row."""

from __future__ import annotations

from typing import Final

from tests.peers.proxy import LiteLLM

# The table of models has the column `blocked` since 1.87.0 (litellm/proxy/schema.prisma, pull request 27927).
_WITHOUT: Final = frozenset({"1.81.3"})


def can_block(proxy: LiteLLM) -> bool:
    """Tell whether this version knows `blocked` and /model/block."""
    return proxy.version not in _WITHOUT

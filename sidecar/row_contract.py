"""What a row of ours looks like from outside: what registrar and broker each work out for themselves, alike.

A leaf of the contract, standard library only. The broker refuses what differs from what it gets here, so a
change is a new contract version.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

# In model_info: who a row is of, and in it the mark of a block that the registrar may undo.
OWNER_KEY: Final = "registrar"
MARK: Final = "blocked_by"
MARKED_BY_US: Final = "registrar"
# In model_info, beside the block of the owner, which the registrar writes anew: why the reaper has blocked
# the row. Empty: it has not, or not any more: no key of model_info can be taken out (PATCH in LiteLLM 1.106
# merges).
REAPER_KEY: Final = "registrar_reaper"
NODE_NOT_READY: Final = "node_not_ready"
# Without a key LiteLLM sends one of its own environment to the server (OPENAI_API_KEY, HOSTED_VLLM_API_KEY).
NO_KEY: Final = "none"
# These providers add Ollama's own paths to `api_base` themselves.
WITHOUT_V1: Final = frozenset({"ollama", "ollama_chat"})
# With closed connections the open ones are exactly what is in flight, where the engine does not tell.
CLOSED_CONNECTIONS: Final = {"Connection": "close"}

_POD_DIGITS: Final = 24
_ROW_DIGITS: Final = 24
_BAD_REQUEST: Final = 400


def pod_prefix(cluster: str, namespace: str, pod_uid: str) -> str:
    """Give how the id of every row of this pod begins, and of no other pod's row."""
    return f"registrar-{_digest([cluster, namespace, pod_uid])[:_POD_DIGITS]}-"


def row_id(
    cluster: str, namespace: str, pod_uid: str, model: str, generation: int = 0, *, alias: str | None = None
) -> str:
    """Give the id of a row: the same for the same name of the same model of the same pod, always."""
    parts: list[str | int] = [model, generation, *([] if alias is None else [alias])]
    return pod_prefix(cluster, namespace, pod_uid) + _digest(parts)[:_ROW_DIGITS]


def bracketed(address: str) -> str:
    """Write an IP address as the host of a URL: IPv6 in brackets."""
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def says_deleted(answer: str, row_id: str) -> bool:
    """Tell whether a success that came back for a deletion is LiteLLM's own word that the row is gone.

    A login page or another program at its address answers 200 too. It says `Model: ID deleted successfully`
    (`delete_model` in litellm/proxy/management_endpoints/model_management_endpoints.py, 1.81 to 1.108). If it
    said it in other words one day, the next try would be told that there is no such row.
    """
    return row_id in answer


def says_no_row(status: int, answer: str) -> bool:
    """Tell whether what came back for a deletion says that there is no such row.

    400 `Model with id=ID not found in db` (`delete_model`, as above).
    """
    return status == _BAD_REQUEST and "not found in db" in answer


def base_url(scheme: str, host: str, port: int, path: str) -> str:
    """Write a server's address, without /v1; `host` is a name or an IP address, `path` a prefix."""
    prefix = path.strip("/")
    return f"{scheme}://{bracketed(host)}:{port}{'/' + prefix if prefix else ''}"


def api_base(provider: str, base: str) -> str:
    """Give the `api_base` of a row from the server's address."""
    return base if provider in WITHOUT_V1 else f"{base}/v1"


def _digest(parts: list[str | int]) -> str:
    """Hash the parts, put together as a JSON list: no two lists of parts give the same text."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()

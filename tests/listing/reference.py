"""What the README says of `list`: its example, the words of what differs, the fields of its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from webhook.listing.shapes import Difference

FOLDER: Final = Path(__file__).parent

DIFFERENCES: Final[Mapping[Difference, str]] = {
    Difference.POD_GONE: "a row whose pod is gone; [the reaper](#the-reaper) removes it",
    Difference.POD_REPLACED: "the same: another pod has its name by now",
    Difference.POD_ENDED: "the same: its pod has ended (`Succeeded`, `Failed`)",
    Difference.BLOCKED: "the registrar has blocked the row: its server is ill, or asleep; see the state",
    Difference.BLOCKED_BY_REAPER: "the reaper has, because the pod's node is not Ready",
    Difference.BLOCKED_BY_OTHERS: "a person or another program has; nobody here unblocks it",
    Difference.ADDRESS_DIFFERS: "LiteLLM sends the row's requests to another address than the pod's",
    Difference.NAME_ELSEWHERE: "others have rows of this name too, and share its requests: another "
    "namespace, another cluster, or rows that no registrar made",
    Difference.POD_WITHOUT_ROW: "a pod with a registrar of which LiteLLM shows no row: it starts, or its "
    "state says what keeps it",
    Difference.WITHOUT_REGISTRAR: "a pod with the label and no registrar: see [What lives](#what-lives)",
    Difference.REGISTRAR_NOT_RUNNING: "the kubelet cannot start the registrar, or it ends again and again",
    Difference.NODE_NOT_READY: "the pod's node is gone or not Ready",
}

FIELDS: Final[Mapping[str, str]] = {
    "namespace": "of the pod",
    "pod": "its name; of a row without a pod, the name that it had",
    "pod_uid": "its uid",
    "pod_created": "when it was made",
    "deleting": "whether it is being deleted",
    "server": "the value of its label",
    "node": "its node",
    "node_ready": "whether that is Ready; null: not known",
    "state": "what its registrar told last: `waiting`, `serving`, `blocked`, `draining`, `drained`",
    "reason": "the named reason that keeps it from serving",
    "message": "a sentence on that",
    "since": "since when its models have been routable, or have not",
    "registrar_trouble": "why the registrar does not run, in the kubelet's words",
    "model": "the name that the row stands under in LiteLLM; null: no row",
    "row": "the row's id",
    "row_created": "when the row was made, which LiteLLM tells only with its licence",
    "address": "where LiteLLM sends its requests",
    "elsewhere": "who else has rows of this name: `cluster` and `namespace`, both empty for rows that no "
    "registrar made",
    "differs": "the words of the table above; empty: nothing differs",
}


def example() -> str:
    """Give the table of the golden world."""
    return f"```text\n$ litellm-registrar list\n{(FOLDER / 'table.txt').read_text()}```"


def differences() -> list[tuple[str, str]]:
    """Give each word with what it means. Raises KeyError for one without a text."""
    return [(f"`{word}`", DIFFERENCES[word]) for word in Difference]


def entry_fields() -> list[tuple[str, str]]:
    """Give each field of an entry with what it holds. Raises KeyError for one without a text."""
    (first, *_) = json.loads((FOLDER / "list.json").read_text())["entries"]
    return [(f"`{name}`", FIELDS[name]) for name in first]

"""JSON Patch (RFC 6902), as much of it as an admission answer of ours uses: add, replace and remove.

There is no `test` operation: a failing one rejects the request with 500 whatever `failurePolicy` says
(measured on Kubernetes 1.36).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple


class PatchError(ValueError):
    """An operation does not fit the document; the message names the operation's path."""


class Op(NamedTuple):
    """One operation; `path` is a JSON Pointer (RFC 6901). `value` has no meaning for a remove."""

    op: Literal["add", "replace", "remove"]
    path: str
    value: Any = None

    def to_json(self) -> dict[str, Any]:
        """Give the operation as the object that is sent."""
        if self.op == "remove":
            return {"op": self.op, "path": self.path}
        return {"op": self.op, "path": self.path, "value": self.value}


def pointer(*keys: str | int) -> str:
    """Give the JSON Pointer to these keys; `~` and `/` within a key are escaped."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def apply(document: Any, ops: Iterable[Op]) -> Any:
    """Give a copy of the document with the operations applied in order. Raises PatchError."""
    root = {"": copy.deepcopy(document)}
    for op in ops:
        *parents, last = ["", *(_unescape(token) for token in op.path.split("/")[1:])]
        target: Any = root
        for token in parents:
            target = _child(target, token, op.path)
        _change(target, last, op)
    return root[""]


def _unescape(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")


def _child(target: Any, token: str, path: str) -> Any:
    if isinstance(target, dict) and token in target:
        return target[token]
    if isinstance(target, list):
        return target[_index(token, len(target) - 1, path)]
    raise PatchError(f"{path}: there is no {token!r} to go into")


def _index(token: str, highest: int, path: str) -> int:
    if not (token.isascii() and token.isdigit() and str(int(token)) == token and int(token) <= highest):
        raise PatchError(f"{path}: {token!r} is no index from 0 to {highest}")
    return int(token)


def _change(target: Any, last: str, op: Op) -> None:
    value = copy.deepcopy(op.value)
    if isinstance(target, list):
        if op.op == "add":
            target.insert(len(target) if last == "-" else _index(last, len(target), op.path), value)
            return
        index = _index(last, len(target) - 1, op.path)
        if op.op == "replace":
            target[index] = value
        else:
            del target[index]
    elif isinstance(target, dict) and (op.op == "add" or last in target):
        if op.op == "remove":
            del target[last]
        else:
            target[last] = value
    else:
        raise PatchError(f"{op.path}: there is no {last!r} to {op.op}")

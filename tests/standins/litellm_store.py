"""The database that the replicas of the stand-in for LiteLLM share, and the keys that may use it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

MASTER_KEY: Final = "sk-1234"


class DatabaseDownError(Exception):
    """What Prisma says when the database cannot be reached."""

    def __init__(self) -> None:
        super().__init__(
            "Can't reach database server at `127.0.0.1:5432`\n\n"
            "Please make sure your database server is running at `127.0.0.1:5432`."
        )


class UniqueViolationError(Exception):
    """A second row with the same primary key."""


@dataclass(slots=True)
class Row:
    """One row of LiteLLM_ProxyModelTable; litellm_params are kept in clear here."""

    model_id: str
    model_name: str
    litellm_params: dict[str, Any]
    model_info: dict[str, Any]
    blocked: bool = False
    created_at: str = ""
    updated_at: str = ""


@dataclass(slots=True)
class Database:
    """The table of models. While `up` is false every call raises DatabaseDownError."""

    up: bool = True
    rows: dict[str, Row] = field(default_factory=dict)

    def find(self, model_id: str) -> Row | None:
        """Give a copy of the row with this id."""
        self._reach()
        return copy.deepcopy(self.rows.get(model_id))

    def all(self) -> list[Row]:
        """Give every row, oldest first; they are not to be changed."""
        self._reach()
        return list(self.rows.values())

    def named(self, model_name: str) -> list[Row]:
        """Give the rows of this name, else of the one with it as id (LiteLLM's read-through)."""
        rows = self.all()
        return [r for r in rows if r.model_name == model_name] or [
            r for r in rows if r.model_id == model_name
        ]

    def insert(self, row: Row) -> Row:
        """Add a row. Raises UniqueViolationError when its id is taken."""
        self._reach()
        if row.model_id in self.rows:
            raise UniqueViolationError(row.model_id)
        row.created_at = row.updated_at = _now()
        self.rows[row.model_id] = copy.deepcopy(row)
        return row

    def replace(self, row: Row) -> Row:
        """Write a row that is there."""
        self._reach()
        row.updated_at = _now()
        self.rows[row.model_id] = copy.deepcopy(row)
        return row

    def delete(self, model_id: str) -> None:
        """Remove a row that is there."""
        self._reach()
        del self.rows[model_id]

    def _reach(self) -> None:
        if not self.up:
            raise DatabaseDownError


@dataclass(frozen=True, slots=True)
class Key:
    """What a virtual key may do; no `allowed_routes` means every route its role may call."""

    role: str = "proxy_admin"
    allowed_routes: tuple[str, ...] = ()

    def allows(self, path: str) -> bool:
        """Whether `allowed_routes` holds this path: exact, as a prefix, or with a trailing `*`."""
        return not self.allowed_routes or any(
            path == route
            or path.startswith(route + "/")
            or (route.endswith("*") and path.startswith(route[:-1]))
            for route in self.allowed_routes
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

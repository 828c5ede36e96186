"""The Lease as a ledger: before rows are written that is noted there, which proves who leads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from webhook.kube.api import JSON, Api, ApiError
from webhook.reaper.shapes import Bounds
from webhook.reaper.share import LEAVE, Grant, granted

_CONFLICT: Final = 409
# The leader renews its Lease every 2 s: another write in between is rare, three in a row are not by chance.
_TRIES: Final = 5
_AGAIN: Final = 0.05


class NotLeadingError(Exception):
    """The Lease is another replica's by now."""


class Ledger:
    """The Lease at a path, as its holder reads and writes it. Rights: `get` and `update`."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._path = path

    async def grant(
        self,
        holder: str,
        due: Collection[str],
        own: Collection[str],
        now: float,
        bounds: Bounds,
        *,
        store: bool = True,
    ) -> Grant:
        """Tell how many of the rows may be written, and note them if `store`, all under one version.

        Raises NotLeadingError, ApiError.
        """
        for _ in range(_TRIES):
            lease = await self._read(holder)
            found = granted(_annotations(lease), due, own, now, bounds)
            if not store or not found.annotations or await self._written(lease, found.annotations):
                return found
            await asyncio.sleep(_AGAIN)
        raise ApiError(_CONFLICT, "Conflict", f"PUT {self._path}: changed each time")

    async def take_off(self, holder: str) -> str:
        """Take off a person's word that nothing waits for, and give it; empty: there is none.

        Raises NotLeadingError, ApiError.
        """
        lease = await self._read(holder)
        word = _annotations(lease).get(LEAVE, "")
        return word if word and await self._written(lease, {LEAVE: None}) else ""

    async def _read(self, holder: str) -> JSON:
        lease = await self._api.get(self._path)
        if (lease.get("spec") or {}).get("holderIdentity") != holder:
            raise NotLeadingError
        return lease

    async def _written(self, lease: JSON, news: Mapping[str, str | None]) -> bool:
        """Write annotations over this very version; tell whether it was still that one. Raises ApiError."""
        changed = {**_annotations(lease), **news}
        kept = {key: value for key, value in changed.items() if value is not None}
        body = {**lease, "metadata": {**lease["metadata"], "annotations": kept}}
        try:
            await self._api.replace(self._path, body)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
            return False
        return True


def _annotations(lease: JSON) -> dict[str, str]:
    return {**(lease.get("metadata", {}).get("annotations") or {})}

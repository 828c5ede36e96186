"""The way to LiteLLM's admin API: its own address with its key, or a broker's (`broker_access`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import httpx

from sidecar.reasons import Reason

_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Failed:
    """What was asked may or may not have happened, for this reason.

    `rule` is the broker's, by which it refused; `retry_after` the seconds that it asks to be left alone.
    """

    reason: Reason
    detail: str
    rule: str = ""
    retry_after: float = 0.0


class Access(Protocol):
    """One way to the admin API."""

    @property
    def url(self) -> str:
        """Give the address, without a slash at its end."""
        ...

    def headers(self) -> Mapping[str, str] | Failed:
        """Give what each request carries, as it is now; `Failed`: nothing can be asked."""
        ...

    def refusal(self, reply: httpx.Response) -> Failed | None:
        """Name what an answer means that is not LiteLLM's own; None for one of LiteLLM."""
        ...

    def lost(self, error: httpx.HTTPError) -> Reason:
        """Name why no answer came."""
        ...

    def name(self, reason: Reason) -> Reason:
        """Give the name that a reason of LiteLLM's has when it is met on this way."""
        ...


class ByKey:
    """LiteLLM itself, asked with its key; `misconfigured` is why that cannot be done at all."""

    def __init__(self, url: str | None, key: str | None, misconfigured: Failed | None = None) -> None:
        self._url = url or ""
        self._misconfigured = misconfigured or _configuration(url, key)
        self._headers = {} if self._misconfigured else {"Authorization": f"Bearer {key}"}

    @property
    def url(self) -> str:
        """Give the address, without a slash at its end."""
        return self._url.rstrip("/")

    def headers(self) -> Mapping[str, str] | Failed:
        """Give the key, always the same."""
        return self._misconfigured or self._headers

    def refusal(self, reply: httpx.Response) -> Failed | None:  # noqa: ARG002 - as the protocol has it
        """Give nothing: every answer is LiteLLM's."""
        return None

    def lost(self, error: httpx.HTTPError) -> Reason:
        """Name why no answer came."""
        return Reason.LITELLM_NO_ANSWER if was_sent(error) else Reason.LITELLM_UNREACHABLE

    def name(self, reason: Reason) -> Reason:
        """Give the reason as it is."""
        return reason


def was_sent(error: httpx.HTTPError) -> bool:
    """Tell whether a request without an answer may have been seen by the other side."""
    return not isinstance(error, _NOT_SENT)


def unfit(url: str, *schemes: str) -> str | None:
    """Say why this is no address with one of these schemes; None: it is one."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        return str(error)
    fits = parsed.scheme in schemes and parsed.host
    return None if fits else f"scheme {parsed.scheme!r}, host {parsed.host!r}"


def _configuration(url: str | None, key: str | None) -> Failed | None:
    if not url or not key:
        missing = " and ".join(name for name, value in (("url", url), ("key", key)) if not value)
        return Failed(Reason.LITELLM_NO_SECRET, f"missing: {missing}")
    if not (key.isascii() and key.isprintable()):
        return Failed(Reason.LITELLM_WRONG_KEY, "the key holds characters no HTTP header can hold")
    wrong = unfit(url, "http", "https")
    return None if wrong is None else Failed(Reason.LITELLM_BAD_URL, wrong)

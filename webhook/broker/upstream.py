"""The way to LiteLLM: a call goes out with the key, and LiteLLM's answer comes back as it is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx

from webhook.broker.shapes import Call, Outcome, RefusedError, Reply, Rule
from webhook.config import ConfigError

# Connections at a time: more than the bounds on reads and writes together, so that none waits for one here.
_CONNECTIONS: Final = 64
# Seconds. LiteLLM is served by uvicorn, which ends an idle connection after 5 (`--timeout-keep-alive`,
# uvicorn.org, "Settings"): a connection is given up before, or a call could be sent into the end of one.
_KEEP_ALIVE: Final = 3.0
_CONNECT: Final = 5.0
# A page of 200 rows is 1.5 MB (measured on LiteLLM 1.106.2).
_MOST: Final = 32 * 1024 * 1024
_BAD: Final = 400
_FAULT: Final = 500
_BAD_GATEWAY: Final = 502
_GATEWAY_TIMEOUT: Final = 504
# Errors before a request left: LiteLLM has seen nothing of it.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class FaultError(Exception):
    """LiteLLM answered a question of the broker's own with a fault: whoever caused it gets it as it is."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"HTTP {reply.status}")
        self.reply = reply


def read_key(text: str) -> str:
    """Take a key from what its file holds, without blanks and line ends around it. Raises ConfigError."""
    key = text.strip()
    if not key:
        raise ConfigError(["found nothing, a key of LiteLLM is needed"])
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(["found blanks or characters that no HTTP header can hold, one key is needed"])
    return key


def trust(ca: str) -> ssl.SSLContext:
    """Trust only the authorities of this PEM file, or, if it is empty, the system's. Raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError([f"{ca}: found no certificates that can be read ({reason})"]) from None


class Upstream:
    """Asks LiteLLM at `url` with the key in `use`; `transport` replaces the network in tests."""

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        count: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        """`count` is told what became of each request; of one that was given up half-way nothing."""
        self._count = count
        self._url = url.rstrip("/")
        limits = httpx.Limits(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS,
            keepalive_expiry=_KEEP_ALIVE,
        )
        # A connection that is refused is tried once more: a Service refuses while its pods change.
        transport = transport or httpx.AsyncHTTPTransport(verify=tls or trust(""), limits=limits, retries=1)
        # The key goes to no proxy that stands in the environment, and nowhere else by a redirect.
        self._client = httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False)
        self._headers: dict[str, str] = {}
        # LiteLLM may quote them in a fault.
        self.secrets: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        """Nothing is asked yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every connection."""
        await self.close()

    async def close(self) -> None:
        """End every connection."""
        await self._client.aclose()

    def use(self, key: str) -> None:
        """Ask with this key from now on; it is one that `read_key` gave."""
        self._headers = {"Authorization": f"Bearer {key}"}
        self.secrets = (key,)

    async def send(self, call: Call, seconds: float) -> Reply:
        """Make a call and give whatever LiteLLM answers, within `seconds` in all.

        Raises RefusedError(CANNOT_ASK_LITELLM): 502 if LiteLLM has seen nothing of it, 504 if it may have
        been carried out all the same.
        """
        try:
            reply = await self._sent(call, seconds)
        except RefusedError as error:
            self._count(Outcome.NOT_SENT if error.status == _BAD_GATEWAY else Outcome.NO_ANSWER)
            raise
        self._count(_outcome(reply.status))
        return reply

    async def _sent(self, call: Call, seconds: float) -> Reply:
        what = f"{call.method} {call.path}"
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(call, seconds)
        except _NOT_SENT as error:
            raise _cannot(f"{what} was not sent ({type(error).__name__})", _BAD_GATEWAY) from None
        except (TimeoutError, httpx.TimeoutException):
            raise _cannot(f"{what} had no answer in {seconds:g} s, it may have been done") from None
        except httpx.HTTPError as error:
            how = type(error).__name__
            raise _cannot(f"{what} was broken off ({how}), it may have been done") from None

    async def _ask(self, call: Call, seconds: float) -> Reply:
        async with self._client.stream(
            call.method,
            self._url + quote(call.path, safe="/"),
            params=call.query or None,
            json=call.body,
            headers=self._headers,
            timeout=httpx.Timeout(seconds, connect=min(_CONNECT, seconds)),
        ) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MOST:
                    raise _cannot(f"{call.method} {call.path} had an answer of more than {_MOST} bytes")
        return Reply(response.status_code, bytes(body))


def _outcome(status: int) -> Outcome:
    if status >= _FAULT:
        return Outcome.FAULT
    return Outcome.REFUSED if status >= _BAD else Outcome.OK


def _cannot(message: str, status: int = _GATEWAY_TIMEOUT) -> RefusedError:
    return RefusedError(Rule.CANNOT_ASK_LITELLM, f"LiteLLM cannot be asked: {message}", status)

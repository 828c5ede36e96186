"""A model server that is not there, not well, or not what it should be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import httpx
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.contract import Credentials, Engine, PodIdentity, Probing, ReadyCheck, Settings
from sidecar.reasons import Reason
from sidecar.servers import server as server_module
from sidecar.servers.server import ModelServer
from sidecar.servers.shapes import Ambiguous, Answer, Asleep, Observation, Refused
from tests.certificates import make_ca, make_leaf
from tests.standins.canned import Canned
from tests.standins.listening import let_in

KEYS: Final = [
    "id",
    "owned_by",
    "root",
    "parent",
    "max_model_len",
    "context_length",
    "meta",
    "n_ctx",
    "created",
    "capabilities",
    "models",
    "name",
    "digest",
    "version",
    "data",
    "model_path",
    "is_generation",
    "architectures",
    "default_generation_settings",
    "model_id",
    "count",
    "token_strs",
    "error",
    "message",
    "choices",
    "usage",
    "prompt_tokens",
    "completion_tokens_details",
    "tool_calls",
    "embedding",
    "is_sleeping",
]
ROUTES: Final = [
    "/v1/health/ready",
    "/api/version",
    "/",
    "/api/tags",
    "/api/ps",
    "/model_info",
    "/props",
    "/info",
    "/health",
    "/version",
    "/metrics",
    "/is_sleeping",
    "/v1/chat/completions",
    "POST /tokenize",
    "POST /v1/chat/completions",
    "POST /v1/embeddings",
]
LIST = b'{"object": "list", "data": [{"id": "m"}]}'


def reply(body: bytes = LIST, status: str = "200 OK") -> bytes:
    """Write an HTTP answer."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


@contextlib.asynccontextmanager
async def listening(
    answer: bytes = b"", address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Listen on a free port, answer each request alike and close."""
    spoken: set[asyncio.Task[None]] = set()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if await reader.read(65536):
                writer.write(answer)
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(
        lambda reader, writer: spoken.add(asyncio.ensure_future(speak(reader, writer))), address, 0, ssl=tls
    )
    async with server:
        yield server.sockets[0].getsockname()[1]
        await let_in(*(each.fileno() for each in server.sockets))
    await asyncio.gather(*spoken)


async def observe(port: int, address: str = "127.0.0.1", **settings: Any) -> Observation:
    """Look at a server at this address once, over a real connection."""
    full = Settings(**{"cluster": "c", "engine": Engine.OPENAI, "port": port, "nonce": "n", **settings})
    async with httpx.AsyncClient(trust_env=False, verify=ssl.create_default_context()) as client:
        return await ModelServer(
            full, PodIdentity("ns", "pod", "uid", address), Credentials(), client
        ).observe()


@pytest.fixture
def deaf() -> Iterator[int]:
    """Give a port that is taken and nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_refused(deaf: int) -> None:
    """A port nothing listens on is refused."""
    assert await observe(deaf) == Refused("/v1/models: connection refused")


async def test_refused_by_every_address_of_a_host(deaf: int) -> None:
    """A host name is refused when all its addresses are."""
    assert await observe(deaf, host="localhost") == Refused("/v1/models: connection refused")


async def test_on_loopback_only() -> None:
    """A server that listens on 127.0.0.1 but not on the pod's address is a reason of its own."""
    async with listening(reply()) as port:
        seen = await observe(port, address="127.0.0.2")
    assert seen == Ambiguous(Reason.SERVER_ON_LOOPBACK_ONLY, "/v1/models: connection refused")


async def test_loopback_is_not_looked_at_for_a_host() -> None:
    """With a host set the pod's own loopback says nothing about it."""
    async with listening(reply()) as port:
        assert isinstance(await observe(port, host="127.0.0.3"), Refused)


async def test_well_over_a_real_connection() -> None:
    """A server that lists a model is well."""
    async with listening(reply()) as port:
        assert isinstance(await observe(port), Answer)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(b"{}", "401 Unauthorized"), Reason.SERVER_UNAUTHORIZED),
        (reply(b"{}", "403 Forbidden"), Reason.SERVER_UNAUTHORIZED),
        (reply(b"{}", "404 Not Found"), Reason.SERVER_NO_MODEL_LIST),
        (reply(b"{}", "500 Internal Server Error"), Reason.SERVER_ERROR),
        (reply(b"upstream", "503 Service Unavailable"), Reason.SERVER_ERROR),
        (reply(b"Loading model", "503 Service Unavailable"), Reason.SERVER_LOADING),
        (reply(b"{}", "599 Odd"), Reason.SERVER_ERROR),
        (reply(b"{}", "429 Too Many Requests"), Reason.SERVER_BAD_ANSWER),
        (reply(b"{}", "307 Temporary Redirect"), Reason.SERVER_BAD_ANSWER),
        (reply(b"{}"), Reason.SERVER_BAD_ANSWER),
        (reply(b"<html>"), Reason.SERVER_BAD_ANSWER),
        (reply(b"[]"), Reason.SERVER_BAD_ANSWER),
        (reply(b'{"data": {}}'), Reason.SERVER_BAD_ANSWER),
        (reply(b"\xff\xfe"), Reason.SERVER_BAD_ANSWER),
        (reply(b"[" * 100_000), Reason.SERVER_BAD_ANSWER),
        (b"SSH-2.0-OpenSSH_9.9\r\n", Reason.SERVER_BAD_ANSWER),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{", Reason.SERVER_BAD_ANSWER),
        (b"", Reason.SERVER_BAD_ANSWER),
    ],
)
async def test_each_bad_answer_has_its_reason(answer: bytes, reason: Reason) -> None:
    """Whatever a server answers that is no list of models has a named reason and raises nothing."""
    async with listening(answer) as port:
        seen = await observe(port)
    assert isinstance(seen, Ambiguous)
    assert seen.reason is reason


async def test_a_redirect_is_not_followed() -> None:
    """A redirect is a bad answer; nothing else is asked."""
    server = Canned({"/v1/models": httpx.Response(307, headers={"Location": "http://elsewhere/v1/models"})})
    seen = await server.watched(Engine.OPENAI).observe()
    assert seen == Ambiguous(Reason.SERVER_BAD_ANSWER, "/v1/models: HTTP 307")
    assert server.calls == ["/v1/models"]


async def test_the_key_is_never_told() -> None:
    """A server that repeats the key in its complaint does not bring it into ours."""
    complaint = httpx.Response(401, json={"error": "Incorrect API key provided: sk-secret"})
    watched = Canned({"/v1/models": complaint}).watched(Engine.OPENAI, key="sk-secret")
    assert "sk-secret" not in repr(await watched.observe()) + repr(vars(watched))


async def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes a request and never answers is a timeout after the poll's time."""
    monkeypatch.setattr(server_module, "POLL_SECONDS", 0.01)
    silence = socket.create_server(("127.0.0.1", 0))
    with silence:
        seen = await observe(silence.getsockname()[1])
    assert seen == Ambiguous(Reason.SERVER_TIMEOUT, "no answer within 0.01 s")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectTimeout("slow"), Reason.SERVER_TIMEOUT),
        (httpx.ReadTimeout("slow"), Reason.SERVER_TIMEOUT),
        (httpx.PoolTimeout("slow"), Reason.SERVER_TIMEOUT),
        (httpx.ConnectError("No route to host"), Reason.SERVER_UNREACHABLE),
        (httpx.ReadError("reset"), Reason.SERVER_BAD_ANSWER),
        (httpx.RemoteProtocolError("closed"), Reason.SERVER_BAD_ANSWER),
    ],
)
async def test_each_failure_has_its_reason(error: Exception, reason: Reason) -> None:
    """Every way a request can fail has a named reason, with the failure in its detail."""
    seen = await Canned({"/v1/models": error}).watched(Engine.OPENAI).observe()
    assert isinstance(seen, Ambiguous)
    assert seen.reason is reason
    assert str(error) in seen.detail


async def test_an_address_that_is_none() -> None:
    """A host no URL can have is unreachable, not a crash."""
    seen = await observe(80, host="not a host\n")
    assert isinstance(seen, Ambiguous)
    assert seen.reason is Reason.SERVER_UNREACHABLE


async def test_an_endless_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer larger than any list of models is given up."""
    monkeypatch.setattr("sidecar.servers.ask.MAX_BODY", 100)
    async with listening(reply(b" " * 101)) as port:
        seen = await observe(port)
    assert seen == Ambiguous(Reason.SERVER_BAD_ANSWER, "/v1/models: more than 100 bytes")


def unvouched(folder: Path, name: str) -> ssl.SSLContext:
    """Give a server's TLS context with a certificate for this name by an authority nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_leaf(make_ca(), [name]).write(folder))
    return context


async def test_certificate_of_another_host(tmp_path: Path) -> None:
    """A certificate nobody vouches for is named, and nothing is sent."""
    async with listening(reply(), tls=unvouched(tmp_path, "elsewhere")) as port:
        seen = await observe(port, scheme="https")
    assert isinstance(seen, Ambiguous)
    assert seen.reason is Reason.SERVER_BAD_TLS


async def test_plain_http_where_tls_is_wanted() -> None:
    """A server without TLS asked with TLS is a bad answer, not a bad certificate."""
    async with listening(reply()) as port:
        seen = await observe(port, scheme="https")
    assert isinstance(seen, Ambiguous)
    assert seen.reason is not Reason.SERVER_BAD_TLS


ANYTHING: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "m", "vllm"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(
    engine=st.sampled_from(Engine),
    listed=st.lists(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6), max_size=3),
    routes=st.dictionaries(st.sampled_from(ROUTES), ANYTHING, max_size=6),
    lines=st.text(max_size=30),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_any_json(engine: Engine, listed: list[Any], routes: dict[str, Any], lines: str) -> None:
    """Whatever JSON a server answers with, a look and a question give something that can be written."""
    cards = [{"id": "m", **card} for card in listed]
    show = {"parameters": f"num_ctx {'9' * 5000}\n{lines}", "capabilities": [cards], "model_info": routes}
    server = Canned({"/v1/models": {"data": cards}, "POST /api/show": show, **routes})

    async def idle() -> bool:
        return True

    async def look() -> Observation:
        watched = server.watched(engine, probing=Probing.ACTIVE)
        await watched.observe()
        await watched.explore(idle)
        return await watched.observe()

    seen = asyncio.run(look())
    assert isinstance(seen, Answer | Ambiguous | Asleep)
    json.dumps(asdict(seen), ensure_ascii=False).encode()


class TestReadiness:
    """The server container's own readiness probe, copied."""

    @staticmethod
    async def _seen(answer: bytes, **check: Any) -> Observation:
        async with listening(reply()) as port, listening(answer) as probed:
            return await observe(port, server_ready=ReadyCheck(**{"port": probed, "path": "/ready", **check}))

    @pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found"])
    async def test_passes(self, status: str) -> None:
        """A status from 200 to 399 passes."""
        assert isinstance(await self._seen(reply(b"", status)), Answer)

    @pytest.mark.parametrize("status", ["400 Bad Request", "503 Service Unavailable"])
    async def test_fails(self, status: str) -> None:
        """Any other status fails, and the reason says which."""
        seen = await self._seen(reply(b"", status))
        assert seen == Ambiguous(Reason.SERVER_NOT_READY, f"probe of /ready: HTTP {status[:3]}")

    async def test_nothing_there(self, deaf: int) -> None:
        """A probe that is refused fails, by HTTP and by TCP."""
        for path in ("/ready", None):
            seen = await self._seen(b"", port=deaf, path=path)
            assert isinstance(seen, Ambiguous)
            assert seen.reason is Reason.SERVER_NOT_READY

    async def test_too_slow(self) -> None:
        """A probe that does not answer within its own timeout fails."""
        silence = socket.create_server(("127.0.0.1", 0))
        with silence:
            seen = await self._seen(b"", port=silence.getsockname()[1], timeout=0.01)
        assert seen == Ambiguous(Reason.SERVER_NOT_READY, "probe of /ready: no answer within 0.01 s")

    async def test_tcp(self) -> None:
        """A tcpSocket probe passes where connections are accepted."""
        assert isinstance(await self._seen(b"", path=None), Answer)

    async def test_tls_is_not_verified(self, tmp_path: Path) -> None:
        """An https probe passes whatever the certificate, as the kubelet's does."""
        async with listening(reply()) as port, listening(reply(), tls=unvouched(tmp_path, "x")) as probed:
            check = ReadyCheck(port=probed, scheme="HTTPS", path="/")
            assert isinstance(await observe(port, server_ready=check), Answer)

    async def test_not_asked_of_a_server_that_is_not_well(
        self, deaf: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The probe is asked only when the server itself answers."""
        asked: list[object] = []
        failing: Callable[..., Coroutine[Any, Any, None]] = _never(asked)
        monkeypatch.setattr("sidecar.servers.readiness.failing", failing)
        await observe(deaf, server_ready=ReadyCheck(port=1))
        assert asked == []


def _never(asked: list[object]) -> Callable[..., Coroutine[Any, Any, None]]:
    async def failing(*arguments: object) -> None:
        asked.append(arguments)

    return failing

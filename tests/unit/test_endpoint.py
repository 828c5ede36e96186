"""The registrar's own endpoint, over real connections on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar import endpoint as endpoint_module
from sidecar.endpoint import MAX_CONNECTIONS, MAX_HEADER, Endpoint

NONCE: Final = "f00d"
RIGHT: Final = f"X-Registrar-Nonce: {NONCE}\r\n"


class Registrar:
    """What the endpoint serves: a drain that ends when told, readiness, a status."""

    def __init__(self, nonce: str = NONCE) -> None:
        self.drained = asyncio.Event()
        self.draining = asyncio.Event()
        self.drains = 0
        self.ended = 0
        self.is_ready = False
        self.strangers: list[str] = []
        self.faults: list[dict[str, Any]] = []
        self.endpoint = Endpoint(
            nonce,
            drain=self.drain,
            ready=lambda: self.is_ready,
            status=lambda: {"state": "serving", "models": ["a"]},
            metrics=lambda: ("text/plain; version=9", b"# HELP a\n"),
            wrong_nonce=self.strangers.append,
        )
        self.port = 0

    async def drain(self) -> Mapping[str, Any]:
        """Wait to be told."""
        self.drains += 1
        self.draining.set()
        await self.drained.wait()
        self.ended += 1
        return {"state": "drained", "cut": 0}

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, text: str | bytes) -> tuple[int, dict[str, str], bytes]:
        """Send these bytes on a connection of their own; give status, headers and body."""
        reader, writer = await self.open()
        writer.write(text.encode() if isinstance(text, str) else text)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return parsed(answer)

    async def ask(self, line: str, headers: str = "") -> tuple[int, Any]:
        """Send one request; give status and body."""
        status, _, body = await self.say(f"{line} HTTP/1.1\r\nHost: pod\r\n{headers}\r\n")
        return status, json.loads(body)


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Take an HTTP answer apart; status 0 when there is none."""
    if not answer:
        return 0, {}, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


@pytest.fixture
async def registrar() -> AsyncIterator[Registrar]:
    """Give a registrar whose endpoint listens; no fault of its own may have happened at the end."""
    one = Registrar()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: one.faults.append(context))
    one.port = await one.endpoint.start("127.0.0.1", 0)
    yield one
    await one.endpoint.stop()
    assert one.faults == []


async def test_ready(registrar: Registrar) -> None:
    """/ready is 503 until the registrar says it is ready, then 200."""
    assert await registrar.ask("GET /ready") == (503, {"ready": False})
    registrar.is_ready = True
    assert await registrar.ask("GET /ready") == (200, {"ready": True})


async def test_status(registrar: Registrar) -> None:
    """/status is JSON, closes its connection, and a query does not matter."""
    status, headers, body = await registrar.say("GET /status?x=1 HTTP/1.1\r\nHost: pod\r\n\r\n")
    assert (status, json.loads(body)) == (200, {"state": "serving", "models": ["a"]})
    assert headers == {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
    }


async def test_metrics(registrar: Registrar) -> None:
    """/metrics is the page as it is, of the type that comes with it."""
    status, headers, body = await registrar.say("GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n")
    assert (status, headers["content-type"], body) == (200, "text/plain; version=9", b"# HELP a\n")


async def test_head(registrar: Registrar) -> None:
    """HEAD is answered like GET, without a body."""
    status, headers, body = await registrar.say("HEAD /status HTTP/1.1\r\nHost: pod\r\n\r\n")
    assert (status, headers["content-type"], body) == (200, "application/json", b"")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /", 404),
        ("GET /metrics/", 404),
        ("POST /metrics", 405),
        ("GET /drain/", 404),
        ("POST /ready", 405),
        ("HEAD /drain", 405),
        ("PUT /drain", 405),
        ("DELETE /status", 405),
    ],
)
async def test_unknown_paths_and_methods(registrar: Registrar, line: str, status: int) -> None:
    """Other paths are 404, other methods 405; neither drains anything."""
    answered, headers, _ = await registrar.say(f"{line} HTTP/1.1\r\nHost: pod\r\n{RIGHT}\r\n")
    assert (answered, registrar.drains) == (status, 0)
    assert ("allow" in headers) == (status == 405)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_drain_is_held_open_until_it_is_over(registrar: Registrar, method: str) -> None:
    """/drain with the nonce answers with the drain's outcome, not before."""
    asking = asyncio.ensure_future(registrar.ask(f"{method} /drain", RIGHT))
    await registrar.draining.wait()
    assert await registrar.ask("GET /status") == (200, {"state": "serving", "models": ["a"]})
    assert not asking.done()
    registrar.drained.set()
    assert await asking == (200, {"state": "drained", "cut": 0})


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "X-Registrar-Nonce: \r\n",
        "X-Registrar-Nonce: f00\r\n",
        "X-Registrar-Nonce: f00dd\r\n",
        "Nonce: f00d\r\n",
    ],
)
async def test_wrong_nonce(registrar: Registrar, headers: str) -> None:
    """/drain with any other nonce is 403, drains nothing, and tells who asked."""
    assert await registrar.ask("GET /drain", headers) == (403, {"error": "wrong nonce"})
    assert (registrar.drains, registrar.strangers) == (0, ["127.0.0.1"])


async def test_a_registrar_without_a_nonce_is_drained_by_nobody() -> None:
    """An empty nonce is never right."""
    registrar = Registrar(nonce="")
    registrar.port = await registrar.endpoint.start("127.0.0.1", 0)
    assert await registrar.ask("GET /drain", "X-Registrar-Nonce:\r\n") == (403, {"error": "wrong nonce"})
    await registrar.endpoint.stop()


async def test_a_client_that_leaves_does_not_stop_the_drain(registrar: Registrar) -> None:
    """The drain goes on, and ends, when the client that asked for it is gone."""
    _, writer = await registrar.open()
    writer.write(f"GET /drain HTTP/1.1\r\nHost: pod\r\n{RIGHT}\r\n".encode())
    await registrar.draining.wait()
    writer.transport.abort()
    registrar.drained.set()
    assert await registrar.ask("GET /drain", RIGHT) == (200, {"state": "drained", "cut": 0})
    assert registrar.ended == 2


async def test_a_fault_of_the_drain_is_answered(registrar: Registrar) -> None:
    """A drain that raises is a 500 that tells nothing, and the loop is told what it was."""

    async def broken() -> Mapping[str, Any]:
        raise RuntimeError("inner secret")

    registrar.endpoint._drain = broken
    assert await registrar.ask("GET /drain", RIGHT) == (500, {"error": "internal error"})
    (fault,) = registrar.faults
    assert isinstance(fault["exception"], RuntimeError)
    registrar.faults.clear()


@pytest.mark.parametrize(
    "text",
    [
        "hello\r\n\r\n",
        "GET /ready\r\n\r\n",
        "GET /ready HTTP/1.1\r\n\r\n",  # no Host
        "GET /ready HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /ready HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a TLS hello
    ],
)
async def test_malformed_requests(registrar: Registrar, text: str | bytes) -> None:
    """What is no request is 400, and the connection is closed."""
    status, headers, _ = await registrar.say(text)
    assert (status, headers["connection"]) == (400, "close")


async def test_too_much_header(registrar: Registrar) -> None:
    """A request whose header is too large is 431."""
    status, _, _ = await registrar.say(f"GET /ready HTTP/1.1\r\nHost: pod\r\nX: {'a' * MAX_HEADER}")
    assert status == 431


@pytest.mark.parametrize("size", [0, 10, 100_000])
async def test_bodies_are_dropped(registrar: Registrar, size: int) -> None:
    """The body of a request does not matter."""
    registrar.drained.set()
    head = f"POST /drain HTTP/1.1\r\nHost: pod\r\nContent-Length: {size}\r\n{RIGHT}\r\n"
    status, _, _ = await registrar.say(head + "x" * size)
    assert status == 200


async def test_expect_continue(registrar: Registrar) -> None:
    """A client that waits to send its body is answered without it."""
    registrar.drained.set()
    head = "POST /drain HTTP/1.1\r\nHost: pod\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    assert (await registrar.say(f"{head}{RIGHT}\r\n"))[0] == 200


@pytest.mark.parametrize(
    "text", ["", "GET /rea", "POST /drain HTTP/1.1\r\nHost: pod\r\nContent-Length: 5\r\n\r\nab"]
)
async def test_a_request_cut_short(registrar: Registrar, text: str) -> None:
    """A client that closes before its request is whole is not served, and nothing happens."""
    reader, writer = await registrar.open()
    writer.write(text.encode())
    writer.write_eof()
    status, _, _ = parsed(await reader.read())
    assert (status in (0, 400), registrar.drains) == (True, 0)
    writer.close()
    await writer.wait_closed()


async def test_a_slow_request_is_closed(registrar: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not finish its request in time is cut off."""
    monkeypatch.setattr(endpoint_module, "REQUEST_SECONDS", 0.2)
    assert await registrar.say("GET /ready HTTP/1.1\r\n") == (0, {}, b"")


async def test_idle_connections_do_not_keep_the_hook_out(registrar: Registrar) -> None:
    """With all places taken by clients that say nothing, the oldest makes room for the next."""
    idle = [await registrar.open() for _ in range(MAX_CONNECTIONS)]
    registrar.drained.set()
    assert (await registrar.ask("GET /drain", RIGHT))[0] == 200
    assert await idle[0][0].read() == b""
    for _, writer in idle:
        writer.transport.abort()


async def test_stop_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping closes what waits, for a request or for a drain, and takes no new connections."""
    monkeypatch.setattr(endpoint_module, "STOP_SECONDS", 0.01)
    registrar = Registrar()
    registrar.port = await registrar.endpoint.start("127.0.0.1", 0)
    silent, other = await registrar.open()
    waits, writer = await registrar.open()
    writer.write(f"GET /drain HTTP/1.1\r\nHost: pod\r\n{RIGHT}\r\n".encode())
    await registrar.draining.wait()
    await registrar.endpoint.stop()
    assert (await silent.read(), await waits.read()) == (b"", b"")
    with pytest.raises(ConnectionRefusedError):
        await registrar.open()
    registrar.drained.set()
    for one in (other, writer):
        one.transport.abort()


async def test_an_answer_on_its_way_is_finished_by_stop(registrar: Registrar) -> None:
    """A drain that ends just before the stop is still answered."""
    asking = asyncio.ensure_future(registrar.ask("GET /drain", RIGHT))
    await registrar.draining.wait()
    registrar.drained.set()
    await registrar.endpoint.stop()
    assert await asking == (200, {"state": "drained", "cut": 0})


async def test_port_in_use(registrar: Registrar) -> None:
    """A port that is taken is an OSError for the caller to name."""
    with pytest.raises(OSError, match="in use"):
        await Registrar().endpoint.start("127.0.0.1", registrar.port)


class TestProbers:
    """Whose connections to the server are the kubelet's probes."""

    PROBE: Final = "User-Agent: kube-probe/1.36\r\n"

    @pytest.mark.parametrize(
        ("line", "headers", "noted"),
        [
            ("GET /ready", PROBE, True),
            ("GET /drain", RIGHT, True),
            ("GET /ready", "User-Agent: curl/8\r\n", False),
            ("GET /status", PROBE, False),
            ("GET /drain", PROBE, False),
        ],
    )
    async def test_who_is_noted(
        self,
        registrar: Registrar,
        monkeypatch: pytest.MonkeyPatch,
        line: str,
        headers: str,
        noted: bool,  # noqa: FBT001
    ) -> None:
        """Who probes /ready as the kubelet is noted, and who has the nonce; no other User-Agent is."""
        monkeypatch.setattr(endpoint_module, "_peer", lambda _: "10.0.0.1")
        registrar.drained.set()
        await registrar.ask(line, headers)
        assert registrar.endpoint.probers == (frozenset({"10.0.0.1"}) if noted else frozenset())

    async def test_who_is_gone_already(self, registrar: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client whose address is no longer known is nobody's prober."""
        monkeypatch.setattr(asyncio.StreamWriter, "get_extra_info", lambda *_: None)
        await registrar.ask("GET /ready", self.PROBE)
        assert registrar.endpoint.probers == frozenset()

    async def test_loopback_is_never_noted(self, registrar: Registrar) -> None:
        """Whatever comes over loopback is not the kubelet."""
        await registrar.ask("GET /ready", self.PROBE)
        assert registrar.endpoint.probers == frozenset()

    async def test_they_are_few(self, registrar: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
        """Addresses that pretend to be kubelets do not pile up."""
        peers = iter(f"10.0.1.{number}" for number in range(40))
        monkeypatch.setattr(endpoint_module, "_peer", lambda _: next(peers))
        for _ in range(40):
            await registrar.ask("GET /ready", self.PROBE)
        assert len(registrar.endpoint.probers) == 16


@given(st.binary(min_size=1, max_size=300))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_bytes(data: bytes) -> None:
    """Whatever bytes come, the endpoint answers or closes, and goes on serving."""

    async def run() -> None:
        registrar = Registrar()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: registrar.faults.append(context))
        registrar.port = await registrar.endpoint.start("127.0.0.1", 0)
        reader, writer = await registrar.open()
        writer.write(data)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert (await registrar.ask("GET /ready"))[0] == 503
        await registrar.endpoint.stop()
        assert registrar.faults == []

    asyncio.run(run())

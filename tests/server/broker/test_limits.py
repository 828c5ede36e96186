"""What is no registrar's HTTP: too large, too slow, in another form. Each is refused, and harms nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from sidecar.broker_contract import CONTRACT_HEADER
from tests.server.broker.brokering import Brokering, Broking, Pod, rule
from tests.server.running import PATIENCE, Tls, closed, until
from webhook.broker import server
from webhook.broker.limits import MAX_BODY


async def exchange(broker: Brokering, tls: Tls, sent: bytes, *, end: bool = False) -> bytes:
    """Send bytes on a connection of their own; give all that comes back until it is closed."""
    host, port = broker.server.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls.client)
    writer.write(sent)
    answer = b""
    if not end:
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
    await closed(writer)
    return answer


def head(pod: Pod, first: str, *more: str) -> bytes:
    """Write the head of a request of this pod."""
    own = [f"{name}: {value}" for name, value in pod.headers.items()]
    return "\r\n".join([first, "Host: broker", "Connection: close", *own, *more, "", ""]).encode()


def told(answer: bytes) -> tuple[int, str]:
    """Give status and rule of an answer as it came."""
    first, _, rest = answer.partition(b"\r\n")
    error = json.loads(rest.partition(b"\r\n\r\n")[2])["error"]
    return int(first.split()[1]), error["code"]


async def still_serves(broker: Brokering, pod: Pod) -> None:
    """See that the next call is answered, and nothing is left in hand."""
    assert (await broker.create(pod)).status_code == 200
    await until(lambda: broker.server._app.in_hand.count == 0)


async def test_a_large_body_is_refused_before_it_is_sent(broker: Brokering, pod: Pod, tls: Tls) -> None:
    """A length over the limit is answered at once."""
    sent = head(pod, "POST /model/new HTTP/1.1", f"Content-Length: {MAX_BODY + 1}")
    assert told(await exchange(broker, tls, sent)) == (403, "body_too_large")
    await still_serves(broker, pod)


async def test_a_large_body_without_a_length_is_refused(broker: Brokering, pod: Pod) -> None:
    """1 MB in chunks is refused at the limit."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield b" " * 65536

    answer = await broker.client.post("/model/new", content=chunks(), headers=pod.headers)
    assert (answer.status_code, rule(answer)) == (403, "body_too_large")
    await still_serves(broker, pod)


async def test_nobody_unknown_has_a_body_read(broker: Brokering, pod: Pod, tls: Tls) -> None:
    """Who has no good token is refused before the first byte of the body has come."""
    sent = b"POST /model/new HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n"
    assert told(await exchange(broker, tls, sent)) == (401, "token_missing")
    await still_serves(broker, pod)


async def test_a_slow_body_ends(broker: Brokering, pod: Pod, tls: Tls) -> None:
    """A body that does not come in is given up on, and the connection with it."""
    broker.server._app._body_seconds = 0.2
    sent = head(pod, "POST /model/new HTTP/1.1", "Content-Length: 100") + b"{"
    assert told(await exchange(broker, tls, sent)) == (403, "body_bad")
    assert "within 0.2 s" in broker.log[-1]["message"]
    broker.server._app._body_seconds = 10
    await still_serves(broker, pod)


async def test_a_connection_that_says_nothing_ends(
    broking: Broking, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a head, or none, is given up on after 20 s; who has been heard is left alone."""
    monkeypatch.setattr(server, "_LISTEN_EVERY", 3600.0)  # its own looks go by another clock
    async with broking() as broker:
        assert (await broker.create(broker.kube.run_pod("shop"))).status_code == 200
        host, port = broker.server.address.split(":")
        app, calls = broker.server._app, broker.server._calls
        reader, writer = await asyncio.open_connection(host, int(port), ssl=tls.client)
        writer.write(b"POST /model/new HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        await until(lambda: len(calls.connections) == 2)
        app.end_silent(calls, 100)
        app.end_silent(calls, 119)
        assert len(calls.connections) == 2
        app.end_silent(calls, 121)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        await until(lambda: len(calls.connections) == 1)
        await closed(writer)


async def test_a_body_that_breaks_off_writes_nothing(broker: Brokering, pod: Pod, tls: Tls) -> None:
    """A client that goes away in the middle of its body is a line in the log."""
    sent = head(pod, "POST /model/new HTTP/1.1", "Content-Length: 1000") + b'{"model_name": "qwen"'
    await exchange(broker, tls, sent, end=True)
    await until(lambda: bool(broker.log))
    assert broker.log[-1]["rule"] == "body_bad"
    assert broker.rows() == {}
    await still_serves(broker, pod)


@pytest.mark.parametrize("coding", ["gzip", "br", "identity"])
async def test_a_body_that_is_coded_is_refused(broker: Brokering, pod: Pod, coding: str) -> None:
    """Nothing is decompressed: what is small might be large inside."""
    headers = {**pod.headers, "Content-Encoding": coding}
    answer = await broker.client.post("/model/new", content=b"\x1f\x8b", headers=headers)
    assert (answer.status_code, rule(answer)) == (403, "body_bad")


@pytest.mark.parametrize(
    "first",
    [
        "GET http://169.254.169.254/latest/meta-data HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET //v2/model/info?page=1&size=1 HTTP/1.1",
        "GET /v2/model/info/?page=1&size=1 HTTP/1.1",
        "GET /v2/model/../model/info HTTP/1.1",
        "GET /%76%32/model/info?page=1&size=1 HTTP/1.1",
        "POST /model/new?x=1 HTTP/1.1",
        "POST /key/generate HTTP/1.1",
        "GET /model/info HTTP/1.1",
        "GET /metrics HTTP/1.1",
        "GET /healthz HTTP/1.1",
        "DELETE /model/new HTTP/1.1",
        "PATCH /model/a/b/update HTTP/1.1",
    ],
)
async def test_only_what_registrars_ask_is_answered(
    broker: Brokering, pod: Pod, tls: Tls, first: str
) -> None:
    """Any other target or method is refused by its rule, whatever LiteLLM would make of it."""
    assert told(await exchange(broker, tls, head(pod, first))) == (403, "route_unknown")
    assert broker.rows() == {}
    await still_serves(broker, pod)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
        b"POST /model/new HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /model/new HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer eyJx.eyJx.x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\x00b\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01 not HTTP\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_by_the_library(
    broker: Brokering, pod: Pod, tls: Tls, sent: bytes
) -> None:
    """Too long, ambiguous or broken heads are 400, nothing of them gets to LiteLLM or into the log."""
    answer = await exchange(broker, tls, sent)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer[:100]
    assert broker.rows() == {}
    assert "eyJx" not in broker.stream.getvalue()
    await still_serves(broker, pod)


async def test_a_header_of_litellms_does_not_get_through(broker: Brokering, pod: Pod) -> None:
    """What a pod sends beside the broker's own headers reaches nobody: not a key, nor who asks."""
    smuggled = {
        "x-litellm-api-key": "sk-1234",
        "X-Forwarded-For": "127.0.0.1",
        "x-litellm-end-user-id": "admin",
        "X-HTTP-Method-Override": "DELETE",
        "Litellm-Changed-By": "somebody",
    }
    seen: list[set[str]] = []
    replica = broker.litellm.replicas[0]
    key_of = replica._key

    def spy(request: object) -> object:
        seen.append({name.lower() for name in request.headers})  # type: ignore[attr-defined]
        return key_of(request)  # type: ignore[arg-type]

    replica._key = spy  # type: ignore[assignment,method-assign]
    answer = await broker.call(pod, "POST", "/model/new", pod.row(), smuggled)
    assert answer.status_code == 200
    assert seen
    assert not set.union(*seen) & {name.lower() for name in (*smuggled, CONTRACT_HEADER)}


async def test_calls_that_come_at_once_are_all_answered(broking: Broking) -> None:
    """Of a hundred calls at a time each is done, or told to come back."""
    async with broking(pod_rate="0.5") as broker:
        pods = [broker.kube.run_pod("shop", f"qwen-{number}") for number in range(10)]
        asked = [broker.call(pod, "GET", "/health/readiness") for pod in pods for _ in range(10)]
        statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 50

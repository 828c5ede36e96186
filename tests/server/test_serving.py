"""The webhook over TLS: routes, limits, content types."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator

import pytest

from tests.server.reviews import UID, deployment, dump, patched, pod, review
from tests.server.running import Running, Serving, Tls, until
from webhook.app import MAX_BODY


async def test_a_pod_is_reviewed_over_tls(running: Running) -> None:
    """A labelled pod posted over TLS comes back with the patch that adds the registrar."""
    answer = await running.post("/mutate", dump(review(pod())))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    response = answer.json()["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == (UID, True, "JSONPatch")
    assert "registrar" in [c["name"] for c in patched(pod(), response)["spec"]["initContainers"]]


async def test_a_mistake_is_denied_over_tls(running: Running) -> None:
    """A Deployment with a bad annotation is refused by /validate with 403 and the reason."""
    obj = deployment({"litellm-registrar.io/server": "vllm"}, {"litellm-registrar.io/prot": "8000"})
    answer = await running.post("/validate", dump(review(obj)))
    response = answer.json()["response"]
    assert (answer.status_code, response["allowed"], response["status"]["code"]) == (200, False, 403)
    assert response["status"]["reason"] == "unknown_annotation"


async def _handshake(running: Running, client: ssl.SSLContext) -> str:
    host, port = running.server.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=client)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.read()
    version = str(writer.get_extra_info("ssl_object").version())
    writer.close()
    await writer.wait_closed()
    return version


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_are_spoken(running: Running, tls: Tls, version: ssl.TLSVersion) -> None:
    """A client that speaks just that version is served."""
    client = ssl.create_default_context()
    client.load_verify_locations(cadata=tls.ca)
    client.minimum_version = client.maximum_version = version
    assert await _handshake(running, client) == version.name.replace("_", ".")


async def test_older_tls_is_refused(running: Running, tls: Tls) -> None:
    """A client that speaks at most TLS 1.1 gets no connection."""
    client = ssl.create_default_context()
    client.load_verify_locations(cadata=tls.ca)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version = ssl.TLSVersion.TLSv1
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await _handshake(running, client)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/json", 415),
        ("application/yaml", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
        (";;;", 415),
    ],
)
@pytest.mark.parametrize("path", ["/mutate", "/validate"])
async def test_only_json_is_taken(running: Running, path: str, content_type: str, status: int) -> None:
    """Any other content type is 415 with a line that says which is allowed."""
    answer = await running.post(path, dump(review(pod())), content_type)
    assert answer.status_code == status
    assert status == 200 or answer.text == "Content-Type: allowed is application/json\n"


async def test_a_compressed_body_is_not_taken(running: Running) -> None:
    """The API server never compresses; what is compressed could be a bomb."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await running.client.post("/mutate", content=b"\x1f\x8b", headers=headers)
    assert (answer.status_code, answer.text) == (415, "Content-Encoding: none is allowed\n")


def _padded(size: int) -> bytes:
    text = dump(review(pod()))
    return text + b" " * (size - len(text))


async def test_8_mib_are_taken_and_a_byte_more_is_413(running: Running) -> None:
    """The limit is exact, and the connection's next request is served."""
    assert (await running.post("/mutate", _padded(MAX_BODY))).status_code == 200
    answer = await running.post("/mutate", _padded(MAX_BODY + 1))
    assert (answer.status_code, answer.text) == (413, "the body is over 8 MiB\n")
    assert (await running.post("/mutate", _padded(5000))).status_code == 200


async def test_a_large_body_is_413_before_it_is_sent(running: Running, tls: Tls) -> None:
    """A Content-Length over the limit is answered at once, without waiting for the body."""
    host, port = running.server.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls.client)
    writer.write(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(f"Content-Length: {MAX_BODY + 1}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_a_large_body_without_a_length_is_413(running: Running) -> None:
    """The limit holds for a chunked body too."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * 1024 * 1024

    headers = {"Content-Type": "application/json"}
    answer = await running.client.post("/mutate", content=chunks(), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the body is not JSON: Expecting value: line 1 column 1 (char 0)\n"),
        (b'{"a": NaN}', "the body is not JSON: NaN is not a JSON value\n"),
        (b"\xff", "the body is not UTF-8\n"),
        (b"[" * 1_000_000, "the body is nested too deeply\n"),
        (b"{}", "the body is no AdmissionReview: request.uid is needed, a string\n"),
    ],
)
@pytest.mark.parametrize("path", ["/mutate", "/validate"])
async def test_a_body_without_a_uid_is_400(running: Running, path: str, body: bytes, text: str) -> None:
    """What cannot be answered by a review is 400 with one short line, and one line in the log."""
    answer = await running.post(path, body)
    assert (answer.status_code, answer.text) == (400, text)
    line = running.log[-1]
    assert (line["event"], line["message"], line["status"]) == ("refused", f"{text.strip()}.", 400)


async def test_a_body_that_breaks_off_harms_nothing(running: Running, tls: Tls) -> None:
    """A client that goes away in the middle of its body is a line in the log, and nothing is left in hand."""
    host, port = running.server.address.split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=tls.client)
    writer.write(
        b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    await writer.drain()
    await until(lambda: running.server.in_hand == 1)
    writer.close()
    await writer.wait_closed()
    await until(lambda: running.server.in_hand == 0)
    assert running.log[-1]["message"] == "the body could not be read to its end."


async def test_other_paths_and_methods_are_404_and_405(running: Running) -> None:
    """Only POST /mutate and POST /validate exist on the TLS port; health is not among them."""
    assert (await running.client.get("/mutate")).status_code == 405
    assert (await running.client.get("/healthz")).status_code == 404
    assert (await running.post("/", b"{}")).status_code == 404


async def test_health_is_plain_http_on_a_port_of_its_own(running: Running) -> None:
    """Both are 200 while reviews are taken, and nothing of them is logged."""
    before = running.log
    assert [(await running.health.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    assert (await running.health.post("/mutate")).status_code == 404
    assert running.log == before


async def test_a_webhook_that_has_started_says_where(running: Running) -> None:
    """The first line has both addresses, so that port 0 can be used."""
    (line,) = running.log
    assert (line["event"], line["address"]) == ("started", running.server.address)
    assert line["health"] == running.server.health_address


async def test_a_taken_port_is_named(serving: Serving, running: Running) -> None:
    """The error has address, flag and port; nothing stays open."""
    port = running.server.address.split(":")[1]
    with pytest.raises(OSError, match=rf"^--listen-address '127.0.0.1', --port {port}: .*in use"):
        async with serving(port=port):
            pass

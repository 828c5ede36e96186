"""`python -m sidecar` in broker mode as a process: TLS, tokens that rotate, a broker that comes and goes."""

import asyncio
import signal
import ssl
import time
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from sidecar.broker_contract import CONTRACT_HEADER, STATE_PATH, PodState, State
from sidecar.contract import CONTRACT_VERSION, NONCE_HEADER
from sidecar.row_contract import pod_prefix
from tests.server.registrars import GRACE, HOST, IDENTITY, NONCE, registrar, settings, swap
from tests.standins.broker import TOKEN, Broker, BrokerServer, refusal
from tests.standins.listening import free_port
from tests.standins.vllm import VLLM
from webhook.tls.issue import Pair, new_ca, new_leaf
from webhook.tls.performing import Kind, performed
from webhook.tls.rotation import Times, decide
from webhook.tls.secret import Held

NEXT_TOKEN = "header.payload.signature-2"
DAY = 24 * 3600.0


def authorities(count: int) -> list[Pair]:
    """Make CAs of which none has to do with another."""
    now = time.time()
    return [new_ca(f"broker {number}", now - DAY, now + 3650 * DAY) for number in range(count)]


def served(ca: Pair, folder: Path) -> ssl.SSLContext:
    """Serve a leaf of this CA."""
    now = time.time()
    return context(new_leaf(ca, [HOST], now - DAY, now + 90 * DAY), folder)


def changed(changes: int) -> tuple[list[bytes], Pair]:
    """Let the broker's own machine change its CA some times, every five days until now.

    Gives the bundle that was published before each change and after the last, and what is served now.
    """
    until = time.time()
    now = until - (changes + 1) * 5 * DAY
    held, published, bundles = Held(), dict[str, bytes](), list[bytes]()
    kind = Kind("broker", crosses=True)
    while now < until:
        step = decide(now, held.state(now), [published], (HOST,), Times())
        if step.publish is not None:
            known = {**published, **held.bundle}
            published = {key: known[key] for key in step.publish}
        if step.write is not None:
            held = performed(step.write, held, published=[published], names=[HOST], now=now, kind=kind)
        elif step.publish is None:
            now += DAY / 2
            if now >= until - (changes - len(bundles)) * 5 * DAY:
                bundles.append(b"".join(published.values()))
                held = replace(held, asked=len(bundles) <= changes)
    assert held.leaf is not None
    return bundles, held.leaf


def context(pair: Pair, folder: Path) -> ssl.SSLContext:
    """Give the context of a server with this certificate and key."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls


@pytest.fixture
def broker() -> Broker:
    """Give a broker that knows the pod."""
    return Broker(pod=PodState(deleting=False), prefix=pod_prefix("c1", "team", "u1"))


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """Give the file with the pod's token."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


def environ(
    server: int, listen: int, url: str, *, ca: bytes, token: Path, scheme: str = "http"
) -> dict[str, str]:
    """Give what the webhook writes into a pod in broker mode: no LiteLLM key among it."""
    return {
        **IDENTITY,
        **settings(server, listen, scheme=scheme).to_env(),
        "REGISTRAR_LITELLM_URL": url,
        "REGISTRAR_LITELLM_CA": ca.decode(),
        "REGISTRAR_TOKEN_FILE": str(token),
    }


async def test_a_whole_life(broker: Broker, token: Path, tmp_path: Path) -> None:
    """Registered, its token rotated, drained at the pod's end: no secret in any line, the contract in all."""
    listen = free_port(HOST, 0)
    (ca,) = authorities(1)
    async with BrokerServer(broker, served(ca, tmp_path)) as front, VLLM("qwen") as server:
        await server.load()
        env = environ(server.port, listen, front.url, ca=ca.certificate, token=token)
        async with registrar(env, listen) as running:
            await running.line(lambda line: " SERVING " in line)
            broker.tokens.add(NEXT_TOKEN)
            swap(token, NEXT_TOKEN)
            broker.pod = PodState(deleting=True, grace=GRACE)
            drained = await running.get("/drain", **{NONCE_HEADER: NONCE})
            assert drained.json() == {"end": "done", "cut": 0, "rows_left": 0}
            assert not broker.table.rows
            await running.line(lambda line: "The pod is being deleted" in line)
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
    # it may tell of a state more than once: how many of its models are routable is part of a report
    states = [state for state, _ in groupby(report.state for report in broker.reports)]
    assert states == [State.SERVING, State.DRAINING, State.DRAINED]
    assert broker.requests[-1].headers["Authorization"] == f"Bearer {NEXT_TOKEN}"
    assert {request.headers.get(CONTRACT_HEADER) for request in broker.requests} == {str(CONTRACT_VERSION)}
    text = "\n".join(running.lines)
    assert " PROBLEM " not in text
    assert f"broker={front.url}" in text
    for secret in (NONCE, TOKEN, NEXT_TOKEN, "signature"):
        assert secret not in text


@pytest.mark.parametrize("born", [0, 1, 2], ids=["two changes ago", "one change ago", "now"])
async def test_a_registrar_injected_two_ca_changes_ago_still_talks(
    born: int, broker: Broker, token: Path, tmp_path: Path
) -> None:
    """It keeps the bundle it was born with; the cross certificates that the broker serves lead there."""
    listen = free_port(HOST, 0)
    bundles, leaf = changed(2)
    assert [bundle.count(b"BEGIN CERTIFICATE") for bundle in bundles] == [1, 2, 3]
    async with BrokerServer(broker, context(leaf, tmp_path)) as front, VLLM("qwen") as server:
        await server.load()
        env = environ(server.port, listen, front.url, ca=bundles[born], token=token)
        async with registrar(env, listen) as running:
            await running.line(lambda line: " SERVING " in line)


async def test_only_the_authority_given_is_trusted_to_be_the_broker(
    broker: Broker, token: Path, tmp_path: Path
) -> None:
    """A certificate that the whole system trusts is not enough: nothing is sent, and the reason is named."""
    listen = free_port(HOST, 0)
    given, systems = authorities(2)
    (tmp_path / "system.pem").write_bytes(systems.certificate)
    async with BrokerServer(broker, served(systems, tmp_path)) as front:
        env = environ(1, listen, front.url, ca=given.certificate, token=token)
        env["SSL_CERT_FILE"] = str(tmp_path / "system.pem")
        async with registrar(env, listen) as running:
            await running.line(lambda line: "reason=broker_bad_tls" in line)
    assert not broker.requests


async def test_a_model_server_with_tls_is_verified_as_ever(
    broker: Broker, token: Path, tmp_path: Path
) -> None:
    """By the system's authorities, not by the broker's; and the broker by its own beside it."""
    listen = free_port(HOST, 0)
    given, systems = authorities(2)
    (tmp_path / "system.pem").write_bytes(systems.certificate)
    (tmp_path / "server").mkdir()
    tls = served(systems, tmp_path / "server")
    async with BrokerServer(broker, served(given, tmp_path)) as front, VLLM("qwen", tls=tls) as server:
        await server.load()
        env = environ(server.port, listen, front.url, ca=given.certificate, token=token, scheme="https")
        async with registrar(env, listen) as running:
            await running.line(lambda line: "reason=server_bad_tls" in line)
        env["SSL_CERT_FILE"] = str(tmp_path / "system.pem")
        async with registrar(env, listen) as running:
            await running.line(lambda line: " SERVING " in line)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"REGISTRAR_LITELLM_CA": ""}, "broker_bad_ca"),
        ({"REGISTRAR_LITELLM_CA": "no certificate"}, "broker_bad_ca"),
        ({"REGISTRAR_LITELLM_URL": "http://127.0.0.1:1"}, "broker_bad_url"),
        ({"REGISTRAR_LITELLM_URL": ""}, "broker_bad_url"),
        ({"REGISTRAR_TOKEN_FILE": "/nowhere/token"}, "broker_no_token"),
    ],
)
async def test_what_is_missing_is_a_named_state(change: dict[str, str], reason: str, token: Path) -> None:
    """Nothing is registered, the registrar lives on, and the pod ends without delay."""
    listen = free_port(HOST, 0)
    (ca,) = authorities(1)
    env = environ(1, listen, "https://127.0.0.1:1", ca=ca.certificate, token=token) | change
    async with registrar(env, listen) as running:
        await running.line(lambda line: f"reason={reason}" in line)
        drained = await running.get("/drain", **{NONCE_HEADER: NONCE})
        assert drained.status_code == 200
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_a_broker_that_refuses_for_a_moment_is_nothing_but_a_retry(
    broker: Broker, token: Path, tmp_path: Path
) -> None:
    """At the start, and while it drains: no line about it, and nothing left behind."""
    listen = free_port(HOST, 0)
    (ca,) = authorities(1)
    async with BrokerServer(broker, served(ca, tmp_path)) as front, VLLM("qwen") as server:
        await front.refuse()
        await server.load()
        env = environ(server.port, listen, front.url, ca=ca.certificate, token=token)
        async with registrar(env, listen) as running:
            await running.line(lambda line: "A model is served" in line)
            await front.listen()
            await running.line(lambda line: " SERVING " in line)
            await front.refuse()
            draining = asyncio.ensure_future(running.get("/drain", **{NONCE_HEADER: NONCE}))
            await running.line(lambda line: " DRAINING " in line)
            await front.listen()
            assert (await draining).json()["end"] == "done"
    assert not broker.table.rows
    assert " PROBLEM " not in "\n".join(running.lines)


async def test_a_refused_name_is_said_with_its_rule(broker: Broker, token: Path, tmp_path: Path) -> None:
    """The owner of the pod reads the broker's own sentence."""
    listen = free_port(HOST, 0)
    (ca,) = authorities(1)
    sentence = "qwen: rows of another namespace have this name"
    broker.table.fail(100, refusal("name_taken", sentence), "/model/new")
    async with BrokerServer(broker, served(ca, tmp_path)) as front, VLLM("qwen") as server:
        await server.load()
        env = environ(server.port, listen, front.url, ca=ca.certificate, token=token)
        async with registrar(env, listen) as running:
            line = await running.line(lambda line: "reason=broker_refused_row" in line)
            assert f'rule=name_taken name=qwen detail="{sentence}"' in line


async def test_an_older_broker_is_not_bothered_with_states(
    broker: Broker, token: Path, tmp_path: Path
) -> None:
    """It does not know of them: asked once, nothing is said of it, and nothing else is different."""
    listen = free_port(HOST, 0)
    (ca,) = authorities(1)
    broker.old = True
    async with BrokerServer(broker, served(ca, tmp_path)) as front, VLLM("qwen") as server:
        await server.load()
        env = environ(server.port, listen, front.url, ca=ca.certificate, token=token)
        async with registrar(env, listen) as running:
            await running.line(lambda line: " SERVING " in line)
            assert (await running.get("/drain", **{NONCE_HEADER: NONCE})).json()["end"] == "done"
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
    assert not broker.table.rows
    assert broker.asked(STATE_PATH) == 1
    assert " PROBLEM " not in "\n".join(running.lines)

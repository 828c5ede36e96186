"""`python -m sidecar` as a process, on stand-ins: what it lives with, what it hides, how it ends."""

import json
import signal

from sidecar.contract import CONTRACT_VERSION, NONCE_HEADER, LogFormat
from tests.server.registrars import HOST, IDENTITY, NONCE, registrar, settings
from tests.standins.listening import free_port
from tests.standins.litellm import LiteLLM
from tests.standins.litellm_store import MASTER_KEY
from tests.standins.vllm import VLLM


async def test_a_whole_life() -> None:
    """Found, registered, drained by the hook, ended by SIGTERM: in JSON, and without a secret in any line."""
    listen = free_port(HOST, 0)
    async with LiteLLM(1) as litellm, VLLM("qwen", api_key="sk-of-the-server") as server:
        environ = {
            **IDENTITY,
            **settings(server.port, listen, log_format=LogFormat.JSON).to_env(),
            "REGISTRAR_LITELLM_URL": litellm.url + "/",
            "REGISTRAR_LITELLM_KEY": MASTER_KEY,
            "REGISTRAR_SERVER_API_KEY": "sk-of-the-server",
        }
        async with registrar(environ, listen) as running:
            await running.line(lambda line: '"waiting"' in line)
            assert (await running.get("/ready")).status_code == 503
            await server.load()
            await running.line(lambda line: '"serving"' in line)
            assert (await running.get("/ready")).status_code == 200
            status = (await running.get("/status")).json()
            assert (status["state"], list(status["models"])) == ("serving", ["qwen"])
            assert (await running.get("/drain")).status_code == 403
            drained = await running.get("/drain", **{NONCE_HEADER: NONCE})
            assert drained.json() == {"end": "done", "cut": 0, "rows_left": 0}
            assert not litellm.database.rows
            page = (await running.get("/metrics")).text
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
    events = [json.loads(line)["event"] for line in running.lines]
    assert events[0] == "started"
    assert events[-1] == "stopped"
    for word in ("found", "registered", "draining", "gone", "problem"):
        assert word in events
    for counted in ('drains_total{end="done"} 1', 'litellm_calls_total{call="create",outcome="ok"} 1'):
        assert f"\nlitellm_registrar_{counted}" in page
    assert "server_looks_total{outcome=" in page
    text = "\n".join([*running.lines, json.dumps(status), page])
    for secret in (NONCE, MASTER_KEY, "sk-of-the-server"):
        assert secret not in text


async def test_a_user_in_litellms_address_is_hidden() -> None:
    """An address with user and password shows neither."""
    listen = free_port(HOST, 0)
    environ = {
        **IDENTITY,
        **settings(1, listen).to_env(),
        "REGISTRAR_LITELLM_URL": "http://us3r:passw0rd@127.0.0.1:1",
        "REGISTRAR_LITELLM_KEY": "sk-1",
    }
    async with registrar(environ, listen) as running:
        await running.line(lambda line: "litellm_unreachable" in line)
    assert "passw0rd" not in "\n".join(running.lines)


async def test_a_missing_secret_is_a_named_state() -> None:
    """Without the Secret the server is watched, nothing is registered, and the pod ends without delay."""
    listen = free_port(HOST, 0)
    async with VLLM("qwen") as server:
        await server.load()
        environ = {**IDENTITY, **settings(server.port, listen).to_env()}
        async with registrar(environ, listen) as running:
            await running.line(lambda line: "reason=litellm_no_secret" in line)
            await running.line(lambda line: " FOUND " in line)
            assert (await running.get("/status")).json()["state"] == "waiting"
            drained = await running.get("/drain", **{NONCE_HEADER: NONCE})
            assert drained.json()["end"] == "done"
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0


async def test_a_bad_environment_is_lived_with() -> None:
    """Half an environment: named in the log and by /status, hooks answered, no exit until SIGTERM."""
    listen = free_port(HOST, 0)
    environ = {"REGISTRAR_NONCE": NONCE, "REGISTRAR_LISTEN_PORT": str(listen), "REGISTRAR_SERVER_PORT": "x"}
    async with registrar(environ, listen) as running:
        line = await running.line(lambda line: "reason=contract_bad" in line)
        assert "REGISTRAR_CLUSTER is missing" in line
        assert "REGISTRAR_SERVER_PORT='x'" in line.replace("\\", "")
        status = (await running.get("/status")).json()
        assert status["state"] == "contract_bad"
        assert (await running.get("/ready")).status_code == 503
        assert (await running.get("/drain", **{NONCE_HEADER: NONCE})).status_code == 200
        assert running.process.returncode is None
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_a_server_key_that_litellm_would_resolve_registers_nothing() -> None:
    """LiteLLM would send its own master key to that server: said, and no row is made."""
    listen = free_port(HOST, 0)
    environ = {
        **IDENTITY,
        **settings(1, listen).to_env(),
        "REGISTRAR_SERVER_API_KEY": "os.environ/LITELLM_MASTER_KEY",
    }
    async with registrar(environ, listen) as running:
        assert "REGISTRAR_SERVER_API_KEY" in await running.line(lambda line: "reason=contract_bad" in line)
        assert (await running.get("/status")).json()["state"] == "contract_bad"


async def test_a_newer_contract_is_said_and_worked_with() -> None:
    """What can be read is used."""
    listen = free_port(HOST, 0)
    environ = {**IDENTITY, **settings(1, listen, contract=99).to_env(), "REGISTRAR_NEW": "x"}
    async with registrar(environ, listen) as running:
        assert f"theirs=99 ours={CONTRACT_VERSION}" in await running.line(
            lambda line: "reason=contract_newer" in line
        )
        await running.line(lambda line: "reason=server_refused" in line)


async def test_a_newer_contract_that_cannot_be_read_is_lived_with() -> None:
    """An engine this registrar has never heard of, from a newer webhook: said as such."""
    listen = free_port(HOST, 0)
    environ = {**IDENTITY, **settings(1, listen, contract=99).to_env(), "REGISTRAR_ENGINE": "quantum"}
    async with registrar(environ, listen) as running:
        line = await running.line(lambda line: "reason=contract_newer" in line)
        assert "quantum" in line
        assert (await running.get("/status")).json()["state"] == "contract_newer"
        page = (await running.get("/metrics")).text
        assert 'litellm_registrar_problems_total{reason="contract_newer"} 1' in page


async def test_a_taken_port_is_named_and_tried_again() -> None:
    """Another program has the port: said; the models are registered all the same."""
    async with LiteLLM(1) as litellm, VLLM("qwen") as server:
        await server.load()
        taken = server.port
        environ = {
            **IDENTITY,
            **settings(server.port, taken).to_env(),
            "REGISTRAR_LITELLM_URL": litellm.url,
            "REGISTRAR_LITELLM_KEY": MASTER_KEY,
        }
        async with registrar(environ, taken) as running:
            await running.line(lambda line: "reason=port_in_use" in line)
            await running.line(lambda line: " SERVING " in line)


async def test_a_bad_authority_is_named() -> None:
    """A ca.crt that is none stops nothing but LiteLLM's calls."""
    listen = free_port(HOST, 0)
    environ = {
        **IDENTITY,
        **settings(1, listen).to_env(),
        "REGISTRAR_LITELLM_URL": "https://127.0.0.1:1",
        "REGISTRAR_LITELLM_KEY": "sk-1",
        "REGISTRAR_LITELLM_CA": "no certificate",
    }
    async with registrar(environ, listen) as running:
        await running.line(lambda line: "reason=litellm_bad_ca" in line)
        await running.line(lambda line: "reason=server_refused" in line)

"""Registrars as processes, with what the webhook injects, before a broker that serves."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from sidecar.contract import CONTAINER_NAME, NONCE_HEADER
from tests.server.broker.brokering import Brokering, Pod, a_token
from tests.server.registrars import HOST, Registrar, registrar, swap
from tests.server.running import Tls, until
from tests.standins.listening import free_port
from tests.standins.vllm import VLLM
from webhook.registered import registered

# What a test has no time for.
TIMES = {
    "REGISTRAR_PROPAGATION": "0.5",
    "REGISTRAR_DRAIN_TIMEOUT": "30",
    "REGISTRAR_POLL_INTERVAL": "0.5",
}


class Scene:
    """A pod with a model server, and the environment of its registrar."""

    def __init__(self, broker: Brokering, tls: Tls, folder: Path, server: VLLM) -> None:
        self.broker = broker
        self.pod: Pod = broker.kube.run_pod("shop", "qwen", HOST, port=server.port)
        self.token = folder / "token"
        self.token.write_text(self.pod.token)
        self.listen = free_port(HOST, 0)
        containers = self.shown["spec"]["containers"] + self.shown["spec"].get("initContainers", [])
        (injected,) = (each for each in containers if each["name"] == CONTAINER_NAME)
        self.environ = {
            **{each["name"]: each["value"] for each in injected["env"] if "value" in each},
            "REGISTRAR_NAMESPACE": self.pod.namespace,
            "REGISTRAR_POD": self.pod.name,
            "REGISTRAR_POD_UID": self.pod.uid,
            "REGISTRAR_POD_IP": HOST,
            "REGISTRAR_LISTEN_PORT": str(self.listen),
            "REGISTRAR_LITELLM_URL": f"https://{broker.server.address}",
            "REGISTRAR_LITELLM_CA": tls.ca,
            "REGISTRAR_TOKEN_FILE": str(self.token),
            **TIMES,
        }

    @property
    def shown(self) -> dict[str, Any]:
        """The pod as the API server has it."""
        return self.broker.kube.objects[self.pod.path]

    def condition(self) -> tuple[str, str] | None:
        """Status and reason of the pod's condition; None: it has none."""
        found = registered(self.shown)
        return None if found is None else (str(found.routable), found.word)

    def events(self) -> list[str]:
        """Give the reasons of the Events on the pod, in their order."""
        return [event["reason"] for event in self.broker.kube.events()]

    def delete(self, grace: int) -> None:
        """Have the pod deleted with so many seconds of grace."""
        told = {"deletionTimestamp": "2026-11-21T06:00:00Z", "deletionGracePeriodSeconds": grace}
        self.shown["metadata"] |= told

    def rotate(self) -> None:
        """Have the kubelet write the next token; the API server takes the former no more."""
        bearers = self.broker.kube.bearers
        following = a_token("the next one")
        bearers[following] = bearers.pop(self.pod.token)
        swap(self.token, following)


async def drain(running: Registrar, scene: Scene) -> dict[str, Any]:
    """Call the hook as the kubelet does."""
    answer = await running.get("/drain", **{NONCE_HEADER: scene.environ["REGISTRAR_NONCE"]})
    found: dict[str, Any] = answer.json()
    return found


async def reported(broker: Brokering, state: str, times: int) -> None:
    """Wait until a state has been told so often."""
    told = f'reports_total{{state="{state}"}} {times}.0'
    for _ in range(3000):
        if told in (await broker.health.get("/metrics")).text:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{state} was not told {times} times")


async def test_a_pods_life(broker: Brokering, tls: Tls, tmp_path: Path) -> None:
    """Registered by its token and no key, its token rotated, deleted with the grace it was made with."""
    async with VLLM("qwen") as server:
        await server.load()
        scene = Scene(broker, tls, tmp_path, server)
        async with registrar(scene.environ, scene.listen) as running:
            await running.line(lambda line: " SERVING " in line)
            assert broker.rows() == {scene.pod.id(): "qwen"}
            await until(lambda: scene.condition() == ("True", "serving"))
            scene.rotate()
            scene.delete(grace=scene.shown["spec"]["terminationGracePeriodSeconds"])
            assert await drain(running, scene) == {"end": "done", "cut": 0, "rows_left": 0}
            await running.line(lambda line: "The pod is being deleted" in line)
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
    assert not broker.rows()
    assert scene.condition() == ("False", "drained")
    assert scene.events() == ["serving", "draining", "drained"]
    assert not [line for line in running.lines if " PROBLEM " in line]
    text = "\n".join(running.lines)
    assert "eyJ" not in text + broker.stream.getvalue()


async def test_a_cut_grace_is_said(broker: Brokering, tls: Tls, tmp_path: Path) -> None:
    """`kubectl delete --grace-period=9`: said at once, and the hook is answered before it is over."""
    async with VLLM("qwen", think=60) as server:
        await server.load()
        scene = Scene(broker, tls, tmp_path, server)
        async with registrar(scene.environ, scene.listen) as running:
            await running.line(lambda line: " SERVING " in line)
            server.running = 1
            scene.delete(grace=9)
            assert (await drain(running, scene))["end"] == "overdue"
            assert "grace=9.0" in await running.line(lambda line: "reason=grace_shortened" in line)
    assert not broker.rows()


async def test_a_restart_is_no_end(broker: Brokering, tls: Tls, tmp_path: Path) -> None:
    """The hook is called, the server goes and comes back in a pod that nobody deletes: registered again."""
    async with VLLM("qwen") as server:
        await server.load()
        scene = Scene(broker, tls, tmp_path, server)
        async with registrar(scene.environ, scene.listen) as running:
            await running.line(lambda line: " SERVING " in line)
            assert (await drain(running, scene))["end"] == "done"
            assert not broker.rows()
            await running.line(lambda line: "The pod is not being deleted" in line)
            await server.kill()
            await server.load()
            await running.line(lambda line: "The pod lives on" in line)
            await running.line(lambda _: sum(" SERVING " in line for line in running.lines) == 2)
    assert broker.rows() == {scene.pod.id(): "qwen"}


async def test_a_name_of_elsewhere_is_refused_with_a_sentence(
    broker: Brokering, tls: Tls, tmp_path: Path
) -> None:
    """A server that calls its model like one of LiteLLM's configuration: said by rule, nothing written."""
    async with VLLM("gpt-4o") as server:
        await server.load()
        scene = Scene(broker, tls, tmp_path, server)
        async with registrar(scene.environ, scene.listen) as running:
            line = await running.line(lambda line: "reason=broker_refused_row" in line)
            assert 'rule=name_taken name=gpt-4o detail="model_name: ' in line
            assert (await drain(running, scene))["end"] == "done"
    assert not broker.rows()


@pytest.mark.parametrize("what", ["label", "pod"])
async def test_a_pod_that_is_not_as_it_should_be_is_refused(
    what: str, broker: Brokering, tls: Tls, tmp_path: Path
) -> None:
    """Its label is gone, or the pod itself: named, and the registrar lives on."""
    async with VLLM("qwen") as server:
        await server.load()
        scene = Scene(broker, tls, tmp_path, server)
        if what == "label":
            scene.shown["metadata"]["labels"].clear()
        else:
            broker.kube.remove_pod(scene.pod)
        reason = "broker_refused_pod" if what == "label" else "broker_refused_token"
        async with registrar(scene.environ, scene.listen) as running:
            await running.line(lambda line: f"reason={reason}" in line)
            assert running.process.returncode is None
    assert not broker.rows()


async def test_a_registrar_that_is_restarted_changes_nothing_that_is_seen(
    broker: Brokering, tls: Tls, tmp_path: Path
) -> None:
    """Its pod is routable all the time: the condition stays as it is, and no Event is made."""
    async with VLLM("qwen") as server:
        await server.load()
        scene = Scene(broker, tls, tmp_path, server)
        for life in range(2):
            async with registrar(scene.environ, scene.listen) as running:
                await running.line(lambda line: " SERVING " in line)
                await reported(broker, "serving", life + 1)
                running.process.kill()
    assert scene.condition() == ("True", "serving")
    assert scene.events() == ["serving"]


async def test_a_server_in_ill_health_is_seen(broker: Brokering, tls: Tls, tmp_path: Path) -> None:
    """Blocked by its name, a warning; and serving when it is back."""
    async with VLLM("qwen") as server:
        await server.load()
        scene = Scene(broker, tls, tmp_path, server)
        async with registrar(scene.environ, scene.listen) as running:
            await until(lambda: scene.condition() == ("True", "serving"))
            await server.kill()
            await running.line(lambda line: " BLOCKED " in line)
            await until(lambda: scene.condition() == ("False", "blocked:server_refused"))
            await server.load()
            await until(lambda: scene.condition() == ("True", "serving"))
    kinds = [(event["reason"], event["type"]) for event in broker.kube.events()]
    assert kinds == [("serving", "Normal"), ("blocked", "Warning"), ("serving", "Normal")]


async def test_a_pod_that_ends_without_a_hook_is_seen_as_drained(
    broker: Brokering, tls: Tls, tmp_path: Path
) -> None:
    """SIGTERM alone drains, and its figures are told before the process ends."""
    async with VLLM("qwen") as server:
        await server.load()
        scene = Scene(broker, tls, tmp_path, server)
        async with registrar(scene.environ, scene.listen) as running:
            await running.line(lambda line: " SERVING " in line)
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
    assert scene.condition() == ("False", "drained")
    drained = broker.kube.events()[-1]
    assert drained["reason"] == "drained"
    assert "done after" in drained["message"]
    assert "0 requests cut" in drained["message"]

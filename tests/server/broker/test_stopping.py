"""The broker's end: readiness, calls in hand, what must not be lost; and its start with bad settings."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.injected import CLUSTER
from tests.server.broker.brokering import Brokering, Broking
from tests.server.running import PATIENCE, until


async def test_a_stop_loses_no_write(broking: Broking) -> None:
    """While it stops it is unready but answers; what is in hand ends, and only then it is closed."""
    async with broking(stop_delay="60") as broker:
        pod = broker.kube.run_pod("shop")
        broker.litellm.replicas[0].faults.delay = 0.3
        slow = asyncio.create_task(broker.create(pod))
        await until(lambda: broker.server._app.in_hand.count == 1)
        hurry = asyncio.Event()
        stopping = asyncio.create_task(broker.server.stop(hurry))
        await until(lambda: broker.server._app.stopping)
        ready = await broker.health.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "stopping\n")
        assert (await broker.health.get("/healthz")).status_code == 200
        during = await broker.call(pod, "GET", "/health/readiness")
        assert (during.status_code, during.headers["connection"]) == (200, "close")
        hurry.set()
        assert (await slow).status_code == 200
        await stopping
        assert list(broker.rows()) == [pod.id()]
        with pytest.raises(httpx.ConnectError):
            await broker.call(pod, "GET", "/health/readiness")
        assert '"message": "Every call in hand was answered."' in broker.stream.getvalue()


async def test_a_write_whose_client_is_gone_is_finished(broker: Brokering) -> None:
    """A registrar that gives up on a call finds the row there when it asks again."""
    pod = broker.kube.run_pod("shop")
    broker.litellm.replicas[0].faults.delay = 0.5
    impatient = httpx.Timeout(PATIENCE, read=0.1)
    with pytest.raises(httpx.ReadTimeout):
        await broker.client.post("/model/new", json=pod.row(), headers=pod.headers, timeout=impatient)
    await until(lambda: list(broker.rows()) == [pod.id()])
    await until(lambda: broker.server._app.in_hand.count == 0)
    assert broker.log[-1]["event"] == "created"


async def test_a_call_that_does_not_end_does_not_hold_the_stop(broking: Broking) -> None:
    """After --stop-timeout it ends all the same, and says how many calls were cut."""
    async with broking(stop_timeout="0.2") as broker:
        pod = broker.kube.run_pod("shop")
        broker.kube.hang = asyncio.Event()
        call = asyncio.create_task(broker.create(pod))
        await until(lambda: broker.server._app.in_hand.count == 1)
        await broker.server.stop(asyncio.Event())
        assert '"cut": 1' in broker.stream.getvalue()
        with pytest.raises(httpx.HTTPError):
            await call
        broker.kube.hang.set()


def start(*args: str, **other: str) -> subprocess.CompletedProcess[str]:
    """Start the program with settings of which some are bad."""
    given = {
        "--cluster-id": CLUSTER,
        "--namespace": "litellm-registrar",
        "--litellm-url": "http://127.0.0.1:9",
        "--tls-secret": "broker-tls",
        "--service": "broker",
        **{f"--{name.replace('_', '-')}": value for name, value in other.items()},
    }
    command = [
        sys.executable,
        "-m",
        "webhook",
        "broker",
        *(word for pair in given.items() for word in pair),
        *args,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_bad_files_end_with_2(tmp_path: Path, kubeconfig: Path) -> None:
    """Without a key, with a names file that is none: each is named with its flag and path."""
    key, names = tmp_path / "key", tmp_path / "names.yaml"
    key.write_text(" \n")
    names.write_text("spec: 1\n")
    done = start(litellm_key_file=str(key), names=str(names), kubeconfig=str(kubeconfig))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--litellm-key-file '{key}': found nothing" in done.stderr
    assert f"--names '{names}': " in done.stderr


def test_without_a_way_to_kubernetes_it_ends_with_2(tmp_path: Path) -> None:
    """A kubeconfig that is not there is named."""
    done = start(litellm_key_file=str(tmp_path / "key"), kubeconfig=str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"webhook: error: --kubeconfig '{tmp_path / 'none'}': the Kubernetes API is needed"
    )


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Give a kubeconfig of an API server that nobody runs."""
    path = tmp_path / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
        "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {token: x}}]\n"
    )
    return path

"""The caller's pod: how it is read, how long it is remembered."""

import asyncio
from typing import Any

import pytest

from tests.injected import injected, running
from webhook.broker import pods as module
from webhook.broker.pods import Pods
from webhook.broker.shapes import Caller, RefusedError, Rule
from webhook.kube.api import ApiError

CALLER = Caller("shop", "qwen", "uid-1", "node-1")
PATH = "/api/v1/namespaces/shop/pods/qwen"


def pod(*addresses: str, uid: str = "uid-1") -> dict[str, Any]:
    """Give a pod with a registrar and these IPs."""
    return running(injected("shop"), *addresses, uid=uid)


class Server:
    """An API server with one pod, or an error in its place."""

    def __init__(self) -> None:
        self.pod: dict[str, Any] | ApiError = pod("10.0.0.7")
        self.asked: list[str] = []

    async def get(self, path: str) -> dict[str, Any]:
        """Answer a GET."""
        self.asked.append(path)
        await asyncio.sleep(0)
        if isinstance(self.pod, ApiError):
            raise self.pod
        return self.pod


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def server() -> Server:
    """Give an API server."""
    return Server()


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def pods(server: Server, clock: Clock) -> Pods:
    """Give what reads that API server's pods."""
    return Pods(server, clock)


async def test_a_pod_is_remembered_for_a_moment(pods: Pods, server: Server, clock: Clock) -> None:
    """Within 2 s a pod is read once; who asks for it fresh has it read again."""
    assert (await pods.facts(CALLER)).addresses == ("10.0.0.7",)
    clock.now += 1
    await pods.facts(CALLER)
    assert server.asked == [PATH]
    await pods.facts(CALLER, fresh=True)
    clock.now += 2
    await pods.facts(CALLER)
    assert server.asked == [PATH] * 3


async def test_calls_that_come_together_read_a_pod_once(pods: Pods, server: Server) -> None:
    """The rows of a starting pod are made at the same time: one GET serves them all."""
    found = await asyncio.gather(*(pods.facts(CALLER) for _ in range(9)))
    assert len(set(map(id, found))) == 1
    assert server.asked == [PATH]


async def test_a_pod_without_an_address_is_read_again(pods: Pods, server: Server) -> None:
    """The IP of a starting pod counts as soon as the API server has it."""
    server.pod = pod()
    assert (await pods.facts(CALLER)).addresses == ()
    server.pod = pod("10.0.0.7")
    assert (await pods.facts(CALLER)).addresses == ("10.0.0.7",)


@pytest.mark.parametrize("there", [ApiError(404, "NotFound", "no pod"), pod("10.0.0.9", uid="uid-2")])
async def test_a_pod_that_is_gone_is_gone_at_once(
    pods: Pods, server: Server, there: dict[str, Any] | ApiError
) -> None:
    """A pod that is not there, or of another uid, is gone; what was remembered of it is forgotten."""
    await pods.facts(CALLER)
    server.pod = there
    assert (await pods.facts(CALLER, fresh=True)).gone
    assert (await pods.facts(CALLER)).gone


@pytest.mark.parametrize(
    "error", [ApiError(0, "Unreachable", "GET: refused"), ApiError(403, "Forbidden", "no")]
)
async def test_an_api_server_that_cannot_be_asked_is_named(
    pods: Pods, server: Server, error: ApiError
) -> None:
    """Nothing is known of the pod then: 503, and the API server's own word why."""
    server.pod = error
    with pytest.raises(RefusedError, match=error.reason) as caught:
        await pods.facts(CALLER)
    assert (caught.value.rule, caught.value.status) == (Rule.CANNOT_ASK_KUBERNETES, 503)


async def test_only_so_many_pods_are_remembered(
    pods: Pods, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory has an end; the oldest goes first."""
    monkeypatch.setattr(module, "_MOST", 2)
    for name in ("a", "b", "c"):
        await pods.facts(Caller("shop", name, "uid-1"))
        pods._seen[name] = pods._seen.pop("uid-1")
    assert list(pods._seen) == ["b", "c"]
    assert len(server.asked) == 3

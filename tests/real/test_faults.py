"""What can go wrong between a registrar and a real LiteLLM: each fault has its name, and none costs a row."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.servers import ModelServer
from tests.real.conftest import Pods, Start
from tests.real.cutter import Cutter, cutter
from tests.real.pods import PATIENCE, Pod, litellm_secret

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

NEEDED_ROUTES = ["/model/*", "/v2/model/info"]


@pytest.fixture
def server(own_server: Start) -> ModelServer:
    """Give a server with one model, called `faulty`."""
    return own_server(ALIAS="faulty")


@pytest.fixture
def between(proxy: LiteLLM) -> Iterator[Cutter]:
    """Give a proxy in front of the first replica that can lose answers."""
    with cutter(proxy.urls[0]) as made:
        yield made


def start(pods: Pods, server: ModelServer, proxy: LiteLLM, **secret: str) -> Pod:
    """Have a pod admitted and start its registrar, with that in the Secret in place of what is right."""
    pod = pods.admit(server, "openai", litellm_secret(proxy, **secret))
    pod.start_registrar()
    return pod


def new_key(proxy: LiteLLM, admin_routes: Sequence[str] | None) -> str:
    """Make a key: of a user with the role proxy_admin, for these routes; or an ordinary one."""
    body: dict[str, Any] = {}
    if admin_routes is not None:
        wanted = {"user_role": "proxy_admin", "auto_create_key": False}
        user = proxy.call("POST", "/user/new", wanted).json()["user_id"]
        body = {"user_id": user, "allowed_routes": list(admin_routes)}
    return str(proxy.call("POST", "/key/generate", body).json()["key"])


def test_the_database_is_down_while_a_model_is_registered(
    proxy: LiteLLM, server: ModelServer, pods: Pods
) -> None:
    """The registrar says so, goes on trying, and there is one row soon after the database is back."""
    proxy.stop_database()
    try:
        pod = start(pods, server, proxy)
        pod.wait_for_log("litellm_database_down")
        assert pod.state() == "waiting"
        assert not pod.is_ready()
    finally:
        proxy.start_database()
    pod.wait_for_state("serving")
    assert len(proxy.own_rows()) == 1
    # The replica that was not written to finds its database again by itself; until then it knows no such
    # name, and remembers that for 2 s.
    wait_until(
        "chat by the other replica", PATIENCE, lambda: proxy.chat("faulty", 1).status_code == 200, every=3
    )


def test_the_database_is_down_while_a_pod_drains(proxy: LiteLLM, server: ModelServer, pods: Pods) -> None:
    """The row cannot be deleted, so the drain goes on until it can; then nothing is left behind."""
    pod = pods.serve(server, "openai", proxy)
    proxy.stop_database()
    try:
        with ThreadPoolExecutor(1) as pool:
            drained = pool.submit(pod.drain)
            pod.wait_for_log("litellm_database_down")
            assert not drained.done()
            proxy.start_database()
            drained.result(timeout=PATIENCE)
    finally:
        proxy.start_database()
    assert proxy.own_rows() == {}
    server.stop()
    pod.terminate()


def test_litellm_is_killed_and_restarted(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """A registrar that starts meanwhile waits; one that serves goes on serving, with the same row."""
    serving = pods.serve(own_server(ALIAS="faulty"), "openai", proxy)
    before = proxy.own_rows().keys()
    proxy.kill(0)
    try:
        waiting = start(pods, own_server(ALIAS="faulty"), proxy)
        waiting.wait_for_log("litellm_unreachable")
        assert waiting.state() == "waiting"
    finally:
        proxy.start(0)
    waiting.wait_for_state("serving")
    assert serving.state() == "serving"
    assert before < proxy.own_rows().keys()
    assert len(proxy.own_rows()) == 2
    assert proxy.chat("faulty").status_code == 200


def test_a_wrong_key(proxy: LiteLLM, server: ModelServer, pods: Pods) -> None:
    """A key LiteLLM does not know is named as such, once, and never shown."""
    pod = start(pods, server, proxy, key="sk-nobody-knows-this")
    pod.wait_for_log("litellm_wrong_key")
    assert pod.state() == "waiting"
    assert "sk-nobody-knows-this" not in pod.log()
    assert proxy.own_rows() == {}


@pytest.mark.parametrize("routes", [None, ("/v2/model/info",)], ids=["ordinary", "reads"])
def test_a_key_that_may_not_write(
    proxy: LiteLLM, server: ModelServer, pods: Pods, routes: Sequence[str] | None
) -> None:
    """An ordinary key, or an administrator's that is kept from the routes, is named with what it needs."""
    pod = start(pods, server, proxy, key=new_key(proxy, routes))
    pod.wait_for_log("litellm_key_may_not_write")
    assert pod.state() == "waiting"
    assert pod.log().count("litellm_key_may_not_write") == 1


def test_the_least_key_that_suffices(proxy: LiteLLM, server: ModelServer, pods: Pods) -> None:
    """With a key that may do nothing but what the log asks for, a pod registers, blocks and drains."""
    pod = start(pods, server, proxy, key=new_key(proxy, NEEDED_ROUTES))
    pod.wait_for_state("serving")
    server.kill()
    pod.wait_for_state("blocked")
    server.start()
    pod.wait_for_state("serving")
    pod.delete()
    assert proxy.own_rows() == {}


def test_without_a_secret(proxy: LiteLLM, server: ModelServer, pods: Pods) -> None:
    """A missing Secret is a named state of the registrar, not the end of its process."""
    pod = pods.admit(server, "openai", {})
    pod.start_registrar()
    pod.wait_for_log("litellm_no_secret")
    assert pod.state() == "waiting"
    assert proxy.own_rows() == {}


@pytest.mark.parametrize("times", [1, 3])
def test_the_answer_to_a_registration_is_lost(
    proxy: LiteLLM,
    server: ModelServer,
    pods: Pods,
    between: Cutter,
    times: int,
) -> None:
    """LiteLLM has committed and the connection is cut: PATCH finds the row, and there is one."""
    between.lose("POST", "/model/new")
    between.lose("PATCH", "/model/", times - 1)
    pod = start(pods, server, proxy, url=between.url)
    pod.wait_for_state("serving")
    assert len(between.lost) == times
    assert len(proxy.own_rows()) == 1
    assert proxy.chat("faulty").status_code == 200


def test_the_answer_to_a_deletion_is_lost(
    proxy: LiteLLM, server: ModelServer, pods: Pods, between: Cutter
) -> None:
    """The row is deleted and the connection cut: the next answer, that it is not there, is success."""
    pod = start(pods, server, proxy, url=between.url)
    pod.wait_for_state("serving")
    between.lose("POST", "/model/delete")
    pod.delete()
    assert len(between.lost) == 1
    assert proxy.own_rows() == {}


def test_fifty_replays_of_one_registration(
    proxy: LiteLLM, server: ModelServer, pods: Pods, between: Cutter
) -> None:
    """The registrar's own call, sent 50 times at once to both replicas beside the registrar's: one row."""
    pod = start(pods, server, proxy, url=between.url)
    pod.wait_for_state("serving")
    (call,) = [call for call in between.calls if call.path == "/model/new"]
    pod.kill_registrar()
    proxy.remove_own_rows()
    barrier = threading.Barrier(51)

    def replay(number: int) -> int:
        headers = {"Authorization": f"Bearer {proxy.key}", "Content-Type": "application/json"}
        url = proxy.urls[number % 2] + call.path
        barrier.wait()
        return httpx.post(url, content=call.body, headers=headers, timeout=120, trust_env=False).status_code

    with ThreadPoolExecutor(50) as pool:
        answers = pool.map(replay, range(50))
        pod.start_registrar()
        barrier.wait()
        assert sorted(set(answers)) == [200, 500]
    pod.wait_for_state("serving")
    assert len(proxy.own_rows()) == 1
    assert len(pod.rows(proxy)) == 1
    for replica in (0, 1):
        assert proxy.chat("faulty", replica).status_code == 200

"""A server that dies or a registrar that dies: what LiteLLM is told, and what it is not."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.peers.proxy import LiteLLM
from tests.peers.servers import ModelServer
from tests.real.conftest import Pods, Start

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


def test_a_killed_server_is_blocked_and_comes_back(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """Server process killed with SIGKILL: its row is blocked with our mark; restarted: unblocked."""
    server = own_server(ALIAS="mortal")
    pod = pods.serve(server, "openai", proxy)
    before = proxy.own_rows()
    server.kill()
    pod.wait_for_state("blocked")
    pod.wait_for("block", lambda: [row["blocked"] for row in proxy.own_rows().values()] == [True])
    (row,) = proxy.own_rows().values()
    assert row["model_info"]["registrar"]["blocked_by"] == "registrar"
    # the replica's memory follows its database
    pod.wait_for("refusal", lambda: proxy.chat("mortal").status_code == 403)
    server.start()
    pod.wait_for_state("serving")
    pod.wait_for("the same row, unblocked and without the mark", lambda: proxy.own_rows() == before)
    for replica in (0, 1):
        pod.wait_for("chat again", lambda replica=replica: proxy.chat("mortal", replica).status_code == 200)


def test_a_block_by_somebody_else_stays(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """A person's block is not undone by a registrar that starts, and it is said."""
    server = own_server(ALIAS="paused")
    pod = pods.serve(server, "openai", proxy)
    (key,) = proxy.own_rows()
    assert proxy.call("POST", "/model/block", {"model_id": key}).status_code == 200
    pod.kill_registrar()
    pod.start_registrar()
    pod.wait_for_log("blocked_by_someone_else")
    assert proxy.own_rows()[key]["blocked"] is True


def test_a_killed_registrar_finds_its_rows(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """Registrar killed with SIGKILL and restarted: the same rows; what went meanwhile is removed."""
    server = shared_server("ollama")
    copy = {"source": "tiny", "destination": "goes-meanwhile"}
    assert httpx.post(f"{server.url}/api/copy", json=copy, trust_env=False).status_code == 200
    pod = pods.serve(server, "ollama", proxy)
    before = proxy.own_rows()
    pod.kill_registrar()
    remove = {"model": "goes-meanwhile"}
    assert (
        httpx.request("DELETE", f"{server.url}/api/delete", json=remove, trust_env=False).status_code == 200
    )
    pod.start_registrar()
    pod.wait_for_state("serving")
    gone = {key for key, row in before.items() if row["model_name"] == "goes-meanwhile:latest"}
    assert len(gone) == 1
    pod.wait_for("end of the row", lambda: proxy.own_rows().keys() == before.keys() - gone)
    assert proxy.own_rows() == {key: row for key, row in before.items() if key not in gone}

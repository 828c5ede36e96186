"""A pod's registrar from its first registration to its drain, on each version of LiteLLM."""

from __future__ import annotations

from typing import Final

import pytest

from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.servers import ModelServer
from tests.real.conftest import Pods, Start
from tests.real.cutter import cutter
from tests.real.litellm_versions.blocking import can_block
from tests.real.pods import PATIENCE, Pod, litellm_secret

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

MODEL: Final = "whole-life"


@pytest.fixture
def server(own_server: Start) -> ModelServer:
    """Give a model server of the test's own."""
    return own_server(ALIAS=MODEL)


def both_answer(proxy: LiteLLM, pod: Pod) -> None:
    """Wait until both replicas send requests to the pod: before 1.87 they read the table each 30 s."""
    for replica in (0, 1):
        pod.wait_for("chat", lambda replica=replica: proxy.chat(MODEL, replica).status_code == 200)


def test_a_whole_life(proxy: LiteLLM, server: ModelServer, pods: Pods) -> None:
    """Registered and routable by both replicas; registrar killed and back: the same row; drained: none."""
    pod = pods.serve(server, "openai", proxy)
    both_answer(proxy, pod)
    before = proxy.own_rows()
    assert len(before) == 1
    pod.kill_registrar()
    pod.start_registrar()
    pod.wait_for_state("serving")
    assert proxy.own_rows() == before
    pod.delete()
    assert proxy.own_rows() == {}
    for replica in (0, 1):
        wait_until("end of the name", PATIENCE, lambda n=replica: proxy.chat(MODEL, n).status_code == 400)  # type: ignore[misc]


def test_a_server_that_dies_and_comes_back(proxy: LiteLLM, server: ModelServer, pods: Pods) -> None:
    """Its row is blocked and unblocked; where LiteLLM cannot block that is said once, and the row stays."""
    pod = pods.serve(server, "openai", proxy)
    before = proxy.own_rows()
    server.kill()
    pod.wait_for_state("blocked")
    if can_block(proxy):
        pod.wait_for("block", lambda: [row["blocked"] for row in proxy.own_rows().values()] == [True])
        # the replica's memory follows its database
        pod.wait_for("refusal", lambda: proxy.chat(MODEL).status_code == 403)
    else:
        pod.wait_for_log("litellm_without_block")
    server.start()
    pod.wait_for_state("serving")
    pod.wait_for("the row as it was", lambda: proxy.own_rows() == before)
    both_answer(proxy, pod)
    assert pod.log().count("litellm_without_block") == (0 if can_block(proxy) else 1)


def test_lost_answers_leave_one_row(proxy: LiteLLM, server: ModelServer, pods: Pods) -> None:
    """The answers to the creation and to the deletion are lost: one row is made, and none is left."""
    with cutter(proxy.urls[0]) as between:
        between.lose("POST", "/model/new")
        between.lose("POST", "/model/delete")
        pod = pods.admit(server, "openai", litellm_secret(proxy, url=between.url))
        pod.start_registrar()
        pod.wait_for_state("serving")
        assert len(proxy.own_rows()) == 1
        pod.delete()
        assert len(between.lost) == 2
    assert proxy.own_rows() == {}

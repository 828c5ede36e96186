"""The reaper's writes on each version of LiteLLM: a row taken away, and one blocked with its node lost."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import pytest

from sidecar.row_contract import NODE_NOT_READY, REAPER_KEY, row_id
from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.real.litellm_versions.blocking import can_block
from webhook.broker.key_abilities import ROUTES
from webhook.broker.known_rows import KnownRows
from webhook.broker.own_rows import OwnRow, read_own
from webhook.broker.upstream import Upstream
from webhook.kube.api import ApiError
from webhook.kube.identity import PATH as IDENTITY
from webhook.log import Log
from webhook.reaper.hands import Hands, WithoutBlockError
from webhook.reaper.shapes import Reason

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

CLUSTER: Final = "of-this-suite"
NAME: Final = "reaped"
OWNER: Final = {"cluster": CLUSTER, "namespace": "shop", "pod": "qwen-0", "pod_uid": "uid-1", "model": NAME}
NODE: Final = "node-1"
KUBE_SYSTEM: Final = {IDENTITY: {"metadata": {"uid": CLUSTER}}}
POD: Final = {
    "/api/v1/namespaces/shop/pods/qwen-0": {
        "metadata": {"namespace": "shop", "name": "qwen-0", "uid": "uid-1"},
        "spec": {"nodeName": NODE},
    }
}
READY: Final = {f"/api/v1/nodes/{NODE}": {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}}


class Kubernetes:
    """Answers a direct GET with one of these objects, or that there is none."""

    def __init__(self, *there: Mapping[str, Any]) -> None:
        self._there = {path: found for some in there for path, found in some.items()}

    async def get(self, path: str) -> dict[str, Any]:
        """Read an object."""
        if path not in self._there:
            plural, name = path.split("/")[-2:]
            raise ApiError(404, "NotFound", "not found", f"{plural}/{name}")
        return dict(self._there[path])


Reap = Callable[[Kubernetes], AbstractAsyncContextManager[Hands]]


@pytest.fixture
def hands(proxy: LiteLLM) -> Reap:
    """Give the reaper's hands, with the broker's narrowest key."""

    @asynccontextmanager
    async def made(kubernetes: Kubernetes) -> AsyncIterator[Hands]:
        async with Upstream(proxy.urls[0]) as upstream:
            upstream.use(proxy.make_key(allowed_routes=[*ROUTES]))
            rows = KnownRows(upstream, CLUSTER, Log(io.StringIO()))
            yield Hands(kubernetes, upstream, rows, CLUSTER, lambda: True)

    return made


@pytest.fixture
def row(proxy: LiteLLM) -> OwnRow:
    """Make a registrar's row, as if it had been left behind."""
    params = {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "api_key": "none"}
    key = row_id(CLUSTER, "shop", "uid-1", NAME)
    proxy.create(NAME, params, {"id": key, "mode": "chat", "registrar": OWNER})
    (shown,) = wait_until("row", 90, lambda: proxy.rows(NAME))
    found = read_own(shown, CLUSTER)
    assert found is not None
    return found


async def test_the_row_of_a_pod_that_is_gone_is_removed(proxy: LiteLLM, hands: Reap, row: OwnRow) -> None:
    """Once, for that reason; a second time there is none, and nothing is claimed."""
    async with hands(Kubernetes(KUBE_SYSTEM)) as reaper:
        assert await reaper.remove(row) is Reason.POD_GONE
        assert proxy.own_rows() == {}
        assert await reaper.remove(row) is None


async def test_the_row_of_a_lost_node_is_blocked_until_it_is_back(
    proxy: LiteLLM, hands: Reap, row: OwnRow
) -> None:
    """With the reaper's word in it, which goes with the block; a version that cannot block is named."""
    async with hands(Kubernetes(KUBE_SYSTEM, POD)) as reaper:
        if can_block(proxy):
            assert await reaper.block(row, NODE)
            (stored,) = proxy.own_rows().values()
            assert (stored["blocked"], stored["model_info"][REAPER_KEY]) == (True, NODE_NOT_READY)
        else:
            with pytest.raises(WithoutBlockError):
                await reaper.block(row, NODE)
    async with hands(Kubernetes(KUBE_SYSTEM, POD, READY)) as reaper:
        assert await reaper.unblock(row) is can_block(proxy)
    (stored,) = proxy.own_rows().values()
    assert (stored.get("blocked", False), stored["model_info"][REAPER_KEY]) == (False, "")
    assert stored["model_info"]["registrar"] == OWNER

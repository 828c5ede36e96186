"""`uninstall clean-up` on a real LiteLLM: this cluster's rows go, and nothing else does."""

import asyncio

import pytest

from sidecar.row_contract import row_id
from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.webhook import CLUSTER_ID
from tests.real.broker.conftest import Way
from webhook.broker.key_abilities import ROUTES
from webhook.installation.uninstall import Sleep, remove_rows

pytestmark = pytest.mark.real

NOWHERE = "http://127.0.0.1:9/v1"


def make(proxy: LiteLLM, cluster: str, namespace: str, uid: str, model: str) -> str:
    """Make a row as the registrar of such a pod would."""
    block = {"cluster": cluster, "namespace": namespace, "pod_uid": uid, "model": model}
    params = {"model": f"hosted_vllm/{model}", "api_base": NOWHERE}
    info = {"id": row_id(cluster, namespace, uid, model), "registrar": block}
    return proxy.create(model, params, info)


def until_known(proxy: LiteLLM, replica: int) -> Sleep:
    """Give what waits until a replica knows of every row, and of no other of the database."""

    def knows() -> bool:
        known = {
            row["model_info"]["id"] for row in proxy.rows(replica=replica) if row["model_info"]["db_model"]
        }
        return known == proxy.stored().keys()

    async def wait(_: float) -> None:
        await asyncio.to_thread(wait_until, f"replica {replica} that knows every row", 120, knows)

    return wait


async def test_only_rows_of_this_cluster_go(proxy: LiteLLM, way: Way) -> None:
    """Rows of another cluster, made by hand and of the configuration are the same, byte for byte.

    The replica that is asked has made none of them; its key is the narrowest one that a broker needs.
    """
    ours = {
        make(proxy, CLUSTER_ID, namespace, f"uid-{number}", f"qwen-{number}")
        for number, namespace in enumerate(("shop", "lab", "shop"))
    }
    another = make(proxy, "another", "shop", "uid-9", "qwen-9")
    before = proxy.stored()
    said: list[str] = []
    async with way(proxy, proxy.make_key(allowed_routes=[*ROUTES]), replica=1) as upstream:
        assert await remove_rows(upstream, CLUSTER_ID, said.append, until_known(proxy, 1))
    after = proxy.stored()
    assert before.keys() - after.keys() == ours
    assert {key: before[key] for key in after} == after
    assert another in after
    assert said == ["Rows of cluster test-cluster removed from LiteLLM: 3."]


async def test_a_second_clean_up_finds_nothing(proxy: LiteLLM, way: Way) -> None:
    """A Job that is tried again does no harm, also while a replica still shows what is gone."""
    make(proxy, CLUSTER_ID, "shop", "uid-1", "qwen")
    said: list[str] = []
    for replica in (0, 1):
        async with way(proxy, replica=replica) as upstream:
            assert await remove_rows(upstream, CLUSTER_ID, said.append, until_known(proxy, replica))
    assert said == [f"Rows of cluster test-cluster removed from LiteLLM: {count}." for count in (1, 0)]

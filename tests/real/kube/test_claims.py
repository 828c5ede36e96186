"""Names claimed on a real API server, by the broker's own ServiceAccount."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers.broker import ACCOUNT, NAMESPACE
from tests.real.kube.conftest import Connections
from webhook.broker.claims import STALE, Claims, lease_name
from webhook.broker.shapes import RefusedError
from webhook.kube.api import ApiError

pytestmark = pytest.mark.kube

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


class Brokers:
    """Two brokers of one cluster, and the clock of both."""

    def __init__(self, *apis: object) -> None:
        self.time = 0.0
        self.one, self.other = (Claims(api, NAMESPACE, now=lambda: self.time) for api in apis)  # type: ignore[arg-type]


@pytest.fixture
async def brokers(connections: Connections) -> Brokers:
    """Give two brokers with the rights of examples/rbac.yaml."""
    return Brokers(await connections.account(ACCOUNT), await connections.account(ACCOUNT))


async def test_of_many_who_claim_a_name_at_once_one_has_it(brokers: Brokers) -> None:
    """Five namespaces through two brokers: all are told the same, and it is so afterwards."""
    for number in range(5):
        name = f"Qwen/at-once ü {number}"
        told = await asyncio.gather(
            *(broker.claim(name, f"n{n}") for n in range(5) for broker in (brokers.one, brokers.other))
        )
        assert len(set(told)) == 1
        assert await brokers.other.claim(name, "somebody-else") == told[0]


async def test_a_stale_claim_is_taken_over_by_one_of_two(brokers: Brokers) -> None:
    """The API server takes one of two writes over the same version; the other broker is told."""
    assert await brokers.one.claim("left-behind", "shop") == "shop"
    for broker in (brokers.one, brokers.other):
        assert await broker.claim("left-behind", "a") == "shop"
    brokers.time += STALE
    told = await asyncio.gather(
        brokers.one.claim("left-behind", "a"), brokers.other.claim("left-behind", "b")
    )
    assert len(set(told)) == 1
    assert told[0] in ("a", "b")


async def test_a_claim_is_renewed_and_cleaned(brokers: Brokers, connections: Connections) -> None:
    """What is used stays, what is stale and has no row goes, and no other Lease."""
    api = await connections.admin()
    await api.create(LEASES, {"metadata": {"name": "of-a-leader"}, "spec": {"holderIdentity": "me"}})
    for name in ("in-use", "out-of-use"):
        await brokers.one.claim(name, "shop")
    before = await api.get(f"{LEASES}/{lease_name('in-use')}")
    await brokers.other.clean(lambda _name, _namespace: False)
    brokers.time += STALE
    await brokers.one.claim("in-use", "shop")
    after = await api.get(f"{LEASES}/{lease_name('in-use')}")
    assert after["spec"]["renewTime"] > before["spec"]["renewTime"]
    assert await brokers.other.clean(lambda _name, _namespace: False) >= 1
    left = {lease["metadata"]["name"] for lease in await api.list(LEASES)}
    assert {"of-a-leader", lease_name("in-use")} <= left
    assert lease_name("out-of-use") not in left


async def test_who_may_not_write_leases_gives_no_name(connections: Connections) -> None:
    """A missing right refuses names, and is told by its own word."""
    claims = Claims(await connections.account("default"), NAMESPACE)
    with pytest.raises(RefusedError, match="403 Forbidden"):
        await claims.claim("forbidden", "shop")
    with pytest.raises(ApiError):
        await claims.clean(lambda _name, _namespace: True)

"""Names claimed in the cluster, on a Kubernetes in memory."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from webhook.broker.claims import LABEL, STALE, Claims, lease_name
from webhook.broker.shapes import RefusedError, Rule
from webhook.kube.api import ApiError

JSON = dict[str, Any]
PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases"


class Cluster:
    """Leases with versions, as the API server keeps them; at every call others get in between."""

    def __init__(self) -> None:
        self.objects: dict[str, JSON] = {}
        self.calls: list[str] = []
        self.fault: ApiError | None = None
        self.before_delete: Callable[[], Awaitable[object]] | None = None
        self._version = 0

    async def get(self, path: str) -> JSON:
        """Read an object."""
        await self._call("get")
        return copy.deepcopy(self._there(path))

    async def list(self, path: str, selector: str) -> list[JSON]:
        """Read the labelled ones."""
        await self._call("list")
        assert path == PATH
        found = [each for each in self.objects.values() if selector in each["metadata"]["labels"]]
        return copy.deepcopy(found)

    async def create(self, path: str, body: JSON) -> JSON:
        """Create an object."""
        await self._call("create")
        key = f"{path}/{body['metadata']['name']}"
        if key in self.objects:
            raise ApiError(409, "AlreadyExists", "it exists")
        return self._store(key, body)

    async def replace(self, path: str, body: JSON) -> JSON:
        """Write an object over its version."""
        await self._call("replace")
        if self._there(path)["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it was changed")
        return self._store(path, body)

    async def delete(self, path: str, options: JSON) -> JSON:
        """Delete an object of a version."""
        await self._call("delete")
        if self.before_delete is not None:
            await self.before_delete()
        if self._there(path)["metadata"]["resourceVersion"] != options["preconditions"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it was changed")
        return self.objects.pop(path)

    def _there(self, path: str) -> JSON:
        if path not in self.objects:
            raise ApiError(404, "NotFound", "there is none")
        return self.objects[path]

    def _store(self, key: str, body: JSON) -> JSON:
        self._version += 1
        stored = copy.deepcopy(body)
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.objects[key] = stored
        return copy.deepcopy(stored)

    async def _call(self, what: str) -> None:
        self.calls.append(what)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault


class World:
    """A cluster and two brokers in it, with one clock."""

    def __init__(self, most: int = 100) -> None:
        self.time = 0.0
        self.cluster = Cluster()
        self.one = Claims(self.cluster, "system", now=lambda: self.time, most=most)
        self.other = Claims(self.cluster, "system", now=lambda: self.time)


def of_nobody(_name: str, _namespace: str) -> bool:
    """No name has a row."""
    return False


async def test_who_claims_a_name_first_has_it() -> None:
    """Another namespace is told who, by whichever broker."""
    world = World()
    assert await world.one.claim("qwen", "shop") == "shop"
    assert await world.one.claim("qwen", "other") == "shop"
    assert await world.other.claim("qwen", "other") == "shop"
    assert await world.other.claim("qwen", "shop") == "shop"


async def test_a_claim_says_what_it_is_for() -> None:
    """A Lease of the broker's namespace, held by the namespace, with the name as it is."""
    world = World()
    await world.one.claim("Qwen/Qwen2.5 ü", "shop")
    (path, lease), *more = world.cluster.objects.items()
    assert not more
    assert path == f"{PATH}/{lease_name('Qwen/Qwen2.5 ü')}"
    assert lease["spec"]["holderIdentity"] == "shop"
    assert lease["metadata"]["annotations"] == {"litellm-registrar.io/model-name": "Qwen/Qwen2.5 ü"}


async def test_of_many_who_claim_at_once_one_namespace_has_it() -> None:
    """Through two brokers, from five namespaces: all are told the same."""
    world = World()
    told = await asyncio.gather(
        *(broker.claim("qwen", f"n{n}") for n in range(5) for broker in (world.one, world.other))
    )
    assert len(set(told)) == 1
    assert len(world.cluster.objects) == 1


async def test_a_namespace_claims_no_names_without_end() -> None:
    """Beyond the bound it gets no other name until one is stale; those it has, and others' names, go on."""
    world = World(most=2)
    for name in ("a", "b"):
        assert await world.one.claim(name, "shop") == "shop"
    with pytest.raises(RefusedError) as caught:
        await world.one.claim("c", "shop")
    assert caught.value.rule is Rule.TOO_MANY_ROWS
    assert await world.one.claim("c", "other") == "other"
    world.time += STALE - 1
    assert await world.one.claim("b", "shop") == "shop"
    world.time += 1
    assert await world.one.claim("d", "shop") == "shop"
    with pytest.raises(RefusedError):
        await world.one.claim("e", "shop")


async def test_a_thousand_pods_of_one_name_cost_one_claim() -> None:
    """Those at once share it, those of the next minute need none."""
    world = World()
    await asyncio.gather(*(world.one.claim("qwen", "shop") for _ in range(1000)))
    world.time += 59
    await world.one.claim("qwen", "shop")
    assert world.cluster.calls == ["get", "create"]


async def test_a_claim_that_is_used_is_renewed() -> None:
    """So that others see that something comes of it."""
    world = World()
    for _ in range(20):
        await world.one.claim("qwen", "shop")
        assert await world.other.claim("qwen", "other") == "shop"
        world.time += 61


async def test_a_claim_that_nothing_came_of_is_taken_over() -> None:
    """Once it has been seen unchanged for long enough, by a clock of our own."""
    world = World()
    await world.one.claim("qwen", "shop")
    world.time += 10 * STALE  # nobody has looked at it yet
    assert await world.other.claim("qwen", "other") == "shop"
    world.time += STALE - 1
    assert await world.other.claim("qwen", "other") == "shop"
    world.time += 1
    assert await world.other.claim("qwen", "other") == "other"
    assert await world.one.claim("qwen", "shop") == "other"


async def test_of_two_who_take_over_one_succeeds() -> None:
    """The version decides, and the other is told."""
    world = World()
    await world.one.claim("qwen", "shop")
    for _ in range(2):
        for broker in (world.one, world.other):
            await broker.claim("qwen", "a")
        world.time += STALE
    world.cluster.calls.clear()
    told = await asyncio.gather(world.one.claim("qwen", "b"), world.other.claim("qwen", "c"))
    assert len(set(told)) == 1


async def test_stale_claims_without_rows_are_removed() -> None:
    """By the leader, as it saw them; what has rows stays, however old."""
    world = World()
    for name in ("left", "used"):
        await world.one.claim(name, "shop")

    def held(name: str, namespace: str) -> bool:
        return (name, namespace) == ("used", "shop")

    assert await world.other.clean(held) == 0
    world.time += STALE
    assert await world.other.clean(held) == 1
    assert [*world.cluster.objects] == [f"{PATH}/{lease_name('used')}"]
    assert await world.other.clean(held) == 0


async def test_a_claim_whose_rows_have_just_gone_is_not_stale_yet() -> None:
    """The time without rows counts, not that of the claim."""
    world = World()
    await world.one.claim("qwen", "shop")
    for _ in range(3):
        await world.other.clean(lambda _name, _namespace: True)
        world.time += STALE
    assert await world.other.clean(of_nobody) == 0
    world.time += STALE
    assert await world.other.clean(of_nobody) == 1


async def test_a_claim_that_is_renewed_meanwhile_is_not_removed() -> None:
    """The leader's view may be old; the version of the object is not."""
    world = World()
    await world.one.claim("qwen", "shop")
    await world.other.clean(of_nobody)
    world.time += STALE
    world.cluster.before_delete = lambda: world.one.claim("qwen", "shop")
    assert await world.other.clean(of_nobody) == 0
    assert len(world.cluster.objects) == 1


async def test_other_leases_of_the_namespace_are_left_alone() -> None:
    """The one of the leader is a Lease too."""
    world = World()
    leader: JSON = {"metadata": {"name": "leader", "labels": {}}, "spec": {"holderIdentity": "broker-1"}}
    await world.cluster.create(PATH, leader)
    await world.one.clean(of_nobody)
    world.time += STALE
    assert await world.one.clean(of_nobody) == 0
    assert LABEL not in leader["metadata"]["labels"]


async def test_without_the_api_server_no_name_is_given() -> None:
    """Never a wrong yes; what was claimed a moment ago goes on."""
    world = World()
    await world.one.claim("qwen", "shop")
    world.cluster.fault = ApiError(0, "Unreachable", "refused")
    assert await world.one.claim("qwen", "shop") == "shop"
    for name in ("qwen", "new"):
        with pytest.raises(RefusedError) as refused:
            await world.one.claim(name, "other")
        assert (refused.value.rule, refused.value.status) == (Rule.CANNOT_ASK_KUBERNETES, 503)

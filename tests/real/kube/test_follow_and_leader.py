"""Following an object and leading by a Lease, on a real API server that also goes away."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from tests.peers.broker import NAMESPACE
from tests.peers.cluster import JSON, Cluster
from tests.peers.learned import rights
from tests.real.kube.conftest import ApiServer, Connections
from webhook.kube.api import Api
from webhook.kube.events import Events
from webhook.kube.follow import Followed
from webhook.kube.leader import Leader, Timing, identity
from webhook.log import Log

# an API server that is stopped and started takes its time on a busy machine
pytestmark = [pytest.mark.kube, pytest.mark.timeout(900)]

# Short, but not so short that a busy machine takes an answer for late.
TIMING = Timing(lease=9, renew=8, retry=0.5)
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
TLS = f"{SECRETS}/litellm-registrar-webhook-tls"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/litellm-registrar-webhook-tls"


async def until(what: str, check: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for something. Raises AssertionError."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not check():
        assert loop.time() < end, what
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(*parts: Followed | Leader | Events) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run these for a while; none of them may end by itself."""
    tasks = [asyncio.create_task(part.run()) for part in parts]
    yield tasks
    for task in tasks:
        assert not task.done() or task.cancelled()
        task.cancel()
    await asyncio.wait(tasks)


class Eye:
    """Follows the webhook's Secret as the webhook's ServiceAccount may."""

    def __init__(self, api: Api, path: str = TLS) -> None:
        self.lines = io.StringIO()
        self.seen: list[str | None] = []
        self.followed = Followed(api, path, self.use, Log(self.lines))

    def use(self, found: JSON | None) -> None:
        """Take note of a value."""
        self.seen.append(found["data"]["a"] if found else None)


@pytest.fixture
async def admin(connections: Connections) -> AsyncIterator[Api]:
    """Give who may do everything; what the tests share is cleared away before and after."""
    api = await connections.admin()
    for _ in range(2):
        for path in (TLS, LEASE):
            with contextlib.suppress(Exception):
                await api.delete(path)
        if _ == 0:
            yield api


async def test_one_object_is_followed_with_rights_on_it_alone(admin: Api, connections: Connections) -> None:
    """`get` and `watch` of one Secret by name suffice, and its creation, change and end are seen at once."""
    eye = Eye(await connections.account("litellm-registrar-webhook"))
    async with running(eye.followed):
        await until("first look", lambda: eye.seen == [None])
        await asyncio.sleep(1)
        await admin.create(SECRETS, {"metadata": {"name": TLS.rpartition("/")[2]}, "data": {"a": "MQ=="}})
        await until("creation", lambda: eye.seen == [None, "MQ=="])
        await admin.merge(TLS, {"data": {"a": "Mg=="}})
        await until("change", lambda: eye.seen == [None, "MQ==", "Mg=="])
        await admin.delete(TLS)
        await until("end", lambda: eye.seen == [None, "MQ==", "Mg==", None])
    assert "PROBLEM" not in eye.lines.getvalue()


async def test_without_the_right_to_watch_an_object_is_followed_by_looking(
    admin: Api, connections: Connections, cluster: Cluster, namespace: str
) -> None:
    """A ServiceAccount that may only get the object sees its changes too; one line says why so late."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await admin.create(path, {"metadata": {"name": "one"}, "data": {"a": "1"}})
    verbs = ("--verb=get", "--resource=configmaps", "--resource-name=one")
    cluster.kubectl("create", "role", "looker", "-n", namespace, *verbs)
    bound = ("--role=looker", f"--serviceaccount={namespace}:default")
    cluster.kubectl("create", "rolebinding", "looker", "-n", namespace, *bound)
    rights(cluster, namespace, "default", "get", "configmaps/one", "-n", namespace)
    eye = Eye(await connections.account("default", namespace), f"{path}/one")
    async with running(eye.followed):
        await until("first look", lambda: eye.seen == ["1"])
        await until("line", lambda: "it cannot be watched: 403 Forbidden" in eye.lines.getvalue())
        await admin.merge(f"{path}/one", {"data": {"a": "2"}})
        await until("change", lambda: eye.seen == ["1", "2"])
        await asyncio.sleep(2)
    assert eye.lines.getvalue().count("PROBLEM") == 1


async def test_a_restart_of_the_api_server_is_survived(
    admin: Api, connections: Connections, api_server: ApiServer
) -> None:
    """The last state counts while the API server is away; what changed afterwards is seen."""
    await admin.create(SECRETS, {"metadata": {"name": TLS.rpartition("/")[2]}, "data": {"a": "MQ=="}})
    eye = Eye(await connections.account("litellm-registrar-webhook"))
    async with running(eye.followed):
        await until("first look", lambda: eye.seen == ["MQ=="])
        await asyncio.to_thread(api_server.stop)
        await until("line", lambda: "cannot be read, its last known state counts" in eye.lines.getvalue())
        assert eye.seen == ["MQ=="]
        await asyncio.to_thread(api_server.start)
        await admin.merge(TLS, {"data": {"a": "Mg=="}})
        await until("change", lambda: eye.seen == ["MQ==", "Mg=="])
        await until("line", lambda: "can be read again" in eye.lines.getvalue())
        # the watch works again as well: long before the next look
        await asyncio.sleep(1)
        await admin.merge(TLS, {"data": {"a": "Mw=="}})
        await until("change", lambda: eye.seen == ["MQ==", "Mg==", "Mw=="])


class Candidates:
    """Candidates for one Lease, and how often more than one of them led at a time."""

    def __init__(self, *apis: Api) -> None:
        self.lines = io.StringIO()
        self.leaders = [Leader(api, LEASE, identity(), Log(self.lines), timing=TIMING) for api in apis]
        self.twice = 0

    def leading(self) -> list[int]:
        """Tell which lead."""
        return [number for number, leader in enumerate(self.leaders) if leader.leading]

    async def known(self) -> int:
        """Wait until one leads and everyone has read so in a Lease written from now on, and give it."""
        since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"

        def check() -> bool:
            holders = [self.leaders[number]._holder for number in self.leading()]
            specs = [leader._seen or {} for leader in self.leaders]
            fresh = all((spec.get("renewTime") or "") > since for spec in specs)
            return fresh and all([spec.get("holderIdentity")] == holders for spec in specs)

        await until("one who leads and of whom everyone knows", check)
        (number,) = self.leading()
        return number

    async def observe(self) -> None:
        """Look every few milliseconds."""
        while True:
            self.twice += len(self.leading()) > 1
            await asyncio.sleep(0.003)

    async def one(self, *among: int) -> int:
        """Wait until one of these leads, and give it."""
        await until("leader", lambda: any(number in self.leading() for number in among))
        (number,) = self.leading()
        return number


@pytest.fixture
async def candidates(admin: Api, connections: Connections) -> AsyncIterator[Candidates]:
    """Give three candidates with the rights of the webhook's ServiceAccount, and watch over them."""
    assert admin
    made = Candidates(*[await connections.account("litellm-registrar-webhook") for _ in range(3)])
    watcher = asyncio.create_task(made.observe())
    yield made
    watcher.cancel()
    assert made.twice == 0, "two led at once"


async def test_a_leader_that_dies_and_one_that_stops_are_replaced(candidates: Candidates, admin: Api) -> None:
    """Never do two lead, whether leaders crash or leave; who leaves is followed without a wait."""
    everyone = {0, 1, 2}
    async with running(*candidates.leaders) as tasks:
        first = await candidates.one(*everyone)
        tasks[first].cancel()  # as a crash: nothing is released
        second = await candidates.one(*(everyone - {first}))
        lease = await admin.get(LEASE)
        assert lease["spec"]["holderIdentity"] == candidates.leaders[second]._holder
        tasks[second].cancel()
        await asyncio.wait([tasks[second]])
        await candidates.leaders[second].release()
        left = candidates.leaders[second]._holder
        assert (await admin.get(LEASE))["spec"]["holderIdentity"] != left
        third = await candidates.one(*(everyone - {first, second}))
        assert (await admin.get(LEASE))["spec"]["leaseTransitions"] == 3
        await candidates.leaders[third].release()
    assert "PROBLEM" not in candidates.lines.getvalue()


async def test_nobody_leads_without_the_api_server_and_one_does_afterwards(
    candidates: Candidates, api_server: ApiServer
) -> None:
    """A leader that cannot renew stops leading; after the restart one leads again."""
    async with running(*candidates.leaders):
        await candidates.one(0, 1, 2)
        await asyncio.to_thread(api_server.stop)
        await until("end of the leading", lambda: candidates.leading() == [])
        await asyncio.to_thread(api_server.start)
        await candidates.one(0, 1, 2)


async def test_a_lease_that_people_edit_never_makes_two_lead(candidates: Candidates, admin: Api) -> None:
    """Deleted, emptied or given to somebody else by hand: at most one leads, and in the end one does."""
    edits: list[JSON | None] = [
        None,
        {"spec": {"holderIdentity": None}},
        {"spec": {"holderIdentity": "a stranger"}},
        {"spec": {"renewTime": "2001-01-01T00:00:00.000000Z", "acquireTime": None}},
        {"spec": {"leaseDurationSeconds": 1}},
    ]
    async with running(*candidates.leaders):
        for edit in edits:
            leads = await candidates.known()
            if edit is None:
                await admin.delete(LEASE)
            else:
                await admin.merge(LEASE, edit)
            if edit and edit["spec"].get("holderIdentity") == "a stranger":
                await until("end of the leading", lambda number=leads: number not in candidates.leading())  # type: ignore[misc]
        await candidates.one(0, 1, 2)


async def test_an_event_stands_beside_its_object(
    admin: Api, connections: Connections, cluster: Cluster, namespace: str
) -> None:
    """`kubectl` shows it with its count, written with the broker's own rights."""
    pod = {"metadata": {"name": "qwen"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    made = await admin.create(f"/api/v1/namespaces/{namespace}/pods", pod)
    about = {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": namespace,
        "name": "qwen",
        "uid": made["metadata"]["uid"],
    }
    lines = io.StringIO()
    events = Events(
        await connections.account("litellm-registrar-broker"), "litellm-registrar-broker", Log(lines)
    )
    path = f"/api/v1/namespaces/{namespace}/events"
    async with running(events):
        events.say(about, "foreign_name", "the name 'gpt-4o' has rows of elsewhere")
        events.say(about, "foreign_name", "the name 'gpt-4o' has rows of elsewhere")
        while not (found := await admin.list(path)):  # noqa: ASYNC110 - the API server is asked
            await asyncio.sleep(0.05)
        assert [one["reason"] for one in found] == ["foreign_name"]
        for event in events._known.values():
            event.written = float("-inf")  # as if that had been ten minutes ago
        events.say(about, "foreign_name", "the name 'gpt-4o' has rows of elsewhere")
        while (await admin.list(path))[0]["count"] < 3:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.05)
    shown = cluster.kubectl("describe", "pod", "qwen", "-n", namespace).out
    assert "foreign_name" in shown
    assert "(x3 over" in shown
    assert "litellm-registrar-broker" in shown
    assert lines.getvalue() == ""

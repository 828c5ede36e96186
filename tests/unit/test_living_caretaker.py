"""One replica looks after what lives: what it counts and says, how seldom it asks, who takes over."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest

from sidecar.contract import CONTRACT_VERSION, LABEL_CARRIED, LABEL_SERVER
from tests.standins.kube import FakeApi
from tests.virtual_time import now, run
from webhook.inject import Injection, inject
from webhook.kube.api import ApiError
from webhook.living.caretaker import Caretaker
from webhook.log import Log
from webhook.patch import apply
from webhook.policy.document import parse
from webhook.policy.policy import Policy
from webhook.policy.table import RULES

JSON = dict[str, Any]
CONFIG = Injection(cluster="c", image="registry.example.com/registrar:1")
LEASE = "/apis/coordination.k8s.io/v1/namespaces/registrar/leases/webhook"
PREFIX = "x"
# Seconds within which a pod that was missed is counted and said of, and everything is judged.
SOON = 30.0
# What lists only what is to be judged ask for.
JUDGED = ("deployments", "replicasets", "jobs", "namespaces")


def policy(mode: str = "enforce") -> Policy:
    """Give a policy that wants no foreign code."""
    text = {
        "apiVersion": "policy.litellm-registrar.io/v1",
        "kind": "ModelServerPolicy",
        "metadata": {"name": "t"},
        "spec": {"defaults": {"mode": mode}, "rules": {"code": {"trustRemoteCode": "deny"}}},
    }
    return parse(json.dumps(text), RULES)


def pod(label: str = LABEL_SERVER, *args: str) -> JSON:
    """Give a vLLM pod that has no registrar."""
    server = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["Qwen/Qwen3-8B", *args]}
    return {"metadata": {"labels": {label: "vllm"}}, "spec": {"containers": [server]}, "status": {}}


def injected(word: str = "") -> JSON:
    """Give one that has; with a `word` the kubelet says this of it."""
    made: JSON = apply(pod(), inject(pod(), CONFIG, "0", "shop").ops)
    state = {"waiting": {"reason": word}} if word else {"running": {}}
    return {**made, "status": {"initContainerStatuses": [{"name": "registrar", "state": state}]}}


def deployment(*args: str) -> JSON:
    """Give a Deployment of such pods."""
    return {
        "metadata": {},
        "spec": {"template": {"metadata": pod()["metadata"], "spec": pod("x", *args)["spec"]}},
    }


class Replica:
    """One replica of the webhook."""

    def __init__(self, api: FakeApi, held: Policy | None = None) -> None:
        """Judge by a policy."""
        self.api = api
        self.policy = held
        self.lines = io.StringIO()
        self._registry = CollectorRegistry()
        self.caretaker = Caretaker(
            api,
            LEASE,
            Log(self.lines),
            self._registry,
            PREFIX,
            config=lambda: CONFIG,
            policy=lambda: self.policy,
            excluded={"kube-system", "registrar"},
            now=now,
            ticks=now,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run for a while, and begin with what is found soon."""
        task = asyncio.create_task(self.caretaker.run())
        await asyncio.sleep(SOON)
        yield
        task.cancel()
        await asyncio.wait([task])

    def figures(self) -> dict[str, float]:
        """Give what is exported, but for the counter of Events."""
        text = generate_latest(self._registry).decode()
        pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        found = {name.removeprefix(f"{PREFIX}_"): float(value) for name, _, value in pairs}
        del found["events_lost"]
        return found

    def use(self, held: Policy) -> None:
        """Take another policy, as its file changes."""
        self.policy = held
        self.caretaker.policy_changed()


def events(api: FakeApi) -> list[tuple[str, str]]:
    """Give each Event's object and reason."""
    return sorted(
        (found["involvedObject"]["name"], found["reason"])
        for path, found in api.objects.items()
        if "/events/" in path
    )


def asked(api: FakeApi, *plurals: str) -> int:
    """Count the lists of these kinds."""
    return sum(verb == "list" and path.rpartition("/")[2] in plurals for verb, path in api.calls)


def put_pods(api: FakeApi) -> None:
    """Make pods of every sort, here and where nobody looks."""
    for name, made in {
        "missed": pod(),
        "carried": pod(LABEL_CARRIED),
        "fine": injected(),
        "stuck": injected("ErrImagePull"),
        "unlabelled": {**pod(), "metadata": {}},
    }.items():
        api.put(f"/api/v1/namespaces/shop/pods/{name}", made)
    for namespace in ("kube-system", "registrar"):
        api.put(f"/api/v1/namespaces/{namespace}/pods/missed", pod())


def test_pods_that_were_missed_or_do_not_start_are_counted_and_get_an_event() -> None:
    """Each says its reason by one name: in the Event, the log line and the figure."""

    async def main() -> None:
        replica = Replica(FakeApi())
        put_pods(replica.api)
        async with replica.running():
            await asyncio.sleep(60)
            figures = replica.figures()
            assert {name: value for name, value in figures.items() if value} == {
                "leading": 1,
                "injected_pods": 2,
                f'registrars{{contract="{CONTRACT_VERSION}",image="current"}}': 2,
                "injected_pods_not_started": 1,
                'missed_pods{reason="missed"}': 2,
            }
            assert events(replica.api) == [
                ("carried", "missed"),
                ("missed", "missed"),
                ("stuck", "registrar_not_started"),
            ]
            assert replica.lines.getvalue().count("reason=missed") == 2

    run(main())


def test_what_has_been_mended_is_no_longer_counted() -> None:
    """A missed pod that is gone, a registrar that has started: 0, not absent."""

    async def main() -> None:
        replica = Replica(FakeApi())
        put_pods(replica.api)
        async with replica.running():
            await asyncio.sleep(60)
            for name in ("missed", "carried"):
                replica.api.put(f"/api/v1/namespaces/shop/pods/{name}", None)
            replica.api.put("/api/v1/namespaces/shop/pods/stuck", injected())
            await asyncio.sleep(SOON)
            figures = replica.figures()
            assert figures['missed_pods{reason="missed"}'] == 0
            assert figures["injected_pods_not_started"] == 0

    run(main())


def test_only_one_replica_looks_and_only_its_figures_are_there() -> None:
    """The others have no series: a sum over replicas is right, and so is a maximum."""

    async def main() -> None:
        one = Replica(FakeApi())
        other = Replica(one.api.another())
        put_pods(one.api)
        async with one.running(), other.running():
            assert one.figures()["injected_pods"] == 2
            assert other.figures() == {"leading": 0}
            assert asked(other.api, "pods") == 0

    run(main())


def test_when_the_leader_stops_another_one_takes_over_with_figures_of_its_own() -> None:
    """The Lease is given up, nothing of the old term is exported, and no Event is written twice."""

    async def main() -> None:
        one = Replica(FakeApi())
        other = Replica(one.api.another())
        put_pods(one.api)
        async with one.running():
            pass
        async with other.running():
            assert one.figures() == {"leading": 0}
            assert other.figures()["injected_pods"] == 2
            assert events(one.api) == [("carried", "missed"), ("missed", "missed")]

    run(main())


def test_a_leader_that_cannot_renew_its_lease_exports_nothing() -> None:
    """Its figures would be old, beside those of the next one."""

    async def main() -> None:
        replica = Replica(FakeApi())
        put_pods(replica.api)
        async with replica.running():
            replica.api.fail["replace"] = ApiError(403, "Forbidden", "no")
            await asyncio.sleep(SOON)
            assert replica.figures() == {"leading": 0}
            del replica.api.fail["replace"]
            await asyncio.sleep(SOON)
            assert replica.figures()["injected_pods"] == 2

    run(main())


def test_servers_that_live_are_judged_at_the_start_and_when_the_policy_changes() -> None:
    """An Event on the Deployment that would be refused; none is said twice of one policy."""

    async def main() -> None:
        replica = Replica(FakeApi(), policy("warn"))
        replica.api.put("/apis/apps/v1/namespaces/shop/deployments/bad", deployment("--trust-remote-code"))
        replica.api.put("/apis/apps/v1/namespaces/shop/deployments/good", deployment())
        async with replica.running():
            assert replica.figures()["servers_judged"] == 2
            assert replica.figures()['servers_refused{when="now"}'] == 0
            replica.use(policy())
            await asyncio.sleep(SOON)
            assert replica.figures()['servers_refused{when="now"}'] == 1
            assert events(replica.api) == [("bad", "policy_violation")]

    run(main())


def test_without_a_policy_nothing_is_read_but_pods() -> None:
    """Nor is there anything to export of servers."""

    async def main() -> None:
        replica = Replica(FakeApi())
        async with replica.running():
            assert asked(replica.api, *JUDGED) == 0
            assert "servers_judged" not in replica.figures()

    run(main())


def test_a_quiet_hour_costs_the_api_server_one_reading_and_two_watches() -> None:
    """Workloads are read once, pods listed once and then watched, each by label."""

    async def main() -> None:
        replica = Replica(FakeApi(), policy())
        put_pods(replica.api)
        async with replica.running():
            await asyncio.sleep(3600)
        assert asked(replica.api, "deployments") == 1
        # listed by two labels: to be watched, and to be judged
        assert asked(replica.api, "pods") == 4
        assert replica.api.calls.count(("watch", "/api/v1/pods")) == 2

    run(main())


def test_kinds_that_are_not_installed_are_left_out() -> None:
    """A cluster without LeaderWorkerSet and KServe is judged all the same."""

    async def main() -> None:
        replica = Replica(FakeApi(), policy())
        for path in (
            "leaderworkerset.x-k8s.io/v1/leaderworkersets",
            "serving.kserve.io/v1beta1/inferenceservices",
        ):
            replica.api.fail[f"list /apis/{path}"] = ApiError(404, "NotFound", "no such kind")
        async with replica.running():
            assert replica.figures()["servers_judged"] == 0

    run(main())


def test_a_reading_that_fails_is_said_once_and_tried_again_with_patience() -> None:
    """Nothing is exported of what was half read; the pods are watched meanwhile."""

    async def main() -> None:
        replica = Replica(FakeApi(), policy())
        replica.api.fail["list /apis/batch/v1/jobs"] = ApiError(403, "Forbidden", "jobs is forbidden")
        async with replica.running():
            await asyncio.sleep(3600)
            assert asked(replica.api, "jobs") < 20
            assert "servers_judged" not in replica.figures()
            assert replica.lines.getvalue().count("jobs is forbidden") == 1
            assert "injected_pods" in replica.figures()
            replica.api.fail.clear()
            await asyncio.sleep(1000)
            assert replica.figures()["servers_judged"] == 0

    run(main())


def test_a_fault_of_our_own_is_said_once_and_ends_nothing_else() -> None:
    """Pods go on being watched, and servers are judged once the fault is gone."""

    async def main() -> None:
        replica = Replica(FakeApi(), cast("Policy", "no policy"))
        put_pods(replica.api)
        async with replica.running():
            await asyncio.sleep(600)
            assert replica.lines.getvalue().count("an error of our own: AttributeError") == 1
            assert replica.figures()["injected_pods"] == 2
            replica.use(policy())
            await asyncio.sleep(60)
            assert "servers_judged" in replica.figures()

    run(main())


def test_a_thousand_missed_pods_get_an_event_each() -> None:
    """Told no faster than Events are written: none is lost."""

    async def main() -> None:
        replica = Replica(FakeApi())
        for number in range(1000):
            replica.api.put(f"/api/v1/namespaces/shop/pods/p{number:04}", pod())
        async with replica.running():
            await asyncio.sleep(200)
            assert len(events(replica.api)) == 1000

    run(main())

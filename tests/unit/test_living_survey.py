"""When living servers are read and judged: as seldom as can be, and in time."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

from prometheus_client import CollectorRegistry

from tests.standins.kube import FakeApi
from tests.virtual_time import now, run
from webhook.inject import Injection
from webhook.kube.api import ApiError
from webhook.kube.events import Events
from webhook.living.figures import Judged
from webhook.living.metrics import LivingMetrics
from webhook.living.server_survey import ServerSurvey
from webhook.log import Log
from webhook.policy.document import parse
from webhook.policy.policy import Policy
from webhook.policy.table import RULES

JSON = dict[str, Any]
JANUARY = 1_767_225_600.0  # 2026-01-01
DAY = 86_400.0
FIRST = "/api/v1/namespaces"  # what every reading begins with


def policy(expires: str = "", rules: JSON | None = None) -> Policy:
    """Give a policy that wants no foreign code, perhaps with an exception until the end of a date."""
    exception = {
        "id": "legacy",
        "rules": ["code.trustRemoteCode"],
        "match": {"namespace": "shop"},
        "reason": "it is needed",
        "owner": "team-a",
        "expires": expires,
    }
    text = {
        "apiVersion": "policy.litellm-registrar.io/v1",
        "kind": "ModelServerPolicy",
        "metadata": {"name": "t"},
        "spec": {
            "defaults": {"mode": "enforce"},
            "rules": {"code": {"trustRemoteCode": "deny"}} if rules is None else rules,
            "exceptions": [exception] if expires else [],
        },
    }
    return parse(json.dumps(text), RULES)


def pod(*args: str, labelled: bool = True) -> JSON:
    """Give a vLLM pod."""
    server = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["Qwen/Qwen3-8B", *args]}
    labels = {"litellm-registrar.io/server": "vllm"} if labelled else {}
    return {"metadata": {"labels": labels}, "spec": {"containers": [server]}, "status": {}}


class Bench:
    """A survey on the first of January, and what came of it."""

    def __init__(self, held: Policy) -> None:
        began = now()
        self.api = FakeApi()
        self.lines = io.StringIO()
        log = Log(self.lines)
        self.events = Events(self.api, "webhook", log)
        self.metrics = LivingMetrics(CollectorRegistry(), "x", lambda: True, lambda: self.events.lost)
        self.survey = ServerSurvey(
            self.api,
            config=lambda: Injection(cluster="c", image="registry.example.com/registrar:1"),
            policy=lambda: held,
            excluded={"kube-system"},
            log=log,
            metrics=self.metrics,
            events=self.events,
            now=lambda: JANUARY + now() - began,
        )

    def deploy(self, name: str, *args: str) -> None:
        """Make a Deployment of such pods."""
        made = pod(*args)
        body = {"metadata": {}, "spec": {"template": {key: made[key] for key in ("metadata", "spec")}}}
        self.api.put(f"/apis/apps/v1/namespaces/shop/deployments/{name}", body)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Judge for a while."""
        tasks = [asyncio.create_task(part.run()) for part in (self.survey, self.events)]
        await asyncio.sleep(60)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    @property
    def judged(self) -> Judged:
        """What is exported."""
        assert self.metrics.judged is not None
        return self.metrics.judged

    def said(self) -> list[tuple[str, str]]:
        """Give each Event's object and reason."""
        found = (found for path, found in self.api.objects.items() if "/events/" in path)
        return [(one["involvedObject"]["name"], one["reason"]) for one in found]

    def count(self) -> int:
        """Count how often it was said that an exception ends."""
        found = (found for path, found in self.api.objects.items() if "/events/" in path)
        return sum(one["count"] for one in found if one["reason"] == "exception_ends")

    def reads(self) -> int:
        """Count the readings."""
        return self.api.calls.count(("list", FIRST))


def test_servers_are_judged_before_an_exception_ends_and_when_it_does() -> None:
    """Two weeks ahead its owner is told, and again a day ahead; at the end it is a refusal."""

    async def main() -> None:
        bench = Bench(policy(expires="2026-01-30"))
        bench.deploy("d", "--trust-remote-code")
        async with bench.running():
            await asyncio.sleep(15 * DAY)
            assert (bench.reads(), bench.said()) == (1, [])
            await asyncio.sleep(DAY)
            assert (bench.judged.refused_later, bench.said()) == (1, [("d", "exception_ends")])
            await asyncio.sleep(12 * DAY)
            assert bench.count() == 1
            await asyncio.sleep(DAY)
            assert bench.count() == 2
            await asyncio.sleep(DAY)
            assert (bench.judged.refused_now, bench.judged.refused_later) == (1, 0)
            assert bench.said() == [("d", "exception_ends"), ("d", "policy_violation")]

    run(main())


def test_whoever_mends_a_server_sees_the_figure_fall_within_the_hour() -> None:
    """An alarm ends with what it was about; once nothing is refused nothing is read any more."""

    async def main() -> None:
        bench = Bench(policy())
        bench.deploy("d", "--trust-remote-code")
        async with bench.running():
            assert bench.judged.refused_now == 1
            bench.deploy("d")
            await asyncio.sleep(3600)
            assert bench.judged.refused_now == 0
            await asyncio.sleep(30 * DAY)
            assert bench.reads() == 2

    run(main())


def test_the_policy_that_changes_while_all_is_judged_is_judged_by_next() -> None:
    """No change is lost between two looks."""

    async def main() -> None:
        bench = Bench(policy())
        async with bench.running():
            bench.survey.policy_changed()
            bench.survey.policy_changed()
            await asyncio.sleep(1)
            assert bench.reads() == 2

    run(main())


def test_pods_without_the_label_are_read_only_where_namespaces_ask_for_it() -> None:
    """The rest of a cluster's pods is nobody's business."""

    async def main() -> None:
        bench = Bench(policy(rules={"scope": {"requireLabel": "deny"}}))
        bench.api.put("/api/v1/namespaces/open", {"metadata": {}})
        bench.api.put(
            "/api/v1/namespaces/closed",
            {"metadata": {"labels": {"litellm-registrar.io/require-label": "true"}}},
        )
        for namespace in ("open", "closed"):
            bench.api.put(f"/api/v1/namespaces/{namespace}/pods/p", pod(labelled=False))
        async with bench.running():
            assert bench.judged.refused_now == 1
            assert ("list", "/api/v1/namespaces/closed/pods") in bench.api.calls
            assert ("list", "/api/v1/namespaces/open/pods") not in bench.api.calls

    run(main())


def test_a_reading_that_fails_is_said_once_and_tried_again_with_patience() -> None:
    """What was known counts until then."""

    async def main() -> None:
        bench = Bench(policy())
        bench.deploy("d")
        async with bench.running():
            bench.api.fail["list /apis/batch/v1/jobs"] = ApiError(403, "Forbidden", "jobs is forbidden")
            bench.survey.policy_changed()
            await asyncio.sleep(3600)
            assert 3 < bench.reads() < 20
            assert bench.judged.at < JANUARY + 60
            assert bench.lines.getvalue().count("jobs is forbidden") == 1
            bench.api.fail.clear()
            await asyncio.sleep(1000)
            assert bench.judged.at > JANUARY + 3600

    run(main())


def test_many_refused_servers_get_an_event_each() -> None:
    """Told no faster than Events are written: none is lost."""

    async def main() -> None:
        bench = Bench(policy())
        for number in range(300):
            bench.deploy(f"d{number}", "--trust-remote-code")
        async with bench.running():
            await asyncio.sleep(60)
            assert len(bench.said()) == 300
            assert bench.events.lost == 0

    run(main())

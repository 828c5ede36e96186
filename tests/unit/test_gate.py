"""What has failurePolicy Fail is in force once the API server reaches the webhook, and not before."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import run
from webhook.gate import Gate
from webhook.held_rules import ANNOTATION, SELFTEST, AnnotationError, held_back, ops, selftest_way, unlike
from webhook.kube.api import ApiError
from webhook.log import Log
from webhook.tls.publication import webhook_configurations

MUTATING, VALIDATING = (target.path for target in webhook_configurations(["admission"]))
PODS = "server.pods.litellm-registrar.io"
RULES = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]
# What the API server makes of it.
STORED = [{**RULES[0], "scope": "*"}]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/shop/leases"
REACHED = ApiError(
    403,
    "Forbidden",
    'admission webhook "selftest.litellm-registrar.io" denied the request: self_test: the API server reaches',
)


def webhook(name: str = PODS, ca: str = "b25l", **more: Any) -> dict[str, Any]:
    """Give a webhook as a configuration has it."""
    service = {"namespace": "shop", "name": "registrar-webhook", "path": "/validate", "port": 443}
    return {"name": name, "clientConfig": {"service": service, "caBundle": ca}, **more}


def configuration(*webhooks: dict[str, Any], wanted: object = None) -> dict[str, Any]:
    """Give a configuration, by default with the rules of one webhook held back."""
    text = wanted if isinstance(wanted, str) else json.dumps(wanted or {PODS: RULES})
    return {"metadata": {"annotations": {ANNOTATION: text}}, "webhooks": [*webhooks]}


def selftest(ca: str = "b25l") -> dict[str, Any]:
    """Give the webhook that shows whether we are reached."""
    return webhook(SELFTEST, ca, rules=STORED)


class Bench:
    """A gate and its cluster, whose API server reaches the webhook, or does not."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.lines = io.StringIO()
        self.held: list[int] = []
        self.gate = Gate(self.api, ["admission"], "shop", Log(self.lines), show=self.held.append)
        self.reached(True)

    def reached(self, yes: bool) -> None:  # noqa: FBT001 - the one argument
        """Have the API server reach the webhook from now on, or not."""
        if yes:
            self.api.fail["rehearse"] = REACHED
        else:
            self.api.fail.pop("rehearse", None)

    def rules(self, path: str = VALIDATING) -> list[Any]:
        """Give the rules of the first webhook of a configuration."""
        rules: list[Any] = self.api.objects[path]["webhooks"][0].get("rules", [])
        return rules

    def writes(self) -> int:
        """Count the patches, sent or refused."""
        return sum(verb == "patch" for verb, _ in self.api.calls)

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return self.lines.getvalue().count(text)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the gate for a while."""
        task = asyncio.create_task(self.gate.run())
        yield
        task.cancel()
        await asyncio.wait([task])


def test_the_rules_held_back_are_those_of_the_annotation_that_a_webhook_does_not_have() -> None:
    """A webhook that has its rules, or is not there, needs none; the API server's defaults are equal."""
    assert held_back(configuration(webhook())) == {PODS: RULES}
    assert held_back(configuration(webhook(rules=[{"operations": ["*"]}]))) == {PODS: RULES}
    assert held_back(configuration(webhook(rules=STORED))) == {}
    assert held_back(configuration(webhook("other.litellm-registrar.io"))) == {}
    assert held_back({"metadata": {}, "webhooks": [webhook()]}) == {}
    assert held_back(None) == {}


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({PODS: "pods"})])
def test_an_annotation_that_is_no_object_of_lists_is_refused(text: str) -> None:
    """Nothing is guessed of an annotation that somebody has changed by hand."""
    with pytest.raises(AnnotationError, match=ANNOTATION):
        held_back(configuration(webhook(), wanted=text))


def test_the_patch_gives_rules_by_name_and_only_to_the_version_that_was_read() -> None:
    """Where a webhook stands in the list does not matter, and its neighbours are left alone."""
    found = configuration(webhook("first.example.com"), webhook())
    found["metadata"]["resourceVersion"] = "7"
    assert ops(found) == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/webhooks/1/rules", "value": RULES},
    ]


def test_what_is_called_by_another_way_than_was_tried_is_told() -> None:
    """Another caBundle or Service may fail where the tried one works; the path may differ."""
    way = selftest_way(configuration(selftest()))
    assert way is not None
    assert unlike(configuration(webhook()), way) == []
    assert unlike(configuration(webhook(ca="dHdv")), way) == [PODS]
    elsewhere = webhook()
    elsewhere["clientConfig"]["service"]["name"] = "another"
    assert unlike(configuration(elsewhere), way) == [PODS]


def test_rules_are_given_once_the_api_server_has_reached_the_webhook_three_times() -> None:
    """Both configurations get theirs, what is tried is a dry run, and then there is nothing more to do."""

    async def main() -> None:
        bench = Bench()
        bench.api.put(MUTATING, configuration(webhook()))
        bench.api.put(VALIDATING, configuration(webhook(), selftest()))
        async with bench.running():
            await asyncio.sleep(1)
            assert (bench.rules(), bench.held[-1]) == ([], 2)
            await asyncio.sleep(600)
        assert (bench.rules(), bench.rules(MUTATING), bench.held[-1]) == (RULES, RULES, 0)
        assert bench.writes() == 2
        assert bench.api.calls.count(("rehearse", LEASES)) == 3
        assert not any(verb == "create" for verb, _ in bench.api.calls)

    run(main())


def test_nothing_is_in_force_while_the_webhook_is_not_reached() -> None:
    """An image that cannot be pulled, a firewall: it is said once, and rules come when it is over."""

    async def main() -> None:
        bench = Bench()
        bench.reached(False)
        bench.api.put(VALIDATING, configuration(webhook(), selftest()))
        async with bench.running():
            await asyncio.sleep(3600)
            assert (bench.rules(), bench.writes(), bench.held[-1]) == ([], 0, 1)
            assert bench.said("does not reach this webhook") == 1
            bench.reached(True)
            await asyncio.sleep(60)
        assert bench.rules() == RULES

    run(main())


def test_a_webhook_that_becomes_ready_first_complains_of_nothing() -> None:
    """Between its start and the Service's first way to it some seconds pass, at every install."""

    async def main() -> None:
        bench = Bench()
        bench.reached(False)
        bench.api.put(VALIDATING, configuration(webhook(), selftest()))
        async with bench.running():
            await asyncio.sleep(8)
            bench.reached(True)
            await asyncio.sleep(15)
        assert (bench.rules(), bench.said("PROBLEM")) == (RULES, 0)

    run(main())


def test_a_refusal_for_another_reason_is_no_sign_of_being_reached() -> None:
    """Rights that are missing, or an API server that is away, are said as what they are."""

    async def main() -> None:
        bench = Bench()
        bench.api.fail["rehearse"] = ApiError(403, "Forbidden", "leases is forbidden")
        bench.api.put(VALIDATING, configuration(webhook(), selftest()))
        async with bench.running():
            await asyncio.sleep(60)
            assert bench.said("leases is forbidden") == 1
            bench.api.fail["rehearse"] = UNREACHABLE
            await asyncio.sleep(60)
        assert (bench.rules(), bench.said("connection refused")) == ([], 1)

    run(main())


def test_a_webhook_whose_bundle_is_not_the_tried_one_waits() -> None:
    """The rules come when the same bundle is published there too."""

    async def main() -> None:
        bench = Bench()
        bench.api.put(MUTATING, configuration(webhook(ca="")))
        bench.api.put(VALIDATING, configuration(webhook(), selftest()))
        async with bench.running():
            await asyncio.sleep(60)
            assert (bench.rules(), bench.rules(MUTATING)) == ([], [])
            assert bench.said(f"{PODS}: the address or the caBundle is not (yet) that of {SELFTEST}") == 1
            bench.api.put(MUTATING, configuration(webhook()))
            await asyncio.sleep(60)
        assert (bench.rules(), bench.rules(MUTATING)) == (RULES, RULES)

    run(main())


def test_without_the_webhook_that_tells_nothing_is_given() -> None:
    """A configuration that lacks it was changed by hand, or is of another version."""

    async def main() -> None:
        bench = Bench()
        bench.api.put(VALIDATING, configuration(webhook()))
        async with bench.running():
            await asyncio.sleep(60)
        assert (bench.rules(), bench.said(f"no configuration has the webhook {SELFTEST}")) == ([], 1)

    run(main())


def test_rules_that_an_upgrade_takes_away_or_changes_are_given_again() -> None:
    """Whoever installs writes the annotation; what stands there then is what counts."""

    async def main() -> None:
        bench = Bench()
        bench.api.put(VALIDATING, configuration(webhook(), selftest()))
        async with bench.running():
            await asyncio.sleep(60)
            other = [{**RULES[0], "operations": ["CREATE", "UPDATE"]}]
            bench.api.put(VALIDATING, configuration(webhook(), selftest(), wanted={PODS: other}))
            await asyncio.sleep(60)
            assert bench.rules() == other

    run(main())


def test_another_hand_that_takes_them_away_again_and_again_is_written_over_less_and_less_often() -> None:
    """Whoever fights for the configuration does not cost the API server a write each second."""

    async def main() -> None:
        bench = Bench()
        async with bench.running():
            for _ in range(100):
                bench.api.put(VALIDATING, configuration(webhook(), selftest()))
                await asyncio.sleep(6)
        assert 5 <= bench.writes() <= 15

    run(main())


def test_two_replicas_write_what_either_would_have_written() -> None:
    """Which one comes first does not matter, and the other one has nothing to complain of."""

    async def main() -> None:
        one, two = Bench(), Bench()
        two.api = one.api.another()
        two.gate = Gate(two.api, ["admission"], "shop", Log(two.lines), show=two.held.append)
        two.reached(True)
        one.api.put(VALIDATING, configuration(webhook(), selftest()))
        async with one.running(), two.running():
            await asyncio.sleep(600)
        assert (one.rules(), one.held[-1], two.held[-1]) == (RULES, 0, 0)
        assert one.said("PROBLEM") == two.said("PROBLEM") == 0

    run(main())

"""The keeper of own certificates: two replicas, a Kubernetes in memory, an hour in a moment."""

import asyncio
import base64
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from sidecar.contract import LogFormat
from tests.certificates import make_ca, make_leaf
from tests.handshakes import connect, trusting
from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import now as ticks
from tests.virtual_time import run
from webhook.kube.api import ApiError
from webhook.log import Log
from webhook.tls import certificates, own
from webhook.tls.certificates import CertificateError
from webhook.tls.issue import Pair, new_ca, new_leaf
from webhook.tls.live import Live
from webhook.tls.metrics import OwnMetrics
from webhook.tls.own import Keeper, Own
from webhook.tls.performing import Kind
from webhook.tls.publication import ConfigMapKey, webhook_configurations
from webhook.tls.rotation import Times
from webhook.tls.secret import CHANGE_CA

SECRET: Final = "/api/v1/namespaces/shop/secrets/webhook-tls"
CONFIGURATION: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/litellm-registrar"
NAMES: Final = ("webhook.shop.svc", "127.0.0.1")
# What stands for two weeks.
SPAN: Final = 20.0
TIMES: Final = Times(ca=100 * SPAN, leaf=6 * SPAN, overlap=SPAN, skew=1, backdated=5)
OWN: Final = Own(
    namespace="shop",
    secret="webhook-tls",
    names=NAMES,
    kind=Kind("test", crosses=False),
    targets=webhook_configurations(["litellm-registrar"])[:1],  # one of them is enough here
    times=TIMES,
)
BUNDLE: Final = "/api/v1/namespaces/shop/configmaps/broker-ca"
BROKER: Final = replace(
    OWN, kind=Kind("test", crosses=True), targets=[ConfigMapKey(namespace="shop", name="broker-ca")]
)


def now() -> float:
    """Give the time of day, which goes as the loop's clock does."""
    return 1_800_000_000 + ticks()


class ReplicaProcess:
    """One replica: its own way to the API server, its listener, what it says and shows."""

    def __init__(self, api: FakeApi) -> None:
        self.api = FakeApi()
        self.api.objects = api.objects  # the same cluster, faults of its own
        self.live = Live()
        self._lines = io.StringIO()
        self._registry = CollectorRegistry()
        log, metrics = Log(self._lines, LogFormat.JSON), OwnMetrics(self._registry, "x")
        keeper = Keeper(self.api, OWN, self.live, log, metrics, now=now, ticks=ticks)
        self.task = asyncio.create_task(keeper.run())

    async def stop(self) -> None:
        """End it as a stop does."""
        self.task.cancel()
        await asyncio.wait([self.task])

    def shown(self, name: str, **labels: str) -> float | None:
        """Give a metric."""
        return self._registry.get_sample_value(f"x_tls_{name}", labels)

    @property
    def text(self) -> str:
        """All that it has logged."""
        return self._lines.getvalue()

    def said(self, event: str) -> list[str]:
        """Give the sentences of a kind."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line["message"] for line in lines if line["event"] == event]

    def reasons(self) -> list[str]:
        """Give why the Secret was written, each time by this replica."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line["reason"] for line in lines if "reason" in line]

    def serves(self) -> bool:
        """Tell whether there is anything that it serves."""
        return self.live.pair is not None

    @property
    def serial(self) -> str:
        """What is served now, by its fingerprint."""
        assert self.live.pair is not None
        return certificates.read(self.live.pair.certificate).fingerprint


class World:
    """Two replicas over one cluster, and an eye on what clients see."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.api.put(CONFIGURATION, {"metadata": {}, "webhooks": [webhook("pods.litellm-registrar.io")]})
        self.one, self.other = ReplicaProcess(self.api), ReplicaProcess(self.api)
        self.refused: list[str] = []
        self._eye = asyncio.create_task(self._look())

    @property
    def leader(self) -> ReplicaProcess:
        """The replica that leads."""
        (leader,) = [one for one in (self.one, self.other) if one.shown("leading")]
        return leader

    @property
    def published(self) -> bytes:
        """What the webhook configuration says."""
        found = self.api.objects[CONFIGURATION]["webhooks"][0]["clientConfig"].get("caBundle", "")
        return base64.b64decode(found)

    async def _look(self) -> None:
        """Do twice a second what an API server does in each handshake."""
        while True:
            await asyncio.sleep(0.5)
            for replica in (self.one, self.other):
                if replica.live.pair is not None and not replica.task.done():
                    try:
                        certificates.verify(replica.live.pair.certificate, self.published, now(), NAMES)
                    except CertificateError as error:
                        self.refused.append(f"{ticks():.2f} {error}")

    def edit(self, **data: bytes | None) -> None:
        """Change keys of the Secret by hand; None takes one away."""
        found = self.api.objects[SECRET]
        changed = {key.replace("_", "."): value for key, value in data.items()}
        kept = {key: value for key, value in found["data"].items() if key not in changed}
        new = {key: base64.b64encode(value).decode() for key, value in changed.items() if value is not None}
        self.api.put(SECRET, {**found, "data": kept | new})

    async def end(self) -> None:
        """Stop all of it."""
        await self.one.stop()
        await self.other.stop()
        self._eye.cancel()
        await asyncio.wait([self._eye])


def webhook(name: str) -> dict[str, Any]:
    """Give one webhook of a configuration."""
    return {"name": name, "clientConfig": {"url": "https://127.0.0.1:1/mutate"}}


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Give two replicas that serve, with a certificate just made."""
    it = World()
    try:
        await asyncio.sleep(10)
        yield it
    finally:
        await it.end()


def test_from_nothing_to_a_certificate_that_both_replicas_serve() -> None:
    """A CA is made, published, and only then a certificate; nobody was refused in between."""

    async def main() -> None:
        async with world() as it:
            assert it.one.serial == it.other.serial
            assert it.leader.reasons() == ["no_ca", "publication", "no_leaf"]
            assert it.refused == []
            for replica in (it.one, it.other):
                assert replica.shown("leaf_verifies") == replica.shown("bundle_published") == 1
                assert replica.shown("not_after_seconds", certificate="leaf") == replica.live.ends
                ends = replica.shown("not_after_seconds", certificate="ca")
                assert ends is not None
                assert 99 * SPAN < ends - now() < 100 * SPAN
            assert it.other.said("problem") == it.one.said("problem") == []

    run(main())


def test_a_leaf_is_renewed_at_two_thirds_and_no_client_is_refused() -> None:
    """Over some renewals both replicas serve what verifies, and the same."""

    async def main() -> None:
        async with world() as it:
            served = set()
            for _ in range(12 * 4):
                await asyncio.sleep(SPAN / 4)
                served.add(it.one.serial)
            assert set(it.leader.reasons()[3:]) == {"leaf_due"}
            assert len(served) == 1 + len(it.leader.reasons()[3:]) >= 3
            assert it.one.serial == it.other.serial
            assert it.refused == []
            assert certificates.bundle(it.published).keys() == {authority(it)}

    run(main())


def authority(it: World) -> str:
    """Give the CA that signs, by its fingerprint."""
    found = base64.b64decode(it.api.objects[SECRET]["data"]["ca.crt"])
    return certificates.read(found).fingerprint


def test_a_ca_change_that_is_asked_for_overlaps() -> None:
    """The new CA is published first, signs after the overlap; the old one goes when its leaves have."""

    async def main() -> None:
        async with world() as it:
            old = authority(it)
            found = it.api.objects[SECRET]
            it.api.put(SECRET, {**found, "metadata": {**found["metadata"], "annotations": {CHANGE_CA: "x"}}})
            await asyncio.sleep(10)
            assert "annotations" not in it.api.objects[SECRET]["metadata"]
            assert len(certificates.bundle(it.published)) == 2
            assert authority(it) == old
            before = it.one.serial
            await asyncio.sleep(SPAN)
            assert (authority(it) == old, it.one.serial == before) == (False, False)
            assert old in certificates.bundle(it.published)
            await asyncio.sleep(7 * SPAN)
            assert certificates.bundle(it.published).keys() == {authority(it)}
            assert it.refused == []

    run(main())


def test_another_replica_leads_when_the_leader_stops() -> None:
    """It renews from then on, and nobody is refused."""

    async def main() -> None:
        async with world() as it:
            leader, other = it.leader, it.other if it.leader is it.one else it.one
            before = other.serial
            await leader.stop()
            await asyncio.sleep(5)
            assert other.shown("leading")
            await asyncio.sleep(5 * SPAN)
            assert other.serial != before
            assert other.reasons() == ["leaf_due"]
            assert it.refused == []

    run(main())


def test_a_secret_that_is_deleted_is_made_anew_while_the_old_leaf_is_served() -> None:
    """What is published stays, a new CA joins it, and the certificate changes when that is published."""

    async def main() -> None:
        async with world() as it:
            old, before = authority(it), it.one.serial
            it.api.put(SECRET, None)
            await asyncio.sleep(20)
            assert it.refused == []
            assert (it.one.serial == before, it.one.serial == it.other.serial) == (False, True)
            assert {old, authority(it)} == certificates.bundle(it.published).keys()
            assert it.one.said("problem") == [
                "The Secret of certificates is gone; what it held is served on."
            ]
            await asyncio.sleep(7 * SPAN)
            assert certificates.bundle(it.published).keys() == {authority(it)}
            assert it.refused == []

    run(main())


def test_a_half_written_secret_is_not_served() -> None:
    """A leaf without its key is said and counted, the last good one served on, and a new one made."""

    async def main() -> None:
        async with world() as it:
            before = it.one.serial
            it.edit(tls_key=make_leaf(make_ca(), ["127.0.0.1"]).key)
            await asyncio.sleep(0.3)
            assert it.one.serial == before
            await asyncio.sleep(20)
            assert it.one.serial == it.other.serial != before
            assert it.leader.reasons()[-1] == "no_leaf"
            for replica in (it.one, it.other):
                assert replica.said("problem")[0].startswith(
                    "Of the Secret of certificates this cannot be used: tls.crt, tls.key: "
                )
                assert replica.shown("bad_pairs_total") == 1
            assert it.refused == []

    run(main())


def test_a_foreign_leaf_in_the_secret_is_not_served() -> None:
    """A pair of another CA belongs together, but no client would take it."""

    async def main() -> None:
        async with world() as it:
            foreign = make_leaf(make_ca(), list(NAMES))
            it.edit(tls_crt=foreign.certificate, tls_key=foreign.key)
            await asyncio.sleep(20)
            assert it.one.live.pair != Pair(foreign.certificate, foreign.key)
            assert it.one.serial == it.other.serial
            (problem,) = it.one.said("problem")
            assert problem == (
                "The Secret's certificate cannot be served, the last good one is served on: the certificate "
                "does not verify against the Secret's own bundle."
            )
            assert it.refused == []

    run(main())


def test_someones_own_ca_with_its_leaf_is_served_once_it_is_published() -> None:
    """Both verify against the Secret; clients go by what is published, which takes its time here."""

    async def main() -> None:
        async with world() as it:
            before = it.one.serial
            ca = new_ca("someone", now() - 5, now() + 99 * SPAN)
            leaf = new_leaf(ca, NAMES, now() - 5, now() + 6 * SPAN)
            it.leader.api.fail["patch"] = UNREACHABLE
            it.edit(ca_crt=ca.certificate, ca_key=ca.key, tls_crt=leaf.certificate, tls_key=leaf.key)
            await asyncio.sleep(20)
            assert it.one.serial == it.other.serial == before
            it.leader.api.fail.clear()
            await asyncio.sleep(20)
            assert it.one.live.pair == it.other.live.pair == leaf
            assert it.refused == []

    run(main())


def test_a_wiped_bundle_is_loud_and_put_back() -> None:
    """Each replica says that clients refuse it, once, shows it, and says when that is over."""

    async def main() -> None:
        async with world() as it:
            it.leader.api.fail["patch"] = UNREACHABLE
            it.api.put(CONFIGURATION, {"metadata": {}, "webhooks": [webhook("pods.litellm-registrar.io")]})
            await asyncio.sleep(60)
            for replica in (it.one, it.other):
                assert (replica.shown("leaf_verifies"), replica.shown("bundle_published")) == (0, 0)
                assert len([line for line in replica.said("problem") if "clients refuse it" in line]) == 1
            it.leader.api.fail.clear()
            await asyncio.sleep(10)
            for replica in (it.one, it.other):
                assert (replica.shown("leaf_verifies"), replica.shown("bundle_published")) == (1, 1)
                assert [line for line in replica.said("tls") if "verifies again" in line]

    run(main())


def test_an_alarm_does_not_end_because_the_api_server_is_away() -> None:
    """What was published last counts until it can be read again."""

    async def main() -> None:
        async with world() as it:
            for replica in (it.one, it.other):
                replica.api.fail["patch"] = UNREACHABLE
            it.api.put(CONFIGURATION, {"metadata": {}, "webhooks": [webhook("pods.litellm-registrar.io")]})
            await asyncio.sleep(10)
            for replica in (it.one, it.other):
                replica.api.fail["get"] = UNREACHABLE
            await asyncio.sleep(30)
            for replica in (it.one, it.other):
                assert replica.shown("leaf_verifies") == 0
                assert not [line for line in replica.said("tls") if "verifies again" in line]

    run(main())


def test_what_clients_refuse_is_said_again_every_ten_minutes() -> None:
    """One line may be overlooked."""

    async def main() -> None:
        async with world() as it:
            for replica in (it.one, it.other):
                replica.api.fail["patch"] = ApiError(403, "Forbidden", "no right")
            it.api.put(CONFIGURATION, {"metadata": {}, "webhooks": [webhook("pods.litellm-registrar.io")]})
            await asyncio.sleep(630)
            for replica in (it.one, it.other):
                assert len([line for line in replica.said("problem") if "clients refuse it" in line]) == 2

    run(main())


def test_without_an_api_server_at_the_start_it_waits_and_says_so() -> None:
    """Nothing is served until it answers; then all goes its way."""

    async def main() -> None:
        api = FakeApi()
        replica = ReplicaProcess(api)
        replica.api.fail[""] = UNREACHABLE
        await asyncio.sleep(60)
        assert not replica.serves()
        said = replica.said("problem")
        assert "There is no certificate to serve yet; not ready until there is." in said
        assert any("webhook-tls cannot be read" in line for line in said)
        assert len(said) == len(set(said))
        replica.api.fail.clear()
        await asyncio.sleep(60)
        assert replica.serves()
        await replica.stop()

    run(main())


def test_an_api_server_that_goes_away_ends_no_serving() -> None:
    """What was served is served on; when it is back, what was due meanwhile is done."""

    async def main() -> None:
        async with world() as it:
            before = it.one.serial
            for replica in (it.one, it.other):
                replica.api.fail[""] = UNREACHABLE
            await asyncio.sleep(5 * SPAN)
            assert it.one.serial == it.other.serial == before
            for replica in (it.one, it.other):
                replica.api.fail.clear()
            await asyncio.sleep(60)
            assert it.one.serial == it.other.serial != before
            assert it.refused == []

    run(main())


def test_a_secret_that_cannot_be_written_is_said_once_until_it_can() -> None:
    """The missing right is named, nothing else stops."""

    async def main() -> None:
        async with world() as it:
            for replica in (it.one, it.other):
                replica.api.fail[f"replace {SECRET}"] = ApiError(403, "Forbidden", "no right to update")
            before, leader = it.one.serial, it.leader
            await asyncio.sleep(4.5 * SPAN)
            (problem,) = leader.said("problem")
            assert "The Secret of certificates cannot be written" in problem
            assert "no right to update" in problem
            assert it.one.serial == it.other.serial == before
            for replica in (it.one, it.other):
                replica.api.fail.clear()
            await asyncio.sleep(10)
            assert it.one.serial == it.other.serial != before
            assert it.refused == []

    run(main())


def test_a_secret_that_cert_manager_fills_is_left_alone() -> None:
    """Two hands would undo each other's work for ever; the leader says once whose Secret it is."""

    async def main() -> None:
        async with world() as it:
            found = it.api.objects[SECRET]
            marked = {**found["metadata"], "annotations": {"cert-manager.io/certificate-name": "webhook"}}
            it.api.put(SECRET, {**found, "metadata": marked})
            version = it.api.objects[SECRET]["metadata"]["resourceVersion"]
            await asyncio.sleep(5 * SPAN)
            assert it.api.objects[SECRET]["metadata"]["resourceVersion"] == version
            (problem,) = it.leader.said("problem")
            assert "filled by cert-manager, for its Certificate webhook" in problem
            it.api.put(SECRET, {**it.api.objects[SECRET], "metadata": {}})
            await asyncio.sleep(10)
            assert it.leader.reasons()[-1] == "leaf_due"
            assert it.refused == []

    run(main())


def test_a_client_of_two_ca_changes_ago_still_takes_a_broker() -> None:
    """It knows only the bundle of then; cross certificates lead OpenSSL from today's leaf to it."""

    async def main() -> None:
        api, live = FakeApi(), Live()
        # OpenSSL goes by the machine's clock: this ends now
        began = time.time() - ticks() - 19 * SPAN
        keeper = Keeper(
            api,
            BROKER,
            live,
            Log(io.StringIO()),
            OwnMetrics(CollectorRegistry(), "x"),
            now=lambda: began + ticks(),
            ticks=ticks,
        )
        task = asyncio.create_task(keeper.run())
        await asyncio.sleep(10)
        then = api.objects[BUNDLE]["data"]["ca-bundle.crt"]
        for _ in range(2):
            found = api.objects[SECRET]
            api.put(SECRET, {**found, "metadata": {**found["metadata"], "annotations": {CHANGE_CA: "x"}}})
            await asyncio.sleep(9 * SPAN)
        today = api.objects[BUNDLE]["data"]["ca-bundle.crt"]
        assert not certificates.bundle(today.encode()).keys() & certificates.bundle(then.encode()).keys()
        for bundle in (then, today):
            assert connect(live.context, trusting(bundle.encode())).carries(b"a call")
        task.cancel()
        await asyncio.wait([task])

    run(main())


def test_a_fault_of_our_own_ends_no_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, with where it comes from, and all goes on when it is over."""

    def broken(*_: object) -> Any:
        raise ZeroDivisionError

    async def main() -> None:
        async with world() as it:
            before = it.one.serial
            with monkeypatch.context() as fault:
                fault.setattr(own, "decide", broken)
                await asyncio.sleep(5 * SPAN)
            for replica in (it.one, it.other):
                (problem,) = replica.said("problem")
                assert problem.endswith("an error of our own: ZeroDivisionError.")
            await asyncio.sleep(10)
            assert it.one.serial == it.other.serial != before

    run(main())


def test_no_key_is_in_any_line() -> None:
    """Whatever is wrong with the Secret, what is said of it holds nothing of a key."""

    async def main() -> None:
        async with world() as it:
            keys = [
                line
                for key in ("ca.key", "tls.key")
                for line in base64.b64decode(it.api.objects[SECRET]["data"][key]).decode().splitlines()
            ]
            it.edit(ca_key=b"-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n")
            await asyncio.sleep(10)
            it.edit(tls_crt=it.api.objects[SECRET]["data"]["tls.key"].encode(), rotation_json=b"{")
            await asyncio.sleep(10)
            text = it.one.text + it.other.text
            assert "cannot be used" in text
            assert not [line for line in keys if line in text]
            assert "PRIVATE KEY" not in text
            assert "bm90IGEga2V5" not in text
            assert it.refused == []

    run(main())

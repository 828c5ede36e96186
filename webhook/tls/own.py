"""The keeper of own certificates: the Secret, the machine, the publication and the listener of one process.

Every replica serves from the Secret that it sees, and looks whether clients take what it serves. Of all
replicas the leader makes, renews, publishes and gives up, as `rotation.decide` says. Two that lead at once do
no harm: what each writes is guarded by what it has read.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from webhook.certificate_settings import BACKDATED, CertificateSettings
from webhook.kube.api import JSON, Api, ApiError
from webhook.kube.follow import Followed
from webhook.kube.leader import Leader, Timing, identity, since_boot
from webhook.log import Log, traced
from webhook.tls import certificates, secret
from webhook.tls.certificates import CertificateError
from webhook.tls.live import Live
from webhook.tls.metrics import OwnMetrics
from webhook.tls.performing import Kind, performed
from webhook.tls.publication import Target
from webhook.tls.publish import Published, Publisher
from webhook.tls.replica import Replica
from webhook.tls.rotation import Step, Times, Waiting, Why, Write, decide
from webhook.tls.secret import Held

# Seconds between two looks when nothing rings, and at the least when something rings all the time.
_LOOK_EVERY: Final = 3.0
_LOOK_AT_MOST_EVERY: Final = 0.2
_CONFLICT: Final = 409

_SAID: Final[Mapping[Why, str]] = {
    Why.KEPT: "Certificates that are published stay so until nothing signed by them can be alive",
    Why.NO_CA: "There was no CA that could sign: a new one is made",
    Why.CA_ENDED: "The CA has ended: a new one is made",
    Why.CA_DUE: "Two thirds of the CA's life are over: the next one is made, and published first",
    Why.CA_ASKED_FOR: "Another CA is asked for: the next one is made, and published first",
    Why.SEEN_PUBLISHED: "The next CA is published everywhere; it signs after the overlap",
    Why.SEEN_NO_LONGER: "The next CA is not published everywhere any more: its overlap begins anew",
    Why.NO_LEAF: "There was no certificate that could be served: a new one is made",
    Why.NAMES_CHANGED: "The certificate was for other names: a new one is made",
    Why.LEAF_DUE: "Two thirds of the certificate's life are over: it is renewed",
    Why.CA_CHANGED: "The certificate is renewed by the next CA, which signs from now on",
    Why.GIVEN_UP: "CAs of which nothing can be alive any more are no longer kept",
}
_WAITS: Final[Mapping[Waiting, str]] = {
    Waiting.PUBLICATION_UNKNOWN: "A certificate is made when it can be told what is published",
    Waiting.PUBLICATION: "A certificate is made when its CA is published everywhere",
    Waiting.NEW_CA_PUBLICATION: "The next CA signs when it has been published everywhere for the overlap",
    Waiting.OVERLAP: "The next CA signs when the overlap is over",
    Waiting.CLOCK_BEHIND: (
        "The CA begins later than now, so this machine's clock is behind, and nothing is made by it; if the "
        "clock is right, ask for another CA (tls change-ca)"
    ),
}


@dataclass(frozen=True, slots=True)
class Own:
    """Whose certificates are kept where; the Lease of the replicas is called like the Secret.

    `names` are what clients call the process, `targets` where the bundle is published that they go by.
    """

    namespace: str
    secret: str
    names: tuple[str, ...]
    kind: Kind
    targets: Sequence[Target]
    times: Times


def times(settings: CertificateSettings) -> Times:
    """Give how long things last, as the settings say; certificates begin a day before they are made."""
    return Times(
        backdated=BACKDATED * settings.tls_clock_skew,
        ca=settings.tls_ca_lifetime,
        leaf=settings.tls_leaf_lifetime,
        overlap=settings.tls_overlap,
        skew=settings.tls_clock_skew,
    )


class Keeper:
    """Keeps the certificate of one listener. `run` it as long as the process serves.

    Rights: on Secrets `create`, and of this one `get`, `watch` and `update`; those of `Leader` for the Lease,
    and of `Publisher` for the targets.
    """

    def __init__(
        self,
        api: Api,
        own: Own,
        live: Live,
        log: Log,
        metrics: OwnMetrics,
        *,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        now: Callable[[], float] = time.time,
        ticks: Callable[[], float] = since_boot,
    ) -> None:
        """Keep by the clock `now` (seconds since 1970); the leader's terms run by `ticks`."""
        self._api = api
        self._own = own
        self._names = certificates.plain_names(own.names)
        self._log = log
        self._metrics = metrics
        self._now = now
        self._bell = asyncio.Event()
        self._secret: JSON | None = None
        self._held = Held()
        self._problem = ""
        self._waiting: Waiting | None = None
        self._replica = Replica(live, own.names, log, metrics, now=now)
        collection = f"/api/v1/namespaces/{own.namespace}/secrets"
        self._path = f"{collection}/{own.secret}"
        self._followed = Followed(api, self._path, self._take, log)
        self._publisher = Publisher(api, own.targets, log, changed=self._bell.set, show=metrics.publication)
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{own.namespace}/leases/{own.secret}"
        self._leader = Leader(api, lease, identity(), log, timing=timing, use=self._lead, now=ticks)
        metrics.leading.set_function(lambda: self._leader.leading)

    @property
    def unpublished(self) -> bool:
        """Tell whether clients cannot take what is served yet, at the start."""
        return self._replica.unpublished

    async def run(self) -> None:
        """Serve, look and lead until cancelled; then another replica may lead at once."""
        try:
            async with asyncio.TaskGroup() as together:
                for part in (self._followed.run, self._publisher.run, self._leader.run, self._look_for_ever):
                    together.create_task(self._kept_going(part))
        finally:
            await self._leader.release()

    def _take(self, found: JSON | None) -> None:
        self._secret, self._held = found, self._replica.take(found)
        self._bell.set()

    def _lead(self, leading: bool) -> None:  # noqa: FBT001 - as the leader tells it
        if leading:
            self._bell.set()

    async def _kept_going(self, part: Callable[[], Awaitable[None]]) -> None:
        """Begin a part anew that ends by a fault of our own: nothing else would renew certificates."""
        while True:
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - whatever it is
                self._say_problem(
                    f"Certificates are not looked after, an error of our own: {type(error).__name__}",
                    at=traced(error),
                )
            await asyncio.sleep(_LOOK_EVERY)

    async def _look_for_ever(self) -> None:
        while True:
            self._bell.clear()
            await self._look()
            await asyncio.sleep(_LOOK_AT_MOST_EVERY)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY - _LOOK_AT_MOST_EVERY):
                    await self._bell.wait()

    async def _look(self) -> None:
        """See what is there, and do what is next if this replica leads.

        The publication is read before the Secret, and both anew: what the machine relies on (`rotation`).
        """
        published = await self._publisher.read()
        readable = await self._followed.look()
        self._replica.look(published.places if published else None)
        if not readable:
            return
        now = self._now()
        bundles = [place.bundle for place in published.places] if published else None
        step = decide(now, self._held.state(now), bundles, self._names, self._own.times)
        self._metrics.published.set(published is not None and step.publish is None)
        if self._leader.leading:
            await self._act(step, published, now)

    async def _act(self, step: Step, published: Published | None, now: float) -> None:
        """Do what the machine says; the two parts of a step are independent of each other."""
        before, held = self._secret, self._held
        if other := secret.others(before):
            self._say_problem(
                f"The Secret is filled by {other}: it is left alone, and its CA is not published. "
                "--tls-secret needs one of its own",
                secret=self._own.secret,
            )
            return
        bundles = [place.bundle for place in published.places] if published else []
        if step.publish is not None and published is not None:
            known = {key: pem for bundle in (*bundles, held.bundle) for key, pem in bundle.items()}
            await self._publisher.publish(published, {key: known[key] for key in step.publish})
        if step.write is not None:
            await self._write(step.write, before, held, bundles, now)
        self._say_waiting(step.waiting)

    async def _write(
        self,
        write: Write,
        before: JSON | None,
        held: Held,
        bundles: Sequence[Mapping[str, bytes]],
        now: float,
    ) -> None:
        """Write the Secret over what was read of it; whatever stands against that, the next look is soon."""
        try:
            wanted = performed(
                write, held, published=bundles, names=self._names, now=now, kind=self._own.kind
            )
            if before is None:
                await self._api.create(self._path.rpartition("/")[0], secret.written(wanted, self._new()))
            else:
                await self._api.replace(self._path, secret.written(wanted, before))
        except ApiError as error:
            if error.status != _CONFLICT:  # else somebody else has written it: it is read anew
                self._say_problem(f"The Secret of certificates cannot be written: {error}")
                return
        except CertificateError as error:
            self._say_problem(f"Nothing can be signed: {error}")
            return
        else:
            self._problem = ""
            self._log.say("TLS", _SAID[write.why], reason=write.why, secret=self._own.secret)
        self._followed.ring()
        self._bell.set()

    def _new(self) -> JSON:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": self._own.secret,
                "labels": {"app.kubernetes.io/managed-by": "litellm-registrar"},
            },
        }

    def _say_waiting(self, waiting: Waiting | None) -> None:
        if waiting != self._waiting:
            self._waiting = waiting
            if waiting:
                self._log.say("TLS", _WAITS[waiting], reason=waiting, secret=self._own.secret)

    def _say_problem(self, problem: str, **values: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._log.say("PROBLEM", problem, **values)

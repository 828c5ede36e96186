"""The world that faults happen in: two real LiteLLMs, a real API server with our webhook, two brokers, pods.

Pods go through it like on a conveyor belt: one registers under a fault, serves under the next one, is updated
under the one after, and drains under the last. So each fault meets all four at once, and costs one new pod.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from tests.certificates import Pair, make_ca, make_leaf
from tests.peers.admitted import injects
from tests.peers.broker import NAMESPACE as HOME
from tests.peers.broker import NODE, SECRET, BrokerProcess, grant
from tests.peers.cluster import Cluster, control_plane, wait_until
from tests.peers.proxy import LiteLLM, litellm
from tests.peers.webhook import CONFIGURATION, WebhookProcess
from tests.real.faults.background import Background, background
from tests.real.faults.judging import wrong
from tests.real.faults.lives import (
    NAMESPACE,
    OTHERS,
    Life,
    Mode,
    Place,
    brokered,
    direct,
    manifest,
)
from tests.real.faults.meddler import How, Meddler, meddler
from tests.real.faults.moody import ENV_MOODS
from tests.real.faults.wire import Wire, wire
from tests.real.foreign import Foreign, config
from webhook.broker.key_abilities import ROUTES
from webhook.kube.api import Api, ApiError

JSON = dict[str, Any]

# Seconds after which a replica of LiteLLM knows what another one wrote.
RELOAD: Final = 2
_WEBHOOK: Final = "litellm-registrar-webhook"
_BROKER: Final = "litellm-registrar-broker"
_CA: Final = "litellm-registrar-broker-ca"
# Short, so that a fault does not take minutes.
REAP_GRACE: Final = 4
NODE_GRACE: Final = 4
_HEARTBEAT: Final = 8
# More goes in one run than a reaper would let go in ten minutes: its brakes have tests of their own.
REAPER: Final = (
    *("--lease", _BROKER, "--reap-grace", str(REAP_GRACE), "--node-grace", str(NODE_GRACE)),
    *("--reap-share", "1", "--reap-at-least", "1000"),
)
_numbers = itertools.count(1)


class Node:
    """A node that nobody looks after; while it lives its heart is made to beat."""

    def __init__(self, cluster: Cluster, loop: Background) -> None:
        self.ready = "True"
        self._cluster = cluster
        self._loop = loop
        cluster.fake_node({})
        loop.start(self._beat())

    def become(self, ready: str) -> None:
        """Be ready (True), or not (False, Unknown), at once."""
        self.ready = ready
        wait_until(f"node that is said to be {ready}", 60, lambda: self._loop.run(self._say()))

    async def _beat(self) -> None:
        while True:
            await self._say()
            await asyncio.sleep(_HEARTBEAT)

    async def _say(self) -> bool:
        """Say how the node is; False: the API server did not take it."""
        api = await Api.connect(str(self._cluster.work / "kubeconfig"))
        try:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            ready = {"type": "Ready", "status": self.ready, "reason": "Test", "lastHeartbeatTime": now}
            condition = {**ready, "lastTransitionTime": now, "message": ""}
            await api.merge(f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": [condition]}})
        except ApiError:
            return False
        finally:
            await api.close()
        return True


class OurWebhook(WebhookProcess):
    """The webhook of this world, by a certificate that may end."""

    def __init__(self, cluster: Cluster, folder: Path, *flags: str) -> None:
        self._ca = make_ca()
        self._folder = folder
        self._cluster = cluster
        self.renew()
        files = folder / "tls.crt", folder / "tls.key"
        super().__init__(*files, folder / "webhook.log", "127.0.0.1", *flags)

    def renew(self, valid: timedelta = timedelta(days=1)) -> None:
        """Write it another certificate; it takes up a changed one within 10 s."""
        make_leaf(self._ca, ["127.0.0.1"], valid).write(self._folder)

    def configure(self) -> None:
        """Tell the API server of it, as the example does, and wait until it asks it."""
        text = CONFIGURATION.read_text().replace("${WEBHOOK_URL}", self.url)
        ca = base64.b64encode(self._ca.certificate).decode()
        path = self._folder / "configuration.yaml"
        path.write_text(text.replace("${CA_BUNDLE}", ca))
        self._cluster.kubectl("apply", "-f", str(path))
        rehearsed = manifest("rehearsed", NAMESPACE, "none")
        wait_until("registrar", 60, lambda: injects(self._cluster, rehearsed, NAMESPACE), every=0.5)


@dataclass
class World:
    """Everything there is; `lives` are pods that serve, the one that does so longest first."""

    cluster: Cluster
    proxy: LiteLLM
    foreign: Foreign
    meddler: Meddler
    wire: Wire
    brokers: list[BrokerProcess]
    webhook: OurWebhook
    node: Node
    loop: Background
    place: Place
    belts: dict[Mode, list[Life]] = field(default_factory=lambda: defaultdict(list))
    others: list[Life] = field(default_factory=list)
    _marks: dict[Path, int] = field(default_factory=dict)

    # ---- pods

    def new(self, mode: Mode, namespace: str = NAMESPACE, address: str = "", name: str = "") -> Life:
        """Make a pod whose registrar does not run yet."""
        name = name or f"qwen-{next(_numbers)}"
        if mode is Mode.DIRECT:
            return direct(self.place, name)
        return brokered(self.place, name, namespace, address)

    def other(
        self, namespace: str = NAMESPACE, address: str = "", name: str = "", *, serves: bool = True
    ) -> Life:
        """Make one more pod, for this fault alone, that serves."""
        made = self.new(Mode.BROKER, namespace, address, name)
        self.others.append(made)
        if serves:
            made.start()
            made.wait_for_state("serving")
        return made

    def namespace(self) -> str:
        """Make a namespace for this fault alone."""
        return self.cluster.namespace(f"{NAMESPACE}-{next(_numbers)}")

    def lives(self) -> list[Life]:
        """Give every pod that there is."""
        return [*itertools.chain.from_iterable(self.belts.values()), *self.others]

    def of_row(self, key: str) -> Life | None:
        """Give the pod that a row is of."""
        return next((life for life in self.lives() if key.startswith(life.prefix)), None)

    # ---- LiteLLM

    @contextmanager
    def meddling(self, how: How, *kinds: str) -> Iterator[None]:
        """Have somebody meddle with these kinds of calls while inside."""
        self.loop.call(lambda: self.meddler.meddle(how, *kinds))
        try:
            yield
        finally:
            self.loop.call(self.meddler.heal)

    def wrong(self) -> list[str]:
        """Name every row that is not as it should be now."""
        wanted = {key: row for life in self.lives() for key, row in life.wanted().items()}
        stored = {key: row for key, row in self.proxy.stored().items() if key not in self.proxy.foreign}
        shown = []
        for replica in range(len(self.proxy.urls)):
            rows = {row["model_info"]["id"]: row for row in self.proxy.rows(replica=replica)}
            shown.append({key: row for key, row in rows.items() if key not in self._not_ours})
        found = wrong(wanted, stored, shown)
        try:
            self.foreign.check()
        except AssertionError as error:
            found.append(f"a foreign row was changed: {str(error)[:500]}")
        return found

    @property
    def _not_ours(self) -> frozenset[str]:
        return self.proxy.foreign | {"config-row"}

    # ---- logs

    def mark(self) -> None:
        """Look from now on only at what is printed after this."""
        self._marks = {path: path.stat().st_size for path in self._logs() if path.exists()}

    def said(self, *, of: Mode | None = None) -> str:
        """Give what was printed since, by registrars of a mode; in broker mode by brokers and webhook too."""
        found = []
        for path in self._logs(of):
            if path.exists():
                with path.open("rb") as file:
                    file.seek(self._marks.get(path, 0))
                    found.append(file.read().decode(errors="replace"))
        return "".join(found)

    def wait_for_said(self, text: str, seconds: float = 180) -> None:
        """Wait until somebody has printed this."""
        pattern = re.compile(text)
        wait_until(f"{text!r} in any log", seconds, lambda: pattern.search(self.said()), every=0.2)

    def _logs(self, of: Mode | None = None) -> list[Path]:
        logs = sorted(self.place.folder.glob("qwen-*.log"))
        if of is not None:
            ours = {life.log for life in self.lives() if life.mode is of} | self._drained.get(of, set())
            logs = [path for path in logs if path in ours]
        if of is not Mode.DIRECT:
            logs += [*(broker.log for broker in self.brokers), self.webhook.log]
        return logs

    _drained: dict[Mode, set[Path]] = field(default_factory=lambda: defaultdict(set))

    # ---- the belt

    def ready(self, modes: tuple[Mode, ...]) -> None:
        """Have three pods of each mode that serve."""
        for mode in modes:
            fresh = [self.new(mode) for _ in range(3 - len(self.belts[mode]))]
            for life in fresh:
                life.start()
                self.belts[mode].append(life)
            for life in fresh:
                life.wait_for_state("serving")

    def drop(self, life: Life) -> None:
        """Let go of a pod that has ended."""
        for belt in self.belts.values():
            if life in belt:
                belt.remove(life)
        if life in self.others:
            self.others.remove(life)
        self._drained[life.mode].add(life.log)

    def clear(self) -> None:
        """Begin anew: no pod, no row of ours."""
        for life in self.lives():
            if life.ended():
                life.end()
            self.drop(life)
        self.proxy.remove_own_rows()

    # ---- brokers

    @staticmethod
    def leads(broker: BrokerProcess) -> bool:
        """Tell whether a broker leads, by its own metric."""
        with contextlib.suppress(httpx.HTTPError):
            return "litellm_registrar_broker_reaper_leading 1.0" in broker.health("/metrics").text
        return False

    def leader(self) -> BrokerProcess:
        """Give the broker that leads, once there is one."""
        (found,) = wait_until("leader", 120, lambda: [*filter(self.leads, self.brokers)])
        return found

    def broker_leaf(self, valid: timedelta) -> Pair:
        """Make a certificate of the brokers' own CA."""
        data = self.cluster.get("secret", SECRET, HOME)["data"]
        ca = Pair(*(base64.b64decode(data[f"ca.{end}"]) for end in ("crt", "key")))
        return make_leaf(ca, ["localhost"], valid)

    def settle_blocked(self) -> list[Life]:
        """Wait until every row of this cluster is blocked: its node is lost. From then on it has to be so."""
        found = [life for life in self.lives() if life.mode is Mode.BROKER and life.lives]
        keys = {key for life in found for key in life.wanted()}

        def blocked() -> bool:
            rows = {key: json.loads(row) for key, row in self.proxy.stored().items()}
            return all(key in rows and rows[key]["blocked"] for key in keys)

        wait_until("blocked rows", 120, blocked, every=0.5)
        return found


def _brokers(cluster: Cluster, url: str, proxy: LiteLLM, folder: Path) -> list[BrokerProcess]:
    made = []
    key = proxy.make_key(allowed_routes=[*ROUTES])
    flags = [*("--tls-names", "127.0.0.1,localhost"), *REAPER]
    for name in ("one", "two"):
        (folder / name).mkdir()
        broker = BrokerProcess(cluster, url, key, folder / name, *flags, module="tests.real.faults.moody")
        made.append(broker)
    return made


@contextmanager
def world(folder: Path, logs: Path | None = None, module: str = "tests.real.faults.moody") -> Iterator[World]:
    """Make it; 40 s. `module` is what runs registrars."""
    moods = folder / "moods"
    moods.mkdir()
    os.environ[ENV_MOODS] = str(moods)
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(background())
        with ThreadPoolExecutor() as pool:
            peers = pool.submit(
                stack.enter_context, litellm(logs, reload_seconds=RELOAD, config=config(folder))
            )
            (folder / "kube").mkdir()
            cluster = stack.enter_context(control_plane(folder / "kube"))
            grant(cluster)
            for namespace in (NAMESPACE, OTHERS):
                cluster.namespace(namespace)
            proxy = peers.result()
        between = loop.enter(stack, meddler(proxy.urls[0]))
        url = f"http://localhost:{between.port}"
        brokers = _brokers(cluster, url, proxy, folder)
        line = loop.enter(stack, wire([broker.port for broker in brokers]))
        for broker in brokers:
            stack.callback(broker.kill)
            broker.start()
        flags = [*("--broker-url", f"https://localhost:{line.port}", "--broker-ca-configmap", _CA)]
        flags += ["--kubeconfig", str(cluster.kubeconfig_of(HOME, _WEBHOOK))]
        flags += ["--namespace", HOME, "--lease", _WEBHOOK]
        webhook = OurWebhook(cluster, folder / "webhook", *flags)
        webhook.start()
        stack.callback(webhook.kill)
        webhook.configure()
        place = Place(cluster, loop, folder, moods, url, proxy.key, module)
        made = World(
            cluster, proxy, Foreign(proxy), between, line, brokers, webhook, Node(cluster, loop), loop, place
        )
        try:
            yield made
        finally:
            for life in made.lives():
                life.leave()

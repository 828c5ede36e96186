"""What a pod's token reaches beyond its own rows: the table of attacks, before a real LiteLLM."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.bench.figures import Figure
from tests.peers.broker import BrokerProcess, grant
from tests.peers.cluster import Cluster, control_plane
from tests.peers.proxy import LiteLLM
from tests.real.broker.attacks import ATTACKS
from tests.real.broker.attacks.rows import ROWS
from tests.real.broker.world import Attack, Line, attacked, reached, run, world
from webhook.broker.key_abilities import ROUTES

_ANY_RATE: Final = ("--pod-rate", "100000", "--namespace-rate", "100000")


async def measure() -> list[Figure]:
    """Give token_reach."""
    with tempfile.TemporaryDirectory(prefix="reach-") as name:
        folder = Path(name)
        (folder / "kube").mkdir()
        with control_plane(folder / "kube") as cluster, attacked(folder, replicas=1) as proxy:
            grant(cluster)
            cluster.fake_node({})
            found, requests = _reach(cluster, proxy, folder, ATTACKS)
            broken, _ = _reach(cluster, proxy, folder, ROWS, "tests.real.broker.broken")
    for line in found:
        print(line)
    of = f"{requests} requests of {len(ATTACKS)} attacks; {len(broken)} without the rule of ids"
    return [Figure("token_reach", len(found), "rows", "= 0", of)]


def _reach(
    cluster: Cluster, proxy: LiteLLM, folder: Path, attacks: Iterable[Attack], module: str = "webhook"
) -> tuple[list[str], int]:
    """Name what attacks reach before a broker (`module`), and count the requests that were answered."""
    key = proxy.make_key(allowed_routes=[*ROUTES])
    broker = BrokerProcess(cluster, proxy.urls[0], key, folder, *_ANY_RATE, module=module)
    broker.start()
    found, requests = [], 0
    try:
        with world(cluster, proxy, broker) as made, Line(broker) as line:
            after = proxy.stored()
            for attack in attacks:
                before, got = after, run(attack, made, line)
                after = proxy.stored()
                found += [f"{attack.name}: {each}" for each in reached(attack, made, got, before, after)]
                requests += len(got)
    finally:
        broker.stop()
    return found, requests

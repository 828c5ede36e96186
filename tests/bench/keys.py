"""What an injection brings into pods of LiteLLM's keys and of Secrets, where registrars ask a broker."""

from tests.bench.figures import Figure
from tests.golden.cases import BROKER_CA, BROKER_URL, CONFIG
from tests.keys import brought, injected
from webhook.access import Broker
from webhook.inject import Injection


async def measure() -> list[Figure]:
    """Give keys_in_pods."""
    found, pods = _count(Injection(CONFIG.cluster, CONFIG.image, broker=Broker(BROKER_URL, BROKER_CA)))
    direct, _ = _count(CONFIG)
    of = f"in {pods} injected pods; {direct} with a Secret in each namespace"
    return [Figure("keys_in_pods", found, "keys and references", "= 0", of)]


def _count(config: Injection) -> tuple[int, int]:
    counts = [len(brought(before, after)) for before, after in injected(config)]
    return sum(counts), len(counts)

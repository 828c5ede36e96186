"""One replica and what it serves at its start, by a clock that is set."""

import io
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from sidecar.contract import LogFormat
from webhook.log import Log
from webhook.tls import certificates
from webhook.tls.issue import new_ca, new_leaf
from webhook.tls.live import Live
from webhook.tls.metrics import OwnMetrics
from webhook.tls.publication import Place
from webhook.tls.replica import Replica
from webhook.tls.secret import Held, written

NAMES: Final = ("webhook.shop.svc",)
BEGAN: Final = 1_800_000_000.0


class Clock:
    """The time of day, as it is set."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> float:
        """Give it."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands."""
    return Clock()


@pytest.fixture
def replica(clock: Clock) -> Replica:
    """Give a replica that has served nothing yet."""
    log, metrics = Log(io.StringIO(), LogFormat.JSON), OwnMetrics(CollectorRegistry(), "x")
    return Replica(Live(), NAMES, log, metrics, now=clock)


CA: Final = new_ca("test", BEGAN - 10, BEGAN + 1000)
KEPT: Final[dict[str, Any]] = written(
    Held(
        ca=CA, leaf=new_leaf(CA, NAMES, BEGAN - 10, BEGAN + 500), bundle=certificates.bundle(CA.certificate)
    ),
    {"metadata": {"name": "webhook-tls"}},
)
NEITHER: Final = Place("mutating", {})
PUBLISHED: Final = Place("mutating", certificates.bundle(CA.certificate))


def test_what_an_earlier_installation_left_is_not_taken_before_it_is_published(replica: Replica) -> None:
    """With a kept Secret and new configurations clients would refuse it until its CA stands in them."""
    assert replica.unpublished
    replica.take(KEPT)
    replica.look([NEITHER])
    assert replica.unpublished
    replica.look([PUBLISHED, NEITHER])
    assert replica.unpublished
    replica.look([PUBLISHED])
    assert not replica.unpublished


def test_without_configurations_nobody_has_to_take_it(replica: Replica) -> None:
    """Switched off there are none: it is ready, and there is nothing that could be published."""
    replica.take(KEPT)
    replica.look([])
    assert not replica.unpublished


def test_a_bundle_that_is_wiped_later_makes_nobody_unready(replica: Replica) -> None:
    """It is put back by whoever leads; all replicas unready at once would help nobody."""
    replica.take(KEPT)
    replica.look([PUBLISHED])
    replica.look([NEITHER])
    assert not replica.unpublished


def test_while_the_publication_cannot_be_read_it_waits_for_half_a_minute(
    replica: Replica, clock: Clock
) -> None:
    """Nobody may be there to publish: then what was published before is all there is."""
    replica.take(KEPT)
    replica.look(None)
    clock.now += 29
    assert replica.unpublished
    clock.now += 1
    assert not replica.unpublished

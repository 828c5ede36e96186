"""The registrar's own metrics: what they say through a life, and that nothing grows with what is watched."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.broker_contract import DRAIN_ENDS, DRAIN_PHASES, State
from sidecar.contract import CONTRACT_VERSION
from sidecar.entry import STATES
from sidecar.litellm import Call
from sidecar.metrics import Metrics
from sidecar.reasons import Reason
from sidecar.servers.probe import Told
from sidecar.servers.shapes import Ambiguous, Asleep
from tests.standins.litellm_table import KEY
from tests.standins.registrar import Cluster, Pod
from tests.standins.scripted import REFUSED, serving

ROOT = Path(__file__).parents[3]
ALL = "litellm_registrar_"


def read(metrics: Metrics) -> dict[str, float]:
    """Give every series as it is read, by its name without the prefix and the values of its labels."""
    found = {}
    for family in text_string_to_metric_families(metrics.page()[1].decode()):
        for sample in family.samples:
            assert sample.name.startswith(ALL)
            found["/".join([sample.name.removeprefix(ALL), *sample.labels.values()])] = sample.value
    return found


def states(pod: Pod) -> set[str]:
    """Give the states that it says it is in."""
    told = read(pod.metrics)
    return {name.partition("/")[2] for name, value in told.items() if name.startswith("state/") and value}


async def test_the_state_is_one_of_all(pod: Pod) -> None:
    """Each state has a series, and one of them is 1."""
    assert states(pod) == {"waiting"}
    await pod.serve()
    assert states(pod) == {"serving"}
    pod.server.seen = REFUSED
    await pod.clock.advance(10)
    assert states(pod) == {"blocked"}
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(1)
    assert states(pod) == {"drained"}
    assert draining.done()
    assert sum(name.startswith("state/") for name in read(pod.metrics)) == 5


async def test_rows_are_counted_by_their_state(pod: Pod) -> None:
    """Two that are there, one that somebody has blocked."""
    pod.server.seen = serving("a", "b", "c")
    await pod.clock.advance(1)
    next(row for row in pod.table.rows.values() if row["model_name"] == "c")["blocked"] = True
    await pod.clock.advance(80)
    told = read(pod.metrics)
    assert (told["rows/registered"], told["rows/blocked_by_someone_else"], told["rows/pending"]) == (2, 1, 0)


async def test_what_is_not_known_yet_has_no_series(pod: Pod) -> None:
    """0 seconds to routable, or 0 requests at SIGTERM, would be news."""
    told = read(pod.metrics)
    assert not {name for name in told if name.startswith(("time_to", "drain_seconds", "requests_in_flight"))}


async def test_a_drain_that_cuts_requests(pod: Pod) -> None:
    """Time to routable, the seconds of each phase while it lasts, how it ended and what it cut."""
    await pod.clock.advance(60)
    await pod.serve()
    pod.server.gauge = 3
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(20)
    during = read(pod.metrics)
    await pod.clock.advance(140)
    assert draining.done()
    told = read(pod.metrics)
    assert during["drain_seconds/deleting"] + during["drain_seconds/propagating"] == pytest.approx(20, abs=1)
    assert during["drains_total/overdue"] == 0
    assert told["time_to_routable_seconds"] == pytest.approx(0, abs=0.5)
    assert told["drain_seconds/propagating"] == pytest.approx(35, abs=1)
    assert told["drain_seconds/in_flight"] == pytest.approx(120, abs=1)
    assert (told["drains_total/overdue"], told["drain_cut_requests_total"]) == (1, 3)
    assert told["requests_in_flight_at_sigterm"] == 3


async def test_a_drain_cut_by_sigterm_is_one_drain(pod: Pod) -> None:
    """Its end is grace_cut, with what was in flight then."""
    await pod.serve()
    pod.server.gauge = 4
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    over = asyncio.ensure_future(pod.ending.over())
    await pod.clock.advance(10)
    pod.ending.signal()
    pod.server.gauge = 0
    await pod.clock.advance(60)
    assert draining.done()
    assert over.done()
    told = read(pod.metrics)
    assert {name: value for name, value in told.items() if name.startswith("drains_total/") and value} == {
        "drains_total/grace_cut": 1
    }
    assert told["drain_cut_requests_total"] == told["requests_in_flight_at_sigterm"] == 4


async def test_calls_and_problems_are_counted_by_reason(cluster: Cluster) -> None:
    """LiteLLM is away at first: calls that failed by what was asked and why, the problem once."""
    cluster.table.fail(2, httpx.ConnectError("refused"))
    pod = cluster.start()
    await pod.clock.advance(30)
    await pod.serve()
    told = read(pod.metrics)
    assert told["litellm_calls_total/ready/litellm_unreachable"] == 2
    assert told["litellm_calls_total/ready/ok"] == 1
    assert told["litellm_calls_total/read/absent"] == 1
    assert told["litellm_calls_total/create/ok"] == 1
    assert told["problems_total/litellm_unreachable"] == 1
    assert told["problems_total/internal_error"] == 0


def test_looks_and_probes_are_counted_by_outcome() -> None:
    """A good answer is ok; what is wrong goes by its reason."""
    metrics = Metrics()
    for seen in (
        serving("m"),
        serving("n"),
        REFUSED,
        Asleep("says so"),
        Ambiguous(Reason.SERVER_LOADING, "HTTP 503"),
    ):
        metrics.looked(seen)
    metrics.probed(Told.LEARNED)
    told = read(metrics)
    looks = {name.partition("/")[2]: value for name, value in told.items() if name.startswith("server_looks")}
    assert looks == {"ok": 2, "server_refused": 1, "server_asleep": 1, "server_loading": 1}
    assert (told["probes_total/learned"], told["probes_total/no_answer"]) == (1, 0)


def test_the_version_is_the_projects() -> None:
    """What it says it is, is what it was built from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert read(Metrics())[f"info/{CONTRACT_VERSION}/{project['version']}"] == 1


async def test_series_do_not_grow_with_what_is_watched(cluster: Cluster) -> None:
    """Two hundred models with names of their own are as many series as one, and none of them holds a name."""
    few, many = cluster.start(), cluster.start()
    few.server.seen = serving("m")
    many.server.seen = serving(*(f"model-{number}" for number in range(200)))
    await few.clock.advance(10)
    assert read(few.metrics).keys() == read(many.metrics).keys()
    assert "model-1" not in many.metrics.page()[1].decode()


async def test_no_secret_is_in_them(cluster: Cluster) -> None:
    """LiteLLM's answers hold the key: what is counted of them is the reason's name."""
    cluster.table.fail(5, httpx.ConnectError(f"refused for {KEY}"))
    pod = cluster.start()
    await pod.clock.advance(60)
    await pod.serve()
    page = pod.metrics.page()[1].decode()
    assert KEY not in page
    assert "nonce" not in page


def test_every_reason_and_call_can_be_counted() -> None:
    """The closed sets that bound the number of series."""
    metrics = Metrics()
    for _ in range(2):
        for reason in Reason:
            metrics.said(reason)
            metrics.looked(Ambiguous(reason, "for any reason"))
            for call in Call:
                metrics.answered(call, reason)
        series = len(read(metrics))
    assert series < len(Reason) * (len(Call) + 2) + 20


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("state", State),
        ("rows", STATES),
        ("probes_total", Told),
        ("litellm_calls_total", Call),
        ("drain_seconds", DRAIN_PHASES),
        ("drains_total", DRAIN_ENDS),
    ],
)
def test_the_readme_has_every_value_of_a_label(metric: str, words: Iterable[str]) -> None:
    """What alerts and dashboards select by stands in the table of the registrar's metrics."""
    text = (ROOT / "README.md").read_text().partition("### Metrics of the registrars")[2]
    row = next(line for line in text.splitlines() if line.startswith(f"| `{metric}` "))
    assert set(words) <= set(re.findall(r"`(\w+)`", row))

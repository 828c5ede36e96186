"""The chart's dashboard: it asks for what is exported, and shows all of it that has a picture."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.metrics.queries import asked, exported, unknown

JSON = dict[str, Any]
FILE: Final = Path(__file__).parents[2] / "charts/litellm-registrar/dashboards/litellm-registrar.json"
DASHBOARD: Final[JSON] = json.loads(FILE.read_text())
PANELS: Final[list[JSON]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES: Final = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
VARIABLES: Final[list[JSON]] = DASHBOARD["templating"]["list"]
# Exported for whoever looks closer; there is no picture in them.
NOT_SHOWN: Final = {
    "litellm_registrar_broker_key",
    "litellm_registrar_broker_reaper_last_look_timestamp_seconds",
    "litellm_registrar_broker_tls_bad_pairs_total",
    "litellm_registrar_broker_tls_publication_info",
    "litellm_registrar_drain_seconds",
    "litellm_registrar_drains_total",
    "litellm_registrar_rows",
    "litellm_registrar_time_to_routable_seconds",
    "litellm_registrar_webhook_native",
    "litellm_registrar_webhook_nodes",
    "litellm_registrar_webhook_policy_info",
    "litellm_registrar_webhook_rules_held_back",
    "litellm_registrar_webhook_servers_judged_timestamp_seconds",
    "litellm_registrar_webhook_tls_bad_pairs_total",
    "litellm_registrar_webhook_tls_publication_info",
}


@pytest.mark.parametrize(("panel", "query"), QUERIES)
def test_a_panel_asks_for_what_is_exported(panel: str, query: str) -> None:
    """Every series in its query, and every label by which it chooses or groups."""
    assert asked(query), panel
    assert unknown(query) == []


def test_variables_ask_for_what_is_exported() -> None:
    """The namespace is chosen among those that have a webhook."""
    queries = [variable["definition"] for variable in VARIABLES if variable["type"] == "query"]
    assert queries
    assert [wrong for query in queries for wrong in unknown(query)] == []


def test_what_is_exported_is_shown() -> None:
    """Each metric has its picture, but for those that are named here as having none."""
    shown = {re.sub("_(bucket|sum|count)$", "", name) for _, query in QUERIES for name in asked(query)}
    metrics = {re.sub("_(bucket|sum|count)$", "", name) for name in exported()}
    assert metrics - shown == NOT_SHOWN


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_the_query_keeps(panel: JSON) -> None:
    """`{{state}}` of a query that sums over it would be empty."""
    for target in panel["targets"]:
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        kept = {
            label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(", ")
        }
        assert named <= kept


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    """Grafana would take one for the other, or lay one over the other."""
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in everything
        for x, y in itertools.product(range(panel["gridPos"]["w"]), range(panel["gridPos"]["h"]))
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24


def test_the_dashboard_works_with_any_data_source() -> None:
    """No panel names one that only its author has."""
    sources = {json.dumps(panel["datasource"]) for panel in PANELS}
    sources |= {json.dumps(target["datasource"]) for panel in PANELS for target in panel["targets"]}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("sum(litellm_registrar_broker_rowz)", ["litellm_registrar_broker_rowz"]),
        ('litellm_registrar_broker_rows{stat="x"}', ["litellm_registrar_broker_rows{stat}"]),
        ("sum by (reason) (litellm_registrar_broker_rows)", ["by (reason)"]),
        ("litellm_registrar_broker_call_seconds", ["litellm_registrar_broker_call_seconds"]),
        ('sum by (le) (litellm_registrar_broker_call_seconds_bucket{part="own"})', []),
    ],
)
def test_a_wrong_query_would_be_found(query: str, wrong: list[str]) -> None:
    """A misspelt series, a label that it has not, a histogram without its suffix."""
    assert unknown(query) == wrong

"""`list`: pods and rows side by side; the table and the JSON of a whole world are golden."""

import json
import os
from pathlib import Path

import pytest

from tests.listing.world import (
    CLUSTER,
    JSON,
    NOW,
    PODS,
    ROWS,
    Table,
    deleted,
    foreign,
    kubernetes,
    pod,
    row,
    without_registrar,
)
from webhook.broker.shapes import Holder, RefusedError, Reply
from webhook.broker.upstream import FaultError
from webhook.kube.api import Api, ApiError
from webhook.listing.command import seconds_since
from webhook.listing.join import joined
from webhook.listing.reading import read
from webhook.listing.report import age, document, table
from webhook.listing.shapes import Difference, Listing

FOLDER = Path(__file__).parent
GOLDEN = {"table": FOLDER / "table.txt", "document": FOLDER / "list.json"}


async def listing(api: Api, upstream: Table, namespace: str = "") -> Listing:
    """Read and join."""
    found, notes = await read(api, upstream, CLUSTER, namespace)
    return Listing(CLUSTER, namespace, joined(found, CLUSTER), notes)


async def differs(*rows: JSON, pods: tuple[JSON, ...] = ()) -> list[tuple[Difference, ...]]:
    """Give what differs, line by line."""
    return [entry.differs for entry in (await listing(kubernetes(*pods), Table(*rows))).entries]


def as_of_now(text: str) -> float | None:
    """Give the seconds since a time."""
    return seconds_since(NOW, text)


@pytest.mark.parametrize("name", GOLDEN)
async def test_golden(name: str) -> None:
    """The table and the JSON are those that were reviewed and committed; UPDATE_GOLDEN=1 rewrites them."""
    found = await listing(kubernetes(*PODS), Table(*ROWS))
    written = {
        "table": "\n".join(table(found.entries, as_of_now)),
        "document": json.dumps(document(found, NOW), indent=2),
    }[name]
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN[name].write_text(written + "\n")
    assert GOLDEN[name].read_text() == written + "\n", "it is stale: make golden"


async def test_everything_that_can_differ_does_in_the_golden_world() -> None:
    """No word of the list is one that nobody has reviewed."""
    found = await listing(kubernetes(*PODS), Table(*ROWS))
    assert {word for entry in found.entries for word in entry.differs} == set(Difference)


async def test_a_pod_and_its_rows_that_agree_differ_in_nothing() -> None:
    """One line a row."""
    pods = (pod("qwen"),)
    assert await differs(row("qwen", "a"), row("qwen", "b"), foreign("c"), pods=pods) == [(), ()]


async def test_a_pod_that_is_being_deleted_needs_no_row() -> None:
    """Its drain has removed it."""
    assert await differs(pods=(deleted(pod("qwen")),)) == [()]


async def test_a_pod_that_has_ended_is_shown_only_if_rows_are_left_of_it() -> None:
    """As kubectl's `get pods` it would be there for as long as somebody keeps the object."""
    ended = pod("qwen", phase="Failed")
    assert await differs(pods=(ended,)) == []
    assert await differs(row("qwen", "a"), pods=(ended,)) == [(Difference.POD_ENDED,)]


async def test_rows_of_other_clusters_and_those_made_by_hand_are_not_listed() -> None:
    """Nor is one with a copied block, or with an id that looks like one of ours."""
    copied = row("qwen", "a")
    copied["model_info"]["id"] = "by-hand"
    other = row("qwen", "b", cluster="another")
    assert await differs(foreign("gpt-4o"), copied, other) == []


async def test_a_name_that_others_have_too_tells_who() -> None:
    """Each holder once: another namespace, another cluster, nobody's registrar; no siblings of the pod."""
    rows = (
        row("one", "qwen"),
        row("two", "qwen"),
        row("far", "qwen", namespace="team-b"),
        row("there", "qwen", cluster="another"),
        foreign("qwen", "x"),
        foreign("qwen", "y"),
    )
    pods = (pod("one"), pod("two"), pod("far", namespace="team-b"))
    found = await listing(kubernetes(*pods), Table(*rows), "team-a")
    assert [entry.elsewhere for entry in found.entries] == [
        (Holder(), Holder(CLUSTER, "team-b"), Holder("another", "team-a"))
    ] * 2


async def test_a_namespace_alone_is_asked_for_alone() -> None:
    """Whoever may read only one namespace's pods can list it; rows of others are left out."""
    api = kubernetes(pod("qwen"), pod("other", namespace="team-b"))
    api.fail["list /api/v1/pods"] = ApiError(403, "Forbidden", "not allowed")
    found = await listing(api, Table(row("qwen", "a"), row("other", "b", namespace="team-b")), "team-a")
    assert [entry.pod_id[:2] for entry in found.entries] == [("team-a", "qwen")]


async def test_nodes_that_may_not_be_read_are_a_note_and_no_failure() -> None:
    """Everything else is told all the same, and no node is said to be lost."""
    api = kubernetes(pod("qwen", node="node-b"))
    api.fail["list /api/v1/nodes"] = ApiError(403, "Forbidden", "not allowed")
    found = await listing(api, Table(row("qwen", "a")))
    assert [(entry.node_ready, entry.differs) for entry in found.entries] == [(None, ())]
    assert found.notes == ["Whether nodes are Ready is not told: 403 Forbidden: not allowed"]


async def test_a_litellm_without_any_row_is_noted() -> None:
    """A replica that has just started shows none: a pod without a row may have one."""
    found = await listing(kubernetes(pod("qwen")), Table())
    assert [entry.differs for entry in found.entries] == [(Difference.POD_WITHOUT_ROW,)]
    assert "has not read its database yet" in found.notes[0]


async def test_a_pod_that_came_while_litellm_was_read_is_no_pod_that_is_gone() -> None:
    """The pod of a row that no pod of the list has is asked for by name."""
    api = kubernetes()

    class Late(Table):
        async def send(self, call: object, seconds: float) -> Reply:
            at = "/api/v1/namespaces/team-a/pods/qwen"
            api.put(at, pod("qwen"))
            api.objects[at]["metadata"]["uid"] = "uid-qwen"
            return await super().send(call, seconds)  # type: ignore[arg-type]

    assert [entry.differs for entry in (await listing(api, Late(row("qwen", "a")))).entries] == [()]


async def test_a_pod_that_cannot_be_asked_for_is_not_said_to_be_gone() -> None:
    """Only the API server's 404 says so."""
    api = kubernetes()
    api.fail["get"] = ApiError(500, "InternalError", "etcd is away")
    with pytest.raises(ApiError, match="etcd is away"):
        await listing(api, Table(row("qwen", "a")))


@pytest.mark.parametrize("reply", [Reply(200, b"[]"), Reply(200, b"{"), Reply(200, b"{}")])
async def test_an_answer_that_is_no_table_is_no_empty_table(reply: Reply) -> None:
    """Then nothing is listed, rather than pods without rows."""
    upstream = Table()
    upstream.fault = reply
    with pytest.raises(RefusedError, match="a list of rows was expected"):
        await listing(kubernetes(pod("qwen")), upstream)


async def test_a_fault_of_litellm_is_no_empty_table() -> None:
    """The same."""
    upstream = Table()
    upstream.fault = Reply(401, b"{}")
    with pytest.raises(FaultError, match="HTTP 401"):
        await listing(kubernetes(), upstream)


async def test_hidden_parts_of_an_address_are_not_shown() -> None:
    """An admin may have put a password there; control characters would move a terminal's cursor."""
    address = "http://user:hunter2@10.0.0.7:8000/v1?key=sk-secret"
    found = await listing(kubernetes(pod("qwen")), Table(row("qwen", "a\x1b[2Jb", address=address)))
    text = "\n".join(table(found.entries, as_of_now)) + json.dumps(document(found, NOW))
    assert "hunter2" not in text
    assert "sk-secret" not in text
    assert "\x1b" not in text
    assert [entry.differs for entry in found.entries] == [(Difference.ADDRESS_DIFFERS,)]


async def test_a_pod_that_asks_for_a_registrar_and_has_none_is_listed() -> None:
    """It was made while the webhook was away."""
    missed = without_registrar("qwen", **{"litellm-registrar.io/server": "vllm"})
    assert await differs(pods=(missed,)) == [(Difference.WITHOUT_REGISTRAR,)]


async def test_the_whole_of_a_long_name_is_shown() -> None:
    """Names can be copied out of the table."""
    name = "q" * 253
    found = await listing(kubernetes(pod(name)), Table(row(name, "m" * 500)))
    (_, line) = table(found.entries, as_of_now)
    assert f" {name} " in line
    assert f" {'m' * 500} " in line


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (28799, "7h59m"),
        (172799, "47h"),
        (172800, "2d"),
        (180000, "2d2h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (800 * 86400, "2y70d"),
        (8 * 365 * 86400, "8y"),
    ],
)
def test_ages_are_written_as_kubectl_does(seconds: int, told: str) -> None:
    """The values are those of `duration_test.go` of k8s.io/apimachinery and their neighbours."""
    assert age("a time", lambda _: seconds) == told


@pytest.mark.parametrize(
    ("text", "told"), [("", "<none>"), ("yesterday", "<unknown>"), ("2026-01-01", "<unknown>")]
)
def test_a_time_that_is_none_has_no_age(text: str, told: str) -> None:
    """What LiteLLM writes there may change."""
    assert age(text, as_of_now) == told

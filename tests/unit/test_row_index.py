"""Whose rows a name leads to, as LiteLLM's router would find them."""

from typing import Any

import pytest

from sidecar.row_contract import pod_prefix, row_id
from webhook.broker.row_index import KnownRow, RowIndex, catches, known_row
from webhook.broker.shapes import Holder

OURS = Holder("here", "shop")
ELSEWHERE = Holder()
NOBODY: frozenset[Holder] = frozenset()


def shown(name: str, key: str = "hand-made", model: str = "openai/m", **info: Any) -> dict[str, Any]:
    """Give a row as LiteLLM shows it."""
    return {"model_name": name, "litellm_params": {"model": model}, "model_info": {"id": key, **info}}


def block(namespace: str = "shop", uid: str = "uid-1", cluster: str = "here") -> dict[str, Any]:
    """Give an ownership block."""
    return {"cluster": cluster, "namespace": namespace, "pod_uid": uid}


def own(name: str, uid: str = "uid-1", namespace: str = "shop") -> dict[str, Any]:
    """Give a registrar's row."""
    return shown(
        name,
        row_id("here", namespace, uid, name),
        "hosted_vllm/" + name,
        registrar=block(namespace, uid),
    )


def known(row: dict[str, Any]) -> KnownRow:
    """Take up a row that is one."""
    found = known_row(row)
    assert found is not None
    return found


def index(*rows: dict[str, Any], listed: tuple[str, ...] = ()) -> RowIndex:
    """Give an index that has seen these rows."""
    made = RowIndex()
    made.saw([known(row) for row in rows], 0.0)
    made.listed(listed)
    return made


@pytest.mark.parametrize(
    ("row", "holder"),
    [
        (own("qwen"), OURS),
        (shown("qwen"), ELSEWHERE),
        (shown("qwen", registrar=block()), OURS),  # an id of a registrar up to contract 2
        (shown("qwen", row_id("here", "other", "uid-1", "qwen"), registrar=block()), ELSEWHERE),
        (shown("qwen", row_id("here", "shop", "uid-2", "qwen"), registrar=block()), ELSEWHERE),
        (shown("qwen", registrar={"cluster": "here", "namespace": "shop"}), ELSEWHERE),
        (shown("qwen", registrar={"cluster": 1, "namespace": None, "pod_uid": []}), ELSEWHERE),
        (shown("qwen", registrar="shop"), ELSEWHERE),
    ],
)
def test_whose_a_row_is(row: dict[str, Any], holder: Holder) -> None:
    """A row is whose its block says, unless its id tells another pod; without a whole block of elsewhere."""
    assert known(row).holder == holder


@pytest.mark.parametrize("row", [{}, {"model_name": "a"}, {"model_info": {"id": "b"}}, shown("a", key=None)])  # type: ignore[arg-type]
def test_what_is_no_row_is_left_out(row: dict[str, Any]) -> None:
    """An entry without name or id, as LiteLLM shows of its agents, is none."""
    assert known_row(row) is None


@pytest.mark.parametrize(
    ("pattern", "name", "taken"),
    [
        ("openai/*", "openai/gpt", True),
        ("openai/*", "openai/", True),
        ("openai/*", "openai", False),
        ("openai/*", "my-openai/gpt", False),
        ("*", "anything", True),
        ("a-*-b", "a-1-b", True),
        ("a-*-b", "a-1-bc", True),
        ("a-*-b", "a-1-c", False),
        ("a-*-b", "x-a-1-b", False),
        ("*meta*70b", "hello-meta-70b", True),
        ("a.c*", "abc", False),
        ("a*a", "a", False),
    ],
)
def test_patterns_are_read_as_the_router_reads_them(pattern: str, name: str, taken: bool) -> None:  # noqa: FBT001 - a table
    """Anchored at the beginning only, and nothing but the star means anything."""
    assert catches(pattern, name) is taken


@pytest.mark.parametrize(
    ("name", "rows", "listed", "held"),
    [
        ("qwen", [], (), False),
        ("qwen", [shown("qwen")], (), True),
        ("qwen", [shown("Qwen")], (), False),
        ("my-id", [shown("gpt", "my-id")], (), True),
        ("openai/gpt-4o", [shown("gpt", model="openai/gpt-4o")], (), True),
        ("qwen", [shown("model_name_t_1", team_id="t", team_public_model_name="qwen")], (), True),
        ("openai/new", [shown("openai/*", model="openai/*")], (), True),
        ("openai/new", [shown("mine/*", model="openai/*")], (), False),
        ("team-1", [shown("model_name_t_1", team_id="t", team_public_model_name="team-*")], (), True),
        ("an-alias", [shown("gpt")], ("gpt", "an-alias"), True),
        # what LiteLLM knows to be a provider's it sends to that provider's pattern
        ("gpt-4.1", [shown("openai/*")], ("openai/*", "openai/gpt-4.1"), True),
        ("ft:gpt-4o:us", [shown("openai/*")], (), True),
        ("qwen", [shown("openai/*")], ("openai/*", "openai/gpt-4.1"), False),
        ("qwen", [shown("team/*"), shown("team/qwen")], ("team/*", "team/qwen"), False),
    ],
)
def test_a_name_is_held_by_what_a_request_reaches(
    name: str,
    rows: list[dict[str, Any]],
    listed: tuple[str, ...],
    held: bool,  # noqa: FBT001 - a table
) -> None:
    """By name, id, parameter, team's name, pattern, or because LiteLLM says that it can be asked for."""
    assert index(*rows, listed=listed).holders(name) == ({ELSEWHERE} if held else NOBODY)


def test_a_name_may_have_several_holders() -> None:
    """Every one of them is told, each once."""
    found = index(own("qwen"), own("qwen", "uid-2"), own("qwen", "uid-3", "other"), shown("qwen"))
    assert found.holders("qwen") == {OURS, Holder("here", "other"), ELSEWHERE}


def test_what_is_listed_is_no_other_holder_of_a_name_with_rows() -> None:
    """Names of rows are listed too."""
    assert index(own("qwen"), listed=("qwen",)).holders("qwen") == {OURS}


def test_a_model_is_reached_by_its_own_name_patterns_aside() -> None:
    """LiteLLM takes requests by `litellm_params.model` only where no pattern takes them."""
    made = index(shown("gpt-4o", model="openai/gpt-4o"), shown("openai/*", "wild", "openai/*"), own("qwen"))
    assert made.exactly("openai/gpt-4o") == {ELSEWHERE}
    assert made.exactly("openai/gpt-4.1") == NOBODY
    assert made.exactly("hosted_vllm/qwen") == {OURS}


def test_a_pod_has_its_own_rows_only() -> None:
    """A pod's rows are those whose ids tell it; a namespace's are counted by their holder."""
    found = index(own("qwen"), own("lora"), own("qwen", "uid-2"), shown("x", registrar=block()))
    assert sorted(found.own(pod_prefix("here", "shop", "uid-1")).values()) == ["lora", "qwen"]
    assert found.own(pod_prefix("here", "shop", "uid-9")) == {}
    assert found.count(OURS) == 4
    assert len(found) == 4


def test_a_row_that_changes_its_name_holds_the_new_one() -> None:
    """What was seen last counts."""
    found = index(shown("old"))
    found.saw([known(shown("new"))], 1.0)
    assert found.holders("old") == NOBODY
    assert found.holders("new") == {ELSEWHERE}
    assert len(found) == 1


def test_a_row_that_was_not_seen_since_is_forgotten() -> None:
    """Its names, its pattern and its pod with it."""
    found = index(shown("openai/*"), own("qwen"))
    found.saw([known(own("qwen"))], 5.0)
    found.forget(5.0)
    assert found.holders("openai/x") == NOBODY
    assert found.holders("qwen") == {OURS}
    found.forget(6.0)
    assert (len(found), found.count(OURS)) == (0, 0)
    assert not found._by_name
    assert not found._by_pod
    assert not found._with_patterns


def test_a_deleted_row_holds_its_name_while_replicas_may_show_it() -> None:
    """Its pod does not have it any more, also if a replica that lags shows it again."""
    row = known(own("qwen"))
    found = index(own("qwen"))
    found.deleted(row.id, 1.0)
    found.saw([row], 20.0)
    prefix = pod_prefix("here", "shop", "uid-1")
    assert found.own(prefix) == {}
    assert found.count(OURS) == 0
    assert found.holders("qwen") == {OURS}
    found.forget(21.0)
    assert (len(found), found._deleted) == (0, {})


@pytest.mark.parametrize("how", ["written again", "shown for longer than replicas lag"])
def test_a_deleted_row_that_is_there_again_counts(how: str) -> None:
    """A registrar may make the same row again, through this broker or another."""
    row = known(own("qwen"))
    found = index(own("qwen"))
    found.deleted(row.id, 1.0)
    if how == "written again":
        found.wrote(row, 2.0)
    else:
        found.saw([row], 42.0)
    assert found.own(pod_prefix("here", "shop", "uid-1")) == {row.id: "qwen"}
    assert found.count(OURS) == 1

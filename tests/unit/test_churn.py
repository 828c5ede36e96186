"""What the churn of pods counts: every kind of write or row that must not be, and none that may."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from sidecar.row_contract import row_id
from tests.real.churn.ledger import JUST_ENDED, LATE, Ledger
from tests.real.churn.plan import End, lives, places

CLUSTER = "c"
OURS = row_id(CLUSTER, "team", "uid-1", "qwen")
AGAIN = row_id(CLUSTER, "team", "uid-1", "qwen", 1)
NOBODYS = row_id(CLUSTER, "team", "uid-2", "qwen")
FOREIGN = {"by-hand": '{"model_info": {}}'}


@pytest.fixture
def ledger() -> Ledger:
    """Give the ledger of one pod that lives, and a row of somebody else."""
    made = Ledger(CLUSTER, FOREIGN)
    made.begins("team", "qwen-0", "uid-1")
    return made


def row(key: str, *, blocked: bool = False) -> dict[str, str]:
    """Give a row of the pod as the database writes it, by its id."""
    info = {"id": key, "registrar": {"model": "qwen"}}
    return {key: json.dumps({"model_id": key, "model_info": info, "blocked": blocked})}


def create(key: str) -> tuple[str, str, bytes]:
    """Give the creation of a row."""
    body = {"model_name": "qwen", "litellm_params": {"model": "x"}, "model_info": {"id": key}}
    return "POST", "/model/new", json.dumps(body).encode()


def update(key: str) -> tuple[str, str, bytes]:
    """Give the change of a row."""
    return "PATCH", f"/model/{key}/update", b"{}"


def delete(key: str) -> tuple[str, str, bytes]:
    """Give the deletion of a row."""
    return "POST", "/model/delete", json.dumps({"id": key}).encode()


def end(ledger: Ledger, at: float = 0.0) -> None:
    """End the pod."""
    ledger.leaves("team", "uid-1", at)
    ledger.ends("team", "uid-1", at)


def test_what_a_registrar_does_is_right(ledger: Ledger) -> None:
    """A pod's row is made, changed, and deleted when its end has begun, and nothing is counted."""
    ledger.wrote(*create(OURS), 1.0)
    ledger.wrote(*update(OURS), 2.0)
    ledger.saw({**FOREIGN, **row(OURS)}, 3.0)
    ledger.leaves("team", "uid-1", 4.0)
    ledger.wrote(*delete(OURS), 5.0)
    ledger.saw(FOREIGN, 6.0)
    assert ledger.wrong() == []


@pytest.mark.parametrize("write", [create, update, delete])
def test_a_write_to_a_row_of_no_pod_is_counted(
    ledger: Ledger, write: Callable[[str], tuple[str, str, bytes]]
) -> None:
    """Neither a row of a pod that never was nor one that was made by hand may be written."""
    ledger.wrote(*write(NOBODYS), 1.0)
    ledger.wrote(*write("by-hand"), 1.0)
    assert len(ledger.wrong()) == 2


def test_the_deletion_of_a_living_pods_row_is_counted(ledger: Ledger) -> None:
    """Nobody may delete the row of a pod whose end has not begun."""
    ledger.wrote(*delete(OURS), 1.0)
    assert "lives" in ledger.wrong()[0]


def test_a_write_long_after_the_pods_end_is_counted(ledger: Ledger) -> None:
    """What a registrar has sent may be carried out just after its pod's end, and not for ever."""
    end(ledger)
    ledger.wrote(*create(OURS), JUST_ENDED)
    assert ledger.wrong() == []
    ledger.wrote(*create(OURS), JUST_ENDED + 1)
    assert len(ledger.wrong()) == 1


def test_the_reaper_deletes_long_after_the_pods_end(ledger: Ledger) -> None:
    """A deletion after the end is right at any time, and is counted apart."""
    end(ledger)
    ledger.wrote(*delete(OURS), 1000.0)
    assert (ledger.wrong(), ledger.reaped) == ([], 1)


def test_questions_of_the_broker_are_no_writes(ledger: Ledger) -> None:
    """The broker finds out what its key can do by calls that cannot succeed."""
    ledger.wrote("PATCH", "/model/registrar-nobody/update", b"{}", 1.0)
    ledger.wrote(*delete("registrar-nobody"), 1.0)
    ledger.wrote("POST", "/model/new", b'{"model_name": "registrar-nobody", "litellm_params": {}}', 1.0)
    assert ledger.wrong() == []


def test_a_call_that_is_not_known_is_counted(ledger: Ledger) -> None:
    """Whatever else might write is a foreign write."""
    ledger.wrote("POST", "/model/update", b'{"model_info": {"id": "x"}}', 1.0)
    assert len(ledger.wrong()) == 1


@pytest.mark.parametrize("now", [{}, {"by-hand": '{"model_info": {"mode": "chat"}}'}])
def test_a_changed_row_of_others_is_counted(ledger: Ledger, now: dict[str, str]) -> None:
    """Rows of others stay as they are, byte for byte."""
    ledger.saw(now, 1.0)
    assert "by-hand" in ledger.wrong()[0]


def test_a_row_is_late_two_minutes_after_its_pod(ledger: Ledger) -> None:
    """How long a row outlived its pod is told, and whether that was over two minutes."""
    end(ledger)
    ledger.saw({**FOREIGN, **row(OURS)}, LATE)
    assert ledger.late() == 0
    ledger.saw({**FOREIGN, **row(OURS)}, LATE + 1)
    assert (ledger.late(), [*ledger.outlived.values()]) == (1, [LATE + 1])


def test_two_rows_of_one_model_are_counted(ledger: Ledger) -> None:
    """A pod has one row of a model, whatever its id."""
    ledger.saw({**FOREIGN, **row(OURS), **row(AGAIN)}, 1.0)
    assert ledger.wrong()[0].startswith("two rows")


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        (row(OURS), 0),
        ({}, 1),
        (row(OURS, blocked=True), 1),
        ({**row(OURS), **row(NOBODYS)}, 1),
    ],
)
def test_at_the_end_each_living_pod_has_one_open_row(
    ledger: Ledger, rows: dict[str, str], wrong: int
) -> None:
    """A missing row, a blocked one and one too many are each found."""
    assert len(ledger.astray({**FOREIGN, **rows})) == wrong


def test_at_the_end_an_ended_pod_has_no_row(ledger: Ledger) -> None:
    """A row that is left of a pod that has ended is found."""
    end(ledger)
    assert ledger.astray(FOREIGN) == []
    assert len(ledger.astray({**FOREIGN, **row(OURS)})) == 1


def test_a_plan_has_every_kind_of_life() -> None:
    """Of a thousand lives each end is met, also while registering, and so are restarts and processes."""
    planned = [*lives(1000, 14.0)]
    ends = Counter(life.end for life in planned)
    assert len(planned) == 1000
    assert min(ends[end] for end in End) > 50
    assert any(life.end is End.LOST and life.seconds < 1 for life in planned)
    assert any(life.restart is not None for life in planned)
    assert any(life.process for life in planned)


def test_pods_share_models() -> None:
    """Some models are served by several pods of a namespace, others by one alone."""
    models = Counter(slot.model for slot in places(48, "churn"))
    assert {1, 4} <= {*models.values()}

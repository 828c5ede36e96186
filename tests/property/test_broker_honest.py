"""Whatever an honest registrar asks of a broker, it gets; and LiteLLM gets it as it was sent."""

import json
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sidecar.contract import CONTRACT_VERSION, Settings
from sidecar.registration import Row, Stored, adopted, desired_rows, drift, owner_block
from sidecar.rows import Known, Presence, Step, request
from sidecar.servers.shapes import Answer
from tests import honest
from webhook.broker import answers, asking, rules
from webhook.broker.shapes import Asked, Call, RefusedError, Reply

UNHURRIED = examples(deadline=None)
api_keys = st.none() | honest.words
WRITES = (Step.CREATE, Step.SETTLE, Step.UPDATE, Step.BLOCK, Step.UNBLOCK)


def sent(step: Step, row: Row, *, marked: bool, blocked: bool) -> tuple[dict[str, Any], Asked]:
    """Give the body of a step and what the broker reads of it."""
    known = Known(Presence.THERE, row, owner_block(row, marked=marked), blocked=blocked)
    body = json.dumps(request(step, row, known, blocked=blocked))
    method, path = ("POST", "/model/new") if step is Step.CREATE else ("PATCH", f"/model/{row.id}/update")
    return json.loads(body), asking.read(method, path, "", body.encode(), CONTRACT_VERSION)


def passed(asked: Asked) -> Call:
    """Give the call that LiteLLM gets."""
    call = rules.call(asked, honest.CALLER, honest.POD, honest.CONTEXT)
    assert call is not None
    return call


@UNHURRIED
@given(honest.server_answers, honest.settings(), api_keys)
def test_every_write_passes_unchanged(answer: Answer, says: Settings, api_key: str | None) -> None:
    """Each step of each row of any engine, provider, alias and override: the very body goes to LiteLLM."""
    for row in desired_rows(answer, honest.BASE, says, honest.IDENTITY, api_key=api_key):
        for step, marked, blocked in product(WRITES, (False, True), (False, True)):
            body, asked = sent(step, row, marked=marked, blocked=blocked)
            call = passed(asked)
            assert call.body == body
            assert not call.left_out


@UNHURRIED
@given(honest.server_answers, honest.settings())
def test_what_a_write_is_answered_never_drifts(answer: Answer, says: Settings) -> None:
    """The block that the broker wrote is the one that the registrar wishes: nothing is repaired in vain."""
    rows = desired_rows(answer, honest.BASE, says, honest.IDENTITY, api_key=None)
    for row, blocked in product(rows, (False, True)):
        _, asked = sent(Step.CREATE, row, marked=blocked, blocked=blocked)
        told = Reply(200, json.dumps(dict(passed(asked).body or {})).encode())
        shown = json.loads(answers.answer(asked, told, prefix=honest.PREFIX).body)
        stored = Stored(row.id, shown["model_name"], {}, shown["model_info"], shown.get("blocked"))
        assert not drift(row, stored)
        assert stored.owner == owner_block(row, marked=blocked)


@UNHURRIED
@given(honest.server_answers, honest.settings(), st.sampled_from([Step.SETTLE, Step.BLOCK, Step.UNBLOCK]))
def test_rows_of_an_earlier_life_are_in_hand(answer: Answer, says: Settings, step: Step) -> None:
    """Of an adopted row the registrar knows id and block alone: it settles, blocks and unblocks it."""
    for row in desired_rows(answer, honest.BASE, says, honest.IDENTITY, api_key=None):
        stored = Stored(row.id, row.name, {}, {**row.info, "registrar": dict(row.owner)}, blocked=False)
        body, asked = sent(step, adopted(stored), marked=False, blocked=False)
        assert passed(asked).body == body


@UNHURRIED
@given(honest.server_answers, honest.settings(), st.sampled_from(["uid-2", "uid-", ""]))
def test_the_same_of_another_pod_is_refused(answer: Answer, says: Settings, uid: str) -> None:
    """Rows of the pod beside it, complete and honest: its ids are not those of the pod whose token it is."""
    other = replace(honest.IDENTITY, pod_uid=uid)
    rows = desired_rows(answer, honest.BASE, says, other, api_key=None)
    for row, step in product(rows, WRITES):
        _, asked = sent(step, row, marked=False, blocked=False)
        with pytest.raises(RefusedError, match="row_id"):
            passed(asked)

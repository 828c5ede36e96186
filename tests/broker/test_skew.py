"""Registrars of other versions than the broker's: they live as long as their pods.

`contract-3.json` was recorded of the registrar of contract 3. No recorded file is ever changed: what an older
registrar sends stays what it is. Contracts 4 and 5 are made up: rows of contract 3 with more in them than
anybody knows yet; `passes_as` names the request that LiteLLM is to see of it. When such a contract comes to
be, its file is recorded, and made-up ones of the two behind it take their places here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.contract import CONTRACT_VERSION
from tests.honest import CALLER, CONTEXT, POD
from webhook.broker import rules
from webhook.broker.asking import NEWEST_CONTRACT, OLDEST_CONTRACT, contract_of, read
from webhook.broker.shapes import Call, RefusedError, Rule, Tell

HERE = Path(__file__).parent
RECORDED = {
    int(path.stem.rpartition("-")[2]): json.loads(path.read_text()) for path in HERE.glob("contract-*.json")
}
OLDER = [
    (contract, request)
    for contract, requests in sorted(RECORDED.items())
    for request in requests
    if OLDEST_CONTRACT <= contract <= CONTRACT_VERSION
]
NEWER = [
    (contract, request)
    for contract, requests in sorted(RECORDED.items())
    for request in requests
    if contract > CONTRACT_VERSION
]


def called(request: dict[str, Any], contract: int) -> Call | None:
    """Give the call that LiteLLM gets of a request."""
    path, _, query = request["target"].partition("?")
    body = json.dumps(request["body"]).encode() if "body" in request else b""
    asked = read(request["method"], path, query, body, contract_of(str(contract)))
    return rules.call(asked, CALLER, POD, replace(CONTEXT, contract=contract))


@pytest.mark.parametrize(("contract", "request_"), OLDER)
def test_what_older_registrars_send_passes(contract: int, request_: dict[str, Any]) -> None:
    """As it was recorded, to LiteLLM as it stands."""
    call = called(request_, contract)
    if call is not None:
        assert call.body == request_.get("body")
        assert not call.left_out


@pytest.mark.parametrize(("contract", "request_"), NEWER)
def test_what_newer_registrars_send_passes_without_what_is_new(
    contract: int, request_: dict[str, Any]
) -> None:
    """Their rows are worth having; what LiteLLM does not get is named."""
    plain = next(each for _, each in OLDER if each["about"] == request_["passes_as"])
    call, expected = called(request_, contract), called(plain, CONTRACT_VERSION)
    assert call is not None
    assert expected is not None
    assert call == replace(expected, left_out=call.left_out)
    assert sorted(call.left_out) == request_["left_out"]


@pytest.mark.parametrize(("contract", "request_"), NEWER)
def test_the_same_of_our_own_version_is_refused(contract: int, request_: dict[str, Any]) -> None:
    """Then it is no news but a mistake, or an attack."""
    assert contract > CONTRACT_VERSION
    with pytest.raises(RefusedError) as caught:
        called(request_, CONTRACT_VERSION)
    assert caught.value.rule in (Rule.LITELLM_PARAMS, Rule.MODEL_INFO, Rule.BODY_BAD)


def test_every_contract_that_is_served_is_shown_here() -> None:
    """A new version of the contract needs its recorded requests, and two made-up ones behind it."""
    assert set(RECORDED) >= set(range(OLDEST_CONTRACT, NEWEST_CONTRACT + 1))


@pytest.mark.parametrize(
    "body",
    [
        {
            "state": "serving",
            "reason": "",
            "message": "",
            "warning": False,
            "models": 2,
            "wanted": 2,
            "routable": 0.4,
        },
        {
            "state": "blocked",
            "reason": "server_timeout",
            "message": "no answer",
            "warning": True,
            "models": 0,
            "wanted": 2,
        },
        {
            "state": "drained",
            "drain": {"end": "done", "seconds": {"deleting": 0.1, "propagating": 35.0}, "cut": 0},
        },
        {
            "state": "waiting",
            "reason": "of_a_newer_registrar",
            "drain": None,
            "more": {"than": ["is", "known"]},
        },
    ],
)
def test_what_registrars_tell_of_their_state_passes(body: dict[str, Any]) -> None:
    """As contract 3 tells it, and with more in it; what is known of it is read back as it was."""
    for contract in range(OLDEST_CONTRACT, NEWEST_CONTRACT + 1):
        told = read("POST", "/registrar/state", "", json.dumps(body).encode(), contract)
        assert isinstance(told, Tell)
        known = told.report.to_json()
        assert {key: known[key] for key in body.keys() & known.keys()} == {
            key: value for key, value in body.items() if key in known
        }
        assert body.keys() - known.keys() <= {"drain", "more"}

"""The way through a broker: what each request carries, and what the broker's own answers mean."""

import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.access import Failed
from sidecar.broker_access import MOST_PATIENCE, ByToken
from sidecar.broker_contract import BUSY, CONTRACT_HEADER, LEFT_OUT_HEADER, PodState
from sidecar.contract import CONTRACT_VERSION
from sidecar.litellm import Absent, LiteLLM
from sidecar.reasons import Reason
from sidecar.registration import Stored
from sidecar.token_file import TokenFile
from tests.standins import litellm_answers as answers
from tests.standins.broker import TOKEN, URL, Broker, refusal
from tests.standins.litellm_table import Table
from webhook.broker.shapes import Rule

BODY: dict[str, Any] = {
    "model_name": "m",
    "litellm_params": {"model": "openai/m"},
    "model_info": {"id": "registrar-1", "registrar": {"cluster": "c1"}},
}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """Give the pod's token."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


def access(token: Path, url: str | None = URL, wrong: Failed | None = None) -> ByToken:
    """Give the way to a broker."""
    return ByToken(url, TokenFile(str(token), lambda _: None), wrong)


def answering(answer: httpx.Response | Exception, token: Path) -> LiteLLM:
    """Give a client of a broker that always answers this."""

    def handle(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return LiteLLM(httpx.AsyncClient(transport=httpx.MockTransport(handle)), access(token))


async def failure(answer: httpx.Response | Exception, token: Path) -> Failed:
    """Give what a creation comes to by this answer."""
    outcome = await answering(answer, token).create(BODY)
    assert isinstance(outcome, Failed)
    return outcome


REASONS = {
    Rule.TOKEN_MISSING: (401, Reason.BROKER_REFUSED_TOKEN),
    Rule.TOKEN_REFUSED: (401, Reason.BROKER_REFUSED_TOKEN),
    Rule.TOKEN_NOT_OF_A_POD: (403, Reason.BROKER_REFUSED_POD),
    Rule.POD_GONE: (403, Reason.BROKER_REFUSED_POD),
    Rule.POD_NOT_INJECTED: (403, Reason.BROKER_REFUSED_POD),
    Rule.POD_WITHOUT_IP: (403, Reason.BROKER_POD_UNSEEN),
    Rule.HOST_NETWORK: (403, Reason.BROKER_REFUSED_POD),
    Rule.CONTRACT_UNSUPPORTED: (403, Reason.BROKER_REFUSED_POD),
    Rule.RATE: (429, Reason.BROKER_BUSY),
    Rule.BUSY: (503, Reason.BROKER_BUSY),
    Rule.CANNOT_ASK_KUBERNETES: (503, Reason.BROKER_WITHOUT_KUBERNETES),
    Rule.CANNOT_ASK_LITELLM: (502, Reason.LITELLM_UNREACHABLE),
    Rule.INTERNAL_ERROR: (500, Reason.BROKER_ERROR),
}


@pytest.mark.parametrize("rule", Rule)
async def test_every_rule_of_the_broker_has_its_reason(rule: Rule, token: Path) -> None:
    """What is not about the pod or the broker itself is about the row; the sentence is the detail."""
    status, reason = REASONS.get(rule, (403, Reason.BROKER_REFUSED_ROW))
    failed = await failure(refusal(rule, "qwen: a name of team-b", status), token)
    assert (failed.reason, failed.rule) == (reason, rule)
    assert failed.detail == "qwen: a name of team-b"


def test_the_rule_of_patience_is_the_brokers() -> None:
    """Both sides call it alike."""
    assert Rule.BUSY.value == BUSY


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusal("cannot_ask_litellm", "no answer in time", 504), Reason.LITELLM_NO_ANSWER),
        (refusal("cannot_ask_litellm", "its table is empty", 503), Reason.BROKER_NOT_YET),
        # Of a newer broker: its status tells.
        (refusal("quantum", "x"), Reason.BROKER_REFUSED_ROW),
        (refusal("quantum", "x", 401), Reason.BROKER_REFUSED_TOKEN),
        (refusal("quantum", "x", 429), Reason.BROKER_BUSY),
        (refusal("quantum", "x", 503), Reason.BROKER_BUSY),
        (refusal("quantum", "x", 507), Reason.BROKER_ERROR),
        # LiteLLM's own, passed on: it is the broker's key that it does not know.
        (httpx.Response(401, json=answers.unknown_key("sk-x").body), Reason.BROKER_WRONG_KEY),
        (
            httpx.Response(403, json=answers.role_not_allowed("internal_user").body),
            Reason.BROKER_KEY_MAY_NOT_WRITE,
        ),
        (httpx.Response(500, json=answers.no_database().body), Reason.LITELLM_NO_DATABASE),
        (httpx.Response(422, json=answers.missing_field("model_name").body), Reason.LITELLM_REFUSED_ROW),
        # No answer of anybody.
        (httpx.ConnectError("All connection attempts failed"), Reason.BROKER_UNREACHABLE),
        (httpx.ConnectTimeout("connect"), Reason.BROKER_UNREACHABLE),
        (httpx.ReadTimeout("read"), Reason.BROKER_NO_ANSWER),
        (httpx.RemoteProtocolError("Server disconnected"), Reason.BROKER_NO_ANSWER),
    ],
)
async def test_what_else_may_come(answer: httpx.Response | Exception, reason: Reason, token: Path) -> None:
    """The broker's faults, LiteLLM's behind it, and none at all are told apart."""
    assert (await failure(answer, token)).reason is reason


async def test_a_broker_of_another_authority_is_named(token: Path) -> None:
    """Not "cannot be reached": the pod must be made anew."""
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("unable to get local issuer certificate")
    assert (await failure(error, token)).reason is Reason.BROKER_BAD_TLS


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"error": "text"}', b'{"error": {"message": 7}}', b"[" * 50_000]
)
async def test_a_refusal_without_a_sentence_still_has_its_rule(body: bytes, token: Path) -> None:
    """The header tells the rule whatever the body is."""
    answer = httpx.Response(403, content=body, headers={"X-Registrar-Rule": "name_taken"})
    assert (await failure(answer, token)) == Failed(Reason.BROKER_REFUSED_ROW, "HTTP 403", "name_taken")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("9999", MOST_PATIENCE),
        ("soon", 0.0),
        ("1.5", 0.0),
        ("", 0.0),
        ("9" * 5000, MOST_PATIENCE),
    ],
)
async def test_retry_after_is_kept_within_reason(text: str, seconds: float, token: Path) -> None:
    """Whole seconds, at most a minute."""
    answer = refusal("busy", "full", 503)
    answer.headers["Retry-After"] = text
    assert (await failure(answer, token)).retry_after == seconds


async def test_every_request_carries_token_and_contract(token: Path) -> None:
    """All calls of the admin API, each with the token as it is then."""
    broker = Broker()
    api = LiteLLM(broker.client(), access(token))
    assert isinstance(await api.create(BODY), Stored)
    token.write_text("header.payload.signature-22")
    broker.tokens = {"header.payload.signature-22"}
    assert await api.ready() is None
    assert isinstance(await api.settle("registrar-1", BODY), Stored)
    assert isinstance(await api.read("registrar-1"), Stored)
    assert isinstance(await api.named("m"), tuple)
    assert isinstance(await api.table(lambda _: True), tuple)
    assert await api.delete("registrar-1") == Absent()
    assert await api.pod() is None
    assert len(broker.requests) == 8
    assert {request.headers[CONTRACT_HEADER] for request in broker.requests} == {str(CONTRACT_VERSION)}


async def test_a_missing_token_asks_nothing(token: Path) -> None:
    """Without a token no request is made; the reason names the file."""
    token.unlink()
    broker = Broker()
    failed = await LiteLLM(broker.client(), access(token)).ready()
    assert failed == Failed(Reason.BROKER_NO_TOKEN, f"{token}: No such file or directory")
    assert not broker.requests


@pytest.mark.parametrize("url", [None, "", "http://broker:8443", "broker", "https://", "https://[::1"])
async def test_the_token_never_goes_without_tls(url: str | None, token: Path) -> None:
    """An address that is not https is a named reason, and nothing is asked."""
    broker = Broker()
    failed = await LiteLLM(broker.client(), access(token, url)).ready()
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.BROKER_BAD_URL
    assert not broker.requests


@pytest.mark.parametrize("state", [PodState(deleting=False), PodState(deleting=True, grace=12)])
async def test_the_broker_tells_of_the_pod(state: PodState, token: Path) -> None:
    """What the API server says comes through as it is."""
    assert await LiteLLM(Broker(pod=state).client(), access(token)).pod() == state


@pytest.mark.parametrize(
    "answer",
    [
        refusal("cannot_ask_kubernetes", "no answer", 503),
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"deleting": "maybe"}),
        httpx.ReadTimeout("read"),
    ],
)
async def test_anything_else_is_unknown(answer: httpx.Response | Exception, token: Path) -> None:
    """An older broker, a fault, nonsense: a drain then goes by what it was injected with."""
    assert await answering(answer, token).pod() is None


async def test_what_an_older_broker_leaves_out_is_told(token: Path) -> None:
    """Its answer to a write names the parameters that it did not pass on."""
    answer = httpx.Response(200, json=BODY, headers={LEFT_OUT_HEADER: "quantum"})
    stored = await answering(answer, token).create(BODY)
    assert isinstance(stored, Stored)
    assert stored.left_out == "quantum"


async def test_other_rows_of_a_name_are_numbers_only(token: Path) -> None:
    """Of rows that are not the pod's the broker shows what LiteLLM shares out by: enough for siblings."""
    table = Table()
    for key, params in {
        "registrar-1": {"model": "x", "weight": 1},
        "foreign": {"model": "y", "rpm": 9},
    }.items():
        table.rows[key] = {
            "model_name": "m",
            "litellm_params": params,
            "model_info": {"id": key, "secret": "of another tenant"},
            "blocked": False,
        }
    rows = await LiteLLM(Broker(table).client(), access(token)).named("m")
    assert not isinstance(rows, Failed)
    own, other = rows
    assert (own.id, own.params["model"]) == ("registrar-1", "x")
    assert (dict(other.params), other.blocked) == ({"rpm": 9}, False)
    assert "tenant" not in json.dumps(dict(other.info))

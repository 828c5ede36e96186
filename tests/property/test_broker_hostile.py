"""Whatever is sent to a broker: it is refused by a rule, or touches nothing but the pod's own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sidecar.broker_contract import CONTRACT_HEADER
from sidecar.contract import CONTRACT_VERSION
from sidecar.row_contract import CLOSED_CONNECTIONS, row_id
from tests.honest import BASE, CALLER, CLUSTER, CONTEXT, POD, PREFIX
from tests.standins.litellm_table import KEY
from webhook.broker import answers, rules
from webhook.broker.asking import NEWEST_CONTRACT, OLDEST_CONTRACT, read
from webhook.broker.names import Grant
from webhook.broker.shapes import (
    Asked,
    Call,
    Change,
    Create,
    Delete,
    Look,
    RefusedError,
    Reply,
    RowSent,
    Rule,
    Siblings,
)
from webhook.keys_pod import PROVIDERS
from webhook.litellm_keys import PARAMS

UNHURRIED = examples(deadline=None)
BODIES: Final = 10_000
RECORDED: Final = [
    (request, json.dumps(request["body"]))
    for request in json.loads(
        (Path(__file__).parents[1] / "broker" / "contract-3.json").read_text(encoding="utf-8")
    )
    if "body" in request
]
OTHERS: Final = row_id(CLUSTER, "team", "uid-2", "qwen")
URL: Final = re.compile(r"registrar-[0-9a-f]{24}-[0-9a-f]{24}")
HOSTILE: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**53 + 1,
    1e308,
    "",
    "*",
    "openai/*",
    "gpt-4o",
    "all-proxy-models",
    "os.environ/LITELLM_MASTER_KEY",
    " Os.Environ/X",
    "http://169.254.169.254/latest/meta-data",
    "http://localhost:4000/v1",
    "http://10.0.0.6:8000/v1",
    f"{BASE}/v1/",
    f"{BASE}@evil/v1",
    "bedrock/anthropic.claude-3",
    "vertex_ai/gemini",
    "hosted_vllm/other",
    OTHERS,
    "0b7e0a36-1c55-4d8e-9a55-3a0a2f0e1f11",
    "a\x00b",
    "a\r\nX: y",
    "\ud800",
    "g\u0440t-4o",
    "x" * 5000,
    {},
    [],
    {"api_base": "http://localhost:4000", "api_key": "os.environ/X"},
    {"Authorization": "Bearer x"},
    [{"a": [{"b": [1]}]}],
    "uid-2",
    "kube-system",
)
_WORDS: Final = (
    "id model_id model_name litellm_params model_info blocked registrar pod_uid cluster namespace "
    "node model api_base base_url api_key extra_headers headers custom_llm_provider "
    "litellm_credential_name aws_access_key_id vertex_credentials mock_response use_in_pass_through "
    "team_id team_public_model_name access_groups health_check_model health_check_params base_model "
    "supported_environments db_model key created_by blocked_by alias tags fallbacks x"
)
KEYS: Final = tuple(_WORDS.split())


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Give every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def hostile(random: Random) -> Any:
    """Give a value of its own: others may be put into it."""
    value = random.choice(HOSTILE)
    return json.loads(json.dumps(value)) if isinstance(value, dict | list) else value


def mutate(body: Any, random: Random) -> None:
    """Put a value, a key or a branch into the body that does not belong there."""
    path = random.choice([place for place in places(body) if place])
    parent = body
    for step in path[:-1]:
        parent = parent[step]
    kind = random.randrange(4)
    if kind == 0:
        parent[path[-1]] = hostile(random)
    elif kind == 1:
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent[random.choice(KEYS)] = hostile(random)
    else:
        parent.append(hostile(random))


def broken(content: bytes, random: Random) -> bytes:
    """Give the bytes with some cut, doubled or changed."""
    at = random.randrange(len(content))
    piece = random.choice(
        (b'"', b"{", b"}", b",", b"\xff", b"\\u0000", b"\\ud800", b"NaN", b"1e999", b"0" * 30, b"")
    )
    return content[:at] + piece + content[random.choice((at, at + 1, at + 9, at // 2)) :]


def harmless(call: Call) -> None:
    """Hold a call to what no rule may ever let through."""
    body = call.body or {}
    if call.method == "GET":
        assert call.body is None
        assert call.path in ("/health/readiness", "/v2/model/info")
        assert call.query.get("modelId", PREFIX).startswith(PREFIX)
        assert "*" not in call.query.get("model", "")
        return
    if call.path == "/model/delete":
        assert body.keys() == {"id"}
        assert body["id"].startswith(PREFIX)
        return
    assert body.keys() <= {"model_name", "litellm_params", "model_info", "blocked"}
    key, params, info = body["model_info"]["id"], body["litellm_params"], body["model_info"]
    assert URL.fullmatch(key)
    assert key.startswith(PREFIX)
    assert call.path in ("/model/new", f"/model/{key}/update")
    assert not set("*\0\n") & set(body["model_name"])
    if "registrar" in info:
        whose = {name: info["registrar"][name] for name in ("cluster", "namespace", "pod", "pod_uid", "node")}
        assert tuple(whose.values()) == (CLUSTER, CALLER.namespace, CALLER.pod, CALLER.pod_uid, CALLER.node)
    assert not info.keys() & {"health_check_params", "db_model", "team_public_model_name", "blocked", "key"}
    assert info.get("team_id") is None
    if not params:
        assert info.keys() <= {"id", "registrar"}
        assert call.path != "/model/new"
        return
    assert params.keys() - PARAMS.keys() == {"model", "api_base", "api_key", "extra_headers"}
    assert params["model"].split("/")[0] in PROVIDERS
    assert params["api_base"] in (BASE, f"{BASE}/v1")
    assert params["api_key"]
    assert params["extra_headers"] in ({}, CLOSED_CONNECTIONS)
    assert "os.environ/" not in json.dumps([params, info])


# Without a team.
BARE: Final = replace(CONTEXT, grant=Grant())


def tried(method: str, target: str, body: bytes, contract: int = CONTRACT_VERSION) -> Rule | None:
    """Send it; give the rule by which it is refused, or None for what passes and is harmless."""
    path, _, query = target.partition("?")
    refused: RefusedError | None = None
    try:
        asked = read(method, path, query, body, contract)
        call = rules.call(asked, CALLER, POD, replace(BARE, contract=contract))
    except RefusedError as error:
        refused = error
    if refused is not None:
        assert refused.status == 403
        assert refused.message.isprintable()
        assert len(refused.message) < 4000
        return refused.rule
    if call is not None:
        harmless(call)
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in call.left_out)
    return None


def test_ten_thousand_fuzzed_bodies_touch_nothing_of_others() -> None:
    """Recorded requests with up to four things in them that do not belong there, of every contract served."""
    random, seen = Random(6), Counter[Rule | None]()  # noqa: S311 - a fuzz that can be repeated
    for number in range(BODIES):
        request, text = random.choice(RECORDED)
        body = json.loads(text)
        for _ in range(random.randrange(1, 5)):
            if body:
                mutate(body, random)
        content = json.dumps(body).encode()
        if number % 10 == 0:
            content = broken(content, random)
        target = request["target"].replace(PREFIX, PREFIX if random.random() < 0.95 else OTHERS[:35])
        contract = random.choice((OLDEST_CONTRACT, CONTRACT_VERSION, NEWEST_CONTRACT))
        seen[tried(request["method"], target, content, contract)] += 1
    assert seen[None] > BODIES / 50
    assert seen.keys() >= {
        Rule.BODY_BAD,
        Rule.ROW_ID,
        Rule.MODEL_NAME,
        Rule.API_BASE,
        Rule.PROVIDER,
        Rule.API_KEY,
        Rule.LITELLM_PARAMS,
        Rule.MODEL_INFO,
        Rule.TEAM,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(HOSTILE),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), below, max_size=4)
    ),
    max_leaves=20,
)
targets = st.sampled_from(
    [
        "/model/new",
        "/model/delete",
        f"/model/{PREFIX}{'0' * 24}/update",
        f"/model/{OTHERS}/update",
        "/v2/model/info",
    ]
)
contracts = st.sampled_from(range(OLDEST_CONTRACT, NEWEST_CONTRACT + 1))


@UNHURRIED
@given(st.sampled_from(["POST", "PATCH", "GET"]), targets, json_values, contracts)
def test_any_json_is_read_or_refused(method: str, target: str, value: Any, contract: int) -> None:
    """Nothing but a refusal is ever raised."""
    tried(method, target, json.dumps(value).encode(), contract)


@UNHURRIED
@given(st.text(max_size=8), st.text(max_size=60), st.text(max_size=60), st.binary(max_size=60))
def test_any_request_is_read_or_refused(method: str, path: str, query: str, body: bytes) -> None:
    """Any method, target and bytes."""
    tried(method, f"{path}?{query}", body)
    tried("POST", "/model/new", body)


@UNHURRIED
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["modelId", "model", "page", "size", "search", "sortBy", "%6dodel", "model[]"]),
            st.sampled_from(["1", "200", "qwen", "*", PREFIX + "0" * 24, OTHERS, "%2a", "%00", "%ff", ""]),
        ),
        max_size=4,
    ),
    st.sampled_from(["&", ";", "&&"]),
)
def test_any_query_is_read_or_refused(pairs: list[tuple[str, str]], between: str) -> None:
    """Of parameters and values that mean something to LiteLLM."""
    tried("GET", "/v2/model/info?" + between.join("=".join(pair) for pair in pairs), b"")


ROW = RowSent(PREFIX + "0" * 24, "qwen", {}, {}, None, None)
asked_of_litellm = st.sampled_from(
    [Create(ROW), Change(ROW.id, ROW), Delete(ROW.id), Look(ROW.id), Siblings("qwen")]
)
SECRETS = (
    "http://10.9.9.9:8000/v1",
    "sk-foreign-0123456789",
    OTHERS,
    KEY,
    "0b7e0a36-1c55-4d8e-9a55-3a0a2f0e1f11",
)
foreign_rows = st.builds(
    lambda info, params, blocked: {
        "model_name": "qwen",
        "litellm_params": {"api_base": SECRETS[0], "api_key": SECRETS[1], **params},
        "model_info": {**info, "id": OTHERS},
        "blocked": blocked,
    },
    st.dictionaries(st.sampled_from(["registrar", "key", "rpm", "x"]), st.sampled_from(SECRETS), max_size=3),
    st.dictionaries(st.sampled_from(["rpm", "tpm", "weight", "model"]), st.sampled_from([*SECRETS, 1, None])),
    st.none() | st.booleans() | st.sampled_from(SECRETS),
)
litellms = st.one_of(
    st.fixed_dictionaries({"data": st.lists(foreign_rows | json_values, max_size=4)}),
    st.fixed_dictionaries(
        {"error": st.fixed_dictionaries({"message": st.sampled_from(SECRETS).map("no {0} {0}".format)})}
    ),
    foreign_rows,
    st.sampled_from(SECRETS).map(lambda text: {"detail": [{"loc": [text], "msg": text, "input": text}]}),
    st.sampled_from(SECRETS),
)


@UNHURRIED
@given(asked_of_litellm, litellms, st.sampled_from([200, 201, 302, 400, 401, 403, 404, 422, 500, 503]))
def test_no_answer_tells_of_others(asked: Asked, value: Any, status: int) -> None:
    """No id, address or key of another's row, nor the broker's own key, whatever LiteLLM answers."""
    reply = Reply(status, json.dumps(value).encode())
    try:
        answer = answers.answer(asked, reply, prefix=PREFIX, secrets=(KEY,), left_out=())
    except RefusedError as error:
        answer = answers.refusal(error)
    assert answer.status in (200, 400, 401, 403, 404, 422, 500, 503, 504)
    text = answer.body.decode() + repr(answer.headers)
    assert not [secret for secret in SECRETS if secret in text]
    assert CONTRACT_HEADER not in answer.headers

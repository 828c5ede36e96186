"""What an honest registrar sends to a broker, made by its own code; and a broker's core to send it to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from hypothesis import strategies as st

from sidecar.broker_contract import CONTRACT_HEADER
from sidecar.contract import CONTRACT_VERSION, Alias, Engine, Override, PodIdentity, Settings
from sidecar.row_contract import base_url, pod_prefix
from sidecar.servers.facts import Ability, Fact, Facts, Mode
from sidecar.servers.shapes import Answer as ServerAnswer
from sidecar.servers.shapes import Model
from tests.standins.litellm_table import KEY, Table
from webhook import kinds
from webhook.broker import answers, asking, rules
from webhook.broker.names import Grant
from webhook.broker.rules import Context
from webhook.broker.shapes import Answer, Asked, AskPod, Call, Caller, PodFacts, RefusedError, Reply, Tell
from webhook.keys_pod import PROVIDERS
from webhook.litellm_keys import INFO, PARAMS

CLUSTER: Final = "c1"
CALLER: Final = Caller("team", "qwen-0", "uid-1", "node-1")
IDENTITY: Final = PodIdentity("team", "qwen-0", "uid-1", "10.0.0.5", "node-1")
PREFIX: Final = pod_prefix(CLUSTER, CALLER.namespace, CALLER.pod_uid)
BASE: Final = base_url("http", "10.0.0.5", 8000, "")
POD: Final = PodFacts(
    "uid-1", ("10.0.0.5",), frozenset({BASE}), "node-1", host_network=False, deleting=False, grace=None
)
GRANT: Final = Grant(teams=frozenset({"team-1"}))
CONTEXT: Final = Context(CLUSTER, CONTRACT_VERSION, GRANT)
SETTINGS: Final = Settings(cluster=CLUSTER, engine=Engine.VLLM, port=8000, nonce="n")

names = st.sampled_from(
    [
        "qwen",
        "meta-llama/Llama-3.1-8B",
        "qwen2.5:7b",
        "modèle",
        "通义",
        "a b",
        "/models/x",
        "{pod}",
        "os",
        "x|y",
    ]
)
words = st.sampled_from(
    [
        "x",
        "é",
        "two words",
        "🙂",
        "x" * 253,
        "10.0.0.5",
        "{x}",
        "\"'",
        "see os.environ/X",
        "<b>",
        "0",
        "\\u0000",
    ]
)
numbers = st.floats(0, 1000, allow_nan=False)
_OF_KIND: Final = {
    kinds.COUNT: st.integers(1, 2**53),
    kinds.RETRIES: st.integers(0, 100),
    kinds.PRICE: numbers,
    kinds.MONEY: numbers,
    kinds.SECONDS: st.floats(0.001, 86400),
    kinds.FLAG: st.booleans(),
    kinds.NAME: words,
    kinds.TEXTS: st.lists(words, min_size=1, max_size=3),
    kinds.BUDGET_DURATION: st.sampled_from(["30s", "1h", "7d", "1mo"]),
    kinds.MODE: st.sampled_from(kinds.MODES),
    INFO["tier"]: st.sampled_from(["free", "paid"]),
    INFO["description"]: words,
}


def of_kinds(table: Mapping[str, kinds.Kind]) -> dict[str, st.SearchStrategy[Any]]:
    """Give values for each key of the annotations' table."""
    return {key: _OF_KIND[kind] for key, kind in table.items()}


@st.composite
def some(draw: st.DrawFn, table: Mapping[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Give some of these keys with values."""
    return {key: draw(table[key]) for key in draw(st.lists(st.sampled_from(sorted(table)), max_size=6))}


params = some(of_kinds(PARAMS))
_own_keys = st.sampled_from(["cost-centre", "example.com/owner", "a.b", "x-y"])
_own_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=3),
    max_leaves=6,
)


@st.composite
def infos(draw: st.DrawFn, provider: str) -> dict[str, Any]:
    """Give a `model_info` that the annotations' table lets through, and the names file and health checks."""
    known = of_kinds(INFO)
    known["team_id"] = st.just("team-1")
    known["health_check_model"] = st.just(f"{provider}/tiny")
    found: dict[str, Any] = draw(some(known))
    own = draw(st.dictionaries(_own_keys, _own_values, max_size=2))
    return found | own | draw(some({"owner": words, "Größe": numbers, "supports_more": st.booleans()}))


facts = st.builds(
    Facts,
    mode=st.builds(Fact, st.none() | st.sampled_from(Mode)),
    context=st.builds(Fact, st.none() | st.integers(1, 10**7)),
    embedding_size=st.builds(Fact, st.none() | st.integers(1, 4096)),
    quantization=st.builds(Fact, st.none() | words),
    abilities=st.dictionaries(st.sampled_from(Ability), st.builds(Fact, st.booleans())),
)
labels = st.none() | words | st.just("\x01\u202e\n")
models = st.lists(
    st.builds(Model, names, root=labels, parent=st.none() | names, owner=labels, digest=labels, facts=facts),
    min_size=1,
    max_size=3,
    unique_by=lambda model: model.id,
)
server_answers = st.builds(
    ServerAnswer,
    st.sampled_from(["vllm", "ollama", "openai", "llama.cpp", "sglang"]),
    labels,
    models.map(tuple),
    st.booleans(),
)


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    """Give settings that annotations can come to."""
    provider = draw(st.none() | st.sampled_from(PROVIDERS))
    said = infos(provider or "hosted_vllm")
    return Settings(
        cluster=CLUSTER,
        engine=Engine.VLLM,
        port=8000,
        nonce="n",
        provider=provider,
        model_name=draw(st.none() | names),
        name_template=draw(st.sampled_from(["{model}", "{namespace}/{model}", "{engine}-{model}-{pod}"])),
        aliases=tuple(Alias(name) for name in draw(st.lists(names, max_size=2, unique=True))),
        mode=draw(st.none() | st.sampled_from(kinds.MODES)),
        model_info=draw(said),
        litellm_params=draw(params),
        overrides=tuple(
            Override(match, draw(said), draw(params))
            for match in draw(st.lists(st.sampled_from(["", "^q", "a"]), max_size=2))
        ),
    )


@dataclass
class Core:
    """A broker's rules, without its network, before a LiteLLM in memory; an httpx handler.

    `asked`, `calls` and `refused` are what came of the requests so far.
    """

    table: Table = field(default_factory=Table)
    caller: Caller = CALLER
    pod: PodFacts | None = POD
    context: Context = CONTEXT
    asked: list[Asked] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    refused: list[RefusedError] = field(default_factory=list)

    def client(self) -> httpx.AsyncClient:
        """Give a client whose every request comes here."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self.handle))

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, as the desk does."""
        try:
            answer = self._answer(request)
        except RefusedError as error:
            self.refused.append(error)
            answer = answers.refusal(error)
        return httpx.Response(answer.status, content=answer.body, headers=answer.headers)

    def _answer(self, request: httpx.Request) -> Answer:
        path, _, query = request.url.raw_path.decode().partition("?")
        contract = asking.contract_of(request.headers.get(CONTRACT_HEADER))
        asked = asking.read(request.method, path, query, request.content, contract)
        self.asked.append(asked)
        prefix = pod_prefix(self.context.cluster, self.caller.namespace, self.caller.pod_uid)
        call = rules.call(asked, self.caller, self.pod, self.context)
        if call is None:
            if isinstance(asked, AskPod):
                assert self.pod is not None
                return answers.pod_state(self.pod)
            if isinstance(asked, Tell):
                return answers.taken()
            shown = self._upstream(Call("GET", "/v2/model/info", {"page": "1", "size": "200"}))
            return answers.own_rows(json.loads(shown.body)["data"], prefix)
        self.calls.append(call)
        return answers.answer(
            asked, self._upstream(call), prefix=prefix, secrets=(KEY,), left_out=call.left_out
        )

    def _upstream(self, call: Call) -> Reply:
        request = httpx.Request(
            call.method,
            f"http://litellm{call.path}",
            params=call.query or None,
            json=call.body,
            headers={"Authorization": f"Bearer {KEY}"},
        )
        answer = self.table.handle(request)
        return Reply(answer.status_code, answer.content)

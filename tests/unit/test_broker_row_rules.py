"""What may be in a row, rule by rule: what passes, and what does not."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.contract import CONTRACT_VERSION
from sidecar.row_contract import row_id
from tests.honest import CALLER, CLUSTER, POD, PREFIX
from webhook.broker import row_rules
from webhook.broker.names import Grant
from webhook.broker.shapes import PodFacts, RefusedError, RowSent, Rule
from webhook.keys_pod import PROVIDERS
from webhook.litellm_keys import REFUSED_INFO, REFUSED_PARAMS

ID = row_id(CLUSTER, "team", "uid-1", "qwen")
ALIAS_ID = row_id(CLUSTER, "team", "uid-1", "qwen", alias="best")
OTHERS_ID = row_id(CLUSTER, "team", "uid-2", "qwen")
URL = "http://10.0.0.5:8000"
PARAMS: dict[str, Any] = {
    "model": "hosted_vllm/qwen",
    "api_base": f"{URL}/v1",
    "api_key": "none",
    "extra_headers": {},
    "weight": 1,
}
OWNER: dict[str, Any] = {
    "cluster": CLUSTER,
    "namespace": "team",
    "pod": "qwen-0",
    "pod_uid": "uid-1",
    "node": "node-1",
    "server": "vllm",
    "version": "0.32.0",
    "model": "qwen",
    "owner": "vllm",
    "unknown": ["supports_vision"],
}
NEWER = CONTRACT_VERSION + 1


def row(
    *,
    key: str = ID,
    name: str = "qwen",
    params: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
    owner: dict[str, Any] | None = None,
) -> RowSent:
    """Give a row as it was sent; `params` and `info` are added to an honest one's."""
    return RowSent(key, name, PARAMS | (params or {}), {"mode": "chat"} | (info or {}), owner or OWNER, None)


def without(found: dict[str, Any], key: str) -> dict[str, Any]:
    """Leave a key out."""
    return {name: value for name, value in found.items() if name != key}


def refused(caught: pytest.ExceptionInfo[RefusedError], rule: Rule, part: str = "") -> None:
    """Expect this rule, 403, and a message that names the place."""
    assert (caught.value.rule, caught.value.status) == (rule, 403)
    assert part in caught.value.message


@pytest.mark.parametrize("key", [ID, ALIAS_ID, PREFIX + "0" * 24])
def test_ids_with_the_pods_prefix_are_its_own(key: str) -> None:
    """They need no look at what LiteLLM has."""
    row_rules.own_id(key, CLUSTER, CALLER)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "0" * 24,
        PREFIX,
        PREFIX + "0" * 23,
        PREFIX + "0" * 25,
        PREFIX + "g" * 24,
        PREFIX + "0" * 23 + "\n",
        PREFIX.upper() + "0" * 24,
        PREFIX + "0" * 20 + "/../",
        f" {ID}",
        f"{ID}\n",
        f"{ID}%00",
        OTHERS_ID,
        row_id("c2", "team", "uid-1", "qwen"),
        row_id(CLUSTER, "other", "uid-1", "qwen"),
        "0b7e0a36-1c55-4d8e-9a55-3a0a2f0e1f11",
        "gpt-4o",
    ],
)
def test_other_ids_are_nobodys_business(key: str) -> None:
    """Another pod's, another cluster's, one made by LiteLLM, and every near miss."""
    with pytest.raises(RefusedError) as caught:
        row_rules.own_id(key, CLUSTER, CALLER)
    refused(caught, Rule.ROW_ID)


def test_path_and_body_name_the_same_row() -> None:
    """LiteLLM finds the row by the one and stores the other."""
    row_rules.same_id(ID, row())
    with pytest.raises(RefusedError) as caught:
        row_rules.same_id(ALIAS_ID, row())
    refused(caught, Rule.ROW_ID, "model_info.id")


@pytest.mark.parametrize(
    "sent",
    [
        row(),
        row(name="renamed"),
        row(key=ALIAS_ID, name="best", owner=OWNER | {"alias": "best"}),
        replace(row(), owner=None),
        replace(row(key=ALIAS_ID, name="best"), owner=None),
        replace(row(), params={}),
        replace(row(key=ALIAS_ID, owner=OWNER | {"alias": "best"}), params={}),
        replace(row(key=PREFIX + "0" * 24), params={}, owner=None),
    ],
)
def test_an_id_is_the_one_of_its_model(sent: RowSent) -> None:
    """Under its own name or an alias, said by the parameters, by the block, or by neither."""
    row_rules.derived_id(sent, CLUSTER, CALLER)


@pytest.mark.parametrize(
    "sent",
    [
        row(key=PREFIX + "0" * 24),
        row(key=ALIAS_ID, name="best"),
        row(key=ALIAS_ID, name="other", owner=OWNER | {"alias": "best"}),
        row(owner=OWNER | {"alias": "best"}),
        row(owner=OWNER | {"model": "other"}),
        row(params={"model": "hosted_vllm/other"}),
        replace(row(key=ALIAS_ID, name="other"), owner=None),
        replace(row(key=ALIAS_ID, name="best"), params={}),
        row(key=row_id(CLUSTER, "team", "uid-1", "qwen", 1)),
    ],
)
def test_an_id_of_another_model_is_refused(sent: RowSent) -> None:
    """The same name of the same model has one id, always: no pod has a row twice."""
    with pytest.raises(RefusedError) as caught:
        row_rules.derived_id(sent, CLUSTER, CALLER)
    refused(caught, Rule.ROW_ID)


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_registrars_providers_pass(name: str) -> None:
    """The model's id may hold slashes itself."""
    sent = row(params={"model": f"{name}/meta/llama"}, owner=OWNER | {"model": "meta/llama"})
    assert row_rules.provider(sent) == name


@pytest.mark.parametrize(
    "model",
    [
        None,
        7,
        ["hosted_vllm/qwen"],
        "",
        "qwen",
        "/qwen",
        "hosted_vllm/",
        "hosted_vllm",
        "HOSTED_VLLM/qwen",
        " hosted_vllm/qwen",
        "hosted_vllm /qwen",
        "bedrock/qwen",
        "vertex_ai/qwen",
        "gemini/qwen",
        "azure/qwen",
        "sagemaker/qwen",
        "litellm_proxy/qwen",
        "openai_like/qwen",
        "custom_openai/qwen",
        "auto_router/qwen",
        "os.environ/MODEL",
        "hosted_vllm/other",
        "openai/*",
    ],
)
def test_other_providers_are_refused(model: object) -> None:
    """LiteLLM has credentials of its own for them; and the model is that of the block."""
    with pytest.raises(RefusedError) as caught:
        row_rules.provider(row(params={"model": model}))
    refused(caught, Rule.PROVIDER, "litellm_params.model")


@pytest.mark.parametrize("model", ["hosted_vllm/", "hosted_vllm", "/qwen", "openai/*", "openai/gpt-*"])
def test_a_provider_alone_is_no_model(model: str) -> None:
    """Also where no block says which model it is."""
    with pytest.raises(RefusedError) as caught:
        row_rules.provider(replace(row(params={"model": model}), owner=None))
    refused(caught, Rule.PROVIDER)


DUAL = replace(POD, addresses=("10.0.0.5", "fd00::5"), base_urls=frozenset({URL, "http://[fd00::5]:8000"}))
HOSTED = replace(POD, host="LLM.example.com", host_url="https://LLM.example.com:8443/p")
GIVEN = Grant(hosts=frozenset({"llm.example.com"}))


@pytest.mark.parametrize(
    ("base", "provider", "pod", "grant"),
    [
        (f"{URL}/v1", "hosted_vllm", POD, Grant()),
        (f"{URL}/v1", "openai", POD, Grant()),
        (URL, "ollama", POD, Grant()),
        (URL, "ollama_chat", POD, Grant()),
        ("http://[fd00::5]:8000/v1", "openai", DUAL, Grant()),
        (f"{URL}/v1", "openai", DUAL, Grant()),
        ("https://LLM.example.com:8443/p/v1", "openai", HOSTED, GIVEN),
        (f"{URL}/v1", "openai", HOSTED, Grant()),
    ],
)
def test_a_row_leads_to_its_own_pod(base: str, provider: str, pod: PodFacts, grant: Grant) -> None:
    """By one of its IPs, or by the host that the names file gives its namespace."""
    row_rules.at_the_pod(row(params={"api_base": base}), provider, pod, grant)


@pytest.mark.parametrize(
    "base",
    [
        None,
        7,
        [f"{URL}/v1"],
        "",
        URL,
        f"{URL}/v1/",
        f"{URL}/v1?x=1",
        f"{URL}/v1#x",
        f"{URL}/v1/../../",
        f"{URL}//v1",
        f" {URL}/v1",
        f"{URL}/v1\n",
        "HTTP://10.0.0.5:8000/v1",
        "https://10.0.0.5:8000/v1",
        "http://10.0.0.5:8001/v1",
        "http://10.0.0.5/v1",
        "http://10.0.0.6:8000/v1",  # another pod
        "http://10.0.0.05:8000/v1",
        "http://0xa000005:8000/v1",
        "http://167772165:8000/v1",
        "http://10.0.0.5:08000/v1",
        "http://user@10.0.0.5:8000/v1",
        "http://10.0.0.5:8000@169.254.169.254/v1",
        "http://169.254.169.254/v1",  # a cloud's metadata
        "http://[::ffff:10.0.0.5]:8000/v1",
        "http://localhost:4000/v1",  # LiteLLM itself
        "http://192.0.2.1:10250/v1",  # the node
        "http://10.0.0.5.nip.io:8000/v1",
        "http://10.0.0.5:8000\\@evil/v1",
        "os.environ/DATABASE_URL",
        "unix:///run/x",
    ],
)
def test_a_row_leads_nowhere_else(base: object) -> None:
    """The address is compared, not read: what is not the very text is another one."""
    with pytest.raises(RefusedError) as caught:
        row_rules.at_the_pod(row(params={"api_base": base}), "hosted_vllm", POD, Grant())
    refused(caught, Rule.API_BASE, f"allowed is {URL}/v1")


@pytest.mark.parametrize(
    ("base", "pod", "grant"),
    [
        ("https://LLM.example.com:8443/p/v1", HOSTED, Grant()),
        ("https://LLM.example.com:8443/p/v1", HOSTED, Grant(hosts=frozenset({"example.com"}))),
        ("https://llm.example.com:8443/p/v1", POD, GIVEN),
        (f"{URL}/v1", replace(POD, addresses=(), base_urls=frozenset()), Grant()),
    ],
)
def test_a_host_is_one_that_was_given(base: str, pod: PodFacts, grant: Grant) -> None:
    """A name of DNS may lead anywhere, so the names file has to list it."""
    with pytest.raises(RefusedError) as caught:
        row_rules.at_the_pod(row(params={"api_base": base}), "hosted_vllm", pod, grant)
    refused(caught, Rule.API_BASE)


def test_a_host_that_was_not_given_is_named() -> None:
    """The owner set an annotation, and has to learn that it is not enough."""
    with pytest.raises(RefusedError) as caught:
        row_rules.at_the_pod(row(params={"api_base": "x"}), "hosted_vllm", HOSTED, Grant())
    refused(caught, Rule.API_BASE, "'LLM.example.com' is not one of those that the names file gives")


@pytest.mark.parametrize("key", ["none", "sk-server", "two words", "x" * 4096])
def test_the_servers_own_key_passes(key: str) -> None:
    """Without one the registrar sends a word."""
    row_rules.key_of_the_server(row(params={"api_key": key}))


@pytest.mark.parametrize(
    "key", [None, "", 7, ["x"], "x" * 4097, "a\nb", "a\r\nX: y", "os.environ/OPENAI_API_KEY", " OS.ENVIRON/x"]
)
def test_a_row_has_a_key_that_is_no_reference(key: object) -> None:
    """Else LiteLLM sends one of its own to the tenant's server; the key is in no message."""
    with pytest.raises(RefusedError) as caught:
        row_rules.key_of_the_server(row(params={"api_key": key}))
    refused(caught, Rule.API_KEY)
    assert "OPENAI" not in caught.value.message


def test_a_row_without_a_key_is_refused() -> None:
    """Absent is not the same as none."""
    with pytest.raises(RefusedError) as caught:
        row_rules.key_of_the_server(replace(row(), params=without(PARAMS, "api_key")))
    refused(caught, Rule.API_KEY)


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}])
def test_headers_are_those_of_the_drain(headers: dict[str, str]) -> None:
    """By closed connections it counts what is in flight."""
    row_rules.headers(row(params={"extra_headers": headers}))


@pytest.mark.parametrize(
    "headers",
    [None, [], "", {"connection": "close"}, {"Connection": "close", "X": "y"}, {"Authorization": "Bearer x"}],
)
def test_other_headers_are_refused(headers: object) -> None:
    """LiteLLM would send them to the server with each request."""
    with pytest.raises(RefusedError) as caught:
        row_rules.headers(row(params={"extra_headers": headers}))
    refused(caught, Rule.LITELLM_PARAMS, "extra_headers")


def test_parameters_of_the_table_pass() -> None:
    """All of them, as they were sent."""
    added = {"rpm": 10, "timeout": 1.5, "tags": ["a"], "drop_params": True, "input_cost_per_token": 0}
    assert row_rules.params(row(params=added), CONTRACT_VERSION) == (PARAMS | added, ())


@pytest.mark.parametrize(
    "key", sorted(set(REFUSED_PARAMS) - {"model", "api_base", "api_key", "extra_headers"})
)
@pytest.mark.parametrize("contract", [CONTRACT_VERSION, NEWER])
def test_parameters_that_annotations_refuse_are_refused(key: str, contract: int) -> None:
    """Also of a registrar that is newer: they are known, and dangerous."""
    with pytest.raises(RefusedError) as caught:
        row_rules.params(row(params={key: "x"}), contract)
    refused(caught, Rule.LITELLM_PARAMS, repr(key))


@pytest.mark.parametrize(
    "added",
    [
        {"unheard_of": 1},
        {"": 1},
        {"rpm": 0},
        {"rpm": -1},
        {"rpm": "10"},
        {"rpm": 1.5},
        {"rpm": True},
        {"rpm": None},
        {"timeout": 1e9},
        {"tags": "a"},
        {"tags": ["os.environ/X"]},
        {"tags": []},
        {"drop_params": "os.environ/X"},
        {"input_cost_per_token": -1},
        {"budget_duration": "forever"},
    ],
)
def test_parameters_beyond_the_table_are_refused(added: dict[str, Any]) -> None:
    """Unknown keys, and values of another kind."""
    with pytest.raises(RefusedError) as caught:
        row_rules.params(row(params=added), CONTRACT_VERSION)
    refused(caught, Rule.LITELLM_PARAMS, "litellm_params")


def test_a_newer_registrars_parameters_are_left_out_and_named() -> None:
    """The rest of the row is worth having."""
    sent = row(params={"zeta": {"deep": 1}, "alpha": "os.environ/X", "rpm": 5})
    kept, left_out = row_rules.params(sent, NEWER)
    assert kept == PARAMS | {"rpm": 5}
    assert left_out == ("litellm_params.alpha", "litellm_params.zeta")


@pytest.mark.parametrize(
    "info",
    [
        {"max_tokens": 0, "max_input_tokens": 0, "max_output_tokens": 0, "output_vector_size": 0},
        {"supports_vision": False, "supports_telepathy": True},
        {
            "cost-centre": {"deep": [1, None, "see os.environ/X"]},
            "Größe": 1.5,
            "mine": None,
            "list": [1, "a"],
        },
        {"access_groups": ["a"], "description": "d", "tier": "paid", "base_model": "gpt-4o"},
    ],
)
def test_what_describes_the_model_passes(info: dict[str, Any]) -> None:
    """The registrar's numbers may be 0; other keys are the owner's own."""
    assert row_rules.info(row(info=info), CONTRACT_VERSION) == ({"mode": "chat"} | info, ())


@pytest.mark.parametrize("key", sorted(REFUSED_INFO))
def test_keys_that_annotations_refuse_are_refused(key: str) -> None:
    """LiteLLM's own, and those that name secrets."""
    with pytest.raises(RefusedError) as caught:
        row_rules.info(row(info={key: "x"}), NEWER)
    refused(caught, Rule.MODEL_INFO, repr(key))


@pytest.mark.parametrize(
    "info",
    [
        {"mode": "image_generation"},
        {"mode": None},
        {"max_tokens": -1},
        {"max_tokens": False},
        {"max_tokens": 0.0},
        {"health_check_timeout": 0},
        {"supports_vision": 1},
        {"supports_telepathy": "yes"},
        {"input_cost_per_token": 0},
        {"some_cost": 0},
        {"cost_per_second": 0},
        {"rpm": 5},
        {"api_base": "http://litellm:4000"},
        {"": 1},
        {"a\nb": 1},
        {"x" * 254: 1},
        {"access_groups": "all"},
        {"display_name": "os.environ/X"},
        {"mine": "os.environ/X"},
        {"my/own": ["a", {"b": " Os.Environ/X"}]},
        {"my/own": {"os.environ/X": 1}},
        {"mine": {"a": 1}},
        {"mine": [1, {}]},
        {"health_check_params": {"api_base": "http://169.254.169.254"}},
        {"health_check_url": "http://169.254.169.254"},
        {"supported_environments": ["production"]},
        {"litellm_anything": 1},
    ],
)
def test_what_does_not_describe_the_model_is_refused(info: dict[str, Any]) -> None:
    """Values of another kind, keys that belong elsewhere, and references however deep."""
    with pytest.raises(RefusedError) as caught:
        row_rules.info(row(info=info), CONTRACT_VERSION)
    refused(caught, Rule.MODEL_INFO, "model_info")


def test_what_a_newer_registrar_says_of_the_model_is_left_out_and_named() -> None:
    """Where it may mean something to LiteLLM; what is known to be dangerous is refused all the same."""
    sent = row(info={"health_check_url": "http://x", "plan": {"a": 1}, "owner": "me", "rank": [1]})
    kept, left_out = row_rules.info(sent, NEWER)
    assert kept == {"mode": "chat", "owner": "me", "rank": [1]}
    assert left_out == ("model_info.health_check_url", "model_info.plan")


def test_a_health_check_asks_by_the_rows_own_provider() -> None:
    """The pod's own model, or another of the same server."""
    row_rules.checked_like_the_row(row(info={"health_check_model": "openai/tiny"}), "openai")
    row_rules.checked_like_the_row(row(), "openai")


@pytest.mark.parametrize(
    "model", ["bedrock/x", "gemini-pro", "hosted_vllm/x", "openai", "OpenAI/x", 7, ["openai/x"]]
)
def test_a_health_check_by_another_provider_is_refused(model: object) -> None:
    """LiteLLM would sign it with the cloud's credentials, and send it to the pod."""
    with pytest.raises(RefusedError) as caught:
        row_rules.checked_like_the_row(row(info={"health_check_model": model}), "openai")
    refused(caught, Rule.MODEL_INFO, "health_check_model")


def test_a_team_is_one_that_was_given() -> None:
    """Without a team the row is everybody's who may use its name."""
    row_rules.team(row(info={"team_id": "t-1"}), Grant(teams=frozenset({"t-1"})))
    row_rules.team(row(), Grant())


@pytest.mark.parametrize("team", ["t-2", "", 7, ["t-1"], {"t-1": 1}])
def test_another_team_is_refused(team: object) -> None:
    """Its members would get the model under a name of theirs."""
    with pytest.raises(RefusedError) as caught:
        row_rules.team(row(info={"team_id": team}), Grant(teams=frozenset({"t-1"})))
    refused(caught, Rule.TEAM, "model_info.team_id")


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"namespace": "kube-system", "pod": "x", "pod_uid": "uid-2", "node": "n", "cluster": "c2"},
        {"pod": ["x"]},
    ],
)
def test_the_broker_writes_whose_the_row_is(forged: dict[str, Any]) -> None:
    """Whatever was sent; what the model is is taken over as it is."""
    block, left_out = row_rules.owner_block(
        row(owner=OWNER | forged), CLUSTER, CALLER, "node-1", CONTRACT_VERSION
    )
    assert (block, left_out) == (OWNER, ())


def test_what_is_not_said_of_the_model_is_not_written() -> None:
    """The registrar compares the block with the one it sent: nothing is added."""
    more = {"alias": "best", "digest": "sha256:1", "quantization": "fp8", "blocked_by": "registrar"}
    block, _ = row_rules.owner_block(row(owner=OWNER | more), CLUSTER, CALLER, "node-1", CONTRACT_VERSION)
    assert block == OWNER | more
    assert not more.keys() & OWNER.keys()


@pytest.mark.parametrize("key", ["server", "version", "model", "owner", "unknown"])
def test_a_block_that_says_too_little_is_refused(key: str) -> None:
    """The registrar sends all of these, empty where nothing is known."""
    with pytest.raises(RefusedError) as caught:
        row_rules.owner_block(row(owner=without(OWNER, key)), CLUSTER, CALLER, "", CONTRACT_VERSION)
    refused(caught, Rule.MODEL_INFO, f"{key} is missing")


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": None},
        {"version": 1},
        {"version": "x" * 1025},
        {"owner": {"a": 1}},
        {"alias": None},
        {"unknown": "supports_vision"},
        {"unknown": [1]},
        {"unknown": ["x"] * 65},
        {"unknown": ["x" * 254]},
        {"blocked_by": "admin"},
        {"blocked_by": None},
        {"reaper": "never"},
        {"version": "os.environ/X"},
        {"unknown": ["os.environ/X"]},
    ],
)
def test_a_block_that_says_it_wrongly_is_refused(wrong: dict[str, Any]) -> None:
    """Texts of bounded length, and no key that is unknown."""
    with pytest.raises(RefusedError) as caught:
        row_rules.owner_block(row(owner=OWNER | wrong), CLUSTER, CALLER, "", CONTRACT_VERSION)
    refused(caught, Rule.MODEL_INFO, "model_info.registrar")


def test_what_a_newer_block_says_is_left_out_and_named() -> None:
    """The registrar learns of it, and does not wish for it any more."""
    block, left_out = row_rules.owner_block(
        row(owner=OWNER | {"licence": "MIT"}), CLUSTER, CALLER, "node-1", NEWER
    )
    assert (block, left_out) == (OWNER, ("model_info.registrar.licence",))

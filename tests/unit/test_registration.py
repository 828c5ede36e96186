"""From a model to its row."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.contract import Engine, PodIdentity, Settings
from sidecar.registration import (
    CAPABILITIES,
    Row,
    Stored,
    adopted,
    body,
    desired_rows,
    drift,
    is_ours,
    owner_block,
    public_names,
    row_id,
)
from sidecar.servers.shapes import Answer, Model

SETTINGS = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n")
IDENTITY = PodIdentity(namespace="team", pod="qwen-0", pod_uid="u1", pod_ip="10.0.0.5", node="n1")
URL = "http://10.0.0.5:8000"


def answer(*models: Model, engine: str = "vllm", gauges: bool = True) -> Answer:
    """Give an answer of a server with these models."""
    return Answer(engine, "0.32.0", models, gauges)


def rows(seen: Answer, api_key: str | None = None, **settings: Any) -> tuple[Row, ...]:
    """Give the rows for it."""
    return desired_rows(seen, URL, replace(SETTINGS, **settings), IDENTITY, api_key=api_key)


def stored(row: Row, *, blocked: bool = False, **info: Any) -> Stored:
    """Give the row as LiteLLM shows it."""
    return Stored(row.id, row.name, row.params, {**row.info, "registrar": dict(row.owner), **info}, blocked)


def test_a_row_of_vllm_is_whole() -> None:
    """Everything about a row is explicit; the golden row of a vLLM model with a known context length."""
    (row,) = rows(answer(Model("qwen", context=4096, owner="vllm")), api_key="sk-server")
    assert row.id == row_id("c1", "team", "u1", "qwen")
    assert row.name == "qwen"
    assert row.params == {
        "model": "hosted_vllm/qwen",
        "api_base": "http://10.0.0.5:8000/v1",
        "api_key": "sk-server",
        "extra_headers": {},
    }
    assert row.info == {
        "id": row.id,
        "mode": "chat",
        "max_tokens": 4096,
        "max_input_tokens": 4096,
        **dict.fromkeys(CAPABILITIES, False),
    }
    assert row.owner == {
        "cluster": "c1",
        "namespace": "team",
        "pod": "qwen-0",
        "pod_uid": "u1",
        "node": "n1",
        "server": "vllm",
        "version": "0.32.0",
        "model": "qwen",
        "owner": "vllm",
        "unknown": sorted([*CAPABILITIES, "mode"]),
    }


def test_what_is_not_known_is_named() -> None:
    """An unknown context length is not sent but named; a known mode is not named."""
    (row,) = rows(answer(Model("e", mode="embedding")))
    assert row.info["mode"] == "embedding"
    assert "max_input_tokens" not in row.info
    assert "max_tokens" not in row.info
    assert "max_input_tokens" in row.owner["unknown"]
    assert "mode" not in row.owner["unknown"]


@pytest.mark.parametrize(
    ("engine", "provider", "model", "base"),
    [
        ("vllm", None, "hosted_vllm/m", f"{URL}/v1"),
        ("llama.cpp", None, "hosted_vllm/m", f"{URL}/v1"),
        ("openai", None, "hosted_vllm/m", f"{URL}/v1"),
        ("ollama", None, "openai/m", f"{URL}/v1"),
        ("ollama", "ollama_chat", "ollama_chat/m", URL),
        ("ollama", "ollama", "ollama/m", URL),
        ("vllm", "openai", "openai/m", f"{URL}/v1"),
    ],
)
def test_provider_prefix_and_address(engine: str, provider: str | None, model: str, base: str) -> None:
    """The prefix follows the engine unless it is set; Ollama's own providers get the address without /v1."""
    (row,) = rows(answer(Model("m"), engine=engine), provider=provider)
    assert row.params["model"] == model
    assert row.params["api_base"] == base


def test_an_api_key_is_always_sent() -> None:
    """Without a key of the server's some text is sent, or `openai/` would use the proxy's own key."""
    (row,) = rows(answer(Model("m")))
    assert row.params["api_key"] == "none"


def test_connections_are_closed_where_the_engine_has_no_gauges() -> None:
    """Rows of engines that do not tell what is in flight ask for a connection per request."""
    (row,) = rows(answer(Model("m"), gauges=False))
    assert row.params["extra_headers"] == {"Connection": "close"}


def test_the_template_names_every_model() -> None:
    """Placeholders are filled in for each model; one that nobody knows stays as it is."""
    settings = replace(SETTINGS, name_template="{namespace}/{engine}/{model}@{pod}{who}")
    names = public_names(answer(Model("a"), Model("b")), settings, IDENTITY)
    assert names == {"a": "team/vllm/a@qwen-0{who}", "b": "team/vllm/b@qwen-0{who}"}


def test_a_model_whose_name_looks_like_a_placeholder_keeps_it() -> None:
    """What a placeholder is replaced by is not looked at again."""
    assert public_names(answer(Model("{pod}")), SETTINGS, IDENTITY) == {"{pod}": "{pod}"}


def test_model_name_renames_the_one_base_model() -> None:
    """`model_name` takes the place of the base model's name, inside the template; adapters keep theirs."""
    settings = replace(SETTINGS, model_name="gpt", name_template="x-{model}")
    seen = answer(Model("base"), Model("lora", parent="base"))
    assert public_names(seen, settings, IDENTITY) == {"base": "x-gpt", "lora": "x-lora"}


def test_model_name_renames_nothing_where_there_are_several_base_models() -> None:
    """Two models must not end up under one name because of a setting for one."""
    settings = replace(SETTINGS, model_name="gpt")
    assert public_names(answer(Model("a"), Model("b")), settings, IDENTITY) == {"a": "a", "b": "b"}


def test_two_served_names_are_two_rows() -> None:
    """Each served name has a row of its own with an id of its own."""
    first, second = rows(answer(Model("a", root="/m"), Model("b", root="/m")))
    assert first.id != second.id
    assert (first.name, second.name) == ("a", "b")


def test_the_id_is_the_same_again() -> None:
    """The id is a constant of its parts: a changed one would double every row of a running cluster."""
    assert row_id("c1", "team", "u1", "qwen") == "registrar-3e9f1a44c79ac7b4ca4abde83e195320"
    assert row_id("c1", "team", "u1", "qwen", 1) != row_id("c1", "team", "u1", "qwen")


def test_secrets_are_not_in_the_repr() -> None:
    """A row printed by accident does not show the server's key."""
    (row,) = rows(answer(Model("m")), api_key="sk-server-secret")
    assert "sk-server-secret" not in repr(row)
    assert "sk-server-secret" not in repr(stored(row))


def test_a_body_always_carries_the_id() -> None:
    """A PATCH of model_info without its id would store a random one."""
    (row,) = rows(answer(Model("m")))
    settling = body(row, owner=None, blocked=None)
    assert settling["model_info"]["id"] == row.id
    assert "registrar" not in settling["model_info"]
    assert "blocked" not in settling
    blocking = body(row, owner=owner_block(row, marked=True), blocked=True)
    assert blocking["blocked"] is True
    assert blocking["model_info"]["registrar"]["blocked_by"] == "registrar"


def test_a_row_as_it_was_sent_has_no_drift() -> None:
    """Keys that LiteLLM adds or hides, and the mark of a block, are no drift."""
    (row,) = rows(answer(Model("m", context=10)), api_key="sk-server")
    seen = stored(row, db_model=True, litellm_provider="hosted_vllm")
    shown = {key: value for key, value in row.params.items() if key in ("model", "use_in_pass_through")}
    assert drift(row, replace(seen, params=shown)) == ()
    marked = {**seen.info, "registrar": owner_block(row, marked=True)}
    assert drift(row, replace(seen, info=marked)) == ()


def test_drift_names_the_keys() -> None:
    """Every key of ours that somebody changed is named."""
    (row,) = rows(answer(Model("m", context=10)))
    seen = stored(row, supports_vision=True, max_tokens=5)
    changed = replace(seen, name="other", params={**row.params, "api_base": "http://elsewhere"})
    assert set(drift(row, changed)) == {
        "model_name",
        "litellm_params.api_base",
        "model_info.max_tokens",
        "model_info.supports_vision",
    }
    stolen = {**seen.info, "registrar": {"cluster": "c2"}, "max_tokens": 10, "supports_vision": False}
    assert drift(row, replace(seen, info=stolen)) == ("model_info.registrar",)


@pytest.mark.parametrize(
    "owner",
    [
        {"cluster": "c2", "pod_uid": "u1"},
        {"cluster": "c1", "pod_uid": "u2"},
        {"pod_uid": "u1"},
        {},
        None,
        "registrar",
        ["c1", "u1"],
    ],
)
def test_rows_of_others_are_not_ours(owner: Any) -> None:
    """Only rows with our cluster and our pod's uid are ours, whatever else somebody put there."""
    row = Stored("registrar-1", "m", {}, {"id": "registrar-1", "registrar": owner}, blocked=None)
    assert not is_ours(row, SETTINGS, IDENTITY)


def test_a_row_of_an_earlier_life_is_taken_over_but_never_made_anew() -> None:
    """What is adopted keeps its owner without the mark, and is not whole: it cannot be created again."""
    (row,) = rows(answer(Model("m")))
    found = stored(row, blocked=True, registrar=owner_block(row, marked=True))
    assert is_ours(found, SETTINGS, IDENTITY)
    taken = adopted(found)
    assert (taken.id, taken.served, taken.owner) == (row.id, "m", row.owner)
    assert row.whole
    assert not taken.whole

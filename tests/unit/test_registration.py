"""From a model to its row."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.contract import Alias, Engine, Override, PodIdentity, Settings
from sidecar.registration import (
    Row,
    Stored,
    adopted,
    body,
    desired_rows,
    drift,
    is_ours,
    left_over,
    owner_block,
)
from sidecar.row_contract import row_id
from sidecar.servers.facts import Ability, Fact, Facts, Origin
from sidecar.servers.shapes import Answer, Model

SETTINGS = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n")
IDENTITY = PodIdentity(namespace="team", pod="qwen-0", pod_uid="u1", pod_ip="10.0.0.5", node="n1")
URL = "http://10.0.0.5:8000"
FLAGS = [f"supports_{ability}" for ability in Ability]


def told(context: int) -> Facts:
    """Give the facts of a model of which only the served context is known."""
    return Facts(context=Fact(context, Origin.ENGINE))


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
    (row,) = rows(answer(Model("qwen", facts=told(4096), owner="vllm")), api_key="sk-server")
    assert row.id == row_id("c1", "team", "u1", "qwen")
    assert row.name == "qwen"
    assert row.params == {
        "model": "hosted_vllm/qwen",
        "api_base": "http://10.0.0.5:8000/v1",
        "api_key": "sk-server",
        "extra_headers": {},
        "weight": 1,
    }
    assert row.info == {
        "id": row.id,
        "mode": "chat",
        "max_tokens": 4096,
        "max_input_tokens": 4096,
        "max_output_tokens": 4096,
        "output_vector_size": 0,
        **dict.fromkeys(FLAGS, False),
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
        "unknown": sorted([*FLAGS, "mode"]),
    }


def test_what_is_found_beside_the_facts_stands_in_the_ownership_block() -> None:
    """LiteLLM has no key for quantization and digest: they are told where the registrar tells its own."""
    facts = Facts(quantization=Fact("Q4_K_M", Origin.ENGINE))
    (row,) = rows(answer(Model("m", digest="sha256:12", facts=facts), engine="ollama"))
    assert (row.owner["quantization"], row.owner["digest"]) == ("Q4_K_M", "sha256:12")
    (other,) = rows(answer(Model("m")))
    assert not {"quantization", "digest", "alias"} & other.owner.keys()


@pytest.mark.parametrize(
    ("engine", "provider", "model", "base"),
    [
        ("vllm", None, "hosted_vllm/m", f"{URL}/v1"),
        ("llama.cpp", None, "hosted_vllm/m", f"{URL}/v1"),
        ("openai", None, "hosted_vllm/m", f"{URL}/v1"),
        ("ollama", None, "hosted_vllm/m", f"{URL}/v1"),
        ("ollama", "ollama_chat", "ollama_chat/m", URL),
        ("ollama", "ollama", "ollama/m", URL),
        ("vllm", "openai", "openai/m", f"{URL}/v1"),
    ],
)
def test_provider_prefix_and_address(engine: str, provider: str | None, model: str, base: str) -> None:
    """The prefix is the same for every engine unless it is set; Ollama's own get the address without /v1."""
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


def test_an_alias_is_a_row_of_its_own() -> None:
    """It differs from the model's own row in id and name alone, and tells of which alias it is."""
    own, alias = rows(answer(Model("qwen")), aliases=(Alias("fast", "qwen"),))
    assert own.id == row_id("c1", "team", "u1", "qwen")
    assert alias.id == row_id("c1", "team", "u1", "qwen", alias="fast")
    assert (own.name, alias.name) == ("qwen", "fast")
    assert alias.params == own.params
    assert {**alias.info, "id": own.id} == own.info
    assert alias.owner == {**own.owner, "alias": "fast"}


def test_the_owner_wins_key_by_key() -> None:
    """Facts, then the settings, then each override that matches: in the row and in what counts as unknown."""
    (row,) = rows(
        answer(Model("qwen", facts=told(4096))),
        mode="completion",
        model_info={"supports_vision": True, "tier": "free", "mode": "embedding"},
        litellm_params={"rpm": 5, "timeout": 30},
        overrides=(
            Override("^qwen", {"tier": "paid", "max_input_tokens": 1000}, {"rpm": 9}),
            Override("llama", {"tier": "never"}),
        ),
    )
    assert (row.info["mode"], row.info["supports_vision"], row.info["tier"]) == ("embedding", True, "paid")
    assert (row.info["max_input_tokens"], row.info["max_tokens"]) == (1000, 1000)
    assert (row.params["rpm"], row.params["timeout"]) == (9, 30)
    assert not {"mode", "supports_vision", "max_input_tokens"} & set(row.owner["unknown"])


def test_the_registrars_own_keys_cannot_be_overwritten() -> None:
    """Whatever got into the settings: id, ownership, address, model and keys are the registrar's."""
    said: dict[str, Any] = {"id": "x", "registrar": {"cluster": "c2"}, "blocked": True, "db_model": False}
    params = {
        "model": "openai/gpt-4o",
        "api_base": "http://x",
        "api_key": "sk-x",
        "extra_headers": {"a": "b"},
    }
    (plain,) = rows(answer(Model("m")))
    everywhere = {"model_info": said, "litellm_params": params, "overrides": (Override(".", said, params),)}
    (row,) = rows(answer(Model("m")), None, **everywhere)
    assert row == plain


def test_a_weight_is_the_owners_or_ours() -> None:
    """Every row has a weight, so that no rpm or tpm starves another; only our own default may be left out."""
    (ours,) = rows(answer(Model("m")))
    (theirs,) = rows(answer(Model("m")), litellm_params={"weight": 3})
    assert (ours.params["weight"], theirs.params["weight"]) == (1, 3)
    assert "weight" not in ours.without_our_weight().params
    assert theirs.without_our_weight() is theirs


def test_two_served_names_are_two_rows() -> None:
    """Each served name has a row of its own with an id of its own."""
    first, second = rows(answer(Model("a", root="/m"), Model("b", root="/m")))
    assert first.id != second.id
    assert (first.name, second.name) == ("a", "b")


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
    (row,) = rows(answer(Model("m", facts=told(10))), api_key="sk-server")
    seen = stored(row, db_model=True, litellm_provider="hosted_vllm")
    shown = {key: value for key, value in row.params.items() if key in ("model", "use_in_pass_through")}
    assert drift(row, replace(seen, params=shown)) == ()
    marked = {**seen.info, "registrar": owner_block(row, marked=True)}
    assert drift(row, replace(seen, info=marked)) == ()


def test_drift_names_the_keys() -> None:
    """Every key of ours that somebody changed is named."""
    (row,) = rows(answer(Model("m", facts=told(10))))
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


def test_what_others_add_inside_a_value_of_ours_is_no_drift() -> None:
    """A key that somebody adds to a nested object of the owner's stays; a changed one is drift."""
    (row,) = rows(answer(Model("m")), model_info={"policy": {"a": 1}, "access_groups": ["x"]})
    assert drift(row, stored(row, policy={"a": 1, "b": 2})) == ()
    assert drift(row, stored(row, policy={"a": 2})) == ("model_info.policy",)
    assert drift(row, stored(row, access_groups=["x", "y"])) == ("model_info.access_groups",)


def test_a_row_of_an_earlier_life_is_taken_over_but_never_made_anew() -> None:
    """What is adopted keeps its owner without the mark, and is not whole: it cannot be created again."""
    (row,) = rows(answer(Model("m")))
    found = stored(row, blocked=True, registrar=owner_block(row, marked=True))
    assert is_ours(found, SETTINGS, IDENTITY)
    taken = adopted(found)
    assert (taken.id, taken.served, taken.owner) == (row.id, "m", row.owner)
    assert row.whole
    assert not taken.whole


def test_only_a_row_under_the_id_of_today_is_kept() -> None:
    """Rows of a model and of its aliases have the ids they would get now; any other is a left-over."""
    own, alias = rows(answer(Model("m")), aliases=(Alias("fast"),))
    for row in (own, alias):
        taken = adopted(stored(row))
        assert not left_over(taken, SETTINGS, IDENTITY)
        assert left_over(replace(taken, id="registrar-old"), SETTINGS, IDENTITY)

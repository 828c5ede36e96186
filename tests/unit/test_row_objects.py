"""model_info, litellm_params and overrides as owners write them: which keys get in, and why others do not."""

from __future__ import annotations

from typing import Any

import pytest

from webhook import row_objects
from webhook.documents import DocumentError
from webhook.litellm_keys import INFO, PARAMS, REFUSED_INFO, REFUSED_PARAMS
from webhook.near import Names

GOOD_PARAMS: dict[str, Any] = {
    "rpm": 60,
    "tpm": 100_000,
    "weight": 2,
    "order": 1,
    "max_parallel_requests": 8,
    "timeout": 600,
    "stream_timeout": 0.5,
    "cooldown_time": 30,
    "max_retries": 0,
    "num_retries": 2,
    "tags": ["batch", "eu"],
    "max_budget": 0,
    "budget_duration": "30d",
    "default_api_key_rpm_limit": 10,
    "default_api_key_tpm_limit": 1000,
    "drop_params": True,
    "merge_reasoning_content_in_choices": False,
    "supports_system_message": False,
    "ensure_alternating_roles": True,
    "max_file_size_mb": 25.5,
    "input_cost_per_token": 5e-7,
    "output_cost_per_token": 0,
    "cache_read_input_token_cost": 1e-8,
    "cache_creation_input_token_cost": 1e-8,
    "output_cost_per_reasoning_token": 1e-6,
    "input_cost_per_second": 0.001,
    "output_cost_per_second": 0.001,
    "input_cost_per_query": 1,
    "input_cost_per_audio_token": 1e-6,
}


def test_every_allowed_parameter_is_taken() -> None:
    """Each with a value of its kind."""
    assert set(GOOD_PARAMS) == set(PARAMS)
    assert row_objects.params(GOOD_PARAMS) == GOOD_PARAMS


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize("value", [{}, "", -1, True, [], [1], "os.environ/LITELLM_MASTER_KEY"])
def test_a_parameter_of_another_kind_is_refused(name: str, value: Any) -> None:
    """With what was found and what is allowed; nothing that LiteLLM would resolve to a secret gets in."""
    if isinstance(value, bool) and isinstance(GOOD_PARAMS[name], bool):
        value = 1
    with pytest.raises(DocumentError, match=rf"^{name}: found .*, allowed is "):
        row_objects.params({name: value})


@pytest.mark.parametrize("name", REFUSED_PARAMS)
def test_a_refused_parameter_is_told_the_reason(name: str) -> None:
    """Address, key and model are the registrar's; what LiteLLM would forward or open up is nobody's."""
    with pytest.raises(DocumentError) as caught:
        row_objects.params({name: "x"})
    assert str(caught.value) == f"{name}: {REFUSED_PARAMS[name]}"
    assert name not in PARAMS


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("max-parallel-requests", "unknown, did you mean max_parallel_requests?"),
        ("input_cost_per_tokens", "did you mean input_cost_per_token?"),
        ("supports_vision", "it belongs in model_info"),
        (
            "guided_json",
            "unknown; LiteLLM would send it to the model server with every request; the README lists",
        ),
        ("tags[]", "did you mean tags?"),
    ],
)
def test_an_unknown_parameter_never_gets_in(name: str, told: str) -> None:
    """LiteLLM would forward it; the nearest known one is named."""
    with pytest.raises(DocumentError) as caught:
        row_objects.params({name: 1})
    assert told in str(caught.value)


GOOD_INFO: dict[str, Any] = {
    **{name: True for name in INFO if name.startswith("supports_")},
    "mode": "embedding",
    **dict.fromkeys(("max_tokens", "max_input_tokens", "max_output_tokens", "output_vector_size"), 4096),
    "supported_endpoints": ["/v1/chat/completions"],
    "supported_openai_params": ["temperature", "tools"],
    "reasoning_effort_levels": ["low", "high"],
    **dict.fromkeys(("base_model", "team_id", "display_name", "category", "health_check_model"), "a b"),
    "tier": "paid",
    "access_groups": ["team-a"],
    "description": "An instruct model, for everybody.",
    "discoverable": False,
    "enable_tag_filtering": True,
    "allow_fail_open": True,
    "disable_background_health_check": True,
    "health_check_timeout": 30,
    "health_check_max_tokens": 1,
}


def test_every_known_key_of_model_info_is_taken() -> None:
    """Each with a value of its kind."""
    assert set(GOOD_INFO) == set(INFO)
    assert row_objects.info(GOOD_INFO) == GOOD_INFO


@pytest.mark.parametrize("name", INFO)
@pytest.mark.parametrize("value", [{}, "", -1, 1.5, [1]])
def test_a_known_key_of_another_kind_is_refused(name: str, value: Any) -> None:
    """A flag is true or false, a size a whole number."""
    if (name, value) == ("health_check_timeout", 1.5):
        value = 0
    with pytest.raises(DocumentError, match=rf"^{name}: found .*, allowed is "):
        row_objects.info({name: value})


def test_null_takes_back_what_is_said_farther_away() -> None:
    """Any key may be null, but none that owners may not set."""
    assert row_objects.params(dict.fromkeys(PARAMS)) == dict.fromkeys(PARAMS)
    assert row_objects.info(dict.fromkeys(INFO)) == dict.fromkeys(INFO)
    with pytest.raises(DocumentError, match="this very pod"):
        row_objects.params({"api_base": None})


def test_a_secret_is_no_metadata() -> None:
    """What is called like one would be shown to all who may see the model; the value is not repeated."""
    with pytest.raises(DocumentError, match="no place for a secret") as caught:
        row_objects.info({"api_key": "sk-1"})
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize("name", REFUSED_INFO)
def test_a_refused_key_of_model_info_is_told_the_reason(name: str) -> None:
    """What the registrar or LiteLLM itself writes is not the owner's."""
    with pytest.raises(DocumentError) as caught:
        row_objects.info({name: "x"})
    assert str(caught.value) == f"{name}: {REFUSED_INFO[name]}"


@pytest.mark.parametrize(
    "name", ["input_cost_per_token", "cost_per_second", "ocr_cost_per_page", "rpm", "weight"]
)
def test_what_belongs_in_litellm_params_is_sent_there(name: str) -> None:
    """LiteLLM drops prices from model_info in silence."""
    with pytest.raises(DocumentError, match=f"^{name}: LiteLLM drops it here: it belongs in litellm_params$"):
        row_objects.info({name: 1})


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("supports_vison", "supports_vision"),
        ("supports-vision", "supports_vision"),
        ("supportsVision", "supports_vision"),
        ("support_function_calling", "supports_function_calling"),
        ("max_tokesn", "max_tokens"),
        ("Mode", "mode"),
        ("acces_groups", "access_groups"),
        ("dbmodel", "db_model"),
    ],
)
def test_a_near_miss_of_a_known_key_is_refused(name: str, near: str) -> None:
    """It would otherwise be metadata that does nothing."""
    with pytest.raises(DocumentError, match=rf"^{name}: did you mean {near}\?$"):
        row_objects.info({name: True})


def test_other_keys_are_the_owners_metadata() -> None:
    """Any JSON value; a new flag of LiteLLM's is taken as a flag."""
    metadata = {
        "owner": "team-a",
        "node": "gpu-7",
        "example.com/contact": {"mail": ["a@example.com"]},
        "mirrors": ["a", "b"],
        "rank": 1.5,
        "none": None,
        "supports_time_travel": False,
    }
    assert row_objects.info(metadata) == metadata
    with pytest.raises(DocumentError, match="allowed is true or false"):
        row_objects.info({"supports_time_travel": "yes"})


@pytest.mark.parametrize("value", [{}, {"mail": "a@example.com"}, [1, {}], [[1]]])
def test_an_object_of_the_owners_stands_under_no_word_of_litellm(value: Any) -> None:
    """Of objects under names like its own it may make something with its next release."""
    with pytest.raises(DocumentError, match=r"needs a key with a -, \. or / in it"):
        row_objects.info({"contact": value})


@pytest.mark.parametrize(
    "name",
    [
        "health_check_url",
        "health_check_supports_max_tokens",
        "litellm_extra",
        "custom_llm_provider",
        "team_models",
    ],
)
def test_what_begins_as_litellms_own_is_not_the_owners(name: str) -> None:
    """Parameters of its health checks would lead them elsewhere, with LiteLLM's own credentials."""
    with pytest.raises(DocumentError, match=f"^{name}: unknown, and keys that begin so are LiteLLM's$"):
        row_objects.info({name: 1})


@pytest.mark.parametrize("name", ["", "x" * 254, "a\nb"])
def test_a_key_is_a_short_printable_text(name: str) -> None:
    """LiteLLM shows it to people."""
    with pytest.raises(DocumentError, match="a key is 1 to 253 printable characters"):
        row_objects.info({name: 1})


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_an_object_is_needed(value: Any) -> None:
    """For both."""
    for read in (row_objects.info, row_objects.params):
        with pytest.raises(DocumentError, match="allowed is an object"):
            read(value)


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("x", "[1]: found 'x', allowed is an object of match, model_info, litellm_params"),
        ({"model_info": {}}, "[1].match: found null, needed is a regular expression"),
        ({"match": "a(", "model_info": {}}, "[1].match: a bracket ( that is not closed at position 1"),
        ({"match": "(a+)+", "model_info": {}}, "[1].match: a repeat of what can match in several ways"),
        ({"match": "a", "modelinfo": {}}, "[1].modelinfo: unknown, did you mean model_info?"),
        ({"match": "a", "xyz": {}}, "[1].xyz: unknown; allowed are match, model_info, litellm_params"),
        ({"match": "a"}, "[1]: says nothing"),
        ({"match": "a", "model_info": {"id": 1}}, "[1].model_info.id: the registrar writes it"),
        (
            {"match": "a", "litellm_params": {"api_key": ""}},
            "[1].litellm_params.api_key: the registrar writes",
        ),
    ],
)
def test_a_mistake_in_an_override_has_its_place(item: Any, told: str) -> None:
    """Which item, which key, and for a pattern which character."""
    with pytest.raises(DocumentError) as caught:
        row_objects.override(item, (1,))
    assert told in str(caught.value)


def test_many_mistakes_are_not_all_told() -> None:
    """The first twenty are enough, and the time of a request is short."""
    with pytest.raises(DocumentError) as caught:
        row_objects.params({f"unknown_{n}": 1 for n in range(500)})
    assert len(caught.value.found) == 20


def test_short_names_are_not_taken_for_one_another() -> None:
    """One letter makes another word of a short name."""
    names = Names(["mode", "max_tokens"])
    assert names.nearest("MODE") == "mode"
    assert names.nearest("node") is None
    assert names.nearest("max_token") == "max_tokens"
    assert names.nearest("maximal_tokens") is None
    assert names.nearest("m" * 10_000) is None

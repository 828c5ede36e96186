"""Which models get rows, and under which names."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.contract import Alias, Engine, PodIdentity, ServedNames, Settings
from sidecar.naming import naming
from sidecar.reasons import Reason
from sidecar.row_contract import row_id
from sidecar.servers.shapes import Model

SETTINGS = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n")
IDENTITY = PodIdentity(namespace="team", pod="qwen-0", pod_uid="u1", pod_ip="10.0.0.5", node="n1")
BASE = Model("base", root="/m")
LORA = Model("lora", root="/adapter", parent="base")


def names(*models: Model, **settings: Any) -> list[tuple[str, str]]:
    """Give each name in LiteLLM with the served id behind it."""
    found = naming(models, "vllm", replace(SETTINGS, **settings), IDENTITY)
    return [(named.name, named.model.id) for named in found.named]


def unfit(*models: Model, aliases: tuple[Alias, ...]) -> dict[str, Reason]:
    """Give the aliases without a model."""
    found = naming(models, "vllm", replace(SETTINGS, aliases=aliases), IDENTITY)
    return {alias.name: reason for alias, reason in found.unfit.items()}


def test_an_id_too_long_to_be_searched_is_left_out_where_there_is_an_exclude() -> None:
    """It may be one of those that are to be left out; without `exclude` it is a model like others."""
    long = Model("a" * 257)
    assert names(long, exclude="secret") == []
    assert names(long, include="a") == []
    assert [served for _, served in names(long)] == [long.id]


def test_the_template_names_every_model() -> None:
    """Placeholders are filled in for each model; one that nobody knows stays as it is."""
    template = "{namespace}/{engine}/{model}@{pod}{who}"
    found = names(Model("a"), Model("b"), name_template=template)
    assert found == [("team/vllm/a@qwen-0{who}", "a"), ("team/vllm/b@qwen-0{who}", "b")]


def test_a_model_whose_name_looks_like_a_placeholder_keeps_it() -> None:
    """What a placeholder is replaced by is not looked at again."""
    assert names(Model("{pod}")) == [("{pod}", "{pod}")]


def test_model_name_renames_the_one_base_model() -> None:
    """`model_name` takes the place of the base model's name, inside the template; adapters keep theirs."""
    found = names(BASE, LORA, model_name="gpt", name_template="x-{model}")
    assert found == [("x-gpt", "base"), ("x-lora", "lora")]


def test_model_name_renames_nothing_where_there_are_several_base_models() -> None:
    """Two models must not end up under one name because of a setting for one."""
    assert names(Model("a"), Model("b"), model_name="gpt") == [("a", "a"), ("b", "b")]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (None, None, ["llama3", "nomic-embed", "qwen"]),
        ("^qwen$", None, ["qwen"]),
        (None, "embed", ["llama3", "qwen"]),
        ("llama|embed", "embed", ["llama3"]),
        ("gpt", None, []),
    ],
)
def test_include_and_exclude_choose_by_served_id(
    include: str | None, exclude: str | None, left: list[str]
) -> None:
    """A model needs `include` to be found in its id, where there is one, and `exclude` not to be."""
    models = (Model("llama3"), Model("nomic-embed"), Model("qwen"))
    found = naming(models, "ollama", replace(SETTINGS, include=include, exclude=exclude), IDENTITY)
    assert [named.model.id for named in found.named] == left
    assert sorted((*found.left_out, *left)) == ["llama3", "nomic-embed", "qwen"]


def test_the_first_of_several_names_is_the_one_the_server_lists_first() -> None:
    """With `served_names: first` the server's order counts, not the alphabet's; other roots stay."""
    models = (Model("a", root="/m", place=1), Model("b", root="/m", place=0), Model("c", root="/n", place=2))
    found = names(*models, served_names=ServedNames.FIRST)
    assert found == [("b", "b"), ("c", "c")]


def test_adapters_and_models_without_a_root_are_no_names_of_each_other() -> None:
    """Two adapters from one folder are two models, and of unknown roots nothing is concluded."""
    models = (BASE, LORA, replace(LORA, id="lora2"), Model("x"), Model("y"))
    assert len(names(*models, served_names=ServedNames.FIRST)) == 5


def test_model_name_renames_the_one_that_is_left() -> None:
    """What is filtered out is no base model any more."""
    models = (Model("a", root="/m", place=0), Model("b", root="/m", place=1))
    assert names(*models, served_names=ServedNames.FIRST, model_name="gpt") == [("gpt", "a")]


def test_an_alias_is_one_more_name() -> None:
    """For the served id it names, adapters too, or for the one base model; it is taken as it is written."""
    aliases = (Alias("fast", "lora"), Alias("{pod}"))
    found = names(BASE, LORA, aliases=aliases, name_template="x-{model}")
    assert found == [("x-base", "base"), ("x-lora", "lora"), ("fast", "lora"), ("{pod}", "base")]


def test_an_alias_that_is_the_models_own_name_is_no_second_row() -> None:
    """Nor is an alias that is there twice."""
    aliases = (Alias("base"), Alias("fast", "base"), Alias("fast"))
    assert names(BASE, aliases=aliases) == [("base", "base"), ("fast", "base")]


def test_one_alias_may_be_for_two_models() -> None:
    """Two models under one name are what the owner asked for: two rows that share its requests."""
    found = names(Model("a"), Model("b"), aliases=(Alias("any", "a"), Alias("any", "b")))
    assert found[2:] == [("any", "a"), ("any", "b")]


def test_an_alias_without_a_model_has_a_named_reason() -> None:
    """Nothing is dropped in silence: an unknown served id, several base models, none."""
    aliases = (Alias("fast", "nope"), Alias("any"))
    both = {"fast": Reason.ALIAS_WITHOUT_MODEL, "any": Reason.ALIAS_AMBIGUOUS}
    assert unfit(Model("a"), Model("b"), aliases=aliases) == both
    assert unfit(LORA, aliases=(Alias("any"),)) == {"any": Reason.ALIAS_WITHOUT_MODEL}


def test_the_id_is_the_same_again() -> None:
    """The id is a constant of its parts: a changed one would double every row of a running cluster."""
    assert row_id("c1", "team", "u1", "qwen") == "registrar-ba83ba76cc853b7bb54c79e1-b84b3b93da270a6719c04650"
    assert row_id("c1", "team", "u1", "qwen", 1) != row_id("c1", "team", "u1", "qwen")

"""Laws of rows, whatever a server lists and whatever its owner says."""

import re
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sidecar.contract import Alias, Engine, Override, PodIdentity, ServedNames, Settings
from sidecar.description import OWN_INFO, OWN_PARAMS, owners_word
from sidecar.registration import Row, Stored, desired_rows, drift, owner_block
from sidecar.servers.facts import Ability, Fact, Facts, Mode, Origin
from sidecar.servers.shapes import Answer, Model

IDENTITY = PodIdentity(namespace="team", pod="qwen-0", pod_uid="u1", pod_ip="10.0.0.5", node="n1")
BASE = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n")
URL = "http://10.0.0.5:8000"
NAMES = st.sampled_from(["a", "b", "c", "a-b", "{pod}", "é"])
FLAGS = [f"supports_{ability}" for ability in Ability]

# How long an example takes on a busy machine says nothing.
UNHURRIED = examples(deadline=None)

values = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
keys = st.sampled_from(
    [*sorted(OWN_INFO | OWN_PARAMS), *FLAGS[:4], "mode", "max_input_tokens", "weight", "x"]
)
said = st.dictionaries(keys, values, max_size=6)
overrides = st.builds(Override, st.sampled_from(["", "a", "^b$", "-", "z"]), said, said)
facts = st.builds(
    Facts,
    mode=st.builds(Fact, st.none() | st.sampled_from(Mode), st.sampled_from(Origin)),
    context=st.builds(Fact, st.none() | st.integers(1, 10**6)),
    embedding_size=st.builds(Fact, st.none() | st.integers(1, 4096)),
    abilities=st.dictionaries(st.sampled_from(Ability), st.builds(Fact, st.booleans())),
)
models = st.lists(
    st.builds(
        Model,
        NAMES,
        root=st.none() | NAMES,
        parent=st.none() | NAMES,
        digest=st.none() | NAMES,
        place=st.integers(0, 9),
        facts=facts,
    ),
    max_size=5,
    unique_by=lambda model: model.id,
)
settings = st.builds(
    replace,
    st.just(BASE),
    aliases=st.lists(st.builds(Alias, NAMES, st.none() | NAMES), max_size=4).map(tuple),
    model_name=st.none() | NAMES,
    name_template=st.sampled_from(["{model}", "x-{model}", "{engine}"]),
    include=st.none() | st.just("a|b"),
    exclude=st.none() | st.just("c"),
    served_names=st.sampled_from(ServedNames),
    mode=st.none() | st.sampled_from(Mode),
    model_info=said,
    litellm_params=said,
    overrides=st.lists(overrides, max_size=3).map(tuple),
)


def rows(found: list[Model], says: Settings) -> tuple[Row, ...]:
    """Give the rows of a server with these models."""
    return desired_rows(Answer("vllm", "1", tuple(found), gauges=True), URL, says, IDENTITY, api_key="sk-1")


@UNHURRIED
@given(models, settings)
def test_no_two_rows_are_the_same_row(found: list[Model], says: Settings) -> None:
    """Ids differ, and no model has the same name twice."""
    made = rows(found, says)
    assert len({row.id for row in made}) == len(made)
    assert len({(row.served, row.name) for row in made}) == len(made)


@UNHURRIED
@given(models, settings, st.randoms(use_true_random=False))
def test_the_order_of_the_answer_changes_no_row(found: list[Model], says: Settings, random: Random) -> None:
    """The rows are the same whatever order the models come in, as long as each keeps its place."""
    placed = [replace(model, place=place) for place, model in enumerate(found)]
    shuffled = random.sample(placed, len(placed))
    one, other = ({row.id: row for row in rows(order, says)} for order in (placed, shuffled))
    assert one == other


@UNHURRIED
@given(models, settings)
def test_every_row_is_explicit(found: list[Model], says: Settings) -> None:
    """Mode and every ability are in every row, no key is null, and what is unknown is false unless said."""
    for row in rows(found, says):
        assert row.info.keys() >= {"mode", *FLAGS}
        assert None not in row.info.values()
        assert None not in row.params.values()
        for name in row.owner["unknown"]:
            assert row.info.get(name) in (None, False, "chat")


@UNHURRIED
@given(models, settings)
def test_our_own_keys_are_ours(found: list[Model], says: Settings) -> None:
    """Whatever the settings hold, these keys are what they are without them."""
    silent = replace(says, model_info={}, litellm_params={}, overrides=())
    for row, plain in zip(rows(found, says), rows(found, silent), strict=True):
        assert {key: row.params[key] for key in OWN_PARAMS} == {key: plain.params[key] for key in OWN_PARAMS}
        assert row.info["id"] == row.id == plain.id
        assert row.info.keys() & OWN_INFO == {"id"}


@UNHURRIED
@given(NAMES, settings)
def test_the_last_that_says_something_wins(served: str, says: Settings) -> None:
    """For each key the last matching override that names it counts, then the settings; null says nothing."""
    matching = [override for override in says.overrides if re.search(override.match, served)]
    infos = [{"mode": says.mode}, says.model_info, *(override.model_info for override in matching)]
    params = [says.litellm_params, *(override.litellm_params for override in matching)]
    word = owners_word(served, says)
    for layers, own, merged in ((infos, OWN_INFO, word.info), (params, OWN_PARAMS, word.params)):
        for key in {key for layer in layers for key in layer} - own:
            last = next(layer[key] for layer in reversed(layers) if key in layer)
            assert merged.get(key) == last


@UNHURRIED
@given(models, settings)
def test_a_row_as_it_was_sent_never_drifts(found: list[Model], says: Settings) -> None:
    """What is stored as it was sent is right, with our mark and without."""
    for row in rows(found, says):
        for marked in (False, True):
            info = {**row.info, "registrar": owner_block(row, marked=marked)}
            assert drift(row, Stored(row.id, row.name, row.params, info, blocked=marked)) == ()

"""The annotations of our domain: values, mistakes, what is carried, and the reference in the README."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.contract import (
    ANNOTATION_CARRIED_SETTINGS,
    ANNOTATION_INJECTED,
    DOMAIN,
    Alias,
    CloudModels,
    LogFormat,
    Override,
    Probing,
    ServedNames,
    WhenAsleep,
)
from tests import docs
from webhook import defaults
from webhook.annotations import carried, read
from webhook.kinds import MODES
from webhook.layer import TABLE
from webhook.litellm_keys import PARAMS, REFUSED_INFO, REFUSED_PARAMS
from webhook.reasons import Problem, Reason
from webhook.review import limit
from webhook.wishes import InjectMode, PreStop, Wishes

WHERE = "metadata.annotations"
IMAGE = f"registry.example.com:5000/a/b:1@sha256:{'0' * 64}"


def one(name: str, value: Any) -> tuple[Wishes, tuple[Problem, ...]]:
    """Read a single annotation."""
    return read({f"{DOMAIN}/{name}": value}, WHERE)


def test_the_table_fills_every_wish() -> None:
    """Each annotation has its field, each field its annotation."""
    assert {key.field for key in TABLE} == set(Wishes._fields)
    assert len({key.name for key in TABLE}) == len(TABLE)


def test_nothing_of_ours_is_nothing_wished() -> None:
    """Annotations of others, and our own note of what was injected, say nothing."""
    assert read({"example.com/port": "1", ANNOTATION_INJECTED: "{}"}, WHERE) == (Wishes(), ())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("container", "kserve-container", "kserve-container"),
        ("port", "8000", 8000),
        ("port", "65535", 65535),
        ("scheme", "https", "https"),
        ("host", "qwen.models.svc", "qwen.models.svc"),
        ("host", "Qwen.Example.COM", "Qwen.Example.COM"),
        ("host", "10.0.0.7", "10.0.0.7"),
        ("host", "[fd00::7]", "fd00::7"),
        ("host", "FD00::7", "fd00::7"),
        ("path", "/llama/", "/llama"),
        ("path", "/", ""),
        ("model-name", "gpt-4o mini", "gpt-4o mini"),
        ("name-template", "{namespace}/{model}@{pod}.{engine}", "{namespace}/{model}@{pod}.{engine}"),
        ("provider", "ollama_chat", "ollama_chat"),
        ("poll-interval", "1", 1.0),
        ("poll-interval", "10m", 600.0),
        ("poll-interval", "1500ms", 1.5),
        ("propagation", "0s", 0.0),
        ("propagation", "2.5s", 2.5),
        ("drain-timeout", "1m30s", 90.0),
        ("ready-timeout", "1h", 3600.0),
        ("pre-stop", "replace", PreStop.REPLACE),
        ("registrar-image", IMAGE, IMAGE),
        ("litellm-secret", "litellm.prod", "litellm.prod"),
        ("log-format", "json", LogFormat.JSON),
        ("inject-mode", "container", InjectMode.CONTAINER),
        ("include", "^qwen|llama", "^qwen|llama"),
        ("exclude", "-(awq|gptq)$", "-(awq|gptq)$"),
        ("aliases", "fast, smart=smollm2:135m", (Alias("fast"), Alias("smart", "smollm2:135m"))),
        ("served-names", "first", ServedNames.FIRST),
        ("cloud-models", "register", CloudModels.REGISTER),
        ("when-asleep", "route", WhenAsleep.ROUTE),
        ("probe", "active", Probing.ACTIVE),
        (
            "overrides",
            "- {match: awq, model_info: {mode: chat}}\n- match: ^e\n  litellm_params: {rpm: 1}\n",
            (Override("awq", {"mode": "chat"}), Override("^e", {}, {"rpm": 1})),
        ),
        (
            "model-info",
            '{"supports_vision": true, "x/owner": {"team": "a"}}',
            {"supports_vision": True, "x/owner": {"team": "a"}},
        ),
        ("litellm-params", "rpm: 60\ntags: [a, b]\n", {"rpm": 60, "tags": ["a", "b"]}),
    ],
)
def test_a_value_is_read_with_its_type(name: str, text: str, value: object) -> None:
    """What is allowed arrives typed: numbers as numbers, durations in seconds, choices as members."""
    wishes, problems = one(name, text)
    found = getattr(wishes, next(key.field for key in TABLE if key.name == name))
    assert problems == ()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "held"),
    [
        ("mode", "embedding", {"mode": "embedding"}),
        ("rpm", "60", {"rpm": 60}),
        ("tpm", "100000", {"tpm": 100_000}),
        ("input-cost-per-token", "5e-7", {"input_cost_per_token": 5e-7}),
        ("output-cost-per-token", "0.000002", {"output_cost_per_token": 2e-6}),
        ("weight", "2", {"weight": 2}),
        ("order", "1", {"order": 1}),
        ("timeout", "10m", {"timeout": 600.0}),
        ("stream-timeout", "500ms", {"stream_timeout": 0.5}),
        ("max-parallel-requests", "8", {"max_parallel_requests": 8}),
        ("tags", "batch, eu", {"tags": ["batch", "eu"]}),
        ("access-groups", "team-a", {"access_groups": ["team-a"]}),
        ("team-id", "team-a", {"team_id": "team-a"}),
        ("display-name", "Qwen 3 8B", {"display_name": "Qwen 3 8B"}),
        ("description", "For everybody.", {"description": "For everybody."}),
        ("category", "general", {"category": "general"}),
        ("max-tokens", "4096", {"max_tokens": 4096, "max_output_tokens": 4096}),
    ],
)
def test_a_single_key_of_a_row_lands_in_its_object(name: str, text: str, held: dict[str, Any]) -> None:
    """Limits and prices are of litellm_params, what describes a model is of model_info."""
    wishes, problems = one(name, text)
    key = next(key for key in TABLE if key.name == name)
    assert problems == ()
    assert {field: value for field, value in wishes._asdict().items() if value is not None} == {
        key.fills: held
    }
    assert key.fills == ("litellm_params" if set(held) <= set(PARAMS) else "model_info")


def test_every_annotation_has_a_valid_and_an_invalid_case() -> None:
    """The tables of this module leave none out; what is wrong within objects has a table of its own."""

    def names(test: Any) -> set[str]:
        (mark,) = test.pytestmark
        return {case[0] for case in mark.args[1]}

    everything = {key.name for key in TABLE}
    objects = {"model-info", "litellm-params", "overrides"}
    valid = names(test_a_value_is_read_with_its_type)
    assert valid | names(test_a_single_key_of_a_row_lands_in_its_object) == everything
    assert names(test_a_bad_value_is_reported_and_ignored) == everything - objects
    assert names(test_each_mistake_in_an_object_is_told_with_its_place) == objects


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("container", "Not_A_Name"),
        ("container", "a" * 64),
        ("port", "0"),
        ("port", "65536"),
        ("port", "80a"),
        ("port", " 80"),
        ("port", "٨٠"),
        ("scheme", "HTTPS"),
        ("host", "http://x"),
        ("host", "10.0.0"),
        ("host", "a_b"),
        ("host", ""),
        ("path", "v1"),
        ("path", "/a?b"),
        ("path", "/a b"),
        ("model-name", ""),
        ("model-name", " x"),
        ("model-name", "a\nb"),
        ("model-name", "x" * 254),
        ("name-template", "{model}-{zone}"),
        ("name-template", "{namespace}"),
        ("name-template", "{model"),
        ("name-template", "{{model}}"),
        ("name-template", "{model!r}"),
        ("name-template", "{}"),
        ("provider", "azure"),
        ("poll-interval", "500ms"),
        ("poll-interval", "11m"),
        ("poll-interval", "1 s"),
        ("poll-interval", "1e1"),
        ("poll-interval", "-1"),
        ("poll-interval", "1d"),
        ("propagation", "601"),
        ("drain-timeout", "61m"),
        ("ready-timeout", "inf"),
        ("pre-stop", "keep "),
        ("registrar-image", "a b"),
        ("registrar-image", ""),
        ("litellm-secret", "Litellm"),
        ("log-format", "yaml"),
        ("inject-mode", "Native"),
        ("include", "(a+)+$"),
        ("exclude", "("),
        ("exclude", ""),
        ("aliases", "a,,b"),
        ("aliases", "a="),
        ("aliases", "=b"),
        ("aliases", "a,a=b"),
        ("aliases", ",".join(f"a{n}" for n in range(21))),
        ("served-names", "last"),
        ("cloud-models", "true"),
        ("when-asleep", "Block"),
        ("probe", "always"),
        ("mode", "image_generation"),
        ("rpm", "0"),
        ("rpm", "1e3"),
        ("rpm", "99999999999999999"),
        ("tpm", "1.5"),
        ("input-cost-per-token", "-1"),
        ("input-cost-per-token", "1e999"),
        ("output-cost-per-token", "$1"),
        ("weight", "heavy"),
        ("order", "-1"),
        ("timeout", "0"),
        ("timeout", "25h"),
        ("stream-timeout", "soon"),
        ("max-parallel-requests", ""),
        ("tags", "a,,b"),
        ("tags", "os.environ/LITELLM_MASTER_KEY"),
        ("tags", ",".join("abcdefghijklmnopqrstuvwxyz0123456789")),
        ("access-groups", ""),
        ("team-id", " "),
        ("display-name", "a\nb"),
        ("description", "x" * 1025),
        ("category", "x" * 254),
        ("max-tokens", "many"),
        ("port", 8000),
        ("port", None),
        ("port", {"a": []}),
    ],
)
def test_a_bad_value_is_reported_and_ignored(name: str, text: Any) -> None:
    """A bad value leaves the wish unsaid; the problem has the field, what was found and what is allowed."""
    wishes, (problem,) = one(name, text)
    allowed = next(key.allowed for key in TABLE if key.name == name).replace("`", "")
    assert wishes == Wishes()
    assert (problem.reason, problem.path) == (Reason.BAD_ANNOTATION, f"{WHERE}[{DOMAIN}/{name}]")
    assert problem.message.startswith("found ")
    assert f"allowed is {allowed}" in problem.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{model}-{zone}-{rack}", "unknown {rack}, {zone}"),
        ("{namespace}", "without {model} all models get one name"),
        ("{model}}", "a brace that belongs to no placeholder"),
    ],
)
def test_a_template_is_told_what_is_wrong_with_it(text: str, told: str) -> None:
    """The message names the placeholders that are not known, and what a template needs."""
    _, (problem,) = one("name-template", text)
    assert told in problem.message
    assert "{model}, and {namespace}, {pod}, {engine} if wanted" in problem.message


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "overrides",
            "[{match: a, model_info: {}}, {match: 'a(b', model_info: {}}]",
            ["overrides[1].match: a bracket ( that is not closed at position 1"],
        ),
        (
            "overrides",
            "[{match: a, modelinfo: {}}]",
            [
                "overrides[0].modelinfo: unknown, did you mean model_info?",
                "overrides[0]: says nothing: model_info, litellm_params or both are needed",
            ],
        ),
        ("overrides", "{match: a}", ["overrides: found a JSON object, allowed is a list of up to 50"]),
        (
            "overrides",
            "[" + "{match: a, model_info: {}}," * 51 + "]",
            ["overrides: found a list, allowed is a list of up to 50"],
        ),
        (
            "model-info",
            "{id: x, supports_vison: true, mode: talk}",
            [
                f"model-info.id: {REFUSED_INFO['id']}",
                "model-info.supports_vison: did you mean supports_vision?",
                f"model-info.mode: found 'talk', allowed is {' or '.join(MODES)}",
            ],
        ),
        (
            "litellm-params",
            "api_key: sk-1\ntemperature: 0\n",
            [
                f"litellm-params.api_key: {REFUSED_PARAMS['api_key']}",
                "litellm-params.temperature: LiteLLM would send it to the model server with every request",
            ],
        ),
        (
            "litellm-params",
            "a: &x [1]\nb: [*x, *x]",
            ["litellm-params: line 1, column 4: an anchor, &x, is not taken"],
        ),
        ("model-info", "x" * 8193, ["model-info: found 8193 bytes, allowed are up to 8192"]),
    ],
)
def test_each_mistake_in_an_object_is_told_with_its_place(name: str, text: str, told: list[str]) -> None:
    """Every one by itself, and the annotation as a whole is ignored."""
    wishes, problems = one(name, text)
    assert wishes == Wishes()
    assert [problem.message for problem in problems] == told
    assert {problem.path for problem in problems} == {f"{WHERE}[{DOMAIN}/{name}]"}


def test_patterns_of_overrides_are_bounded_together() -> None:
    """Each is searched in every id: what is quick enough alone is too slow fifty times."""
    slow = ["{match: '.*a.*a', litellm_params: {rpm: 1}}"]
    assert one("overrides", f"[{', '.join(slow)}]")[1] == ()
    _, (problem,) = one("overrides", f"[{', '.join(slow * 50)}]")
    assert "the patterns together are too slow" in problem.message


def test_a_single_annotation_and_the_object_are_put_together() -> None:
    """What only one of them says counts, and so does what both say alike."""
    both = {
        f"{DOMAIN}/litellm-params": "{weight: 2, tpm: 5}",
        f"{DOMAIN}/rpm": "60",
        f"{DOMAIN}/weight": "2",
    }
    expected = Wishes(litellm_params={"weight": 2, "tpm": 5, "rpm": 60})
    assert read(both, WHERE) == read(dict(reversed(both.items())), WHERE) == (expected, ())


def test_two_things_said_at_once_are_a_mistake() -> None:
    """Where it is only warned of, the single annotation counts."""
    wishes, (problem,) = read({f"{DOMAIN}/litellm-params": "{rpm: 5}", f"{DOMAIN}/rpm": "60"}, WHERE)
    assert wishes == Wishes(litellm_params={"rpm": 60})
    assert problem.path == f"{WHERE}[{DOMAIN}/rpm]"
    assert problem.message == "found 60, but litellm-params says rpm: 5; say it once"


def test_nearer_objects_go_over_farther_ones_key_by_key_and_overrides_behind() -> None:
    """The pod's own, over what is carried, over the defaults; the nearest override is applied last."""
    base = Wishes(
        poll_interval=9.0,
        model_info={"category": "a", "owner": "base"},
        litellm_params={"rpm": 1, "tpm": 1},
        overrides=(Override("base", {"a": 1}),),
    )
    carried_text = carried(
        {
            f"{DOMAIN}/rpm": "2",
            f"{DOMAIN}/model-info": "{owner: carried}",
            f"{DOMAIN}/overrides": "[{match: carried, model_info: {}}]",
        }
    )
    own = {
        f"{DOMAIN}/litellm-params": "{tpm: 3}",
        f"{DOMAIN}/overrides": "[{match: own, model_info: {}}]",
    }
    wishes, problems = read({ANNOTATION_CARRIED_SETTINGS: carried_text, **own}, WHERE, base)
    assert problems == ()
    assert wishes == Wishes(
        poll_interval=9.0,
        model_info={"category": "a", "owner": "carried"},
        litellm_params={"rpm": 2, "tpm": 3},
        overrides=(Override("base", {"a": 1}), Override("carried"), Override("own")),
    )


def test_what_is_said_nearer_goes_over_farther_overrides() -> None:
    """A pod's own rpm, or that it has none, counts also where an override of the cluster's matches."""
    base = Wishes(overrides=(Override("a", {"mode": "embedding", "owner": "o"}, {"rpm": 1, "tpm": 1}),))
    own = {
        f"{DOMAIN}/mode": "chat",
        f"{DOMAIN}/litellm-params": "{rpm: null}",
        f"{DOMAIN}/overrides": "[{match: b, model_info: {mode: rerank}}]",
    }
    wishes, problems = read(own, WHERE, base)
    assert problems == ()
    assert wishes == Wishes(
        model_info={"mode": "chat"},
        litellm_params={"rpm": None},
        overrides=(Override("a", {"owner": "o"}, {"tpm": 1}), Override("b", {"mode": "rerank"})),
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("prot", f"did you mean {DOMAIN}/port?"),
        ("pollInterval", f"did you mean {DOMAIN}/poll-interval?"),
        ("drain_timeout", f"did you mean {DOMAIN}/drain-timeout?"),
        ("model", f"did you mean {DOMAIN}/model-name?"),
        ("server", f"{DOMAIN}/server is a label, not an annotation"),
        ("inject", f"{DOMAIN}/inject is a label, not an annotation"),
        ("zzz", "there are container, port, scheme"),
    ],
)
def test_an_unknown_key_is_told_the_nearest(name: str, told: str) -> None:
    """A key that does not exist is reported with the nearest one, or with the label it was taken for."""
    wishes, (problem,) = one(name, "x")
    assert wishes == Wishes()
    assert (problem.reason, problem.path) == (Reason.UNKNOWN_ANNOTATION, f"{WHERE}[{DOMAIN}/{name}]")
    assert told in problem.message


def test_every_problem_is_told_at_once_beside_the_good_values() -> None:
    """Mistakes do not hide each other, nor what is right."""
    wishes, problems = read(
        {f"{DOMAIN}/port": "x", f"{DOMAIN}/scheme": "ftp", f"{DOMAIN}/nope": "", f"{DOMAIN}/path": "/a"},
        WHERE,
    )
    assert wishes == Wishes(path="/a")
    assert [problem.reason for problem in problems] == [
        Reason.BAD_ANNOTATION,
        Reason.BAD_ANNOTATION,
        Reason.UNKNOWN_ANNOTATION,
    ]


def test_own_annotations_win_key_by_key_over_what_is_carried() -> None:
    """A pod's own annotation replaces the carried one of its name, and only that."""
    carried_text = carried({f"{DOMAIN}/port": "1", f"{DOMAIN}/host": "a.b", "other": "x"})
    wishes, problems = read({ANNOTATION_CARRIED_SETTINGS: carried_text, f"{DOMAIN}/port": "2"}, WHERE)
    assert (wishes, problems) == (Wishes(port=2, host="a.b"), ())


def test_a_bad_own_annotation_leaves_the_carried_one() -> None:
    """What is ignored wins over nothing."""
    wishes, problems = read({ANNOTATION_CARRIED_SETTINGS: '{"port":"1"}', f"{DOMAIN}/port": "x"}, WHERE)
    assert wishes == Wishes(port=1)
    assert [problem.reason for problem in problems] == [Reason.BAD_ANNOTATION]


@pytest.mark.parametrize("text", ["", "x", "[]", "null", '"a"', "[" * 100_000, 7, None])
def test_carried_settings_that_are_no_object_are_reported(text: Any) -> None:
    """What cannot be read as a JSON object is one problem; an absent one is none."""
    wishes, problems = read({ANNOTATION_CARRIED_SETTINGS: text}, WHERE)
    assert wishes == Wishes()
    assert [(p.reason, p.path) for p in problems] == (
        [] if text is None else [(Reason.BAD_ANNOTATION, f"{WHERE}[{ANNOTATION_CARRIED_SETTINGS}]")]
    )


def test_a_mistake_among_what_is_carried_has_its_place() -> None:
    """The path leads to the key within the carried object."""
    _, problems = read({ANNOTATION_CARRIED_SETTINGS: '{"port":1,"prot":""}'}, WHERE)
    assert [problem.path for problem in problems] == [
        f"{WHERE}[{ANNOTATION_CARRIED_SETTINGS}].port",
        f"{WHERE}[{ANNOTATION_CARRIED_SETTINGS}].prot",
    ]


def test_what_is_carried_is_the_same_text_for_the_same_settings() -> None:
    """The order of annotations does not show, so that pods are not replaced for it."""
    one_way = {f"{DOMAIN}/port": "1", f"{DOMAIN}/model-name": "modèle"}
    assert (
        carried(one_way) == carried(dict(reversed(one_way.items()))) == '{"model-name":"modèle","port":"1"}'
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([f"{DOMAIN}/{key.name}" for key in TABLE]), st.text()))
def test_what_is_carried_reads_as_what_stands_there(annotations: dict[str, str]) -> None:
    """Carried settings mean what the annotations themselves mean."""
    wishes, problems = read(annotations, WHERE)
    again, again_problems = read({ANNOTATION_CARRIED_SETTINGS: carried(annotations)}, WHERE)
    assert (again, len(again_problems)) == (wishes, len(problems))


def test_many_mistakes_do_not_hide_what_is_right() -> None:
    """A good value counts wherever it stands among bad ones."""
    unknown = {f"{DOMAIN}/unknown-{n}": "" for n in range(30)}
    wishes, problems = read({**unknown, f"{DOMAIN}/port": "1"}, WHERE)
    assert (wishes, len(problems)) == (Wishes(port=1), 20)


def test_messages_stay_short_and_problems_few() -> None:
    """Neither long values nor thousands of unknown keys make thousands of long messages."""
    _, problems = read({f"{DOMAIN}/{'k' * 1000}{n}": "" for n in range(1000)}, WHERE)
    _, (long,) = one("port", "1" * 100_000)
    assert len(problems) == 20
    assert len(long.message) < 256
    _, (deep,) = one("port", json.loads("[" * 900 + "]" * 900))
    assert "found a list" in deep.message


def test_the_place_of_a_mistake_is_within_a_warning() -> None:
    """The API server cuts long warnings: what is wrong with a long pattern, and where, is not what is cut."""
    _, (problem,) = one("include", "a" * 500 + "+.*.*.*")
    (warning,) = limit([str(problem)])
    assert "at position 506" in warning


def test_the_examples_in_the_readme_are_taken() -> None:
    """The annotations and the defaults that people copy are without a mistake, and say what stands there."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", docs.README.read_text(), re.DOTALL | re.MULTILINE)
    (annotated,) = (block for block in blocks if block.startswith("metadata:"))
    (defaulted,) = (block for block in blocks if block.startswith("defaults:"))
    wishes, problems = read(yaml.safe_load(annotated)["metadata"]["annotations"], WHERE)
    assert problems == ()
    assert wishes.overrides is not None
    assert [override.match for override in wishes.overrides] == ["^qwen3-vl", "(?i)embed"]
    assert defaults.parse(defaulted).of("team-a").litellm_params == {"rpm": 600, "tags": ["team-a"]}


def test_a_stale_reference_is_named_and_rendered() -> None:
    """Only the text between a part's markers is replaced."""
    text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y -->\nY\n<!-- /y -->\n"
    new, stale = docs.rendered(text, {"x": lambda: "new", "y": lambda: "Y"})
    assert stale == ("x",)
    assert new == text.replace("old", "new")


@pytest.mark.parametrize("text", ["", "<!-- x -->\n", "<!-- /x -->\n<!-- x -->\n"])
def test_a_missing_marker_is_named(text: str) -> None:
    """README.md without a part's markers cannot be rendered."""
    with pytest.raises(docs.DocsError, match=r"^<!-- x --> ... <!-- /x --> is missing"):
        docs.rendered(text, {"x": lambda: ""})

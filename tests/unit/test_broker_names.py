"""Names of models: which may be at all, which a namespace may use, and the file that says so."""

from collections.abc import Sequence

import pytest

from webhook.broker import name_rules
from webhook.broker.names import Entry, Grant, Names
from webhook.broker.names_document import parse
from webhook.broker.shapes import Holder, RefusedError, Rule
from webhook.config import ConfigError

OWN = Holder("c1", "team")
NOBODY = Holder()

HEAD = "apiVersion: names.litellm-registrar.io/v1\nkind: ModelNames\nspec:\n  namespaces:\n"


@pytest.mark.parametrize(
    "name",
    [
        "qwen",
        "meta-llama/Llama-3.1-8B-Instruct",
        "qwen2.5:7b-instruct-q4_K_M",
        "gpt-4o",
        "modèle",
        "通义千问-7b",
        "\u0440\u0443\u0441\u0441\u043a\u0430\u044f",
        "/models/weights",
        "two words",
        "all-minilm",
        "e5f0a1b2",
        "x" * 253,
    ],
)
def test_names_of_models_are_names(name: str) -> None:
    """Whatever servers call their models."""
    name_rules.plain(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " qwen",
        "qwen ",
        "x" * 254,
        "a\nb",
        "a\tb",
        "a\x00b",
        "a\u200bb",  # zero width
        "a\u202eb",  # right to left
        "a\u00a0b",  # no-break space
        "*",
        "openai/*",
        "gpt-4*",
        "all-proxy-models",
        "All-Team-Models",
        "no-default-models",
        "os.environ/OPENAI_API_KEY",
        "OS.environ/x",
        "default",
        "all",
        "0b7e0a36-1c55-4d8e-9a55-3a0a2f0e1f11",
        "0B7E0A36-1C55-4D8E-9A55-3A0A2F0E1F11",
        "a" * 64,
        "e3b0c44298fc1c149afbf4c8996fb924",
        "registrar-0123456789abcdef01234567-0123456789abcdef01234567",
        "registrar-0123456789abcdef01234567-x",
        "model_name_team-1_0b7e0a36-1c55-4d8e-9a55-3a0a2f0e1f11",
        "g\u0440t-4\u043e",  # Cyrillic er and o
        "\u0391lpha",  # Greek Alpha
        "gpt\u20114o",  # no-break hyphen
        "\uff47pt-4o",  # full-width g
        "mode\u0300le",  # not composed
        "\ufb01ne",  # a ligature
    ],
)
def test_what_is_no_name_or_passes_for_another_is_refused(name: str) -> None:
    """Patterns, LiteLLM's own words, ids of rows, control characters, letters that look like others."""
    with pytest.raises(RefusedError) as caught:
        name_rules.plain(name)
    assert caught.value.rule is Rule.MODEL_NAME
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("holders", "grant"),
    [
        ((), Grant()),
        ((OWN, OWN), Grant()),
        ((NOBODY,), Grant(share=("gpt-4o",))),
        ((Holder("c1", "other"),), Grant(share=("gpt-*",))),
    ],
)
def test_a_name_is_free_or_shared(holders: Sequence[Holder], grant: Grant) -> None:
    """Rows of the own namespace do not count, and those of a shared name."""
    name_rules.free("gpt-4o", "team", "c1", holders, grant)


@pytest.mark.parametrize(
    ("holders", "grant"),
    [
        ((NOBODY,), Grant()),
        ((OWN, NOBODY), Grant()),
        ((Holder("c1", "other"),), Grant()),
        ((Holder("c2", "team"),), Grant()),
        ((Holder("", "team"),), Grant()),
        ((Holder("c1", ""),), Grant()),
        ((NOBODY,), Grant(share=("gpt-4",))),
        ((NOBODY,), Grant(allow=("gpt-4o",))),
    ],
)
def test_a_name_with_rows_of_elsewhere_is_taken(holders: Sequence[Holder], grant: Grant) -> None:
    """Whoever's they are: another namespace's, another cluster's, made by hand; though it be allowed."""
    with pytest.raises(RefusedError) as caught:
        name_rules.free("gpt-4o", "team", "c1", holders, grant)
    assert caught.value.rule is Rule.NAME_TAKEN


@pytest.mark.parametrize(
    ("name", "grant"),
    [
        ("anything", Grant()),
        ("team/x", Grant(allow=("team/*",))),
        ("team/x/y", Grant(allow=("team/*",))),
        ("gpt-4o", Grant(allow=(), share=("gpt-4o",))),
    ],
)
def test_a_namespace_uses_the_names_it_is_given(name: str, grant: Grant) -> None:
    """Without a list any name; a shared one always."""
    name_rules.granted(name, "team", grant)


@pytest.mark.parametrize(
    ("name", "grant"),
    [
        ("teamx", Grant(allow=("team/*",))),
        ("x-team/x", Grant(allow=("team/*",))),
        ("Team/x", Grant(allow=("team/*",))),
        ("gpt-4", Grant(allow=(), share=("gpt-4o",))),
        ("a.b", Grant(allow=("a?b",))),
        ("anything", Grant(allow=())),
    ],
)
def test_a_namespace_uses_no_other_names(name: str, grant: Grant) -> None:
    """The message lists those it may use."""
    with pytest.raises(RefusedError) as caught:
        name_rules.granted(name, "team", grant)
    assert caught.value.rule is Rule.NAME_NOT_ALLOWED
    assert "allowed in namespace team are" in caught.value.message


def test_every_entry_that_matches_counts() -> None:
    """One for all namespaces, and more for some."""
    names = Names(
        (
            Entry("*", Grant(allow=("{namespace}/*",))),
            Entry("team-*", Grant(share=("{namespace}-gpt",), hosts=frozenset({"h"}))),
            Entry("team-a", Grant(allow=("qwen",), host_network=True, teams=frozenset({"t"}))),
        )
    )
    assert names.of("team-a") == Grant(
        ("team-a/*", "qwen"), ("team-a-gpt",), frozenset({"h"}), host_network=True, teams=frozenset({"t"})
    )
    assert names.of("other") == Grant(("other/*",))


def test_where_no_entry_matches_nothing_is_granted() -> None:
    """Any name that is free, and nothing else; as without a file."""
    assert Names((Entry("team", Grant(host_network=True)),)).of("other") == Names().of("other") == Grant()


def test_an_entry_without_a_list_takes_no_name_away() -> None:
    """Only `allow` narrows."""
    assert Names((Entry("*", Grant(teams=frozenset({"t"}))),)).of("x").allow is None


def test_a_names_file_is_read() -> None:
    """Everything there is, once."""
    text = HEAD + (
        "  - match: '*'\n    allow: ['{namespace}/*']\n"
        "  - match: team-a\n    share: [gpt-4o]\n    hosts: [LLM.example.com, '[fd00::5]']\n"
        "    hostNetwork: true\n    teams: [t-1]\n"
    )
    assert parse(text) == Names(
        (
            Entry("*", Grant(allow=("{namespace}/*",))),
            Entry(
                "team-a",
                Grant(
                    share=("gpt-4o",),
                    hosts=frozenset({"llm.example.com", "fd00::5"}),
                    host_network=True,
                    teams=frozenset({"t-1"}),
                ),
            ),
        )
    )


def test_an_empty_list_allows_no_name() -> None:
    """It is not the same as none."""
    assert parse(HEAD + "  - {match: a, allow: []}\n").of("a").allow == ()


WHERE = "spec.namespaces[0]"


@pytest.mark.parametrize(
    ("entry", "problems"),
    [
        ("{match: a, alow: [x]}", [f"{WHERE}.alow (line 5): unknown, did you mean allow?"]),
        ("{allow: [x]}", [f"{WHERE} (line 5): match must be there"]),
        ("{match: a}", [f"{WHERE} (line 5): says nothing of these namespaces"]),
        ("x", [f"{WHERE} (line 5): found 'x', allowed is an object"]),
        (
            "{match: A, teams: [t]}",
            [f"{WHERE}.match (line 5): found 'A', allowed is the name of a namespace"],
        ),
        (
            "{match: a, allow: ['{namespce}/*', '{pod}', 'a}']}",
            [
                f"{WHERE}.allow[0] (line 5): '{{namespce}}/*': unknown {{namespce}}, did you mean ",
                f"{WHERE}.allow[1] (line 5): '{{pod}}': unknown {{pod}}, there is only {{namespace}}",
                f"{WHERE}.allow[2] (line 5): 'a}}': a brace that belongs to no placeholder",
            ],
        ),
        (
            "{match: a, hosts: ['a b', 'http://x', '1.2.3']}",
            [
                f"{WHERE}.hosts[{n}] (line 5): found {host}, allowed is a DNS name"
                for n, host in enumerate(("'a b'", "'http://x'", "'1.2.3'"))
            ],
        ),
        (
            "{match: a, hostNetwork: 'yes'}",
            [f"{WHERE}.hostNetwork (line 5): found 'yes', allowed is `true` or "],
        ),
        (
            "{match: a, teams: t}",
            [f"{WHERE}.teams (line 5): found 't', allowed is a list of ids of LiteLLM's teams"],
        ),
    ],
)
def test_every_mistake_is_told_with_its_place(entry: str, problems: list[str]) -> None:
    """Path, line, what was found and what is allowed, and the nearest name."""
    with pytest.raises(ConfigError) as caught:
        parse(f"{HEAD}  - {entry}\n")
    assert len(caught.value.problems) == len(problems)
    for found, expected in zip(caught.value.problems, problems, strict=True):
        assert found.startswith(expected)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "apiVersion: found null, allowed is names.litellm-registrar.io/v1"),
        (HEAD.replace("ModelNames", "ModelName"), "kind (line 2): found 'ModelName', allowed is ModelNames"),
        (
            HEAD + "  - {match: a, teams: [t]}\n  - {match: a, share: [x]}\n",
            "spec.namespaces[1].match (line 6): 'a' is there twice",
        ),
    ],
)
def test_a_file_that_is_another_or_says_a_thing_twice_is_refused(text: str, problem: str) -> None:
    """An empty one too: it would be taken for one that grants nothing."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.problems[0] == problem

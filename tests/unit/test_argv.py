"""What a container runs: the kubelet's variables, shells and their scripts, wrappers."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.sources.argv import argv, commands, environment
from webhook.sources.programs import start
from webhook.sources.shell import UnreadableError, simple_commands
from webhook.sources.text import expand, is_known, is_loose, readable, unknown, variable_of

REF = {"secretKeyRef": {"name": "s", "key": "k"}}


def run(container: Mapping[str, Any], entrypoint: Sequence[str] = ("image-entrypoint",)) -> list[list[str]]:
    """Give the commands a container starts, with what is not known written as $(NAME)."""
    env = environment(container)
    words = argv(container, env, entrypoint, ("image-cmd",))
    return [[readable(word) for word in command.words] for command in commands(words, env, start)]


def script(text: str, **env: str) -> list[list[str]]:
    """Give the commands of a script, with what is not known written as $(NAME)."""
    return [[readable(word) for word in command.words] for command in simple_commands(text, env)]


# --- the kubelet


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({}, ["image-entrypoint", "image-cmd"]),
        ({"args": ["a"]}, ["image-entrypoint", "a"]),
        ({"command": ["c"]}, ["c"]),
        ({"command": ["c"], "args": ["a"]}, ["c", "a"]),
        ({"command": [], "args": []}, ["image-entrypoint", "image-cmd"]),
        ({"command": None, "args": None}, ["image-entrypoint", "image-cmd"]),
        ({"command": "c", "args": {"a": 1}}, ["image-entrypoint", "image-cmd"]),
        ({"command": ["c", 1, None]}, ["c"]),
    ],
)
def test_command_replaces_entrypoint_and_cmd_but_args_only_the_cmd(
    container: dict[str, Any], words: list[str]
) -> None:
    """As Kubernetes documents it, whatever the shape of the fields."""
    assert run(container) == [words]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("--port=$(PORT)", "--port=8000"),
        ("$(PORT)$(PORT)", "80008000"),
        ("$$(PORT)", "$(PORT)"),
        ("$$$(PORT)", "$8000"),
        ("$PORT ${PORT}", "$PORT ${PORT}"),
        ("$(date +%s)", "$(date +%s)"),
        ("$(PORT", "$(PORT"),
        ("$", "$"),
        ("100$$", "100$"),
    ],
)
def test_the_kubelets_variables(text: str, expanded: str) -> None:
    """`$(NAME)` is replaced, `$$` is a dollar, and the shell's own spellings are left to the shell."""
    assert expand(text, {"PORT": "8000"}) == expanded


def test_an_unknown_name_may_be_known_to_the_kubelet() -> None:
    """A variable the manifest does not define (envFrom, a service link) is unknown, not an empty text."""
    word = expand("a-$(SIZE)", {})
    assert (is_known(word), is_loose(word), readable(word)) == (False, False, "a-$(SIZE)")


def test_only_a_whole_variable_has_a_name() -> None:
    """A word that is one variable can be traced back to it; one that only holds it cannot."""
    assert variable_of(unknown("KEY")) == "KEY"
    assert variable_of(unknown("KEY", loose=True)) == "KEY"
    assert variable_of(f"sk-{unknown('KEY')}") == ""
    assert variable_of("KEY") == ""


def test_variables_refer_to_those_before_them() -> None:
    """The kubelet goes through env in order; the last entry of a name counts."""
    found = environment(
        {
            "env": [
                {"name": "LATE", "value": "$(HOST):$(PORT)"},
                {"name": "HOST", "value": "h"},
                {"name": "PORT", "value": "1"},
                {"name": "URL", "value": "$(HOST):$(PORT)"},
                {"name": "PORT", "value": "2"},
                {"name": "KEY", "valueFrom": REF},
                {"name": "AUTH", "value": "Bearer $(KEY)"},
                {"name": "EMPTY"},
                {"name": 7, "value": "x"},
                "no object",
            ]
        }
    )
    assert {name: readable(text) for name, text in found.items()} == {
        "LATE": "$(HOST):$(PORT)",
        "HOST": "h",
        "PORT": "2",
        "URL": "h:1",
        "KEY": "$(KEY)",
        "AUTH": "Bearer $(KEY)",
        "EMPTY": "",
    }


def test_variables_within_variables_do_not_grow_without_end() -> None:
    """Doubling a value again and again ends as unknown, not in memory."""
    entries = [{"name": "V0", "value": "x" * 100}]
    entries += [{"name": f"V{n}", "value": f"$(V{n - 1})$(V{n - 1})"} for n in range(1, 1000)]
    found = environment({"env": entries})
    assert not is_known(found["V999"])
    assert max(map(len, found.values())) < 65536


@pytest.mark.parametrize("name", ["A B", "a/b", "A:B", "$(X"])
def test_a_variable_may_have_any_printable_name(name: str) -> None:
    """The kubelet takes all up to the next bracket for the name; what no variable is called stays."""
    assert expand(f"<$({name})>", {name: "x"}) == "<x>"
    assert expand(f"<$({name})>", {}) == f"<$({name})>"


def test_what_no_bracket_closes_is_no_reference() -> None:
    """Behind the last bracket only `$$` means something."""
    assert expand("$(A) $$ $(A $$(A", {"A": "x"}) == "x $ $(A $(A"


def test_a_word_of_very_many_variables_is_not_known() -> None:
    """Whatever they hold: nobody waits until the last one is read."""
    assert expand("$(A)" * 16000, {"A": ""}) == ""
    assert not is_known(expand("$(A)" * 17000, {"A": ""}))


# --- shells and wrappers


@pytest.mark.parametrize(
    "words",
    [
        ["sh", "-c", "vllm serve m --port 1"],
        ["/bin/bash", "-lc", "vllm serve m --port 1"],
        ["bash", "-euo", "pipefail", "-c", "vllm serve m --port 1"],
        ["bash", "-o", "pipefail", "-ec", "exec vllm serve m --port 1"],
        ["bash", "--login", "-c", "vllm serve m --port 1"],
        ["sh", "-c", "vllm serve m \\\n  --port 1 2>&1 | tee /log"],
        ["sh", "-c", "bash -c 'vllm serve m --port 1'"],
        ["exec", "vllm", "serve", "m", "--port", "1"],
        ["/usr/bin/tini", "--", "vllm", "serve", "m", "--port", "1"],
        ["tini", "-g", "--", "bash", "-c", "vllm serve m --port 1"],
        ["dumb-init", "vllm", "serve", "m", "--port", "1"],
        ["env", "-u", "X", "A=b", "vllm", "serve", "m", "--port", "1"],
        ["nice", "-n", "5", "vllm", "serve", "m", "--port", "1"],
        ["gosu", "vllm", "vllm", "serve", "m", "--port", "1"],
        ["opentelemetry-instrument", "--traces_exporter", "otlp", "vllm", "serve", "m", "--port", "1"],
        ["uv", "run", "--no-sync", "vllm", "serve", "m", "--port", "1"],
        ["numactl", "-N", "0", "env", "A=b", "tini", "vllm", "serve", "m", "--port", "1"],
    ],
)
def test_shells_and_wrappers_are_taken_off(words: list[str]) -> None:
    """What only starts the server, with whatever options, hides none of its words."""
    assert ["vllm", "serve", "m", "--port", "1"] in run({"command": words})


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["bash", "run.sh", "-c", "vllm serve m"], ["bash", "run.sh", "-c", "vllm serve m"]),
        (["bash"], ["bash"]),
        (["sh", "-c"], ["sh", "-c"]),
        (["sh", "-e", "-c"], ["sh", "-e", "-c"]),
        (["env"], ["env"]),
        (["tini", "--", "/start.sh"], ["/start.sh"]),
    ],
)
def test_a_shell_without_a_script_is_a_program_like_any_other(words: list[str], found: list[str]) -> None:
    """A script file stays as it stands, behind a wrapper too."""
    assert run({"command": words}) == [found]


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["env", "perl", "-e", "0", "vllm", "serve", "m"], "perl"),
        (["timeout", "-s", "KILL", "60", "python3", "-c", "0", "vllm", "serve", "m"], "python3"),
        (["nice", "-5", "ionice", "-c2", "awk", "0", "vllm", "serve", "m"], "awk"),
        (["env", "-S", "perl -e 0", "vllm", "serve", "m"], "env"),
        (["env", "-Sperl -e 0", "vllm", "serve", "m"], "env"),
        (["sudo", "-R", "/x", "vllm", "serve", "m"], "sudo"),
        (["uv", "run", "--with", "x", "vllm", "serve", "m"], "uv"),
        (["uvx", "--from", "x", "vllm", "serve", "m"], "uvx"),
        (["uv", "run", "--python=/x/python", "vllm", "serve", "m"], "uv"),
        (["nsys", "launch", "x", "vllm", "serve", "m"], "nsys"),
        (["nsys", "profile", "-e", "A=b", "vllm", "serve", "m"], "nsys"),
        (["taskset", "0x1", "x", "vllm", "serve", "m"], "x"),
    ],
)
def test_what_a_wrapper_starts_is_not_what_stands_in_its_arguments(words: list[str], first: str) -> None:
    """A server's words behind another program are that one's arguments; unknown options hide which it is."""
    assert [command[0] for command in run({"command": words})] == [first]


def test_a_wrapper_says_where_the_programs_of_its_environment_lie() -> None:
    """Conda's prefix becomes the path that programs are looked for in."""
    found = list(commands(("conda", "run", "-p", "/x", "vllm", "serve", "m"), {}, start))
    assert [(call.words[0], call.env) for call in found] == [("vllm", {"PATH": "/x/bin"})]


def test_args_behind_an_unknown_entrypoint_may_be_the_whole_command() -> None:
    """Entrypoints often end with `exec "$@"`: a program at the start of args is taken for one."""
    assert run({"args": ["vllm", "serve", "m"]}, [unknown("ENTRYPOINT", loose=True)]) == [
        ["vllm", "serve", "m"]
    ]
    assert run({"args": ["bash", "-c", "vllm serve m"]}, [unknown("ENTRYPOINT", loose=True)]) == [
        ["vllm", "serve", "m"]
    ]


def test_env_sets_variables_for_what_it_starts() -> None:
    """`env NAME=value`, and an assignment before a command, are part of its environment."""
    for words in (["env", "A=1", "ollama", "serve"], ["sh", "-c", "A=1 ollama serve; ollama serve"]):
        first, *others = commands(words, {"A": "0"}, start)
        assert first.env["A"] == "1"
        assert all(other.env["A"] == "0" for other in others)


# --- scripts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vllm serve $MODEL", [["vllm", "serve", "$(MODEL)"]]),
        ('a "$X"', [["a", "x y"]]),
        ("a $X", [["a", "x", "y"]]),
        ("a p${X}q", [["a", "px", "yq"]]),
        ("a '$X' \\$X", [["a", "$X", "$X"]]),
        ("a $EMPTY b", [["a", "b"]]),
        ('a "$EMPTY" b', [["a", "", "b"]]),
        ("a ${EMPTY:-7} ${N:-7}", [["a", "7", "1"]]),
        ("a ${UNSET:-7}", [["a", "$(UNSET)"]]),
        ("a $(hostname) `id` ${X#p} $1 $((1+1))", [["a", "$(...)", "$(...)", "$(...)", "$(...)", "$(...)"]]),
        ("a --port=$(cat /p)", [["a", "--port=$(...)"]]),
        ("N=5; a $N", [["a", "5"]]),
        ("N=5 && a $N", [["a", "5"]]),
        ("export N=5 M=6\na $N$M", [["export", "N=5", "M=6"], ["a", "56"]]),
        ("N=$X; a $N", [["a", "x", "y"]]),
        ("false && N=5; a $N", [["false"], ["a", "$(...)"]]),
        ("cd / && N=5 && a $N", [["cd", "/"], ["a", "5"]]),
        ("true || N=5; a $N", [["true"], ["a", "$(...)"]]),
        ("if b; then N=5; fi; a $N", [["b"], ["a", "$(...)"]]),
        ("for N in 1 2; do b $N; done", [["b", "$(...)"]]),
        ("for; select; for\na", [["a"]]),
        ("while ! b; do c; done; a", [["b"], ["c"], ["a"]]),
        ("until b; do c; done & a", [["b"], ["c"], ["a"]]),
        ("{ a; b; }", [["a"], ["b"]]),
        ("time a", [["a"]]),
        (". /env.sh; a $N", [[".", "/env.sh"], ["a", "$(N)"]]),
        ("unset N; a $N", [["unset", "N"], ["a", "$(N)"]]),
        ("a > /log 2>&1 < /in b", [["a", "b"]]),
        ("a &> /log; b >> /log", [["a"], ["b"]]),
        ("a 2 > x", [["a", "2"]]),
        ("a & b | c |& d || e", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("# comment\na #b c\na#b", [["a"], ["a#b"]]),
        ("a \\\n b \\c d\\\ne", [["a", "b", "c", "de"]]),
        ('a \'it\'\'s\' "a\'b" "\\"q\\" \\$X \\n"', [["a", "its", "a'b", '"q" $X \\n']]),
        ("a '{\"m\": [1]}' {x,y} *.txt ~", [["a", '{"m": [1]}', "$(...)", "$(...)", "~"]]),
        (
            "a {} x/*.txt '*' \"{x,y}\" \\* [ {x}, -{1..3}",
            [["a", "{}", "x/*.txt", "*", "{x,y}", "*", "[", "$(...)", "$(...)"]],
        ),
        ('exec "$@"', [["exec", "$(...)"]]),
        ("", []),
        (" ;; \n & ", []),
    ],
)
def test_the_commands_of_a_script(text: str, words: list[list[str]]) -> None:
    """Words, variables and separators as a shell reads them; what cannot be known is marked, not guessed."""
    assert script(text, X="x y", N="1", EMPTY="") == words


@pytest.mark.parametrize(
    ("text", "loose"),
    [
        ("a $U", True),
        ('a "$U"', False),
        ('a "$@"', True),
        ('a "${A[@]}"', True),
        ("a `b`", True),
        ("U=$V; a $U", True),
        ('U=$V; a "$U"', False),
    ],
)
def test_an_unquoted_unknown_may_be_many_words(text: str, loose: bool) -> None:  # noqa: FBT001 - a table's column
    """Only quotes make an unknown one word."""
    assert is_loose(simple_commands(text, {})[-1].words[1]) is loose


@pytest.mark.parametrize(
    "text",
    [
        "a 'b",
        'a "b',
        "a `b",
        "cat <<EOF\na\nEOF",
        "(a)",
        "f() { a; }",
        "A=(1 2)",
        "IFS=,; a $X",
        "case $X in a) b;; esac",
        "function f { a; }",
        'a "$(b "c")"',
        "a $'b'",
        "a $(b $(c))",
        "a;" * 201,
        "a " * 40_000,
        "A=xxxxxxxx;" + "A=$A$A;" * 100,
    ],
)
def test_a_script_that_cannot_be_told_apart_is_unreadable(text: str) -> None:
    """Where even the words are in doubt, or reading would take long, nothing is claimed."""
    with pytest.raises(UnreadableError, match=r"^(it|its|a) "):
        script(text)


def test_shells_within_shells_have_an_end() -> None:
    """A script that starts a shell that starts a shell is read; deeper ones are not."""
    inner = "ollama serve"
    for _ in range(2):
        inner = f"sh -c {shlex.quote(inner)}"
    assert [command.words for command in commands(["sh", "-c", "sh -c 'ollama serve'"], {}, start)] == [
        ("ollama", "serve")
    ]
    with pytest.raises(UnreadableError, match="shells within shells"):
        list(commands(["sh", "-c", inner], {}, start))


WORDS = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), min_size=1
)


@given(WORDS)
def test_quoted_words_come_back(words: list[str]) -> None:
    """Whatever a word holds, quoted for the shell it is read back as it was."""
    first = f"cmd{words[0]}" if "=" in words[0] else words[0]
    assert script(shlex.join(["cmd", first, *words[1:]])) == [["cmd", first, *words[1:]]]


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *(
                "show",
                "show",
                " ",
                " ",
                " ",
                "a",
                "b c",
                "-x=1",
                "'",
                '"',
                "\\",
                "$X",
                "${X}",
                '"$X"',
                "'$X'",
            ),
            *(
                "$Y",
                "\\$X",
                "${E:-d}",
                ";",
                "\n",
                "&&",
                "X=1 ",
                "X=$Y;",
                "Z=$X;",
                "$Z",
                "export X=7;",
                "2</dev/null",
                "#",
                "2",
            ),
            *('"a b"', "'c d'", "\\ ", " \\\n", "=", "{", "}", "$E", '"$E"', "\t", "~x", '"\\"', "!"),
        ]
    ),
    max_size=12,
)
SHELL = "show() { for word; do printf '<%s>' \"$word\"; done; printf '\\n'; }\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("show \\ #a b", ["show", " #a", "b"]),
        ("show a\\\n#b c", ["show", "a#b", "c"]),
        ("show \\\n#b c", ["show"]),
        ("show ''#b c", ["show", "#b", "c"]),
    ],
)
def test_a_comment_begins_only_where_a_word_may(text: str, words: list[str]) -> None:
    """An escaped blank or a joined line before it does not make a comment of what the shell runs."""
    assert script(text) == [words]


@settings(max_examples=300, deadline=None)
@given(FRAGMENTS)
def test_scripts_are_read_as_a_real_shell_reads_them(fragments: list[str]) -> None:
    """The words of each command are those that sh gives it."""
    text, env = "".join(fragments), {"X": "x y", "Y": "why", "E": ""}
    real = subprocess.run(["sh", "-c", SHELL + text], env=env, capture_output=True, text=True, check=False)
    try:
        found = [command.words for command in simple_commands(text, env)]
    except UnreadableError:
        return
    if real.returncode != 0 or real.stderr or not all(is_known(word) for words in found for word in words):
        return
    shown = [words[1:] for words in found if words[0] == "show"]
    assert real.stdout == "".join("".join(f"<{word}>" for word in words) + "\n" for words in shown)

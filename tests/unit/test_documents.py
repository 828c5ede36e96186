"""JSON and YAML of owners: plain values come out, everything else is refused with its line and column."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from webhook import documents
from webhook.documents import DocumentError, Fault


def faults(text: str) -> list[Fault]:
    """Give what is wrong with a text."""
    with pytest.raises(DocumentError) as caught:
        documents.read(text)
    return caught.value.found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 2.5, true, ~]\n", {"a": 1, "b": ["x", 2.5, True, None]}),
        ("{a: b, c: {d: []}}", {"a": "b", "c": {"d": []}}),
        ('{"a": 1e-7, "b": "\\ud83d\\ude00"}', {"a": 1e-7, "b": "\U0001f600"}),
        ('{\n\t"a": [\n\t\t1\n\t]\n}', {"a": [1]}),
        ("price: 5e-7", {"price": 5e-7}),
        ("a: '2026-01-01'\nb: \"no\"", {"a": "2026-01-01", "b": "no"}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("1: x\ntrue: y", {"1": "x", "true": "y"}),
        ("a: -0.5\nb: 0", {"a": -0.5, "b": 0}),
        ("version: 1.2.3", {"version": "1.2.3"}),
        ("", None),
        ("# nothing", None),
    ],
)
def test_json_and_yaml_are_read(text: str, value: Any) -> None:
    """JSON in any layout, YAML in block and flow style; keys are texts."""
    assert documents.read(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x 1\nb: *x", "line 1, column 4: an anchor, &x, is not taken"),
        ("a: *x", "line 1, column 4: an alias, *x, is not taken"),
        ("a: !!python/object:os.system x", "line 1, column 4: a tag"),
        ("a: !!binary aGk=", "a tag, tag:yaml.org,2002:binary, is not taken"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' is there twice"),
        ('{"a": 1,\n "a": 2}', "line 2, column 2: the key 'a' is there twice"),
        ("a: 2026-01-01", "line 1, column 4: '2026-01-01' could be a date or text"),
        ("a: no", "'no' could be true or false, or text: put it in quotes"),
        ("a: 010", "'010' could be a number or text"),
        ("a: 1:30", "'1:30' could be a number or text"),
        ("a: .inf", "'.inf' could be a number or text"),
        ("a: 1_000", "'1_000' could be a number or text"),
        ("<<: {a: 1}", "'<<' could be a merge or text"),
        ("a: 9007199254740993", "line 1, column 4: a whole number beyond 9007199254740992"),
        ("a: 1e999", "a number that is too large"),
        ('{"a": NaN, "b": 1e999}', "a number that is too large"),
        ('{"a": "\\ud800"}', "line 1, column 10: "),
        ('a: "\\0"', "a text that holds NUL or half a character"),
        ('{"a": "\\u0000"}', "a text that holds NUL or half a character"),
        ("? [1]\n: 2", "line 1, column 3: a key that is no text"),
        ("a\n---\nb", "line 2, column 1: a second document, allowed is one"),
        ("a: {b: [c}", "line 1, column 10: "),
        ("a: b: c", "line 1, column 5: mapping values are not allowed"),
        ("a:\n\t- b", "line 2, column 1: "),
        ("\x01", "control characters are not allowed"),
        ("[" * 11 + "]" * 11, "nested deeper than 10"),
        ("[" * 8000, "nested deeper than 10"),
        ("- " * 4000, "nested deeper than 10"),
        ("[" + "1," * 1000 + "1]", "too many values"),
        ("{" + ",".join(f"k{n}: 1" for n in range(600)) + "}", "too many values"),
    ],
)
def test_what_is_more_than_json_or_too_much_is_refused(text: str, told: str) -> None:
    """One fault, with the place in the text."""
    (fault,) = faults(text)
    assert told in str(fault)


def test_a_value_is_bounded_in_bytes() -> None:
    """Letters count as they are stored; a lone surrogate from a JSON escape does not get in the way."""
    documents.check_size("x" * documents.MAX_TEXT)
    for text in ("x" * (documents.MAX_TEXT + 1), "\u00e9" * 4097, "\ud800" * 4000):
        with pytest.raises(DocumentError, match="bytes, allowed are up to 8192"):
            documents.check_size(text)


def test_the_lines_of_keys_and_items_are_told() -> None:
    """A file's mistakes can be told with their line."""
    document = documents.compose("a:\n  b:\n  - x\n  - y\nc: {d: 1}\n", 100)
    assert document.lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 0): 3,
        ("a", "b", 1): 4,
        ("c",): 5,
        ("c", "d"): 5,
    }


def test_a_path_is_written_as_one_would_write_it() -> None:
    """Keys by dots, places in lists in brackets."""
    assert documents.place("overrides", (1, "model_info", "x")) == "overrides[1].model_info.x"
    assert documents.place("", ("namespaces", "a")) == "namespaces.a"


def test_pyyaml_without_libyaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parser in Python serves where it was built without the one in C."""
    monkeypatch.setattr(documents, "_Loader", yaml.SafeLoader)
    assert documents.compose("a: [1, x]\nb: 'no'", 100).value == {"a": [1, "x"], "b": "no"}
    with pytest.raises(DocumentError, match="line 1, column 4: an anchor, &x, is not taken"):
        documents.compose("a: &x 1", 100)
    with pytest.raises(DocumentError, match="line 1, column 5: mapping values are not allowed"):
        documents.compose("a: b: c", 100)

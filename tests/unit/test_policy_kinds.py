"""The kinds of values of the policy file: what they take, and which of two is tighter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from webhook.documents import DocumentError
from webhook.policy.composed import Object, Quantities, Table
from webhook.policy.kinds import (
    Allowed,
    Ceiling,
    Choice,
    Flag,
    GlobList,
    ModeWord,
    Name,
    Quantity,
    Required,
    Revision,
    Scale,
    UrlList,
    origin,
    resources,
)
from webhook.policy.rule import Kind
from webhook.policy.table import RULES
from webhook.policy.verdict import Mode
from webhook.sources.globs import Globs

SOURCES = GlobList(Globs.sources, "sources")
FIXED = GlobList(resources, "names of resources", fixed=True)
LABEL = Object({"key": Name(), "values": Allowed()}, required=("key",))


@pytest.mark.parametrize(
    ("kind", "tight", "loose"),
    [
        (Choice(), "deny", "warn"),
        (Choice(), "warn", "audit"),
        (Choice(), "audit", "allow"),
        (Choice(), "audit", None),
        (Flag(), True, False),
        (Flag(), True, None),
        (Scale(("a", "b")), "b", "a"),
        (Revision(), "commit", "any"),
        (Revision(), "any", "none"),
        (Revision(), "any", None),
        (Ceiling(), 0, 8),
        (Ceiling(), 8, None),
        (Quantity(), "500m", 1),
        (Quantity(), "1Gi", None),
        (Quantities(), {"cpu": "2", "memory": "1Gi"}, {"cpu": "2000m"}),
        (Quantities(), {"cpu": "2"}, {"cpu": "2001m"}),
        (Quantities(), {"cpu": "2"}, None),
        (Required(), ["a", "b"], ["b"]),
        (Required(), ["a"], None),
        (Allowed(), ["a"], ["b", "a"]),
        (Allowed(), [], ["a"]),
        (Allowed(), ["a"], None),
        (Name(), "a", None),
        (UrlList(), ["https://a.example"], ["https://A.example:443/", "https://b.example"]),
        (UrlList(), [], None),
        (SOURCES, ["hf://meta-llama/Llama-*"], ["hf://meta-llama/*", "s3://models/**"]),
        (SOURCES, ["hf://a/b@main"], ["hf://a/b"]),
        (SOURCES, [], ["**"]),
        (SOURCES, ["**"], None),
        (FIXED, ["nvidia.com/gpu"], None),
        (Table(Allowed()), {"a": ["x"], "b": []}, {"a": ["x", "y"]}),
        (LABEL, {"key": "a", "values": ["x"]}, {"key": "a", "values": ["x", "y"]}),
        (LABEL, {"key": "a", "values": ["x"]}, {"key": "a"}),
        (LABEL, {"key": "a"}, None),
    ],
)
def test_a_tighter_value_allows_nothing_that_the_other_forbids(kind: Kind, tight: Any, loose: Any) -> None:
    """It is tighter than the other and than itself, and the other is not tighter than it."""
    new, old = kind.parse(tight), None if loose is None else kind.parse(loose)
    assert kind.is_tighter(new, old)
    assert kind.is_tighter(new, new)
    assert not kind.is_tighter(old, new)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Name(), "a", "b"),
        (Required(), ["a"], ["b"]),
        (Allowed(), ["a"], ["b"]),
        (Quantities(), {"cpu": 1, "memory": 2}, {"cpu": 2, "memory": 1}),
        (UrlList(), ["https://a.example"], ["https://b.example"]),
        (SOURCES, ["hf://meta-llama/*"], ["hf://meta-llama-evil/*"]),
        (FIXED, ["nvidia.com/gpu"], ["nvidia.com/*"]),
        (LABEL, {"key": "a", "values": []}, {"key": "b", "values": ["x"]}),
    ],
)
def test_of_different_values_none_need_be_tighter(kind: Kind, one: Any, other: Any) -> None:
    """Where each allows what the other forbids, neither may take the other's place."""
    assert not kind.is_tighter(kind.parse(one), kind.parse(other))
    assert not kind.is_tighter(kind.parse(other), kind.parse(one))


@pytest.mark.parametrize("kind", {type(rule.kind): rule.kind for rule in RULES}.values(), ids=repr)
def test_no_kind_takes_nothing_for_a_value(kind: Kind) -> None:
    """A field that is written and left empty says what may stand there."""
    with pytest.raises(DocumentError, match="found null"):
        kind.parse(None)


def test_an_object_that_takes_over_from_another_rule_cannot_be_added() -> None:
    """Adding it may allow what that rule forbids; tightening it where it already counts may not."""
    kind = Object({"most": Ceiling()}, additive=False)
    assert not kind.is_tighter({"most": 0}, None)
    assert kind.is_tighter({"most": 0}, {"most": 1})


@pytest.mark.parametrize(
    ("kind", "value", "parsed"),
    [
        (Choice(), "deny", Mode.ENFORCE),
        (Choice(), "allow", Mode.OFF),
        (ModeWord(), "off", Mode.OFF),
        (Ceiling(), 8, 8),
        (Quantities(), {"memory": "1Gi", "cpu": 0.5}, {"memory": Decimal(2**30), "cpu": Decimal("0.5")}),
        (Required(), ["b", "a", "b"], ("b", "a")),
        (UrlList(), ["HTTP://Hub.Example:80/x/"], frozenset({"http://hub.example/x"})),
        (LABEL, {"key": "a"}, {"key": "a"}),
    ],
)
def test_a_value_is_parsed_once_into_what_checks_take(kind: Kind, value: Any, parsed: Any) -> None:
    """Words become modes, quantities amounts, URLs one spelling."""
    assert kind.parse(value) == parsed


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (
            Choice(),
            "dney",
            "found 'dney', allowed is `deny`, `warn`, `audit` or `allow`; did you mean deny?",
        ),
        (Choice(("deny", "warn")), "audit", "found 'audit', allowed is `deny` or `warn`"),
        (ModeWord(), True, "found true, allowed is `enforce`, `warn`, `audit` or `off`"),
        (Flag(), "true", "found 'true', allowed is `true` or `false`"),
        (Revision(), "comit", "found 'comit', allowed is `none`, `any` or `commit`; did you mean commit?"),
        (Ceiling(), True, "found true, allowed is a whole number from 0 to 1000000"),
        (Ceiling(), -1, "found -1, allowed is"),
        (Ceiling(), 1.5, "found 1.5, allowed is"),
        (Quantity(), "-1", "found '-1', allowed is a quantity"),
        (Quantities(), {"cpu": "many"}, "cpu: found 'many', allowed is a quantity"),
        (Quantities(), ["cpu"], "found a list, allowed is an object with a quantity"),
        (
            Required(("hostPath", "hostPID")),
            ["hostpth"],
            "[0]: found 'hostpth', allowed is `hostPath` or `hostPID`",
        ),
        (Allowed(), "a", "found 'a', allowed is a list of texts"),
        (Allowed(), [""], "[0]: found '', allowed is 1 to 1024 characters, no blanks around them"),
        (Name(), " a", "found ' a', allowed is 1 to 1024 characters"),
        (UrlList(), ["huggingface.co"], "[0]: found 'huggingface.co', allowed is a URL like"),
        (UrlList(), ["https://user@a.example"], "[0]: found 'https://user@a.example', allowed is a URL like"),
        (UrlList(), ["https://a.example:x"], "[0]: found 'https://a.example:x', allowed is a URL like"),
        (SOURCES, ["hf://a/*", "hf//a"], "[1]: 'hf//a' has no scheme"),
        (LABEL, {"kye": "a"}, "kye: found 'kye', allowed is `key` or `values`"),
        (LABEL, {"values": []}, "`key` must be there"),
        (LABEL, {"key": 5, "values": 6}, "key: found 5, allowed is 1 to 1024 characters"),
        (Table(Flag(), keys=("a",)), {"b": True}, "b: found 'b', allowed is `a`"),
    ],
)
def test_a_wrong_value_is_told_with_its_place_and_what_is_allowed(kind: Kind, value: Any, told: str) -> None:
    """And the nearest word, where there is one."""
    with pytest.raises(DocumentError) as caught:
        kind.parse(value)
    assert str(caught.value.found[0]).startswith(told)


def test_everything_wrong_with_a_value_is_told() -> None:
    """Whoever mends it sees all there is."""
    with pytest.raises(DocumentError) as caught:
        LABEL.parse({"key": "", "values": ["", "a", " "]})
    assert [fault.path for fault in caught.value.found] == [("key",), ("values", 0), ("values", 2)]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("https://HuggingFace.co:443/", "https://huggingface.co"),
        ("https://user:pw@hub.example/a/?q#f", "https://hub.example/a"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://hub.example.", "https://hub.example"),
    ],
)
def test_a_url_has_one_spelling(text: str, same: str) -> None:
    """What leads to the same hub is the same text."""
    assert origin(text) == same


@pytest.mark.parametrize("text", ["ftp://a.example", "a.example", "https://", "https://a:99999", "http://["])
def test_what_is_no_web_url_has_no_origin(text: str) -> None:
    """It is refused instead of guessed."""
    with pytest.raises(ValueError):  # noqa: PT011 - urllib's own messages differ between Pythons
        origin(text)

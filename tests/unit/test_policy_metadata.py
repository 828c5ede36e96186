"""Rules over labels and annotations that must be there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules import rule, subject, told
from webhook.documents import DocumentError


def of(**metadata: Any) -> dict[str, Any]:
    """Give a pod with this metadata."""
    return {"metadata": metadata, "spec": {}}


@pytest.mark.parametrize(
    ("value", "raw", "found"),
    [
        (["team"], of(labels={"team": "a"}), []),
        (["team"], of(labels={"other": "a"}), ["labels[team]: nothing -> a value"]),
        (["team"], of(labels={"team": ""}), ["labels[team]: nothing -> a value"]),
        (["team"], of(labels={"team": 7}), ["labels[team]: nothing -> a value"]),
        (["team"], of(labels=None), ["labels[team]: nothing -> a value"]),
        (["team", "cost"], {}, ["labels[team]: nothing -> a value", "labels[cost]: nothing -> a value"]),
        ({"team": ["ml-*", "ops"]}, of(labels={"team": "ml-chat"}), []),
        ({"team": ["ml-*", "ops"]}, of(labels={"team": "ops"}), []),
        ({"team": ["ml-*", "ops"]}, of(labels={"team": "Ops"}), ["labels[team]: 'Ops' -> ml-* or ops"]),
        ({"team": ["ml-*"]}, of(), ["labels[team]: nothing -> ml-*"]),
        ({"team": []}, of(labels={"team": "any"}), []),
    ],
)
def test_required_labels(value: Any, raw: dict[str, Any], found: list[str]) -> None:
    """A label must be there, and have one of the values where some are given."""
    judged = subject(raw, path="spec.template.spec")
    assert told("metadata.requireLabels", value, judged) == [
        f"spec.template.metadata.{line}" for line in found
    ]


def test_required_annotations() -> None:
    """Annotations are held to the same."""
    raw = of(labels={"contact": "x"}, annotations={"runbook": "http://wiki/a"})
    value = {"contact": ["*"], "runbook": ["https://*"]}
    assert told("metadata.requireAnnotations", value, subject(raw)) == [
        "metadata.annotations[contact]: nothing -> *",
        "metadata.annotations[runbook]: 'http://wiki/a' -> https://*",
    ]


@pytest.mark.parametrize(
    ("new", "old", "tighter"),
    [
        (["a", "b"], ["a"], True),
        (["a"], ["a", "b"], False),
        ({"a": ["x"]}, ["a"], True),
        (["a"], {"a": ["x"]}, False),
        ({"a": ["ml-x*"]}, {"a": ["ml-*"]}, True),
        ({"a": ["m*"]}, {"a": ["ml-*"]}, False),
        ({"a": ["x", "z"]}, {"a": ["x", "y"]}, False),
        ({"a": ["x"]}, {"a": ["x", "y"]}, True),
    ],
)
def test_what_is_tighter(new: Any, old: Any, *, tighter: bool) -> None:
    """More names, or fewer values, allow nothing that was forbidden."""
    kind = rule("metadata.requireLabels").kind
    assert kind.is_tighter(kind.parse(new), kind.parse(old)) is tighter
    assert kind.is_tighter(kind.parse(new), None)
    assert not kind.is_tighter(None, kind.parse(old))


@pytest.mark.parametrize("value", ["team", 7, None, [7], [""], {"team": "a"}, {"team": [1]}, {"": ["a"]}])
def test_bad_values(value: Any) -> None:
    """Anything but names, or names with their lists of values, is an error of the policy file."""
    with pytest.raises(DocumentError, match="allowed is"):
        rule("metadata.requireLabels").kind.parse(value)

"""The law of the policy file: whatever it holds, it is taken whole, or refused with what is wrong."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.policy.document import API_VERSION, KIND
from webhook.policy.lint import lint
from webhook.policy.table import RULES

NAMES = st.sampled_from(
    [
        *("defaults", "rules", "namespaces", "exceptions", "delegate", "mode", "modes", "match", "labels"),
        *(
            "\n",
            "x" * 3000,
            "id",
            "reason",
            "owner",
            "expires",
            "namespace",
            "podName",
            "allow",
            "key",
            "values",
            "x",
        ),
        *(name for rule in RULES for name in (rule.group, rule.field)),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["deny", "enforce", "off", "commit", "a-*", "**", "hf://a/*", "2026-12-31", "1Gi", ""]),
    st.sampled_from([rule.id for rule in RULES]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4))
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "defaults": VALUES,
        "rules": st.one_of(VALUES, st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4))),
        "namespaces": st.lists(st.fixed_dictionaries({"match": VALUES, "rules": VALUES}), max_size=3),
        "exceptions": st.lists(
            st.fixed_dictionaries(
                dict.fromkeys(("id", "rules", "match", "reason", "owner", "expires"), VALUES)
            ),
            max_size=2,
        ),
        "delegate": VALUES,
    },
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS, st.floats(-1e12, 1e12))
def test_whatever_a_policy_file_says_it_is_taken_or_every_mistake_is_told(spec: Any, now: float) -> None:
    """Nothing else is raised, and each mistake is one line of text."""
    document = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "a"}, "spec": spec}
    for told in lint(json.dumps(document), RULES, now):
        assert all(text.isprintable() and len(text) < 2000 for text in told), told


@settings(max_examples=400, deadline=None)
@given(st.text())
def test_no_text_is_too_odd_to_be_refused(text: str) -> None:
    """What is no policy at all is told like what is nearly one."""
    assert lint(text, RULES, 0).errors

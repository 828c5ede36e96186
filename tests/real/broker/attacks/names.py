"""Attacks by the names of rows."""

from __future__ import annotations

from typing import Final

from tests.real.broker.attacks.making import (
    GONE,
    SECRET,
    a,
    named,
    places,
    theirs,
)
from tests.real.broker.world import ALIAS, CONFIGURED, HAND_MADE, model

NAMES: Final = (
    a(
        "name-of-others",
        "Names of the victim, of a row by hand, of the configuration; an alias; what a pattern takes.",
        named(
            lambda w: model(w.victim), HAND_MADE, CONFIGURED, ALIAS, "any-1-x", "any-1-xyz", "openai/by-hand"
        ),
        "name_taken",
    ),
    a(
        "name-behind-others",
        "The name behind the victim's row.",
        named(lambda w: f"hosted_vllm/{model(w.victim)}"),
        "name_taken",
    ),
    a(
        "patterns",
        "Names that stand for many.",
        named("*", "openai/*", "any-*-x", "gpt-*", "a*"),
        "model_name",
    ),
    a(
        "special",
        "Words that mean something else to LiteLLM.",
        named(
            "all-proxy-models", "all-team-models", "no-default-models", "ALL-PROXY-MODELS", "default", "all"
        ),
        "model_name",
    ),
    a(
        "ids-as-names",
        "Ids of rows as names.",
        named(theirs, lambda w: w.mine, lambda w: w.foreign, "model_name_team_0123abcd-0000", "0" * 32),
        "model_name",
    ),
    a("id-of-the-configuration", "The id of a configured row as a name.", named("config-row"), "name_taken"),
    a(
        "look-alikes",
        "Names that look like others.",
        named(
            "gpt-4\u043e",
            "\uff47pt-4o",
            "from-config\u200b",
            "from-con\ufb01g",
            "from-config ",
            " from-config",
            "\u202egifnoc-morf",
            "a\u00a0b\u3000",
            "from-c\u03bfnfig",
        ),
        "model_name",
    ),
    a(
        "no-names",
        "What is no name.",
        named("", " ", "x" * 254, "a\nb", "a\x7fb", "\ue000", SECRET, f" {SECRET}", SECRET.upper()),
        "model_name",
        "model_info",
    ),
    a(
        "names-of-no-text",
        "Names of other kinds, or none.",
        places("model_name", None, 7, [], {}, True, GONE),
        "body_bad",
    ),
)

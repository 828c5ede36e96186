"""The real vLLM's own parser, beside our reading of the same command lines."""

from __future__ import annotations

from functools import cache
from typing import Final

import pytest

from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET, not_installed
from tests.real.vllm_own import Parsed, parsed
from tests.vllm_lines import MODULE, SERVE, Asked, differs, random_lines
from webhook.sources.vllm_options import CURRENT

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

COUNT: Final = 2500
SEED: Final = 20261121
# Written by hand: what random lines hold too rarely.
BY_HAND: Final = [
    Asked(entry, tuple(words))
    for entry in (SERVE, MODULE)
    for words in (
        *([], ["org/m"], ["--model", "a/b", "--model", "c/d"], ["--model=a/b", "--model", "c/d"]),
        *(["org/m", "--model", "a/b"], ["--port", "1", "--model", "a/b"], ["--model"], ["--model=\na"]),
        *(["a/b", "--served-model-name", "x", "--served_model_name=y"], ["--served-model-name", "x", "a/b"]),
        *(["--trust-remote-code", "--no-trust-remote-code", "a/b"], ["a/b", "--no-trust", "--trust-rem"]),
        *(["a/b", "--trust-rem", "--no-trust-rem"], ["--", "a/b"], ["a/b", "--", "--trust-remote-code"]),
        *(["--chat-template", "--model", "a/b", "x"], ["--revision", "-1", "a/b"], ["a/b", "--rev=x y"]),
        *(["a/b", "-s", '{"model": "d/e"}'], ["a/b", "-q=awq"], ["a/b", "-qawq"], ["a/b", "-n2"]),
        *(
            ["a/b", "--seed", "-1.5"],
            ["-.5", "--", "a/b"],
            ["--port.x", "1", "a/b"],
            ["a/b", "-O3", "-O", "2"],
        ),
        *(["--hf-token", "a/b"], ["--hf-token", "--port", "1", "a/b"], ["a/b", "--hf-overrides.a+", "x,y"]),
        *(["a/b", "--revision", "None"], ["a/b", "--revision="], ["a/b", "--served-model-name", "None"]),
        *(["a/b", "--model_", "c"], ["a/b", "--trust__remote_code"], ["a/b", "--TRUST-REMOTE-CODE"]),
        *(["a/b", "--port", "8_0"], ["a/b", "--port", " 80 "], ["a/b", "---port", "1"], ["a/b", "--=x"]),
    )
]


@cache
def asked() -> tuple[Asked, ...]:
    """Give every command line."""
    return (*BY_HAND, *random_lines(COUNT, SEED))


@cache
def real() -> Parsed:
    """Ask the real parser once."""
    return parsed(asked())


@pytest.fixture(autouse=True)
def _installed() -> None:
    require(HOW_TO_GET, not_installed("vllm"))


def test_the_table_of_options_is_that_of_the_installed_vllm() -> None:
    """Every spelling takes as many words as in the parser itself, and is unset by None where it is there."""
    ours = {
        spelling: [
            option.name.replace("-", "_"),
            0 if option.flag else "+" if option.many else "?" if option.optional else None,
            option.unset,
            "help" if option.name == "help" else "append" if option.append else "",
        ]
        for spelling, option in CURRENT.items()
    }
    theirs = real().options
    differing = [
        f"{name}: vLLM {theirs.get(name)}, the table {ours.get(name)}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]
    assert not differing


def test_no_command_line_that_vllm_takes_is_read_otherwise() -> None:
    """Model, revision, trust flag, served names and port of 2,000 lines are its own, or said unknown."""
    answered = zip(asked(), real().answers, strict=True)
    pairs = [(one, answer) for one, answer in answered if answer is not None]
    assert len(pairs) >= 2000
    assert [text for one, answer in pairs if (text := differs(one, answer))] == []

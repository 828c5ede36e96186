"""What LiteLLM is told of a model: facts, and over them what the owner says."""

from typing import Any

import pytest

from sidecar.contract import Engine, Override, Settings
from sidecar.description import OwnersWord, described, overridden, owners_word
from sidecar.servers.facts import UNKNOWN, Ability, Fact, Facts, Mode, Origin, abilities

FLAGS = [f"supports_{ability}" for ability in Ability]
NUMBERS = ("max_tokens", "max_input_tokens", "max_output_tokens", "output_vector_size")


def settings(**said: Any) -> Settings:
    """Give settings that say this."""
    return Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n", **said)


def engine(value: Any) -> Fact[Any]:
    """Give a fact told by the engine."""
    return Fact(value, Origin.ENGINE)


def test_yes_no_and_unknown() -> None:
    """Yes is true, no and unknown are false, and unknown is named."""
    able = abilities(Origin.ENGINE, vision=True, reasoning=False)
    info, unknown = described(Facts(mode=engine(Mode.CHAT), abilities=able))
    assert [info[f"supports_{name}"] for name in ("vision", "reasoning", "tool_choice")] == [
        True,
        False,
        False,
    ]
    assert "supports_tool_choice" in unknown
    assert not {"mode", "supports_vision", "supports_reasoning"} & set(unknown)


@pytest.mark.parametrize(
    ("mode", "context", "size", "numbers", "unknown"),
    [
        # Prompt and answer share the served context; LiteLLM reads a server's own card the same way.
        (Mode.CHAT, 4096, None, (4096, 4096, 4096, 0), []),
        (Mode.COMPLETION, 4096, None, (4096, 4096, 4096, 0), []),
        (Mode.AUDIO_TRANSCRIPTION, 448, None, (448, 448, 448, 0), []),
        (None, 4096, None, (4096, 4096, 4096, 0), ["mode"]),
        # They write no tokens.
        (Mode.EMBEDDING, 512, 64, (512, 512, 0, 64), []),
        (Mode.RERANK, 512, None, (512, 512, 0, 0), []),
        # No number would be true.
        (
            Mode.EMBEDDING,
            None,
            None,
            (None, None, 0, None),
            ["max_input_tokens", "max_tokens", "output_vector_size"],
        ),
        (
            Mode.CHAT,
            None,
            None,
            (None, None, None, 0),
            ["max_input_tokens", "max_output_tokens", "max_tokens"],
        ),
    ],
)
def test_numbers_come_from_the_served_context(
    mode: Mode | None,
    context: int | None,
    size: int | None,
    numbers: tuple[int | None, ...],
    unknown: list[str],
) -> None:
    """Each mode has the numbers it can have; an unknown one is left out and named."""
    info, missing = described(Facts(Fact(mode), Fact(context), Fact(size)))
    assert tuple(info.get(name) for name in NUMBERS) == numbers
    assert sorted(set(missing) - set(FLAGS)) == unknown


def test_a_chat_model_has_no_vector_and_says_so() -> None:
    """A chat model's inner width is no `output_vector_size`: it is 0, or an embedding row's would show."""
    info, _ = described(Facts(engine(Mode.CHAT), engine(10), engine(4096)))
    assert info["output_vector_size"] == 0


def test_an_unknown_mode_is_sent_as_chat() -> None:
    """Some mode must be sent, or LiteLLM shows another row's; it is named as a guess."""
    info, unknown = described(Facts())
    assert info["mode"] == "chat"
    assert "mode" in unknown


def test_what_the_owner_says_is_put_together_in_order() -> None:
    """`mode` is outdone by `model_info`, that by the overrides, and of these the last that matches wins."""
    said = settings(
        mode="chat",
        model_info={"mode": "rerank", "tier": "free", "a": 1},
        litellm_params={"rpm": 1, "tpm": 2},
        overrides=(
            Override("q", {"tier": "one", "b": 1}, {"rpm": 2}),
            Override("^x", {"tier": "never"}, {"rpm": 0}),
            Override("n$", {"tier": "two"}, {"timeout": 3}),
        ),
    )
    word = owners_word("qwen", said)
    assert word.info == {"mode": "rerank", "tier": "two", "a": 1, "b": 1}
    assert word.params == {"rpm": 2, "tpm": 2, "timeout": 3}
    assert owners_word("other", said).info == {"mode": "rerank", "tier": "free", "a": 1}
    assert owners_word("any", settings(mode="embedding")).info == {"mode": "embedding"}


def test_null_takes_back_what_was_said() -> None:
    """An override with null leaves the key to the registrar, or to nobody."""
    said = settings(
        model_info={"supports_vision": True},
        litellm_params={"rpm": 5},
        overrides=(Override("m", {"supports_vision": None}, {"rpm": None}),),
    )
    assert owners_word("m", said) == OwnersWord({}, {})


def test_what_the_owner_says_of_a_fact_is_a_fact() -> None:
    """Ability, mode, context and embedding size show the owner as their origin; other keys change no fact."""
    found = Facts(
        engine(Mode.CHAT), engine(4096), UNKNOWN, engine("Q4"), abilities(Origin.PROBE, vision=True)
    )
    said = {
        "mode": "embedding",
        "max_input_tokens": 100,
        "output_vector_size": 64,
        "supports_vision": False,
        "supports_native_streaming": True,
        "tier": "free",
    }
    facts = overridden(found, OwnersWord(said))
    assert facts.mode == Fact(Mode.EMBEDDING, Origin.OVERRIDE)
    assert facts.context == Fact(100, Origin.OVERRIDE)
    assert facts.embedding_size == Fact(64, Origin.OVERRIDE)
    assert facts.quantization == engine("Q4")
    assert facts.abilities == {Ability.VISION: Fact(False, Origin.OVERRIDE)}


@pytest.mark.parametrize(
    "said",
    [
        {"mode": "ocr"},
        {"mode": 7},
        {"max_input_tokens": "many"},
        {"max_input_tokens": True},
        {"supports_vision": "yes"},
        {"output_vector_size": -1},
    ],
)
def test_what_is_no_fact_changes_none(said: dict[str, Any]) -> None:
    """A mode of LiteLLM's that the registrar knows nothing of, or a value of another kind, is no fact."""
    found = Facts(engine(Mode.CHAT), engine(4096))
    assert overridden(found, OwnersWord(said)) == found

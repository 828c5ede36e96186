"""What is known of a model: every capability is yes, no or unknown, with where the answer came from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Generic, Self, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Origin(StrEnum):
    """Where an answer came from; of two answers the one named first here counts."""

    OVERRIDE = "override"  # what the owner says
    ENGINE = "engine"  # the engine's own API says so
    PROBE = "probe"  # told by how the server answers a request
    DEFAULT = "default"  # so with every server of this engine


@dataclass(frozen=True, slots=True)
class Fact(Generic[T_co]):
    """One answer; `value` None is "unknown"."""

    value: T_co | None
    origin: Origin = Origin.DEFAULT

    @property
    def known(self) -> bool:
        """Whether there is an answer."""
        return self.value is not None


UNKNOWN: Final[Fact[Any]] = Fact(None)


def said(value: T_co | None) -> Fact[T_co]:
    """Give what the engine's own API says; None is "it does not say"."""
    return UNKNOWN if value is None else Fact(value, Origin.ENGINE)


class Mode(StrEnum):
    """What a model is asked for; LiteLLM's values of `model_info.mode` (litellm/types/utils.py)."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    AUDIO_TRANSCRIPTION = "audio_transcription"


class Ability(StrEnum):
    """What a model may be able to do: LiteLLM's `model_info` flags without `supports_`.

    From ProviderSpecificModelInfo in litellm/types/utils.py. Not among them is `native_streaming`: false
    there makes LiteLLM wait for the whole answer and only play at streaming.
    """

    ASSISTANT_PREFILL = "assistant_prefill"
    AUDIO_INPUT = "audio_input"
    AUDIO_OUTPUT = "audio_output"
    COMPUTER_USE = "computer_use"
    EMBEDDING_IMAGE_INPUT = "embedding_image_input"
    FUNCTION_CALLING = "function_calling"
    NATIVE_STRUCTURED_OUTPUT = "native_structured_output"
    PARALLEL_FUNCTION_CALLING = "parallel_function_calling"
    PDF_INPUT = "pdf_input"
    PROMPT_CACHING = "prompt_caching"
    REASONING = "reasoning"
    RESPONSE_SCHEMA = "response_schema"
    SYSTEM_MESSAGES = "system_messages"
    TOOL_CHOICE = "tool_choice"
    URL_CONTEXT = "url_context"
    VIDEO_INPUT = "video_input"
    VISION = "vision"
    WEB_SEARCH = "web_search"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one model.

    `context` is the served context length in tokens (never the trained one), `embedding_size` the length of
    an embedding's vector. An ability that is not in `abilities` is unknown.
    """

    mode: Fact[Mode] = UNKNOWN
    context: Fact[int] = UNKNOWN
    embedding_size: Fact[int] = UNKNOWN
    quantization: Fact[str] = UNKNOWN
    abilities: Mapping[Ability, Fact[bool]] = field(default_factory=dict)

    def ability(self, ability: Ability) -> Fact[bool]:
        """Give what is known of one ability."""
        return self.abilities.get(ability, UNKNOWN)

    def or_else(self, other: Self) -> Self:
        """Give these facts, and where they know nothing the other ones."""
        abilities = {
            ability: fact if (fact := self.ability(ability)).known else other.ability(ability)
            for ability in Ability
            if ability in self.abilities or ability in other.abilities
        }
        return type(self)(
            mode=self.mode if self.mode.known else other.mode,
            context=self.context if self.context.known else other.context,
            embedding_size=self.embedding_size if self.embedding_size.known else other.embedding_size,
            quantization=self.quantization if self.quantization.known else other.quantization,
            abilities=abilities,
        )


NOTHING_KNOWN: Final = Facts()


def abilities(origin: Origin, **told: bool | None) -> dict[Ability, Fact[bool]]:
    """Write abilities down by their names; what is None is unknown and left out."""
    return {Ability(name): Fact(value, origin) for name, value in told.items() if value is not None}


# Computer use, search, fetching of URLs and Anthropic's `output_format` are services of hosted models; no
# server of local models has them (litellm, model_prices_and_context_window.json and llms/anthropic).
HOSTED_ONLY: Final = abilities(
    Origin.DEFAULT, computer_use=False, native_structured_output=False, url_context=False, web_search=False
)

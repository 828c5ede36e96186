"""What the mode of a model rules out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.servers.facts import NOTHING_KNOWN, Ability, Fact, Facts, Mode, Origin

# How an engine makes text, whatever it is made from: true of a model that only completes text as well.
_OF_TEXT: Final = frozenset(
    {Ability.NATIVE_STRUCTURED_OUTPUT, Ability.PROMPT_CACHING, Ability.RESPONSE_SCHEMA}
)
_CAN_HAVE: Final[Mapping[Mode, frozenset[Ability]]] = {
    Mode.CHAT: frozenset(Ability) - {Ability.EMBEDDING_IMAGE_INPUT},
    Mode.COMPLETION: _OF_TEXT,
    Mode.EMBEDDING: frozenset({Ability.EMBEDDING_IMAGE_INPUT}),
    Mode.RERANK: frozenset(),
    Mode.AUDIO_TRANSCRIPTION: frozenset(),
}


def implied(mode: Mode | None) -> Facts:
    """Give what a model of this mode cannot do.

    All but three of LiteLLM's flags are about chat messages and what comes back for them
    (litellm/types/utils.py, ProviderSpecificModelInfo), `audio_input` too: to transcribe is a mode.
    """
    if mode is None:
        return NOTHING_KNOWN
    no = Fact(False, Origin.DEFAULT)
    return Facts(abilities={ability: no for ability in Ability if ability not in _CAN_HAVE[mode]})

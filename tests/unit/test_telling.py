"""What is known of a model, written down for people."""

from sidecar.servers.facts import Ability, Fact, Facts, Mode, Origin, abilities
from sidecar.servers.shapes import Model
from sidecar.telling import line, status

FACTS = Facts(
    mode=Fact(Mode.CHAT, Origin.ENGINE),
    context=Fact(32768, Origin.OVERRIDE),
    abilities=abilities(Origin.PROBE, function_calling=True, vision=False)
    | abilities(Origin.DEFAULT, response_schema=True),
)


def test_a_line_gives_each_answer_with_its_origin() -> None:
    """What a model can do, cannot do, and what nobody knows, each ability in exactly one of the three."""
    told = line(Model("m", digest="sha256-0123456789", facts=FACTS))
    assert told["mode"] == "chat(engine)"
    assert told["context"] == "32768(override)"
    assert told["digest"] == "sha256-01234"
    assert told["yes"] == ("function_calling(probe)", "response_schema(default)")
    assert told["no"] == ("vision(probe)",)
    unknown = told["unknown"]
    assert isinstance(unknown, tuple)
    assert len(unknown) == len(Ability) - 3
    assert "embedding_size" not in told


def test_what_is_so_with_every_such_server_stands_last() -> None:
    """An owner looks for what this model was found to lack, not for what no server of its kind has."""
    no = {
        **abilities(Origin.DEFAULT, audio_output=False),
        **abilities(Origin.PROBE, vision=False),
        **abilities(Origin.OVERRIDE, web_search=False),
        **abilities(Origin.ENGINE, reasoning=False),
    }
    assert line(Model("m", facts=Facts(abilities=no)))["no"] == (
        "web_search(override)",
        "reasoning(engine)",
        "vision(probe)",
        "audio_output(default)",
    )


def test_an_unknown_mode_and_context_are_among_what_nobody_knows() -> None:
    """The two numbers every model has are missed; a quantization that few tell is not."""
    told = line(Model("m"))
    assert isinstance(told["unknown"], tuple)
    assert told["unknown"][:2] == ("mode", "context")
    assert "quantization" not in told["unknown"]
    assert (told["yes"], told["no"], told["digest"]) == (None, None, None)


def test_status_gives_every_fact() -> None:
    """Value and origin of each, null for what nobody knows."""
    told = status(Model("m", facts=FACTS))
    assert told["mode"] == {"value": "chat", "origin": "engine"}
    assert told["supports_vision"] == {"value": False, "origin": "probe"}
    assert told["supports_reasoning"] == {"value": None, "origin": None}
    assert len(told) == 4 + len(Ability)

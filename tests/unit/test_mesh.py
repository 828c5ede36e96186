"""The annotations that keep a port out of service meshes."""

import pytest

from webhook.mesh import LISTS, missing

ISTIO, LINKERD = LISTS


def test_a_pod_without_lists_gets_both() -> None:
    """Which mesh there is, if any, is not known when the pod is made."""
    assert missing({"other": "x"}, 9469) == {ISTIO: "9469", LINKERD: "9469"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "9469"),
        ("15020", "15020,9469"),
        ("15020, 8080", "15020, 8080,9469"),
        ("15020,", "15020,9469"),
        ("94690", "94690,9469"),
        ("9400-9468,9470-9500", "9400-9468,9470-9500,9469"),
        ("${PORT}", "${PORT},9469"),
        ("9469", None),
        ("15020, 9469", None),
        ("4567-4568,9400-9500", None),
        ("9469-9469", None),
    ],
)
def test_what_a_list_has_stays_and_the_port_is_there_once(text: str, wanted: str | None) -> None:
    """A port that is listed, or lies in a range, is not added; anything else stays as it was written."""
    assert missing({LINKERD: text, ISTIO: "9469"}, 9469) == ({LINKERD: wanted} if wanted else {})


def test_a_second_look_finds_nothing_to_do() -> None:
    """What was written is what is looked for."""
    assert missing(missing({ISTIO: "1,2"}, 9469), 9469) == {}

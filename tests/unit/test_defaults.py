"""Defaults of the cluster and its namespaces: the file, its mistakes, and which of them counts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.contract import LogFormat, Override
from webhook.config import ConfigError
from webhook.defaults import NO_DEFAULTS, Defaults, parse
from webhook.defaults_file import defaults_file
from webhook.layer import TABLE
from webhook.log import Log
from webhook.wishes import Wishes

EXAMPLE = Path(__file__).parents[2] / "examples" / "webhook-defaults.yaml"


def problems(text: str) -> list[str]:
    """Give what is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.problems


def test_a_namespace_goes_over_the_cluster_key_by_key() -> None:
    """Objects are put together, overrides follow one another, everything else is replaced."""
    found = parse("""
defaults:
  poll-interval: 10
  include: ^qwen
  litellm-params: {rpm: 60, tags: [a, b]}
  overrides: [{match: x, model_info: {mode: chat}}]
namespaces:
  team-a:
    include: ^llama
    tpm: 1000
    tags: [c]
    overrides:
    - match: y
      litellm_params: {weight: 2}
""")
    cluster = Wishes(
        poll_interval=10.0,
        include="^qwen",
        litellm_params={"rpm": 60, "tags": ["a", "b"]},
        overrides=(Override("x", {"mode": "chat"}),),
    )
    assert found.of("team-b") == found.of("") == cluster
    assert found.of("team-a") == cluster._replace(
        include="^llama",
        litellm_params={"rpm": 60, "tpm": 1000, "tags": ["c"]},
        overrides=(Override("x", {"mode": "chat"}), Override("y", {}, {"weight": 2})),
    )


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("poll-interval: 2.5", "poll-interval: 2.5s"),
        ("drain-timeout: 90", "drain-timeout: 1m30s"),
        ("rpm: 60", "rpm: '60'"),
        ("input-cost-per-token: 0.0000005", "input-cost-per-token: '5e-7'"),
        ("tags: [a, b]", "tags: 'a, b'"),
        ("model-info: {owner: a}", 'model-info: \'{"owner": "a"}\''),
        ("overrides: []", "overrides: '[]'"),
    ],
)
def test_a_value_may_be_written_as_in_yaml_or_as_in_an_annotation(yaml: str, text: str) -> None:
    """Both mean the same."""
    assert parse(f"defaults: {{{yaml}}}") == parse(f"defaults: {{{text}}}") != NO_DEFAULTS


@pytest.mark.parametrize("text", ["", "# nothing\n", "defaults:\nnamespaces:\n", "namespaces: {a: }"])
def test_a_file_may_say_nothing(text: str) -> None:
    """Then nothing counts but what is built in."""
    assert parse(text).of("a") == Wishes()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "found a list, allowed is an object"),
        ("default: {}", "default (line 1): unknown, did you mean defaults?"),
        ("x: {}", "x (line 1): unknown; there are defaults and namespaces"),
        ("defaults: 5", "defaults (line 1): found 5, allowed is an object"),
        ("namespaces: []", "namespaces (line 1): found a list, allowed is an object"),
        ("namespaces:\n  Team_A: {}", "namespaces.Team_A (line 2): no namespace can be called that"),
        ("defaults:\n  rmp: 5", "defaults.rmp (line 2): no such annotation; did you mean rpm?"),
        (
            "namespaces:\n  a:\n    rpm: many",
            "namespaces.a.rpm (line 3): found 'many', allowed is a whole number from 1 to 9007199254740992",
        ),
        (
            "defaults:\n  litellm-registrar.io/rpm: 1",
            "defaults.litellm-registrar.io/rpm (line 2): it is written without its domain here: rpm",
        ),
        ("defaults: {rpm: true}", "defaults.rpm (line 1): found true, allowed is a whole number"),
        ("defaults: {rpm: [1]}", "defaults.rpm (line 1): found a list"),
        (
            "defaults: {include: [a]}",
            "defaults.include (line 1): found a list, allowed is a regular expression",
        ),
        (
            "defaults:\n  port: 8000",
            "defaults.port (line 2): there is no default of it, it describes one server",
        ),
        (
            "defaults:\n  overrides:\n  - match: a\n    model_info: {}\n  - match: b(\n    model_info: {}",
            "defaults.overrides (line 5): overrides[1].match: a bracket ( that is not closed at position 1",
        ),
        (
            "defaults:\n  litellm-params:\n    rpm: 1\n    api_base: http://x",
            "defaults.litellm-params (line 4): litellm-params.api_base: the registrar writes it",
        ),
        (
            "defaults: {rpm: 5, litellm-params: {rpm: 6}}",
            "defaults.rpm (line 1): found 5, but litellm-params says",
        ),
        ("defaults: {model-info: {a: " + "x" * 9000 + "}}", "found 9008 bytes, allowed are up to 8192"),
        ("defaults: &a {}", "line 1, column 11: an anchor, &a, is not taken"),
        ("defaults:\n  rpm: 1\n  rpm: 2", "line 3, column 3: the key 'rpm' is there twice"),
        ("x" * 1_100_000, "found 1100000 characters, allowed are up to 1048576"),
    ],
)
def test_a_mistake_has_its_path_and_its_line(text: str, told: str) -> None:
    """And the nearest known name."""
    (problem,) = problems(text)
    assert told in problem


def test_every_mistake_is_told_at_once() -> None:
    """Whoever mends the file sees all there is."""
    found = problems("defaults: {rmp: 1, weight: no-number}\nnamespaces: {A: {}, b: {prot: 1}}")
    assert [problem.partition(" ")[0] for problem in found] == [
        "defaults.rmp",
        "defaults.weight",
        "namespaces.A",
        "namespaces.b.prot",
    ]


def test_what_describes_one_server_has_no_default() -> None:
    """A port or a name for all servers would be wrong for all but one."""
    refused = {key.name for key in TABLE if key.not_default}
    where = {"container", "port", "scheme", "host", "path"}
    assert refused == where | {"model-name", "aliases", "display-name", "description"}


def test_the_example_is_taken() -> None:
    """What the README names as a beginning works."""
    assert parse(EXAMPLE.read_text()) != NO_DEFAULTS


class Followed:
    """A file of defaults that is followed, with what was taken of it and what was logged."""

    def __init__(self, path: Path) -> None:
        self.used: list[Defaults] = []
        self._stream = io.StringIO()
        self.file = defaults_file(str(path), Log(self._stream, LogFormat.JSON), self.used.append)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines so far."""
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


def with_rpm(rpm: int) -> Defaults:
    """Give the defaults that say only this."""
    return Defaults(Wishes(litellm_params={"rpm": rpm}))


def test_a_changed_file_is_taken_up(tmp_path: Path) -> None:
    """Once; a look at an unchanged file does nothing."""
    path = tmp_path / "defaults.yaml"
    path.write_text("defaults: {rpm: 1}")
    followed = Followed(path)
    followed.file.load()
    followed.file.look()
    path.write_text("defaults: {rpm: 2}")
    followed.file.look()
    followed.file.look()
    assert followed.used == [with_rpm(1), with_rpm(2)]
    assert [(line["event"], line["namespaces"]) for line in followed.log] == [("defaults", 0)]


def test_a_swapped_symlink_is_a_change(tmp_path: Path) -> None:
    """The kubelet renews a mounted ConfigMap by pointing `..data` elsewhere."""
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "defaults.yaml").write_text(f"defaults: {{rpm: {number}}}")
    data, path = tmp_path / "..data", tmp_path / "defaults.yaml"
    data.symlink_to("..1")
    path.symlink_to("..data/defaults.yaml")
    followed = Followed(path)
    followed.file.load()
    (tmp_path / "new").symlink_to("..2")
    (tmp_path / "new").rename(data)
    followed.file.look()
    assert followed.used == [with_rpm(1), with_rpm(2)]


def spoil(path: Path) -> None:
    """Make two mistakes in the file."""
    path.write_text("defaults: {rmp: 1, weight: no-number}")


def mangle(path: Path) -> None:
    """Write what is no text."""
    path.write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (spoil, ["defaults.rmp (line 1): no such", "defaults.weight (line 1): found"]),
        (mangle, ["not UTF-8, at byte 0"]),
        (Path.unlink, ["cannot be read: No such file or directory"]),
    ],
)
def test_a_bad_change_keeps_the_old_defaults(
    tmp_path: Path, change: Callable[[Path], None], told: list[str]
) -> None:
    """Every mistake is said, once; mended, the file counts again."""
    path = tmp_path / "defaults.yaml"
    path.write_text("defaults: {rpm: 1}")
    followed = Followed(path)
    followed.file.load()
    change(path)
    followed.file.look()
    followed.file.look()
    assert followed.used == [with_rpm(1)]
    assert not followed.file.good
    assert [line["event"] for line in followed.log] == ["problem"] * len(told)
    for line, text in zip(followed.log, told, strict=True):
        assert line["message"].startswith(
            f"The changed file of --defaults is not taken, the last good one counts: {text}"
        )
    path.write_text("defaults: {rpm: 2}")
    followed.file.look()
    assert followed.used == [with_rpm(1), with_rpm(2)]
    assert followed.file.good


@pytest.mark.parametrize("change", [spoil, mangle, Path.unlink])
def test_a_bad_file_is_an_error_at_the_start(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """The webhook does not start with defaults that nobody meant."""
    path = tmp_path / "defaults.yaml"
    path.touch()
    change(path)
    with pytest.raises(ConfigError):
        Followed(path).file.load()


def test_without_a_file_there_are_no_defaults() -> None:
    """Nothing is read and nothing is said."""
    stream, used = io.StringIO(), list[Defaults]()
    file = defaults_file("", Log(stream), used.append)
    file.load()
    file.look()
    assert (used, stream.getvalue()) == ([], "")

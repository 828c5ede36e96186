"""The file of the policy: at the start, after a change, and the one that ships."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sidecar.contract import LogFormat
from webhook import policy_file as policy_file_module
from webhook.config import ConfigError
from webhook.log import Log
from webhook.policy.policy import Policy
from webhook.policy_file import SHIPPED, policy_file

TEXT = """\
apiVersion: policy.litellm-registrar.io/v1
kind: ModelServerPolicy
metadata: {name: first}
spec:
  rules: {accelerators: {maxPerPod: 8}}
"""


class Followed:
    """A policy's file that is followed, with what was taken of it and what was logged."""

    def __init__(self, setting: str) -> None:
        self.used: list[Policy] = []
        self._stream = io.StringIO()
        self.file = policy_file(setting, Log(self._stream, LogFormat.JSON), self.used.append)

    @property
    def names(self) -> list[str]:
        """The names of the policies that were taken, in their order."""
        return [policy.name for policy in self.used]

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines so far."""
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


def test_the_policy_that_ships_is_taken_by_its_name() -> None:
    """Nobody has to know where it lies."""
    followed = Followed(SHIPPED)
    followed.file.load()
    followed.file.look()
    assert (followed.names, followed.log) == (["default"], [])


def test_without_a_setting_there_is_no_policy() -> None:
    """Nothing is read, nothing judged and nothing said."""
    followed = Followed("")
    followed.file.load()
    followed.file.look()
    assert (followed.used, followed.log, followed.file.good) == ([], [], True)


def test_a_changed_policy_is_taken_with_one_line_of_what_it_is(tmp_path: Path) -> None:
    """Its name, its hash, how many entries and exceptions it has."""
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT)
    followed = Followed(str(path))
    followed.file.load()
    followed.file.look()
    path.write_text(TEXT.replace("first", "second"))
    followed.file.look()
    assert followed.names == ["first", "second"]
    (line,) = followed.log
    assert (line["event"], line["policy"], line["hash"]) == ("policy", "second", followed.used[1].hash)
    assert (line["namespaces"], line["exceptions"]) == (0, 0)


def _spoil(path: Path) -> None:
    path.write_text(TEXT.replace("maxPerPod: 8", "maxPerPods: 8, mod: warn"))


@pytest.mark.parametrize("change", [_spoil, Path.unlink])
def test_a_bad_change_keeps_the_last_good_policy_and_says_so_once(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Until the file is mended it is not good; then it counts again."""
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT)
    followed = Followed(str(path))
    followed.file.load()
    change(path)
    followed.file.look()
    said = len(followed.log)
    followed.file.look()
    assert (followed.names, followed.file.good, len(followed.log)) == (["first"], False, said)
    path.write_text(TEXT)
    followed.file.look()
    assert (followed.names, followed.file.good) == (["first", "first"], True)


def test_every_mistake_of_a_bad_change_has_its_path_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    """One line of the log for each."""
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT)
    followed = Followed(str(path))
    followed.file.load()
    _spoil(path)
    followed.file.look()
    prefix = "The changed file of --policy is not taken, the last good one counts: spec.rules.accelerators"
    assert [(line["event"], line["message"]) for line in followed.log] == [
        ("problem", f"{prefix}.maxPerPods (line 5): unknown, did you mean maxPerPod?"),
        ("problem", f"{prefix}.mod (line 5): unknown, did you mean mode?"),
    ]


def test_a_fault_of_our_own_does_not_end_the_following(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, without its text, which may quote the file; the next good file is taken."""

    def fail(*_: object) -> NoReturn:
        raise RuntimeError("sk-secret")

    path = tmp_path / "policy.yaml"
    path.write_text(TEXT)
    followed = Followed(str(path))
    followed.file.load()
    path.write_text(TEXT.replace("8", "9"))
    with monkeypatch.context() as patch:
        patch.setattr(policy_file_module, "parse", fail)
        followed.file.look()
        followed.file.look()
    assert not followed.file.good
    (line,) = followed.log
    assert line["message"].endswith("counts: an error of the webhook's own, RuntimeError.")
    path.write_text(TEXT.replace("first", "second"))
    followed.file.look()
    assert (followed.names, followed.file.good) == (["first", "second"], True)


@pytest.mark.parametrize("change", [_spoil, lambda path: path.write_bytes(b"\xff"), Path.unlink])
def test_a_bad_policy_is_an_error_at_the_start(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """The webhook does not start with a policy that nobody meant."""
    path = tmp_path / "policy.yaml"
    path.touch()
    change(path)
    followed = Followed(str(path))
    with pytest.raises(ConfigError):
        followed.file.load()
    assert not followed.used

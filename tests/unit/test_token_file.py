"""The file with the pod's token: read when it has changed; what is no token is a reason."""

import os
from pathlib import Path

import pytest

from sidecar.token_file import TokenError, TokenFile


class Counted:
    """Takes note of every token that is to be hidden, in order."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def __call__(self, token: str) -> None:
        """Take note."""
        self.tokens.append(token)


def swap(folder: Path, name: str, token: str) -> None:
    """Write a token as the kubelet does: a new folder, then the link to it replaced in one step."""
    (folder / name).mkdir()
    (folder / name / "token").write_text(token)
    (folder / "..data_tmp").symlink_to(name)
    (folder / "..data_tmp").rename(folder / "..data")
    if not (folder / "token").is_symlink():
        (folder / "token").symlink_to("..data/token")


def test_a_token_that_rotates_is_the_next_one_at_once(tmp_path: Path) -> None:
    """The kubelet swaps the folder; the very next request carries the new token, and both are hidden."""
    hidden = Counted()
    swap(tmp_path, "..1", "one.two.three")
    file = TokenFile(str(tmp_path / "token"), hidden)
    assert file.read() == "one.two.three"
    swap(tmp_path, "..2", "one.two.four\n")
    assert file.read() == "one.two.four"
    assert hidden.tokens == ["one.two.three", "one.two.four"]


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """A thousand requests read it once."""
    hidden = Counted()
    path = tmp_path / "token"
    path.write_text("one.two.three")
    file = TokenFile(str(path), hidden)
    assert {file.read() for _ in range(1000)} == {"one.two.three"}
    assert len(hidden.tokens) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"x" * 20_000, "more than 16384 bytes are no token"),
        ("schlüssel".encode(), "characters that no HTTP header can hold"),
        (b"one\r\nX-Other: two", "characters that no HTTP header can hold"),
    ],
)
def test_what_is_no_token_is_told_without_its_content(tmp_path: Path, content: bytes, said: str) -> None:
    """The message names the file and what is wrong with it, and repeats nothing of it."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(TokenError) as raised:
        TokenFile(str(path), Counted()).read()
    assert str(raised.value).startswith(f"{path}: ")
    assert said in str(raised.value)
    assert "X-Other" not in str(raised.value)


def test_a_file_that_comes_later_is_read_then(tmp_path: Path) -> None:
    """Absent, then a folder, then a token: two reasons and no end."""
    path = tmp_path / "token"
    file = TokenFile(str(path), Counted())
    with pytest.raises(TokenError, match="No such file"):
        file.read()
    path.mkdir()
    with pytest.raises(TokenError, match="directory"):
        file.read()
    path.rmdir()
    path.write_text("one.two.three")
    assert file.read() == "one.two.three"


def test_an_emptied_file_gives_no_old_token(tmp_path: Path) -> None:
    """What was read before is not shown to the broker when the file no longer holds it."""
    path = tmp_path / "token"
    path.write_text("one.two.three")
    file = TokenFile(str(path), Counted())
    file.read()
    path.write_text("")
    for _ in range(2):
        with pytest.raises(TokenError, match="empty"):
            file.read()
    path.write_text("one.two.four")
    os.utime(path, ns=(1, 1))
    assert file.read() == "one.two.four"

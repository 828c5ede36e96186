"""The certificate from files that something else renews."""

import io
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sidecar.contract import LogFormat
from tests.certificates import Mount, Pair, make_ca, make_leaf
from webhook.flags import SettingsError
from webhook.log import Log
from webhook.tls.files import PairFiles
from webhook.tls.live import Live, written
from webhook.tls.metrics import TlsMetrics

CA = make_ca()


def made(valid: timedelta = timedelta(days=1)) -> Pair:
    """Make a pair of 127.0.0.1."""
    return make_leaf(CA, ["127.0.0.1"], valid)


class Followed:
    """Files that are followed, with what is served, logged and counted."""

    def __init__(self, mount: Mount) -> None:
        self.now = time.time()
        self.live = Live()
        self._stream = io.StringIO()
        self._registry = CollectorRegistry()
        self.files = PairFiles(
            str(mount.certificate),
            str(mount.key),
            self.live,
            Log(self._stream, LogFormat.JSON),
            TlsMetrics(self._registry, "x"),
            now=lambda: self.now,
        )
        self.files.load()

    def said(self) -> list[dict[str, Any]]:
        """Look once, and give the lines of that look."""
        self._stream.seek(0)
        self._stream.truncate()
        self.files.look()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    @property
    def bad_pairs(self) -> float | None:
        """How many bad pairs have been counted."""
        return self._registry.get_sample_value("x_tls_bad_pairs_total")

    @property
    def ends(self) -> float | None:
        """When the leaf ends, as the gauge shows it."""
        return self._registry.get_sample_value("x_tls_not_after_seconds", {"certificate": "leaf"})

    def serves(self, pair: Pair) -> bool:
        """Tell whether this is the pair that is served."""
        return self.live.pair is not None and self.live.pair.certificate == pair.certificate


@pytest.fixture
def first() -> Pair:
    """Give the pair that is there at the start."""
    return made()


@pytest.fixture
def mount(tmp_path: Path, first: Pair) -> Mount:
    """Give a mounted Secret."""
    return Mount(tmp_path, first)


def test_a_renewed_mount_is_served(mount: Mount, first: Pair) -> None:
    """The links are followed; what is new is said once, with its end, and shown."""
    followed, second = Followed(mount), made(timedelta(days=2))
    assert (followed.said(), followed.serves(first)) == ([], True)
    mount.renew(second)
    (line,) = followed.said()
    assert (line["event"], followed.serves(second)) == ("tls", True)
    assert line["ends"] == written(followed.live.ends)
    assert followed.ends == followed.live.ends
    assert followed.said() == []


def test_two_halves_of_a_renewal_are_no_alarm(mount: Mount, first: Pair) -> None:
    """What does not match at one look and does at the next is neither said nor counted."""
    followed, second = Followed(mount), made()
    mount.renew(Pair(second.certificate, first.key))
    assert (followed.said(), followed.serves(first)) == ([], True)
    mount.renew(second)
    assert [line["event"] for line in followed.said()] == ["tls"]
    assert (followed.serves(second), followed.bad_pairs) == (True, 0)


def test_files_that_are_put_back_are_no_alarm(mount: Mount, first: Pair) -> None:
    """A bad pair that is replaced by the old good one before the next look leaves no trace."""
    followed = Followed(mount)
    mount.renew(Pair(made().certificate, first.key))
    assert followed.said() == []
    mount.renew(first)
    assert (followed.said(), followed.bad_pairs, followed.serves(first)) == ([], 0, True)


def broken(name: str, good: Pair) -> Pair:
    """Break a renewed pair."""
    other = made()
    return {
        "mismatch": Pair(good.certificate, other.key),
        "truncated": Pair(good.certificate[:200], good.key),
        "empty": Pair(b"", b""),
        "ended": made(timedelta(minutes=-4)),
    }[name]


@pytest.mark.parametrize("name", ["mismatch", "truncated", "empty", "ended"])
def test_a_pair_that_stays_bad_is_said_and_counted_once(mount: Mount, first: Pair, name: str) -> None:
    """The last good pair is served on; the next good one is taken as if nothing had been."""
    followed, second = Followed(mount), made()
    mount.renew(broken(name, second))
    lines = [line for _ in range(4) for line in followed.said()]
    assert [line["event"] for line in lines] == ["problem"]
    assert "the last good pair is served" in lines[0]["message"]
    assert (followed.serves(first), followed.bad_pairs) == (True, 1)
    mount.renew(second)
    assert [line["event"] for line in followed.said()] == ["tls"]
    assert followed.serves(second)


def test_a_missing_file_is_said_and_counted_once(mount: Mount, first: Pair) -> None:
    """A Secret whose key was taken out keeps the old pair served."""
    followed = Followed(mount)
    mount.key.unlink()
    lines = [line for _ in range(3) for line in followed.said()]
    assert ["the key cannot be read: No such file" in line["message"] for line in lines] == [True]
    assert (followed.serves(first), followed.bad_pairs) == (True, 1)


def test_each_bad_pair_is_said_and_counted(mount: Mount, first: Pair) -> None:
    """Another bad pair in the place of a bad one is another problem."""
    followed = Followed(mount)
    for _ in range(2):
        mount.renew(Pair(made().certificate, first.key))
        followed.said()
        followed.said()
    assert followed.bad_pairs == 2


def test_a_certificate_that_ends_is_said_again_every_ten_minutes(mount: Mount, first: Pair) -> None:
    """It is served on: an old certificate is no worse than none."""
    followed = Followed(mount)
    followed.now = followed.live.ends - 1
    assert followed.said() == []
    counts = []
    for minutes in range(12):
        followed.now = followed.live.ends + 60 * minutes
        counts.append(len(followed.said()))
    assert counts == [1, *[0] * 9, 1, 0]
    assert followed.serves(first)


@pytest.mark.parametrize("name", ["mismatch", "truncated", "empty", "ended"])
def test_a_bad_pair_at_the_start_is_a_bad_setting(tmp_path: Path, first: Pair, name: str) -> None:
    """The message has both flags, both files and what is allowed."""
    bad = broken(name, first)
    certificate, key = bad.write(tmp_path)
    files = PairFiles(
        str(certificate), str(key), Live(), Log(io.StringIO()), TlsMetrics(CollectorRegistry(), "x")
    )
    with pytest.raises(SettingsError) as caught:
        files.load()
    (problem,) = caught.value.problems
    assert problem.startswith(f"--tls-cert '{certificate}', --tls-key '{key}': found: ")
    assert "allowed: " in problem
    assert "PRIVATE" not in problem

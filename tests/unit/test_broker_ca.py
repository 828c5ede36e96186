"""The broker's certificates on their way into pods: what is taken, and what never gets there."""

import io
import json
from typing import Any

import pytest

from sidecar.contract import LogFormat
from tests.certificates import make_ca
from webhook.broker_ca import MAX_BUNDLE, PublishedCa, parse
from webhook.config import ConfigError
from webhook.log import Log

ONE, TWO = make_ca("one"), make_ca("two")
FIRST, SECOND = ONE.certificate.decode(), TWO.certificate.decode()


def refused(text: str) -> str:
    """Give what is wrong with a bundle."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return "; ".join(caught.value.problems)


def test_only_the_certificates_are_kept_each_once() -> None:
    """Comments, white space and doubles are left out: a pod carries the bundle for all its life."""
    assert parse(f"# the first\n{FIRST}\r\nsubject=x\n  {SECOND}{FIRST}") == FIRST + SECOND


def test_a_private_key_never_gets_into_a_pod() -> None:
    """A file with a key beside the certificate is refused whole, and the key is not in the message."""
    message = refused(FIRST + ONE.key.decode())
    assert message == "found PRIVATE KEY, allowed are certificates alone"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "found 0 whole certificates in PEM"),
        ("no PEM at all", "found 0 whole certificates in PEM"),
        (FIRST[: len(FIRST) // 2], "found 0 whole certificates in PEM"),
        (FIRST + SECOND[: len(SECOND) // 2], "found 1 whole certificates in PEM"),
        (FIRST.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "found TRUSTED CERTIFICATE"),
        (FIRST + SECOND.replace("MII", "AAA", 1), "certificate 2 of 2: not a certificate"),
        ("-" * (MAX_BUNDLE + 1), f"found {MAX_BUNDLE + 1} characters, allowed are up to {MAX_BUNDLE}"),
    ],
)
def test_what_is_no_bundle_is_refused_whole(text: str, problem: str) -> None:
    """Nothing is taken of a bundle with anything wrong in it: half of one could be the wrong half."""
    assert refused(text).startswith(problem)


class Taken:
    """A ConfigMap's bundle, what was used of it, and the log."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.used: list[str] = []
        log = Log(self.stream, LogFormat.JSON)
        self.published = PublishedCa("broker-ca", log, self.used.append)

    def take(self, text: Any) -> None:
        """Take a ConfigMap with this text."""
        self.published.take({"data": {"ca-bundle.crt": text}})

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines so far."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def test_a_published_bundle_is_used_and_told_once() -> None:
    """What changes elsewhere in the ConfigMap changes nothing here."""
    taken = Taken()
    taken.take(FIRST)
    taken.published.take({"metadata": {"labels": {"a": "b"}}, "data": {"ca-bundle.crt": FIRST, "x": "y"}})
    assert taken.used == [FIRST]
    (line,) = taken.log
    assert (line["event"], line["configmap"], line["certificates"]) == ("broker-ca", "broker-ca", 1)
    assert taken.published.good


@pytest.mark.parametrize("found", [None, {}, {"data": None}, {"data": {}}, {"data": {"ca-bundle.crt": "x"}}])
def test_until_there_is_a_bundle_it_is_said_once_what_is_missing(found: dict[str, Any] | None) -> None:
    """No pod gets a registrar meanwhile, which the line says."""
    taken = Taken()
    for _ in range(3):
        taken.published.take(found)
    (line,) = taken.log
    assert line["event"] == "problem"
    assert "no pod gets a registrar until it is" in line["message"]
    assert taken.used == []
    assert not taken.published.good


def test_a_bad_change_keeps_the_last_good_bundle() -> None:
    """It is said, and what is good again is taken."""
    taken = Taken()
    taken.take(FIRST)
    taken.take(FIRST + TWO.key.decode())
    assert "the last good one counts: found PRIVATE KEY" in taken.log[-1]["message"]
    taken.take(FIRST + SECOND)
    assert taken.used == [FIRST, FIRST + SECOND]


def test_what_counts_may_not_be_what_is_published() -> None:
    """`good` is false while the ConfigMap holds something else than the bundle that goes into pods."""
    taken = Taken()
    shown = []
    for text in ("", FIRST, FIRST + TWO.key.decode(), FIRST):
        taken.take(text)
        shown.append(taken.published.good)
    assert shown == [False, True, False, True]
    assert taken.used == [FIRST]

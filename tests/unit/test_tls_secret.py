"""The Secret of certificates: what of it can be used, whatever happened to it; what is written back."""

from __future__ import annotations

import base64
import json
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.handshakes import connect, trusting
from webhook.tls import certificates, issue, secret
from webhook.tls.issue import Pair
from webhook.tls.live import Live
from webhook.tls.performing import MAX_CROSSES, Kind, performed
from webhook.tls.rotation import GiveUp, Keep, Leaf, MakeAuthority, MakeLeaf, Note, Seen, Times, Why, Write
from webhook.tls.secret import CHANGE_CA, Held

DAY = 86400.0
NOW = datetime.now(UTC).timestamp()  # OpenSSL looks at the clock itself
TIMES = Times()
NAMES = ("registrar.apps.svc",)
BROKER = Kind("broker", crosses=True)
NEW_CA = (NOW - DAY, NOW + TIMES.ca)
NEW_LEAF = (NOW - DAY, NOW + TIMES.leaf)
MAKE_CA = MakeAuthority(False, *NEW_CA, Why.NO_CA)
MAKE_NEXT = MakeAuthority(True, *NEW_CA, Why.CA_ASKED_FOR)
MAKE_LEAF = MakeLeaf(False, *NEW_LEAF, Why.NO_LEAF)
CHANGE = MakeLeaf(True, *NEW_LEAF, Why.CA_CHANGED)
OBJECT = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "certificates", "resourceVersion": "7", "annotations": {"theirs": "1"}},
    "data": {"theirs": "eA=="},
}


def done(*writes: Write, kind: Kind = BROKER, held: Held | None = None) -> Held:
    """Perform writes one after the other, each read back from the API server's object."""
    held = held or Held()
    for write in writes:
        held = performed(write, held, published=[], names=NAMES, now=NOW, kind=kind)
        held = secret.read(secret.written(held, OBJECT))
        assert held.problems == ()
    return held


STEADY = done(MAKE_CA, MAKE_LEAF)
CHANGING = done(MAKE_NEXT, held=STEADY)
CHANGED = done(CHANGE, held=CHANGING)
FOREIGN = issue.new_ca("foreign", NOW - DAY, NOW + 99 * DAY)


def edited(held: Held = CHANGING, **data: bytes | None) -> dict[str, Any]:
    """Give a Secret with some keys written anew (`tls_crt` is tls.crt), or taken away."""
    made = secret.written(held, OBJECT)
    for name, value in data.items():
        key = name.replace("__", "-").replace("_", ".")
        if value is None:
            made["data"].pop(key)
        else:
            made["data"][key] = base64.b64encode(value).decode()
    return made


def key_of(pair: Pair | None) -> bytes:
    """Give a key that is there."""
    assert pair is not None
    return pair.key


def fingerprint(pair: Pair | None) -> str:
    """Give the fingerprint of a certificate that is there."""
    assert pair is not None
    return certificates.read(pair.certificate).fingerprint


def test_no_secret_holds_nothing() -> None:
    """So does one in which nothing is yet."""
    assert secret.read(None) == secret.read({"metadata": {}, "data": None}) == Held()


def test_what_is_written_is_read_again() -> None:
    """CAs, leaf, bundle, cross certificates and notes."""
    held = done(
        Note(Seen(fingerprint(CHANGING.next_ca), NOW), Why.SEEN_PUBLISHED),
        Keep({fingerprint(CHANGING.ca): NOW + DAY}),
        held=CHANGED,
    )
    assert secret.read(secret.written(held, OBJECT)) == held
    assert held.kept == {fingerprint(CHANGING.ca): NOW + DAY}


def test_all_else_in_the_secret_stays() -> None:
    """Its version, which guards the write, and what others have put there."""
    made = secret.written(STEADY, OBJECT)
    assert made["metadata"] == OBJECT["metadata"]
    assert made["data"]["theirs"] == "eA=="
    assert sorted(made["data"]) == [
        "ca-bundle.crt", "ca.crt", "ca.key", "cross.crt", "rotation.json", "theirs", "tls.crt", "tls.key",
    ]  # fmt: skip


def test_the_former_ca_leaves_its_key_out_of_the_secret() -> None:
    """After a change its certificate is in the bundle, and nothing can be signed by it any more."""
    made = secret.written(CHANGED, secret.written(CHANGING, OBJECT))
    texts = b"".join(base64.b64decode(text) for text in made["data"].values())
    assert key_of(CHANGING.ca) not in texts
    assert "next-ca.key" not in made["data"]
    assert fingerprint(CHANGING.ca) in secret.read(made).bundle


def test_a_command_is_taken_away_in_the_write_that_makes_the_ca() -> None:
    """Other writes leave it there, and other annotations stay."""
    asked = secret.written(STEADY, OBJECT)
    asked["metadata"]["annotations"] = {"theirs": "1", CHANGE_CA: "now"}
    held = secret.read(asked)
    assert held.asked
    noted = performed(Note(None, Why.SEEN_NO_LONGER), held, published=[], names=NAMES, now=NOW, kind=BROKER)
    assert secret.written(noted, asked)["metadata"]["annotations"] == {"theirs": "1", CHANGE_CA: "now"}
    made = performed(MAKE_NEXT, held, published=[], names=NAMES, now=NOW, kind=BROKER)
    assert secret.written(made, asked)["metadata"]["annotations"] == {"theirs": "1"}


@pytest.mark.parametrize(
    ("data", "lost"),
    [
        ({"tls_key": FOREIGN.key}, "leaf"),
        ({"tls_key": None}, "leaf"),
        ({"tls_crt": b"-----BEGIN CERT"}, "leaf"),
        ({"tls_key": key_of(STEADY.leaf)[:100]}, "leaf"),
        ({"ca_key": None}, "ca"),
        ({"ca_key": FOREIGN.key}, "ca"),
        ({"ca_crt": b""}, "ca"),
        ({"next__ca_key": b"x"}, "next_ca"),
        ({"next__ca_crt": STEADY.leaf.certificate if STEADY.leaf else b""}, "next_ca"),
    ],
)
def test_halves_that_do_not_belong_together_are_told_and_not_used(
    data: dict[str, bytes | None], lost: str
) -> None:
    """The other parts are; certificates that can be read stay in the bundle; no key is in what is told."""
    held = secret.read(edited(CHANGING, **data))
    assert [name for name in ("ca", "next_ca", "leaf") if getattr(held, name) is None] == [lost]
    assert set(CHANGING.bundle) <= set(held.bundle)
    assert len(held.problems) == 1
    assert held.problems[0].startswith({"leaf": "tls", "ca": "ca", "next_ca": "next-ca"}[lost])
    assert "PRIVATE" not in held.problems[0]


def test_what_is_no_base64_is_told() -> None:
    """The API server takes none, a file of someone's may hold it."""
    made = secret.written(STEADY, OBJECT)
    made["data"]["tls.key"] = "no base64!"
    held = secret.read(made)
    assert held.leaf is None
    assert held.problems[0] == "tls.key: found no base64"


@pytest.mark.parametrize(
    "notes", [b"", b"{", b"[]", b'{"kept": 3}', b'{"kept": {"a": "soon"}}', b'{"seen": {"ca": "a"}}',
              b'{"kept": {"a": NaN}}', b"[" * 100_000]
)  # fmt: skip
def test_notes_that_cannot_be_read_count_as_none(notes: bytes) -> None:
    """Then all without a use are kept anew, and a day begins anew."""
    held = secret.read(edited(CHANGED, rotation_json=notes))
    assert (held.kept, held.seen) == ({}, None)
    assert held.problems == ("rotation.json: cannot be read",)


def test_a_leaf_counts_while_it_verifies_against_the_bundle() -> None:
    """By the CA that signed it, although its chain leads to older ones as well."""
    state = CHANGED.state(NOW)
    assert state.leaf is not None
    assert state.leaf == Leaf(fingerprint(CHANGED.ca), int(NOW - DAY), int(NOW + 90 * DAY), NAMES)
    assert CHANGED.state(NOW + 91 * DAY).leaf is None
    stranger = issue.new_leaf(FOREIGN, NAMES, NOW - DAY, NOW + DAY)
    assert secret.read(edited(tls_crt=stranger.certificate, tls_key=stranger.key)).state(NOW).leaf is None


def test_someones_own_ca_is_used_and_published() -> None:
    """With their leaf, both count; nothing that was published is dropped for it."""
    leaf = issue.new_leaf(FOREIGN, NAMES, NOW - DAY, NOW + DAY)
    held = secret.read(
        edited(
            STEADY, ca_crt=FOREIGN.certificate, ca_key=FOREIGN.key, tls_crt=leaf.certificate, tls_key=leaf.key
        )
    )
    state = held.state(NOW)
    assert state.ca is not None
    assert state.leaf is not None
    assert state.ca.fingerprint == state.leaf.issuer == fingerprint(FOREIGN)
    assert fingerprint(STEADY.ca) in held.bundle


def test_the_same_ca_twice_is_one() -> None:
    """A next one that is the present one would never take over."""
    ca = STEADY.ca
    assert ca is not None
    held = secret.read(edited(STEADY, next__ca_crt=ca.certificate, next__ca_key=ca.key))
    assert held.next_ca is None
    assert held.problems == ("next-ca.crt: the same as ca.crt",)


def test_what_is_in_use_has_no_end_noted() -> None:
    """Else, when it has no use any more, it would be dropped at once."""
    notes = json.dumps({"kept": {fingerprint(STEADY.ca): 1.0, "unknown": 1.0}}).encode()
    assert secret.read(edited(STEADY, rotation_json=notes)).kept == {}


def test_a_bundle_is_the_same_text_whatever_the_order() -> None:
    """Else it would be published again and again; what is not in the Secret comes from what is published."""
    unknown = {fingerprint(FOREIGN): FOREIGN.certificate}
    wanted = [*CHANGING.bundle, *unknown]
    text = CHANGING.bundle_text(wanted, {}, unknown)
    assert text == CHANGING.bundle_text(reversed(wanted), unknown)
    assert set(certificates.bundle(text)) == set(wanted)


def test_keeping_takes_certificates_from_what_is_published() -> None:
    """And giving up takes them out, with their notes."""
    there = {fingerprint(FOREIGN): FOREIGN.certificate}
    keep = Keep(dict.fromkeys(there, NOW + DAY))
    kept = performed(keep, STEADY, published=[{}, there], names=NAMES, now=NOW, kind=BROKER)
    assert (kept.bundle, kept.kept) == ({**there, **STEADY.bundle}, keep.until)
    gone = performed(GiveUp(frozenset(there)), kept, published=[], names=NAMES, now=NOW, kind=BROKER)
    assert (gone.bundle, gone.kept) == (STEADY.bundle, {})


def takes(held: Held, roots: bytes) -> bool:
    """Tell whether OpenSSL verifies what is served, by these roots alone."""
    live = Live()
    assert held.leaf is not None
    live.use(held.leaf, NOW)
    try:
        connect(live.context, trusting(roots), NAMES[0])
    except ssl.SSLError:
        return False
    return True


def test_after_changes_every_former_bundle_still_verifies() -> None:
    """OpenSSL, with the first CA alone, with each bundle that was published since, and with that of now."""
    held, bundles = STEADY, [STEADY.bundle_text(STEADY.bundle)]
    for _ in range(3):
        changing = done(MAKE_NEXT, held=held)
        held = done(CHANGE, GiveUp(frozenset(held.bundle)), held=changing)
        bundles += [changing.bundle_text(changing.bundle), held.bundle_text(held.bundle)]
        assert all(takes(held, bundle) for bundle in bundles)
        assert not takes(held, FOREIGN.certificate)


def test_the_webhook_serves_no_cross_certificates() -> None:
    """The API server goes by what is published now."""
    held = done(MAKE_CA, MAKE_LEAF, MAKE_NEXT, CHANGE, kind=Kind("webhook", crosses=False))
    assert held.leaf is not None
    assert len(certificates.split(held.leaf.certificate)) == 1
    assert held.crosses == ()


def test_cross_certificates_are_served_until_the_older_ca_ends_and_not_without_bound() -> None:
    """An ended one is left out of the next leaf's chain, and so are the oldest of very many."""
    short = done(MakeAuthority(False, NOW - DAY, NOW + 30 * DAY, Why.NO_CA), MAKE_LEAF, MAKE_NEXT, CHANGE)
    later = performed(MAKE_LEAF, short, published=[], names=NAMES, now=NOW + 31 * DAY, kind=BROKER)
    assert short.leaf is not None
    assert later.leaf is not None
    chains = [certificates.split(held.leaf.certificate) for held in (short, later) if held.leaf]
    assert [len(chain) for chain in chains] == [2, 1]
    many = STEADY
    for _ in range(MAX_CROSSES + 2):
        many = done(MAKE_NEXT, CHANGE, held=many)
    assert many.leaf is not None
    assert len(certificates.split(many.leaf.certificate)) == MAX_CROSSES + 1


def test_a_ca_that_is_not_there_signs_nothing() -> None:
    """Told by the one error; the Secret stays as it is."""
    with pytest.raises(certificates.CertificateError, match="not there"):
        performed(MAKE_LEAF, Held(), published=[], names=NAMES, now=NOW, kind=BROKER)


def test_no_key_is_in_a_representation() -> None:
    """A Secret that is logged by mistake tells nothing."""
    assert "PRIVATE" not in repr(CHANGING)

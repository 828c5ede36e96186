"""Where a CA bundle is published, and the patch that changes it there and nowhere else."""

import base64
from typing import Any

import pytest

from tests.certificates import make_ca
from webhook.patch import Op, apply
from webhook.tls.certificates import bundle
from webhook.tls.publication import (
    ConfigMapKey,
    Patience,
    Target,
    WebhookConfiguration,
    managers,
    webhook_configurations,
)

ONE, TWO = make_ca("one").certificate, make_ca("two").certificate
MUTATING = WebhookConfiguration("mutatingwebhookconfigurations", "registrar")
CONFIG_MAP = ConfigMapKey("shop", "broker-ca")


def webhook(name: str, pem: bytes = b"") -> dict[str, Any]:
    """Give a webhook as the API server does."""
    client: dict[str, Any] = {"service": {"namespace": "shop", "name": "registrar"}}
    return {
        "name": name,
        "clientConfig": client | ({"caBundle": base64.b64encode(pem).decode()} if pem else {}),
    }


def configuration(*webhooks: dict[str, Any]) -> dict[str, Any]:
    """Give a configuration at version 7."""
    return {"metadata": {"name": "registrar", "resourceVersion": "7"}, "webhooks": [*webhooks]}


def patched(target: Target, found: dict[str, Any], pem: bytes) -> dict[str, Any]:
    """Give the object as it is after the patch."""
    ops = [Op(op["op"], op["path"], op.get("value")) for op in target.ops(found, pem)]
    result: dict[str, Any] = apply(found, ops)
    return result


def test_the_webhooks_of_ours_are_chosen_by_name_and_no_other_is_touched() -> None:
    """A stranger's webhook in the same configuration keeps its bundle, wherever it stands in the list."""
    stranger = webhook("pods.example.com", TWO)
    found = configuration(
        stranger, webhook("pods.litellm-registrar.io"), stranger, webhook("x.litellm-registrar.io")
    )
    after = patched(MUTATING, found, ONE)["webhooks"]
    assert [after[0], after[2]] == [stranger, stranger]
    assert [after[1], after[3]] == [
        webhook("pods.litellm-registrar.io", ONE),
        webhook("x.litellm-registrar.io", ONE),
    ]


def test_a_patch_of_a_configuration_holds_only_for_the_version_that_was_read() -> None:
    """The first operation names that version, so that the API server refuses the patch at any other."""
    first, *_ = MUTATING.ops(configuration(webhook("pods.litellm-registrar.io")), ONE)
    assert first == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}


def test_only_webhooks_that_differ_are_changed() -> None:
    """Where every bundle is as it should be there is no patch."""
    ours = webhook("pods.litellm-registrar.io", ONE)
    assert MUTATING.ops(configuration(ours), ONE) == []
    ops = MUTATING.ops(configuration(ours, webhook("x.litellm-registrar.io", TWO)), ONE)
    assert [op["path"] for op in ops[1:]] == ["/webhooks/1/clientConfig/caBundle"]


def test_names_of_ours_can_be_listed() -> None:
    """Patterns and whole names choose; a name that only looks alike is not chosen."""
    target = WebhookConfiguration(
        "validatingwebhookconfigurations", "registrar", ("a.shop.io", "*.b.shop.io")
    )
    names = ["a.shop.io", "x.b.shop.io", "xa.shop.io", "a.shop.io.evil.com", "b.shop.io"]
    places = target.places(configuration(*(webhook(name, ONE) for name in names)))
    assert [place.where for place in places] == [
        "validatingwebhookconfigurations/registrar a.shop.io",
        "validatingwebhookconfigurations/registrar x.b.shop.io",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        ("", []),
        ("not base64!", []),
        (base64.b64encode(b"no certificate").decode(), []),
        (base64.b64encode(ONE + TWO).decode(), [ONE, TWO]),
        (base64.b64encode(b"# mine\n" + TWO + b"garbage").decode(), [TWO]),
    ],
)
def test_a_place_holds_the_certificates_that_can_be_read_there(
    text: str | None, expected: list[bytes]
) -> None:
    """Whatever somebody wrote into a caBundle is read without an error."""
    found = webhook("pods.litellm-registrar.io")
    found["clientConfig"]["caBundle"] = text
    (place,) = MUTATING.places(configuration(found))
    assert dict(place.bundle) == {key: pem for one in expected for key, pem in bundle(one).items()}


@pytest.mark.parametrize("found", [None, {}, {"webhooks": None}, configuration(webhook("pods.example.com"))])
def test_a_configuration_without_a_webhook_of_ours_is_no_place(found: dict[str, Any] | None) -> None:
    """Nobody goes by it, so nothing waits for it, and nobody but its installer makes it."""
    assert MUTATING.places(found) == ()
    assert MUTATING.new(ONE) is None


def test_a_name_stands_for_the_mutating_and_the_validating_configuration() -> None:
    """Both kinds are looked for under each name."""
    assert [target.path.rpartition("/v1/")[2] for target in webhook_configurations(["a", "b"])] == [
        "mutatingwebhookconfigurations/a",
        "validatingwebhookconfigurations/a",
        "mutatingwebhookconfigurations/b",
        "validatingwebhookconfigurations/b",
    ]


@pytest.mark.parametrize("data", [None, {}, {"other": "x"}, {"ca-bundle.crt": TWO.decode(), "other": "x"}])
def test_a_config_map_gets_the_bundle_and_keeps_what_else_is_in_it(data: dict[str, str] | None) -> None:
    """Only our key is written."""
    found = {"metadata": {"resourceVersion": "7"}, **({} if data is None else {"data": data})}
    after = patched(CONFIG_MAP, found, ONE)
    assert after["data"] == {**(data or {}), "ca-bundle.crt": ONE.decode()}
    assert CONFIG_MAP.ops(after, ONE) == []


def test_an_absent_config_map_is_a_place_that_holds_nothing_yet() -> None:
    """It is going to be made: what is to be published there counts as not published everywhere."""
    (place,) = CONFIG_MAP.places(None)
    assert dict(place.bundle) == {}
    new = CONFIG_MAP.new(ONE)
    assert new is not None
    assert new["metadata"]["name"] == "broker-ca"
    assert CONFIG_MAP.ops({**new, "metadata": {"resourceVersion": "1"}}, ONE) == []


def test_who_else_manages_an_object_is_told_by_managed_fields() -> None:
    """Everybody but ourselves is named once."""
    fields = [{"manager": name} for name in ("helm", "litellm-registrar", "argocd-controller", "helm")]
    found = {"metadata": {"managedFields": fields}}
    assert managers(found, "litellm-registrar") == ["argocd-controller", "helm"]
    assert managers({"metadata": {}}, "litellm-registrar") == []


def test_some_writes_are_at_once_and_more_wait_longer_and_longer() -> None:
    """A helm upgrade or two are put right in no time; whoever goes on for long is answered more seldom."""
    patience, now, waits = Patience(), 0.0, []
    while now < 3600:
        waits.append(patience.wait(now))
        now += waits[-1]
        patience = patience.wrote(now)
    assert waits[:11] == [0, 0, 0, 0, 0, 5, 10, 20, 40, 80, 120]
    assert max(waits) == 120
    assert len(waits) < 100


def test_after_ten_quiet_minutes_nothing_is_remembered() -> None:
    """What was fought over once is put back at once again when that is long over."""
    patience = Patience()
    for now in range(10):
        patience = patience.wrote(now)
    assert patience.wait(10) > 0
    assert patience.calm(10) == 599
    assert (patience.wait(609), patience.calm(609)) == (0, 0)

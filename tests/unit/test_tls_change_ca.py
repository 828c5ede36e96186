"""`tls change-ca`: what it asks for, when it refuses to, and what it says."""

import asyncio
import time

import pytest

from tests.standins.kube import FakeApi
from tests.virtual_time import run
from webhook.tls import certificates, secret
from webhook.tls.change_ca import CannotAskError, change_ca, plan, refusal
from webhook.tls.issue import new_ca
from webhook.tls.rotation import MAX_BUNDLE, Times
from webhook.tls.secret import CHANGE_CA, Held

PATH = "/api/v1/namespaces/shop/secrets/webhook-tls"
NOW = time.time()
CA, NEXT_CA = (new_ca("test", NOW - 60, NOW + 3600) for _ in range(2))


def held(**more: object) -> Held:
    """Give what a Secret holds in which nothing is under way."""
    bundle = {certificates.read(CA.certificate).fingerprint: CA.certificate}
    return Held(**{"ca": CA, "bundle": bundle, **more})  # type: ignore[arg-type]


def put(api: FakeApi, what: Held) -> None:
    """Put a Secret there."""
    api.put(PATH, secret.written(what, {"metadata": {}}))


def annotations(api: FakeApi) -> dict[str, str]:
    """Give the Secret's annotations."""
    found: dict[str, str] = api.objects[PATH]["metadata"].get("annotations", {})
    return found


def test_it_asks_says_what_comes_and_waits_until_it_is_taken_up() -> None:
    """The annotation is on the Secret until the leader has made the next CA."""

    async def main() -> None:
        api, said = FakeApi(), list[str]()
        put(api, held())
        asking = asyncio.create_task(change_ca(api, "shop", "webhook-tls", said.append))
        await asyncio.sleep(3)
        assert CHANGE_CA in annotations(api)
        assert said[0].startswith(
            f"Another CA is asked for, by the annotation {CHANGE_CA} on Secret shop/webhook-tls."
        )
        put(api, held(next_ca=NEXT_CA))
        assert await asking
        assert said[1:] == ["The next CA has been made."]

    run(main())


def test_it_tells_when_nobody_takes_it_up() -> None:
    """The wish stands for whoever leads next."""

    async def main() -> None:
        api, said = FakeApi(), list[str]()
        put(api, held())
        assert not await change_ca(api, "shop", "webhook-tls", said.append)
        assert said[-1].startswith("Nobody has made it within 30 s")
        assert CHANGE_CA in annotations(api)

    run(main())


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        (Held(), "found no CA in it that can sign"),
        (held(asked=True), "another CA is already asked for"),
        (held(next_ca=NEXT_CA), "a change of CA is under way"),
        (
            held(bundle={str(n): b"" for n in range(MAX_BUNDLE)}),
            f"found {MAX_BUNDLE} certificates in the bundle",
        ),
    ],
)
def test_it_refuses_what_would_not_be_done(what: Held, problem: str) -> None:
    """Each refusal says what stands against it."""
    assert refusal(what).startswith(problem)


def test_a_refusal_leaves_the_secret_alone() -> None:
    """Nothing is written, and the Secret is named."""

    async def main() -> None:
        api = FakeApi()
        put(api, held(next_ca=NEXT_CA))
        with pytest.raises(CannotAskError, match="Secret shop/webhook-tls: a change of CA is under way"):
            await change_ca(api, "shop", "webhook-tls", print)
        assert [verb for verb, _ in api.calls] == ["get"]
        api.put(PATH, None)
        with pytest.raises(CannotAskError, match="found none of that name"):
            await change_ca(api, "shop", "webhook-tls", print)

    run(main())


def test_the_plan_names_the_old_ca_and_the_times() -> None:
    """With the defaults: a day of overlap, and the old CA for as long as any leaf of it may live."""
    text = plan(held(), 0.0, Times())
    assert certificates.read(CA.certificate).subject in text
    assert "1970-01-02T00:00:00Z, after the overlap" in text
    assert "1970-04-02T04:00:00Z, when nothing signed by it can be alive" in text

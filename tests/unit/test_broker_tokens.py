"""Whose token it is: what is asked of the API server, how long it counts, what a pod that ends may."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from webhook.broker.shapes import RefusedError, Rule
from webhook.broker.tokens import REVIEWS, Bearer, Tokens
from webhook.kube.api import ApiError

AUDIENCE = "litellm-registrar.io"
TOKEN = "eyJhbGciOi.eyJhdWQi.c2lnbmF0dXJl"


def good(uid: str = "uid-1") -> dict[str, Any]:
    """Give the status of a review of a good token, as the API server writes it (1.36)."""
    extra = {
        "authentication.kubernetes.io/pod-name": ["qwen"],
        "authentication.kubernetes.io/pod-uid": [uid],
        "authentication.kubernetes.io/node-name": ["node-1"],
    }
    user = {"username": "system:serviceaccount:shop:default", "uid": "sa-uid", "extra": extra}
    return {"authenticated": True, "user": user, "audiences": [AUDIENCE]}


BAD: dict[str, Any] = {"user": {}, "error": "[invalid bearer token, token has been invalidated]"}


class Reviews:
    """An API server that reviews tokens; `status` is what it says, or the error it fails with."""

    def __init__(self) -> None:
        self.status: dict[str, Any] | ApiError = good()
        self.asked: list[dict[str, Any]] = []
        self.came = asyncio.Semaphore(0)
        self.answers = asyncio.Event()
        self.answers.set()

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a review."""
        assert path == REVIEWS
        self.asked.append(body["spec"])
        self.came.release()
        await self.answers.wait()
        if isinstance(self.status, ApiError):
            raise self.status
        return {**body, "status": self.status}


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def reviews() -> Reviews:
    """Give an API server."""
    return Reviews()


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def tokens(reviews: Reviews, clock: Clock) -> Tokens:
    """Give what asks that API server."""
    return Tokens(reviews, AUDIENCE, clock)


async def refused(call: Callable[[], Any]) -> RefusedError:
    """Give the refusal that a call ends with."""
    with pytest.raises(RefusedError) as caught:
        await call()
    return caught.value


async def test_the_api_server_is_asked_for_our_audience(tokens: Tokens, reviews: Reviews) -> None:
    """A token is reviewed for the audience of pods' tokens, and its pod comes of the review."""
    bearer = await tokens.bearer(TOKEN)
    assert reviews.asked == [{"token": TOKEN, "audiences": [AUDIENCE]}]
    assert (bearer.caller.namespace, bearer.caller.pod, bearer.caller.pod_uid) == ("shop", "qwen", "uid-1")
    assert (bearer.caller.node, bearer.doubt) == ("node-1", None)


async def test_an_answer_counts_for_less_than_ten_seconds(
    tokens: Tokens, reviews: Reviews, clock: Clock
) -> None:
    """Within 10 s the same token is not asked about again, and after them it is."""
    await tokens.bearer(TOKEN)
    clock.now += 5
    await tokens.bearer(TOKEN)
    assert len(reviews.asked) == 1
    clock.now += 5
    await tokens.bearer(TOKEN)
    assert len(reviews.asked) == 2


async def test_an_answer_is_as_old_as_its_question(tokens: Tokens, reviews: Reviews, clock: Clock) -> None:
    """The time that the API server took to answer counts towards the 10 s."""
    reviews.answers.clear()
    asking = asyncio.ensure_future(tokens.bearer(TOKEN))
    await reviews.came.acquire()
    clock.now += 9.9
    reviews.answers.set()
    await asking
    await tokens.bearer(TOKEN)
    assert len(reviews.asked) == 2


async def test_a_token_is_asked_about_once_at_a_time(tokens: Tokens, reviews: Reviews) -> None:
    """Calls that come together wait for one review, also when the first of them goes away."""
    reviews.answers.clear()
    calls = [asyncio.ensure_future(tokens.bearer(TOKEN)) for _ in range(5)]
    other = asyncio.ensure_future(tokens.bearer("other.token.x"))
    for _ in range(2):
        await reviews.came.acquire()
    calls[0].cancel()
    reviews.answers.set()
    assert {bearer.caller.pod_uid for bearer in await asyncio.gather(*calls[1:], other)} == {"uid-1"}
    assert [spec["token"] for spec in reviews.asked] == [TOKEN, "other.token.x"]


async def test_made_up_tokens_leave_room_at_the_api_server(tokens: Tokens, reviews: Reviews) -> None:
    """At most 50 are asked about at a time, and all in the end."""
    reviews.answers.clear()
    calls = [asyncio.ensure_future(tokens.bearer(f"made.up.{number}")) for number in range(70)]
    for _ in range(50):
        await reviews.came.acquire()
    await asyncio.sleep(0)
    assert len(reviews.asked) == 50
    reviews.answers.set()
    await asyncio.gather(*calls)
    assert len(reviews.asked) == 70


@pytest.mark.parametrize(
    ("status", "rule", "http"),
    [
        (BAD, Rule.TOKEN_REFUSED, 401),
        ({}, Rule.TOKEN_REFUSED, 401),
        ({**good(), "audiences": ["https://kubernetes.default.svc"]}, Rule.TOKEN_REFUSED, 401),
        ({**good(), "user": {"username": "system:serviceaccount:a:b"}}, Rule.TOKEN_NOT_OF_A_POD, 403),
    ],
)
async def test_a_token_that_was_never_good_gets_nothing(
    tokens: Tokens, reviews: Reviews, status: dict[str, Any], rule: Rule, http: int
) -> None:
    """Unknown, for another audience, or of no pod: refused by that rule."""
    reviews.status = status
    error = await refused(lambda: tokens.bearer(TOKEN))
    assert (error.rule, error.status) == (rule, http)


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c.d", "a.b.ü", "a.b.c\n", "a. b.c"])
async def test_what_is_no_token_is_not_even_asked_about(tokens: Tokens, reviews: Reviews, token: str) -> None:
    """Only three parts of base64url are a ServiceAccount's token."""
    assert (await refused(lambda: tokens.bearer(token))).rule is Rule.TOKEN_REFUSED
    assert reviews.asked == []


async def test_a_no_counts_for_a_while(tokens: Tokens, reviews: Reviews, clock: Clock) -> None:
    """A refused token that is sent again and again is asked about once in some seconds."""
    reviews.status = BAD
    for _ in range(50):
        await refused(lambda: tokens.bearer(TOKEN))
    assert len(reviews.asked) == 1
    clock.now += 10
    reviews.status = good()
    assert (await tokens.bearer(TOKEN)).doubt is None


async def test_a_deleted_pod_may_still_clear_up(tokens: Tokens, reviews: Reviews, clock: Clock) -> None:
    """A token that was good and is refused now still tells whose it is, with the refusal, for 15 min."""
    before = await tokens.bearer(TOKEN)
    reviews.status = BAD
    clock.now += 10
    bearer = await tokens.bearer(TOKEN)
    assert bearer.caller == before.caller
    assert bearer.doubt is not None
    assert bearer.doubt.rule is Rule.TOKEN_REFUSED
    clock.now += 889
    assert (await tokens.bearer(TOKEN)).doubt is not None
    clock.now += 2
    assert (await refused(lambda: tokens.bearer(TOKEN))).rule is Rule.TOKEN_REFUSED


async def test_without_the_api_server_a_known_pod_may_clear_up(
    tokens: Tokens, reviews: Reviews, clock: Clock
) -> None:
    """While the API server cannot be asked nothing is known of a token any more but whose it was."""
    await tokens.bearer(TOKEN)
    reviews.status = ApiError(0, "Unreachable", "POST /apis: refused")
    clock.now += 10
    bearer = await tokens.bearer(TOKEN)
    assert bearer.doubt is not None
    assert (bearer.doubt.rule, bearer.doubt.status) == (Rule.CANNOT_ASK_KUBERNETES, 503)
    error = await refused(lambda: tokens.bearer("other.token.x"))
    assert (error.rule, error.status) == (Rule.CANNOT_ASK_KUBERNETES, 503)
    clock.now += 2
    reviews.status = good()
    assert (await tokens.bearer(TOKEN)).doubt is None


async def test_an_api_server_that_is_away_is_not_asked_by_every_call(
    tokens: Tokens, reviews: Reviews
) -> None:
    """Calls of the same second share that it could not be asked."""
    reviews.status = ApiError(0, "Timeout", "POST /apis: no answer in time")
    for _ in range(20):
        await refused(lambda: tokens.bearer(TOKEN))
    assert len(reviews.asked) == 1


async def test_strangers_push_nobody_out(
    tokens: Tokens, reviews: Reviews, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused tokens are remembered apart, and only so many of each kind."""
    monkeypatch.setattr("webhook.broker.tokens._MOST_REFUSED", 3)
    monkeypatch.setattr("webhook.broker.tokens._MOST_TAKEN", 3)
    await tokens.bearer(TOKEN)
    reviews.status = BAD
    for number in range(10):
        await refused(lambda n=number: tokens.bearer(f"stranger.{n}.x"))  # type: ignore[misc]
    assert (await tokens.bearer(TOKEN)).doubt is None
    assert len(tokens._refused) == 3
    reviews.status = good()
    for number in range(10):
        await tokens.bearer(f"good.{number}.x")
        clock.now += 1
    assert len(tokens._taken) == 3


async def test_no_token_is_kept(tokens: Tokens, reviews: Reviews) -> None:
    """What is remembered holds no token, and neither does any text of a refusal."""
    await tokens.bearer(TOKEN)
    reviews.status = {"error": f"invalid bearer token {TOKEN}"}
    error = await refused(lambda: tokens.bearer("stranger.number.one"))
    assert TOKEN not in str(error)
    assert "stranger" not in str(error)
    reviews.asked.clear()
    remembered = f"{vars(tokens)!r}"
    assert TOKEN not in remembered
    assert "stranger" not in remembered


async def test_a_refusal_does_not_grow_with_its_use(tokens: Tokens, reviews: Reviews) -> None:
    """A refusal that is given again and again holds no trace of the calls it was given to."""
    reviews.status = BAD

    async def frames() -> int:
        error = await refused(lambda: tokens.bearer(TOKEN))
        count, at = 0, error.__traceback__
        while at is not None:
            count, at = count + 1, at.tb_next
        return count

    await frames()
    assert await frames() == await frames()
    gc.collect()


async def test_a_bearer_shows_no_token() -> None:
    """What is handed on says who, never by which token."""
    assert set(Bearer.__dataclass_fields__) == {"caller", "doubt"}

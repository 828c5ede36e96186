"""The broker's way to LiteLLM."""

import asyncio
import contextlib
from collections.abc import Callable

import httpx
import pytest

from webhook.broker import upstream
from webhook.broker.shapes import Call, Outcome, RefusedError, Reply, Rule
from webhook.broker.upstream import Upstream, read_key, trust
from webhook.config import ConfigError

KEY = "sk-secret-0123456789"
LOOK = Call("GET", "/v2/model/info", {"modelId": "registrar-1", "size": "1"})


def asked(
    answer: httpx.Response | Exception, count: Callable[[Outcome], None] = lambda _: None
) -> tuple[Upstream, list[httpx.Request]]:
    """Give a way to a LiteLLM that always answers so, and what it was asked."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    way = Upstream("http://litellm:4000/", transport=httpx.MockTransport(handle), count=count)
    way.use(KEY)
    return way, seen


async def refused(error: Exception) -> RefusedError:
    """Give what becomes of a call whose connection fails so."""
    way, _ = asked(error)
    with pytest.raises(RefusedError) as found:
        await way.send(LOOK, 7)
    assert found.value.rule is Rule.CANNOT_ASK_LITELLM
    return found.value


async def test_a_call_is_sent_as_it_is_with_the_key() -> None:
    """Method, path, query and body are the call's; the key is in the header of every one."""
    way, seen = asked(httpx.Response(200, json={"ok": 1}))
    await way.send(LOOK, 7)
    await way.send(Call("PATCH", "/model/registrar-1/update", body={"blocked": True}), 7)
    look, change = seen
    assert (look.method, str(look.url)) == (
        "GET",
        "http://litellm:4000/v2/model/info?modelId=registrar-1&size=1",
    )
    assert (change.method, change.url.path, change.read()) == (
        "PATCH",
        "/model/registrar-1/update",
        b'{"blocked":true}',
    )
    assert {request.headers["authorization"] for request in seen} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("status", [200, 307, 400, 404, 500, 503])
async def test_an_answer_comes_as_it_is(status: int) -> None:
    """Status and body are LiteLLM's own, also of its faults; a redirect is followed nowhere."""
    way, seen = asked(
        httpx.Response(status, text='{"error": "x"}', headers={"location": "http://elsewhere/"})
    )
    assert await way.send(LOOK, 7) == Reply(status, b'{"error": "x"}')
    assert len(seen) == 1


async def test_a_new_key_counts_from_the_next_call() -> None:
    """What `use` is given is what the next call is made with."""
    way, seen = asked(httpx.Response(200))
    way.use("sk-other")
    await way.send(LOOK, 7)
    assert seen[0].headers["authorization"] == "Bearer sk-other"
    assert way.secrets == ("sk-other",)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (httpx.ConnectError("refused"), 502, "was not sent"),
        (httpx.ConnectTimeout("slow"), 502, "was not sent"),
        (httpx.ReadTimeout("slow"), 504, "no answer in 7 s, it may have been done"),
        (httpx.ReadError("reset"), 504, "it may have been done"),
        (httpx.RemoteProtocolError("Server disconnected"), 504, "it may have been done"),
    ],
)
async def test_what_cannot_be_asked_is_told_from_what_may_have_been_done(
    error: Exception, status: int, told: str
) -> None:
    """A refused connection did nothing; one that breaks may have."""
    found = await refused(error)
    assert found.status == status
    assert told in found.message


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (httpx.Response(200), Outcome.OK),
        (httpx.Response(404), Outcome.REFUSED),
        (httpx.Response(500), Outcome.FAULT),
        (httpx.Response(503), Outcome.FAULT),
        (httpx.ConnectError("refused"), Outcome.NOT_SENT),
        (httpx.ReadTimeout("slow"), Outcome.NO_ANSWER),
        (httpx.RemoteProtocolError("Server disconnected"), Outcome.NO_ANSWER),
    ],
    ids=str,
)
async def test_each_request_is_counted_by_what_became_of_it(
    answer: httpx.Response | Exception, outcome: Outcome
) -> None:
    """Once, whether there was an answer or not."""
    counted: list[Outcome] = []
    way, _ = asked(answer, counted.append)
    with contextlib.suppress(RefusedError):
        await way.send(LOOK, 7)
    assert counted == [outcome]


async def test_an_answer_that_never_ends_is_waited_for_in_all_as_long_as_was_said() -> None:
    """The bound is on the whole call, not on each piece of its answer."""

    async def handle(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    way = Upstream("http://litellm:4000", transport=httpx.MockTransport(handle))
    with pytest.raises(RefusedError) as found:
        await way.send(LOOK, 0.0)
    assert found.value.status == 504


async def test_an_answer_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands where LiteLLM should cannot fill the broker's memory."""
    monkeypatch.setattr(upstream, "_MOST", 1000)
    way, _ = asked(httpx.Response(200, content=b"x" * 1001))
    with pytest.raises(RefusedError, match="more than 1000 bytes"):
        await way.send(LOOK, 7)


async def test_a_path_is_one_path() -> None:
    """What would begin a query or leave the path is part of a name here."""
    way, seen = asked(httpx.Response(404))
    await way.send(Call("PATCH", "/model/a?b#c%2f/update", body={}), 7)
    assert seen[0].url.raw_path == b"/model/a%3Fb%23c%252f/update"


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "found nothing"), (" \n", "found nothing"), ("sk-a sk-b", "blanks"), ("schlüssel", "characters")],
)
def test_a_file_without_one_key_is_refused(text: str, fault: str) -> None:
    """The error says what is wrong, and never what was found."""
    with pytest.raises(ConfigError, match=fault) as found:
        read_key(text)
    assert not text.strip() or text not in str(found.value)


def test_the_line_end_of_a_file_is_not_of_the_key() -> None:
    """Editors and Secrets end a file with a line end."""
    assert read_key(f"{KEY}\n") == KEY


def test_a_file_without_certificates_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Trusting nobody at all would only show at the first call."""
    folder = tmp_path_factory.mktemp("ca")
    (folder / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=name):
            trust(str(folder / name))

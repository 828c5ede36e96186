"""What is said of LiteLLM's key, and when again."""

import io
import json
from typing import Any

import httpx

from sidecar.contract import LogFormat
from webhook.broker.key_abilities import Abilities
from webhook.broker.key_report import KeyReport
from webhook.broker.upstream import Upstream
from webhook.log import Log

# What LiteLLM 1.106.2 answers to the narrowest key (`key_abilities`).
NARROW = {
    ("POST", "/model/new"): 422,
    ("PATCH", "/model/registrar-nobody/update"): 404,
    ("POST", "/model/delete"): 400,
    ("GET", "/v2/model/info"): 200,
    ("GET", "/v1/models"): 200,
    ("PATCH", "/model/nobody/update"): 403,
    ("GET", "/key/info"): 403,
}


class Scene:
    """A LiteLLM that answers by key, and what is said of it."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.shown: list[Abilities] = []
        self.asked = 0
        self.away = False
        self.upstream = Upstream("http://litellm", transport=httpx.MockTransport(self._answer))
        self.report = KeyReport(self.upstream, Log(self.stream, LogFormat.JSON), self.shown.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.away:
            raise httpx.ConnectError("refused")
        master = request.headers["authorization"] == "Bearer sk-master"
        status = NARROW[request.method, request.url.path]
        return httpx.Response(404 if master and status == 403 else status, json={})

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was said."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


async def test_a_key_is_told_once() -> None:
    """One line says what it can do; LiteLLM is not asked again while it is the same."""
    scene = Scene()
    scene.upstream.use("sk-narrow")
    await scene.report.look()
    asked = scene.asked
    await scene.report.look()
    assert scene.asked == asked
    (line,) = scene.lines
    assert (line["event"], scene.shown) == ("key", [Abilities()])


async def test_another_key_is_told_of() -> None:
    """A key that takes its place is looked at; the master key is a problem."""
    scene = Scene()
    scene.upstream.use("sk-narrow")
    await scene.report.look()
    scene.upstream.use("sk-master")
    await scene.report.look()
    line = scene.lines[-1]
    assert line["event"] == "problem"
    assert "master key" in line["message"]
    assert scene.shown[-1].master
    assert "sk-master" not in scene.stream.getvalue()


async def test_a_litellm_that_is_away_is_asked_again() -> None:
    """It is said once that nothing is known, and what the key can do when LiteLLM is back."""
    scene = Scene()
    scene.upstream.use("sk-narrow")
    scene.away = True
    await scene.report.look()
    await scene.report.look()
    (line,) = scene.lines
    assert (line["event"], bool(scene.shown[-1].unknown)) == ("problem", True)
    scene.away = False
    await scene.report.look()
    assert [line["event"] for line in scene.lines] == ["problem", "key"]

"""A bounded load of chat requests by model name, which counts every way a request can be lost.

A cut stream is HTTP 200 with an error event in it, and a request that LiteLLM had to retry was lost once:
both count.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import httpx

TIMEOUT: Final = 60.0
# LiteLLM's uvicorn closes a connection that was idle for 5 s; a request just sent on it would be lost here.
IDLE_SECONDS: Final = 2.0


@dataclass(slots=True)
class Tally:
    """What became of the requests; `lost`: how often by what went wrong."""

    sent: int = 0
    answered: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def failed(self) -> int:
        """How many requests were lost in any way."""
        return sum(self.lost.values())

    def unanswered(self) -> int:
        """How many requests there is no answer to yet."""
        return self.sent - self.answered - self.failed()


@dataclass(slots=True)
class Load:
    """Requests at a steady rate, in turn to each URL; every `stream_every`-th is streamed.

    `body` and `stream_body` are added to the request (for example how many tokens to write). At most `limit`
    requests, and none while `at_once` of them are unanswered: the machine is too slow for this rate, and
    those that pile up would have no answer in time. `streaming` is set once a streamed one has begun to be
    answered.
    """

    urls: tuple[str, ...]
    model: str
    key: str
    rate: float
    stream_every: int = 4
    limit: int = 1_000_000
    at_once: int = 1_000_000
    body: dict[str, object] = field(default_factory=dict)
    stream_body: dict[str, object] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    streaming: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> Tally:
        """Send until `stopping` is set or the limit is reached, then wait for every answer."""
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=200, keepalive_expiry=IDLE_SECONDS
        )
        async with (
            httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            begun = time.monotonic()
            for number in range(self.limit):
                wait = begun + number / self.rate - time.monotonic()
                if wait > 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self.stopping.wait(), wait)
                if self.stopping.is_set():
                    break
                if self.tally.unanswered() < self.at_once:
                    self.tally.sent += 1
                    group.create_task(self._one(client, number))
        return self.tally

    async def _one(self, client: httpx.AsyncClient, number: int) -> None:
        try:
            wrong = await self._ask(client, number)
        except httpx.HTTPError as error:
            wrong = type(error).__name__
        if wrong:
            self.tally.lost[wrong] += 1
        else:
            self.tally.answered += 1

    async def _ask(self, client: httpx.AsyncClient, number: int) -> str:
        group, place = divmod(number, self.stream_every)
        stream = place == 0
        url = self.urls[(group + number) % len(self.urls)]  # so that each gets as many streams as the others
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": f"question {number}"}],
            "num_retries": 0,
            "stream": stream,
        } | (self.stream_body if stream else self.body)
        headers = {"Authorization": f"Bearer {self.key}"}
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            if answer.status_code != 200:
                text = (await answer.aread()).decode(errors="replace")
                return f"{answer.status_code} {text[:120]}"
            if int(answer.headers.get("x-litellm-attempted-retries", "0")):
                return "retried by LiteLLM"
            if not stream:
                await answer.aread()
                return "" if answer.json().get("choices") else "an answer without choices"
            self.streaming.set()
            return await _read_stream(answer)


async def _read_stream(answer: httpx.Response) -> str:
    done = False
    async for line in answer.aiter_lines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            done = True
        elif "error" in json.loads(data):
            return "stream cut: " + data[:100]
    return "" if done else "stream ended without [DONE]"


def examples(lost: Counter[str], count: int = 3) -> str:
    """Give the most frequent losses, for a message."""
    return "; ".join(f"{number}x {what}" for what, number in lost.most_common(count))

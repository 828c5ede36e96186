"""The webhook without the network: bytes in, bytes out, in one process."""

import io
import json
from datetime import UTC, datetime
from typing import Any

from sidecar.contract import LogFormat
from tests.server.reviews import dump
from webhook.app import Admission
from webhook.defaults import NO_DEFAULTS, Defaults
from webhook.inject import Injection
from webhook.log import Log
from webhook.metrics import Metrics
from webhook.policy.document import parse
from webhook.policy.table import RULES
from webhook.settings import OnError

IMAGE = "registry.example.com/registrar:1"


class Desk:
    """An `Admission` with a fixed nonce, reference and clock, its log and its metrics.

    `now` is the time that exceptions are held against, in seconds since the epoch.
    """

    def __init__(
        self,
        on_error: OnError = OnError.BY_PATH,
        style: LogFormat = LogFormat.JSON,
        *,
        policy: str = "",
        defaults: Defaults = NO_DEFAULTS,
    ) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.stream = io.StringIO()
        ticks = iter(range(1_000_000))
        self._admission = Admission(
            Injection(cluster="test", image=IMAGE, defaults=defaults),
            Log(self.stream, style, lambda: datetime(2026, 11, 21, 6, 0, 0, 123456, UTC)),
            on_error,
            new_nonce=lambda: "0123456789abcdef",
            new_reference=lambda: "5ca1ab1e",
            clock=lambda: next(ticks) / 1000,
            now=lambda: self.now,
            metrics=self.metrics,
        )
        if policy:
            self.hold(policy)

    def hold(self, policy: str) -> None:
        """Take a policy, as the text of its file."""
        self._admission.hold(parse(policy, RULES))

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Give the response within the review that answers."""
        answer = json.loads(self._admission.answer(path, dump(body)))
        assert (answer["apiVersion"], answer["kind"]) == (body["apiVersion"], "AdmissionReview")
        assert answer["response"]["uid"] == body["request"]["uid"]
        response: dict[str, Any] = answer["response"]
        return response

    def counted(self, name: str, **labels: str) -> float:
        """Give the value of a metric's series; 0 if there is none."""
        found = self.metrics.registry.get_sample_value(f"litellm_registrar_webhook_{name}", labels)
        return found or 0.0

    @property
    def line(self) -> dict[str, Any]:
        """The only line of the log."""
        (text,) = self.stream.getvalue().splitlines()
        line: dict[str, Any] = json.loads(text)
        return line

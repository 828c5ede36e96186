"""The way to LiteLLM through a broker: the pod's own token for a key, and what the broker's own answers mean.

The rules are those of `webhook/broker/shapes.py`; one that is not known here is of a newer broker, and its
status tells enough of it.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import httpx

from sidecar.access import Failed, unfit, was_sent
from sidecar.broker_contract import BUSY, CONTRACT_HEADER, RULE_HEADER
from sidecar.contract import CONTRACT_VERSION
from sidecar.reasons import Reason
from sidecar.servers.ask import causes
from sidecar.token_file import TokenError, TokenFile

# A broker that asks for more patience than this is asked again all the same: seconds.
MOST_PATIENCE: Final = 60.0

_RULES: Final[Mapping[str, Reason]] = {
    "pod_without_ip": Reason.BROKER_POD_UNSEEN,
    BUSY: Reason.BROKER_BUSY,
    "rate": Reason.BROKER_BUSY,
    "cannot_ask_kubernetes": Reason.BROKER_WITHOUT_KUBERNETES,
    "internal_error": Reason.BROKER_ERROR,
    **dict.fromkeys(
        ("token_not_of_a_pod", "pod_gone", "pod_not_injected", "host_network", "contract_unsupported"),
        Reason.BROKER_REFUSED_POD,
    ),
}
_STATUSES: Final[Mapping[int, Reason]] = {
    HTTPStatus.UNAUTHORIZED: Reason.BROKER_REFUSED_TOKEN,
    HTTPStatus.TOO_MANY_REQUESTS: Reason.BROKER_BUSY,
    HTTPStatus.SERVICE_UNAVAILABLE: Reason.BROKER_BUSY,
}
# The broker cannot ask LiteLLM: it was not reached, so nothing was sent; it did not answer in time; or what
# it has shown so far is no ground to say that a name is free.
_CANNOT_ASK_LITELLM: Final = "cannot_ask_litellm"
_OF_LITELLM: Final[Mapping[int, Reason]] = {
    HTTPStatus.BAD_GATEWAY: Reason.LITELLM_UNREACHABLE,
    HTTPStatus.GATEWAY_TIMEOUT: Reason.LITELLM_NO_ANSWER,
    HTTPStatus.SERVICE_UNAVAILABLE: Reason.BROKER_NOT_YET,
}
_NAMES: Final[Mapping[Reason, Reason]] = {
    Reason.LITELLM_WRONG_KEY: Reason.BROKER_WRONG_KEY,
    Reason.LITELLM_KEY_MAY_NOT_WRITE: Reason.BROKER_KEY_MAY_NOT_WRITE,
}


class ByToken:
    """A broker, asked with the pod's token; `misconfigured` is why that cannot be done at all."""

    def __init__(self, url: str | None, token: TokenFile, misconfigured: Failed | None = None) -> None:
        self._url = url or ""
        self._token = token
        self._misconfigured = misconfigured or _configuration(self._url)

    @property
    def url(self) -> str:
        """Give the address, without a slash at its end."""
        return self._url.rstrip("/")

    def headers(self) -> Mapping[str, str] | Failed:
        """Give the token as it is now, and our version of the contract."""
        if self._misconfigured is not None:
            return self._misconfigured
        try:
            token = self._token.read()
        except TokenError as error:
            return Failed(Reason.BROKER_NO_TOKEN, str(error))
        return {"Authorization": f"Bearer {token}", CONTRACT_HEADER: str(CONTRACT_VERSION)}

    def refusal(self, reply: httpx.Response) -> Failed | None:
        """Name what the broker's own answer means; None for one of LiteLLM."""
        rule = reply.headers.get(RULE_HEADER)
        if rule is None:
            return None
        by_status = _OF_LITELLM if rule == _CANNOT_ASK_LITELLM else _STATUSES
        reason = _RULES.get(rule) or by_status.get(reply.status_code)
        if reason is None:
            server_fault = reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            reason = Reason.BROKER_ERROR if server_fault else Reason.BROKER_REFUSED_ROW
        return Failed(reason, _sentence(reply), rule, _retry_after(reply))

    def lost(self, error: httpx.HTTPError) -> Reason:
        """Name why no answer came from the broker."""
        if was_sent(error):
            return Reason.BROKER_NO_ANSWER
        untrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error))
        return Reason.BROKER_BAD_TLS if untrusted else Reason.BROKER_UNREACHABLE

    def name(self, reason: Reason) -> Reason:
        """Give the name that a reason of LiteLLM's has behind a broker: its key is the broker's."""
        return _NAMES.get(reason, reason)


def _configuration(url: str) -> Failed | None:
    """Name what is wrong with a broker's address: without TLS the token would be anybody's to take."""
    wrong = unfit(url, "https")
    return None if wrong is None else Failed(Reason.BROKER_BAD_URL, wrong)


def _sentence(reply: httpx.Response) -> str:
    try:
        message = json.loads(reply.content)["error"]["message"]
    except (ValueError, RecursionError, LookupError, TypeError):
        message = None
    return message if isinstance(message, str) else f"HTTP {reply.status_code}"


def _retry_after(reply: httpx.Response) -> float:
    """Give the seconds of Retry-After (RFC 9110, 10.2.3); the broker sends no dates."""
    text = reply.headers.get("Retry-After", "")
    return min(float(text), MOST_PATIENCE) if text.isascii() and text.isdecimal() else 0.0

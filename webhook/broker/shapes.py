"""What the broker's parts give each other, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sidecar.broker_contract import StateReport
from webhook.registered import Registered


class Rule(StrEnum):
    """Why a request is refused: in the answer, the log line, the metric and the Event alike."""

    # who asks
    TOKEN_MISSING = "token_missing"  # noqa: S105 - a rule's name
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a rule's name
    TOKEN_NOT_OF_A_POD = "token_not_of_a_pod"  # noqa: S105 - a rule's name
    POD_GONE = "pod_gone"
    POD_NOT_INJECTED = "pod_not_injected"
    POD_WITHOUT_IP = "pod_without_ip"
    HOST_NETWORK = "host_network"
    CONTRACT_UNSUPPORTED = "contract_unsupported"
    # what is asked
    ROUTE_UNKNOWN = "route_unknown"
    BODY_TOO_LARGE = "body_too_large"
    BODY_BAD = "body_bad"
    ROW_ID = "row_id"
    MODEL_NAME = "model_name"
    NAME_NOT_ALLOWED = "name_not_allowed"
    NAME_TAKEN = "name_taken"
    API_BASE = "api_base"
    PROVIDER = "provider"
    API_KEY = "api_key"
    LITELLM_PARAMS = "litellm_params"
    MODEL_INFO = "model_info"
    TEAM = "team"
    # how much of it
    TOO_MANY_ROWS = "too_many_rows"
    RATE = "rate"
    BUSY = "busy"
    # the broker cannot tell now
    CANNOT_ASK_KUBERNETES = "cannot_ask_kubernetes"
    CANNOT_ASK_LITELLM = "cannot_ask_litellm"
    INTERNAL_ERROR = "internal_error"


class Outcome(StrEnum):
    """What became of a request to LiteLLM, whoever caused it."""

    OK = "ok"
    REFUSED = "refused"  # a status from 400 to 499
    FAULT = "fault"  # one from 500 on
    NOT_SENT = "not_sent"  # LiteLLM has seen nothing of it
    NO_ANSWER = "no_answer"  # none in time, or a broken one: it may have been carried out


class RefusedError(Exception):
    """A request is refused: by which rule, with which status, and a sentence for the owner of the pod.

    `message` names the field, what was found and what is allowed; it never holds a secret.
    """

    def __init__(self, rule: Rule, message: str, status: int = 403) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as TokenReview says; never taken from a request.

    `node` is empty where the API server does not tell it.
    """

    namespace: str
    pod: str
    pod_uid: str
    node: str = ""

    @property
    def reference(self) -> dict[str, str]:
        """Give the pod as Events refer to it: an ObjectReference of core/v1."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": self.namespace,
            "name": self.pod,
            "uid": self.pod_uid,
        }


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the API server knows of the caller's pod.

    `addresses` are its IPs; `base_urls` every address its server may be registered at, made of each of them
    with the scheme, port and path that its registrar was injected with. `host` is what the annotation `host`
    puts in their place (None: nothing), `host_url` the address with it. `grace` is its
    deletionGracePeriodSeconds while it is being deleted. `labelled`: it has a label of ours. `gone`: it is
    not there any more, another pod has its name, or its containers have ended and its IPs may be another
    pod's by now. `registered` is what its condition says (None: it has none), `version` its resourceVersion.
    """

    uid: str
    addresses: tuple[str, ...]
    base_urls: frozenset[str]
    node: str
    host_network: bool
    deleting: bool
    grace: int | None
    host: str | None = None
    host_url: str | None = None
    labelled: bool = True
    gone: bool = False
    registered: Registered | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class RowSent:
    """The body of a creation or change, parsed and bounded, not yet checked.

    `id` is the one in `model_info`, which `info` is without, and without the ownership block. `owner` is that
    block as it was sent (None: none was), of which only what describes the model is ever taken. `blocked` is
    None where it was not sent. `left_out` names what a registrar newer than the broker sent beside these.
    """

    id: str
    name: str
    params: Mapping[str, Any] = field(repr=False)
    info: Mapping[str, Any] = field(repr=False)
    owner: Mapping[str, Any] | None = field(repr=False)
    blocked: bool | None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """GET /health/readiness: whether LiteLLM and its database are there."""


@dataclass(frozen=True, slots=True)
class AskPod:
    """GET /registrar/pod: what the API server says of the pod."""


@dataclass(frozen=True, slots=True)
class Look:
    """GET /v2/model/info?modelId=: one row."""

    id: str


@dataclass(frozen=True, slots=True)
class Siblings:
    """GET /v2/model/info?model=: the rows of a name."""

    name: str


@dataclass(frozen=True, slots=True)
class OwnRows:
    """GET /v2/model/info, of any page: answered with the pod's own rows."""


@dataclass(frozen=True, slots=True)
class Create:
    """POST /model/new."""

    row: RowSent


@dataclass(frozen=True, slots=True)
class Change:
    """PATCH /model/{id}/update; `id` is the one in the path."""

    id: str
    row: RowSent


@dataclass(frozen=True, slots=True)
class Delete:
    """POST /model/delete."""

    id: str


@dataclass(frozen=True, slots=True)
class Tell:
    """POST /registrar/state: what the registrar says of its state."""

    report: StateReport


Asked = Ready | AskPod | Tell | Look | Siblings | OwnRows | Create | Change | Delete


@dataclass(frozen=True, slots=True)
class Holder:
    """A row of some name, as far as rules ask: whose it is. Both empty: not of any registrar."""

    cluster: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to LiteLLM, ready to be sent; `body` is None for a GET.

    `left_out` names what a registrar newer than the broker sent and LiteLLM does not get.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What LiteLLM answered."""

    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the registrar is answered: JSON."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

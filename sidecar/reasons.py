"""Every problem the registrar can name: one word for the log and `/status`, one sentence for people.

The sentence says what is wrong and, where there is one, what to do about it. Values never stand in it: the
log line carries them as `key=value`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """Why something is not as it should be; `sentence` explains it."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        """Make a member out of its word and its sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    # The model server, asked at the address that would be registered.
    SERVER_REFUSED = "server_refused", "Nothing listens at the server's address"
    SERVER_ON_LOOPBACK_ONLY = (
        "server_on_loopback_only",
        "The server listens on 127.0.0.1 only, LiteLLM cannot reach it: make it listen on 0.0.0.0 or ::",
    )
    SERVER_TIMEOUT = "server_timeout", "The server does not answer in time"
    SERVER_UNREACHABLE = "server_unreachable", "The server's address cannot be reached"
    SERVER_BAD_TLS = (
        "server_bad_tls",
        "The server's certificate is not valid for its address: set the annotation litellm-registrar.io/host",
    )
    SERVER_ERROR = "server_error", "The server answers with an error"
    SERVER_UNAUTHORIZED = (
        "server_unauthorized",
        "The server wants another API key than the one it was found with",
    )
    SERVER_NO_MODEL_LIST = (
        "server_no_model_list",
        "The server has no /v1/models: it is not OpenAI-compatible, or serves under a path prefix",
    )
    SERVER_BAD_ANSWER = "server_bad_answer", "The server's list of models cannot be read"
    SERVER_LOADING = "server_loading", "The server is loading its model"
    SERVER_NOT_READY = "server_not_ready", "The server's own readiness probe fails"
    SERVER_ASLEEP = (
        "server_asleep",
        "The server sleeps; with litellm-registrar.io/when-asleep=route LiteLLM goes on sending to it",
    )
    SERVER_UNSTEADY = (
        "server_unsteady",
        "The server contradicts itself about a model time and again: are there several at its address?",
    )
    NO_MODELS = "no_models", "The server serves no model"
    ALL_LEFT_OUT = (
        "all_left_out",
        "None of the server's models is to be registered: see litellm-registrar.io/include and exclude",
    )
    ALIAS_WITHOUT_MODEL = (
        "alias_without_model",
        "An alias names a model that the server does not serve, or that include and exclude leave out",
    )
    ALIAS_AMBIGUOUS = (
        "alias_ambiguous",
        "An alias does not say which of the server's models it is for: write name=served-id",
    )

    # LiteLLM's admin API.
    LITELLM_NO_SECRET = (
        "litellm_no_secret",
        "LiteLLM's address or key is not set: the Secret is missing, or lacks its keys url and key",
    )
    LITELLM_BAD_URL = "litellm_bad_url", "LiteLLM's address in the Secret is not an http or https URL"
    LITELLM_BAD_CA = "litellm_bad_ca", "The certificate authority in the Secret (ca.crt) cannot be read"
    LITELLM_UNREACHABLE = "litellm_unreachable", "LiteLLM cannot be reached"
    LITELLM_NO_ANSWER = "litellm_no_answer", "LiteLLM takes requests and does not answer them, or not in time"
    LITELLM_WRONG_KEY = "litellm_wrong_key", "LiteLLM does not know this key"
    LITELLM_KEY_MAY_NOT_WRITE = (
        "litellm_key_may_not_write",
        "LiteLLM's key may not write models: role proxy_admin, routes /model/* and /v2/model/info are needed",
    )
    LITELLM_NOT_LICENSED = (
        "litellm_not_licensed",
        "This row needs a paid feature of LiteLLM, and it has no licence: leave out team-id",
    )
    LITELLM_NO_DATABASE = "litellm_no_database", "LiteLLM runs without a database and cannot keep models"
    LITELLM_DATABASE_DOWN = "litellm_database_down", "LiteLLM cannot reach its database"
    LITELLM_STORE_MODEL_OFF = (
        "litellm_store_model_off",
        "LiteLLM does not keep models in its database: set STORE_MODEL_IN_DB=True",
    )
    LITELLM_WITHOUT_BLOCK = (
        "litellm_without_block",
        "This LiteLLM is too old to block a model: it goes on sending to a server in ill health",
    )
    LITELLM_NOT_ADDED = (
        "litellm_not_added",
        "LiteLLM cannot add the row: its id is there already, or its database is down",
    )
    LITELLM_NOT_LIVE = "litellm_not_live", "LiteLLM has saved the row but cannot serve it"
    LITELLM_REFUSED_ROW = "litellm_refused_row", "LiteLLM does not accept the row"
    LITELLM_ERROR = "litellm_error", "LiteLLM answers with an error"

    # The broker, where the pod has its own token instead of LiteLLM's key.
    BROKER_NO_TOKEN = (
        "broker_no_token",
        "There is no token to show to the broker: the pod's projected volume is missing, or its file empty",
    )
    BROKER_BAD_URL = "broker_bad_url", "The broker's address is not an https URL"
    BROKER_BAD_CA = (
        "broker_bad_ca",
        "The broker's certificate authority, given to the pod at injection, is missing or cannot be read",
    )
    BROKER_UNREACHABLE = "broker_unreachable", "The broker cannot be reached"
    BROKER_NO_ANSWER = (
        "broker_no_answer",
        "The broker takes requests and does not answer them, or not in time",
    )
    BROKER_BAD_TLS = (
        "broker_bad_tls",
        "The broker's certificate is not of the authority that was given to the pod: make the pod anew",
    )
    BROKER_REFUSED_TOKEN = "broker_refused_token", "The broker does not accept the pod's token"
    BROKER_REFUSED_POD = (
        "broker_refused_pod",
        "The broker writes no rows for this pod, by the rule that is named",
    )
    BROKER_REFUSED_ROW = "broker_refused_row", "The broker does not accept the row, by the rule that is named"
    BROKER_POD_UNSEEN = (
        "broker_pod_unseen",
        "The broker does not see this pod's address at the API server yet",
    )
    BROKER_NOT_YET = (
        "broker_not_yet",
        "The broker cannot tell yet who has which name in LiteLLM, and lets nobody take one",
    )
    BROKER_BUSY = (
        "broker_busy",
        "The broker has asked for patience for a minute: more is written than it lets through",
    )
    BROKER_WITHOUT_KUBERNETES = (
        "broker_without_kubernetes",
        "The broker cannot ask the API server who this pod is",
    )
    BROKER_WRONG_KEY = "broker_wrong_key", "LiteLLM does not know the broker's key"
    BROKER_KEY_MAY_NOT_WRITE = (
        "broker_key_may_not_write",
        "The broker's key may not write models in LiteLLM: see what the broker says of it at its start",
    )
    BROKER_ERROR = "broker_error", "The broker answers with an error of its own"
    BROKER_LEFT_OUT = (
        "broker_left_out",
        "The broker is older than this registrar and does not pass these parameters on",
    )

    # Rows.
    BLOCKED_BY_SOMEONE_ELSE = (
        "blocked_by_someone_else",
        "Someone has blocked this row in LiteLLM; the registrar leaves it so",
    )
    BLOCKED_BY_REAPER = (
        "blocked_by_reaper",
        "The broker has blocked this row: the pod's node is not Ready; it unblocks it when the node is back",
    )
    ROW_CONTESTED = (
        "row_contested",
        "Someone, or LiteLLM itself, changes these keys after each repair; they are repaired more rarely",
    )
    SIBLINGS_DISAGREE = (
        "siblings_disagree",
        "LiteLLM sends nothing to the rows of this name that lack this key, since others have it",
    )

    # The registrar itself.
    CONTRACT_NEWER = (
        "contract_newer",
        "The webhook that injected this registrar is newer than its image; what it does not know is ignored",
    )
    CONTRACT_BAD = "contract_bad", "The registrar's environment cannot be used: nothing can be registered"
    PORT_IN_USE = "port_in_use", "The registrar's own port is taken by another program of this pod"
    WRONG_NONCE = "wrong_nonce", "Somebody asked for a drain without the pod's nonce"
    READY_TIMEOUT = "ready_timeout", "Not registered in time; the pod is let into its Service all the same"
    GRACE_SHORTENED = (
        "grace_shortened",
        "The pod is deleted with less grace than it was made with; the drain keeps to it",
    )
    GRACE_CUT = "grace_cut", "The grace period was cut: the pod ends before the drain is over"
    DRAIN_TIMEOUT = (
        "drain_timeout",
        "Requests are still in flight after the drain timeout; the server is let go",
    )
    INTERNAL_ERROR = "internal_error", "The registrar has a fault of its own; it goes on"

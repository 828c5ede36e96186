"""Who asks: from the status of a TokenReview to the pod that a token is bound to. Pure.

The shape is that of `k8s.io/api/authentication/v1`; what the API server says of a bound token is in
`k8s.io/apiserver/pkg/authentication/serviceaccount/util.go` (Kubernetes 1.30 and newer name the node too).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from webhook.broker.shapes import Caller, RefusedError, Rule
from webhook.pods import listed, mapping
from webhook.values import DNS_LABEL, DNS_NAME

_EXTRA: Final = "authentication.kubernetes.io/"
_USER: Final = "system:serviceaccount:"
_UNAUTHENTICATED: Final = 401
_MAX_UID: Final = 128


def bearer(header: str | None) -> str:
    """Give the token of an Authorization header.

    Raises RefusedError for a header that is missing or holds none.
    """
    scheme, _, token = (header or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or not token.isascii() or not token.isprintable():
        message = "Authorization: Bearer and the pod's own token are needed"
        raise RefusedError(Rule.TOKEN_MISSING, message, _UNAUTHENTICATED)
    return token


def caller(status: Mapping[str, Any], audience: str) -> Caller:
    """Give the pod that a reviewed token is bound to, by `status` of the TokenReview.

    Raises RefusedError.
    """
    if status.get("authenticated") is not True or audience not in listed(status.get("audiences")):
        message = (
            "the API server does not take the token: it has ended, its pod is gone, or it is not for the "
            f"audience {audience}"
        )
        raise RefusedError(Rule.TOKEN_REFUSED, message, _UNAUTHENTICATED)
    user = mapping(status.get("user"))
    extra = mapping(user.get("extra"))
    namespace = _namespace(user.get("username"))
    pod, uid = _only(extra, "pod-name"), _only(extra, "pod-uid")
    if namespace is None or not DNS_NAME.fullmatch(pod) or not uid or len(uid) > _MAX_UID:
        message = (
            "the token is not one of a ServiceAccount that is bound to a pod: a projected token is needed"
        )
        raise RefusedError(Rule.TOKEN_NOT_OF_A_POD, message)
    return Caller(namespace, pod, uid, _only(extra, "node-name"))


def _namespace(username: object) -> str | None:
    """Read `system:serviceaccount:NAMESPACE:NAME`; nobody else may have such a name."""
    if not isinstance(username, str) or not username.startswith(_USER):
        return None
    namespace, _, account = username.removeprefix(_USER).partition(":")
    return namespace if DNS_LABEL.fullmatch(namespace) and DNS_NAME.fullmatch(account) else None


def _only(extra: Mapping[str, Any], name: str) -> str:
    """Give the one value of an extra field, empty where there is none, or several."""
    values = listed(extra.get(_EXTRA + name))
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""

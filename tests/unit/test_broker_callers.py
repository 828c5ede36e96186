"""Who asks: from the status of a TokenReview to the pod that the token is bound to."""

from typing import Any

import pytest

from webhook.broker.callers import bearer, caller
from webhook.broker.shapes import Caller, RefusedError, Rule

AUDIENCE = "litellm-registrar.io"
# As the API server of Kubernetes 1.36 answers for a projected token of a pod.
STATUS: dict[str, Any] = {
    "authenticated": True,
    "user": {
        "username": "system:serviceaccount:team:default",
        "uid": "9a0f6c5e-0000-0000-0000-000000000001",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated"],
        "extra": {
            "authentication.kubernetes.io/credential-id": ["JTI=6a6a"],
            "authentication.kubernetes.io/node-name": ["node-1"],
            "authentication.kubernetes.io/node-uid": ["1c1c"],
            "authentication.kubernetes.io/pod-name": ["qwen-0"],
            "authentication.kubernetes.io/pod-uid": ["uid-1"],
        },
    },
    "audiences": [AUDIENCE],
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    """Give the status with another value at a place; None leaves it out."""
    key, *rest = path
    found: dict[str, Any] = dict(STATUS)
    at = found
    for step in (key, *rest)[:-1]:
        at[step] = dict(at[step])
        at = at[step]
    at[path[-1]] = to
    if to is None:
        del at[path[-1]]
    return found


def refusal(status: dict[str, Any], audience: str = AUDIENCE) -> tuple[Rule, int]:
    """Give rule and status of a refusal."""
    with pytest.raises(RefusedError) as caught:
        caller(status, audience)
    return caught.value.rule, caught.value.status


def extra(name: str, to: Any) -> dict[str, Any]:
    """Give the status with another extra field."""
    return changed("user", "extra", f"authentication.kubernetes.io/{name}", to=to)


def test_a_bound_token_tells_its_pod() -> None:
    """Name, uid and node are those of the review."""
    assert caller(STATUS, AUDIENCE) == Caller("team", "qwen-0", "uid-1", "node-1")


def test_an_older_api_server_does_not_tell_the_node() -> None:
    """Then it is empty."""
    assert caller(extra("node-name", None), AUDIENCE).node == ""


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "error": "[invalid bearer token, token has expired]"},
        changed("authenticated", to="true"),
        changed("authenticated", to=None),
        changed("audiences", to=None),
        changed("audiences", to=[]),
        changed("audiences", to=["https://kubernetes.default.svc"]),
        changed("audiences", to=AUDIENCE),
    ],
)
def test_a_token_that_the_api_server_does_not_take_is_refused(status: dict[str, Any]) -> None:
    """Expired, forged, or of another audience."""
    assert refusal(status) == (Rule.TOKEN_REFUSED, 401)


@pytest.mark.parametrize(
    "status",
    [
        changed("user", to=None),
        changed("user", "username", to="system:node:node-1"),
        changed("user", "username", to="kubernetes-admin"),
        changed("user", "username", to="team:default"),
        changed("user", "username", to="system:serviceaccount:team"),
        changed("user", "username", to="system:serviceaccount::default"),
        changed("user", "username", to="system:serviceaccount:Team:default"),
        changed("user", "username", to="system:serviceaccount:team:default:more"),
        changed("user", "username", to="oidc:system:serviceaccount:team:default"),
        changed("user", "username", to=7),
        changed("user", "extra", to=None),
        changed("user", "extra", to=[]),
        extra("pod-name", None),
        extra("pod-uid", None),
        extra("pod-uid", []),
        extra("pod-uid", ["uid-1", "uid-2"]),
        extra("pod-uid", [7]),
        extra("pod-uid", "uid-1"),
        extra("pod-uid", ["x" * 129]),
        extra("pod-name", ["../secrets/x"]),
        extra("pod-name", ["qwen-0?x=1"]),
        extra("pod-name", [""]),
    ],
)
def test_a_token_that_is_bound_to_no_pod_is_refused(status: dict[str, Any]) -> None:
    """A node's, a person's, a ServiceAccount's own, or one that names anything but one pod."""
    assert refusal(status) == (Rule.TOKEN_NOT_OF_A_POD, 403)


@pytest.mark.parametrize("header", ["Bearer a.b.c", "bearer a.b.c", " Bearer  a.b.c "])
def test_the_token_is_in_the_header(header: str) -> None:
    """The word's case does not count (RFC 9110)."""
    assert bearer(header) == "a.b.c"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "a.b.c", "Bearer a\x00b", "Bearer é"]
)
def test_without_a_token_nothing_is_asked(header: str | None) -> None:
    """The message does not repeat what was sent."""
    with pytest.raises(RefusedError) as caught:
        bearer(header)
    assert (caught.value.rule, caught.value.status) == (Rule.TOKEN_MISSING, 401)
    assert "YTpi" not in caught.value.message

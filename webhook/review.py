"""AdmissionReview of admission.k8s.io/v1: bytes to a review, an answer to bytes. Pure.

The shapes and rules are those of `k8s.io/api/admission/v1` and of the API server's side of the call,
`k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go`: an answer must carry the
request's uid and apiVersion, or the API server takes the call as failed.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from webhook.patch import Op
from webhook.reasons import Reason

API_VERSION: Final = "admission.k8s.io/v1"

# The API server gives all warnings of a request 4096 characters and cuts them to 256 each beyond that
# (`k8s.io/apiserver/pkg/endpoints/filters/warning.go`); so 16 of 256 arrive whole (measured: kubectl shows
# 16, the 17th cut).
WARNING_LENGTH: Final = 256
WARNINGS_SHOWN: Final = 16


class BodyError(ValueError):
    """The body is no review whose uid can be read: HTTP 400, the message is the answer's text."""


class ReviewError(ValueError):
    """The uid can be read, but the review cannot be decided; the message says why."""

    def __init__(self, uid: str, api_version: str, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.uid = uid
        self.api_version = api_version
        self.reason = reason


class Review(NamedTuple):
    """What is asked. `kind` has its group (`apps/Deployment`, `Pod`); absent texts are empty.

    `object` and `old_object` are the raw objects, empty where the operation has none.
    """

    uid: str
    operation: str
    kind: str
    sub_resource: str
    namespace: str
    name: str
    object: dict[str, Any]
    old_object: dict[str, Any]

    @property
    def named(self) -> tuple[str, str]:
        """How the object is called: (`name` or `generateName`, the text).

        The name of a pod that a controller makes is not yet known at admission, only its generateName.
        """
        if self.name:
            return "name", self.name
        metadata = self.object.get("metadata")
        if isinstance(metadata, dict):
            for key in ("name", "generateName"):
                text = metadata.get(key)
                if text and isinstance(text, str):
                    return key, text
        return "name", ""


class Answer(NamedTuple):
    """What is answered. `code`, `reason` and `message` are the status of a denial.

    `audit` goes to the API server's audit log, its keys under the name of the webhook's entry.
    """

    allowed: bool = True
    patch: Sequence[Op] = ()
    warnings: Sequence[str] = ()
    code: int = 403
    reason: str = ""
    message: str = ""
    audit: Mapping[str, str] = MappingProxyType({})


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


_decoder: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def decode(body: bytes) -> Any:
    """Read strict JSON (RFC 8259): UTF-8, no NaN or Infinity. The last of duplicate keys counts, as in Go.

    Raises BodyError, whose message never quotes the body.
    """
    try:
        return _decoder.decode(body.decode())
    except UnicodeDecodeError:
        raise BodyError("the body is not UTF-8") from None
    except RecursionError:
        raise BodyError("the body is nested too deeply") from None
    except ValueError as error:
        raise BodyError(f"the body is not JSON: {error}") from None


def parse(body: bytes) -> Review:
    """Read a review. Raises BodyError, or ReviewError once the uid is known.

    Other versions than v1 (v1beta1) raise ReviewError. The API server sends the first version of the
    webhook's `admissionReviewVersions` that it knows, so v1beta1 arrives only where someone wrote that in
    the configuration: a mistake that would otherwise stay silent, since warnings on a controller's pods reach
    nobody. It is therefore refused on both paths, in its own version, which the API server insists on.
    """
    raw = decode(body)
    request = raw.get("request") if isinstance(raw, dict) else None
    uid = request.get("uid") if isinstance(request, dict) else None
    if not isinstance(uid, str) or not isinstance(request, dict):
        raise BodyError("the body is no AdmissionReview: request.uid is needed, a string")
    version = raw.get("apiVersion")
    if version != API_VERSION or raw.get("kind") != "AdmissionReview":
        found = f"{_shown(version)} {_shown(raw.get('kind'))}"
        raise ReviewError(
            uid,
            version if isinstance(version, str) else API_VERSION,
            Reason.UNSUPPORTED_VERSION,
            f"the review is {found}; this webhook answers {API_VERSION} AdmissionReview only: "
            'set admissionReviewVersions to ["v1"] in the webhook configuration',
        )
    try:
        return _review(uid, request)
    except ValueError as error:
        raise ReviewError(uid, API_VERSION, Reason.BAD_REVIEW, str(error)) from None


def _review(uid: str, request: dict[str, Any]) -> Review:
    kind = request.get("kind")
    if not isinstance(kind, dict):
        raise ValueError(f"request.kind: found {_type(kind)}, allowed is an object")
    group, name = _text(kind, "group", "request.kind."), _text(kind, "kind", "request.kind.")
    return Review(
        uid=uid,
        operation=_text(request, "operation"),
        kind=f"{group}/{name}" if group else name,
        sub_resource=_text(request, "subResource"),
        namespace=_text(request, "namespace"),
        name=_text(request, "name"),
        object=_object(request, "object"),
        old_object=_object(request, "oldObject"),
    )


def _text(source: dict[str, Any], key: str, path: str = "request.") -> str:
    value = source.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{path}{key}: found {_type(value)}, allowed is a string")
    return value


def _object(request: dict[str, Any], key: str) -> dict[str, Any]:
    value = request.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"request.{key}: found {_type(value)}, allowed are an object and null")
    return value


def _shown(value: object) -> str:
    if isinstance(value, str):
        return clean(value, 64) or "(empty)"
    return f"({_type(value)})"


_JSON_TYPES: Final = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


def _type(value: object) -> str:
    return _JSON_TYPES.get(type(value), "a number")


def encode(uid: str, answer: Answer, api_version: str = API_VERSION) -> bytes:
    """Write the review that answers."""
    response: dict[str, Any] = {"uid": uid, "allowed": answer.allowed}
    if answer.warnings:
        response["warnings"] = limit(answer.warnings)
    if answer.audit:
        response["auditAnnotations"] = dict(answer.audit)
    if not answer.allowed:
        response["status"] = {
            "status": "Failure",
            "code": answer.code,
            "reason": answer.reason,
            "message": answer.message,
        }
    text = _encode({"apiVersion": api_version, "kind": "AdmissionReview", "response": response})
    if answer.patch:
        ops = _encode([op.to_json() for op in answer.patch])
        patch = base64.b64encode(ops.encode()).decode()
        # base64 has nothing to escape: appended as it is, thousands of characters need not be looked at
        text = f'{text[:-2]},"patchType":"JSONPatch","patch":"{patch}"}}}}'
    return text.encode()


def limit(warnings: Iterable[str]) -> list[str]:
    """Give the warnings as they arrive whole: each once, 256 characters, 16 of them; cuts are said."""
    texts = list(dict.fromkeys(filter(None, (clean(text, WARNING_LENGTH) for text in warnings))))
    if len(texts) > WARNINGS_SHOWN:
        left = len(texts) - WARNINGS_SHOWN + 1
        texts[WARNINGS_SHOWN - 1 :] = [f"{left} more warnings are not shown; mend these first"]
    return texts


def clean(text: str, length: int) -> str:
    """Give the text as one printable line of at most `length` characters; an ellipsis marks a cut.

    The API server drops a warning that has a control character in it.
    """
    cut = len(text) > length
    text = text[:length]
    if not text.isprintable():
        text = "".join(map(_printable, " ".join(text.split())))
    if cut or len(text) > length:
        text = text[: length - 1] + "…"
    return text


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()

"""AdmissionReview: bytes to a review, an answer to bytes."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.patch import Op
from webhook.reasons import Reason
from webhook.review import Answer, BodyError, ReviewError, clean, decode, encode, limit, parse

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


def body(**changes: Any) -> bytes:
    """Give the bytes of a review whose request has these changes."""
    request = {
        "uid": UID,
        "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
        "namespace": "team-a",
        "name": "qwen",
        "operation": "UPDATE",
        "object": {"metadata": {"name": "qwen"}},
        "oldObject": None,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request | changes}
    return json.dumps(review).encode()


def test_a_review_is_read() -> None:
    """Kind with its group, operation, namespace, name and both objects are found; null is an empty object."""
    review = parse(body())
    assert (review.uid, review.kind, review.operation) == (UID, "apps/Deployment", "UPDATE")
    assert (review.namespace, review.named) == ("team-a", ("name", "qwen"))
    assert (review.object, review.old_object) == ({"metadata": {"name": "qwen"}}, {})


def test_the_core_group_is_not_written() -> None:
    """A pod's kind is `Pod`."""
    assert parse(body(kind={"group": "", "version": "v1", "kind": "Pod"})).kind == "Pod"


@pytest.mark.parametrize(
    ("request_name", "metadata", "named"),
    [
        ("qwen-0", {"name": "other"}, ("name", "qwen-0")),
        ("", {"name": "qwen-0", "generateName": "qwen-"}, ("name", "qwen-0")),
        (None, {"generateName": "qwen-6d4-"}, ("generateName", "qwen-6d4-")),
        (None, {"generateName": 7}, ("name", "")),
        (None, None, ("name", "")),
        (None, [], ("name", "")),
    ],
)
def test_a_pod_without_a_name_goes_by_its_generate_name(
    request_name: str | None, metadata: Any, named: tuple[str, str]
) -> None:
    """The request's name, then the object's, then its generateName."""
    assert parse(body(name=request_name, object={"metadata": metadata})).named == named


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[NaN]", "NaN is not a JSON value"),
        (b"[Infinity]", "Infinity is not a JSON value"),
        (b"[-Infinity]", "-Infinity is not a JSON value"),
        (b"[1e999]", "a number is too large"),
        (b"[" + b"9" * 5000 + b"]", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"{} {}", "not JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused(text: bytes, why: str) -> None:
    """RFC 8259 as Go reads it: no NaN, no Infinity, UTF-8 only, bounded depth; the error says which."""
    with pytest.raises(BodyError, match=why):
        decode(text)


def test_an_error_never_quotes_the_body() -> None:
    """What a client sent does not come back in the error, which is logged."""
    with pytest.raises(BodyError) as caught:
        decode(b'{"password": hunter2}')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"null", b"[]", b"7", b"{}", b'{"request":null}', b'{"request":{}}', b'{"request":{"uid":7}}']
)
def test_without_a_uid_there_is_nothing_to_answer(text: bytes) -> None:
    """JSON that holds no request.uid is a bad body, not a bad review."""
    with pytest.raises(BodyError, match=r"request\.uid"):
        parse(text)


def test_of_duplicate_keys_the_last_counts() -> None:
    """As in Go's encoding/json."""
    text = body().replace(b'"uid"', b'"uid": "first", "uid"')
    assert parse(text).uid == UID


@pytest.mark.parametrize("version", ["admission.k8s.io/v1beta1", "admission.k8s.io/v2", "v1", "", None, 7])
def test_another_version_is_refused_in_its_own_version(version: Any) -> None:
    """V1beta1 gets a clear word, with the uid and, where it is a text, the very apiVersion that was sent."""
    raw = json.loads(body()) | {"apiVersion": version}
    with pytest.raises(ReviewError, match=r'admissionReviewVersions to \["v1"\]') as caught:
        parse(json.dumps(raw).encode())
    assert (caught.value.uid, caught.value.reason) == (UID, Reason.UNSUPPORTED_VERSION)
    assert caught.value.api_version == (version if isinstance(version, str) else "admission.k8s.io/v1")


def test_another_kind_is_refused() -> None:
    """A Status is no review, though it may hold a request with a uid."""
    raw = json.loads(body()) | {"kind": "Status"}
    with pytest.raises(ReviewError, match=r"the review is admission\.k8s\.io/v1 Status"):
        parse(json.dumps(raw).encode())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": None}, "request.kind: found null, allowed is an object"),
        ({"kind": "Pod"}, "request.kind: found a string"),
        ({"kind": {"group": 1, "kind": "Pod"}}, "request.kind.group: found a number, allowed is a string"),
        ({"operation": ["CREATE"]}, "request.operation: found a list"),
        ({"namespace": True}, "request.namespace: found a boolean"),
        ({"name": {}}, "request.name: found an object"),
        ({"subResource": 1.5}, "request.subResource: found a number"),
        ({"object": [1]}, "request.object: found a list, allowed are an object and null"),
        ({"oldObject": "x"}, "request.oldObject: found a string"),
    ],
)
def test_a_review_of_the_wrong_shape_says_which_field(changes: dict[str, Any], why: str) -> None:
    """The review can be answered, and names the field, what was found and what is allowed."""
    with pytest.raises(ReviewError, match=why) as caught:
        parse(body(**changes))
    assert (caught.value.uid, caught.value.reason) == (UID, Reason.BAD_REVIEW)


def test_an_allowing_answer_is_small() -> None:
    """Without patch or warnings only uid and allowed are sent."""
    assert json.loads(encode(UID, Answer())) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": UID, "allowed": True},
    }


def test_a_patch_is_sent_as_base64_of_its_json() -> None:
    """The patch is JSON Patch, base64 as Go encodes bytes; a lone surrogate survives as its escape."""
    ops = [Op("add", "/metadata/labels", {"a": "é\ud800"}), Op("remove", "/spec/x")]
    response = json.loads(encode(UID, Answer(patch=ops)))["response"]
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == [
        {"op": "add", "path": "/metadata/labels", "value": {"a": "é\ud800"}},
        {"op": "remove", "path": "/spec/x"},
    ]


def test_a_denial_has_code_reason_and_message() -> None:
    """The status is one that Kubernetes' clients understand as Forbidden."""
    answer = Answer(allowed=False, reason="bad_label", message="bad_label: found 'x'")
    response = json.loads(encode("u\ud800", answer, "admission.k8s.io/v1beta1"))
    assert response["apiVersion"] == "admission.k8s.io/v1beta1"
    assert response["response"] == {
        "uid": "u\ud800",
        "allowed": False,
        "status": {
            "status": "Failure",
            "code": 403,
            "reason": "bad_label",
            "message": "bad_label: found 'x'",
        },
    }


def test_sixteen_warnings_arrive_whole() -> None:
    """A seventeenth takes the sixteenth's place and says how many are not shown."""
    texts = [f"bad_annotation: number {n}" for n in range(1, 21)]
    assert limit(texts[:16]) == texts[:16]
    assert limit(texts) == [*texts[:15], "5 more warnings are not shown; mend these first"]


def test_a_warning_is_said_once() -> None:
    """The same text twice is one warning, an empty one none."""
    assert limit(["a", "b", "a", ""]) == ["a", "b"]


@given(st.lists(st.text(max_size=600), max_size=40))
def test_warnings_are_what_the_api_server_passes_on(texts: list[str]) -> None:
    """At most 16, 256 characters each and 4096 in all, none empty, none with a control character."""
    shown = limit(texts)
    assert len(shown) <= 16
    assert sum(map(len, shown)) <= 4096
    assert all(0 < len(text) <= 256 and text.isprintable() for text in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("0123456789", "0123456789"),
        ("01234567890", "012345678…"),
        ("two\r\nlines", "two lines"),
        ("nul\x00", "nul\\x00"),
        ("\ud800", "\\ud800"),
        ("\x00\x00\x00", "\\x00\\x00\\…"),
    ],
)
def test_text_for_people_is_one_printable_line(text: str, shown: str) -> None:
    """White space is one space, what cannot be printed is escaped, and a cut is marked."""
    assert clean(text, 10) == shown

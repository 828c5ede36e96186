"""Bodies that are odd but whole: large objects, duplicate keys, deep nesting, lone surrogates."""

import copy
from typing import Any

import pytest

from tests.server.reviews import UID, deployment, dump, patched, pod, review
from tests.server.running import Running

SERVER = {"litellm-registrar.io/server": "vllm"}
MEGABYTE = 1024 * 1024


def _padded(obj: dict[str, Any], size: int) -> dict[str, Any]:
    """Give the object with managedFields of so many bytes, in small pieces as real ones are."""
    entry = {"f:spec": {f"f:field-{n}": {".": {}, "f:value": "x" * 40} for n in range(100)}}
    padded = copy.deepcopy(obj)
    padded["metadata"]["managedFields"] = [entry] * (size // len(dump(entry)))
    return padded


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
async def test_two_objects_of_3_mb_are_decided(running: Running, path: str) -> None:
    """3 MB beside 3 MB are answered as a small object is."""
    new, old = _padded(deployment(SERVER), 3 * MEGABYTE), _padded(deployment({}), 3 * MEGABYTE)
    body = dump(review(new, "UPDATE", oldObject=old))
    assert len(body) > 5.9 * MEGABYTE
    answer = await running.post(path, body)
    response = answer.json()["response"]
    assert (answer.status_code, response["allowed"]) == (200, True)
    if path == "/mutate":
        small = review(deployment(SERVER), "UPDATE", oldObject=deployment({}))
        assert response == (await running.post(path, dump(small))).json()["response"]


async def test_a_3_mb_pod_is_injected(running: Running) -> None:
    """The size of a pod changes nothing about its patch."""
    obj = _padded(pod(), 3 * MEGABYTE)
    response = (await running.post("/mutate", dump(review(obj)))).json()["response"]
    assert patched(obj, response)["spec"]["initContainers"][0]["name"] == "registrar"


@pytest.mark.parametrize("depth", [100, 500, 900])
@pytest.mark.parametrize("path", ["/mutate", "/validate"])
async def test_a_deeply_nested_object_is_decided(running: Running, path: str, depth: int) -> None:
    """What nests as deep as it can be read is decided like anything else."""
    body = dump(review(pod())).replace(b'"app"', b'"deep": ' + b"[" * depth + b"]" * depth + b', "app"', 1)
    response = (await running.post(path, body)).json()["response"]
    assert (response["uid"], response["allowed"]) == (UID, True)
    assert running.log[-1]["event"] in {"injected", "allowed"}


async def test_lone_surrogates_come_back_as_they_are(running: Running) -> None:
    """A uid, a name and a label value that are no text in UTF-8 harm neither answer nor log."""
    obj = pod(**SERVER, odd="\udc00")
    body = dump(review(obj, uid="u\ud800", name="n\ud800"))
    response = (await running.post("/mutate", body)).json()["response"]
    assert (response["uid"], response["patchType"]) == ("u\ud800", "JSONPatch")
    assert running.log[-1]["name"] == "n\\ud800"


async def test_of_duplicate_keys_the_last_counts(running: Running) -> None:
    """A second uid and a second label are the ones that count, as in the API server's own decoder."""
    body = dump(review(pod())).replace(b'"uid": ', b'"uid": "first", "uid": ', 1)
    body = body.replace(b'server": "vllm"', b'server": "lamma", "litellm-registrar.io/server": "vllm"')
    response = (await running.post("/mutate", body)).json()["response"]
    assert (response["uid"], "patch" in response) == (UID, True)


async def test_a_name_cannot_forge_a_line_of_the_log(running: Running) -> None:
    """A name with a line end stays within its line."""
    name = "x\n2026-11-21T06:00:00.123Z INJECTED  forged"
    before = len(running.log)
    await running.post("/mutate", dump(review(pod(), name=name)))
    assert len(running.log) == before + 1

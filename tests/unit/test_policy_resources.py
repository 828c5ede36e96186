"""Rules over CPU, memory and storage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules import OWN_IMAGE, check, rule, subject, told
from webhook.documents import DocumentError

SHM = "/dev/shm"  # noqa: S108 - a mount in somebody's pod
REGISTRAR = {"name": "registrar", "image": OWN_IMAGE}


def container(name: str = "server", **resources: Any) -> dict[str, Any]:
    """Give a container with these limits and requests."""
    return {"name": name, "resources": resources}


def pod(*containers: Any, init: Any = (), **spec: Any) -> dict[str, Any]:
    """Give a pod."""
    return {"spec": {"containers": list(containers), "initContainers": list(init), **spec}}


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ({}, "none for memory"),
        ({"limits": {}}, "none for memory"),
        ({"limits": None}, "none for memory"),
        ({"limits": "memory"}, "none for memory"),
        ({"limits": {"cpu": 1}}, "none for memory"),
        ({"requests": {"memory": "1Gi"}}, "none for memory"),
        ({"limits": {"memory": "0"}}, "'0' for memory"),
        ({"limits": {"memory": "much"}}, "'much' for memory"),
        ({"limits": {"memory": -5}}, "-5 for memory"),
        ({"limits": {"memory": []}}, "a list for memory"),
        ({"limits": {"memory": "1Gi"}}, None),
        ({"limits": {"memory": 1024}}, None),
    ],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_required_limits(kind: str, said: dict[str, Any], seen: str | None) -> None:
    """A limit above 0 must be there for every container, for init containers too."""
    judged = subject({"spec": {kind: [container(**said)]}})
    expected = f"spec.{kind}[0].resources.limits[memory]: {seen} -> a limit of memory above 0"
    assert told("resources.requireLimits", ["memory"], judged) == ([expected] if seen else [])


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ({"requests": {"cpu": 1, "memory": "1Gi"}}, []),
        ({"limits": {"cpu": 1, "memory": "1Gi"}}, []),
        ({"limits": {"cpu": 1}, "requests": {"memory": "1Gi"}}, []),
        ({"requests": {"cpu": 1}}, ["memory"]),
        ({"requests": {"cpu": "0"}, "limits": {"cpu": 4, "memory": 1}}, ["cpu"]),
        ({}, ["cpu", "memory"]),
    ],
)
def test_required_requests(said: dict[str, Any], lacking: list[str]) -> None:
    """A limit is the request where none is given; a request of 0 keeps nothing free."""
    found = told("resources.requireRequests", ["cpu", "memory"], subject(pod(container(**said))))
    assert [line.partition(":")[0] for line in found] == [
        f"spec.containers[0].resources.requests[{name}]" for name in lacking
    ]


def test_what_the_pod_says_as_a_whole_counts() -> None:
    """Pod-level resources stand for every container's."""
    judged = subject(pod(container(), REGISTRAR, resources={"limits": {"memory": "64Gi"}}))
    assert told("resources.requireLimits", ["memory"], judged) == []
    assert told("resources.requireRequests", ["memory"], judged) == []
    # the registrar has none beside them
    assert [item.container for item in check("resources.requireLimits", ["cpu"], judged)] == ["server"]


def test_a_registrar_without_pod_level_resources_is_judged_like_everyone() -> None:
    """Injection gives it limits then; one without them is somebody's copy."""
    found = check("resources.requireLimits", ["memory"], subject(pod(REGISTRAR)))
    assert [item.container for item in found] == ["registrar"]


def test_ephemeral_containers_need_no_limits() -> None:
    """They cannot have any."""
    judged = subject({"spec": {"ephemeralContainers": [{"name": "debug"}]}})
    assert told("resources.requireLimits", ["memory"], judged) == []


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (pod(container(limits={"memory": "512Gi"})), None),
        (pod(container(limits={"memory": "511Gi"}), container(requests={"memory": "1Gi"})), None),
        (
            pod(container(limits={"memory": "513Gi"})),
            "spec.containers[0].resources.limits[memory]: 513Gi of memory in all",
        ),
        (
            pod(container(requests={"memory": "0.6Ti"})),
            "spec.containers[0].resources.requests[memory]: 659706976665.6 of memory in all",
        ),
        (
            pod(container(limits={"memory": "511Gi"}), container(requests={"memory": "2Gi"})),
            "spec: 513Gi of memory in all",
        ),
        (
            pod(container(limits={"memory": "1Gi"}), init=[container(limits={"memory": "600Gi"})]),
            "spec: 600Gi of memory in all",
        ),
        # an earlier init container is gone by then
        (
            pod(container(limits={"memory": "300Gi"}), init=[container(limits={"memory": "300Gi"})]),
            None,
        ),
        # a limit of the pod holds, whatever its containers' own add up to
        (
            pod(
                container(limits={"memory": "400Gi"}),
                container(limits={"memory": "400Gi"}),
                resources={"limits": {"memory": "512Gi"}},
            ),
            None,
        ),
        (
            pod(container(), resources={"limits": {"memory": "1Ti"}}),
            "spec.resources.limits[memory]: 1Ti of memory in all",
        ),
        (
            pod(container(limits={"memory": "1Gi"}), resources={"requests": {"memory": "1Ti"}}),
            "spec.resources.requests[memory]: 1Ti of memory in all",
        ),
        (
            pod(container(limits={"memory": "lots"})),
            "spec.containers[0].resources.limits[memory]: an unreadable amount of memory in all",
        ),
        # no negative amount makes room for another
        (
            pod(container(limits={"memory": "600Gi"}), container(limits={"memory": "-200Gi"})),
            "spec: an unreadable amount of memory in all",
        ),
    ],
)
def test_the_most_of_a_pod(raw: dict[str, Any], found: str | None) -> None:
    """The sum is the scheduler's, and a limit counts before the request."""
    expected = [f"{found} -> at most 512Gi in a pod"] if found else []
    assert told("resources.max", {"memory": "512Gi"}, subject(raw)) == expected


def test_the_injected_registrar_does_not_count_among_the_pods_sum() -> None:
    """A pod made from a template that was fine is not refused for what injection adds."""
    registrar = {**REGISTRAR, "resources": {"limits": {"cpu": "250m"}}}
    server = container(limits={"cpu": 64})
    assert told("resources.max", {"cpu": "64"}, subject(pod(server, registrar))) == []
    copy = {**registrar, "image": "example.com/other"}
    assert told("resources.max", {"cpu": "64"}, subject(pod(server, copy))) == [
        "spec: 64.25 of cpu in all -> at most 64 in a pod"
    ]


def test_the_most_of_a_container() -> None:
    """Each container is held against the ceiling by itself."""
    judged = subject(
        pod(container(limits={"cpu": "8", "memory": "9Gi"}), container("b", requests={"cpu": "8001m"}))
    )
    assert told("resources.maxPerContainer", {"cpu": "8", "memory": "8Gi"}, judged) == [
        "spec.containers[0].resources.limits[memory]: '9Gi' of memory -> at most 8Gi",
        "spec.containers[1].resources.requests[cpu]: '8001m' of cpu -> at most 8",
    ]


def shm(limit: Any = None, at: Any = SHM, medium: str = "Memory") -> dict[str, Any]:
    """Give a pod with an emptyDir mounted."""
    volume = {"medium": medium} | ({} if limit is None else {"sizeLimit": limit})
    mounts = [{"name": "shm", "mountPath": at}]
    return pod({"name": "a", "volumeMounts": mounts}, volumes=[{"name": "shm", "emptyDir": volume}])


@pytest.mark.parametrize(
    ("value", "raw", "found"),
    [
        ("required", shm(), "no limit for shm at /dev/shm -> a size limit"),
        ("required", shm("0"), "'0' for shm at /dev/shm -> a size limit"),
        ("required", shm("x"), "'x' for shm at /dev/shm -> a size limit"),
        ("required", shm(at="/dev//shm/."), "no limit for shm at /dev/shm -> a size limit"),
        ("required", shm(at=f"{SHM}/vllm"), "no limit for shm at /dev/shm -> a size limit"),
        ("required", shm("1Ti"), None),
        ("required", shm(at="/cache"), None),
        ("required", shm(at=f"{SHM}-of-mine"), None),
        ("required", shm(at=None), None),
        ("required", shm(medium=""), None),
        ("16Gi", shm("16Gi"), None),
        ("16Gi", shm("17Gi"), "'17Gi' for shm at /dev/shm -> a size limit of at most 16Gi"),
        ("16Gi", shm(), "no limit for shm at /dev/shm -> a size limit of at most 16Gi"),
    ],
)
def test_shared_memory(value: str, raw: dict[str, Any], found: str | None) -> None:
    """A volume in memory at /dev/shm, however its path is spelled, has a limit."""
    expected = [f"spec.volumes[0].emptyDir.sizeLimit: {found}"] if found else []
    assert told("resources.shmSizeLimit", value, subject(raw)) == expected


def test_the_values_of_the_size_limit() -> None:
    """A quantity is tighter than `required`, and a smaller one tighter still."""
    kind = rule("resources.shmSizeLimit").kind
    some, large, small = (kind.parse(value) for value in ("required", "64Gi", "1Gi"))
    assert kind.is_tighter(large, some)
    assert kind.is_tighter(small, large)
    assert not kind.is_tighter(some, large)
    assert not kind.is_tighter(None, some)
    with pytest.raises(DocumentError, match=r"found 'yes', allowed is `required`, or the largest quantity"):
        kind.parse("yes")

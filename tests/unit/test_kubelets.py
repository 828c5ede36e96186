"""Which kubelets run native sidecars, by their versions."""

from typing import Any

import pytest

from webhook.kubelets import STABLE, Release, decide, release, version
from webhook.wishes import InjectMode

NATIVE, CONTAINER = InjectMode.NATIVE, InjectMode.CONTAINER


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("v1.33.4", "1.33"),
        ("v1.33.4-gke.1036000", "1.33"),
        ("v1.30.2+k3s1", "1.30"),
        ("v1.31.0-eks-5c1bff3", "1.31"),
        ("v1.34.1-aliyun.1", "1.34"),
        ("v1.33.0-alpha.1.23+5c1bff3d2", "1.33"),
        ("v1.32.6+rke2r1", "1.32"),
        ("1.33", "1.33"),
        ("v2.0.0", "2.0"),
        ("", None),
        ("latest", None),
        ("v1", None),
        ("v1.x.3", None),
        ("v1.33.4 (patched)", None),
        ("v1.99999.0", None),
        ("1.33.4.5", None),
    ],
)
def test_a_release_is_read_whatever_a_vendor_appends(text: str, found: str | None) -> None:
    """And what is no version is none, instead of a guess."""
    assert (str(release(text)) if release(text) else None) == found


@pytest.mark.parametrize(
    ("versions", "native_from", "mode", "old", "unreadable"),
    [
        ({"a": "v1.33.0", "b": "v1.36.2-gke.1"}, STABLE, NATIVE, 0, 0),
        ({"a": "v1.33.0", "b": "v1.32.9"}, STABLE, CONTAINER, 1, 0),
        ({"a": "v1.33.0", "b": "v1.32.9"}, Release(1, 29), NATIVE, 0, 0),
        ({"a": "v1.28.15", "b": "v1.32.9"}, Release(1, 29), CONTAINER, 1, 0),
        ({"a": "v1.33.0", "b": "custom"}, STABLE, CONTAINER, 0, 1),
        ({"a": "v1.33.0", "b": "", "c": "v1.9.0"}, STABLE, CONTAINER, 1, 1),
        ({"a": "v1.100.0"}, STABLE, NATIVE, 0, 0),
        ({}, STABLE, None, 0, 0),
    ],
)
def test_pods_for_any_node_are_native_only_if_every_kubelet_is_new_enough(
    versions: dict[str, str], native_from: Release, mode: InjectMode | None, old: int, unreadable: int
) -> None:
    """One that is too old, or that cannot be read, decides for all; without nodes nothing is decided."""
    found = decide(versions, native_from)
    assert (found.mode, found.old, found.unreadable) == (mode, old, unreadable)


def test_a_pod_that_is_bound_to_a_node_has_that_nodes_mode() -> None:
    """Each node has its own, whatever the others are."""
    found = decide({"new": "v1.34.0", "old": "v1.31.0", "odd": "?"}, STABLE)
    assert found.nodes == {"new": NATIVE, "old": CONTAINER, "odd": CONTAINER}


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ({"nodeInfo": {"kubeletVersion": "v1.33.4", "operatingSystem": "linux"}}, "v1.33.4"),
        ({"nodeInfo": {"kubeletVersion": "v1.27.0", "operatingSystem": "windows"}}, None),
        ({"nodeInfo": {}}, ""),
        ({}, ""),
        (None, ""),
        ("broken", ""),
    ],
)
def test_what_counts_of_a_node_is_its_kubelet_and_only_where_registrars_run(
    status: Any, found: str | None
) -> None:
    """A node that has not said its version yet is one that cannot be read; Windows nodes do not count."""
    assert version({"metadata": {"name": "n"}, "status": status}) == found

"""Whole pods, and all that is found in them: the table of tests/sources/pods.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.contract import Engine
from webhook.extract import extract
from webhook.sources.found import Extract, Source

CASES = yaml.safe_load((Path(__file__).parents[1] / "sources" / "pods.yaml").read_text())
LISTS = ("initContainers", "containers", "ephemeralContainers", "volumes")


def pod(case: dict[str, Any]) -> dict[str, Any]:
    """Write the pod of a case in full."""
    server = {"name": "server", "image": "vllm/vllm-openai:v0.15.0", **case["server"]}
    spec: dict[str, Any] = {"containers": [server], "initContainers": [], "volumes": []}
    if "fill" in case:
        mounts = [{"name": "m", "mountPath": "/m"}]
        server.setdefault("volumeMounts", mounts)
        fill = {"name": "fill", "image": "python:3", "command": case["fill"], "volumeMounts": mounts}
        spec["initContainers"].append(fill)
        spec["volumes"].append({"name": "m", "emptyDir": {}})
    for key, items in case.get("pod", {}).items():
        assert key in LISTS
        named = {item["name"]: item for item in spec.setdefault(key, [])}
        for item in items:
            if item["name"] in named:
                named[item["name"]].update(item)
            else:
                spec[key].append(item)
    return {"metadata": {}, "spec": spec}


def lines(found: Extract) -> list[str]:
    """Write down what was found, as the table does."""
    return [
        *map(source, found.sources),
        *(f"{s.name} {s.value} {short(s.path)}" for s in found.switches),
        *(f"? {u.about or 'anything'} {u.reason} {short(u.path)}" for u in found.unresolved),
    ]


def source(found: Source) -> str:
    """Write down one source."""
    text = f"{found.role} {found.location} {short(found.path)}"
    if found.local:
        text += f" {found.local.backing} {found.local.path}{' ro' if found.local.read_only else ''}"
    return text


def short(path: str) -> str:
    """Write a path as counted from the spec."""
    return path.removeprefix("spec.")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["says"])
def test_what_is_found_in_a_pod(case: dict[str, Any]) -> None:
    """Everything a pod says of its models and code is found, nothing else, each at its path."""
    found = extract(pod(case), Engine(case.get("engine", "vllm")))
    assert sorted(lines(found)) == sorted(case["found"])


@pytest.mark.parametrize("number", [1000, 1001])
def test_a_container_of_more_than_1000_mounts_is_told_and_not_read(number: int) -> None:
    """Whoever mounts so many hides nothing by it: that not all was read is told."""
    mounts = [{"name": "m", "mountPath": f"/m/{index}"} for index in range(number)]
    server = {"image": "vllm/vllm-openai:v0.15.0", "args": ["Qwen/Qwen3-8B"], "volumeMounts": mounts}
    found = extract({"spec": {"containers": [server]}}, Engine.VLLM)
    assert bool(found.sources) is (number == 1000)
    assert [item.detail for item in found.unresolved] == (
        [] if number == 1000 else ["the commands of 1 containers are more than is read of one pod"]
    )


def test_more_variables_than_are_read_are_told() -> None:
    """A container with too many variables is left out, and that is said."""
    env = [{"name": f"V{number}"} for number in range(2001)]
    pod = {"spec": {"containers": [{"name": "server", "image": "vllm/vllm-openai", "env": env}]}}
    found = extract(pod, Engine.VLLM).unresolved
    assert [item.about for item in found] == [None]

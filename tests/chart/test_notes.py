"""What Helm prints after an install: commands and names that are those of this release."""

from __future__ import annotations

import re

import pytest

from tests.chart.rendering import (
    HELM,
    JSON,
    MATRIX,
    NAMESPACE,
    matrix,
    merged,
    of_kind,
    rendered,
    run,
    values,
)
from tests.peers.helm import CHART

pytestmark = pytest.mark.cluster

# Another name than the chart's, so that the names that are made of it are seen.
RELEASE = "prod"


def notes(given: JSON) -> str:
    """Give what an install with these values prints. Helm 4 needs no cluster for that."""
    done = run(HELM, "install", RELEASE, str(CHART), "-n", NAMESPACE, "--dry-run=client", given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\nNOTES:\n")[2]


@pytest.mark.parametrize("name", MATRIX)
def test_what_is_waited_for_is_what_was_installed(name: str) -> None:
    """The rollouts are those of all Deployments of the release, in its namespace."""
    given = merged(matrix(name), {"admission": {"enabled": True}})
    installed = {each["metadata"]["name"] for each in of_kind(rendered(given, release=RELEASE), "Deployment")}
    found = re.findall(rf"kubectl -n {NAMESPACE} rollout status (.*)", notes(given))
    assert [{word.removeprefix("deployment/") for word in line.split()} for line in found] == [installed]


@pytest.mark.parametrize("name", MATRIX)
def test_the_list_is_run_in_a_container_that_has_what_it_needs(name: str) -> None:
    """The Deployment that is named has LiteLLM's address as a variable; where none has, no step is told."""
    given = merged(matrix(name), {"admission": {"enabled": True}})
    able = [
        each["metadata"]["name"]
        for each in of_kind(rendered(given, release=RELEASE), "Deployment")
        for variable in each["spec"]["template"]["spec"]["containers"][0].get("env", ())
        if variable["name"] == "WEBHOOK_LITELLM_URL"
    ]
    step = rf"kubectl -n {NAMESPACE} exec deployment/(\S+) -- litellm-registrar list"
    assert re.findall(step, notes(given)) == able


@pytest.mark.parametrize("name", MATRIX)
def test_what_an_uninstall_leaves_is_what_the_processes_make(name: str) -> None:
    """All that flags have them make is named, and nothing else; with the clean-up nothing is left."""
    given = matrix(name)
    flags = {"--tls-secret": "Secret", "--ca-configmap": "ConfigMap"}
    made = {
        f"{flags[flag]} {value}"
        for each in of_kind(rendered(given, release=RELEASE), "Deployment")
        for flag, _, value in (
            arg.partition("=") for arg in each["spec"]["template"]["spec"]["containers"][0]["args"]
        )
        if flag in flags
    }
    found = re.findall(rf"and in {NAMESPACE}: its Leases(.*)\.", notes(given))
    left = [set(filter(None, line.split(", "))) for line in found]
    assert left == ([] if given.get("cleanupOnUninstall") else [made])


def test_the_next_commands_are_those_of_the_mode() -> None:
    """Of the release, or of each namespace in direct mode, are the Secrets that are asked for."""
    broker = notes(values(litellm={"existingSecretKey": "master"}))
    direct = notes({"mode": "direct", "registrar": {"litellmSecret": "ours", "imagePullSecrets": ["a", "b"]}})
    assert f"kubectl -n {NAMESPACE} create secret generic litellm-admin --from-literal=master=" in broker
    assert "kubectl -n NAMESPACE create secret generic ours --from-literal=url=" in direct
    assert re.findall(r"create secret docker-registry (\w+)", direct) == ["a", "b"]
    assert [re.findall(r"^  (\d)\. ", text, re.MULTILINE) for text in (broker, direct)] == [
        ["1", "2", "3", "4"],
        ["1", "2", "3", "4", "5"],
    ]


def test_who_has_switched_it_off_is_told_how_to_switch_it_on() -> None:
    """Nobody is asked to label what would not be injected."""
    text = notes(values(admission={"enabled": False}))
    assert (
        f"helm -n {NAMESPACE} upgrade {RELEASE} CHART --reset-then-reuse-values --set admission.enabled=true"
        in text
    )
    assert "kubectl" not in text

"""What the chart tells webhook and broker, held against what these take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import PurePosixPath

import pytest
import yaml

from tests.chart.rendering import JSON, MATRIX, matrix, of_kind, pod_templates, rendered, values
from tests.peers.helm import ROOT
from webhook import defaults
from webhook.broker import names_document
from webhook.broker.settings import Settings as BrokerSettings
from webhook.cli import _parser
from webhook.listing.settings import Settings as ListSettings
from webhook.policy import document
from webhook.policy.table import RULES
from webhook.settings import Settings

pytestmark = pytest.mark.cluster

ETC = PurePosixPath("/etc/litellm-registrar")
SETTINGS: dict[str, type[Settings | BrokerSettings]] = {"serve": Settings, "broker": BrokerSettings}


def processes(manifests: list[JSON]) -> Iterator[tuple[JSON, JSON]]:
    """Give each container of the Deployments, and the pod that it is in."""
    for template in pod_templates(of_kind(manifests, "Deployment")).values():
        for container in template["spec"]["containers"]:
            yield container, template["spec"]


def variables(container: JSON) -> dict[str, str]:
    """Give the variables that the chart writes out."""
    return {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}


def settings(container: JSON) -> Settings | BrokerSettings:
    """Read the settings as the process does, by its own parser."""
    given = _parser().parse_args(container["args"])
    return SETTINGS[container["args"][0]].read(vars(given), variables(container))


@pytest.mark.parametrize("name", MATRIX)
def test_the_processes_take_what_they_are_told(name: str) -> None:
    """No flag is unknown, lacks another one, or has a value that the process would refuse at its start."""
    for container, _ in processes(rendered(matrix(name))):
        told = settings(container)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"https": told.port, "health": told.health_port}


@pytest.mark.parametrize("name", MATRIX)
def test_every_file_that_a_flag_names_is_mounted(name: str) -> None:
    """The folder of each is a volume (a single file would not follow changes); ours have the file."""
    manifests = rendered(matrix(name))
    ours = {each["metadata"]["name"]: each["data"] for each in of_kind(manifests, "ConfigMap")}
    for container, pod in processes(manifests):
        mounts = {each["mountPath"]: each["name"] for each in container.get("volumeMounts", ())}
        volumes = {each["name"]: each for each in pod.get("volumes", ())}
        told = [arg.partition("=")[2] for arg in container["args"][1:]] + [*variables(container).values()]
        named = map(PurePosixPath, told)
        files = [path for path in named if ETC in path.parents]
        assert {str(file.parent) for file in files} == set(mounts)
        assert set(mounts.values()) == set(volumes)
        for file in files:
            source = volumes[mounts[str(file.parent)]].get("configMap", {})
            assert file.name in ours.get(source.get("name"), {file.name: ""})


def test_files_are_what_the_values_say() -> None:
    """Policy, defaults and names pass Helm unchanged, dates and large numbers too, and are good."""
    policy = yaml.safe_load((ROOT / "examples/policy.yaml").read_text())
    of_namespaces = yaml.safe_load((ROOT / "examples/webhook-defaults.yaml").read_text())
    of_namespaces["defaults"]["litellm-params"]["rpm"] = 20_000_000
    names = yaml.safe_load((ROOT / "examples/names.yaml").read_text())
    for exception in policy["spec"]["exceptions"]:
        exception["expires"] = str(exception["expires"])  # as JSON has it, in which the values are given here
    manifests = rendered(values(policy={"document": policy}, defaults=of_namespaces, broker={"names": names}))
    files = {key: text for each in of_kind(manifests, "ConfigMap") for key, text in each["data"].items()}
    assert {key: yaml.safe_load(text) for key, text in files.items()} == {
        "policy.yaml": policy,
        "defaults.yaml": of_namespaces,
        "names.yaml": names,
    }
    assert document.parse(files["policy.yaml"], RULES).exceptions
    assert defaults.parse(files["defaults.yaml"]).of("x").litellm_params == {
        "timeout": 600,
        "rpm": 20_000_000,
    }
    assert names_document.parse(files["names.yaml"]).of("team-a").shares("gpt-4o")


@pytest.mark.parametrize("name", MATRIX)
def test_a_list_in_the_brokers_container_needs_no_flag(name: str) -> None:
    """What `kubectl exec` has of the container (variables, no arguments) is all that `list` needs."""
    for container, _ in processes(rendered(matrix(name))):
        if container["name"] == "broker":
            broker = settings(container)
            alone = ListSettings.read({}, variables(container))
            assert all(getattr(alone, item.name) == getattr(broker, item.name) for item in fields(alone))


def test_quantities_may_be_numbers() -> None:
    """As in any manifest: 1 is a cpu, and bytes are not printed as a power of ten."""
    sizes = {"cpu": 1, "memory": 134_217_728}
    given = values(registrar={"resources": {"requests": sizes, "limits": sizes}})
    (told,) = (
        settings(container) for container, _ in processes(rendered(given)) if container["name"] == "webhook"
    )
    assert isinstance(told, Settings)
    assert (told.registrar_cpu_request, told.registrar_memory_limit) == ("1", "134217728")

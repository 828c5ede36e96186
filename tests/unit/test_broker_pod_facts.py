"""What rules ask of the caller's pod, from the pod as the API server gives it."""

import copy
from typing import Any

import pytest

from sidecar.contract import LABEL_CARRIED, LABEL_SERVER
from tests.injected import injected, running
from webhook.broker.pod_facts import pod_facts
from webhook.broker.shapes import Caller, PodFacts, RefusedError, Rule

CALLER = Caller("team", "qwen", "uid-1", "node-1")


def pod(*addresses: str, **annotations: Any) -> dict[str, Any]:
    """Give the pod as the webhook left it, running, with these IPs."""
    return running(injected("team", **annotations), *(addresses or ("10.0.0.5",)))


def facts(found: dict[str, Any] | None, caller: Caller = CALLER) -> PodFacts:
    """Give its facts."""
    return pod_facts(found, caller)


def container(found: dict[str, Any]) -> dict[str, Any]:
    """Give the registrar's container."""
    listed = [*found["spec"].get("initContainers", ()), *found["spec"]["containers"]]
    registrar: dict[str, Any] = next(each for each in listed if each["name"] == "registrar")
    return registrar


def say(found: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    """Give the registrar another variable, by hand."""
    env = container(found)["env"]
    env[:] = [entry for entry in env if entry["name"] != name]
    env.append({"name": name, "value": value})
    return found


def test_an_injected_pod_tells_all_that_rules_ask() -> None:
    """The address is made of its IP and of what was recorded at injection."""
    assert facts(pod()) == PodFacts(
        uid="uid-1",
        addresses=("10.0.0.5",),
        base_urls=frozenset({"http://10.0.0.5:8000"}),
        node="node-1",
        host_network=False,
        deleting=False,
        grace=None,
    )


def test_a_pod_of_two_families_has_two_addresses() -> None:
    """IPv6 stands in brackets."""
    assert facts(pod("10.0.0.5", "fd00::5", port=9000, path="/v9/")).base_urls == {
        "http://10.0.0.5:9000/v9",
        "http://[fd00::5]:9000/v9",
    }


def test_a_native_sidecar_is_found_as_well_as_a_container() -> None:
    """The webhook injects either."""
    native, plain = pod(), pod(inject_mode="container")
    assert native["spec"].keys() ^ plain["spec"].keys() == {"initContainers"}
    assert facts(native) == facts(plain)


def test_a_host_stands_beside_the_ips() -> None:
    """Whether it may be registered is for the names file to say."""
    found = facts(pod(host="llm.example.com", scheme="https"))
    assert (found.host, found.host_url) == ("llm.example.com", "https://llm.example.com:8000")
    assert found.base_urls == {"https://10.0.0.5:8000"}


def test_a_path_with_a_dollar_is_read_as_the_kubelet_gives_it() -> None:
    """The webhook doubles each `$` (kubelet's expansion)."""
    assert facts(pod(path="/a$(B)")).base_urls == {"http://10.0.0.5:8000/a$(B)"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRAR_SERVER_PORT", "$(EVIL)"),
        ("REGISTRAR_SERVER_PORT", "80@169.254.169.254"),
        ("REGISTRAR_SERVER_PORT", "0"),
        ("REGISTRAR_SERVER_PORT", None),
        ("REGISTRAR_SERVER_SCHEME", "file"),
        ("REGISTRAR_SERVER_SCHEME", "http://169.254.169.254/?"),
        ("REGISTRAR_SERVER_PATH", "@169.254.169.254/"),
        ("REGISTRAR_SERVER_PATH", "/a?b#c"),
        ("REGISTRAR_SERVER_HOST", "user@litellm:4000/"),
        ("REGISTRAR_SERVER_HOST", "litellm:4000"),
    ],
)
def test_what_the_webhook_never_writes_gives_no_address(name: str, value: object) -> None:
    """A container written by hand cannot make a URL that leads elsewhere."""
    found = facts(say(pod(), name, value))
    assert (found.base_urls, found.host_url) == (frozenset(), None)


@pytest.mark.parametrize(
    "ips",
    [
        {"podIPs": [{"ip": "litellm"}, {"ip": "10.0.0.5/8"}, {"ip": 7}, "10.0.0.6", {}]},
        {"podIPs": None, "podIP": None},
        {},
    ],
)
def test_what_is_no_ip_is_none(ips: dict[str, Any]) -> None:
    """A pod that has no IP yet has no address."""
    found = pod()
    found["status"] = {"phase": "Pending", **ips}
    assert (facts(found).addresses, facts(found).base_urls) == ((), frozenset())


def test_the_single_ip_counts_where_the_list_is_missing() -> None:
    """Both are in the status; the list is the newer."""
    found = pod()
    found["status"] = {"phase": "Running", "podIP": "10.0.0.7"}
    assert facts(found).addresses == ("10.0.0.7",)


@pytest.mark.parametrize(
    "nodes", [{"hostIP": "10.0.0.5"}, {"hostIPs": [{"ip": "10.0.0.5"}, {"ip": "fd00::1"}]}]
)
def test_the_nodes_address_is_the_nodes(nodes: dict[str, Any]) -> None:
    """Also where the spec does not say hostNetwork."""
    found = pod()
    found["status"] |= nodes
    assert facts(found).host_network


def test_host_network_is_told() -> None:
    """The pod's IP is the node's then."""
    found = pod()
    found["spec"]["hostNetwork"] = True
    assert facts(found).host_network


def test_a_pod_that_is_being_deleted_tells_its_grace() -> None:
    """In whole seconds, as the API server has it."""
    found = pod()
    found["metadata"] |= {"deletionTimestamp": "2026-11-21T12:00:00Z", "deletionGracePeriodSeconds": 10}
    assert (facts(found).deleting, facts(found).grace, facts(found).gone) == (True, 10, False)


@pytest.mark.parametrize("grace", [None, "10", True, 1.5])
def test_a_grace_that_is_none_is_unknown(grace: object) -> None:
    """Never guessed."""
    found = pod()
    found["metadata"] |= {"deletionTimestamp": "2026-11-21T12:00:00Z", "deletionGracePeriodSeconds": grace}
    assert facts(found).grace is None


def gone_pods() -> list[Any]:
    """Give a pod that is not there, another one of its name, and two whose containers have ended."""
    again, succeeded, failed = pod(), pod(), pod()
    again["metadata"]["uid"] = "uid-2"
    succeeded["status"]["phase"] = "Succeeded"
    failed["status"]["phase"] = "Failed"
    return [None, again, succeeded, failed]


@pytest.mark.parametrize("found", gone_pods(), ids=["absent", "another", "succeeded", "failed"])
def test_of_a_pod_that_is_gone_no_address_is_left(found: dict[str, Any] | None) -> None:
    """Its IPs may be another pod's by now."""
    seen = facts(found)
    assert (seen.gone, seen.deleting, seen.addresses, seen.base_urls) == (True, True, (), frozenset())
    assert seen.node == "node-1"


def test_the_node_of_the_review_counts_else_the_pods() -> None:
    """An API server before 1.30 does not tell it in a review."""
    assert facts(pod(), Caller("team", "qwen", "uid-1")).node == "node-1"
    assert facts(pod(), Caller("team", "qwen", "uid-1", "node-2")).node == "node-2"


@pytest.mark.parametrize(
    ("labels", "labelled"),
    [({LABEL_SERVER: "vllm"}, True), ({LABEL_CARRIED: "vllm"}, True), ({"app": "x"}, False), (None, False)],
)
def test_the_label_may_be_its_own_or_carried(labels: dict[str, str] | None, labelled: bool) -> None:  # noqa: FBT001
    """A label on the workload comes to the pod under another key."""
    found = pod()
    found["metadata"]["labels"] = labels
    assert facts(found).labelled is labelled


def bare_pods() -> list[Any]:
    """Give pods without a registrar of ours."""
    without, renamed, foreign = pod(), pod(), pod()
    without["spec"].pop("initContainers")
    container(renamed)["name"] = "registrar-2"
    container(foreign)["env"] = [{"name": "REGISTRAR_SERVER_PORT", "value": "8000"}]
    empty = copy.deepcopy(without)
    empty["spec"] = None
    return [without, renamed, foreign, empty]


@pytest.mark.parametrize("found", bare_pods(), ids=["none", "renamed", "foreign", "no spec"])
def test_a_pod_without_a_registrar_is_refused(found: dict[str, Any]) -> None:
    """Any pod may ask for a token of our audience; only injected ones have something to register."""
    with pytest.raises(RefusedError) as caught:
        facts(found)
    assert caught.value.rule is Rule.POD_NOT_INJECTED

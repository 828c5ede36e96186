"""The examples that nothing else reads: that they are good, and say what the README says of them."""

from pathlib import Path
from typing import Any

import yaml

from webhook.broker.names_document import parse

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example_of_a_names_file() -> None:
    """Everyone has names behind the own namespace's; one team shares a name of others, hosts and a team."""
    names = parse((EXAMPLES / "names.yaml").read_text())
    anyone, team = names.of("team-b"), names.of("team-a")
    assert [anyone.allows(name) for name in ("team-b/qwen", "team-a/qwen", "gpt-4o")] == [True, False, False]
    assert [team.allows(name) for name in ("team-a/qwen", "qwen-7b", "gpt-4o")] == [True, True, True]
    assert [team.shares(name) for name in ("qwen-7b", "gpt-4o")] == [False, True]
    assert (sorted(team.hosts), sorted(team.teams)) == (["llm.team-a.example"], ["team-a"])
    assert [names.of(namespace).host_network for namespace in ("team-a", "rdma-1")] == [False, True]


def rights(role: str) -> list[tuple[str, str]]:
    """Give each verb on each kind that a Role or ClusterRole of the example grants, without names."""
    documents: list[dict[str, Any]] = list(yaml.safe_load_all((EXAMPLES / "rbac.yaml").read_text()))
    return [
        (resource, verb)
        for document in documents
        if document["kind"] in {"Role", "ClusterRole"} and document["metadata"]["name"] == role
        for rule in document["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def test_nobody_may_read_more_than_is_named() -> None:
    """No right holds for all kinds or verbs; the webhook changes no pod, the broker sees no configuration."""
    webhook, broker = rights("litellm-registrar-webhook"), rights("litellm-registrar-broker")
    assert webhook
    assert not {"*"} & {word for right in (*webhook, *broker) for word in right}
    assert {verb for kind, verb in webhook if kind == "pods"} == {"list", "watch"}
    assert "tokenreviews" not in {kind for kind, _ in webhook}
    assert not {kind for kind, _ in broker} & {
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    }
    assert ("secrets", "list") not in (*webhook, *broker)

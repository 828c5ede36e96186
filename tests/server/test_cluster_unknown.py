"""A webhook that is to ask a cluster which does not answer."""

import json
from pathlib import Path

import pytest

from tests.server.reviews import dump, patched, pod, review
from tests.server.running import Serving

AWAY = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {}}],
    "current-context": "c",
}


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """Give a kubeconfig of an API server that nobody can reach."""
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(AWAY))
    return str(path)


async def test_without_its_id_the_cluster_gets_no_registrars(serving: Serving, kubeconfig: str) -> None:
    """It is not ready, says why, and lets pods start with a warning of the same name."""
    async with serving(cluster_id="", kubeconfig=kubeconfig) as running:
        answer = await running.health.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "cluster_unknown\n")
        reviewed = await running.post("/mutate", dump(review(pod())))
        response = reviewed.json()["response"]
        assert (response["allowed"], "patch" in response) == (True, False)
        assert response["warnings"][0].startswith("cluster_unknown: ")


async def test_before_the_nodes_are_known_it_is_not_ready(serving: Serving, kubeconfig: str) -> None:
    """A pod that comes all the same gets what runs everywhere: an ordinary container."""
    async with serving(inject_mode="auto", kubeconfig=kubeconfig) as running:
        answer = await running.health.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "kubelets_unknown\n")
        reviewed = await running.post("/mutate", dump(review(made := pod())))
        spec = patched(made, reviewed.json()["response"])["spec"]
        assert [container["name"] for container in spec["containers"]][-1] == "registrar"


async def test_with_everything_said_nothing_is_asked(serving: Serving) -> None:
    """With files, an id and a mode it is ready without a Kubernetes API."""
    async with serving() as running:
        assert (await running.health.get("/readyz")).status_code == 200

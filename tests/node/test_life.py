"""A server's life on a real node: labelled, routable, restarted by its kubelet, completed."""

import json

import httpx
import pytest

from sidecar.contract import CONTAINER_NAME, ENV_LITELLM_KEY, ENV_TOKEN_FILE
from tests.keys import brought
from tests.node import kubelet_log
from tests.node.checks import check_log
from tests.node.manifests import ILL, LABEL, OLLAMA, OPENAI, UNTIL_ILL, container, deployment, job, ollama
from tests.node.world import World
from tests.peers.cluster import wait_until

pytestmark = [pytest.mark.node, pytest.mark.timeout(1200)]

# What answers chat of the models in the image of Ollama; a registrar calls them as the server does.
TINY = "tiny:latest"


def test_labelling_a_deployment_makes_its_models_routable(world: World) -> None:
    """Its pods roll once; each has a row with its address and name; every replica answers, streamed or not.

    The pods have a token instead of LiteLLM's key.
    """
    world.cluster.create(deployment(world.namespace, container(alias="labelled"), replicas=2))
    world.kubectl("rollout", "status", "deployment", "server", "--timeout=240s")
    world.kubectl("label", "deployment", "server", LABEL)
    world.kubectl("rollout", "status", "deployment", "server", "--timeout=240s")
    names = world.ready_pods(2)

    rows = world.until_rows("labelled", 2)
    pods = {pod["metadata"]["name"]: pod for pod in world.pods()}
    for row in rows:
        owner = row["model_info"]["registrar"]
        pod = pods.pop(owner["pod"])
        assert row["litellm_params"]["api_base"] == f"http://{pod['status']['podIP']}:8080/v1"
        told = {"pod_uid": pod["metadata"]["uid"], "node": pod["spec"]["nodeName"]}
        assert {key: owner[key] for key in told} == told
        assert brought({}, pod) == []
    world.chat_everywhere("labelled")
    world.chat_everywhere("labelled", stream=True)

    assert world.cluster.list("secrets", world.namespace) == []
    for name in names:
        environment = world.kubectl("exec", name, "-c", CONTAINER_NAME, "--", "env")
        assert f"{ENV_TOKEN_FILE}=" in environment
        manifest = json.dumps(world.cluster.get("pod", name, world.namespace))
        assert not [key for key in (world.proxy.key, ENV_LITELLM_KEY) if key in environment + manifest]
        check_log(world.registrars.log(name), (world.proxy.key,))


def test_an_ollama_pod_is_registered_with_every_model(world: World) -> None:
    """Each of the models it has is routable by its name; its registrar told them apart by itself."""
    world.cluster.create(deployment(world.namespace, ollama(), labels=OLLAMA, propagation="3"))
    (pod,) = world.ready_pods(1)
    (row,) = world.until_rows(TINY, 1)
    address = next(one["status"]["podIP"] for one in world.pods())
    assert httpx.URL(row["litellm_params"]["api_base"]).host == address
    served = httpx.get(f"http://{address}:11434/v1/models", trust_env=False, timeout=30).json()["data"]
    for model in served:
        world.until_rows(model["id"], 1)
    modes = {row["model_name"]: row["model_info"]["mode"] for row in world.proxy.rows()}
    assert (modes[TINY], modes["tiny-embed:latest"]) == ("chat", "embedding")
    world.chat_everywhere(TINY)
    world.kubectl("delete", "deployment", "server")
    world.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=240s")
    assert [row for model in served for row in world.rows(model["id"])] == []
    check_log(world.registrars.whole_log(pod), (world.proxy.key,))


def test_a_restart_of_the_server_is_told_from_the_pods_end(world: World) -> None:
    """A server that fails its liveness probe is drained and restarted; its one row comes back, for good."""
    server = {**container(alias="restarted"), "livenessProbe": UNTIL_ILL}
    world.cluster.create(deployment(world.namespace, server, labels=OPENAI, propagation="3"))
    (pod,) = world.ready_pods(1)
    (before,) = world.until_rows("restarted", 1)

    world.kubectl("exec", pod, "-c", "server", "--", "touch", ILL)
    world.until_rows("restarted", 0)
    (after,) = world.until_rows("restarted", 1, seconds=180)
    assert after["model_info"]["id"] == before["model_info"]["id"]
    wait_until("routable again", 60, lambda: world.proxy.chat("restarted").status_code == 200)
    assert [p["metadata"]["name"] for p in world.pods()] == [pod]
    wait_until("count of the restart", 60, lambda: world.status(pod, "server")["restartCount"] == 1)
    assert world.status(pod, "registrar")["restartCount"] == 0
    steps = world.ending(pod)
    assert kubelet_log.when(steps, "server", "hook ends") <= kubelet_log.when(steps, "server", "SIGTERM")
    log = world.registrars.log(pod)
    assert "The pod is not being deleted: a container restarts" in log
    assert "The pod is being deleted" not in log
    assert "waited=-" not in log
    check_log(log, (world.proxy.key,))


def test_hung_server_is_not_held(world: World) -> None:
    """A server that hangs is taken out at once, killed by the kubelet, routable again after its restart."""
    server = container(alias="hung")
    server["livenessProbe"] = {
        "httpGet": {"path": "/health", "port": 8080},
        "periodSeconds": 1,
        "timeoutSeconds": 5,  # a busy machine is not a hung server
        "failureThreshold": 2,
        "terminationGracePeriodSeconds": 15,
    }
    world.cluster.create(deployment(world.namespace, server, labels=OPENAI))
    (pod,) = world.ready_pods(1)
    (before,) = world.until_rows("hung", 1)

    world.signal(pod, "server", "STOP")
    world.until_rows("hung", 0)
    (after,) = world.until_rows("hung", 1, seconds=180)
    assert after["model_info"]["id"] == before["model_info"]["id"]
    wait_until("routable again", 60, lambda: world.proxy.chat("hung").status_code == 200)
    check_log(world.registrars.log(pod), (world.proxy.key,))


def test_registrar_killed_takes_its_row_over(world: World) -> None:
    """A registrar that is killed is started again beside its running server, and keeps its one row."""
    world.cluster.create(deployment(world.namespace, container(alias="taken-over"), labels=OPENAI))
    (pod,) = world.ready_pods(1)
    before = world.until_rows("taken-over", 1)
    world.signal(pod, "registrar", "KILL")
    restarted, says = "restarted registrar", ("logs", pod, "-c", "registrar", "-n", world.namespace)
    wait_until(restarted, 90, lambda: world.status(pod, "registrar")["restartCount"] == 1)
    wait_until(
        f"{restarted} that serves",
        90,
        lambda: "SERVING" in world.cluster.kubectl(*says, check=False).out,
    )
    assert world.rows("taken-over") == before
    assert world.status(pod, "server")["restartCount"] == 0
    world.chat_everywhere("taken-over")


def test_job_with_a_registrar_completes(world: World) -> None:
    """A Job whose server ends by itself completes although it has a registrar, and leaves no row."""
    world.cluster.create(job(world.namespace, container(alias="in-a-job"), OPENAI))
    (pod,) = world.ready_pods(1)
    world.until_rows("in-a-job", 1)
    world.signal(pod, "server", "TERM")  # of which nobody tells the kubelet
    world.kubectl("wait", "--for=condition=Complete", "job/server", "--timeout=240s")
    assert world.rows("in-a-job") == []
    check_log(world.registrars.whole_log(pod), (world.proxy.key,))

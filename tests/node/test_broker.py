"""What a pod has to show the broker and to know it by: the kubelet's token, the CA of its injection."""

import base64
import json
import time

import pytest

from sidecar.broker_contract import DEFAULT_AUDIENCE, TOKEN_FILE, TOKEN_MOUNT
from sidecar.contract import CONTAINER_NAME, ENV_LITELLM_CA
from tests.node.checks import SLOW, check_ending, problems
from tests.node.manifests import OPENAI, container, deployment, pod
from tests.node.release import BROKER
from tests.node.world import World
from tests.peers.cluster import JSON, wait_until
from tests.peers.webhook import change_ca

pytestmark = [pytest.mark.node, pytest.mark.timeout(1200)]

# Run in the registrar's container, by its user: whose file it is, its mode, and what is in it.
LOOK = (
    "import os, sys; path = sys.argv[1]; found = os.stat(path); "
    "print(found.st_uid, found.st_gid, oct(found.st_mode & 0o777), os.getuid(), open(path).read())"
)
# A security context of the pod; whose file its kubelet makes of the token, and its mode (webhook/access.py).
CONTEXTS: dict[str, tuple[JSON, tuple[str, str, str]]] = {
    "anyone": ({}, ("0", "0", "0o644")),
    "with-a-group": ({"fsGroup": 2000}, ("0", "2000", "0o640")),
    "one-user": ({"runAsUser": 65534, "runAsGroup": 65534}, ("65534", "0", "0o600")),
    "one-user-with-a-group": ({"runAsUser": 65534, "fsGroup": 2000}, ("65534", "2000", "0o640")),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_registrar_can_read_its_token(world: World, name: str) -> None:
    """Whatever security context the pod has, user 65534 reads a token of that pod for the broker alone."""
    security, expected = CONTEXTS[name]
    made = pod(world.namespace, name, container(alias=name), OPENAI, propagation="0")
    made["spec"] |= {"securityContext": security, "automountServiceAccountToken": False}
    world.cluster.create(made)
    world.until_rows(name, 1, seconds=180)
    command = ("exec", name, "-c", CONTAINER_NAME, "--", "python", "-c", LOOK, f"{TOKEN_MOUNT}/{TOKEN_FILE}")
    *found, user, token = world.kubectl(*command).split()
    assert (tuple(found), user) == (expected, "65534")
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["aud"] == [DEFAULT_AUDIENCE]
    assert claims["kubernetes.io"]["pod"]["name"] == name


def variables(found: JSON) -> dict[str, str]:
    """Read the literal variables of a pod's registrar."""
    (ours,) = (one for one in found["spec"]["initContainers"] if one["name"] == CONTAINER_NAME)
    return {one["name"]: one["value"] for one in ours["env"] if "value" in one}


def test_a_pod_that_was_made_two_ca_changes_ago_still_drains(world: World) -> None:
    """It trusts nothing but the broker's first CA, and its successor what the webhook knows by then."""
    world.cluster.create(
        deployment(world.namespace, container(alias="elder"), labels=OPENAI, propagation="3")
    )
    (elder,) = world.ready_pods(1)
    world.until_rows("elder", 1)
    given = variables(world.cluster.get("pod", elder, world.namespace))[ENV_LITELLM_CA]
    release, secret = world.release, f"{world.release.object(BROKER)}-tls"

    def ca() -> str:
        data = world.cluster.get("secret", secret, release.name)["data"]
        return base64.b64decode(data["ca.crt"]).decode()

    assert given.strip() == ca().strip()
    for _ in range(2):
        before = ca()
        change_ca(world.cluster.work / "kubeconfig", release.name, secret)
        wait_until("leaf by the next CA", 120, lambda before=before: ca() != before, every=0.5)  # type: ignore[misc]
    release.kubectl(
        "rollout", "restart", "deployment", release.object(BROKER)
    )  # all connections are made anew
    release.kubectl("rollout", "status", "deployment", release.object(BROKER), "--timeout=300s")
    deleted = time.time()
    world.kubectl("delete", "pod", elder)
    check_ending(world.ending(elder, since=deleted), at_least=3)
    log = world.registrars.whole_log(elder)
    assert problems(log) <= {"broker_unreachable"} | SLOW
    assert "The pod is being deleted" in log

    (successor,) = world.ready_pods(1)
    (row,) = world.until_rows("elder", 1)
    assert row["model_info"]["registrar"]["pod"] == successor
    bundle = variables(world.cluster.get("pod", successor, world.namespace))[ENV_LITELLM_CA]
    assert bundle.count("BEGIN CERTIFICATE") == 3

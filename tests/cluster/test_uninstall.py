"""What an uninstall says, what it leaves behind, and what is left with `cleanupOnUninstall`: nothing."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.row_contract import row_id
from tests.cluster.creating import create
from tests.cluster.release import BROKER, FULLNAME, WEBHOOK, Release
from tests.peers.admitted import has_registrar
from tests.peers.cluster import Cluster, wait_until
from tests.peers.helm import NAMESPACE, SECRET, Helm
from tests.peers.proxy import LiteLLM
from webhook.kube.api import Api

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

# The rows of the test are of a pod that never was: on a busy machine the reaper would have them first.
CLEAN_UP = {"cleanupOnUninstall": True, "reaper": {"mode": "off"}}
# What was in the namespace before the release: the key, and what every namespace has.
FOREIGN = {f"secret/{SECRET}", "configmap/kube-root-ca.crt", "serviceaccount/default"}
KEPT = {
    f"secret/{WEBHOOK}-tls",
    f"secret/{BROKER}-tls",
    f"configmap/{BROKER}-ca",
    f"lease.coordination.k8s.io/{WEBHOOK}",
    f"lease.coordination.k8s.io/{WEBHOOK}-tls",
    f"lease.coordination.k8s.io/{BROKER}",
    f"lease.coordination.k8s.io/{BROKER}-tls",
}


def in_namespace(cluster: Cluster) -> set[str]:
    """Name all that is in the release's namespace once its pods have ended, of every kind but Events."""
    cluster.kubectl("wait", "--for=delete", "pod", "--all", "-n", NAMESPACE, "--timeout=180s")
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").out.split()
    asked = ",".join(kind for kind in kinds if not kind.startswith("events"))
    return set(cluster.kubectl("get", asked, "-n", NAMESPACE, "-o", "name").out.split())


def outside(cluster: Cluster) -> set[str]:
    """Name all that is called after the release and is in no namespace, or in one where tests were run."""
    kinds = cluster.kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").out.split()
    found = cluster.kubectl("get", ",".join(kinds), "-o", "name").out.split()
    found += cluster.kubectl("get", "roles,rolebindings", "-n", "default", "-o", "name").out.split()
    return {name for name in found if FULLNAME in name}


def until_left(cluster: Cluster, wanted: set[str]) -> None:
    """Wait until this and nothing else is left of a release: what has an owner goes a moment after that."""
    found: set[str] = set()

    def is_left() -> bool:
        found.clear()
        found.update(in_namespace(cluster), outside(cluster))
        return found == wanted

    try:
        wait_until("end of all else", 60, is_left, every=1)
    except AssertionError as error:
        error.add_note(f"too much: {found - wanted}; too little: {wanted - found}")
        raise


def has_injected_pods(cluster: Cluster) -> bool:
    """Tell whether pods with a registrar live on from other tests, whose namespaces go by and by."""
    return any(
        map(has_registrar, json.loads(cluster.kubectl("get", "pods", "-A", "-o", "json").out)["items"])
    )


async def test_what_stays_is_what_is_said(
    helm: Helm, release: Callable[..., Release], busy: str, admin: Api, cluster: Cluster
) -> None:
    """It says how many injected pods live on; certificates and Leases stay, and serve a new install."""
    wait_until("end of other tests' pods", 300, lambda: not has_injected_pods(cluster), every=1)
    ours = release(helm=helm)
    ours.install()
    ours.until_injecting()
    for _ in range(3):
        assert has_registrar(await create(admin, busy, labelled=True))
    await create(admin, busy, labelled=False)
    trusted = cluster.get("configmap", f"{BROKER}-ca", NAMESPACE)["data"]
    said = ours.uninstall()
    assert f"3 injected pods live on in 1 namespace ({busy}: 3)" in said.out + said.err
    until_left(cluster, FOREIGN | KEPT)

    ours.install()
    ours.until_injecting()
    assert cluster.get("configmap", f"{BROKER}-ca", NAMESPACE)["data"] == trusted
    assert has_registrar(await create(admin, busy, labelled=True))


async def test_without_its_hook_an_uninstall_leaves_no_configuration(
    helm: Helm, release: Callable[..., Release], cluster: Cluster
) -> None:
    """`--no-hooks` removes the webhook configurations as well, only later."""
    ours = release(helm=helm)
    ours.install()
    helm.uninstall(flags=("--wait", "--no-hooks"))
    assert ours.configurations() == []
    wait_until("end of all outside of the namespace", 60, lambda: not outside(cluster), every=1)


def row(cluster_id: str, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give a row as a registrar of that cluster has written it: its parameters, and its information."""
    uid = "0f0e0d0c-0b0a-0908-0706-050403020100"
    owner = {"cluster": cluster_id, "namespace": "shop", "pod": "qwen", "pod_uid": uid, "model": model}
    params = {"model": f"hosted_vllm/{model}", "api_base": "http://192.0.2.7:8000/v1", "api_key": "none"}
    return params, {"id": row_id(cluster_id, "shop", uid, model), "mode": "chat", "registrar": owner}


async def test_clean_up_leaves_nothing_of_this_cluster_and_all_of_others(
    release: Callable[..., Release], cluster: Cluster, proxy: LiteLLM
) -> None:
    """Rows of this cluster go from LiteLLM, and what the processes made from the namespace, nothing else."""
    uid = cluster.get("namespace", "kube-system")["metadata"]["uid"]
    own = {proxy.create(name, *row(uid, name)) for name in ("ours", "ours-too")}
    foreign = {
        proxy.create("of-another-cluster", *row("another", "of-another-cluster")),
        proxy.create("made-by-hand", {"model": "openai/x", "api_key": "none"}, {}),
        # one that calls itself ours, by an id that no registrar has given
        proxy.create("copied", row(uid, "copied")[0], {"registrar": row(uid, "copied")[1]["registrar"]}),
    }
    before = proxy.stored()
    ours = release(CLEAN_UP)
    await asyncio.to_thread(ours.install)
    said = await asyncio.to_thread(ours.uninstall)
    after = proxy.stored()
    gone = before.keys() - after.keys()
    # other tests' pods of this cluster may have left a row
    assert own <= gone == {key for key in before if key.startswith("registrar-") and key not in foreign}
    assert f"Rows of cluster {uid} removed from LiteLLM: {len(gone)}." in said.out + said.err
    assert {key: after[key] for key in foreign} == {key: before[key] for key in foreign}
    until_left(cluster, FOREIGN)

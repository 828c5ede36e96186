"""What values switch: the off switch, direct mode, a certificate that is given; what `helm test` finds."""

import base64
from collections.abc import Callable

import pytest

from sidecar.contract import CONTAINER_NAME, ENV_LITELLM_KEY, ENV_TOKEN_FILE
from tests.cluster.creating import create
from tests.cluster.release import ADMISSION, BROKER, CONFIGURATIONS, WEBHOOK, Release
from tests.peers.admitted import has_registrar
from tests.peers.cluster import JSON, Cluster
from tests.peers.helm import NAMESPACE, Helm
from webhook.kube.api import Api

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

OFF: JSON = {"admission": {"enabled": False}}
DIRECT: JSON = {"mode": "direct", "litellm": {"url": "", "existingSecret": ""}}
GIVEN: JSON = {"certificates": {"source": "secret", "existingSecret": "given"}}
UNPULLABLE: JSON = {"registrar": {"image": {"repository": "registry.invalid/sidecar"}}}


def variables(pod: JSON) -> set[str]:
    """Name the variables of a pod's registrar."""
    (ours,) = (one for one in pod["spec"]["initContainers"] if one["name"] == CONTAINER_NAME)
    return {one["name"] for one in ours["env"]}


async def test_the_off_switch(release: Callable[..., Release], busy: str, admin: Api) -> None:
    """Off, no webhook is called, and pods that have their registrar keep it; on again, all is as before."""
    ours = release()
    ours.install()
    ours.until_injecting()
    before = await create(admin, busy, labelled=True)
    ours.upgrade(OFF)
    assert ours.configurations() == []
    ours.until_not_injecting()
    assert not has_registrar(await create(admin, busy, labelled=True))
    path = f"/api/v1/namespaces/{busy}/pods/{before['metadata']['name']}"
    assert (await admin.get(path))["spec"]["initContainers"] == before["spec"]["initContainers"]
    ours.upgrade()
    ours.until_injecting()
    assert has_registrar(await create(admin, busy, labelled=True))


async def test_direct_mode_has_no_broker(
    release: Callable[..., Release], busy: str, admin: Api, cluster: Cluster
) -> None:
    """Registrars get the key of their namespace's Secret and no token; nothing of the broker is installed."""
    ours = release(DIRECT)
    ours.install()
    ours.until_injecting()
    found = variables(await create(admin, busy, labelled=True))
    assert ENV_LITELLM_KEY in found
    assert ENV_TOKEN_FILE not in found
    assert BROKER not in cluster.kubectl("get", "all,sa,secret,cm,lease", "-n", NAMESPACE, "-o", "name").out


async def test_a_certificate_that_is_given(
    release: Callable[..., Release], busy: str, admin: Api, cluster: Cluster
) -> None:
    """With a Secret and caBundle of one's own the webhook is called, and writes neither, nor does Helm."""
    cert, key, ca = cluster.certificate("given", f"DNS:{WEBHOOK}.{NAMESPACE}.svc")
    cluster.kubectl("create", "secret", "tls", "given", f"--cert={cert}", f"--key={key}", "-n", NAMESPACE)
    ours = release(GIVEN)
    ours.install()
    bundle = base64.b64encode(ca.read_bytes()).decode()
    for kind, found in zip(CONFIGURATIONS, ours.configurations(), strict=True):
        ops = [
            f'{{"op":"add","path":"/webhooks/{number}/clientConfig/caBundle","value":"{bundle}"}}'
            for number in range(len(found["webhooks"]))
        ]
        cluster.kubectl("patch", kind, ADMISSION, "--type=json", "-p", f"[{','.join(ops)}]")
    ours.until_injecting()
    assert has_registrar(await create(admin, busy, labelled=True))
    ours.upgrade({"webhook": {"logFormat": "json"}})
    ours.until_injecting()
    assert has_registrar(await create(admin, busy, labelled=True))
    names = cluster.kubectl("get", "secrets", "-n", NAMESPACE, "-o", "name").out
    assert f"secret/{WEBHOOK}-tls" not in names


def test_helm_test_finds_what_is_wrong(helm: Helm, release: Callable[..., Release]) -> None:
    """It passes after an install, not where the registrar's image cannot be pulled or nothing is injected."""
    ours = release(helm=helm)
    ours.install()
    said = helm.test()
    assert "gets its registrar, litellm-registrar/sidecar:test" in said.out + said.err
    ours.upgrade(UNPULLABLE)
    answer = helm.test(check=False)
    assert answer.code != 0
    assert "test-image" in answer.out + answer.err
    ours.upgrade(OFF)
    ours.until_not_injecting()
    answer = helm.test(check=False)
    assert answer.code != 0
    assert "comes back without a registrar" in answer.out + answer.err

"""The Kubernetes API, asked as a process asks that lives in it."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from tests.certificates import make_ca
from tests.peers.broker import NAMESPACE
from tests.peers.cluster import Cluster
from tests.real.kube.conftest import Connections
from webhook.kube import api as module
from webhook.kube.api import Api, ApiError

pytestmark = pytest.mark.kube

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
BROKER = f"system:serviceaccount:{NAMESPACE}:litellm-registrar-broker"


def review(token: str) -> dict[str, object]:
    """Ask whose token this is."""
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}


class InPod:
    """A pod's environment: the API server's address, and the files that the kubelet mounts."""

    def __init__(self, cluster: Cluster, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.token, self.ca = folder / "token", folder / "ca.crt"
        self.good_ca = (cluster.work / "pki" / "ca.crt").read_bytes()
        self.ca.write_bytes(self.good_ca)
        host, _, port = (cluster.work / "server").read_text().strip().removeprefix("https://").rpartition(":")
        patch.setenv("KUBERNETES_SERVICE_HOST", host)
        patch.setenv("KUBERNETES_SERVICE_PORT", port)
        patch.setattr(module, "_TOKEN", str(self.token))
        patch.setattr(module, "_CA", str(self.ca))


@pytest.fixture
def pod(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InPod:
    """Pretend to be in a pod."""
    return InPod(cluster, tmp_path, monkeypatch)


async def test_a_pod_asks_as_its_service_account(connections: Connections, pod: InPod) -> None:
    """Inside a pod nothing needs to be configured, and the rights are those of its ServiceAccount."""
    pod.token.write_text(connections.token("litellm-registrar-broker"))
    api = await Api.connect()
    try:
        answer = await api.create(REVIEWS, review(pod.token.read_text()))
        assert answer["status"]["user"]["username"] == BROKER
        with pytest.raises(ApiError) as refused:
            await api.list("/api/v1/secrets")
        assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    finally:
        await api.close()


async def test_a_token_that_the_api_server_refuses_is_read_anew_at_once(
    connections: Connections, pod: InPod
) -> None:
    """Nobody waits for the next minute when the token of the file is good again."""
    good = connections.token("litellm-registrar-broker")
    pod.token.write_text(good[:-8] + "AAAAAAAA")
    api = await Api.connect()
    try:
        with pytest.raises(ApiError) as refused:
            await api.create(REVIEWS, review("x"))
        assert refused.value.status == 401
        pod.token.write_text(good)
        api._renewed = -100.0  # as if that had been some seconds ago
        assert (await api.create(REVIEWS, review(good)))["status"]["authenticated"]
    finally:
        await api.close()


async def test_a_new_ca_of_the_api_server_is_read_anew_at_once(connections: Connections, pod: InPod) -> None:
    """When the cluster's CA has changed no process needs a restart; an unknown one is never believed."""
    pod.token.write_text(connections.token("litellm-registrar-broker"))
    pod.ca.write_bytes(make_ca().certificate)
    api = await Api.connect()
    try:
        with pytest.raises(ApiError) as refused:
            await api.create(REVIEWS, review("x"))
        assert (refused.value.status, refused.value.reason) == (0, "Unreachable")
        pod.ca.write_bytes(pod.good_ca)
        api._renewed = -100.0  # as if that had been some seconds ago
        await api.create(REVIEWS, review("x"))
    finally:
        await api.close()


async def test_each_verb_does_what_it_says(connections: Connections, namespace: str) -> None:
    """Objects are made, read, replaced, patched, merged and deleted as raw JSON."""
    api = await connections.admin()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    one = await api.create(path, {"metadata": {"name": "one"}, "data": {"a": "1"}})
    assert (await api.get(f"{path}/one"))["data"] == {"a": "1"}
    one = await api.replace(f"{path}/one", {**one, "data": {"a": "2"}})
    ops = [
        {"op": "test", "path": "/data/a", "value": "2"},
        {"op": "add", "path": "/data/b", "value": "3"},
    ]
    assert (await api.patch(f"{path}/one", ops))["data"] == {"a": "2", "b": "3"}
    assert (await api.merge(f"{path}/one", {"data": {"a": None}}))["data"] == {"b": "3"}
    await api.delete(f"{path}/one")
    with pytest.raises(ApiError) as gone:
        await api.get(f"{path}/one")
    assert (gone.value.status, gone.value.reason) == (404, "NotFound")


async def test_refusals_carry_the_reason_that_kubernetes_gives(
    connections: Connections, namespace: str
) -> None:
    """A conflict, a name that is taken and a patch that does not apply can be told apart."""
    api = await connections.admin()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    one = await api.create(path, {"metadata": {"name": "one"}})
    await api.merge(f"{path}/one", {"data": {"a": "1"}})
    refused = []
    for call in (
        api.create(path, {"metadata": {"name": "one"}}),
        api.replace(f"{path}/one", one),
        api.patch(f"{path}/one", [{"op": "test", "path": "/data/a", "value": "2"}]),
        api.get("/apis/nowhere/v1/things"),
        api.create(path, {"metadata": {"name": "Not A Name"}}),
    ):
        with pytest.raises(ApiError) as error:
            await call
        refused.append((error.value.status, error.value.reason))
    assert refused == [
        (409, "AlreadyExists"),
        (409, "Conflict"),
        (422, "Invalid"),
        (404, "Not Found"),
        (422, "Invalid"),
    ]


async def test_a_long_list_is_read_whole(connections: Connections, namespace: str) -> None:
    """More objects than fit on a page are all given, and only those that are selected."""
    api = await connections.admin()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    # a call that waits for its turn among all of them would be late
    at_once = asyncio.Semaphore(20)

    async def make(number: int) -> None:
        labels = {"half": str(number % 2)}
        async with at_once:
            await api.create(path, {"metadata": {"name": f"c{number}", "labels": labels}})

    await asyncio.gather(*(make(number) for number in range(1100)))
    names = {one["metadata"]["name"] for one in await api.list(path, "half=1")}
    assert names == {f"c{number}" for number in range(1, 1100, 2)}


async def test_a_watch_gives_what_is_there_and_each_change(connections: Connections, namespace: str) -> None:
    """What is there comes first, then its changes and its end, until the API server ends the watch."""
    api = await connections.admin()
    path = f"/api/v1/namespaces/{namespace}/secrets"
    await api.create(path, {"metadata": {"name": "other"}})
    await api.create(path, {"metadata": {"name": "one"}})
    seen = []

    async def watch() -> None:
        async for kind, found in api.watch(
            path, {"fieldSelector": "metadata.name=one", "timeoutSeconds": 10}
        ):
            seen.append((kind, found["metadata"]["name"], found.get("data")))
            if kind == "ADDED":
                await api.merge(f"{path}/one", {"data": {"a": "YQ=="}})
            if kind == "MODIFIED":
                await api.delete(f"{path}/one")

    await watch()
    assert seen == [
        ("ADDED", "one", None),
        ("MODIFIED", "one", {"a": "YQ=="}),
        ("DELETED", "one", {"a": "YQ=="}),
    ]


async def test_a_hundred_reviews_of_tokens_at_a_time(connections: Connections) -> None:
    """All of them are answered, while watches go on."""
    api = await connections.account("litellm-registrar-broker")
    token = connections.token("litellm-registrar-broker")
    answers = await asyncio.gather(*(api.create(REVIEWS, review(token)) for _ in range(100)))
    assert {answer["status"]["user"]["username"] for answer in answers} == {BROKER}


async def test_no_error_holds_a_token_or_a_secrets_content(
    connections: Connections,
    cluster: Cluster,
    namespace: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever the API server refuses, and however broken a kubeconfig is, nothing of it is quoted."""
    token = connections.token("litellm-registrar-broker")
    secret = "c2VjcmV0LXZhbHVl"
    admin = await connections.admin()
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    texts = []
    for call in (
        admin.create(REVIEWS, {"spec": {"token": [token]}}),
        admin.create(REVIEWS, {"spec": {"token": token, "audiences": token}}),
        admin.get(f"/api/v1/namespaces/{namespace}/secrets/{token}"),
        admin.create(secrets, {"metadata": {"name": "x"}, "data": {"k": secret + "!"}}),
        admin.create(secrets, {"metadata": {"name": "x"}, "data": [secret]}),
        admin.create(
            secrets, {"metadata": {"name": "x"}, "type": "kubernetes.io/tls", "data": {"k": secret}}
        ),
    ):
        with pytest.raises(ApiError) as error:
            await call
        texts.append(f"{error.value!r} {error.value}")
    good = (cluster.work / "kubeconfig").read_text()
    for number, broken in enumerate(
        (
            json.dumps({"users": [{"name": "a", "user": {"token": token}}], "contexts": token}),
            good.replace("current-context: test", "current-context: " + token),
            good.replace("users:", f"users:\n- nothing: {token}"),
            f"token: [{token}",
        )
    ):
        path = tmp_path / f"broken-{number}"
        path.write_text(broken)
        with pytest.raises(ApiError) as error:
            await Api.connect(str(path))
        texts.append(f"{error.value!r} {error.value}")
    said = "\n".join([*texts, *capfd.readouterr()])
    assert token.split(".")[1] not in said
    assert secret not in said


async def test_a_server_that_is_not_there_is_status_zero(connections: Connections) -> None:
    """A refused connection and a name that is none are told alike: nobody answered."""
    path = connections.kubeconfig("elsewhere", "x")
    path.write_text(path.read_text().replace("https://127.0.0.1:", "https://127.0.0.2:"))
    api = await connections.by(path)
    with pytest.raises(ApiError) as refused:
        await api.get("/api/v1/namespaces/default")
    assert (refused.value.status, refused.value.reason) == (0, "Unreachable")


async def test_a_server_that_never_answers_is_status_zero(connections: Connections) -> None:
    """No call waits for ever, whatever the other side does."""
    left = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = connections.kubeconfig("silent", "x")
    before = path.read_text()
    _, _, rest = before.partition("https://127.0.0.1:")
    path.write_text(before.replace("127.0.0.1:" + "".join(rest[:5]), f"127.0.0.1:{port}"))
    api = await connections.by(path)
    async with server:
        with pytest.raises(ApiError) as refused:
            await api.get("/api/v1/namespaces/default")
        await left.wait()
    assert (refused.value.status, refused.value.reason) == (0, "Timeout")


@pytest.mark.parametrize(
    "path", ["/api/v1/pods/../secrets", "/api/v1/pods?x=1", "/api/v1/pods/a%2e", "api", "/a b"]
)
async def test_a_path_that_could_lead_elsewhere_is_never_asked(path: str, connections: Connections) -> None:
    """Names that come from outside can neither leave their place in a path nor add a query to it."""
    api = await connections.admin()
    with pytest.raises(ApiError) as refused:
        await api.get(path)
    assert refused.value.reason == "BadPath"

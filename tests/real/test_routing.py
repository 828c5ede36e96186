"""From the label to a routable name, with real servers, the real webhook and two real LiteLLM replicas."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.scripts import CACHE
from tests.peers.servers import ModelServer
from tests.peers.webhook import CLUSTER_ID
from tests.real.conftest import QUICK_ANNOTATIONS, Pods, Start
from tests.real.pods import NAMESPACE, PATIENCE, litellm_secret, model_id

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

REPLICAS = (0, 1)
CHAT_MODEL = {"llama-server": "tiny-llama-server", "ollama": "tiny:latest", "vllm": "tiny-vllm"}
# Each real server with the values of the label that fit it.
SERVERS = [
    ("llama-server", "openai"),
    ("llama-server", "auto"),
    ("ollama", "ollama"),
    ("vllm", "vllm"),
    ("vllm", "auto"),
]


def routed_to(proxy: LiteLLM, name: str, replica: int) -> str:
    """Send a chat; give the id of the row that answered it."""
    answer = proxy.chat(name, replica)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-litellm-model-id"]


def streamed(proxy: LiteLLM, name: str, replica: int) -> list[dict[str, Any]]:
    """Send a streamed chat; give its events."""
    answer = proxy.chat(name, replica, stream=True, stream_options={"include_usage": True})
    lines = answer.text.splitlines()
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert events[-1] == "[DONE]", events[-1]
    return [json.loads(event) for event in events[:-1]]


@pytest.mark.parametrize("engine_and_label", SERVERS, ids="-".join)
def test_a_labelled_server_is_routable(
    engine_and_label: tuple[str, str],
    proxy: LiteLLM,
    shared_server: Callable[[str], ModelServer],
    pods: Pods,
) -> None:
    """Label, patched pod, registrar by its own command: both replicas route to the server by its name."""
    engine, label = engine_and_label
    server, model = shared_server(engine), CHAT_MODEL[engine]
    pod = pods.serve(server, label, proxy)
    assert pod.is_ready()
    row = pod.rows(proxy)[model]
    assert row["litellm_params"]["api_base"] == f"{server.url}/v1"
    owner = row["model_info"]["registrar"]
    assert (owner["cluster"], owner["namespace"], owner["pod"]) == (CLUSTER_ID, NAMESPACE, pod.name)
    for replica in REPLICAS:
        assert routed_to(proxy, model, replica) == model_id(row)
        events = streamed(proxy, model, replica)
        # Tokens, not text: a model of random weights may well answer with bytes that are no letters.
        assert any((event.get("usage") or {}).get("completion_tokens") for event in events)
        assert any(choice.get("finish_reason") for event in events for choice in event["choices"])


def test_every_model_of_a_server_has_a_row(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """Ollama's models are what is pulled: one row each, and none is loaded to find anything out."""
    server = shared_server("ollama")
    pod = pods.serve(server, "ollama", proxy)
    listed = httpx.get(f"{server.url}/v1/models", trust_env=False).json()["data"]
    assert pod.rows(proxy).keys() == {model["id"] for model in listed}


def test_a_renamed_model(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """`model-name` renames the server's one model and `name-template` shapes the name."""
    server = own_server(ALIAS="plain")
    names = {"model-name": "qwen3", "name-template": "{namespace}/{model}"}
    pod = pods.serve(server, "openai", proxy, QUICK_ANNOTATIONS | names)
    assert pod.rows(proxy).keys() == {"models/qwen3"}
    for replica in REPLICAS:
        assert proxy.chat("models/qwen3", replica).status_code == 200
        assert proxy.chat("plain", replica).status_code == 400


def test_a_server_with_an_api_key(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """The key comes from the Secret the server's own container names, reaches LiteLLM, and no log."""
    key = "sk-of-the-server-7f3a"
    server = own_server("--api-key", key, ALIAS="keyed")
    own = server.container()
    reference = {"valueFrom": {"secretKeyRef": {"name": "server-key", "key": "token"}}}
    args = [arg.replace(key, "$(API_KEY)") for arg in own["args"]]
    secrets = {**litellm_secret(proxy), "server-key": {"token": key}}
    pod = pods.admit(server, "openai", secrets, args=args, env=[{"name": "API_KEY", **reference}])
    assert key not in json.dumps(pod.patched)
    pod.start_registrar()
    pod.wait_for_state("serving")
    for replica in REPLICAS:
        assert proxy.chat("keyed", replica).status_code == 200
    assert key not in pod.log()
    assert proxy.key not in pod.log()


def test_two_pods_of_one_name_share_the_load(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """Two pods that serve one name are two rows, and both replicas send to both."""
    both = [pods.serve(own_server(ALIAS="shared"), "openai", proxy) for _ in range(2)]
    ids = {model_id(pod.rows(proxy)["shared"]) for pod in both}
    assert len(ids) == 2
    for replica in REPLICAS:
        seen: set[str] = set()

        def all_seen(seen: set[str] = seen, replica: int = replica) -> bool:
            seen.add(routed_to(proxy, "shared", replica))
            return seen == ids

        wait_until(f"traffic of replica {replica} to both pods", PATIENCE, all_seen)


def test_models_that_come_and_go(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """A model that is pulled gets its row while the server runs; one that is removed loses it everywhere."""
    server = shared_server("ollama")
    pod = pods.serve(server, "ollama", proxy)
    copy = {"source": "tiny", "destination": "comes-and-goes"}
    assert httpx.post(f"{server.url}/api/copy", json=copy, trust_env=False).status_code == 200
    pod.wait_for("row of the new model", lambda: "comes-and-goes:latest" in pod.rows(proxy))
    assert proxy.chat("comes-and-goes:latest", 1).status_code == 200
    remove = {"model": "comes-and-goes"}
    assert (
        httpx.request("DELETE", f"{server.url}/api/delete", json=remove, trust_env=False).status_code == 200
    )
    pod.wait_for("end of the row", lambda: "comes-and-goes:latest" not in pod.rows(proxy))
    for replica in REPLICAS:
        wait_until(
            f"end of the name on replica {replica}",
            PATIENCE,
            lambda replica=replica: proxy.chat("comes-and-goes:latest", replica).status_code == 400,  # type: ignore[misc]
        )
    assert "tiny:latest" in pod.rows(proxy)


def test_an_adapter_loaded_at_run_time(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """A LoRA adapter that vLLM loads while it runs is a row of its own, and goes when it is unloaded."""
    server = shared_server("vllm")
    pod = pods.serve(server, "vllm", proxy)
    lora = {"lora_name": "adapter", "lora_path": str(CACHE / "model-servers" / "models" / "slow-lora")}
    assert httpx.post(f"{server.url}/v1/load_lora_adapter", json=lora, trust_env=False).status_code == 200
    pod.wait_for("row of the adapter", lambda: pod.rows(proxy).keys() == {"tiny-vllm", "adapter"})
    for replica in REPLICAS:
        assert routed_to(proxy, "adapter", replica) == model_id(pod.rows(proxy)["adapter"])
    unload = {"lora_name": "adapter"}
    assert httpx.post(f"{server.url}/v1/unload_lora_adapter", json=unload, trust_env=False).status_code == 200
    pod.wait_for("end of the adapter's row", lambda: pod.rows(proxy).keys() == {"tiny-vllm"})

"""What a real server is found to be while it loads, and when it serves something else than before."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.peers.proxy import LiteLLM
from tests.peers.require import require
from tests.peers.scripts import CACHE, HOW_TO_GET, not_installed, work_folder
from tests.peers.servers import ModelServer, computed, held, model_server
from tests.real.conftest import Pods, Start
from tests.real.pods import Pod, litellm_secret
from tests.real.truth import LLAMA_SERVERS, OLLAMA, VLLM_SHARED, Truth, wrong

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

LOADING: Final = "server_loading"
NO_ROW: Final = {"model_info": {"registrar": {"unknown": None}}}
TEMPLATE: Final = "{{ range .Messages }}{{ .Role }}: {{ .Content }}{{ end }}"


def test_a_server_that_loads_is_not_registered(
    proxy: LiteLLM, own_server: Start, pods: Pods, tmp_path: Path
) -> None:
    """While llama-server answers 503 the reason is said and there is no row; then there is a complete one."""
    name, truth = next(iter(LLAMA_SERVERS[0].models.items()))
    model = tmp_path / "model.gguf"
    own_server()  # so that its model has been made
    shutil.copyfile(CACHE / "model-servers" / "models" / "chat.gguf", model)
    with work_folder() as work, ThreadPoolExecutor(1) as starting:
        server = ModelServer("llama-server", work, (), {"ALIAS": name, "MODEL": str(model)})
        pod = pods.admit(server, "openai", litellm_secret(proxy))
        with held(model):
            started = starting.submit(server.start)
            pod.start_registrar()
            pod.wait_for_log(LOADING)
            assert pod.state() == "waiting"
            assert [problem["reason"] for problem in pod.status()["problems"]] == [LOADING]
            assert pod.rows(proxy) == {}
        started.result()
        pod.wait_for_state("serving")
        assert truth.wrong(pod.rows(proxy)[name]) == {}


@pytest.fixture
def ollama(logs: Path) -> Iterator[ModelServer]:
    """Give an Ollama whose models the test may change."""
    require(HOW_TO_GET, not_installed("ollama"))
    with model_server("ollama", logs=logs) as server:
        yield server


def digests(pod: Pod, proxy: LiteLLM) -> dict[str, str]:
    """Give the digest in each of the pod's rows."""
    return {name: row["model_info"]["registrar"]["digest"] for name, row in pod.rows(proxy).items()}


def test_models_that_are_made_copied_and_removed(proxy: LiteLLM, ollama: ModelServer, pods: Pods) -> None:
    """Each tells the truth of its own files, also when one of its name is made anew; none is ever loaded."""
    pod = pods.serve(ollama, "ollama", proxy)

    def call(method: str, path: str, **body: Any) -> httpx.Response:
        answer = httpx.request(method, ollama.url + path, json=body, trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer

    def known(model: str, truth: Truth) -> Callable[[], bool]:
        return lambda: not truth.wrong(pod.rows(proxy).get(model, NO_ROW))

    plain, tools = OLLAMA.models["tiny-plain:latest"], OLLAMA.models["tiny:latest"]
    small = {"from": "tiny-plain", "parameters": {"num_ctx": 1024}, "stream": False}
    call("POST", "/api/create", model="made", **small, template=TEMPLATE + "{{ .Tools }}")
    pod.wait_for("truth of the new model", known("made:latest", tools))
    first = digests(pod, proxy)
    assert first == {tag["name"]: tag["digest"] for tag in call("GET", "/api/tags").json()["models"]}

    call("POST", "/api/copy", source="tiny-plain", destination="made")
    pod.wait_for("truth of what bears the name now", known("made:latest", plain))
    assert digests(pod, proxy) == {**first, "made:latest": first["tiny-plain:latest"]}

    call("POST", "/api/copy", source="tiny", destination="copied")
    pod.wait_for("truth of the copy", known("copied:latest", tools))
    for model in ("made", "copied"):
        call("DELETE", "/api/delete", model=model)
    pod.wait_for("end of their rows", lambda: not {"made:latest", "copied:latest"} & pod.rows(proxy).keys())
    assert computed(ollama) == 0


def test_an_adapter_has_what_its_base_model_has(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """A LoRA adapter loaded at run time has all of its parent, whose context length its card lacks."""
    server = shared_server("vllm")
    pod = pods.serve(server, "vllm", proxy)
    adapter = {"lora_name": "adapter", "lora_path": str(CACHE / "model-servers" / "models" / "slow-lora")}
    assert httpx.post(f"{server.url}/v1/load_lora_adapter", json=adapter, trust_env=False).status_code == 200
    pod.wait_for("row of the adapter", lambda: "adapter" in pod.rows(proxy))
    rows = pod.rows(proxy)
    assert wrong(dict.fromkeys(rows, VLLM_SHARED), rows) == {}, "key: (said, true)"
    assert (
        httpx.post(f"{server.url}/v1/unload_lora_adapter", json=adapter, trust_env=False).status_code == 200
    )
    pod.wait_for("end of its row", lambda: "adapter" not in pod.rows(proxy))

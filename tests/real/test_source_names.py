"""Names and options of other programs, as the programs themselves take them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.peers.require import require
from tests.peers.scripts import CACHE, HOW_TO_GET, not_installed
from tests.peers.servers import ModelServer, model_server
from webhook.sources import openai
from webhook.sources.ollama_names import location

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

TAKEN = (
    *("plain", "UPPER", "x:tag", "X:Tag.1", "_x", "a_b-c.d", "me/x", "me_2/x:t", "h/n/m", "h:5000/n/m:t"),
    *("http://h/n/m2", "https://h.example/n/m3", "HF.co/Org/Repo-GGUF:Q4_K_M", "x" * 80, f"y:{'t' * 80}"),
    *("registry.ollama.ai/library/full:1", "other://h/n/m4", "http:///n/m5", "1", "h..h/n/m6", "a-/b-:c-"),
)
REFUSED = (
    *("/", "/x", "x/", "x:", ":t", "n//m", "h//m", "//m", "a/b/c/d", "https://x/m", "a:b:c", "x@sha256:abc"),
    *(
        "n.s/m",
        "../m",
        ".x",
        "-x",
        "x:-t",
        "a b",
        "ж",
        "x" * 81,
        f"x:{'t' * 81}",
        f"{'n' * 81}/m",
        "?x",
        "x:a/b",
    ),
    *("h:5000//m", "x\ty", "x+y", "h/n.s/m", "-h/n/m"),
)


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """Give a server of its own: models are copied in it."""
    require(HOW_TO_GET, not_installed("ollama"))
    with model_server("ollama", logs=tmp_path_factory.mktemp("ollama")) as server:
        yield server


def copied(server: ModelServer, name: str) -> int:
    """Give the status of copying a model under a name."""
    body = {"source": "tiny", "destination": name}
    return httpx.post(f"{server.url}/api/copy", json=body, trust_env=False, timeout=30).status_code


@pytest.mark.parametrize("name", TAKEN)
def test_ollama_stores_a_name_where_its_canonical_form_says(ollama: ModelServer, name: str) -> None:
    """The model that is copied to a name is listed under the shortest form of the same location."""
    before = models(ollama)
    assert copied(ollama, name) == 200
    (new,) = models(ollama) - before
    httpx.request("DELETE", f"{ollama.url}/api/delete", json={"model": new}, trust_env=False, timeout=30)
    assert location(name) == location(new)
    assert location(new) is not None


@pytest.mark.parametrize("name", REFUSED)
def test_ollama_refuses_what_has_no_canonical_form(ollama: ModelServer, name: str) -> None:
    """Such a name is a bad request."""
    assert copied(ollama, name) == 400
    assert location(name) is None


def models(server: ModelServer) -> set[str]:
    """Give the names of all models."""
    answer = httpx.get(f"{server.url}/api/tags", trust_env=False, timeout=30)
    return {model["name"] for model in answer.json()["models"]}


def test_llama_server_has_every_option_that_is_read() -> None:
    """By `--help`; the older names of some options are no longer listed."""
    require(HOW_TO_GET, not_installed("llama-server"))
    program = CACHE / "model-servers" / "llama-server" / "llama-server"
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    listed = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w.-]*", shown))
    older = {"-mv", "--model-vocoder", "-hfv", "-hfrv", "--hf-repo-v"}
    assert set(openai.LLAMA_CPP) - listed <= older

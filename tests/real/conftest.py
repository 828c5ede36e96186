"""Real peers, started once a session where a test first asks for them; all of them are stopped at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.peers.proxy import LiteLLM, litellm
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET, not_installed
from tests.peers.servers import ModelServer, model_server
from tests.real.admission import Admission, admission
from tests.real.foreign import Foreign, config
from tests.real.pods import Pod, Secrets, litellm_secret, manifest

# Of the LiteLLM of tests in which another replica's lag is not the point.
QUICK: Final = 2
# How a pod's owner would set the registrar up for such a LiteLLM.
QUICK_ANNOTATIONS: Final = {"poll-interval": "1s", "propagation": "3s", "drain-timeout": "180s"}


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which the peers' logs are found after the session."""
    return tmp_path_factory.mktemp("peers")


@pytest.fixture(scope="session")
def admitting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admission]:
    """Give the real webhook, over TLS."""
    with admission(tmp_path_factory.mktemp("webhook")) as webhook:
        yield webhook


@pytest.fixture(scope="session")
def shipped(logs: Path) -> Iterator[LiteLLM]:
    """Give two replicas that learn of each other's changes as late as LiteLLM ships: 30 s."""
    require(HOW_TO_GET, not_installed("litellm"))
    with litellm(logs) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def quick(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteLLM]:
    """Give two replicas that learn of each other's changes within 2 s; one model stands in their config."""
    require(HOW_TO_GET, not_installed("litellm"))
    with litellm(logs, reload_seconds=QUICK, config=config(tmp_path_factory.mktemp("config"))) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def foreign(quick: LiteLLM) -> Foreign:
    """Give rows that nobody may touch; they stay for the whole session and are checked after every test."""
    return Foreign(quick)


Start = Callable[..., ModelServer]


@pytest.fixture(scope="session")
def shared_server(logs: Path) -> Iterator[Callable[[str], ModelServer]]:
    """Give one server of each engine for the whole session, started when first asked for.

    Their chat models are slow ones, of which an answer can be in flight: `tiny-llama-server`, `tiny-vllm`,
    Ollama's `tiny-slow`.
    """
    running: dict[str, ModelServer] = {}
    flags = {"llama-server": ("--slow",), "vllm": ("--tools", "--slow"), "ollama": ()}
    with contextlib.ExitStack() as stack:

        def get(engine: str) -> ModelServer:
            if engine not in running:
                require(HOW_TO_GET, not_installed(engine))
                # Developer mode has vLLM's /sleep, which also works on a CPU.
                env = {"ALIAS": f"tiny-{engine}", "OLLAMA_NUM_PARALLEL": "1", "VLLM_SERVER_DEV_MODE": "1"}
                one = model_server(engine, *flags[engine], logs=logs, **env)
                running[engine] = stack.enter_context(one)
            return running[engine]

        yield get


@pytest.fixture
def own_server(logs: Path) -> Iterator[Start]:
    """Give the test llama-servers of its own, which it may stop: `own_server(*flags, **env)` starts one."""
    require(HOW_TO_GET, not_installed("llama-server"))
    with contextlib.ExitStack() as stack:

        def start(*flags: str, **env: str) -> ModelServer:
            return stack.enter_context(model_server("llama-server", *flags, logs=logs, **env))

        yield start


class Pods:
    """Has pods admitted and starts their registrars; at the end none of these is left."""

    def __init__(self, webhook: Admission, folder: Path) -> None:
        self._webhook = webhook
        self._folder = folder
        self._started: list[Pod] = []

    def admit(
        self,
        server: ModelServer,
        label: str,
        secrets: Secrets,
        annotations: Mapping[str, str] = QUICK_ANNOTATIONS,
        **container: Any,
    ) -> Pod:
        """Have a pod with this server admitted; `container` replaces keys of the server's container."""
        patched, warnings = self._webhook.admit(manifest(server, label, annotations, **container))
        assert warnings == []
        pod = Pod(patched, server, secrets, self._folder / f"registrar-of-{patched['metadata']['name']}.log")
        self._started.append(pod)
        return pod

    def serve(
        self,
        server: ModelServer,
        label: str,
        proxy: LiteLLM,
        annotations: Mapping[str, str] = QUICK_ANNOTATIONS,
        **container: Any,
    ) -> Pod:
        """Have a pod admitted, start its registrar and wait until it serves."""
        pod = self.admit(server, label, litellm_secret(proxy), annotations, **container)
        pod.start_registrar()
        pod.wait_for_state("serving")
        return pod

    def end(self) -> None:
        """Kill every registrar that still runs."""
        for pod in self._started:
            pod.kill_registrar()


@pytest.fixture
def pods(admitting: Admission, logs: Path, request: pytest.FixtureRequest) -> Iterator[Pods]:
    """Give the means to start pods."""
    if "proxy" in request.fixturenames:
        # What is set up first is torn down last: no registrar may live when the rows are cleared away.
        request.getfixturevalue("proxy")
    made = Pods(admitting, logs)
    yield made
    made.end()


@pytest.fixture
def proxy(quick: LiteLLM, foreign: Foreign) -> Iterator[LiteLLM]:
    """Give the quick LiteLLM with no row but the foreign ones; these must not have changed at the end."""
    yield quick
    quick.remove_own_rows()
    foreign.check()

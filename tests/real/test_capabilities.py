"""The rows of real servers, as the real LiteLLM returns them, say what is true, and cost no inference."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.peers.proxy import LiteLLM
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET, not_installed
from tests.peers.servers import ModelServer, computed, model_server
from tests.real.admission import Admission
from tests.real.conftest import Pods
from tests.real.foreign import Foreign
from tests.real.pods import Pod, litellm_secret
from tests.real.truth import FLAGS, GROUPS, KEY, Served

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Of polls, one a second.
POLLED_SECONDS: Final = 6.0
Wrong = dict[tuple[str, ...], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Registered:
    """A running server with its pod, registered since `at` (seconds of the monotonic clock)."""

    served: Served
    server: ModelServer
    pod: Pod
    rows: Mapping[str, Mapping[str, Any]]
    at: float


def keyed(server: ModelServer) -> dict[str, Any]:
    """Give the keys of a container whose API key comes from a Secret."""
    args = [arg.replace(KEY, "$(API_KEY)") for arg in server.container()["args"]]
    reference = {"valueFrom": {"secretKeyRef": {"name": "server-key", "key": "token"}}}
    return {"args": args, "env": [{"name": "API_KEY", **reference}]}


@pytest.fixture(scope="module", params=GROUPS)
def group(
    request: pytest.FixtureRequest, quick: LiteLLM, foreign: Foreign, admitting: Admission, logs: Path
) -> Iterator[list[Registered]]:
    """Give the servers of one group, all of them registered; each is started once."""
    require(HOW_TO_GET, not_installed(*{served.engine for served in GROUPS[request.param]}))
    secrets = {**litellm_secret(quick), "server-key": {"token": KEY}}
    pods, group = Pods(admitting, logs), []
    with ExitStack() as stack:
        for served in GROUPS[request.param]:
            one = model_server(served.engine, *served.flags, logs=logs, **served.env)
            server = stack.enter_context(one)
            pod = pods.admit(server, served.label, secrets, **(keyed(server) if served.key else {}))
            stack.callback(pod.kill_registrar)
            pod.start_registrar()
            pod.wait_for_state("serving")
            group.append(Registered(served, server, pod, pod.rows(quick), time.monotonic()))
        yield group
    quick.remove_own_rows()
    foreign.check()


def test_every_key_of_a_row_is_true(group: list[Registered]) -> None:
    """Each model has a row, each key of ours is true, and what no server tells is named as unknown."""
    wrong: Wrong = {}
    for one in group:
        assert one.rows.keys() == one.served.models.keys()
        for model, truth in one.served.models.items():
            info = one.rows[model]["model_info"]
            owner = info["registrar"]
            said = {key: info.get(key) for key in truth.info()}
            said |= {"unknown": owner["unknown"], "quantization": owner.get("quantization")}
            true = {**truth.info(), "unknown": truth.unknown(), "quantization": truth.quantization}
            wrong |= {(model, key): (said[key], true[key]) for key in true if said[key] != true[key]}
    assert wrong == {}, "(said, true)"


def test_nothing_else_is_claimed(group: list[Registered]) -> None:
    """LiteLLM shows no ability of a model beside those that the row has."""
    ours = {f"supports_{flag}" for flag in FLAGS}
    for one in group:
        for row in one.rows.values():
            claimed = {
                key for key, value in row["model_info"].items() if key.startswith("supports_") and value
            }
            assert claimed <= ours


def test_finding_out_costs_no_inference(group: list[Registered]) -> None:
    """By default no token is read or written and no model loaded, over registration and some polls."""
    time.sleep(max(0.0, min(one.at for one in group) + POLLED_SECONDS - time.monotonic()))
    assert {one.served.name: computed(one.server) for one in group} == dict.fromkeys(
        (one.served.name for one in group), 0
    )


def test_the_log_tells_each_capability_with_its_origin(group: list[Registered]) -> None:
    """The `found` line of a model names every answer with its origin, and what nobody told."""
    for one in group:
        found = [line for line in one.pod.log().splitlines() if "A model is served" in line]
        for model, truth in one.served.models.items():
            (line,) = [line for line in found if f"model={model} " in line]
            words = dict(word.split("=", 1) for word in line.split() if "=" in word)
            told = {key: words.get(key, "").split(",") for key in ("yes", "no", "unknown")}
            named = [entry.partition("(")[0] for key in told for entry in told[key] if entry]
            assert sorted(named) == sorted(FLAGS), line
            assert words["mode"].startswith(f"{truth.mode}("), line
            for key in ("yes", "no"):
                assert all(entry.partition("(")[2] in ORIGINS for entry in told[key] if entry), line


def test_the_status_tells_each_capability_with_its_origin(group: list[Registered]) -> None:
    """`/status` has every capability of every model with value and origin, as the row has it."""
    wrong: Wrong = {}
    for one in group:
        models = one.pod.status()["models"]
        assert models.keys() == one.served.models.keys()
        for model, truth in one.served.models.items():
            for key, true in truth.told().items():
                told = models[model][key]
                origin_fits = told["origin"] is None if true is None else f"{told['origin']})" in ORIGINS
                if told["value"] != true or not origin_fits:
                    wrong[model, key] = (told, true)
    assert wrong == {}, "(said, true)"


ORIGINS: Final = frozenset({"engine)", "probe)", "default)"})

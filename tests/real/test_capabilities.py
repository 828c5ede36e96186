"""The rows of real servers, as the real LiteLLM returns them, say what is true, and cost no inference."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.peers.proxy import LiteLLM
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET, not_installed
from tests.peers.servers import ModelServer, computed, model_server
from tests.real.admission import Admission
from tests.real.conftest import QUICK_ANNOTATIONS, Pods
from tests.real.foreign import Foreign
from tests.real.pods import Pod, litellm_secret
from tests.real.truth import FLAGS, GROUPS, Served, Truth, wrong

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

# Of polls, one a second.
POLLED_SECONDS: Final = 6.0
POLL_SECONDS: Final = 1.0
# Of a question, by the issue.
MOST_TOKENS: Final = 64
ORIGINS: Final = frozenset({"engine", "probe", "default"})

REQUESTS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2}),
    "completion": ("/v1/completions", {"prompt": "a", "max_tokens": 2}),
    "embedding": ("/v1/embeddings", {"input": "a"}),
    "rerank": ("/v1/rerank", {"query": "a", "documents": ["a", "b"]}),
}


@dataclass(frozen=True, slots=True)
class Registered:
    """A running server, registered since `at` (seconds of the monotonic clock); `serve` registers it anew."""

    served: Served
    server: ModelServer
    serve: Callable[[Mapping[str, str]], Pod]
    pod: Pod
    rows: Mapping[str, Mapping[str, Any]]
    at: float


def registered(
    pods: Pods, proxy: LiteLLM, served: Served, server: ModelServer, annotations: Mapping[str, str]
) -> Pod:
    """Have a pod with this server admitted and wait until its registrar serves."""
    secrets = {**litellm_secret(proxy), **served.secrets()}
    pod = pods.admit(
        server, served.label, secrets, {**QUICK_ANNOTATIONS, **annotations}, **served.container(server)
    )
    pod.start_registrar()
    pod.wait_for_state("serving")
    return pod


@pytest.fixture(scope="module", params=GROUPS)
def group(
    request: pytest.FixtureRequest, quick: LiteLLM, foreign: Foreign, admitting: Admission, logs: Path
) -> Iterator[list[Registered]]:
    """Give the servers of one group, all of them registered; each is started once."""
    require(HOW_TO_GET, not_installed(*{served.engine for served in GROUPS[request.param]}))
    pods, group = Pods(admitting, logs), []
    with ExitStack() as stack:
        for served in GROUPS[request.param]:
            one = model_server(served.engine, *served.flags, logs=logs, **served.env)
            serve = partial(registered, pods, quick, served, stack.enter_context(one))
            pod = serve({})
            group.append(Registered(served, pod.server, serve, pod, pod.rows(quick), time.monotonic()))
        stack.callback(pods.end)
        yield group
    quick.remove_own_rows()
    foreign.check()


def test_every_key_of_a_row_is_true(group: list[Registered]) -> None:
    """Each model has a row, each key of ours is true, and what no server tells is named as unknown."""
    for one in group:
        assert one.rows.keys() == one.served.models.keys()
        assert wrong(one.served.models, one.rows) == {}, "key: (said, true)"


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
                assert all(entry.partition("(")[2].rstrip(")") in ORIGINS for entry in told[key] if entry), (
                    line
                )


def test_the_status_tells_each_capability_with_its_origin(group: list[Registered]) -> None:
    """`/status` has every capability of every model with value and origin, as the row has it."""
    false: dict[tuple[str, str], tuple[Any, Any]] = {}
    for one in group:
        models = one.pod.status()["models"]
        assert models.keys() == one.served.models.keys()
        for model, truth in one.served.models.items():
            for key, true in truth.told().items():
                told = models[model][key]
                origin_fits = told["origin"] is None if true is None else told["origin"] in ORIGINS
                if told["value"] != true or not origin_fits:
                    false[model, key] = (told, true)
    assert false == {}, "(said, true)"


def test_each_model_answers_what_its_mode_says(group: list[Registered], quick: LiteLLM) -> None:
    """By its name in LiteLLM each model answers the request of its mode; a vector is as long as is true."""
    for one in group:
        for model, truth in one.served.models.items():
            path, body = REQUESTS[truth.mode]
            answer = quick.call("POST", path, {"model": model, "num_retries": 0, **body})
            assert answer.status_code == 200, answer.text
            if truth.mode == "embedding":
                assert len(answer.json()["data"][0]["embedding"]) == truth.vector


def test_active_probing_tells_what_only_answers_tell(group: list[Registered], quick: LiteLLM) -> None:
    """With `probe: active` the row has what was unknown, for at most 64 tokens a question; nothing is loaded.

    Where no question can tell more, none is put.
    """
    for one in group:
        one.pod.kill_registrar()
    before = [computed(one.server) for one in group]
    for one in group:
        pod = one.serve({"probe": "active"})
        truths = {model: truth.when_asked() for model, truth in one.served.models.items()}

        def all_true(pod: Pod = pod, truths: Mapping[str, Truth] = truths) -> bool:
            rows = pod.rows(quick)
            return rows.keys() == truths.keys() and not wrong(truths, rows)

        pod.wait_for("rows that know it", all_true)
    time.sleep(2 * POLL_SECONDS)
    for one, so_far in zip(group, before, strict=True):
        questions = sum(len(truth.asked) for truth in one.served.models.values())
        assert computed(one.server) - so_far <= questions * MOST_TOKENS, one.served.name

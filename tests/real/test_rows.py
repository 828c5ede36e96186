"""What the real LiteLLM says of a row and does with it: true of its own server, also after other hands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.servers import ModelServer
from tests.real.conftest import QUICK_ANNOTATIONS, Pods, Start
from tests.real.pods import PATIENCE, Pod, model_id

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

REPLICAS: Final = (0, 1)
NOWHERE: Final = "http://127.0.0.1:9/v1"
# Drift is seen by the look that each row gets once in 60 to 75 s.
DRIFT_SECONDS: Final = 300
TOLD: Final = ("supports_function_calling", "supports_vision", "max_input_tokens")

# llama-servers that all call their model `same`: how each is started, and what is true of it.
ALIKE: Final[Mapping[str, tuple[tuple[str, ...], dict[str, str], tuple[bool, bool, int]]]] = {
    "with-tools": ((), {}, (True, False, 2048)),
    "with-vision": (("--vision",), {"CONTEXT": "512"}, (True, True, 512)),
    "with-neither": (("--no-tools",), {"CONTEXT": "1024"}, (False, False, 1024)),
}


def told_of(proxy: LiteLLM, name: str, key: str, replica: int) -> list[tuple[Any, ...]]:
    """Give what a replica tells of a row, by each of the calls that tell; None for what it does not know."""
    calls = (
        f"/v2/model/info?modelId={key}",
        f"/model/info?litellm_model_id={key}",
        f"/v1/model/info?litellm_model_id={key}",
        f"/model_group/info?model_group={name}",
    )
    told = []
    for call in calls:
        rows = proxy.call("GET", call, replica=replica).json().get("data") or [{}]
        told += [row.get("model_info", row) for row in rows]
    return [tuple(info.get(key) for key in TOLD) for info in told]


def routed(proxy: LiteLLM, name: str, count: int, replica: int = 0) -> Counter[str]:
    """Send chats; count the ids of the rows that answered, and as "" what failed."""
    answers = (proxy.chat(name, replica) for _ in range(count))
    return Counter(answer.headers.get("x-litellm-model-id", "") for answer in answers)


def test_each_row_says_what_is_true_of_its_own_server(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """Rows with one `litellm_params.model` keep their own abilities everywhere, also when one is deleted."""
    serving: dict[str, Pod] = {}
    for name, (flags, env, _) in ALIKE.items():
        server = own_server(*flags, ALIAS="same", **env)
        serving[name] = pods.serve(server, "openai", proxy, QUICK_ANNOTATIONS | {"model-name": name})

    def all_true() -> bool:
        ids = {name: model_id(pod.rows(proxy)[name]) for name, pod in serving.items()}
        return all(
            set(told_of(proxy, name, key, replica)) == {ALIKE[name][2]}
            for replica in REPLICAS
            for name, key in ids.items()
        )

    rows = [pod.rows(proxy)[name] for name, pod in serving.items()]
    assert len({row["litellm_params"]["model"] for row in rows}) == 1
    # Not for long: a replica learns within its reload what another one wrote.
    wait_until("the same truth by every call", PATIENCE, all_true)
    serving.pop("with-neither").delete()
    wait_until("the same truth without the last row", PATIENCE, all_true)
    assert all_true()


def test_a_row_changed_or_deleted_by_hand_is_as_it_was(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """Our keys are put back and a deleted row comes back within two minutes; keys others added stay."""
    pod = pods.serve(own_server(ALIAS="changed"), "openai", proxy)
    other = pods.serve(own_server(ALIAS="deleted"), "openai", proxy)
    before, key = pod.rows(proxy)["changed"], model_id(pod.rows(proxy)["changed"])
    gone = other.rows(proxy)["deleted"]
    info = {"id": key, "supports_vision": True, "mode": "embedding", "max_input_tokens": 7}
    added = {"note_of_an_admin": "ask Anna", "access_groups": ["beta"]}
    change = {"model_info": info | added, "litellm_params": {"api_base": NOWHERE, "tags": ["gpu"]}}
    assert proxy.call("PATCH", f"/model/{key}/update", change).status_code == 200
    assert proxy.call("POST", "/model/delete", {"id": model_id(gone)}).status_code == 200
    assert proxy.chat("deleted").status_code == 400

    def put_back() -> bool:
        now = pod.rows(proxy)["changed"]
        ours = {name: value for name, value in now["model_info"].items() if name not in added}
        mine = {name: value for name, value in before["model_info"].items() if name not in added}
        return now["litellm_params"]["api_base"] == before["litellm_params"]["api_base"] and _same(ours, mine)

    pod.wait_for("the row as it was", put_back, DRIFT_SECONDS)
    other.wait_for("the deleted row", lambda: "deleted" in other.rows(proxy), DRIFT_SECONDS)
    now = pod.rows(proxy)["changed"]
    assert {name: now["model_info"][name] for name in added} == added
    assert now["litellm_params"]["tags"] == ["gpu"]
    assert model_id(other.rows(proxy)["deleted"]) == model_id(gone)
    for replica in REPLICAS:
        for name in ("changed", "deleted"):
            pod.wait_for("chat", lambda n=name, r=replica: proxy.chat(n, r).status_code == 200)


def _same(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Compare without what each write changes."""
    moving = {"updated_at", "updated_by"}
    return {k: v for k, v in now.items() if k not in moving} == {
        k: v for k, v in before.items() if k not in moving
    }


def test_our_own_block_is_lifted_after_a_restart(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """The row is blocked since its server died, the registrar is killed too: the next one unblocks it."""
    server = own_server(ALIAS="both-died")
    pod = pods.serve(server, "openai", proxy)
    server.kill()
    pod.wait_for("block", lambda: [row["blocked"] for row in proxy.own_rows().values()] == [True])
    pod.kill_registrar()
    server.start()
    pod.wait_for("refusal", lambda: proxy.chat("both-died").status_code == 403)
    pod.start_registrar()
    pod.wait_for_state("serving")
    pod.wait_for("end of the block", lambda: [row["blocked"] for row in proxy.own_rows().values()] == [False])
    for replica in REPLICAS:
        pod.wait_for(
            "chat again", lambda replica=replica: proxy.chat("both-died", replica).status_code == 200
        )


def test_an_admins_block_outlives_the_server_and_the_registrar(
    proxy: LiteLLM, own_server: Start, pods: Pods
) -> None:
    """What a person blocked stays blocked though the server dies and comes back, and the registrar too."""
    server = own_server(ALIAS="banned")
    pod = pods.serve(server, "openai", proxy)
    (key,) = proxy.own_rows()
    assert proxy.call("POST", "/model/block", {"model_id": key}).status_code == 200
    server.kill()
    pod.wait_for_state("blocked")
    pod.kill_registrar()
    server.start()
    pod.start_registrar()
    pod.wait_for_log("blocked_by_someone_else")
    pod.wait_for_state("serving")
    assert proxy.own_rows()[key]["blocked"] is True
    assert "blocked_by" not in proxy.own_rows()[key]["model_info"]["registrar"]
    assert proxy.chat("banned").status_code == 403


SHARES: Final[Mapping[str, tuple[dict[str, int], dict[str, int], bool]]] = {
    "rpm": ({"rpm": 100_000}, {}, False),
    "tpm": ({"tpm": 100_000_000}, {}, False),
    "weight": ({"weight": 1}, {}, False),
    "weight and rpm": ({"weight": 1}, {"weight": 1, "rpm": 100_000}, True),
    "neither": ({}, {}, True),
}


@pytest.mark.parametrize("case", SHARES.values(), ids=SHARES.keys())
def test_how_litellm_shares_out(
    case: tuple[dict[str, int], dict[str, int], bool],
    proxy: LiteLLM,
    shared_server: Callable[[str], ModelServer],
) -> None:
    """A row without the rpm, tpm or weight its sibling has gets nothing; with a weight on both, both get."""
    *both, fair = case
    params = {"model": "hosted_vllm/x", "api_base": f"{shared_server('llama-server').url}/v1", "api_key": "x"}
    ids = [proxy.create("hand-made", params | own, {"id": f"hand-made-{n}"}) for n, own in enumerate(both)]
    got = routed(proxy, "hand-made", 40)
    assert set(got) == (set(ids) if fair else {ids[0]}), got


def test_pods_with_and_without_rpm_share_the_load(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """While pods are rolled from no rpm to one, both kinds get requests: every row has a weight."""
    kinds: tuple[dict[str, str], ...] = ({}, {"rpm": "100000"})
    both = [pods.serve(own_server(ALIAS="rolled"), "openai", proxy, QUICK_ANNOTATIONS | own) for own in kinds]
    rows = [pod.rows(proxy)["rolled"] for pod in both]
    assert [row["litellm_params"].get("rpm") for row in rows] == [None, 100_000]
    ids = {model_id(row) for row in rows}
    for replica in REPLICAS:
        wait_until("both rows", PATIENCE, lambda n=replica: len(proxy.rows("rolled", n)) == 2)  # type: ignore[misc]
        got = routed(proxy, "rolled", 40, replica)
        assert set(got) == ids
        assert min(got.values()) > 5, got
    assert not any("siblings_disagree" in pod.log() for pod in both)


def test_a_row_is_not_starved_by_ours_nor_ours_by_it(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], own_server: Start, pods: Pods
) -> None:
    """Beside somebody else's row without a weight ours has none, and both get requests."""
    params = {"model": "hosted_vllm/x", "api_base": f"{shared_server('llama-server').url}/v1", "api_key": "x"}
    proxy.create("joined", params, {"id": "was-there"})
    pod = pods.serve(own_server(ALIAS="joined"), "openai", proxy)
    ids = {"was-there", model_id(pod.rows(proxy)["joined"])}
    assert set(routed(proxy, "joined", 40)) == ids


def test_rows_that_starve_are_said(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], own_server: Start, pods: Pods
) -> None:
    """The owner's weight starves somebody else's row without one: the registrar says so, with the key."""
    params = {"model": "hosted_vllm/x", "api_base": f"{shared_server('llama-server').url}/v1", "api_key": "x"}
    proxy.create("starving", params, {"id": "starves"})
    annotations = QUICK_ANNOTATIONS | {"weight": "2"}
    pod = pods.serve(own_server(ALIAS="starving"), "openai", proxy, annotations)
    pod.wait_for_log("siblings_disagree")
    assert "key=weight" in pod.log()


def test_an_ollama_row_takes_what_clients_send(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """Chat, Anthropic's messages and embeddings of a wished size all reach Ollama (docs/adr/0006)."""
    pods.serve(shared_server("ollama"), "ollama", proxy)
    assert proxy.chat("tiny:latest").status_code == 200
    message = {"model": "tiny:latest", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
    assert proxy.call("POST", "/v1/messages", message).status_code == 200
    wish = {"model": "tiny-embed:latest", "input": "hello", "dimensions": 8}
    answer = proxy.call("POST", "/v1/embeddings", wish)
    assert answer.status_code == 200, answer.text
    assert [len(one["embedding"]) for one in answer.json()["data"]] == [8]


@pytest.mark.parametrize("engine", ["llama-server", "ollama"])
def test_a_dead_replica_is_cooled_down(
    engine: str, proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """LiteLLM stops sending to a row like ours whose server is gone (docs/adr/0006)."""
    label, name = {"llama-server": ("openai", "tiny-llama-server"), "ollama": ("ollama", "tiny:latest")}[
        engine
    ]
    row = pods.serve(shared_server(engine), label, proxy).rows(proxy)[name]
    # As a registrar that was killed with its server leaves it.
    params = {key: row["litellm_params"][key] for key in row["litellm_params"]} | {"api_base": NOWHERE}
    # once it is, for longer than the chats take: LiteLLM's own 5 s are over before on a busy machine
    info = {"id": f"left-behind-{engine}", "cooldown_time": 600}
    proxy.create(name, params | {"api_key": "none"}, info)
    failed = routed(proxy, name, 60)[""]
    # Five in LiteLLM's minute; where it never cools down, about half of all.
    assert 0 < failed < 15

"""What the agent registers, from its first look on: models, aliases and what is known of them."""

from dataclasses import replace

import httpx

from sidecar.broker_contract import State
from sidecar.contract import Alias
from sidecar.reasons import Reason
from sidecar.servers.facts import Fact, Facts, Origin, abilities
from sidecar.servers.shapes import Ambiguous, Answer, Model
from tests.standins.clock import settle
from tests.standins.registrar import SETTINGS, Cluster, Pod
from tests.standins.scripted import REFUSED, ScriptedServer, serving

LOADING = Ambiguous(Reason.SERVER_LOADING, "/v1/models: HTTP 503")
DOWN = httpx.ConnectError("All connection attempts failed")


async def test_it_waits_and_says_for_what(pod: Pod) -> None:
    """While the server loads: polled four times a second, one line per reason, with how long."""
    await pod.clock.advance(10)
    assert 38 <= pod.server.looks <= 42
    pod.server.seen = LOADING
    await pod.clock.advance(10)
    assert pod.words() == ["WAITING", "WAITING"]
    assert pod.said("reason=server_refused url=http://10.0.0.5:8000 waited=0.0") == 1
    assert pod.said("reason=server_loading url=http://10.0.0.5:8000 waited=10.") == 1
    assert pod.agent.state is State.WAITING
    assert not pod.agent.ready()


async def test_a_ready_server_is_registered_without_delay(pod: Pod) -> None:
    """From the first good answer to the first POST no time passes."""
    await pod.clock.advance(100)
    assert pod.table.calls["create"] == 0
    pod.server.seen = serving("m")
    await pod.clock.advance(0.25)
    assert pod.table.calls["create"] == 1
    assert pod.state() is State.SERVING
    assert pod.agent.ready()
    assert pod.words() == ["WAITING", "FOUND", "FOUND", "REGISTERED", "SERVING"]
    assert pod.said("engine=vllm version=0.32.0 models=m") == 1
    assert pod.said("FOUND      A model is served. model=m context=1024(engine) unknown=mode,") == 1
    assert pod.said("1 of 1 models are routable") == 1


async def test_time_to_routable_counts_from_the_first_good_answer(pod: Pod) -> None:
    """Minutes of loading are the server's; LiteLLM that is away for a while is ours. Told once."""
    await pod.clock.advance(100)
    pod.table.database = False
    pod.server.seen = serving("m")
    await pod.clock.advance(20)
    before = pod.agent.routable
    pod.table.database = True
    await pod.clock.advance(60)
    first = pod.agent.routable
    assert before is None
    assert first is not None
    assert 20 <= first <= 60
    await pod.drained()
    pod.server.seen = REFUSED
    await pod.clock.advance(5)
    pod.server.seen = serving("m")
    await pod.clock.advance(5)
    assert pod.state() is State.SERVING
    assert pod.agent.routable == first


async def test_litellm_is_met_before_the_server_is_ready(pod: Pod) -> None:
    """A wrong address is named while the model still loads, and readiness is asked at once."""
    await settle()
    assert pod.table.calls["ready"] == 1
    assert pod.table.calls["read"] == 1


async def test_litellm_problems_are_named_before_the_server_is_ready(cluster: Cluster) -> None:
    """The connection is refused from the start: said while waiting."""
    cluster.table.fail(1000, DOWN)
    pod = cluster.start()
    await settle()
    assert pod.said("litellm_unreachable") == 1


async def test_several_models_are_several_rows(pod: Pod) -> None:
    """Two served names: two rows, one line that counts them."""
    pod.server.seen = serving("a", "b")
    await pod.clock.advance(1)
    assert pod.names() == {"a", "b"}
    assert pod.said("2 of 2 models are routable through LiteLLM. names=a,b") == 1


async def test_a_model_that_comes_and_one_that_goes(pod: Pod) -> None:
    """A new model is there after one poll, one that went is gone after three good answers."""
    pod.server.seen = serving("a", "b")
    await pod.clock.advance(1)
    pod.server.seen = serving("b", "c")
    await pod.clock.advance(6)
    assert pod.names() == {"a", "b", "c"}
    await pod.clock.advance(10)
    assert pod.names() == {"b", "c"}
    assert pod.state() is State.SERVING


async def test_each_alias_is_a_row_of_its_own(cluster: Cluster) -> None:
    """Alias and model come, go and are counted together."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, aliases=(Alias("fast"),)))
    await pod.clock.advance(1)
    assert pod.names() == {"m", "fast"}
    assert pod.said("2 of 2 models are routable through LiteLLM. names=m,fast") == 1
    pod.server.seen = serving("n")
    await pod.clock.advance(21)
    assert {row["litellm_params"]["model"] for row in pod.table.rows.values()} == {"hosted_vllm/n"}
    assert pod.names() == {"n", "fast"}


async def test_an_alias_without_a_model_is_said_until_its_model_comes(cluster: Cluster) -> None:
    """Once, not at each poll; an adapter that is loaded later ends it."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, aliases=(Alias("fast", "lora"),)))
    await pod.clock.advance(60)
    assert pod.said("reason=alias_without_model alias=fast model=lora") == 1
    assert pod.names() == {"m"}
    pod.server.seen = serving("lora", "m")
    await pod.clock.advance(6)
    assert pod.names() == {"m", "lora", "fast"}
    assert pod.said("SOLVED") == 1


async def test_filters_that_leave_nothing_are_a_named_reason(cluster: Cluster) -> None:
    """A typing error in `include` must not look like a server without models; it is polled in peace."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, include="^qwen"))
    await pod.clock.advance(60)
    assert pod.said("reason=all_left_out models=m") == 1
    assert pod.said("left_out=m") == 1
    assert pod.state() is State.WAITING
    assert pod.server.looks <= 14
    pod.server.seen = serving("m", "qwen3")
    await pod.clock.advance(5)
    assert pod.names() == {"qwen3"}
    assert pod.said("SOLVED") == 1


async def test_a_server_that_returns_with_another_model_keeps_its_names(cluster: Cluster) -> None:
    """`model_name` and an alias of the one model go to the new one at once, not when the old one is gone."""
    settings = replace(SETTINGS, model_name="gpt", aliases=(Alias("fast"),))
    pod = cluster.start(ScriptedServer(serving("m")), settings)
    await pod.clock.advance(1)
    pod.server.seen = serving("n")
    await pod.clock.advance(5)
    assert pod.names() == {"gpt", "fast"}
    assert len(pod.table.rows) == 4
    await pod.clock.advance(15)
    assert pod.names() == {"gpt", "fast"}
    assert len(pod.table.rows) == 2
    assert not pod.said("alias_ambiguous")


async def test_a_changed_fact_is_one_patch_and_one_line(pod: Pod) -> None:
    """What is found out later changes the row under its id; the log says it once, not at each poll."""
    await pod.serve()
    before = list(pod.table.rows)
    able = Facts(abilities=abilities(Origin.PROBE, function_calling=True))
    pod.server.seen = Answer("vllm", "0.32.0", (Model("m", facts=able, digest="d2"),), gauges=True)
    await pod.clock.advance(60)
    (row,) = pod.table.rows.values()
    assert list(pod.table.rows) == before
    assert row["model_info"]["supports_function_calling"] is True
    assert row["model_info"]["registrar"]["digest"] == "d2"
    assert (pod.table.calls["settle"], pod.table.calls["delete"]) == (1, 0)
    assert pod.said("More, or other, is known of a model. model=m digest=d2 yes=function_calling(probe)") == 1


async def test_facts_that_come_and_go_cannot_rewrite_the_row_at_each_look(pod: Pod) -> None:
    """Two servers behind one address: six writes and lines a minute, and the log says what is wrong, once."""
    await pod.serve()
    for turn in range(240):
        length = Facts(context=Fact(2048 if turn % 2 else 4096, Origin.ENGINE))
        pod.server.seen = Answer("vllm", "0.32.0", (Model("m", facts=length),), gauges=True)
        await pod.clock.advance(5)
    minutes = 20
    assert pod.table.calls["settle"] <= 6 * minutes
    assert pod.said("More, or other") <= 6 * minutes
    assert pod.said("reason=server_unsteady") == 1
    await pod.clock.advance(120)
    (row,) = pod.table.rows.values()
    assert row["model_info"]["max_input_tokens"] == 2048
    assert pod.said("SOLVED") == 1


async def test_a_model_that_is_gone_contradicts_itself_no_more(pod: Pod) -> None:
    """What was said of a model goes with it."""
    await pod.serve()
    for turn in range(20):
        other = Model("n", facts=Facts(context=Fact(turn + 1, Origin.ENGINE)))
        pod.server.seen = replace(serving("m"), models=(*serving("m").models, other))
        await pod.clock.advance(5)
    assert [problem["reason"] for problem in pod.agent.status()["problems"]] == [Reason.SERVER_UNSTEADY]
    pod.server.seen = serving("m")
    await pod.clock.advance(20)
    assert not pod.agent.status()["problems"]


async def test_a_list_that_comes_and_goes_is_said_once(pod: Pod) -> None:
    """A model that every second answer lacks is not gone, and no news."""
    await pod.serve()
    for turn in range(20):
        pod.server.seen = serving("m", "n") if turn % 2 else serving("m")
        await pod.clock.advance(5)
    assert pod.said("The server answers. engine=vllm version=0.32.0 models=m,n") == 1
    assert pod.said("The server answers") == 2

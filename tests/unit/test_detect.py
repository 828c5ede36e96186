"""Which container is the server, where it listens, and what is said when that cannot be known."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.contract import CONTAINER_NAME, DOMAIN, Engine
from webhook.detect import Server, detect
from webhook.reasons import Problem, Reason
from webhook.wishes import Wishes

SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}
VLLM_IMAGE = "vllm/vllm-openai:v0.11.0"
VLLM: dict[str, Any] = {"name": "vllm", "image": VLLM_IMAGE, "args": ["--model", "org/m"]}
OLLAMA: dict[str, Any] = {"name": "ollama", "image": "ollama/ollama:0.17.4"}
NGINX: dict[str, Any] = {"name": "nginx", "image": "nginx", "ports": [{"containerPort": 80, "name": "http"}]}


def pod(*containers: Any, labels: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make a pod of these containers."""
    return {"metadata": {"labels": labels or {}}, "spec": {"containers": list(containers)}}


def server(*containers: Any, engine: Engine = Engine.VLLM, **wishes: Any) -> Server:
    """Detect a server that must be found."""
    found = detect(pod(*containers), engine, Wishes(**wishes))
    assert isinstance(found, Server), str(found)
    return found


def problem(*containers: Any, engine: Engine = Engine.VLLM, **wishes: Any) -> Problem:
    """Detect a server that must not be found."""
    found = detect(pod(*containers), engine, Wishes(**wishes))
    assert isinstance(found, Problem), repr(found)
    return found


def shell(text: str, **fields: Any) -> dict[str, Any]:
    """Make a container that runs a script."""
    return {"name": "main", "image": VLLM_IMAGE, "command": ["bash", "-c", text], **fields}


def ports(*declared: int | tuple[str, int]) -> list[dict[str, Any]]:
    """Declare ports, with or without names."""
    return [
        {"containerPort": port} if isinstance(port, int) else {"name": port[0], "containerPort": port[1]}
        for port in declared
    ]


def variables(**values: Any) -> list[dict[str, Any]]:
    """Make env entries: a text is a value, all else where the value comes from."""
    return [
        {"name": name, "value": value} if isinstance(value, str) else {"name": name, "valueFrom": value}
        for name, value in values.items()
    ]


def test_a_plain_vllm() -> None:
    """The plainest deployment is read whole."""
    assert server(VLLM) == Server(
        index=0,
        name="vllm",
        engine=Engine.VLLM,
        port=8000,
        scheme="http",
        host=None,
        path="",
        served_names=("org/m",),
        api_key=None,
    )


# --- which container


@pytest.mark.parametrize(
    ("engine", "containers", "name"),
    [
        (Engine.VLLM, [NGINX, VLLM], "vllm"),
        (Engine.OLLAMA, [NGINX, VLLM, OLLAMA], "ollama"),
        (Engine.AUTO, [NGINX, VLLM], "vllm"),
        (Engine.OPENAI, [VLLM, {"name": "helper", "image": "curl"}], "vllm"),
        (Engine.VLLM, [NGINX, shell("vllm serve m", image="private/llm")], "main"),
        (Engine.VLLM, [NGINX, {"name": "a", "image": "private/vllm-fork:1"}], "a"),
        (Engine.VLLM, [{"name": "b", "image": "vllm-tools"}, VLLM], "vllm"),
        (Engine.VLLM, [VLLM, shell("lmcache_server localhost 8080", name="cache")], "vllm"),
        (Engine.VLLM, [VLLM, {**VLLM, "name": "bench", "command": ["vllm", "bench", "serve"]}], "vllm"),
        (Engine.OLLAMA, [OLLAMA, {**OLLAMA, "name": "pull", "args": ["pull", "llama3"]}], "ollama"),
        (
            Engine.OLLAMA,
            [OLLAMA, {**OLLAMA, "name": "pull", "command": ["sh", "-c", "sleep 5; ollama pull llama3"]}],
            "ollama",
        ),
        (Engine.OLLAMA, [VLLM, {"name": "x", "image": "private/x", "ports": ports(11434)}], "x"),
        (Engine.VLLM, [{"name": "x", "image": "x"}, {"name": "y", "image": "y", "ports": ports(8000)}], "y"),
        (
            Engine.VLLM,
            [{"name": "x", "image": "x"}, {"name": "y", "image": "y", "env": variables(MODEL_NAME="m")}],
            "y",
        ),
        (
            Engine.VLLM,
            [{"name": "x", "image": "x"}, {"name": "y", "image": "y", "args": ["--served-model-name=m"]}],
            "y",
        ),
        (
            Engine.OPENAI,
            [{"name": "x", "image": "x"}, {"name": "kserve-container", "image": "y", "ports": ports(8080)}],
            "kserve-container",
        ),
        (Engine.OPENAI, [NGINX, {"name": "istio-proxy", "image": "p", "ports": ports(("http", 1))}], "nginx"),
        (Engine.OPENAI, [{"name": "any", "image": "x", "args": ["--port", "1"]}], "any"),
        (Engine.VLLM, [{"name": "only", "image": "private/llm"}], "only"),
        (Engine.VLLM, [VLLM, {**VLLM, "name": CONTAINER_NAME}], "vllm"),
    ],
)
def test_the_server_is_found_among_containers(
    engine: Engine, containers: list[dict[str, Any]], name: str
) -> None:
    """What a container runs says most, then its image and name, then variables, options and ports."""
    found = server(*containers, engine=engine)
    assert (found.name, containers[found.index]["name"]) == (name, name)


@pytest.mark.parametrize(
    ("engine", "containers", "reason", "told"),
    [
        (
            Engine.VLLM,
            [VLLM, {**VLLM, "name": "b"}],
            Reason.SEVERAL_SERVERS,
            "vllm, b could each be the server",
        ),
        (Engine.AUTO, [VLLM, OLLAMA], Reason.SEVERAL_SERVERS, f"name it in {DOMAIN}/container"),
        (
            Engine.VLLM,
            [{"name": "x", "image": "x"}, {"name": "y", "image": "y"}],
            Reason.SEVERAL_SERVERS,
            "x, y could each be the server",
        ),
        (Engine.VLLM, [OLLAMA], Reason.NO_SERVER, "none runs vllm: ollama runs Ollama"),
        (
            Engine.OLLAMA,
            [{**OLLAMA, "args": ["pull", "m"]}],
            Reason.NO_SERVER,
            "ollama runs a client of it",
        ),
        (Engine.VLLM, [], Reason.NO_SERVER, "the pod has no containers"),
        (
            Engine.VLLM,
            [{"name": "istio-proxy", "image": "x"}],
            Reason.NO_SERVER,
            "istio-proxy is a sidecar of another injector",
        ),
        (Engine.VLLM, [VLLM] * 501, Reason.SEVERAL_SERVERS, "among 501 containers"),
        (Engine.VLLM, [{**VLLM, "args": ["m", "--headless"]}], Reason.NO_SERVER, "told not to serve HTTP"),
    ],
)
def test_a_doubt_about_the_container_is_said(
    engine: Engine, containers: list[dict[str, Any]], reason: Reason, told: str
) -> None:
    """Several that fit alike, or none, is a problem that names the annotation."""
    found = problem(*containers, engine=engine)
    assert found.reason is reason
    assert told in found.message
    assert found.path.startswith("spec.containers")


def test_the_annotation_decides_which_container() -> None:
    """`container` settles it, even for one that looks like nothing."""
    second = {**VLLM, "name": "b", "args": ["m", "--port", "9"]}
    assert server(VLLM, second, container="b").port == 9
    assert server(OLLAMA, NGINX, container="nginx").port == 80
    missing = problem(VLLM, NGINX, container="vlm")
    assert (missing.reason, missing.path) == (Reason.NO_SERVER, "spec.containers")
    assert missing.message == f"{DOMAIN}/container says vlm; the pod has 'vllm', 'nginx'"


@pytest.mark.parametrize(
    ("labels", "leads"),
    [
        ({}, True),
        ({"leaderworkerset.sigs.k8s.io/name": "x", "leaderworkerset.sigs.k8s.io/worker-index": "0"}, True),
        ({"leaderworkerset.sigs.k8s.io/name": "x", "leaderworkerset.sigs.k8s.io/worker-index": "1"}, False),
        ({"leaderworkerset.sigs.k8s.io/name": "x"}, False),
    ],
)
def test_of_a_leaderworkerset_only_the_leader_serves(labels: dict[str, str], leads: bool) -> None:  # noqa: FBT001 - a table's column
    """A worker's index may not be set yet when it is created; a leader's is."""
    found = detect(pod(VLLM, labels=labels), Engine.VLLM, Wishes())
    assert (
        isinstance(found, Server)
        if leads
        else found
        == Problem(Reason.NOT_LEADER, "a worker of a LeaderWorkerSet; only its leader serves", "spec")
    )


@pytest.mark.parametrize(
    ("container", "label", "engine"),
    [
        (VLLM, Engine.AUTO, Engine.VLLM),
        (OLLAMA, Engine.AUTO, Engine.OLLAMA),
        ({"name": "l", "image": "ghcr.io/ggml-org/llama.cpp:server"}, Engine.AUTO, Engine.AUTO),
        ({"name": "x", "image": "x", "ports": ports(80)}, Engine.AUTO, Engine.AUTO),
        (VLLM, Engine.OPENAI, Engine.OPENAI),
    ],
)
def test_auto_becomes_the_engine_that_is_certain(
    container: dict[str, Any], label: Engine, engine: Engine
) -> None:
    """Where the command says it, auto is settled; all else the registrar finds out, and labels stay."""
    assert server(container, engine=label).engine is engine


# --- the port


@pytest.mark.parametrize(
    ("container", "engine", "port"),
    [
        (VLLM, Engine.VLLM, 8000),
        ({**VLLM, "args": ["m", "--port=81"]}, Engine.VLLM, 81),
        ({**VLLM, "args": ["m", "--port", "$(P)"], "env": variables(P="82")}, Engine.VLLM, 82),
        ({**VLLM, "args": ["m", "--port", "81"], "ports": ports(9000)}, Engine.VLLM, 81),
        ({**VLLM, "ports": ports(("container-port", 83))}, Engine.VLLM, 83),
        ({**VLLM, "ports": ports(8000, ("http", 9000))}, Engine.VLLM, 8000),
        ({**VLLM, "ports": ports(("metrics", 9000))}, Engine.VLLM, 8000),
        ({**VLLM, "ports": ports(("http-metrics", 9000), 84)}, Engine.VLLM, 84),
        ({**VLLM, "ports": ports(("http", 85), ("x", 86))}, Engine.VLLM, 85),
        ({**VLLM, "ports": ports(1, 2)}, Engine.VLLM, 8000),
        ({**VLLM, "ports": [{"containerPort": 87, "protocol": "UDP"}]}, Engine.VLLM, 8000),
        ({**VLLM, "ports": ports(88, 89), "readinessProbe": {"httpGet": {"port": 89}}}, Engine.VLLM, 89),
        (shell("vllm serve $MODEL --port 90"), Engine.VLLM, 90),
        (shell("vllm serve m --port $P", env=variables(P="91")), Engine.VLLM, 91),
        (shell("vllm serve m --port $P", ports=ports(92)), Engine.VLLM, 92),
        (shell("vllm serve m --port 93 $EXTRA"), Engine.VLLM, 93),
        (shell("python3 -m vllm.entrypoints.openai.api_server --port 94"), Engine.VLLM, 94),
        (shell("python -W ignore -u -m vllm.entrypoints.openai.api_server --port 113"), Engine.VLLM, 113),
        (shell("python /site-packages/vllm/entrypoints/openai/api_server.py --port 114"), Engine.VLLM, 114),
        (shell("python3 /usr/local/bin/vllm serve m --port 115"), Engine.VLLM, 115),
        (
            shell("python3; python3 -m; python3 -m x; python3 python3; vllm serve --port 116"),
            Engine.VLLM,
            116,
        ),
        (shell("ray start --head && vllm serve m --port 95"), Engine.VLLM, 95),
        (
            shell(
                "bash /vllm-workspace/multi-node-serving.sh leader --ray_cluster_size=$(LWS_GROUP_SIZE);\n"
                "python3 -m vllm.entrypoints.openai.api_server --port 8080 --tensor-parallel-size 8"
            ),
            Engine.VLLM,
            8080,
        ),
        (shell("if a; then vllm serve m --port 96; else vllm serve n --port 96; fi"), Engine.VLLM, 96),
        (shell("cat <<EOF | sh", ports=ports(97)), Engine.VLLM, 97),
        (shell("$START", ports=ports(("http", 98), 1)), Engine.VLLM, 98),
        ({**VLLM, "args": ["m", "--config", "f"], "ports": ports(99)}, Engine.VLLM, 99),
        ({**VLLM, "args": ["m", "--config", "f", "--port", "100"]}, Engine.VLLM, 100),
        ({"name": "x", "image": "private/x", "env": variables(MODEL_NAME="org/m")}, Engine.VLLM, 8000),
        ({"name": "x", "image": "private/x", "args": ["--model=m", "--port=101"]}, Engine.VLLM, 101),
        ({"name": "x", "image": "private/x", "args": ["vllm", "serve", "m", "--port=102"]}, Engine.VLLM, 102),
        ({"name": "x", "image": "x", "command": ["python3", "-m", "huggingfaceserver"]}, Engine.VLLM, 8080),
        (OLLAMA, Engine.OLLAMA, 11434),
        ({**OLLAMA, "env": variables(OLLAMA_HOST="0.0.0.0:103")}, Engine.OLLAMA, 103),
        ({**OLLAMA, "env": variables(OLLAMA_HOST="http://0.0.0.0")}, Engine.OLLAMA, 80),
        ({**OLLAMA, "env": variables(OLLAMA_HOST=":$(P)"), "ports": ports(104)}, Engine.OLLAMA, 104),
        ({**OLLAMA, "ports": ports(105)}, Engine.OLLAMA, 105),
        (
            shell("ollama serve & sleep 5; ollama pull m; wait", image="ollama/ollama"),
            Engine.OLLAMA,
            11434,
        ),
        (
            shell("OLLAMA_HOST=0.0.0.0:106 ollama serve & until ollama list; do sleep 1; done; wait"),
            Engine.OLLAMA,
            106,
        ),
        ({"name": "l", "image": "ghcr.io/ggml-org/llama.cpp:server-cuda"}, Engine.OPENAI, 8080),
        (
            {"name": "l", "image": "ghcr.io/ggml-org/llama.cpp:full", "args": ["--server", "--port", "117"]},
            Engine.OPENAI,
            117,
        ),
        ({"name": "l", "image": "x", "command": ["/app/llama-server", "--port", "107"]}, Engine.OPENAI, 107),
        (
            {"name": "s", "image": "lmsysorg/sglang", "command": ["python3", "-m", "sglang.launch_server"]},
            Engine.OPENAI,
            30000,
        ),
        (
            {"name": "t", "image": "ghcr.io/huggingface/text-generation-inference:3"},
            Engine.OPENAI,
            80,
        ),
        ({"name": "x", "image": "x", "args": ["--port", "108"], "ports": ports(1)}, Engine.OPENAI, 108),
        ({"name": "x", "image": "x", "env": variables(PORT="109"), "ports": ports(1)}, Engine.AUTO, 109),
        ({"name": "x", "image": "x", "ports": ports(1, ("https-api", 110))}, Engine.OPENAI, 110),
        ({"name": "x", "image": "x", "ports": ports(111)}, Engine.OPENAI, 111),
        (
            {
                "name": "x",
                "image": "x",
                "ports": ports(1, ("a", 112)),
                "livenessProbe": {"tcpSocket": {"port": "a"}},
            },
            Engine.OPENAI,
            112,
        ),
    ],
)
def test_where_the_server_listens(container: dict[str, Any], engine: Engine, port: int) -> None:
    """The command line first, then the environment, the declared ports and probes, the engine's own port."""
    assert server(container, engine=engine).port == port


@pytest.mark.parametrize(
    ("container", "engine", "reason", "told"),
    [
        (shell("vllm serve m --port $P"), Engine.VLLM, Reason.COMMAND_UNRESOLVABLE, "the port is $(P)"),
        (
            {**VLLM, "args": ["m", "--port=$(P)"], "env": variables(P=SECRET)},
            Engine.VLLM,
            Reason.COMMAND_UNRESOLVABLE,
            "the port is $(P)",
        ),
        (
            shell("vllm serve m $ARGS"),
            Engine.VLLM,
            Reason.COMMAND_UNRESOLVABLE,
            "a variable may name the port",
        ),
        (
            shell("exec vllm serve $ARGS"),
            Engine.VLLM,
            Reason.COMMAND_UNRESOLVABLE,
            "a variable may name the port",
        ),
        ({**VLLM, "args": ["--config", "f"]}, Engine.VLLM, Reason.COMMAND_UNRESOLVABLE, "a config file"),
        (shell("$START"), Engine.VLLM, Reason.COMMAND_UNRESOLVABLE, "it starts no server known here"),
        (shell("vllm serve 'm"), Engine.VLLM, Reason.COMMAND_UNRESOLVABLE, "a quote is not closed"),
        (
            {**OLLAMA, "env": variables(OLLAMA_HOST=SECRET)},
            Engine.OLLAMA,
            Reason.COMMAND_UNRESOLVABLE,
            "the port is $(OLLAMA_HOST)",
        ),
        ({**VLLM, "args": ["m", "--port", "0"]}, Engine.VLLM, Reason.PORT_UNKNOWN, "the port is '0'"),
        ({**VLLM, "args": ["m", "--port", "x"]}, Engine.VLLM, Reason.PORT_UNKNOWN, "allowed is 1 to 65535"),
        (
            {**VLLM, "args": ["m", "--port", "00080" + "9" * 9999]},
            Engine.VLLM,
            Reason.PORT_UNKNOWN,
            "allowed is",
        ),
        ({"name": "x", "image": "x"}, Engine.OPENAI, Reason.PORT_UNKNOWN, "no single port is declared"),
        (
            {"name": "x", "image": "x", "ports": ports(1, 2)},
            Engine.AUTO,
            Reason.PORT_UNKNOWN,
            "no single port",
        ),
    ],
)
def test_a_port_that_cannot_be_known_is_a_named_reason(
    container: dict[str, Any], engine: Engine, reason: Reason, told: str
) -> None:
    """The message says what hides the port, and the annotation settles it."""
    found = problem(container, engine=engine)
    assert found.reason is reason
    assert told in found.message
    assert f"{DOMAIN}/port" in found.message or "allowed is" in found.message
    assert found.path in {f"spec.containers[0].{field}" for field in ("args", "command", "image")}
    assert server(container, engine=engine, port=7).port == 7


def test_of_several_servers_in_one_container_the_annotation_chooses() -> None:
    """Two servers started by one script are told apart by their ports."""
    both = shell("vllm serve a --port 8001 & vllm serve b --port 8002 --api-key k & wait")
    found = problem(both)
    assert (found.reason, found.path) == (Reason.SEVERAL_SERVERS, "spec.containers[0].command")
    assert f"main starts servers on ports 8001, 8002; choose one in {DOMAIN}/port" in found.message
    assert server(both, port=8001).api_key is None
    assert server(both, port=8002).api_key == {"value": "k"}
    default = shell("vllm serve a --port 8001 & vllm serve b --api-key k & ollama serve & wait")
    assert "on ports 8001, 8000; choose" in problem(default).message
    assert server(default, port=8000).api_key == {"value": "k"}
    assert server(default, engine=Engine.OLLAMA).port == 11434


# --- how it is reached


@pytest.mark.parametrize(
    ("container", "engine", "reason"),
    [
        ({**VLLM, "args": ["m", "--uds", "/s"]}, Engine.VLLM, Reason.UNIX_SOCKET),
        ({**VLLM, "args": ["m", "--host", "127.0.0.1"]}, Engine.VLLM, Reason.LOOPBACK_ONLY),
        ({**VLLM, "args": ["m", "--host=localhost"]}, Engine.VLLM, Reason.LOOPBACK_ONLY),
        ({**VLLM, "args": ["m", "--host", "::1"]}, Engine.VLLM, Reason.LOOPBACK_ONLY),
        ({**OLLAMA, "env": variables(OLLAMA_HOST="127.0.0.1:11434")}, Engine.OLLAMA, Reason.LOOPBACK_ONLY),
        ({**OLLAMA, "env": variables(OLLAMA_HOST="")}, Engine.OLLAMA, Reason.LOOPBACK_ONLY),
        (
            {"name": "l", "image": "x", "command": ["llama-server", "--host", "/run/l.sock"]},
            Engine.OPENAI,
            Reason.UNIX_SOCKET,
        ),
    ],
)
def test_a_server_nobody_outside_can_reach_is_a_named_reason(
    container: dict[str, Any], engine: Engine, reason: Reason
) -> None:
    """A socket file or loopback is refused, unless the annotation names the port of a proxy before it."""
    assert problem(container, engine=engine).reason is reason
    assert server(container, engine=engine, port=80).port == 80


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "$(POD_IP)", "10.0.0.1", "localhost.svc"])  # noqa: S104 - read, not bound
def test_a_host_that_may_be_reached_is_no_problem(host: str) -> None:
    """Only what is certainly loopback is refused."""
    args = {
        "args": ["m", "--host", host],
        "env": variables(POD_IP={"fieldRef": {"fieldPath": "status.podIP"}}),
    }
    assert server({**VLLM, **args}).port == 8000


TLS = {**VLLM, "args": ["m", "--ssl-certfile", "c", "--ssl-keyfile", "k"]}


def test_tls_needs_the_name_in_the_certificate() -> None:
    """A server with TLS is reached by the name its certificate holds, which only people know."""
    found = problem(TLS)
    assert (found.reason, found.path) == (Reason.TLS_NEEDS_HOST, "spec.containers[0].args")
    assert f"{DOMAIN}/host" in found.message
    assert (server(TLS, host="a.b").scheme, server(TLS, host="a.b").host) == ("https", "a.b")


@pytest.mark.parametrize(
    ("container", "wishes", "scheme"),
    [
        (VLLM, {}, "http"),
        (VLLM, {"scheme": "https", "host": "h"}, "https"),
        (TLS, {"scheme": "http"}, "http"),
        (
            {**VLLM, "livenessProbe": {"httpGet": {"port": 8000, "scheme": "HTTPS"}}},
            {"host": "h"},
            "https",
        ),
        ({**VLLM, "livenessProbe": {"httpGet": {"port": 9, "scheme": "HTTPS"}}}, {}, "http"),
        (VLLM, {"host": "h"}, "http"),
    ],
)
def test_the_scheme(container: dict[str, Any], wishes: dict[str, Any], scheme: str) -> None:
    """The annotation, else the options, else a probe that asks the very port by HTTPS."""
    assert server(container, **wishes).scheme == scheme


@pytest.mark.parametrize(
    ("args", "wishes", "path"),
    [
        (["m", "--root-path", "/qwen"], {}, "/qwen"),
        (["m", "--root-path", "qwen/"], {}, "/qwen"),
        (["m", "--root-path", "/"], {}, ""),
        (["m", "--root-path", "/qwen"], {"path": ""}, ""),
        (["m"], {"path": "/a"}, "/a"),
    ],
)
def test_the_path_prefix(args: list[str], wishes: dict[str, Any], path: str) -> None:
    """From `--root-path`, or from the annotation, which may also take it away."""
    assert server({**VLLM, "args": args}, **wishes).path == path


def test_a_hidden_path_prefix_is_a_named_reason() -> None:
    """A prefix known only at run time is asked for."""
    found = problem(shell("vllm serve m --root-path $PREFIX"))
    assert found.reason is Reason.COMMAND_UNRESOLVABLE
    assert (
        f"the path prefix is $(PREFIX), known only in the running container; say it in {DOMAIN}/path"
        in str(found)
    )


# --- its API key


@pytest.mark.parametrize(
    ("container", "key"),
    [
        (VLLM, None),
        ({**VLLM, "args": ["m", "--api-key", "k"]}, {"value": "k"}),
        ({**VLLM, "args": ["m", "--api-key", "$(K)"], "env": variables(K="k")}, {"value": "k"}),
        ({**VLLM, "args": ["m", "--api-key", "$(K)"], "env": variables(K=SECRET)}, {"valueFrom": SECRET}),
        ({**VLLM, "args": ["m", "--api-key=$(K)"], "env": variables(K=SECRET)}, {"valueFrom": SECRET}),
        ({**VLLM, "env": variables(VLLM_API_KEY="k")}, {"value": "k"}),
        ({**VLLM, "env": variables(VLLM_API_KEY=SECRET)}, {"valueFrom": SECRET}),
        ({**VLLM, "env": variables(K=SECRET, VLLM_API_KEY="$(K)")}, {"valueFrom": SECRET}),
        ({**VLLM, "env": variables(VLLM_API_KEY="")}, None),
        (shell('vllm serve m --api-key "$K"', env=variables(K=SECRET)), {"valueFrom": SECRET}),
        (shell("export K2=$K; vllm serve m --api-key $K2", env=variables(K=SECRET)), {"valueFrom": SECRET}),
        (
            {**VLLM, "env": [*variables(VLLM_API_KEY={"x": 1}), *variables(VLLM_API_KEY=SECRET)]},
            {"valueFrom": SECRET},
        ),
    ],
)
def test_where_the_api_key_comes_from(container: dict[str, Any], key: Any) -> None:
    """A literal is copied as a value, a reference as the same reference, never resolved."""
    assert server(container).api_key == key


@pytest.mark.parametrize(
    "container",
    [
        {**VLLM, "args": ["m", "--api-key", "$(K)"]},
        {**VLLM, "args": ["m", "--api-key", "sk-$(K)"], "env": variables(K=SECRET)},
        shell("vllm serve m --api-key $(cat /key)"),
        shell("[ -n x ] && K=other; vllm serve m --api-key $K", env=variables(K=SECRET)),
    ],
)
def test_a_key_that_cannot_be_copied_is_a_named_reason(container: dict[str, Any]) -> None:
    """A key that is no literal and no whole env entry would leave the registrar outside."""
    found = problem(container)
    assert found.reason is Reason.COMMAND_UNRESOLVABLE
    assert "an env entry that is the whole key can be copied" in found.message
    assert "sk-" not in found.message


def test_a_key_is_shown_nowhere() -> None:
    """Neither what was detected nor a problem beside it shows a literal key."""
    container = {**VLLM, "args": ["m", "--api-key", "sk-secret", "--ssl-keyfile", "k"]}
    assert "sk-secret" not in repr(server(container, host="h"))
    assert "sk-secret" not in repr(problem(container))


def test_a_template_has_its_own_paths() -> None:
    """Problems in a workload's template are named from the workload's root."""
    found = detect(
        pod(NGINX, {**VLLM, "args": ["--config", "f"]}), Engine.VLLM, Wishes(), "spec.template.spec"
    )
    assert isinstance(found, Problem)
    assert found.path == "spec.template.spec.containers[1].args"


# --- hostile shapes


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["vllm", "ollama serve"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TEXTS = st.sampled_from(
    [
        *(
            "vllm",
            "serve",
            "sh",
            "-c",
            "ollama",
            "python3",
            "-m",
            "env",
            "tini",
            "--",
            "$(A)",
            "--port",
            "x=y",
        ),
        *("vllm serve $X --port=1", "vllm serve 'x", "--api-key", "VLLM_API_KEY", "vllm/vllm-openai", ""),
        *("huggingfaceserver", "sglang.launch_server", "--config", "-lc", "ollama serve & ollama pull x"),
    ]
)
VALUES = JSON | TEXTS
CONTAINERS = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES,
        "image": VALUES,
        "command": st.lists(VALUES) | VALUES,
        "args": st.lists(VALUES) | VALUES,
        "env": st.lists(
            st.fixed_dictionaries({}, optional={"name": VALUES, "value": VALUES, "valueFrom": VALUES}) | JSON
        )
        | JSON,
        "ports": st.lists(
            st.fixed_dictionaries({}, optional={"name": VALUES, "containerPort": VALUES, "protocol": VALUES})
        )
        | JSON,
        "readinessProbe": st.dictionaries(
            st.sampled_from(["httpGet", "tcpSocket"]),
            st.dictionaries(st.sampled_from(["port", "scheme", "host"]), VALUES) | JSON,
        )
        | JSON,
    },
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CONTAINERS | JSON, max_size=3) | JSON, JSON, st.sampled_from(Engine))
def test_no_shape_of_a_pod_raises(containers: Any, other: Any, engine: Engine) -> None:
    """Whatever JSON stands where a pod should be, the answer is a server or a problem."""
    hostile: tuple[Any, ...] = ({"spec": {"containers": containers}, "metadata": other}, {"spec": other}, {})
    for found in hostile:
        for wishes in (Wishes(), Wishes(container="vllm"), Wishes(port=1, host="h")):
            answer = detect(found, engine, wishes)
            assert isinstance(answer, Server | Problem)
            assert str(answer)


def test_deep_nesting_raises_nothing() -> None:
    """Lists within lists within lists, wherever texts should be."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    fields = ("name", "image", "command", "args", "env", "ports", "readinessProbe")
    for field in fields:
        answer = detect(pod({"name": "x", field: deep}), Engine.VLLM, Wishes())
        assert isinstance(answer, Server | Problem)
    while deep:
        deep = deep.pop()

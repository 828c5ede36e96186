"""Which models Ollama is told to load, in every way it can be told."""

from typing import Any

import pytest

from tests.items import line, loaded, reading
from webhook.sources import loaders, ollama_sources
from webhook.sources.found import Source
from webhook.sources.ollama_names import location

LIBRARY = "ollama://registry.ollama.ai/library"
API = "http://localhost:11434/api"


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("llama3.2", f"{LIBRARY}/llama3.2:latest"),
        ("llama3.2:3b", f"{LIBRARY}/llama3.2:3b"),
        ("Llama3.2:3B", f"{LIBRARY}/Llama3.2:3B"),
        ("mike/mistral", "ollama://registry.ollama.ai/mike/mistral:latest"),
        ("registry.ollama.ai/library/x", f"{LIBRARY}/x:latest"),
        ("REGISTRY.ollama.AI/library/x", f"{LIBRARY}/x:latest"),
        ("https://registry.ollama.ai/library/x:1", f"{LIBRARY}/x:1"),
        ("http://localhost:5000/a/b", "ollama://localhost:5000/a/b:latest"),
        ("http:///a/b", "ollama://registry.ollama.ai/a/b:latest"),
        ("reg:5000/a/b:c", "ollama://reg:5000/a/b:c"),
        ("hf.co/Org/Repo-GGUF:Q4_K_M", "ollama://hf.co/Org/Repo-GGUF:Q4_K_M"),
        ("huggingface.co/Org/Repo", "ollama://huggingface.co/Org/Repo:latest"),
        (" x ", f"{LIBRARY}/x:latest"),
        ("gpt-oss:20b-cloud", f"{LIBRARY}/gpt-oss:20b-cloud"),
        ("gpt-oss:cloud", f"{LIBRARY}/gpt-oss:cloud"),
        ("gpt-oss:20b:Cloud", f"{LIBRARY}/gpt-oss:20b-cloud"),
        ("gpt-oss:20b:local", f"{LIBRARY}/gpt-oss:20b"),
        ("_x", f"{LIBRARY}/_x:latest"),
    ],
)
def test_a_name_has_one_canonical_form(name: str, canonical: str) -> None:
    """Host, namespace and tag are filled in; case stays, save that of the host."""
    assert str(location(name)) == canonical


@pytest.mark.parametrize(
    "name",
    [
        *("", ":", "x:", ":t", "/", "/x", "x/", "n//m", "h//m", "//m", "a/b/c/d", "https://x/m", "a:b:c"),
        *("x@sha256:abc", "x:t@sha256:abc", "n.s/m", "../m", ".x", "-x", "x:-t", "a b", "x\0y", "м"),
        *("x" * 81, f"x:{'t' * 81}", f"{'h' * 351}/n/m", "h/" + "n" * 81 + "/m", "?x", "x y:z", "ns/x:a/b"),
    ],
)
def test_what_ollama_refuses_is_no_location(name: str) -> None:
    """A name with a digest, with empty or endless parts, or with other characters is none."""
    assert location(name) is None


@pytest.mark.parametrize(
    ("command", "items"),
    [
        (["ollama", "pull", "llama3.2"], [f"weights {LIBRARY}/llama3.2:latest"]),
        (["/bin/ollama", "pull", "a/b:c"], ["weights ollama://registry.ollama.ai/a/b:c"]),
        (
            ["ollama", "pull", "--insecure", "h/a/b"],
            ["insecure-registry=--insecure", "weights ollama://h/a/b:latest"],
        ),
        (
            ["ollama", "pull", "x", "--insecure=true"],
            ["insecure-registry=--insecure", f"weights {LIBRARY}/x:latest"],
        ),
        (["ollama", "pull", "--insecure=false", "x"], [f"weights {LIBRARY}/x:latest"]),
        (["ollama", "--verbose", "pull", "x"], [f"weights {LIBRARY}/x:latest"]),
        (["ollama", "pull", "--", "x"], [f"weights {LIBRARY}/x:latest"]),
        (["ollama", "run", "x", "say hello"], [f"model {LIBRARY}/x:latest"]),
        (["ollama", "run", "--keepalive", "5m", "x"], [f"model {LIBRARY}/x:latest"]),
        (["ollama", "run", "--think", "x"], [f"model {LIBRARY}/x:latest"]),
        (["ollama", "run", "x:30b-cloud"], [f"model {LIBRARY}/x:30b-cloud"]),
        (["ollama", "push", "me/x"], ["weights ollama://registry.ollama.ai/me/x:latest"]),
        (["ollama", "cp", "evil/x", "llama3.2"], ["weights ollama://registry.ollama.ai/evil/x:latest"]),
        (["ollama", "create", "x"], ["? weights config_file"]),
        (["ollama", "create", "x", "-f", "/m/Modelfile"], ["? weights config_file"]),
        (["ollama", "create", "-q", "q4_K_M", "-f=/m", "x"], ["? weights config_file"]),
        (["ollama", "launch", "codex", "--model", "x"], [f"model {LIBRARY}/x:latest"]),
        (["ollama", "pull", "x@sha256:1"], ["? weights bad_value"]),
        (["ollama", "list"], []),
        (["ollama", "show", "x"], []),
        (["ollama", "rm", "x"], []),
        (["ollama", "pull"], []),
        (["ollama"], []),
        ("ollama pull $M", ["? model variable"]),
        ('ollama pull "$M"', ["? weights variable"]),
        ("ollama $WHAT x", ["? model variable"]),
        ("M=a/b; ollama pull $M", ["weights ollama://registry.ollama.ai/a/b:latest"]),
        ("until ollama pull x; do sleep 1; done", [f"weights {LIBRARY}/x:latest"]),
        ("ollama serve & sleep 5 && ollama pull x", [f"weights {LIBRARY}/x:latest"]),
        ("timeout 60 ollama pull x", [f"weights {LIBRARY}/x:latest"]),
        ("env OLLAMA_HOST=ollama:11434 ollama pull x || true", [f"weights {LIBRARY}/x:latest"]),
        ("cat /list | xargs -n1 ollama pull", ["? weights variable"]),
        ("trap 'ollama pull x' EXIT; sleep 1", [f"weights {LIBRARY}/x:latest"]),
        ("trap -- 'kill $P' TERM INT; trap - EXIT; trap '' INT", []),
        ("busybox timeout 9 ollama pull x", [f"weights {LIBRARY}/x:latest"]),
        ("ollama pull a; ollama pull b", [f"weights {LIBRARY}/a:latest", f"weights {LIBRARY}/b:latest"]),
    ],
)
def test_commands_name_models(command: Any, items: list[str]) -> None:
    """`pull`, `run`, `push`, `cp` and `create` of Ollama, with its options, alone and in scripts."""
    assert loaded(command) == items


def post(path: str, body: str, *options: str) -> list[str]:
    """Give the words of a request."""
    return ["curl", *options, f"{API}/{path}", "-d", body]


@pytest.mark.parametrize(
    ("command", "items"),
    [
        (post("pull", '{"model":"x"}'), [f"weights {LIBRARY}/x:latest"]),
        (post("pull", '{"name":"x"}'), [f"weights {LIBRARY}/x:latest"]),
        (post("pull", '{"name":"y","model":"x"}'), [f"weights {LIBRARY}/x:latest"]),
        (post("pull", '{"model":"","name":"x"}'), [f"weights {LIBRARY}/x:latest"]),
        (post("pull", '{"MODEL":"x"}'), [f"weights {LIBRARY}/x:latest"]),
        (post("pull", '{"model":"y","model":"x"}'), [f"weights {LIBRARY}/x:latest"]),
        (post("pull", '{"model":"x","Model":null}'), [f"weights {LIBRARY}/x:latest"]),
        (post("pull", '{"m\\u006fdel":"x"}'), [f"weights {LIBRARY}/x:latest"]),
        (post("pull", '{"model":"x"} and more'), [f"weights {LIBRARY}/x:latest"]),
        (
            post("pull", '{"model":"x","insecure":true}'),
            ["insecure-registry=insecure", f"weights {LIBRARY}/x:latest"],
        ),
        (post("pull", "{"), ["? weights bad_value"]),
        (post("pull", "[" * 60000), ["? weights bad_value"]),
        (post("pull", "@/config/body.json"), ["? weights variable"]),
        (post("generate", '{"model":"x:cloud","prompt":"hi"}'), [f"model {LIBRARY}/x:cloud"]),
        (post("chat", '{"model":"x"}'), [f"model {LIBRARY}/x:latest"]),
        (post("embed", '{"model":"x"}'), [f"model {LIBRARY}/x:latest"]),
        (post("embeddings", '{"model":"x"}'), [f"model {LIBRARY}/x:latest"]),
        (post("push", '{"model":"me/x"}'), ["weights ollama://registry.ollama.ai/me/x:latest"]),
        (
            post("copy", '{"source":"a/b","destination":"x"}'),
            ["weights ollama://registry.ollama.ai/a/b:latest"],
        ),
        (post("create", '{"model":"m","from":"a/b"}'), ["weights ollama://registry.ollama.ai/a/b:latest"]),
        (post("create", '{"model":"m","files":{"f":"sha256:1"}}'), ["? weights config_file"]),
        (post("create", '{"name":"m","modelfile":"FROM a/b"}'), ["? weights config_file"]),
        (
            post("create", '{"model":"m","from":"x","remote_host":"https://evil.example"}'),
            ["hub-endpoint=https://evil.example", f"weights {LIBRARY}/x:latest"],
        ),
        (post("tags", '{"model":"x"}'), []),
        (post("show", '{"model":"x"}'), []),
        (["curl", f"{API}/pull"], []),
        (
            ["curl", "-X", "POST", "ollama.ns.svc:80/api/pull", "--json", '{"model":"x"}'],
            [f"weights {LIBRARY}/x:latest"],
        ),
        (["curl", f"{API}/pull", "--json", '{"model":', "--json", '"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", f"{API}/pull", "--data-raw", '{"model":"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", f"{API}/pull", '-d{"model":"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", f"{API}/pull", "--data-b", '{"model":"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", "--url", f"{API}/pull", '-sSfd{"model":"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", "-T", "body.json", "-X", "POST", f"{API}/pull"], ["? weights variable"]),
        (["curl", f"{API}/%70ull/?a=b", "-d", '{"model":"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", f"{API}/x/.././pull", "-d", '{"model":"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", f"{API}/pul[l-l]", "-d", '{"model":"x"}'], ["? weights ambiguous"]),
        (["curl", "http://[::1]:11434/api/pull", "-d", '{"model":"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", f"{API}/tags", f"{API}/pull", "-d", '{"model":"x"}'], [f"weights {LIBRARY}/x:latest"]),
        (["curl", f"{API}/pul{{l}}", "-d", '{"model":"x"}'], ["? weights ambiguous"]),
        (
            ["curl", "--request-target", "/api/pull", "http://o", "-d", '{"model":"x"}'],
            [f"weights {LIBRARY}/x:latest"],
        ),
        (["http", "POST", ":11434/api/pull", "model=x"], [f"weights {LIBRARY}/x:latest"]),
        (["http", "o:11434/api/pull", 'model:="x"'], [f"weights {LIBRARY}/x:latest"]),
        (["http", "o:11434/api/pull", "@/body.json"], ["? weights variable"]),
        (["nc", "localhost", "11434"], ["? weights config_file"]),
        (["curl", "-K", "/config/curlrc"], ["? weights config_file"]),
        (["wget", "-qO-", '--post-data={"model":"x"}', f"{API}/pull"], [f"weights {LIBRARY}/x:latest"]),
        (
            ["wget", "--method=POST", '--body-data={"model":"x"}', f"{API}/pull"],
            [f"weights {LIBRARY}/x:latest"],
        ),
        (["wget", "--post-file=/b.json", f"{API}/pull"], ["? weights variable"]),
        ('curl $HOST/api/pull -d \'{"model":"x"}\'', [f"weights {LIBRARY}/x:latest"]),
        ('curl $URL -d \'{"model":"x"}\'', ["? weights variable"]),
        ('curl localhost/api/pull -d "{\\"model\\":\\"$M\\"}"', ["? weights variable"]),
        ('curl localhost/api/pull -d "$BODY"', ["? weights variable"]),
    ],
)
def test_requests_name_models(command: Any, items: list[str]) -> None:
    """Any request to Ollama's API that loads something, however its body is written and sent."""
    assert loaded(command) == items


@pytest.mark.parametrize(
    "command",
    [
        "curl -fsS http://localhost:11434/api/tags",
        'curl -s http://localhost:8000/v1/chat/completions -d \'{"model":"qwen"}\'',
        'curl -X POST https://hooks.example.com/x -d \'{"text":"up"}\'',
        "wget -q --spider http://localhost:11434",
        "echo ollama pull x",
        "until nc -z localhost 11434; do sleep 1; done",
        "apk add curl",
    ],
)
def test_other_requests_load_nothing(command: str) -> None:
    """Probes, warm-ups of other servers and notifications name no source."""
    assert loaded(command) == []


@pytest.mark.parametrize(
    ("remotes", "items"),
    [
        ("", []),
        ("ollama.com", []),
        ("evil.example,ollama.com", ["hub-endpoint=https://evil.example"]),
        ({"valueFrom": {}}, ["? hub-endpoint variable"]),
    ],
)
def test_other_hosts_may_answer_for_models(remotes: Any, items: list[str]) -> None:
    """`OLLAMA_REMOTES` lists hosts that prompts may be sent to."""
    assert loaded(["ollama", "serve"], {"OLLAMA_REMOTES": remotes}) == items


@pytest.mark.parametrize(
    ("env", "store"),
    [
        ({}, "model file:///root/.ollama/models (local)"),
        ({"HOME": "/home/o"}, "model file:///home/o/.ollama/models (local)"),
        ({"OLLAMA_MODELS": "/models"}, "model file:///models (local)"),
        ({"OLLAMA_MODELS": ' "/models" '}, "model file:///models (local)"),
        ({"OLLAMA_MODELS": {"valueFrom": {}}}, "? model variable"),
        ({"OLLAMA_MODELS": "/a/../b"}, "? model bad_value"),
    ],
)
def test_a_server_keeps_its_models_in_a_directory(env: dict[str, Any], store: str) -> None:
    """What is mounted there is what it serves from the start."""
    found = reading(["ollama", "serve"], env)
    assert line(ollama_sources.store(found, found.calls[0])) == store


def test_a_server_that_names_no_model_says_when_it_gets_one() -> None:
    """For a pod that pulls nothing: its models are known only while it runs."""
    found = reading(["ollama", "serve"])
    assert line(ollama_sources.at_run_time(found, found.calls[0])) == "? model runtime"


def test_an_item_stands_where_its_word_stands() -> None:
    """In args, behind the entrypoint of the image; in a script, at the script."""
    found = reading([], image="ollama/ollama:0.17.4", args=["pull", "--insecure", "x"])
    assert [item.path for item in loaders.items(found)] == [f"spec.containers[0].args[{n}]" for n in (1, 2)]
    script = reading(["sh", "-c", "ollama pull x"])
    assert [item.path for item in loaders.items(script)] == ["spec.containers[0].command[2]"]


def test_a_pull_goes_into_no_directory_of_its_own() -> None:
    """The server it asks stores it, wherever that runs."""
    (item,) = loaders.items(reading(["ollama", "pull", "x"]))
    assert isinstance(item, Source)
    assert item.into == ""

"""What vLLM's command lines and variables load and switch on, each with its place."""

from collections.abc import Mapping
from typing import Any

import pytest

from webhook.sources import programs, vllm_sources
from webhook.sources.container import read
from webhook.sources.found import Item, Source, Switch

SHA = "0123456789abcdef0123456789abcdef01234567"
SERVE = ["vllm", "serve"]
MODULE = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
M = "model hf://a/b args[0]"


def shown(item: Item) -> str:
    """Write an item in one line, its path within the container."""
    place = item.path.removeprefix("c.")
    if isinstance(item, Source):
        return f"{item.role} {item.location} {place}"
    if isinstance(item, Switch):
        return f"{item.name}={item.value} {place}"
    return f"?{item.about or 'anything'} {item.reason} {place}"


def found(container: Mapping[str, Any]) -> list[str]:
    """Read a container and give what its vLLM loads, a line each."""
    reading = read(0, "c", container)
    lines: list[str] = []
    for call in reading.calls:
        started = programs.start(call.words)
        start = programs.loads(call.words) if started is None else len(call.words) - len(started.words)
        if start is not None:
            lines += map(shown, vllm_sources.items(reading, call, start))
    return lines


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        # the model
        ("a/b", [M]),
        ("", ["model hf://Qwen/Qwen3-0.6B command[1]"]),
        ("--port 1 a/b", ["model hf://a/b args[2]"]),
        ("--model a/b", ["model hf://a/b args[1]"]),
        ("--port 1 --model=a/b", ["model hf://a/b args[2]"]),
        ("--model a/b --model c/d", ["model hf://a/b args[1]"]),
        ("c/d --model a/b", ["model hf://a/b args[2]", "model hf://c/d args[0]"]),
        ("-- a/b", ["model hf://a/b args[1]"]),
        ("--served-model-name x a/b", ["model hf://Qwen/Qwen3-0.6B command[1]"]),
        ("/mnt/models/m", ["model file:///mnt/models/m args[0]"]),
        ("S3://bucket/key", ["model s3://bucket/key args[0]"]),
        ("a/b:Q4_K_M", ["model hf://a/b:Q4_K_M args[0]"]),
        ("a/b/../c", ["?model bad_value args[0]"]),
        # revisions, and what has one of its own
        (f"a/b --revision {SHA}", [f"model hf://a/b@{SHA} args[0]"]),
        ("a/b --rev=main", ["model hf://a/b@main args[0]"]),
        ("a/b --revision v1 --revision None", [M]),
        ("a/b --tokenizer t/t", [M, "tokenizer hf://t/t args[2]"]),
        ("a/b --revision v1 --tokenizer t/t", ["model hf://a/b@v1 args[0]", "tokenizer hf://t/t@v1 args[4]"]),
        ("a/b --tokenizer t/t --tokenizer-revision v2", [M, "tokenizer hf://t/t@v2 args[2]"]),
        ("a/b --tokenizer_revision v2", [M, "tokenizer hf://a/b@v2 args[2]"]),
        ("a/b --code-revision v3", [M]),
        (
            "a/b --code-revision v3 --trust-remote-code",
            [M, "code hf://a/b@v3 args[2]", "trust-remote-code=--trust-remote-code args[3]"],
        ),
        (
            "a/b --hf-config-path c/d --revision v1",
            ["model hf://a/b@v1 args[0]", "config hf://c/d@v1 args[2]"],
        ),
        ("a/b --generation-config c/d", [M, "config hf://c/d args[2]"]),
        ("a/b --generation-config vllm", [M]),
        ("a/b --chat-template /t/c.jinja", [M, "config file:///t/c.jinja args[2]"]),
        ("a/b --chat-template {{x}}", [M]),
        # drafts
        ('a/b -sc {"model":"d/e","revision":"v1"}', [M, "draft hf://d/e@v1 args[2]"]),
        ("a/b --speculative-config.model d/e", [M, "draft hf://d/e args[2]"]),
        (
            "a/b --speculative_config.revision=v1 --port 1 --speculative-config.model d/e",
            [M, "draft hf://d/e@v1 args[5]"],
        ),
        ('a/b -sc {"model":"x/y"} -sc.model d/e', [M, "draft hf://d/e args[4]"]),
        ('a/b -sc {"method":"ngram"}', [M]),
        ('a/b -sc {"model":"my.Proposer"}', [M, "plugin=my.Proposer args[2]"]),
        ("a/b --spec-model d/e", [M, "draft hf://d/e args[2]"]),
        ("a/b --speculative-model d/e", [M, "draft hf://d/e args[2]"]),
        ("a/b --speculative-model [ngram]", [M]),
        # adapters
        (
            'a/b --lora-modules x=l/m {"name":"y","path":"/l"}',
            [M, "lora hf://l/m args[2]", "lora file:///l args[3]"],
        ),
        ("a/b --lora-modules nonsense", [M, "?lora bad_value args[2]"]),
        ('a/b --lora-modules {"name":"y"}', [M, "?lora bad_value args[2]"]),
        ("a/b --default-mm-loras.audio l/m", [M, "lora hf://l/m args[2]"]),
        ("a/b --prompt-adapters x=l/m", [M, "lora hf://l/m args[2]"]),
        # weights from elsewhere
        (
            'a/b --load-format tensorizer --model-loader-extra-config {"tensorizer_uri":"s3://w/m"}',
            [M, "weights s3://w/m args[4]"],
        ),
        ("a/b --model-loader-extra-config.tensorizer_dir /w", [M, "weights file:///w args[2]"]),
        ("a/b --load-format ipc_cache", [M, "?weights runtime args[2]"]),
        # trust
        (
            "a/b --trust-rem",
            [M, "code hf://a/b args[1]", "trust-remote-code=--trust-rem args[1]"],
        ),
        ("a/b --trust_remote_code --no-trust-remote-code", [M]),
        (
            "a/b --no_trust_remote_code --trust_remote_code",
            [M, "code hf://a/b args[2]", "trust-remote-code=--trust_remote_code args[2]"],
        ),
        (
            "a/b --trust-remote-code --no-trust-remote-code=1",
            [M, "code hf://a/b args[1]", "trust-remote-code=--trust-remote-code args[1]"],
        ),
        (
            'a/b --hf-overrides {"trust_remote_code":true}',
            [M, "trust-remote-code=--hf-overrides.trust_remote_code args[2]"],
        ),
        ("a/b --hf-overrides.trust_remote_code=false", [M]),
        ("a/b --trust", ["?anything ambiguous args[1]", M]),
        # code
        ("a/b --middleware p.q --middleware r.s", [M, "plugin=p.q args[2]", "plugin=r.s args[4]"]),
        ("a/b --logits-processors p.q r.s", [M, "plugin=p.q args[2]", "plugin=r.s args[3]"]),
        ("a/b --worker-cls auto --worker-extension-cls p.q", [M, "plugin=p.q args[4]"]),
        ("a/b --tool-parser-plugin /p.py", [M, "plugin=/p.py args[2]"]),
        ("a/b --reasoning-parser-plugin=/p.py", [M, "plugin=/p.py args[1]"]),
        ("a/b --scheduler-cls p.q", [M, "plugin=p.q args[2]"]),
        ("a/b --io-processor-plugin prithvi", [M, "plugin=prithvi args[2]"]),
        ("a/b --distributed-executor-backend mp", [M]),
        ("a/b --distributed-executor-backend p.q", [M, "plugin=p.q args[2]"]),
        ('a/b --kv-transfer-config {"kv_connector_module_path":"p.q"}', [M, "plugin=p.q args[2]"]),
        ("a/b --ec-manager-config.encoder_cache_manager_cls p.q", [M, "plugin=p.q args[2]"]),
        ("a/b -cc.backend p.q", [M, "plugin=p.q args[2]"]),
        ("a/b -cc.backend inductor", [M]),
        ("a/b --model-class-overrides.X p:q", [M, "plugin=p:q args[2]"]),
        ("a/b --logging-config.pylogging_config_file /l.json", [M, "plugin=/l.json args[2]"]),
        # the rest
        ("a/b --allowed-local-media-path /", [M, "media-path=/ args[2]"]),
        ("a/b --api-key s3cret-value", [M, "secret=--api-key args[2]"]),
        ("a/b --hf-token hf_abcdefgh", [M, "secret=--hf-token args[2]"]),
        ("a/b --hf-token", [M]),
        ("a/b -tp 2 -pp=3", [M, "tensor-parallel=2 args[2]", "pipeline-parallel=3 args[3]"]),
        ("a/b -dp 4 -dpl 2", [M, "data-parallel=2 args[4]"]),
        ("a/b -tp 16 --nnodes 2", [M]),
        # what cannot be known
        ("a/b --config /c.yaml", ["?anything config_file args[1]", M]),
        ("--config /c.yaml", ["?anything config_file args[0]"]),
        ("a/b --newer-option x", ["unknown-option=--newer-option args[1]", M]),
        ("--newer-option a/b", ["unknown-option=--newer-option args[0]", "?model ambiguous command[1]"]),
        (
            "--newer-option x --port 1 a/b",
            ["unknown-option=--newer-option args[0]", "model hf://a/b args[4]"],
        ),
        ("--enable-chunked-prefill True a/b", ["?model ambiguous args[1]"]),
        ("$(X)", ["?anything variable args[0]"]),
        ("a/b $(X)", ["?anything variable args[1]", M]),
        ("a/b --revision $(X)", ["?model variable args[0]", M]),
        ("a/b --hf-token $(X)", ["?anything variable args[2]", M]),
        ("a/b --hf-token=$(X)", [M]),
        ("a/b --speculative-config $(X)", [M, "?anything variable args[2]"]),
        ('a/b -sc {"model":"$(X)"}', [M, "?draft variable args[2]"]),
    ],
)
def test_what_vllm_serve_loads(args: str, lines: list[str]) -> None:
    """Every source and switch of `vllm serve` has the place of its word; what may hide is named."""
    container = {
        "name": "server",
        "command": SERVE,
        "args": args.split(),
        "env": [{"name": "Y", "value": "y"}],
    }
    assert found(container) == lines


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        (["--model", "a/b"], ["model hf://a/b args[1]"]),
        (["--model", "a/b", "--model", "c/d"], ["model hf://c/d args[3]"]),
        (["a/b"], ["model hf://Qwen/Qwen3-0.6B command[2]"]),
    ],
)
def test_what_the_module_loads(args: list[str], lines: list[str]) -> None:
    """The module takes the last `--model`, and no positional argument."""
    assert found({"command": MODULE, "args": args}) == lines


@pytest.mark.parametrize(
    ("name", "value", "lines"),
    [
        ("VLLM_USE_MODELSCOPE", "True", ["model modelscope://a/b args[0]"]),
        ("VLLM_USE_MODELSCOPE", " 1 ", ["model modelscope://a/b args[0]"]),
        ("VLLM_USE_MODELSCOPE", "yes", [M]),
        ("VLLM_USE_MODELSCOPE", None, [M, "?model variable env[0]"]),
        ("VLLM_MODEL_REDIRECT_PATH", "/r.json", [M, "redirect=/r.json env[0]"]),
        ("VLLM_MODEL_REDIRECT_PATH", "", [M]),
        ("VLLM_PLUGINS", "a,b", [M, "plugin=a env[0]", "plugin=b env[0]"]),
        ("VLLM_PLUGINS", "", [M]),
        (
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
            "True",
            [M, "runtime-loading=VLLM_ALLOW_RUNTIME_LORA_UPDATING env[0]"],
        ),
        ("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "0", [M]),
        ("VLLM_LORA_RESOLVER_CACHE_DIR", "/l", [M, "runtime-loading=VLLM_LORA_RESOLVER_CACHE_DIR env[0]"]),
        (
            "VLLM_LORA_RESOLVER_HF_REPO_LIST",
            "l/m, n/o",
            [
                M,
                "runtime-loading=VLLM_LORA_RESOLVER_HF_REPO_LIST env[0]",
                "lora hf://l/m env[0]",
                "lora hf://n/o env[0]",
            ],
        ),
        ("VLLM_SERVER_DEV_MODE", "1", [M, "dev-mode=VLLM_SERVER_DEV_MODE env[0]"]),
        ("VLLM_SERVER_DEV_MODE", "0", [M]),
        ("VLLM_SERVER_DEV_MODE", "true", [M, "dev-mode=VLLM_SERVER_DEV_MODE env[0]"]),
        (
            "VLLM_ALLOW_INSECURE_SERIALIZATION",
            "2",
            [M, "insecure-serialization=VLLM_ALLOW_INSECURE_SERIALIZATION env[0]"],
        ),
        ("VLLM_ALLOW_INSECURE_SERIALIZATION", None, [M, "?insecure-serialization variable env[0]"]),
        ("VLLM_LOGGING_CONFIG_PATH", "/l.json", [M, "plugin=/l.json env[0]"]),
        ("VLLM_RUST_FRONTEND_PATH", "auto", [M]),
        ("VLLM_RUST_FRONTEND_PATH", "/x", [M, "plugin=/x env[0]"]),
    ],
)
def test_what_variables_of_vllm_switch_on(name: str, value: str | None, lines: list[str]) -> None:
    """A variable counts as `vllm/envs.py` reads it; one from a Secret or ConfigMap cannot be known."""
    entry = {"name": name, "valueFrom": {}} if value is None else {"name": name, "value": value}
    assert found({"command": SERVE, "args": ["a/b"], "env": [entry]}) == lines


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (
            ["sh", "-c", "ray start --head && vllm serve a/b --trust-remote-code"],
            [
                *("model hf://a/b command[2]", "code hf://a/b command[2]"),
                "trust-remote-code=--trust-remote-code command[2]",
            ],
        ),
        (["tini", "--", "vllm", "serve", "a/b"], ["model hf://a/b command[4]"]),
        (
            ["env", "VLLM_USE_MODELSCOPE=1", "vllm", "serve", "a/b"],
            ["model modelscope://a/b command[4]"],
        ),
        (
            ["bash", "-lc", "VLLM_SERVER_DEV_MODE=1 exec vllm serve a/b"],
            ["model hf://a/b command[2]", "dev-mode=VLLM_SERVER_DEV_MODE command[2]"],
        ),
        (
            ["sh", "-c", "vllm serve a/b $EXTRA"],
            ["?anything variable command[2]", "model hf://a/b command[2]"],
        ),
        (["sh", "-c", 'vllm serve "$@"', "--", "a/b"], ["?anything variable command[2]"]),
        (
            ["sh", "-c", ". /etc/profile.d/x.sh; vllm serve a/b"],
            ["?anything script command[2]", "model hf://a/b command[2]"],
        ),
        (["python3", "-um", "vllm.entrypoints.cli.main", "serve", "a/b"], ["model hf://a/b command[4]"]),
        (["vllm", "run-batch", "-i", "x", "--model", "a/b"], ["model hf://a/b command[5]"]),
        (["vllm", "bench", "latency", "--input-len", "1", "--model=a/b"], ["model hf://a/b command[5]"]),
        (["vllm", "launch", "render", "a/b"], ["model hf://a/b command[3]"]),
        (["vllm", "chat", "--model", "a/b"], []),
        (["vllm", "preload", "--model", "a/b"], ["model hf://a/b command[3]"]),
        (
            ["vllm", "--", "serve", "--model", "a/b"],
            ["?anything ambiguous command[1]", "model hf://a/b command[4]"],
        ),
    ],
)
def test_what_scripts_wrappers_and_other_commands_load(command: list[str], lines: list[str]) -> None:
    """The words of a script stand in the one word it is; behind a wrapper each has its own place."""
    assert found({"command": command}) == lines


def test_variables_nobody_sees_may_switch_anything_on() -> None:
    """`envFrom` can set each of vLLM's variables, unless its prefix does not fit."""
    container = {"command": SERVE, "args": ["a/b"], "envFrom": [{"prefix": "HF_"}, {"configMapRef": {}}]}
    assert found(container) == [M, "?plugin variable envFrom[1]"]


def test_the_image_decides_between_two_models() -> None:
    """`vllm serve` takes the first `--model`, the entrypoint of older images the last: both are told."""
    container = {"image": "vllm/vllm-openai:latest", "args": ["--model", "a/b", "--model", "c/d"]}
    assert found(container) == ["model hf://a/b args[1]", "model hf://c/d args[3]"]


def test_objects_without_end_are_no_trouble() -> None:
    """An object nested deeper than Python's JSON reader goes is left alone, as is one with endless keys."""
    assert found({"command": SERVE, "args": ["a/b", "--hf-overrides", '{"a":' * 100000]}) == [M]
    assert found({"command": SERVE, "args": ["a/b", "--hf-overrides" + ".a" * 100000, "1"]}) == [M]


def test_what_stands_far_behind_may_be_anything() -> None:
    """Of thousands of words the first are read, and the rest is said to be unknown."""
    args = ["a/b", *["--port", "1"] * 3000, "--trust-remote-code"]
    assert found({"command": SERVE, "args": args}) == ["?anything variable args[5000]", M]

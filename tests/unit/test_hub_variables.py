"""What variables say of hubs, stores, secrets, and of the model of images with an entrypoint of their own."""

from typing import Any

import pytest

from tests.items import line, reading, switched
from webhook.sources import hub

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
RUN = ["vllm", "serve", "org/x"]


@pytest.mark.parametrize(
    ("env", "items"),
    [
        ({"HF_ENDPOINT": "https://hf-mirror.com"}, ["hub-endpoint=https://hf-mirror.com"]),
        ({"HF_ENDPOINT": "hf-mirror.com"}, ["hub-endpoint=https://hf-mirror.com"]),
        ({"HF_ENDPOINT": ""}, []),
        ({"HF_ENDPOINT": {"valueFrom": {"configMapKeyRef": {}}}}, ["? hub-endpoint variable"]),
        ({"H": "https://e", "HF_ENDPOINT": "$(H)"}, ["hub-endpoint=https://e"]),
        ({"HF_ENDPOINT": "$(NOWHERE)"}, ["? hub-endpoint variable"]),
        ({"HUGGINGFACE_CO_STAGING": "1"}, ["hub-endpoint=https://hub-ci.huggingface.co"]),
        ({"HUGGINGFACE_CO_STAGING": "yes"}, ["hub-endpoint=https://hub-ci.huggingface.co"]),
        ({"HUGGINGFACE_CO_STAGING": "0"}, []),
        ({"MODELSCOPE_DOMAIN": "www.modelscope.ai"}, ["hub-endpoint=https://www.modelscope.ai"]),
        ({"AWS_ENDPOINT_URL": "http://minio:9000"}, ["hub-endpoint=http://minio:9000"]),
        ({"S3_ENDPOINT_URL": "http://minio:9000"}, ["hub-endpoint=http://minio:9000"]),
        ({"HF_HUB_OFFLINE": "1", "HF_HOME": "/c", "AWS_REGION": "x"}, []),
    ],
)
def test_variables_move_the_hub(env: dict[str, Any], items: list[str]) -> None:
    """Literal ones as switches; where nobody knows the value, that is said."""
    assert switched(RUN, env) == items


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "hf_abcdef"),
        ("HUGGING_FACE_HUB_TOKEN", "hf_abcdef"),
        ("HUGGINGFACEHUB_API_TOKEN", "hf_abcdef"),
        ("VLLM_API_KEY", "sk-abcdef"),
        ("OPENAI_API_KEY", "sk-abcdef"),
        ("AWS_SECRET_ACCESS_KEY", "abc/def+ghi"),
        ("WANDB_API_KEY", "0123456789"),
        ("DB_PASSWORD", "hunter2hunter2"),
        ("GITHUB_PAT", "ghp_x"),
    ],
)
def test_secrets_as_plain_text_are_told_by_name(name: str, value: str) -> None:
    """The switch holds the variable's name and never its value."""
    assert switched(RUN, {name: value}) == [f"secret={name}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("MAX_TOKENS", "4096"),
        ("EOS_TOKEN", "<|endoftext|>"),
        ("PAD_TOKEN", "pad"),
        ("STOP_TOKEN", "[END]"),
        ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
        ("OPENAI_API_KEY", "EMPTY"),
        ("OPENAI_API_KEY", "not-needed"),
        ("OPENAI_API_KEY", ""),
        ("HF_TOKEN_PATH", "/secrets/token"),
        ("HF_TOKEN", "/secrets/token"),
        ("HF_TOKEN", "vault:secret/data/hf#token"),
        ("HF_TOKEN", "$(OTHER)"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("KEYCLOAK_URL", "https://x"),
    ],
)
def test_what_only_looks_like_a_secret_is_none(name: str, value: str) -> None:
    """Names with a token in them, placeholders, paths and references."""
    assert switched(RUN, {name: value}) == []


def test_a_secret_from_a_reference_is_none() -> None:
    """That is how it should be given."""
    assert switched(RUN, {"HF_TOKEN": {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}}) == []


@pytest.mark.parametrize(
    ("script", "env", "items"),
    [
        ("export HF_ENDPOINT=https://e; vllm serve x", {}, ["hub-endpoint=https://e"]),
        ("HF_ENDPOINT=https://e vllm serve x", {}, ["hub-endpoint=https://e"]),
        ("env HF_ENDPOINT=https://e vllm serve x", {}, ["hub-endpoint=https://e"]),
        ("export HF_TOKEN=hf_abcdef; vllm serve x", {}, ["secret=HF_TOKEN"]),
        ("export HF_ENDPOINT=$(cat /e); vllm serve x", {}, ["? hub-endpoint variable"]),
        (
            "HF_ENDPOINT=https://e vllm serve x",
            {"HF_ENDPOINT": "https://a"},
            ["hub-endpoint=https://a", "hub-endpoint=https://e"],
        ),
        ("a; vllm serve x", {"HF_ENDPOINT": "https://a"}, ["hub-endpoint=https://a"]),
    ],
)
def test_scripts_set_variables_too(script: str, env: dict[str, str], items: list[str]) -> None:
    """By assignment, `export` and `env`, each told once."""
    assert switched(script, env) == items


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["env", "HF_ENDPOINT=https://e", "vllm", "serve", "x"], "command[1]"),
        (["sh", "-c", "HF_ENDPOINT=https://e vllm serve x"], "command[2]"),
    ],
)
def test_a_variable_is_told_where_it_is_set(command: list[str], path: str) -> None:
    """The word of the command, not the container's env."""
    (item,) = hub.environment(reading(command))
    assert item.path == f"spec.containers[0].{path}"


@pytest.mark.parametrize(
    ("sources", "env", "items"),
    [
        ([{"configMapRef": {"name": "c"}}], {}, ["? hub-endpoint variable"]),
        ([{"prefix": "HF_", "secretRef": {"name": "s"}}], {}, ["? hub-endpoint variable"]),
        ([{"prefix": "AWS_", "secretRef": {"name": "s"}}], {}, []),
        (
            [{"secretRef": {"name": "s"}}],
            {"HF_ENDPOINT": "https://huggingface.co"},
            ["hub-endpoint=https://huggingface.co"],
        ),
        ([], {}, []),
    ],
)
def test_env_from_may_move_the_hub(sources: list[Any], env: dict[str, str], items: list[str]) -> None:
    """Unless env settles it, or the names that come from there all have another prefix."""
    assert switched(RUN, env, envFrom=sources) == items


@pytest.mark.parametrize(
    ("env", "items"),
    [
        ({"MODEL_NAME": "Qwen/Qwen3-0.6B"}, ["model hf://Qwen/Qwen3-0.6B"]),
        ({"SERVED_MODEL_NAME": "Qwen/Qwen3-0.6B"}, ["model hf://Qwen/Qwen3-0.6B"]),
        ({"SERVED_MODEL_NAME": "alias", "MODEL_ID": "org/x"}, ["model hf://org/x"]),
        ({"HF_MODEL_ID": "org/x", "MODEL_REVISION": COMMIT}, [f"model hf://org/x@{COMMIT}"]),
        ({"MODEL_PATH": "/mnt/models"}, ["model file:///mnt/models (local)"]),
        ({"MODEL_NAME": "s3://b/m"}, ["model s3://b/m"]),
        ({"MODEL_NAME": {"valueFrom": {}}}, ["? model variable"]),
        ({"MODEL_NAME": "org/../x"}, ["? model bad_value"]),
        ({"MODEL_NAME": ""}, []),
        ({}, []),
    ],
)
def test_images_of_ones_own_are_told_their_model_by_variable(env: dict[str, Any], items: list[str]) -> None:
    """Best the ones that can hold nothing else; the served name only where nothing else says more."""
    assert [line(item) for item in hub.models(reading([], env))] == items

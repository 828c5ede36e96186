"""What llama.cpp, SGLang, TGI, huggingfaceserver and llama-cpp-python load."""

from typing import Any

import pytest

from tests.items import reading, served, served_items

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"


@pytest.mark.parametrize(
    ("words", "items"),
    [
        ("-m /m/x.gguf", ["model file:///m/x.gguf (local)"]),
        ("--model x.gguf", ["model file:///x.gguf (local)"]),
        ("-hf org/x", ["model hf://org/x"]),
        ("--hf-repo org/x:Q4_K_M", ["model hf://org/x:Q4_K_M"]),
        ("--hf_repo org/x", ["model hf://org/x"]),
        ("-hfr org/x --hf-file a.gguf", ["model hf://org/x:a.gguf"]),
        ("-hf org/x -m /cache/x.gguf", ["model hf://org/x"]),
        ("-hf evil/x -hf org/x", ["model hf://org/x"]),
        ("-mu https://example.com/x.gguf -m /m/x.gguf", ["model https://example.com/x.gguf"]),
        ("-dr gemma3", ["model oci://docker.io/ai/gemma3:latest"]),
        ("--docker-repo me/x:q4", ["model oci://docker.io/me/x:q4"]),
        ("-m /x -md /d.gguf", ["model file:///x (local)", "draft file:///d.gguf (local)"]),
        ("-m /x -hfd org/d:Q8_0", ["model file:///x (local)", "draft hf://org/d:Q8_0"]),
        ("-m /x --spec-draft-hf org/d", ["model file:///x (local)", "draft hf://org/d"]),
        (
            "-m /x --lora /a,/b --lora-scaled /c:0.5",
            ["model file:///x (local)", *(f"lora file:///{name} (local)" for name in "abc")],
        ),
        ("-m /x --mmproj /p", ["model file:///x (local)", "weights file:///p (local)"]),
        ("-m /x -mmu https://e.com/p", ["model file:///x (local)", "weights https://e.com/p"]),
        ("-m /x --media-path /data", ["model file:///x (local)", "media-path=/data"]),
        ("-m /x --tools all", ["model file:///x (local)", "plugin=--tools"]),
        ("-m /x --agent", ["model file:///x (local)", "plugin=--agent"]),
        ("-m /x --api-key k", ["secret=--api-key", "model file:///x (local)"]),
        ("-hf org/x -hft hf_abc", ["secret=--token", "model hf://org/x"]),
        ("--gpt-oss-20b-default", ["? model ambiguous"]),
        ("--models-dir /m", ["model file:///m (local)"]),
        ("--models-preset /p.ini", ["? model config_file"]),
        ("", ["? model runtime"]),
        ("-m $(FROM_ENV)", ["? model variable"]),
        ("$(EXTRA)", ["? anything variable"]),
        ("-hf ../x", ["? model bad_value"]),
    ],
)
def test_llama_cpp(words: str, items: list[str]) -> None:
    """Files, URLs and repositories of llama-server; what is downloaded counts before where it goes."""
    assert served(["llama-server", *words.split()]) == items


@pytest.mark.parametrize(
    ("env", "items"),
    [
        ({"LLAMA_ARG_MODEL": "/m/x.gguf"}, ["model file:///m/x.gguf (local)"]),
        ({"LLAMA_ARG_HF_REPO": "org/x", "LLAMA_ARG_HF_FILE": "f.gguf"}, ["model hf://org/x:f.gguf"]),
        ({"LLAMA_ARG_MODEL_URL": "https://e.com/x.gguf"}, ["model https://e.com/x.gguf"]),
        ({"LLAMA_ARG_HF_REPO": {"valueFrom": {}}}, ["? model variable"]),
        ({"LLAMA_ARG_MODELS_DIR": "/m"}, ["model file:///m (local)"]),
        (
            {"LLAMA_ARG_MODEL": "/x", "LLAMA_ARG_HFD_REPO": "org/d", "LLAMA_ARG_MMPROJ": "/p"},
            ["model file:///x (local)", "draft hf://org/d", "weights file:///p (local)"],
        ),
    ],
)
def test_llama_cpp_by_variable(env: dict[str, Any], items: list[str]) -> None:
    """Its variables, where no option says otherwise."""
    assert served(["llama-server"], env) == items
    assert served(["llama-server", "-hf", "a/b"], {"LLAMA_ARG_HF_REPO": "org/x"}) == ["model hf://a/b"]


@pytest.mark.parametrize(
    ("words", "items"),
    [
        ("--model-path org/x", ["model hf://org/x"]),
        ("--model org/x", ["model hf://org/x"]),
        ("--model-p=org/x --rev abc", ["model hf://org/x@abc"]),
        ("--model-path /m", ["model file:///m (local)"]),
        (
            "--model-path org/x --tokenizer-path org/t --revision r",
            ["model hf://org/x@r", "tokenizer hf://org/t@r"],
        ),
        (
            "--model-path org/x --speculative-draft-model-path org/d --speculative-draft-model-revision r",
            ["model hf://org/x", "draft hf://org/d@r"],
        ),
        (
            '--model-path org/x --lora-paths org/a n=org/b /c {"lora_path":"org/d"}',
            [
                "model hf://org/x",
                "lora hf://org/a",
                "lora hf://org/b",
                "lora file:///c (local)",
                "lora hf://org/d",
            ],
        ),
        (
            "--model-path org/x --trust-remote-code",
            ["model hf://org/x", "trust-remote-code=--trust-remote-code"],
        ),
        ("--model-path org/x --trust-rem", ["model hf://org/x", "trust-remote-code=--trust-rem"]),
        (
            "--model-path org/x --tp 2 --pp-size 3",
            ["model hf://org/x", "tensor-parallel=2", "pipeline-parallel=3"],
        ),
        ("--model-path org/x --custom-weight-loader a.b.c", ["model hf://org/x", "plugin=a.b.c"]),
        ("--model-path org/x --api-key k", ["secret=--api-key", "model hf://org/x"]),
        ("--config /c.yaml", ["? anything config_file"]),
        ("--model-path $(M)", ["? model variable"]),
    ],
)
def test_sglang(words: str, items: list[str]) -> None:
    """SGLang's options, with argparse's abbreviations."""
    assert served(["python3", "-m", "sglang.launch_server", *words.split()]) == items


def test_sglang_by_variable() -> None:
    """ModelScope in place of the hub, and a package of models."""
    env = {"SGLANG_USE_MODELSCOPE": "true", "SGLANG_EXTERNAL_MODEL_PACKAGE": "a.b"}
    words = ["sglang", "serve", "--model-path", "org/x"]
    assert served(words, env) == ["model modelscope://org/x", "plugin=a.b"]


@pytest.mark.parametrize(
    ("words", "env", "items"),
    [
        ("--model-id org/x --revision abc", {}, ["model hf://org/x@abc"]),
        ("--model-id=/data/x", {}, ["model file:///data/x (local)"]),
        ("", {"MODEL_ID": "org/x", "REVISION": COMMIT}, [f"model hf://org/x@{COMMIT}"]),
        ("--model-id org/x", {"MODEL_ID": "evil/x"}, ["model hf://org/x"]),
        ("", {}, ["model hf://bigscience/bloom-560m"]),
        (
            "--model-id org/x --trust-remote-code",
            {},
            ["model hf://org/x", "trust-remote-code=--trust-remote-code"],
        ),
        (
            "--model-id org/x",
            {"TRUST_REMOTE_CODE": "true"},
            ["model hf://org/x", "trust-remote-code=TRUST_REMOTE_CODE"],
        ),
        ("--model-id org/x", {"TRUST_REMOTE_CODE": "off"}, ["model hf://org/x"]),
        (
            "--model-id org/x --lora-adapters a/b@r,n=/c",
            {},
            ["model hf://org/x", "lora hf://a/b@r", "lora file:///c (local)"],
        ),
        ("--model-id org/x", {"LORA_ADAPTERS": "a/b"}, ["model hf://org/x", "lora hf://a/b"]),
        ("--model-id org/x --num-shard 2", {}, ["model hf://org/x", "tensor-parallel=2"]),
    ],
)
def test_tgi(words: str, env: dict[str, str], items: list[str]) -> None:
    """TGI's options and variables, and the model it has of its own."""
    assert served(["text-generation-launcher", *words.split()], env) == items


@pytest.mark.parametrize(
    ("words", "items"),
    [
        ("--model_name=x --model_id=org/x --model_revision=abc", ["model hf://org/x@abc"]),
        ("--model-id org/x", ["model hf://org/x"]),
        ("--model_i org/x", ["model hf://org/x"]),
        ("--model_name=x", ["model file:///mnt/models (local)"]),
        ("--model_dir=/mnt/other", ["model file:///mnt/other (local)"]),
        ("--model_dir=s3://b/m", ["model s3://b/m"]),
        ("--model_id=org/x --model_dir=/m", ["model hf://org/x"]),
        (
            "--model_id=org/x --tokenizer_revision=r --tokenizer org/t",
            ["model hf://org/x", "tokenizer hf://org/t@r"],
        ),
        (
            "--model_id=org/x --trust_remote_code",
            ["model hf://org/x", "trust-remote-code=--trust_remote_code"],
        ),
        ("--model_id=org/x --trust-rem", ["model hf://org/x", "trust-remote-code=--trust-rem"]),
        (
            '--model_id=org/x --speculative-config={"model":"org/d","revision":"r"}',
            ["model hf://org/x", "draft hf://org/d@r"],
        ),
        (
            "--model_id=org/x --lora-modules a=org/a b=/b",
            ["model hf://org/x", "lora hf://org/a", "lora file:///b (local)"],
        ),
        (
            "--model_id=org/x --tool-parser-plugin /evil.py --worker-cls good",
            ["model hf://org/x", "plugin=/evil.py", "plugin=good"],
        ),
        ("--model_id=org/x --tensor-parallel-size=2", ["model hf://org/x", "tensor-parallel=2"]),
    ],
)
def test_huggingfaceserver(words: str, items: list[str]) -> None:
    """KServe's own options, and vLLM's among them, with dashes, underscores and abbreviations."""
    assert served(["python3", "-m", "huggingfaceserver", *words.split()]) == items


@pytest.mark.parametrize(
    ("words", "env", "items"),
    [
        ("--model /m/x.gguf", {}, ["model file:///m/x.gguf (local)"]),
        ("--hf_model_repo_id org/x --model q4.gguf", {}, ["model hf://org/x:q4.gguf"]),
        ("--model x --lora_path /l", {}, ["model file:///x (local)", "lora file:///l (local)"]),
        ("", {"MODEL": "/m/x.gguf"}, ["model file:///m/x.gguf (local)"]),
        ("--config_file /c.json", {}, ["? anything config_file"]),
    ],
)
def test_llama_cpp_python(words: str, env: dict[str, str], items: list[str]) -> None:
    """Its own names of the same things."""
    assert served(["python3", "-m", "llama_cpp.server", *words.split()], env) == items


@pytest.mark.parametrize(
    ("command", "item"),
    [
        (["llama-server", "-m", "/x", "--lora", "/a," * 300], "? lora ambiguous"),
        (["text-generation-launcher", "--lora-adapters", "a/b," * 300], "? lora ambiguous"),
        (["sglang", "serve", "--model-path", "org/x", *["-x"] * 5000], "? anything ambiguous"),
    ],
)
def test_what_is_too_long_to_read_is_told(command: list[str], item: str) -> None:
    """Adapters and words beyond the limits."""
    assert item in served(command)


def test_adapters_add_up() -> None:
    """The last one does not hide those before it."""
    found = served(["llama-server", "-m", "/x", "--lora", "/a", "--lora-scaled", "/b:1", "--lora", "/c"])
    assert found[1:] == [f"lora file:///{name} (local)" for name in "abc"]


def test_each_value_stands_where_its_word_stands() -> None:
    """One of many values too, and a variable at its entry."""
    words = [
        "python3",
        "-m",
        "sglang.launch_server",
        "--model-path",
        "org/x",
        "--lora-paths",
        "a=org/a",
        "b=org/b",
    ]
    found = reading(words)
    assert [item.path for item in served_items(found)] == [
        f"spec.containers[0].command[{n}]" for n in (4, 6, 7)
    ]
    found = reading(["text-generation-launcher"], {"A": "b", "MODEL_ID": "org/x"})
    assert [item.path for item in served_items(found)] == ["spec.containers[0].env[1]"]

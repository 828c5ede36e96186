"""Commands that load something, put together at random: nothing raises, and every item has its place."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.items import SERVERS, reading, served_items
from webhook.sources import hub, loaders, programs
from webhook.sources.found import Source

STARTS = (
    *("ollama pull", "ollama run", "ollama create", "curl", "wget", "hf download", "modelscope download"),
    *("python -c", "aws s3 cp", "s5cmd cp", "gsutil cp", "gcloud storage cp", "azcopy copy", "rclone copy"),
    *("mc cp", "oras pull", "git clone", "http POST", "nc", "env A=b hf download", "xargs ollama pull"),
    *("llama-server", "sglang serve", "text-generation-launcher", "python -m huggingfaceserver"),
    *("python -m llama_cpp.server", "python -m sglang.launch_server"),
)
WORDS = st.one_of(
    st.sampled_from(
        [
            *(
                "org/x",
                "org/x:Q4",
                "s3://b/k",
                "gs://b",
                "r:b/p",
                ":s3,endpoint=x:b",
                "host/ns/m:t",
                "/m/x.gguf",
            ),
            *(
                "https://u:p@huggingface.co/org/x",
                "http://localhost:11434/api/pull",
                "http://[::1]/api/create",
            ),
            *("http://[/api/pull", "//api/pull", "--", "-", "-o", "-d", "-b", "--revision", "--local-dir=/m"),
            *(
                '{"model":"x"}',
                '{"model":1}',
                '{"from":[]}',
                "[1]",
                "@f",
                "--lora",
                "a=b,c:1",
                "--lora-modules",
            ),
            *(
                "--model-path",
                "--model_id",
                "-hf",
                "-m",
                "--speculative-config",
                "{",
                "\0V\0",
                "\0*V\0",
                "x\0V\0y",
            ),
            *(
                "snapshot_download('a/b')",
                "snapshot_download('a', revision=r)",
                "import os; x",
                "",
                " ",
                "..",
                "~",
            ),
        ]
    ),
    st.text(max_size=12),
)
ENV = st.dictionaries(
    st.sampled_from(["HF_ENDPOINT", "HF_HOME", "MODEL_ID", "LLAMA_ARG_HF_REPO", "OLLAMA_REMOTES", "X_TOKEN"]),
    st.text(max_size=12),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(STARTS), st.lists(WORDS, max_size=8), ENV)
def test_whatever_the_words_are_items_have_a_place(start: str, words: list[str], env: dict[str, str]) -> None:
    """Their paths lie in the container, and directories are absolute."""
    found = reading([*start.split(), *words], env, workingDir="/scratch")
    items = [*loaders.items(found), *hub.environment(found), *hub.models(found)]
    if all(started.program.name in SERVERS for c in found.calls if (started := programs.start(c.words))):
        items += served_items(found)
    for item in items:
        assert item.path.startswith("spec.containers[0].")
        assert item.container == "c"
        if isinstance(item, Source):
            assert not item.into or item.into[0] == "/"
            assert "\0" not in str(item.location)
            assert not {"", ".", ".."} & set(item.location.name.split("/")) or item.location.scheme == "file"

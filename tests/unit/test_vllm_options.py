"""vLLM's command line and Ollama's variable, read the way the programs read them."""

import argparse
import re
from functools import cache
from typing import Any, NoReturn

import pytest

from tests.vllm_lines import SERVE, Asked, differs, random_lines
from webhook.sources import ollama, openai, vllm
from webhook.sources.options import Serving
from webhook.sources.text import unknown
from webhook.sources.vllm_options import CURRENT
from webhook.sources.vllm_sources import DEFAULT


def read(*words: str, **env: str) -> Serving:
    """Read the words behind `vllm serve`."""
    return vllm.read(words, env)


@pytest.mark.parametrize(
    ("words", "port"),
    [
        ([], None),
        (["m"], None),
        (["m", "--port", "1"], "1"),
        (["m", "--port=1"], "1"),
        (["--port", "1", "--model", "m"], "1"),
        (["m", "--port", "1", "--port=2"], "2"),
        (["m", "--por", "1"], "1"),
        (["m", "--po", "1"], None),
        (["m", "-p", "1"], None),
        (["m", "--data_parallel_rpc_port", "1"], None),
        (["m", "--port"], None),
        (["m", "--port", "--host", "h"], None),
        (["m", "--port", "-1"], "-1"),
        (["m", "--chat-template", "--port 1"], None),
        (["m", "--", "--port", "1"], None),
        (["m", "-tp", "2", "--port", "1", "-O3"], "1"),
        (["m", "--enforce-eager", "--port", "1", "--no-enable-prefix-caching"], "1"),
        (["m", "--speculative-config", '{"model": "d"}', "--port", "1"], "1"),
        (["m", "--port", unknown("PORT")], unknown("PORT")),
    ],
)
def test_the_port_of_vllm(words: list[str], port: str | None) -> None:
    """As argparse finds it: with =, abbreviated as far as that is unique, the last one."""
    assert read(*words).port == port


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["org/m"], ("org/m",)),
        (["--model", "org/m"], ("org/m",)),
        (["--model=org/m"], ("org/m",)),
        (["org/m", "--served-model-name", "a"], ("a",)),
        (["org/m", "--served_model_name", "a", "b", "--port", "1"], ("a", "b")),
        (["org/m", "--served-model-name=a", "b"], ("a",)),
        (["org/m", "--ser", "a"], ("a",)),
        (["org/m", "--served-model-name", "a", "--served-model-name", "b"], ("b",)),
        (["--port", "1"], ()),
    ],
)
def test_the_served_names_of_vllm(words: list[str], names: tuple[str, ...]) -> None:
    """Served names take all words up to the next option; without them the model's own name is served."""
    assert read(*words).served_names == names


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["m", "--host", "0.0.0.0"], Serving(host="0.0.0.0", served_names=("m",))),  # noqa: S104 - read, not bound
        (["m", "--uds", "/s"], Serving(unix_socket="/s", served_names=("m",))),
        (["m", "--ssl-keyfile", "k"], Serving(tls=True, served_names=("m",))),
        (["m", "--ssl_certfile=c"], Serving(tls=True, served_names=("m",))),
        (["m", "--ssl-ca-certs", "c"], Serving(served_names=("m",))),
        (["m", "--root-path", "/p"], Serving(path="/p", served_names=("m",))),
        (["m", "--api-key", "a", "b"], Serving(api_key="a", served_names=("m",))),
        (["m", "--config", "f.yaml"], Serving(open=True, served_names=("m",))),
        (["m", "--config-format", "auto"], Serving(served_names=("m",))),
        (["m", "--headless"], Serving(served=False, served_names=("m",))),
        (["m", "--grpc"], Serving(served=False, served_names=("m",))),
        (["m", unknown("EXTRA")], Serving(open=True, served_names=("m",))),
        (["m", f"a{unknown('EXTRA', loose=True)}"], Serving(open=True, served_names=("m",))),
        (["m", "--seed", unknown("SEED", loose=True)], Serving(served_names=("m",))),
        (["m", "--seed", "1", unknown("EXTRA")], Serving(open=True, served_names=("m",))),
        (["m", "--seed=1", unknown("EXTRA")], Serving(open=True, served_names=("m",))),
        (["m", "--enforce-eager", unknown("EXTRA")], Serving(open=True, served_names=("m",))),
        (
            ["m", "--port", unknown("P", loose=True)],
            Serving(port=unknown("P", loose=True), served_names=("m",)),
        ),
    ],
)
def test_what_else_a_command_line_of_vllm_says(words: list[str], expected: Serving) -> None:
    """TLS, prefix, key, socket; what a config file or an unknown word may add leaves the rest open."""
    assert read(*words) == expected


def test_the_key_on_the_command_line_wins_over_the_variable() -> None:
    """`VLLM_API_KEY` counts where there is no `--api-key`."""
    assert read("m", VLLM_API_KEY="e").api_key == "e"
    assert read("m", "--api-key", "c", VLLM_API_KEY="e").api_key == "c"


@pytest.mark.parametrize(
    ("words", "env", "names"),
    [
        ([], {"MODEL_NAME": "org/m"}, ("org/m",)),
        ([], {"MODEL_NAME": "org/m", "SERVED_MODEL_NAME": "m"}, ("m",)),
        (["--served-model-name", "a"], {"MODEL_NAME": "org/m"}, ("a",)),
        ([], {}, ()),
    ],
)
def test_an_image_may_name_its_model_by_variable(
    words: list[str], env: dict[str, str], names: tuple[str, ...]
) -> None:
    """Images with an entrypoint of their own take the model from MODEL_NAME or SERVED_MODEL_NAME."""
    assert vllm.read_image_env(words, env).served_names == names


class Parser(argparse.ArgumentParser):
    """argparse without its exit."""

    def error(self, message: str) -> NoReturn:
        """Raise in place of leaving the process."""
        raise ValueError(message)


def unset(text: str) -> str | None:
    """Read a value as `optional_type` of vLLM does."""
    return None if text in {"", "None"} else text


@cache
def real_parser() -> argparse.ArgumentParser:
    """Make argparse's parser of vLLM's options."""
    parser = Parser(add_help=False)
    parser.add_argument("model_tag", nargs="?")
    spelled: dict[str, list[str]] = {}
    for spelling, option in CURRENT.items():
        spelled.setdefault(option.name, []).append(spelling)
    for name, spellings in spelled.items():
        option = CURRENT[spellings[0]]
        kind: dict[str, Any] = {
            "dest": name,
            "type": int if name == "port" else unset if option.unset else str,
        }
        if option.flag:
            switched = any(CURRENT[spelling].off for spelling in spellings)
            kind = {"dest": name, "action": argparse.BooleanOptionalAction if switched else "store_true"}
        elif option.append:
            kind["action"] = "append"
        elif option.many or option.optional:
            kind["nargs"] = "+" if option.many else "?"
        parser.add_argument(*[s for s in spellings if not CURRENT[s].off], **kind)
    return parser


def really(asked: Asked) -> dict[str, Any] | None:
    """Parse as vLLM does (vllm/utils/argparse_utils.py), save for options with dots; None for an error."""
    words = list(asked.words)
    named = [i for i, word in enumerate(words) if word == "--model" or re.match("--model=.", word)]
    if asked.entry == SERVE and named and (words[named[0]] != "--model" or named[0] + 1 < len(words)):
        first = words.pop(named[0])
        words.insert(0, words.pop(named[0]) if first == "--model" else first[8:])
    spelled = [re.sub("^--[^=]*", lambda name: name[0].replace("_", "-"), word) for word in words]
    spelled = [re.sub("^-O=?(.)", r"--optimization-level=\1", word) for word in spelled]
    if "-O" in spelled[:-1]:
        spelled[spelled.index("-O")] = "--optimization-level"
    try:
        found = vars(real_parser().parse_args(spelled))
    except ValueError:
        return None
    named_first = found["model_tag"] if asked.entry == SERVE else None
    return {
        "model": next(name for name in (named_first, found["model"], DEFAULT) if name is not None),
        "revision": found["revision"],
        "trust": bool(found["trust-remote-code"]),
        "names": found["served-model-name"],
        "port": found["port"] or 8000,
    }


def test_options_are_read_as_argparse_reads_them() -> None:
    """What argparse, with vLLM's options, makes of 5,000 command lines is read so, or said to be unknown."""
    asked = [one for one in random_lines(5000, 5, dotted=False) if "-.5" not in one.words]
    pairs = [(one, answer) for one in asked if (answer := really(one)) is not None]
    assert len(pairs) > 4000
    assert [text for one, answer in pairs if (text := differs(one, answer))] == []


# --- Ollama


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0", "0.0.0.0", "11434"),  # noqa: S104 - read, not bound
        ("0.0.0.0:8080", "0.0.0.0", "8080"),  # noqa: S104 - the same
        (":8080", "", "8080"),
        (":", "", "11434"),
        ("", "127.0.0.1", "11434"),
        ("127.0.0.1", "127.0.0.1", "11434"),
        ("localhost:80", "localhost", "80"),
        ("[::]:8080", "::", "8080"),
        ("[::]", "::", "11434"),
        ("::", "::", "11434"),
        ("[::1]:1", "::1", "1"),
        ("http://0.0.0.0:8080", "0.0.0.0", "8080"),  # noqa: S104 - the same
        ("http://0.0.0.0", "0.0.0.0", "80"),  # noqa: S104 - the same
        ("https://0.0.0.0", "0.0.0.0", "443"),  # noqa: S104 - the same
        ("http://0.0.0.0:8080/x/", "0.0.0.0", "8080"),  # noqa: S104 - the same
        ("http://", "127.0.0.1", "80"),
        ("tcp://h", "h", "11434"),
        (" '0.0.0.0:9' ", "0.0.0.0", "9"),  # noqa: S104 - the same
        ('"0.0.0.0:9"', "0.0.0.0", "9"),  # noqa: S104 - the same
        ("h:70000", "h", "11434"),
        ("h:-1", "h", "11434"),
        ("h:x", "h", "11434"),
        ("h:0", "h", "0"),
        ("ollama.svc", "ollama.svc", "11434"),
        ("a:b:c", "a:b:c", "11434"),
    ],
)
def test_where_ollama_listens(text: str, host: str, port: str) -> None:
    """Every form of OLLAMA_HOST means what Ollama's own envconfig makes of it."""
    assert ollama.address(text) == (host, port)


def test_ollama_without_its_variable_says_nothing() -> None:
    """The image's own setting stands; a value known only to the running container stays a mark."""
    assert ollama.read((), {}) == Serving()
    assert ollama.read((), {"OLLAMA_HOST": unknown("H")}) == Serving(port=unknown("H"))


# --- others


@pytest.mark.parametrize(
    ("words", "env", "expected"),
    [
        (
            [
                "-m",
                "/m.gguf",
                "--port",
                "81",
                "--host",
                "::",
                "-a",
                "x",
                "--api-key",
                "a,b",
                "--api-prefix",
                "/p",
            ],
            {},
            Serving(port="81", host="::", served_names=("x",), api_key="a", path="/p"),
        ),
        (
            ["--ssl-key-file", "k"],
            {"LLAMA_ARG_PORT": "82", "LLAMA_ARG_HOST": "h", "LLAMA_API_KEY": "k", "LLAMA_ARG_ALIAS": "y"},
            Serving(port="82", host="h", tls=True, api_key="k", served_names=("y",)),
        ),
        (
            ["--host", "/run/llama.sock"],
            {},
            Serving(host="/run/llama.sock", unix_socket="/run/llama.sock"),
        ),
    ],
)
def test_llama_server(words: list[str], env: dict[str, str], expected: Serving) -> None:
    """llama-server's options win over its variables."""
    assert openai.read_llama_cpp(words, env) == expected


def test_the_other_servers() -> None:
    """SGLang, TGI, KServe's server and programs nobody knows, each by its own spellings."""
    assert openai.read_sglang(["--model-path", "m", "--port", "1", "--api-key", "k"], {}) == Serving(
        port="1", served_names=("m",), api_key="k"
    )
    assert openai.read_tgi(["--model-id", "m", "-p", "2"], {"PORT": "80", "API_KEY": "k"}) == Serving(
        port="2", served_names=("m",), api_key="k"
    )
    assert openai.read_tgi([], {"PORT": "80"}) == Serving(port="80")
    assert openai.read_huggingfaceserver(["--model_name=m", "--http_port=3"], {}) == Serving(
        port="3", served_names=("m",), path="/openai"
    )
    assert openai.read_any(
        ["--port=4", "--served-model-name", "m", "--root-path", "/p"], {"PORT": "5"}
    ) == Serving(port="4", served_names=("m",), path="/p")
    assert openai.read_any([], {"PORT": "5"}) == Serving(port="5")

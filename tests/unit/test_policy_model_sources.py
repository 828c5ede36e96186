"""Rules over where models come from."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules import subject, told
from webhook.sources.found import (
    Backing,
    Extract,
    Local,
    Location,
    Role,
    Source,
    Switch,
    SwitchName,
    Unknown,
    Unresolvable,
)

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
AT = "spec.containers[0].args[0]"
LLAMA = Location("hf", "meta-llama/Llama-3.1-8B", revision=COMMIT)


def of(*locations: Location, local: Local | None = None) -> Any:
    """Give a pod that loads from these places."""
    sources = tuple(Source(Role.MODEL, location, AT, "server", local) for location in locations)
    return subject({}, extract=Extract(sources))


def switched(name: SwitchName, value: str = "") -> Any:
    """Give a pod with one switch."""
    return subject({}, extract=Extract((), (Switch(name, value, AT, "server"),)))


def open_to(about: Role | SwitchName | None, reason: Unknown = Unknown.VARIABLE) -> Any:
    """Give a pod of which something cannot be known."""
    item = Unresolvable(about, reason, "it is $(X)", AT, "server")
    return subject({}, extract=Extract((), (), (item,)))


def test_each_source_must_be_allowed() -> None:
    """All sources that no pattern matches are told, with the patterns of their own kind."""
    judged = of(LLAMA, Location("hf", "evil/x"), Location("s3", "evil/y"))
    assert told("modelSources.allow", ["s3://models/**", "hf://meta-llama/*"], judged) == [
        f"{AT}: model hf://evil/x -> hf://meta-llama/* or 1 more",
        f"{AT}: model s3://evil/y -> s3://models/** or 1 more",
    ]


def test_a_long_list_of_patterns_is_cut() -> None:
    """Of many patterns three are told, and how many more there are."""
    patterns = [f"hf://org-{number}/*" for number in range(9)]
    (line,) = told("modelSources.allow", patterns, of(Location("hf", "evil/x")))
    assert line.endswith("-> hf://org-0/* or hf://org-1/* or hf://org-2/* or 6 more")


def test_nothing_allowed() -> None:
    """An empty list allows no source."""
    assert told("modelSources.allow", [], of(LLAMA)) == [f"{AT}: model {LLAMA} -> none"]


@pytest.mark.parametrize(
    ("revision", "any_", "commit"),
    [
        ("", False, False),
        ("main", True, False),
        ("v1.0", True, False),
        (COMMIT[:7], True, False),
        (COMMIT[:39], True, False),
        (COMMIT.upper(), True, False),
        (f"{COMMIT}0", True, False),
        (f"{COMMIT}\n", True, False),
        (COMMIT, True, True),
    ],
)
@pytest.mark.parametrize("scheme", ["hf", "modelscope"])
def test_revisions(scheme: str, revision: str, any_: bool, commit: bool) -> None:  # noqa: FBT001 - a table
    """A hub's source is pinned by 40 hex digits in small letters, and by nothing shorter or longer."""
    judged = of(Location(scheme, "meta-llama/x", revision=revision))
    assert told("modelSources.requireRevision", "none", judged) == []
    assert (told("modelSources.requireRevision", "any", judged) == []) is any_
    assert (told("modelSources.requireRevision", "commit", judged) == []) is commit


@pytest.mark.parametrize(
    ("location", "pinned"),
    [
        (Location("oci", "registry.example.com/llama", "3.1"), False),
        (Location("oci", "registry.example.com/llama", "", f"sha256:{'0' * 64}"), True),
        (Location("s3", "models/llama"), True),
        (Location("pvc", "cache/llama"), True),
        (Location("ollama", "registry.ollama.ai/library/llama3.2", "3b"), True),
    ],
    ids=str,
)
def test_revisions_of_other_sources(location: Location, pinned: bool) -> None:  # noqa: FBT001 - a table
    """An image is pinned by its digest; what no name can pin is left to the allow-list."""
    assert (told("modelSources.requireRevision", "commit", of(location)) == []) is pinned


def test_an_image_without_tag_and_digest() -> None:
    """No tag is no revision."""
    judged = of(Location("oci", "registry.example.com/llama"))
    assert told("modelSources.requireRevision", "any", judged) != []
    assert told("modelSources.requireRevision", "any", of(Location("oci", "a/b", "1"))) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co",
        "https://huggingface.co/",
        "HTTPS://HuggingFace.CO:443",
        "https://huggingface.co.",
    ],
)
def test_endpoints_that_are_the_same(url: str) -> None:
    """URLs are compared as URLs."""
    assert told("modelSources.hubEndpoints", ["https://huggingface.co"], switched(_HUB, url)) == []


_HUB = SwitchName.HUB_ENDPOINT


@pytest.mark.parametrize(
    "url",
    [
        "http://huggingface.co",
        "https://huggingface.co:8443",
        "https://huggingface.co.evil.example",
        "https://huggingface.co@evil.example",
        "https://user:hidden@huggingface.co",
        "https://evil.example\\@huggingface.co",
        "https://huggingface.co/mirror",
        "https://evil.example/https://huggingface.co",
        "huggingface.co",
        "https://[huggingface.co",
        "",
    ],
)
def test_endpoints_that_are_others(url: str) -> None:
    """A URL that any library could read as another host is another one; a password in it is not told."""
    (line,) = told("modelSources.hubEndpoints", ["https://huggingface.co"], switched(_HUB, url))
    assert line.endswith("-> https://huggingface.co")
    assert "hidden" not in line


def test_the_default_endpoint() -> None:
    """Where only a mirror is allowed, a download that no variable sends there is refused."""
    mirror = "https://hub.example.com"
    assert told("modelSources.hubEndpoints", [mirror], of(LLAMA)) == [
        f"{AT}: https://huggingface.co, the default -> HF_ENDPOINT {mirror}"
    ]
    assert told("modelSources.hubEndpoints", [mirror], of(Location("s3", "models/x"))) == []


@pytest.mark.parametrize(
    ("more", "told_of"),
    [
        ({"env": [{"name": "HF_ENDPOINT", "value": "https://hub.example.com"}]}, False),
        ({"args": ["HF_ENDPOINT=https://hub.example.com vllm serve x"]}, False),
        ({"env": [{"name": "HF_ENDPOINT", "value": ""}]}, True),
        ({"env": [{"name": "AWS_ENDPOINT_URL", "value": "https://hub.example.com"}]}, True),
    ],
)
def test_a_download_that_is_sent_to_the_mirror(more: dict[str, Any], told_of: bool) -> None:  # noqa: FBT001 - a table
    """Only the hub's own variable sends downloads elsewhere; where to is told by its switch."""
    pod = {"spec": {"containers": [{"name": "server", **more}]}}
    judged = subject(pod, extract=of(LLAMA).extract)
    assert bool(told("modelSources.hubEndpoints", ["https://hub.example.com"], judged)) is told_of


@pytest.mark.parametrize(
    ("name", "told_of"),
    [
        ("huggingface.co", True),
        ("CDN-LFS.HuggingFace.co.", True),
        ("registry.ollama.ai", True),
        ("hub.example.com", True),
        ("other.example.com", False),
        ("nothuggingface.co", False),
        (7, False),
    ],
)
def test_an_address_for_a_hub(name: Any, told_of: bool) -> None:  # noqa: FBT001 - a table
    """A pod that says itself where a hub's host is has moved the hub."""
    pod = {"spec": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a", name]}]}}
    urls = ["https://huggingface.co", "https://hub.example.com"]
    assert bool(told("modelSources.hubEndpoints", urls, subject(pod, extract=Extract()))) is told_of


def test_local_paths() -> None:
    """A path, what backs it and whether it is mounted read-only are each held against the rule."""
    value = {"allow": ["/models/**"], "backedBy": ["pvc", "image"], "readOnly": True}
    claim = Location("pvc", "cache/llama")
    assert (
        told("modelSources.localPaths", value, of(claim, local=Local("/models/x", Backing.PVC, True))) == []
    )
    local = Local("/data/x", Backing.HOST_PATH)
    assert told("modelSources.localPaths", value, of(Location("file", "data/x"), local=local)) == [
        f"{AT}: /data/x -> /models/**",
        f"{AT}: /data/x on hostPath -> pvc or image",
        f"{AT}: /data/x is writable -> readOnly: true",
    ]


def test_local_paths_that_say_nothing() -> None:
    """What the rule does not name is not asked."""
    judged = of(Location("file", "data/x"), local=Local("/data/x", Backing.HOST_PATH))
    assert told("modelSources.localPaths", {"allow": ["/data/*"]}, judged) == []
    assert told("modelSources.localPaths", {"allow": ["/data/*"]}, of(LLAMA)) == []


def test_files_where_local_paths_are_not_ruled() -> None:
    """A path of which nothing else is known is held against the allow-list, unless localPaths rules it."""
    judged = of(Location("file", "data/x"), local=Local("/data/x", Backing.CONTAINER))
    assert told("modelSources.allow", ["hf://meta-llama/*"], judged) != []


@pytest.mark.parametrize("tag", ["cloud", "120b-cloud", "CLOUD", "120b-Cloud"])
def test_cloud(tag: str) -> None:
    """Ollama's tag says that a model runs elsewhere, in any case."""
    judged = of(Location("ollama", "registry.ollama.ai/library/gpt-oss", tag))
    assert len(told("modelSources.ollamaCloud", "deny", judged)) == 1


@pytest.mark.parametrize("tag", ["", "3b", "cloudy", "cloud-3b"])
def test_no_cloud(tag: str) -> None:
    """Other tags that hold the word are names."""
    judged = of(Location("ollama", "registry.ollama.ai/library/gpt-oss", tag))
    assert told("modelSources.ollamaCloud", "deny", judged) == []


@pytest.mark.parametrize(
    ("rule", "name", "value"),
    [
        ("runtimeLoading", SwitchName.RUNTIME_LOADING, "VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
        ("redirect", SwitchName.REDIRECT, "/config/redirect.json"),
        ("insecureRegistry", SwitchName.INSECURE_REGISTRY, "--insecure"),
    ],
)
def test_switches(rule: str, name: SwitchName, value: str) -> None:
    """A switch is told with its value, and only by its own rule."""
    (line,) = told(f"modelSources.{rule}", "deny", switched(name, value))
    assert line.startswith(f"{AT}: {name} {value} -> ")
    assert told(f"modelSources.{rule}", "deny", switched(SwitchName.DEV_MODE)) == []


def test_what_is_named_at_run_time() -> None:
    """A server that loads what it is asked for later is a matter of runtimeLoading, no unknown."""
    judged = open_to(Role.MODEL, Unknown.RUNTIME)
    assert told("modelSources.runtimeLoading", "deny", judged) == [
        f"{AT}: model unknown: it is $(X) -> a model named in the pod"
    ]
    assert told("modelSources.unresolvable", "deny", judged) == []


@pytest.mark.parametrize("about", [None, *Role, SwitchName.HUB_ENDPOINT, SwitchName.REDIRECT])
def test_unknown_sources(about: Role | SwitchName | None) -> None:
    """Whatever may hide a source is told."""
    (line,) = told("modelSources.unresolvable", "deny", open_to(about))
    assert line == f"{AT}: {about or 'options'} unknown: it is $(X) -> a literal value in the pod"


def test_unknown_switches() -> None:
    """What may hide only a switch is a matter of the group `code`."""
    assert told("modelSources.unresolvable", "deny", open_to(SwitchName.TRUST_REMOTE_CODE)) == []

"""Texts that name sources and images, and patterns of them, in one canonical form."""

from __future__ import annotations

import pytest

from webhook.sources.found import Location, Role, Source, Unknown, Unresolvable
from webhook.sources.globs import GlobError, Globs
from webhook.sources.images import ImageError, ImageRef, image
from webhook.sources.locations import BadValueError, LocalPath, hub, items, model, path, url
from webhook.sources.text import unknown

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("meta-llama/Llama-3.1-8B", "hf://meta-llama/Llama-3.1-8B"),
        ("gpt2", "hf://gpt2"),
        ("unsloth/Qwen3-GGUF:Q4_K_M", "hf://unsloth/Qwen3-GGUF:Q4_K_M"),
        ("unsloth/Qwen3-GGUF/q4.gguf", "hf://unsloth/Qwen3-GGUF:q4.gguf"),
        ("S3://Bucket/Key/", "s3://Bucket/Key"),
        ("Gs://b/k", "gs://b/k"),
        ("az://c/k", "az://c/k"),
        ("hf.co/org/name", "hf://org/name"),
        ("hf://org/name@abc", "hf://org/name@abc"),
        ("hf://org/name@abc/dir/f.gguf", "hf://org/name:dir/f.gguf@abc"),
        ("https://huggingface.co/org/name", "hf://org/name"),
        ("https://HuggingFace.co:443/org/name.git", "hf://org/name"),
        (
            "https://huggingface.co/org/name/resolve/main/d/f.gguf?download=true",
            "hf://org/name:d/f.gguf@main",
        ),
        ("https://huggingface.co/org/name/resolve/refs%2Fpr%2F1/f", "hf://org/name:f@refs/pr/1"),
        ("https://huggingface.co./org/name", "hf://org/name"),
        ("https://huggingface.co@evil.example/org/name", "https://evil.example/org/name"),
        ("https://huggingface.co.evil.example/org/name", "https://huggingface.co.evil.example/org/name"),
        ("http://huggingface.co/org/name", "http://huggingface.co/org/name"),
        ("https://huggingface.co/datasets/org/name", "https://huggingface.co/datasets/org/name"),
        ("https://user:secret@h.example/a%2db/c", "https://h.example/a-b/c"),
        ("https://h.example/a?X-Amz-Signature=secret&X-Amz-Date=1", "https://h.example/a"),
        ("https://h.example/a?file=secret", "https://h.example/a?"),
        ("oci://org/weights:1", "oci://docker.io/org/weights:1"),
        (f"oci://h.example/w@{DIGEST}", f"oci://h.example/w@{DIGEST}"),
        ("pvc://claim/path/", "pvc://claim/path"),
        ("ms://org/name", "modelscope://org/name"),
        ("git+https://token@h.example/r.git", "git://h.example/r.git"),
    ],
)
def test_a_model_in_canonical_form(text: str, canonical: str) -> None:
    """Every way to write one place gives one text, and no secret is in it."""
    assert str(model(text)) == canonical
    assert "secret" not in canonical


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/models/a", "/models/a"),
        ("//models/./a/", "/models/a"),
        ("./a", "a"),
        ("~/a", "~/a"),
        ("a/b/c", "a/b/c"),
        ("model.gguf", "model.gguf"),
        ("dir/model.gguf", "dir/model.gguf"),
        ("file:///models/a", "/models/a"),
        ("/", "/"),
    ],
)
def test_a_path(text: str, found: str) -> None:
    """What can only be a path is one, without empty and `.` components."""
    assert model(text) == LocalPath(found)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " meta-llama/x",
            "meta-llama/x ",
            "meta-llama/x\n",
            "meta\tllama/x",
            "met\u0430-llama/x",
            "org/na me",
        ),
        *(
            "org--x/name",
            "org/..",
            "-org/name",
            "org/name.git",
            f"org/{'a' * 100}",
            "org/name:",
            "org/na:me:x",
        ),
        *("/models/../a", "../a", "a/../../b/c", "a\\b", "\u202e/x/y\u2028", "/a\0b"),
        *("s3://", "s3:///key", "s3://b/../c", "s3://b//c", "evil://x/y", "oci://Org/x y", "https:///x"),
        *(
            "https://h.example/%2e%2e/x",
            "https://h.example/%zz",
            "https://a@b@c/x",
            "hf://a/b/../c",
            "hf://a/b@",
        ),
        *("https://huggingface.co/org/name/resolve/a%00b/f", "pvc://-/x", "/" + "a/" * 3000),
    ],
)
def test_no_source(text: str) -> None:
    """What nothing would be found under is refused, not mended, and the refusal quotes none of it."""
    with pytest.raises(BadValueError) as refused:
        model(text)
    assert len(text) < 5 or text not in str(refused.value)


@pytest.mark.parametrize("revision", ["a b", "ma\nin", "m\u0430in"])
def test_a_revision_that_is_none(revision: str) -> None:
    """A revision with blanks or look-alikes is refused."""
    with pytest.raises(BadValueError):
        hub("org/name", revision)


def test_a_revision_goes_to_the_hub_only() -> None:
    """`--revision` pins what comes from a hub, whatever spells it."""
    assert model("https://huggingface.co/org/name", "abc") == Location("hf", "org/name", revision="abc")
    assert model("s3://b/k", "abc") == Location("s3", "b/k")


def test_a_url_needs_a_scheme() -> None:
    """`url` reads URLs alone, `path` takes what has no scheme."""
    with pytest.raises(BadValueError):
        url("org/name")
    assert path("org/name") == LocalPath("org/name")


def test_what_is_hidden_is_told_beside_what_is_not() -> None:
    """An unknown revision leaves the source in place; an unknown text leaves none."""
    hidden = unknown("X")
    revision, source = items(Role.MODEL, "org/name", "args[0]", "c", revision=hidden)
    assert source == Source(Role.MODEL, Location("hf", "org/name"), "args[0]", "c")
    assert isinstance(revision, Unresolvable)
    assert revision.reason is Unknown.VARIABLE
    (text,) = items(Role.MODEL, hidden, "args[0]", "c")
    assert isinstance(text, Unresolvable)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ubuntu", ImageRef("docker.io", "library/ubuntu")),
        ("vllm/vllm-openai:v0.15.0", ImageRef("docker.io", "vllm/vllm-openai", "v0.15.0")),
        ("index.docker.io/vllm/vllm-openai", ImageRef("docker.io", "vllm/vllm-openai")),
        ("registry-1.docker.io/ubuntu", ImageRef("docker.io", "library/ubuntu")),
        ("DOCKER.io/vllm/vllm-openai", ImageRef("docker.io", "vllm/vllm-openai")),
        ("docker.io.evil/vllm/vllm-openai", ImageRef("docker.io.evil", "vllm/vllm-openai")),
        ("a/b", ImageRef("docker.io", "a/b")),
        ("a.b/c", ImageRef("a.b", "c")),
        ("localhost/a/b", ImageRef("localhost", "a/b")),
        ("host:5000/a:b", ImageRef("host:5000", "a", "b")),
        ("[::1]:5000/a", ImageRef("[::1]:5000", "a")),
        (f"a/b:1@{DIGEST}", ImageRef("docker.io", "a/b", "1", DIGEST)),
    ],
)
def test_an_image_in_canonical_form(text: str, found: ImageRef) -> None:
    """Registry and repository are completed as the container runtime does; look-alikes stay what they are."""
    assert image(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "A", "a/B", "a//b", "a:b c", "a:", "a@sha256:12", "a@", "a b", "a/b:ü", "-a/b", "a_/b"),
        *("a/b:" + "c" * 200, "a.b:x/c", "http://a/b", "a/" + "b" * 2000),
    ],
)
def test_no_image(text: str | None) -> None:
    """What the container runtime would not pull is refused."""
    with pytest.raises(ImageError):
        image(text)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("hf://meta-llama/*", "hf://meta-llama/x", True),
        ("hf://meta-llama/*", "hf://meta-llama-evil/x", False),
        ("hf://meta-llama/*", "hf://meta-llama/x@abc", True),
        ("hf://meta-llama/x@abc", "hf://meta-llama/x", False),
        ("hf://meta-llama/x@*", "hf://meta-llama/x", False),
        ("hf://meta-llama/x@*", "hf://meta-llama/x@a", True),
        ("HF://meta-llama/*", "hf://Meta-llama/x", False),
        ("s3://b/**", "s3://b/x/y", True),
        ("s3://b/**", "s3://b", True),
        ("s3://b/**", "s3://bb/x", False),
        ("s3://b/*", "s3://b/x/y", False),
        ("s3://b/**/x", "s3://b/1/2/x", True),
        ("oci://vllm/weights:1.*", "oci://docker.io/vllm/weights:1.2", True),
        ("oci://vllm/weights:1.*", "oci://docker.io/vllm/weights:2", False),
        ("https://H.example:8080/a/*", "https://h.example:8080/a/b", True),
        ("https://h.example/a", "https://h.example/a?x=1", False),
        ("**", "s3://b/x/y", True),
    ],
)
def test_a_pattern_of_sources(pattern: str, text: str, matches: bool) -> None:  # noqa: FBT001 - a column of the table
    """A star is part of one component, two are any number; a revision counts where it is asked for."""
    found = url(text)
    assert isinstance(found, Location)
    assert Globs.sources([pattern]).matches(found) is matches


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("vllm/*", "docker.io/vllm/vllm-openai:v1", True),
        ("vllm/vllm-openai", "docker.io.evil/vllm/vllm-openai", False),
        ("vllm/vllm-openai", "vllm/vllm-openai-evil", False),
        ("vllm/vllm-openai", "localhost/vllm/vllm-openai", False),
        ("h.example/llm/**", "H.example/llm/a/b:1", True),
        ("h.example/llm/**", "h.example:5000/llm/a", False),
        ("*/llm/x", "h.example/llm/x", True),
        ("ubuntu:24.*", "docker.io/library/ubuntu:24.04", True),
        ("ubuntu:24.*", "ubuntu", False),
        (f"x/y@{DIGEST}", f"x/y:tag@{DIGEST}", True),
    ],
)
def test_a_pattern_of_images(pattern: str, text: str, matches: bool) -> None:  # noqa: FBT001 - a column of the table
    """Patterns of images are completed like references."""
    assert Globs.images([pattern]).matches(image(text)) is matches


def test_patterns_of_paths_and_names() -> None:
    """Paths are absolute, names have one component."""
    assert Globs.paths(["/models/**"]).matches("/models/a/b")
    assert not Globs.paths(["/models/*"]).matches("/models/a/b")
    assert Globs.names(["team-*"]).matches("team-a")
    assert not Globs.names(["team-*"]).matches("my-team-a")


@pytest.mark.parametrize(
    ("read", "pattern", "says"),
    [
        (Globs.sources, "meta-llama/*", "no scheme; allowed is one like hf://"),
        (Globs.sources, "xx://a", "allowed are abfs"),
        (Globs.sources, "hf://a//b", "empty"),
        (Globs.sources, "s3://b/", "all below"),
        (Globs.sources, "hf://a/../b", "'..'"),
        (Globs.sources, "hf://a/b**", "stand alone"),
        (Globs.sources, "hf://a/[bc]", "wildcards are"),
        (Globs.sources, "hf://a/b?", "wildcards are"),
        (Globs.sources, "hf://a/b@", "nothing behind its '@'"),
        (Globs.sources, "hf://a/b@**", "allowed is '*'"),
        (Globs.sources, f"hf://{'a' * 600}", "at most 512"),
        (Globs.sources, "hf://a" + "/**/b" * 9, "more than 8"),
        (Globs.images, "org/X", "upper-case"),
        (Globs.paths, "models/**", "begins with /"),
        (Globs.names, "a/b", "a slash"),
    ],
)
def test_no_pattern(read: object, pattern: str, says: str) -> None:
    """A bad pattern is refused with what was found and what is allowed."""
    assert callable(read)
    with pytest.raises(GlobError, match=r"^'") as refused:
        read([pattern])
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        (["hf://a/*"], ["hf://a/x*y@*"], True),
        (["hf://a/*@*"], ["hf://a/x"], False),
        (["hf://a/*", "s3://b/**"], ["s3://b/x/**", "hf://a/b:*"], True),
        (["hf://a/x*"], ["hf://a/*"], False),
        (["**"], ["oci://x/**"], True),
        (["s3://b/*"], ["s3://b/**"], False),
    ],
)
def test_what_covers(wide: list[str], narrow: list[str], covers: bool) -> None:  # noqa: FBT001 - a column of the table
    """A list is tighter if each of its patterns lies within one of the other's."""
    assert Globs.sources(wide).covers(Globs.sources(narrow)) is covers


def test_many_stars_do_not_hang() -> None:
    """What backtracks in other matchers is a walk here: this test ends."""
    pattern = "hf://" + "a*" * 250 + "c"
    assert not Globs.sources([pattern]).matches(Location("hf", "a" * 4000 + "b"))
    deep = "s3://" + "/".join(["**", "a"] * 8)
    assert not Globs.sources([deep]).matches(Location("s3", "a/" * 2000 + "b"))

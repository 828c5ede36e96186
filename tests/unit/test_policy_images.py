"""Rules over images."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules import OWN_IMAGE, subject, told

DIGEST = "sha256:" + "0" * 64
ALLOWED = ["vllm/vllm-openai", "docker.io/ollama/ollama", "registry.example.com/llm/**", "ubuntu"]


def of(image: Any) -> dict[str, Any]:
    """Give a pod of one container."""
    return {"spec": {"containers": [{"name": "server", "image": image}]}}


@pytest.mark.parametrize(
    "image",
    [
        "vllm/vllm-openai",
        "vllm/vllm-openai:v0.15.0",
        f"docker.io/vllm/vllm-openai:v0.15.0@{DIGEST}",
        "index.docker.io/vllm/vllm-openai",
        "registry.example.com/llm/a/b/c:1",
        "REGISTRY.example.com/llm/a",
        "ubuntu:24.04",
        "docker.io/library/ubuntu",
    ],
)
def test_allowed_images(image: str) -> None:
    """An image is what the runtime makes of its reference, whatever of it is left out."""
    assert told("images.allow", ALLOWED, subject(of(image))) == []


@pytest.mark.parametrize(
    "image",
    [
        "vllm/vllm-openai-evil",
        "vllm-evil/vllm-openai",
        "docker.io.evil.example/vllm/vllm-openai",
        "docker.io:5000/vllm/vllm-openai",
        "registry.example.com.evil.example/llm/a",
        "registry.example.com:8443/llm/a",
        "registry.example.com/llm-evil/a",
        "registry.example.com/llm/../evil/a",
        "evil.example/registry.example.com/llm/a",
        "evil/ubuntu",
        "vllm/vllm-openai ",
        " vllm/vllm-openai",
        "vllm/VLLM-openai",
        "vllm/vllm\u2010openai",
        "vllm/vllm-openai@sha256:0",
        "",
        None,
        7,
        ["vllm/vllm-openai"],
    ],
)
def test_look_alikes_are_not_allowed(image: Any) -> None:
    """What is called much the same, or is no reference at all, is refused."""
    found = told("images.allow", ALLOWED, subject(of(image)))
    assert len(found) == 1
    assert found[0].startswith("spec.containers[0].image: ")


def test_every_place_an_image_is_used() -> None:
    """Containers of all kinds and volumes made of images are judged; the webhook's own registrar is not."""
    raw = {
        "spec": {
            "initContainers": [{"name": "a", "image": "evil/a"}],
            "containers": [
                {"name": "b", "image": "evil/b"},
                {"name": "registrar", "image": OWN_IMAGE},
            ],
            "ephemeralContainers": [{"name": "registrar", "image": "evil/c"}],
            "volumes": [{"name": "v", "image": {"reference": "evil/d"}}, {"name": "e", "emptyDir": {}}],
        }
    }
    wanted = "vllm/vllm-openai"
    assert told("images.allow", ["vllm/vllm-openai"], subject(raw)) == [
        f"spec.initContainers[0].image: evil/a -> {wanted}",
        f"spec.containers[0].image: evil/b -> {wanted}",
        f"spec.ephemeralContainers[0].image: evil/c -> {wanted}",
        f"spec.volumes[0].image.reference: evil/d -> {wanted}",
    ]


def test_an_empty_list_allows_no_image() -> None:
    """Nothing in it is nothing allowed."""
    assert told("images.allow", [], subject(of("ubuntu"))) == ["spec.containers[0].image: ubuntu -> none"]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("a/b:latest", "a/b:latest"),
        ("a/b:LATEST", "a/b:LATEST"),
        ("a/b", "a/b without a tag, which is latest"),
        ("example.com:5000/a", "example.com:5000/a without a tag, which is latest"),
        ("a/b:nightly-20261121", "a/b:nightly-20261121"),
        ("a/b:v1", None),
        ("a/b:not-latest", None),
        (f"a/b:latest@{DIGEST}", None),
        (f"a/b@{DIGEST}", None),
    ],
)
def test_forbidden_tags(image: str, found: str | None) -> None:
    """An image by a tag that moves is found, unless the digest says which one is meant."""
    expected = [f"spec.containers[0].image: {found} -> a tag other than latest, nightly*"] if found else []
    assert told("images.forbidTags", ["latest", "nightly*"], subject(of(image))) == expected


@pytest.mark.parametrize("image", ["a/b", "a/b:v1", "a/b:v1@sha256:abc", "a/b@", None])
def test_required_digest(image: Any) -> None:
    """Only a whole digest names one image."""
    found = told("images.requireDigest", True, subject(of(image)))
    assert [line.partition(" -> ")[2] for line in found] == ["an image with its digest, @sha256:…"]


def test_a_digest_is_enough() -> None:
    """With a tag or without; and `false` asks for none."""
    assert told("images.requireDigest", True, subject(of(f"a/b:v1@{DIGEST}"))) == []
    assert told("images.requireDigest", True, subject(of(f"a/b@{DIGEST}"))) == []
    assert told("images.requireDigest", False, subject(of("a/b"))) == []

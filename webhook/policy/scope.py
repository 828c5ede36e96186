"""The doors beside the labelled pods: servers without the label, that lose it, or that change their image.

They are doors of the webhook, not rules over a pod: what comes through them is told by comparing requests,
so these fields only say what becomes of it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sidecar.contract import LABEL_SERVER, Engine
from webhook.candidates import Likeness, likeness
from webhook.policy.kinds import Choice
from webhook.policy.rule import Rule
from webhook.policy.subject import MAX_CONTAINERS, Subject
from webhook.policy.verdict import Finding
from webhook.reasons import shown
from webhook.sources import container, programs

_GROUP: Final = "scope"

RULES: Final = (
    Rule(
        _GROUP,
        "requireLabel",
        Choice(),
        f"a pod with a vLLM or Ollama image and without the label `{LABEL_SERVER}`",
    ),
    Rule(_GROUP, "keepLabel", Choice(), f"the label `{LABEL_SERVER}` is taken from a running pod"),
    Rule(_GROUP, "imageChange", Choice(), "an image of a running model server's pod is changed"),
)
REQUIRE_LABEL, KEEP_LABEL, IMAGE_CHANGE = (rule.id for rule in RULES)

_ENGINES: Final = (Engine.VLLM, Engine.OLLAMA)


def unlabelled(subject: Subject) -> Iterator[Finding]:
    """Find containers of a pod without our label that run a vLLM or an Ollama, or have an image of theirs."""
    if subject.size > MAX_CONTAINERS:
        found = f"{subject.size} containers, more than are looked at, without the label"
        yield Finding(subject.path, found, f"the label {LABEL_SERVER} on the pod, or fewer containers")
        return
    for index, (_, path, name, raw) in enumerate(subject.containers):
        reading = container.read(index, path, raw)
        known = programs.image(raw.get("image"))
        if (known and known.program and known.program.engine in _ENGINES) or any(
            likeness(reading, engine) >= Likeness.IMAGE for engine in _ENGINES
        ):
            found = f"{shown(raw.get('image'))} in a pod without the label"
            yield Finding(f"{path}.image", found, f"the label {LABEL_SERVER} on the pod", name)


def label_removed(metadata_path: str) -> Finding:
    """Say that a server's label was taken away, which stood on the metadata at this path."""
    return Finding(f"{metadata_path}.labels[{LABEL_SERVER}]", "the label taken away", "the label to stay")


def image_changed(new: Subject, old: Subject) -> Iterator[Finding]:
    """Find containers of a running pod whose image an update changes."""
    before = {(c.kind, c.name): c.raw.get("image") for c in old.containers}
    for one in new.containers:
        image = one.raw.get("image")
        was = before.get((one.kind, one.name), image)
        if image != was and not new.is_registrar(one):
            found = f"{shown(image)} in place of {shown(was)}"
            yield Finding(f"{one.path}.image", found, "the image it was started with", one.name)

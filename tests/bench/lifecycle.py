"""Pods that are the worse for a release's life: refused, or labelled and without a registrar."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.bench.figures import Figure
from tests.cluster.lifecycle import Story, lead, tag_other
from tests.peers import cluster as kubernetes
from tests.peers.helm import PROGRAMS, Helm
from tests.peers.scripts import FOLDER

_IMAGES: Final = ("webhook", "sidecar")


async def measure() -> list[Figure]:
    """Give lifecycle_creates: a whole life by each version of Helm, on one node."""
    with (
        tempfile.TemporaryDirectory(prefix="litellm-registrar-node-") as work,
        kubernetes.node(Path(work) / "kube") as cluster,
    ):
        cluster.script("image-load.sh", *_archives())
        tag_other(cluster)
        stories = [await lead(Helm(cluster, major), f"busy-{major}") for major in sorted(PROGRAMS)]
    lost = [one for story in stories for one in (*story.refused(), *story.missed())]
    return [
        Figure(
            "lifecycle_creates",
            len(lost),
            "pods",
            "= 0",
            f"of {sum(len(story.pods.all) for story in stories)} by Helm 3 and 4: "
            f"{'; '.join(map(_told, stories))}. {lost[0] if lost else ''}".strip(),
        )
    ]


def _archives() -> list[str]:
    done = subprocess.run(
        [FOLDER / "images" / "build.sh", *_IMAGES], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.split()


def _told(story: Story) -> str:
    injected = story.pods.injected(story.ready, story.leaving)
    return f"{injected} with a registrar, slowest answer {story.pods.slowest():.1f} s"

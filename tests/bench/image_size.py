"""How much the registrar's image brings to a node that has its base already."""

import asyncio
from pathlib import Path

from tests.bench.figures import Figure
from tests.peers.archive import Image
from tests.peers.scripts import FOLDER

_MB = 1_000_000


async def measure() -> list[Figure]:
    """Give image_size. Builds both images, needs root and buildah (tests/peers/install.sh cluster)."""
    command = (str(FOLDER / "images" / "build.sh"), "sidecar", "webhook")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, "the images were not built"
    sidecar, webhook = (Image.read(Path(path)) for path in out.decode().split())
    size, beside = (
        sum(layer.size for layer in image) for image in (sidecar.over(webhook), webhook.over(sidecar))
    )
    base = sum(layer.size for layer in sidecar.layers) - size
    baseline = f"the webhook's is {beside / _MB:.1f} over the same base, which has {base / _MB:.0f} here"
    return [Figure("image_size", size / _MB, "MB", "<= 15", baseline)]

"""mkoci.py ROOTFS NAME OUT.tar ENTRYPOINT: a one-layer OCI image archive from a folder."""

import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

OCI = "application/vnd.oci.image"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def main(rootfs: str, name: str, out: str, entrypoint: str) -> None:
    """Write the archive."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(rootfs, arcname="./")
    blobs: dict[str, bytes] = {}

    def descriptor(media_type: str, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"{OCI}.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}

    layer_descriptor = descriptor("layer.v1.tar", layer.getvalue())
    machine = os.uname().machine
    config = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Entrypoint": [entrypoint]},
        "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": descriptor("config.v1+json", json.dumps(config).encode()),
        "layers": [layer_descriptor],
    }
    names = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1],
    }
    entry = {**descriptor("manifest.v1+json", json.dumps(manifest).encode()), "annotations": names}
    files = {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with tarfile.open(f"{out}.new", "w") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    Path(f"{out}.new").replace(out)


if __name__ == "__main__":
    main(*sys.argv[1:5])

"""mkoci.py ROOTFS NAME OUT.tar [--entry A B] [--env K=V]: a one-layer OCI image archive from a folder."""

import argparse
import hashlib
import io
import json
import os
import tarfile

ap = argparse.ArgumentParser()
ap.add_argument("rootfs")
ap.add_argument("name")
ap.add_argument("out")
ap.add_argument("--entry", nargs="*", default=[])
ap.add_argument(
    "--env", action="append", default=["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
)
a = ap.parse_args()

layer = a.out + ".layer"
with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as t:
    t.add(a.rootfs, arcname="./")


def sha(b):
    return hashlib.sha256(b).hexdigest()


h = hashlib.sha256()
with open(layer, "rb") as f:
    for block in iter(lambda: f.read(1 << 20), b""):
        h.update(block)
d = h.hexdigest()
arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
cfg = json.dumps(
    {
        "architecture": arch,
        "os": "linux",
        "config": {"Env": a.env, "Entrypoint": a.entry or None},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + d]},
        "history": [{"created_by": "mkoci"}],
    }
).encode()
man = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": "sha256:" + sha(cfg),
            "size": len(cfg),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": "sha256:" + d,
                "size": os.path.getsize(layer),
            }
        ],
    }
).encode()
idx = json.dumps(
    {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + sha(man),
                "size": len(man),
                "annotations": {
                    "io.containerd.image.name": a.name,
                    "org.opencontainers.image.ref.name": a.name.rsplit(":", 1)[1],
                },
            }
        ],
    }
).encode()
with tarfile.open(a.out + ".new", "w") as t:

    def add(name, data):
        i = tarfile.TarInfo(name)
        i.size = len(data)
        t.addfile(i, io.BytesIO(data))

    add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    add("index.json", idx)
    add("blobs/sha256/" + sha(cfg), cfg)
    add("blobs/sha256/" + sha(man), man)
    t.add(layer, arcname="blobs/sha256/" + d)
os.unlink(layer)
os.replace(a.out + ".new", a.out)

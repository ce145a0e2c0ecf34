"""An image as an OCI archive, the same octets for the same content; nothing else is needed, no engine and no root:

oci.py ARCHIVE NAME:TAG CONFIG.json ARCH=LAYER,LAYER,… [ARCH=…]

Each LAYER is a folder. CONFIG.json is the image's configuration as OCI has it (`Entrypoint`, `User`, …), and beside it
`owned`, the folders that belong to uid and gid 10001 and not to root, and `annotations` of each manifest. Architectures
are in one index. Docker before 25 knows no OCI: for it, manifest.json names the first as NAME:TAG, each as
NAME:TAG-ARCH.
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import stat
import sys
import tarfile

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
USER = 10001
OCI = "application/vnd.oci.image"


def entry(archive, name, data=None, **attributes):
    member = tarfile.TarInfo(name)
    member.mtime = EPOCH
    member.mode = 0o644
    for key, value in attributes.items():
        setattr(member, key, value)
    member.size = len(data or b"")
    archive.addfile(member, io.BytesIO(data) if data is not None else None)


def tar(folder, owned):
    """The folder's content: in order, at one time, as root or as our user."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            name, about = path.relative_to(folder).as_posix(), path.lstat()
            owner = USER if f"/{name}" in owned else 0
            common = {"mode": stat.S_IMODE(about.st_mode), "uid": owner, "gid": owner}
            if path.is_symlink():
                entry(archive, name, type=tarfile.SYMTYPE, linkname=os.readlink(path), **common | {"mode": 0o777})
            elif path.is_dir():
                entry(archive, name, type=tarfile.DIRTYPE, **common)
            else:
                entry(archive, name, path.read_bytes(), **common)
    return buffer.getvalue()


class Image:
    def __init__(self):
        self.blobs = {}

    def blob(self, kind, data, **more):
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data), **more}

    def document(self, kind, value, **more):
        return self.blob(kind, json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), **more)

    def manifest(self, architecture, folders, settings):
        """One architecture's manifest, and what manifest.json has to say of it."""
        layers, diffs = [], []
        for folder in folders:
            content = tar(pathlib.Path(folder), settings.get("owned", []))
            diffs.append(f"sha256:{hashlib.sha256(content).hexdigest()}")
            layers.append(self.blob("layer.v1.tar+gzip", gzip.compress(content, 6, mtime=0)))
        created = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        config = self.document("config.v1+json", {
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": settings["config"],
            "rootfs": {"type": "layers", "diff_ids": diffs},
        })
        manifest = self.document("manifest.v1+json", {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": config,
            "layers": layers,
            "annotations": settings.get("annotations", {}),
        })
        place = lambda blob: "blobs/sha256/" + blob["digest"].removeprefix("sha256:")
        return manifest, {"Config": place(config), "Layers": [place(layer) for layer in layers]}


def write(path, name, settings, architectures):
    image, manifests, loads = Image(), [], []
    tag = name.partition(":")[2]
    for number, (architecture, folders) in enumerate(architectures):
        manifest, load = image.manifest(architecture, folders, settings)
        manifests.append({**manifest, "platform": {"architecture": architecture, "os": "linux"}})
        tags = [f"{name}-{architecture}"] if len(architectures) > 1 else []
        loads.append({**load, "RepoTags": ([name] if number == 0 else []) + tags})
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests}
    top = manifests[0] if len(manifests) == 1 else image.document("index.v1+json", index)
    names = {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": f"docker.io/library/{name}"}
    entrance = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [{**top, "annotations": names}]}

    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for folder in ("blobs", "blobs/sha256"):
            entry(archive, folder, type=tarfile.DIRTYPE, mode=0o755)
        for digest, data in sorted(image.blobs.items()):
            entry(archive, f"blobs/sha256/{digest}", data)
        version = {"imageLayoutVersion": "1.0.0"}
        for file, value in (("index.json", entrance), ("manifest.json", loads), ("oci-layout", version)):
            entry(archive, file, json.dumps(value, sort_keys=True).encode())
    print(f"{top['digest']}  {name}")


if __name__ == "__main__":
    path, name, settings, *architectures = sys.argv[1:]
    folders = [(a, layers.split(",")) for a, _, layers in (given.partition("=") for given in architectures)]
    write(path, name, json.loads(pathlib.Path(settings).read_text()), folders)

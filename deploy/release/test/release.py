"""The release that is judged, and its images as they are unpacked. Nothing here judges."""

import functools
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile

RELEASE = pathlib.Path(os.environ["FEDGATE_RELEASE"]).resolve()
HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
VERSION = (RELEASE / "images.txt").read_text().split()[1].partition(":")[2]
ARCHITECTURE = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
IMAGES = ("fedgate", "fedgate-envoy", "fedgate-filter")


class Layout:
    """An OCI archive: its files by name, and what they refer to."""

    def __init__(self, name):
        with tarfile.open(RELEASE / f"{name}-{VERSION}.oci.tar") as archive:
            self.files = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
        self.top = json.loads(self.files["index.json"])["manifests"]

    def blob(self, descriptor):
        return self.files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]

    def document(self, descriptor):
        return json.loads(self.blob(descriptor))

    def manifests(self):
        """Each architecture's, with its configuration: {architecture: (manifest, configuration)}."""
        (top,) = self.top
        document = self.document(top)
        found = [self.document(m) for m in document["manifests"]] if "manifests" in document else [document]
        configured = [(manifest, self.document(manifest["config"])) for manifest in found]
        return {config["architecture"]: (manifest, config) for manifest, config in configured}

    def unpack(self, architecture, folder):
        """All layers, one over the other, with their owners."""
        manifest, _ = self.manifests()[architecture]
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(self.blob(layer)))) as archive:
                archive.extractall(folder, numeric_owner=True)


@functools.cache
def layout(name):
    return Layout(name)


def digest(octets):
    return "sha256:" + hashlib.sha256(octets).hexdigest()

"""Each file of a release is what it says."""

import gzip
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

import helm_python as helm
import jsonschema
import referencing

import release
from release import IMAGES, RELEASE, ROOT, VERSION, digest, layout

SCHEMAS = next(pathlib.Path(p) / "cyclonedx/schema/_res" for p in sys.path if (pathlib.Path(p) / "cyclonedx").is_dir())


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


class Checksums(unittest.TestCase):
    def sums(self, folder):
        return run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=folder)

    def test_every_file_has_its_checksum(self):
        named = {line.split()[1] for line in (RELEASE / "SHA256SUMS").read_text().splitlines()}
        there = {f.name for f in RELEASE.iterdir()} - {"SHA256SUMS", "SHA256SUMS.sig", "SHA256SUMS.minisig"}
        self.assertEqual(named, there)
        self.assertEqual(self.sums(RELEASE).returncode, 0)

    def test_a_changed_octet_is_found_in_every_file(self):
        for file in sorted(RELEASE.iterdir()):
            if file.name.startswith("SHA256SUMS"):
                continue
            with self.subTest(file.name), tempfile.TemporaryDirectory() as folder:
                line = next(l for l in (RELEASE / "SHA256SUMS").read_text().splitlines() if l.endswith(f"  {file.name}"))
                (pathlib.Path(folder) / "SHA256SUMS").write_text(line + "\n")
                copy = pathlib.Path(shutil.copy(file, folder))
                self.assertEqual(self.sums(folder).returncode, 0)
                with copy.open("r+b") as changed:
                    changed.seek(file.stat().st_size // 2)
                    octet = changed.read(1)[0]
                    changed.seek(-1, os.SEEK_CUR)
                    changed.write(bytes([octet ^ 1]))
                self.assertNotEqual(self.sums(folder).returncode, 0)

    def test_a_signature_holds_for_these_checksums_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key", check=True)
            sums = pathlib.Path(shutil.copy(RELEASE / "SHA256SUMS", folder))
            run(ROOT / "deploy/release/sign", folder / "key", sums, check=True)
            public = (folder / "key.pub").read_text()
            (folder / "allowed").write_text(f'release@example.com namespaces="fedgate-release" {public}')
            verify = lambda: run("ssh-keygen", "-Y", "verify", "-f", folder / "allowed", "-I", "release@example.com",
                                 "-n", "fedgate-release", "-s", f"{sums}.sig", input=sums.read_text()).returncode
            self.assertEqual(verify(), 0)
            sums.write_text(sums.read_text().replace("a", "b", 1))
            self.assertNotEqual(verify(), 0)


class Bills(unittest.TestCase):
    def bills(self):
        return {f.name: json.loads(f.read_text()) for f in RELEASE.glob("*.cdx.json")}

    def test_they_are_as_cyclonedx_has_it(self):
        resources = [(f"http://cyclonedx.org/schema/{name}.schema.json",
                      referencing.Resource.from_contents(json.loads((SCHEMAS / f"{name}.SNAPSHOT.schema.json").read_text())))
                     for name in ("spdx", "jsf-0.82")]
        schema = json.loads((SCHEMAS / "bom-1.6.SNAPSHOT.schema.json").read_text())
        validator = jsonschema.Draft7Validator(schema, registry=referencing.Registry().with_resources(resources),
                                               format_checker=jsonschema.FormatChecker())
        self.assertTrue(self.bills())
        for name, bill in self.bills().items():
            with self.subTest(name):
                self.assertEqual([error.message for error in validator.iter_errors(bill)], [])
                bill["components"][0]["type"] = "lumber"
                self.assertTrue(list(validator.iter_errors(bill)))

    def test_they_name_what_is_linked_and_nothing_else(self):
        for name, bill in self.bills().items():
            with self.subTest(name):
                names = {c["name"] for c in bill["components"]}
                self.assertIn("serde_json", names)
                # What only tests use, what runs while it is built, and what is for another system.
                self.assertFalse(names & {"proptest", "cc", "syn", "clap_derive", "serde_derive", "windows-sys"})
                self.assertEqual("axum" in names, not name.startswith("fedgate-filter"))

    def test_every_part_has_a_licence_and_every_crate_of_others_a_checksum(self):
        for name, bill in self.bills().items():
            for part in bill["components"]:
                with self.subTest(name, part=part["name"]):
                    self.assertTrue(part["licenses"])
                    if part["purl"].startswith("pkg:cargo/") and not part["name"].startswith("fedgate-"):
                        self.assertTrue(part["hashes"])

    def test_they_are_of_these_files(self):
        (bill,) = [b for n, b in self.bills().items() if n.startswith("fedgate-filter")]
        expected = digest((RELEASE / f"fedgate-filter-{VERSION}.wasm").read_bytes())
        self.assertEqual("sha256:" + bill["metadata"]["component"]["hashes"][0]["content"], expected)


class Images(unittest.TestCase):
    def test_each_blob_is_named_after_its_octets(self):
        for name in IMAGES:
            for file, octets in layout(name).files.items():
                if file.startswith("blobs/"):
                    with self.subTest(name, file=file):
                        self.assertEqual(digest(octets), "sha256:" + file.rpartition("/")[2])

    def test_each_part_is_there_and_as_long_as_it_says(self):
        for name in IMAGES:
            image = layout(name)
            for manifest, config in image.manifests().values():
                layers = [image.blob(layer) for layer in manifest["layers"]]
                self.assertEqual([layer["size"] for layer in manifest["layers"]], list(map(len, layers)))
                self.assertEqual(config["rootfs"]["diff_ids"], [digest(gzip.decompress(layer)) for layer in layers])

    def test_the_digests_of_images_txt_are_theirs(self):
        for line in (RELEASE / "images.txt").read_text().splitlines():
            said, name = line.split()
            self.assertEqual(said, layout(name.partition(":")[0]).top[0]["digest"])

    def test_nothing_runs_as_root(self):
        for name in ("fedgate", "fedgate-envoy"):
            for _, config in layout(name).manifests().values():
                self.assertEqual(config["config"]["User"], "10001:10001")

    def test_no_file_is_anothers_to_change_and_none_runs_as_its_owner(self):
        for name in ("fedgate", "fedgate-envoy"):
            image = layout(name)
            for manifest, _ in image.manifests().values():
                for layer in manifest["layers"]:
                    for member in tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.blob(layer)))):
                        with self.subTest(name, file=member.name):
                            self.assertFalse(member.mode & 0o6000)
                            self.assertFalse(member.mode & 0o002 and not member.issym() and member.name != "tmp")

    def test_scanners_learn_which_packages_they_have_and_whose(self):
        for name in ("fedgate", "fedgate-envoy"):
            image = layout(name)
            for manifest, _ in image.manifests().values():
                texts = {}
                for layer in manifest["layers"]:
                    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.blob(layer)))) as files:
                        texts |= {m.name.removeprefix("./"): files.extractfile(m).read().decode()
                                  for m in files if m.isfile() and re.search(r"status\.d/|os-release$", m.name)}
                self.assertIn("ID=debian\n", texts.pop("usr/lib/os-release"))
                packages = {re.search("^Package: (.*)$", text, re.M)[1] for text in texts.values()}
                self.assertLessEqual({"libc6", "libgcc-s1", "ca-certificates", "coreutils"}, packages)

    def test_there_is_what_the_chart_runs_and_no_shell(self):
        # As deploy/test/policy.py has it.
        for name, programs in {"fedgate": {"fedgate", "sleep"}, "fedgate-envoy": {"fedgate", "sleep", "envoy"}}.items():
            image = layout(name)
            for manifest, _ in image.manifests().values():
                names = {m.name for layer in manifest["layers"]
                         for m in tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.blob(layer))))}
                self.assertEqual({n.rpartition("/")[2] for n in names if n.removeprefix("./").startswith("usr/bin/")} - {""}, programs)
                self.assertFalse({n for n in names if n.rpartition("/")[2] in ("sh", "bash", "dash", "busybox")})

    def test_the_filters_is_one_layer_with_one_file(self):
        image = layout("fedgate-filter")
        ((manifest, _),) = image.manifests().values()
        self.assertEqual(manifest["annotations"]["module.wasm.image/variant"], "compat")
        (layer,) = manifest["layers"]
        self.assertEqual(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip")
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.blob(layer)))) as archive:
            self.assertEqual(archive.getnames(), ["plugin.wasm"])
            octets = archive.extractfile("plugin.wasm").read()
        self.assertEqual(octets, (RELEASE / f"fedgate-filter-{VERSION}.wasm").read_bytes())


class Bundle(unittest.TestCase):
    def test_it_has_all_that_a_cluster_needs_and_its_checksums(self):
        with tempfile.TemporaryDirectory() as folder:
            run("tar", "xzf", RELEASE / f"fedgate-{VERSION}-bundle.tar.gz", "-C", folder, check=True)
            (bundle,) = pathlib.Path(folder).iterdir()
            self.assertEqual(run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=bundle).returncode, 0)
            images = {f"{name}-{VERSION}.oci.tar" for name in IMAGES}
            self.assertLessEqual(images | {f"fedgate-{VERSION}.tgz", "images.txt"}, {f.name for f in bundle.iterdir()})

    def test_helm_takes_the_chart_and_it_asks_for_these_images(self):
        asked = set()
        for mode in ("envoy", "istio"):
            values = {"backendDomain": "b.com", "infrastructureDomain": "infra.b.com", "ingress": {"mode": mode},
                      "egress": {"enabled": mode == "envoy"}}
            with helm.Chart.load(RELEASE / f"fedgate-{VERSION}.tgz") as chart:
                texts = chart.render(values, name="fedgate", namespace="wire")
            asked |= set(re.findall(r"registry\.example\.com/(\S+)", "\n".join(texts.values())))
        names = {line.split()[1] for line in (RELEASE / "images.txt").read_text().splitlines()}
        self.assertEqual(asked, names)


class Version(unittest.TestCase):
    def test_a_version_without_a_section_in_the_changelog_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            run("git", "clone", "--quiet", ROOT, folder, check=True)
            shutil.copy(ROOT / "scripts/release", pathlib.Path(folder) / "scripts/release")
            manifest = pathlib.Path(folder) / "Cargo.toml"
            manifest.write_text(manifest.read_text().replace(f'version = "{VERSION}"', 'version = "9.8.7"', 1))
            refused = run(pathlib.Path(folder) / "scripts/release", "--quick")
            self.assertEqual(refused.returncode, 1)
            self.assertIn("CHANGELOG.md has no section [9.8.7]", refused.stderr)


if __name__ == "__main__":
    unittest.main()

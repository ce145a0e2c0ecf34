"""What is linked into a package, as CycloneDX 1.6 (JSON), on standard output:

sbom.py PACKAGE TARGET FILE

`cargo tree` says what is linked for that target: neither what only tests or build scripts use, nor procedural macros.
`cargo metadata` has the licences, Cargo.lock the checksums. FILE is the built one, told by its digest. Rust's own
library is in it, too.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--locked"], check=True, stdout=subprocess.PIPE, text=True).stdout


def tree(package, target):
    """Who depends on whom: {(name, version): {(name, version)}}; and the package itself."""
    lines = cargo("tree", "--package", package, "--target", target, "--edges", "normal,no-proc-macro",
                  "--prefix", "depth", "--format", " {p}").splitlines()
    graph, path = {}, []
    for line in lines:
        depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
        node = (name, version)
        graph.setdefault(node, set())
        del path[int(depth):]
        if path:
            graph[path[-1]].add(node)
        path.append(node)
    return graph, path[0]


def licence(text):
    """An old way to write "or" is a slash; CycloneDX takes an expression of SPDX alone."""
    return [{"expression": re.sub(r"\s*/\s*", " OR ", text)}] if text else []


def component(kind, node, reference, text, **more):
    return {"type": kind, "bom-ref": reference, "name": node[0], "version": node[1], "purl": reference,
            "licenses": licence(text), **more}


def rust(built):
    """The version of the compiler: what it has noted, or, where that was taken out, of the one that is here."""
    noted = re.search(rb"rustc version (\d+\.\d+\.\d+)", built)
    text = noted[1] if noted else subprocess.check_output(["rustc", "--version"]).split()[1]
    return text.decode()


def bill(package, target, file):
    built = pathlib.Path(file).read_bytes()
    graph, root = tree(package, target)
    packages = json.loads(cargo("metadata", "--format-version", "1"))["packages"]
    licences = {(p["name"], p["version"]): p["license"] for p in packages}
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]
    checksums = {(p["name"], p["version"]): p["checksum"] for p in lock if "checksum" in p}
    reference = lambda node: f"pkg:cargo/{node[0]}@{node[1]}"

    components = []
    for node in sorted(graph.keys() - {root}):
        hashes = [{"alg": "SHA-256", "content": checksums[node]}] if node in checksums else []
        components.append(component("library", node, reference(node), licences[node], hashes=hashes))
    standard = f"pkg:generic/rust-std@{rust(built)}"
    components.append(component("library", ("rust-std", rust(built)), standard, "MIT OR Apache-2.0"))
    depends = {reference(node): sorted(map(reference, on)) for node, on in graph.items()}
    depends[reference(root)].append(standard)
    depends[standard] = []

    digest = hashlib.sha256(built).hexdigest()
    moment = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    hashes = [{"alg": "SHA-256", "content": digest}]
    subject = component("application", root, reference(root), licences[root], hashes=hashes)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        # The same for the same file.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "metadata": {
            "timestamp": moment.isoformat().replace("+00:00", "Z"),
            "component": subject,
            "properties": [{"name": "fedgate:target", "value": target}],
        },
        "components": components,
        "dependencies": [{"ref": node, "dependsOn": on} for node, on in sorted(depends.items())],
    }


if __name__ == "__main__":
    json.dump(bill(*sys.argv[1:]), sys.stdout, indent=1)
    print()

"""Resources against the types that a cluster has of them, strictly: no member is there that the type does not know."""

import copy
import json
import subprocess

import kubernetes_validate

from chart import ROOT

NODE = ROOT / ".tools/deploy/node"
# From the chart's `kubeVersion` on.
VERSIONS = ["1.27", "1.30", "1.33", "1.35", "1.37"]
# Groups of Kubernetes itself have no dot, or end so; but for the Gateway API.
OTHERS = ("gateway.networking.k8s.io", "gateway.envoyproxy.io", "istio.io", "cert-manager.io", "monitoring.coreos.com")

# What is newer than the types that the packages have: Envoy Gateway 1.9. It is taken out before they judge.
NEWER = {"ClientTrafficPolicy": ("spec", "headers", "host")}


def _name(resource):
    return f"{resource['kind']} {resource['metadata']['name']}"


def _of_others(resource):
    return resource["apiVersion"].split("/")[0].endswith(OTHERS)


def _without_newer(resource):
    resource = copy.deepcopy(resource)
    *path, last = NEWER.get(resource["kind"], [None])
    part = resource
    for step in path:
        part = part.get(step, {})
    part.pop(last, None)
    return resource


def errors(resources, versions=VERSIONS):
    """What is wrong with these resources, a line for each; [] where nothing is."""
    found = []
    for resource in (r for r in resources if not _of_others(r)):
        for version in versions:
            try:
                kubernetes_validate.validate(resource, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                found.append(f"{_name(resource)}, Kubernetes {version}: {error.message}")
    others = [_without_newer(r) for r in resources if _of_others(r)]
    if others:
        done = subprocess.run(
            ["node", ROOT / "deploy/test/strict.mjs", NODE], input=json.dumps(others), capture_output=True, text=True, check=True
        )
        for error in json.loads(done.stdout):
            which = "a package" if error["index"] is None else _name(others[error["index"]])
            found.append(f"{which}: {error['error']}")
    return found


def distinct(resources):
    """Each resource once, however often it was rendered: what is random in it, the tokens, left out."""
    seen = {}
    for resource in resources:
        key = {k: v for k, v in resource.items() if k != "stringData"}
        seen.setdefault(json.dumps(key, sort_keys=True), resource)
    return list(seen.values())

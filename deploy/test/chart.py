"""The chart, rendered by Helm itself, and what is in it. Nothing here judges."""

import copy
import functools
import json
import pathlib

import helm_python as helm
import yaml

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/fedgate"
RELEASE, NAMESPACE = "gate", "wire"


def merged(*layers):
    """The values of all layers, the last one winning; as `helm --values` does it."""
    result = {}
    for layer in layers:
        for key, value in layer.items():
            deeper = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if deeper else value
    return result


class Loader(yaml.SafeLoader):
    """A key that stands twice is an error, and not the last one."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {sorted(map(str, twice))}", node.start_mark)
        return super().construct_mapping(node, deep)


def render(values, chart=CHART):
    """All resources that the chart makes of these values. Raises helm.HelmError."""
    return copy.deepcopy(_render(json.dumps(values), chart))


@functools.lru_cache(maxsize=None)
def _render(values, chart):
    values = json.loads(values)
    with helm.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        texts = loaded.render(values, name=RELEASE, namespace=NAMESPACE)
    manifests = [text for name, text in sorted(texts.items()) if name.endswith(".yaml")]
    return [document for text in manifests for document in yaml.load_all(text, Loader) if document]


def notes(values, chart=CHART):
    """What Helm prints after an installation."""
    with helm.Chart.load(chart) as loaded:
        texts = loaded.render(values, name=RELEASE, namespace=NAMESPACE)
    return next(text for name, text in texts.items() if name.endswith("NOTES.txt"))


def lint(values, chart=CHART):
    """What `helm lint --strict` has to say: above info, so that nothing is right."""
    report = helm.lint(chart, values, strict=True, namespace=NAMESPACE)
    return [f"{m['path']}: {m['error']}" for m in report["messages"] if m["severity"] >= 2] + report["errors"]


def named(resources, kind, name):
    """The one resource of this kind and name, or None."""
    found = [r for r in resources if r["kind"] == kind and r["metadata"]["name"] == name]
    assert len(found) < 2, f"{kind} {name} is there {len(found)} times"
    return found[0] if found else None


def pods(resources):
    """(name, metadata, spec) of every pod that the resources lead to."""
    for resource in resources:
        if resource["kind"] == "Pod":
            yield resource["metadata"]["name"], resource["metadata"], resource["spec"]
        elif resource["kind"] in ("Deployment", "StatefulSet", "Job", "DaemonSet"):
            template = resource["spec"]["template"]
            yield resource["metadata"]["name"], template.get("metadata", {}), template["spec"]


def envoy(resources):
    """The text of our own Envoy's configuration and of its SDS files, by name; {} where there is no such Envoy."""
    configuration = named(resources, "ConfigMap", "fedgate-envoy")
    return configuration["data"] if configuration else {}

"""What Helm makes of the chart, and what it refuses."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import tomllib
import unittest

import helm_python as helm
import yaml

import cases
import chart


class Rendering(unittest.TestCase):
    def test_each_case_is_rendered_and_lint_has_nothing_to_say(self):
        for name, values in cases.CASES.items():
            with self.subTest(name):
                self.assertGreater(len(chart.render(values)), 5)
                self.assertEqual(chart.lint(values), [])

    def test_no_two_resources_have_one_name(self):
        for name, values in cases.CASES.items():
            with self.subTest(name):
                keys = [(r["kind"], r["metadata"].get("namespace"), r["metadata"]["name"]) for r in chart.render(values)]
                self.assertEqual(len(keys), len(set(keys)))

    def test_a_control_plane_takes_the_entries_of_the_values(self):
        fedgate = pathlib.Path(os.environ["FEDGATE_TARGET"]) / "debug/fedgate"
        for name, domains in [("envoy, domains as code", ["a.com", "c.com", "d.com"]), ("envoy, domains as code, none", [])]:
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                [listed] = [r for r in chart.render(cases.CASES[name]) if r["metadata"]["name"] == "fedgate-list"]
                text = listed["data"]["domains.toml"]
                self.assertEqual([it["domain"] for it in tomllib.loads(text)["domains"]], domains)
                file = pathlib.Path(folder) / "domains.toml"
                file.write_text(text)
                told = [fedgate, "serve", "--check-config", "--list-file", file, "--store-url", f"sqlite://{folder}/fedgate.db"]
                done = subprocess.run(told, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_packaged_it_is_the_same_chart(self):
        values = cases.CASES["envoy, without what can be left out"]
        with tempfile.TemporaryDirectory() as folder:
            packaged = helm.package(chart.CHART, destination=folder)
            self.assertEqual(chart.render(values, packaged), chart.render(values))

    def test_what_the_chart_makes_its_own_of_is_what_the_repository_has(self):
        done = subprocess.run([chart.ROOT / "scripts/chart-files", "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_values_that_do_not_go_together_are_refused_with_a_cure(self):
        behind = {"ingress": {"mode": "istio"}, "egress": {"enabled": False}}
        for values, words in [
            ({"ingress": {"mode": "envoyGateway"}}, "set egress.enabled=false"),
            ({"ingress": {"enforce": False}}, "shadow mode is for"),
            ({"controlPlane": {"store": "etcd"}}, "names no member"),
            ({"controlPlane": {"listFile": {"enabled": True, "entries": [{"domain": "a.com"}], "configMap": "x"}}}, "has one file"),
            ({"controlPlane": {"listFile": {"entries": [{"domain": "a.com"}]}}}, "listFile.enabled=true"),
            (chart.merged(cases.ETCD, {"controlPlane": {"etcd": {"tls": True}}}), "names no Secret"),
            (chart.merged(cases.ETCD, {"controlPlane": {"brig": {"url": "http://brig:8080"}}}), "replicas=1"),
            ({"envoy": {"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 6}}}, "above maxReplicas"),
            (chart.merged(behind, {"controlPlane": {"tls": True}}), "is for the mode envoy"),
            ({"certificate": {"certManager": {"enabled": True}}}, "names no issuer"),
            (chart.merged(cases.ISSUER, {"certificate": {"clientSecret": "other"}}), "has both purposes"),
            ({"ingress": {"envoy": {"proxyProtocol": True}}}, "name the balancer alone"),
            (
                {"ingress": {"envoy": {"proxyProtocol": True}}, "networkPolicies": {"enabled": False, "ingressFrom": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]}},
                "with networkPolicies.enabled",
            ),
            (chart.merged(behind, {"ingress": {"istio": {"namespace": chart.NAMESPACE}}}), "one of its own"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(helm.HelmError, words):
                chart.render(chart.merged(cases.OURS, values))

    def test_the_schema_describes_each_value_and_knows_no_other(self):
        schema = json.loads((chart.CHART / "values.schema.json").read_text())

        def compare(path, described, value):
            if described.get("type") != "object" or "properties" not in described:
                self.assertTrue(described.get("description"), path)
                return
            self.assertIs(described["additionalProperties"], False, path)
            self.assertEqual(set(described["properties"]) - {"global"}, set(value) | ({"cpu"} if path.endswith("limits") else set()), path)
            for key in value:
                self.assertTrue(described["properties"][key].get("description"), f"{path}.{key}")
                compare(f"{path}.{key}", described["properties"][key], value[key])

        compare("", schema, yaml.safe_load((chart.CHART / "values.yaml").read_text()))

    def test_the_values_of_the_documentation_are_taken(self):
        page = (chart.ROOT / "docs/kubernetes.md").read_text()
        blocks = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", page, re.S | re.M)]
        self.assertEqual({b.get("ingress", {}).get("mode") for b in blocks}, {"envoy", "envoyGateway", "wireIngress", "istio", None})
        for values in blocks:
            with self.subTest(values=values):
                self.assertGreater(len(chart.render(values)), 5)

    def test_what_helm_prints_names_what_is_there(self):
        for name, values in cases.CASES.items():
            with self.subTest(name):
                text, resources = chart.notes(values), chart.render(values)
                issued = {r["spec"]["secretName"] for r in resources if r["kind"] == "Certificate"}
                for kind, named in re.findall(r"get (secret|configmap|envoyextensionpolicy) (\S+)", text):
                    kinds = {"secret": "Secret", "configmap": "ConfigMap", "envoyextensionpolicy": "EnvoyExtensionPolicy"}
                    if kind != "secret" or named not in issued and values.get("tokens", {}).get("create", True):
                        self.assertIsNotNone(chart.named(resources, kinds[kind], named), named)
                self.assertIn(values["infrastructureDomain"], text)

    def test_a_value_that_cannot_be_is_refused_by_its_name(self):
        for values, word in [
            ({"ingress": {"mode": "traefik"}}, "mode"),
            ({"ingres": {"mode": "envoy"}}, "ingres"),
            ({"envoy": {"replicas": 0}}, "replicas"),
            ({"controlPlane": {"discovery": {"dnssec": False}}}, "dnssec"),
            ({"wire": {"callers": []}}, "callers"),
            ({"backendDomain": "b.com."}, "backendDomain"),
            ({"backendDomain": ""}, "backendDomain"),
            ({"infrastructureDomain": "https://infra.b.com"}, "infrastructureDomain"),
            ({"envoy": {"resources": {"limits": {"memory": None}}}}, "limits"),
            ({"controlPlane": {"etcd": {"endpoints": ["http://etcd:2379"]}}}, "endpoints"),
        ]:
            with self.subTest(word), self.assertRaisesRegex(helm.HelmError, word):
                chart.render(chart.merged(cases.OURS, values))


if __name__ == "__main__":
    unittest.main()

"""What the gateways of others are told makes a gate, as far as Envoy and `fedgate check` can say without a cluster."""

import tempfile
import unittest

import yaml

import cases
import chart
import envoys
import gateways

# What a gateway of others cannot say (docs/ingresses.md), or what is as it was asked for.
EXPECTED = {"Envoy Gateway, shadow": {"filter-in-shadow"}}


def configurations():
    made = {name: gateways.files(chart.render(values)) for name, values in cases.CASES.items()}
    return {name: files for name, files in made.items() if files}


class Gateways(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        envoys.Secrets(self.folder)

    def test_each_of_the_three_is_among_the_cases(self):
        modes = {cases.CASES[name]["ingress"]["mode"] for name in configurations()}
        self.assertEqual(modes, {"envoyGateway", "wireIngress", "istio"})

    def test_envoy_takes_what_the_gateway_makes_of_it(self):
        for name, files in configurations().items():
            with self.subTest(name):
                self.assertIsNone(envoys.validate(envoys.install(files, self.folder)))

    def test_fedgate_check_finds_nothing_above_info_in_the_gateways_envoy(self):
        for name, files in configurations().items():
            with self.subTest(name):
                found = envoys.check(envoys.install(files, self.folder))
                self.assertEqual({code for _, code, _ in found} - EXPECTED.get(name, set()), set(), found)

    def test_wires_chart_and_the_gateway_of_its_own_are_given_the_same(self):
        own = chart.render(cases.CASES["Envoy Gateway"])
        given = chart.named(chart.render(cases.CASES["Wire's chart"]), "ConfigMap", "fedgate-wire-ingress")["data"]
        policy = chart.named(own, "EnvoyExtensionPolicy", "fedgate")["spec"]
        self.assertEqual(yaml.safe_load(given["policy-patch.yaml"]), {"spec": {"wasm": policy["wasm"]}})
        proxy = chart.named(own, "EnvoyProxy", "fedgate")["spec"]
        spec = yaml.safe_load(given["values.yaml"])["gateway"]["envoyProxy"]["spec"]
        self.assertEqual(spec, {key: proxy[key] for key in ("provider", "bootstrap")})

    def test_the_filter_finds_the_control_plane_by_its_service(self):
        for name in ("Envoy Gateway", "Istio"):
            with self.subTest(name):
                resources = chart.render(cases.CASES[name])
                made = yaml.safe_load(gateways.files(resources)["envoy.yaml"])
                service = chart.named(resources, "Service", "fedgate")
                host = f"fedgate.{chart.NAMESPACE}.svc.cluster.local"
                self.assertIn(8601, [port["port"] for port in service["spec"]["ports"]])
                clusters = {c["name"]: c for c in made["static_resources"]["clusters"]}
                (asked,) = set(clusters) - {"federator"}
                plugin = next(
                    f for f in made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
                    if f["name"] == "fedgate"
                )["typed_config"]["config"]["configuration"]["value"]
                self.assertEqual(yaml.safe_load(plugin)["control_plane"]["cluster"], asked)
                if name == "Envoy Gateway":
                    (lb,) = clusters[asked]["load_assignment"]["endpoints"][0]["lb_endpoints"]
                    self.assertEqual(lb["endpoint"]["address"]["socket_address"], {"address": host, "port_value": 8601})
                else:
                    self.assertEqual(asked, f"outbound|8601||{host}")

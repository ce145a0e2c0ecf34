"""The rendered pods, run together: what passes and what does not, in each mode."""

import json
import subprocess
import sys
import tempfile
import unittest

import cases
import chart
import gateways

ALONE = ["unshare", "--map-root-user", "--net", "--mount"]
# BIND of the scenarios has our ingress at a loopback address, and the components have ports of their own.
HERE = {
    "controlPlane": {"discovery": {"allowPrivateAddresses": True}},
    "wire": {"galley": {"port": 8085}, "cargohold": {"port": 8084}},
    "envoy": {"noticeSeconds": 5},
}

# What is to be answered, in each mode: the status, and a word of what is said.
EVERYWHERE = {
    "a request of a domain that is not listed": (400, "federation-denied"),
    "a viewer may not change the list": (1, "viewer"),
    "an administrator may": (0, "b.com is on the allow list"),
    "a request of a domain that is listed": (200, '["wire-origin-domain","b.com"]'),
    "a request without a certificate": (403, "no-client-certificate"),
    "a request of somebody else": (403, "authentication-failure"),
    "a request of a domain without SRV record": (422, "invalid-domain"),
    "a request of two domains at once": (403, "domain-parse-error"),
    "a request without a domain": (403, "no-origin-domain"),
    "a header with an underscore": (0, ""),
    "another path": (403, "invalid-endpoint"),
    "another method": (403, "invalid-endpoint"),
    "the chart's test": (0, "infra.b.com"),
    "Prometheus reads metrics": (200, "fedgate_build_info"),
    "nobody else does": (401, ""),
    "a removal": (0, "b.com"),
    "a request of the domain that was removed": (400, "federation-denied"),
    "Envoy ends": (0, ""),
}
OURS = {
    "without a control plane Envoy is not ready": (503, ""),
    "with one it is": (200, ""),
    "a call to a domain that is not listed": (400, "federation-denied"),
    "a request for galley": (200, '"component":"galley"'),
    "a request for cargohold": (200, '"component":"cargohold"'),
    "a request with a query": (403, "invalid-endpoint"),
    "a call to a domain that is listed": (200, '["wire-origin-domain","b.com"]'),
    "a call to a domain without SRV record": (422, "invalid-domain"),
    "a call while Envoy says that it will end": (400, "federation-denied"),
}


class Together(unittest.TestCase):
    maxDiff = None

    def play(self, name, expected, here=HERE):
        values = chart.merged(cases.CASES[name], here)
        resources = chart.render(values)
        with tempfile.TemporaryDirectory() as folder:
            given = json.dumps({"resources": resources, "gateway": gateways.files(resources)})
            done = subprocess.run(
                [*ALONE, sys.executable, chart.ROOT / "deploy/test/together.py", folder], input=given, capture_output=True, text=True
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        played = json.loads(done.stdout)
        for scenario, (status, word) in expected.items():
            with self.subTest(scenario):
                self.assertEqual(played[scenario][0], status, played[scenario][1])
                self.assertIn(word, played[scenario][1])
        return played

    def test_our_own_envoy_both_ways(self):
        played = self.play("envoy, a balancer", {**EVERYWHERE, **OURS})
        self.assertNotIn("evil", played["a certificate that the caller writes himself"][1])

    def test_our_own_envoy_with_etcd(self):
        one = {"controlPlane": {"etcd": {"endpoints": ["etcd:2379"]}}}
        self.play("envoy, etcd", {**EVERYWHERE, **OURS}, chart.merged(HERE, one))

    def test_our_own_envoy_with_tls_to_the_control_plane_and_monitored(self):
        read = {
            "Prometheus reads Envoy's metrics": (200, 'fedgate_permits{role="ingress"}'),
            "and nothing else of its admin interface": (404, ""),
        }
        self.play("envoy, cert-manager and TLS to the control plane", {**EVERYWHERE, **OURS, **read})

    def behind_a_gateway(self, name):
        played = self.play(name, EVERYWHERE)
        status, received = played["a certificate that the caller writes himself"]
        self.assertEqual(status, 200, received)
        self.assertIn('["x-ssl-certificate","-----BEGIN', received)
        self.assertNotIn("evil", received)

    def test_wires_federator_behind_envoy_gateway(self):
        self.behind_a_gateway("Envoy Gateway")

    def test_wires_federator_behind_wires_chart(self):
        self.behind_a_gateway("Wire's chart")

    def test_wires_federator_behind_istio(self):
        self.behind_a_gateway("Istio")

"""Tokens are made once. Helm asks a cluster for what is there; here, a server that answers as Kubernetes' API does where
Secrets are asked for, and knows nothing else."""

import base64
import http.server
import json
import threading
import unittest

import helm_python as helm
import yaml

import cases
import chart
import policy

KUBECONFIG = """{{apiVersion: v1, kind: Config, current-context: here, users: [{{name: me, user: {{}}}}],
contexts: [{{name: here, context: {{cluster: here, user: me}}}}], clusters: [{{name: here, cluster: {{server: "http://127.0.0.1:{port}"}}}}]}}"""
RESOURCES = {
    "kind": "APIResourceList", "groupVersion": "v1",
    "resources": [{"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["get", "list"]}],
}


class Cluster:
    """Secrets by name, of the release's namespace."""

    def __init__(self):
        self.secrets = {}
        cluster = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                place = f"/api/v1/namespaces/{chart.NAMESPACE}/secrets/"
                path = self.path.split("?")[0]
                answer = {
                    "/api": {"kind": "APIVersions", "versions": ["v1"]}, "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
                    "/api/v1": RESOURCES,
                }.get(path) or cluster.secrets.get(path.removeprefix(place) if path.startswith(place) else None)
                status = 200 if answer else 404
                body = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def upgrade(self, values):
        """What Helm makes of the chart in this cluster; the Secrets among it are there from now on."""
        configuration = KUBECONFIG.format(port=self.server.server_port)
        with helm.Config(kubeconfig_content=configuration, namespace=chart.NAMESPACE) as config, helm.Chart.load(chart.CHART) as loaded:
            texts = config.render(loaded, values, name=chart.RELEASE, namespace=chart.NAMESPACE)
        secrets = [r for r in yaml.safe_load_all(texts["fedgate/templates/tokens.yaml"]) if r]
        for secret in secrets:
            if "namespace" not in secret["metadata"]:
                data = {key: base64.b64encode(text.encode()).decode() for key, text in secret["stringData"].items()}
                stored = {**secret, "metadata": {**secret["metadata"], "namespace": chart.NAMESPACE}, "data": data}
                self.secrets[secret["metadata"]["name"]] = {k: v for k, v in stored.items() if k != "stringData"}
        return secrets

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Tokens(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.close)
        self.values = cases.CASES["Envoy Gateway"]

    def test_an_upgrade_changes_no_token(self):
        first = self.cluster.upgrade(self.values)
        self.assertEqual(len(first), 5)
        self.assertEqual(self.cluster.upgrade(self.values), first)

    def test_what_is_missing_is_made_and_the_digests_follow(self):
        first = {json.dumps(s["metadata"]): s["stringData"] for s in self.cluster.upgrade(self.values)}
        del self.cluster.secrets["fedgate-viewer"]
        upgraded = self.cluster.upgrade(self.values)
        changed = {s["metadata"]["name"] for s in upgraded if first[json.dumps(s["metadata"])] != s["stringData"]}
        self.assertEqual(changed, {"fedgate-viewer", "fedgate-tokens"})
        self.assertEqual(list(policy.tokens_stay(upgraded)), [])

    def test_no_two_installations_have_the_same(self):
        other = Cluster()
        self.addCleanup(other.close)
        tokens = [s["stringData"].get("token") for c in (self.cluster, other) for s in c.upgrade(cases.CASES["envoy, a balancer"])]
        tokens = [token for token in tokens if token]
        self.assertEqual(len(set(tokens)), 6)

    def test_a_secret_of_another_kind_is_not_overwritten(self):
        self.cluster.upgrade(self.values)
        self.cluster.secrets["fedgate-filter"]["data"] = {"password": "eA=="}
        with self.assertRaisesRegex(helm.HelmError, "fedgate-filter is there, and has no key `token`"):
            self.cluster.upgrade(self.values)

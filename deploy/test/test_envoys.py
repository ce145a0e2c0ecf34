"""Envoy takes every configuration that the chart makes, and `fedgate check` has nothing to say against it."""

import json
import tempfile
import unittest

import yaml

import cases
import chart
import envoys


def configurations():
    """What the chart makes for our own Envoy, each once: {name of the first case: files}."""
    seen = {}
    for name, values in cases.CASES.items():
        files = chart.envoy(chart.render(values))
        if files:
            seen.setdefault(json.dumps(files, sort_keys=True), (name, files))
    return dict(seen.values())


class OurEnvoy(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        envoys.Secrets(self.folder)

    def test_envoy_takes_each_configuration(self):
        self.assertGreaterEqual(len(configurations()), 8)
        for name, files in configurations().items():
            with self.subTest(name):
                self.assertIsNone(envoys.validate(envoys.install(files, self.folder)))

    def test_fedgate_check_finds_nothing_above_info_in_an_envoy_that_runs_it(self):
        for name, files in configurations().items():
            with self.subTest(name):
                self.assertEqual(envoys.check(envoys.install(files, self.folder)), [])

    def test_all_that_differs_from_the_reference_is_what_is_meant_to(self):
        meant = {
            "static_resources.listeners.federation_ingress.address.socket_address.port_value",
            "static_resources.listeners.federation_ingress.listener_filters",
            "static_resources.listeners.federation_egress.address.socket_address.address",
            "static_resources.listeners.federation_egress.address.socket_address.port_value",
        }
        for cluster in ("brig", "galley", "cargohold", "fedgate_verdicts", "fedgate_xds"):
            endpoint = f"static_resources.clusters.{cluster}.load_assignment.endpoints.0.lb_endpoints.0.endpoint.address.socket_address"
            meant |= {f"{endpoint}.address", f"{endpoint}.port_value"}
        for cluster in ("fedgate_verdicts", "fedgate_xds"):
            http = f"static_resources.clusters.{cluster}.typed_extension_protocol_options.envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
            keepalive = f"{http}.explicit_http_config.http2_protocol_options.connection_keepalive"
            meant |= {f"static_resources.clusters.{cluster}.{key}" for key in ("type", "transport_socket")}
            meant |= {f"{keepalive}.interval", f"{keepalive}.timeout"}
        for name, files in configurations().items():
            with self.subTest(name):
                made = yaml.safe_load(files["envoy.yaml"])
                # What Prometheus reads is beside the doors.
                for part, added in [("listeners", "metrics"), ("clusters", "admin")]:
                    made["static_resources"][part] = [x for x in made["static_resources"][part] if x["name"] != added]
                doors = {listener["name"] for listener in made["static_resources"]["listeners"]}
                reference = {1: "both"}.get(len(doors) - 1) or next(iter(doors)).removeprefix("federation_")
                text = (chart.ROOT / f"envoy/{reference}.yaml").read_text()
                self.assertEqual(set(differences(yaml.safe_load(text), made)) - meant, set())


def differences(left, right, path=""):
    """Paths at which two configurations differ. Members of lists go by their names, and a plugin's JSON by what it says;
    but for what is ours to set in it."""
    if isinstance(left, str) and isinstance(right, str) and left.lstrip().startswith("{") and path.endswith("configuration.value"):
        ours = {"own_domain", "max_staleness_s"}
        left, right = ({k: v for k, v in json.loads(text).items() if k not in ours} for text in (left, right))
    if isinstance(left, list) and isinstance(right, list):
        if [_name(x) for x in left] != [_name(x) for x in right]:
            yield path
        left, right = ({_name(x) or str(n): x for n, x in enumerate(side)} for side in (left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() | right.keys():
            deeper = f"{path}.{key}".lstrip(".")
            if key not in left or key not in right:
                yield deeper
            else:
                yield from differences(left[key], right[key], deeper)
    elif left != right:
        yield path


def _name(member):
    return member.get("name") if isinstance(member, dict) and isinstance(member.get("name"), str) else None

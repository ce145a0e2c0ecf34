"""Pods are replaced one after the other while 200 calls a second flow in each direction: none is lost."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import cases
import chart
import envoys
import kubelet

HERE = {"controlPlane": {"discovery": {"allowPrivateAddresses": True}, "etcd": {"endpoints": ["etcd:2379"]}}}
PARTNERS = ["in, new", "in, kept", "out, new", "out, kept", "out, HTTP/1.1"]
NEVER = ["in, stranger", "out, stranger"]


def images(folder, fedgate=envoys.FEDGATE, module=envoys.FILTER):
    """What the images of the chart hold, as folders."""
    folder = pathlib.Path(folder)
    contents = {
        "fedgate/bin/fedgate": fedgate, "fedgate-envoy/bin/fedgate": fedgate, "fedgate-envoy/bin/envoy": envoys.ENVOY,
        "fedgate-envoy/etc/fedgate_filter.wasm": module,
    }
    for path, file in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(pathlib.Path(file).resolve())
    return {name: str(folder / name) for name in ("fedgate", "fedgate-envoy")}


def played(plan, resources):
    with tempfile.TemporaryDirectory() as folder:
        given = {"resources": resources, "images": images(pathlib.Path(folder) / "images")}
        done = subprocess.run(
            [*kubelet.ALONE, sys.executable, chart.ROOT / "deploy/test/rolling.py", folder, plan], input=json.dumps(given),
            capture_output=True, text=True,
        )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def lost(traffic):
    """Calls of partners that were not answered as the backend behind answers, in all; and the first of them, by kind."""
    kinds = {name: traffic[name] for name in PARTNERS}
    number = sum(k["broken"] + sum(n for answer, n in k["answers"].items() if answer != "200") for k in kinds.values())
    return number, {name: k["told"] for name, k in kinds.items() if k["told"]}


class Rolling(unittest.TestCase):
    maxDiff = None

    def nothing_is_lost(self, plan, name, replaced):
        came = played(plan, chart.render(chart.merged(cases.CASES[name], HERE)))
        self.assertEqual(lost(came["traffic"]), (0, {}), came["events"])
        for kind in NEVER:
            self.assertEqual(list(came["traffic"][kind]["answers"]), ["400 federation-denied"])
        self.assertEqual(came["faults"], [])
        ended = [(pod.rsplit("-", 1)[0], code) for pod, code, _ in came["ended"]]
        self.assertEqual(sorted(ended), sorted(replaced))

    def test_one_control_plane_on_a_volume_and_two_envoys_are_replaced_and_no_call_is_lost(self):
        self.nothing_is_lost("restart", "envoy, a balancer", [("fedgate", 0), *[("fedgate-envoy", 0)] * 2])

    def test_three_control_planes_on_etcd_and_two_envoys_are_replaced_and_one_is_killed_and_no_call_is_lost(self):
        replaced = [*[("fedgate", 0)] * 3, *[("fedgate-envoy", 0)] * 2, ("fedgate", -9)]
        self.nothing_is_lost("restart_and_lose", "envoy, etcd", replaced)

    def something_is_lost(self, change):
        resources = chart.render(chart.merged(cases.CASES["envoy, a balancer"], HERE))
        change(chart.named(resources, "Deployment", "fedgate-envoy")["spec"]["template"]["spec"])
        came = played("restart_envoys", resources)
        self.assertGreater(lost(came["traffic"])[0], 0)
        return came

    def test_where_envoy_ends_at_once_calls_are_lost(self):
        def alone(pod):
            pod["containers"][0]["command"] = []

        self.something_is_lost(alone)

    def test_where_envoy_gives_no_notice_calls_are_lost(self):
        def unannounced(pod):
            command = pod["containers"][0]["command"]
            command[command.index("--notice") + 1] = "0s"

        self.something_is_lost(unannounced)

    def test_a_pod_that_has_no_time_to_end_is_killed_which_is_a_fault(self):
        def hurried(pod):
            pod["terminationGracePeriodSeconds"] = 2

        came = self.something_is_lost(hurried)
        self.assertIn("has not ended within 2 s", came["faults"][0])
        self.assertEqual([code for _, code, _ in came["ended"]], [-9, -9])


if __name__ == "__main__":
    unittest.main()

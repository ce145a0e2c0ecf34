"""Whatever the values, the chart's pods can do little, hold little, and end gently."""

import unittest

import cases
import chart
import doors
import policy

# What a case leaves out is not asked of it.
LEFT_OUT = {"envoy, without what can be left out": {doors.doors_kept}}


class Policy(unittest.TestCase):
    def test_each_rule_holds_in_each_case(self):
        for name, values in cases.CASES.items():
            resources = chart.render(values)
            for rule in policy.RULES + doors.RULES:
                if rule not in LEFT_OUT.get(name, ()):
                    with self.subTest(name, rule=rule.__name__):
                        self.assertEqual(list(rule(resources)), [])

    def test_every_setting_of_the_control_plane_is_one_that_its_page_knows(self):
        page = (chart.ROOT / "docs/configuration.md").read_text()
        for name, values in cases.CASES.items():
            for pod, _, spec in chart.pods(chart.render(values)):
                if pod == "fedgate":
                    for variable in spec["containers"][0]["env"]:
                        with self.subTest(name, variable=variable["name"]):
                            known = variable["name"]
                            for listener in ("VERDICTS", "XDS"):
                                known = known.replace(f"FEDGATE_TLS_{listener}", "FEDGATE_TLS_ADMIN")
                            self.assertIn(f"`{known}`", page)

"""Kubernetes, and those whose resources the chart makes, take what it makes."""

import unittest

import cases
import chart
import schemas


class Schemas(unittest.TestCase):
    def test_every_resource_is_what_its_type_says_in_all_versions_and_nothing_more(self):
        resources = schemas.distinct(r for values in cases.CASES.values() for r in chart.render(values))
        self.assertGreater(len(resources), 50)
        self.assertEqual(schemas.errors(resources), [])

    def test_each_kind_of_others_that_the_chart_can_make_is_among_them(self):
        kinds = {r["kind"] for values in cases.CASES.values() for r in chart.render(values)}
        others = {"Gateway", "HTTPRoute", "TLSRoute", "EnvoyProxy", "ClientTrafficPolicy", "EnvoyExtensionPolicy", "WasmPlugin"}
        others |= {"DestinationRule", "VirtualService", "EnvoyFilter", "Certificate", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
        self.assertEqual(others - kinds, set())

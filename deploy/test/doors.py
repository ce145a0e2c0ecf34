"""What must hold of the chart's doors, whatever the values: who reaches them, what they lead to, and that none stands open.
Pure functions, as in policy.py."""

import ipaddress
import re

import yaml

from chart import envoy, named, pods
from policy import mounted


def doors_kept(resources):
    """Network policies: only Wire's components reach the egress, and only those with a token the control plane."""
    callers = {"brig", "galley", "cargohold", "background-worker"}
    for name in ("fedgate", *(["fedgate-envoy"] if named(resources, "Deployment", "fedgate-envoy") else [])):
        policy = named(resources, "NetworkPolicy", name)
        if policy is None:
            yield f"{name}: has no NetworkPolicy"
            continue
        workload = next((r for r in resources if r["kind"] in ("Deployment", "StatefulSet") and r["metadata"]["name"] == name))
        if not policy["spec"]["podSelector"]["matchLabels"].items() <= workload["spec"]["template"]["metadata"]["labels"].items():
            yield f"NetworkPolicy {name}: selects none of its pods"
        for rule in policy["spec"]["ingress"]:
            ports = {port["port"] for port in rule.get("ports", [])}
            who = rule.get("from")
            if not ports:
                yield f"NetworkPolicy {name}: a rule is for all ports"
            if not who and ports != {8081}:
                yield f"NetworkPolicy {name}: everybody reaches {sorted(ports)}"
            for peer in who or []:
                if set(peer) == {"ipBlock"} and ipaddress.ip_network(peer["ipBlock"]["cidr"]).prefixlen == 0:
                    yield f"NetworkPolicy {name}: everybody reaches {sorted(ports)}"
                if 8080 in ports:
                    expressions = peer.get("podSelector", {}).get("matchExpressions", [])
                    if "namespaceSelector" in peer or not expressions or not set(expressions[0]["values"]) <= callers:
                        yield "NetworkPolicy fedgate-envoy: others than Wire's components reach the egress"
                if {8601, 8602} & ports and peer.get("podSelector", peer.get("namespaceSelector")) in ({}, None):
                    yield "NetworkPolicy fedgate: pods without a token reach the control plane"


def federator_behind_a_gateway(resources):
    """Wire's federator is reached at its outer port by way of the filter alone."""
    routes = [r for r in resources if r["kind"] in ("EnvoyExtensionPolicy", "WasmPlugin")]
    if not routes and not named(resources, "ConfigMap", "fedgate-wire-ingress"):
        return
    policy = named(resources, "NetworkPolicy", "fedgate-federator")
    if policy is None:
        yield "Wire's federator has no NetworkPolicy"
        return
    for rule in policy["spec"]["ingress"]:
        for peer in rule.get("from", [{}]):
            if {"port": 8081} in rule["ports"] and not {"namespaceSelector", "podSelector"} <= set(peer):
                yield "NetworkPolicy fedgate-federator: others than the gateway reach the federator's outer port"


def federator_is_ours(resources):
    """The Service that Wire's components have built in leads to listeners that are there, and to no other port."""
    configuration = envoy(resources).get("envoy.yaml")
    if configuration is None:
        return
    listeners = yaml.safe_load(configuration)["static_resources"]["listeners"]
    ports = {listener["name"]: listener["address"]["socket_address"]["port_value"] for listener in listeners}
    deployment = named(resources, "Deployment", "fedgate-envoy")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    containers = {port["name"]: port["containerPort"] for port in container["ports"]}
    names = {"federation_egress": "internal", "federation_ingress": "federator-ext", "metrics": "metrics"}
    if containers != {names[listener]: port for listener, port in ports.items()}:
        yield f"Deployment fedgate-envoy: its ports {containers} are not those of its listeners {ports}"
    services = [r for r in resources if r["kind"] == "Service" and r["spec"]["selector"].get("app") == "fedgate-envoy"]
    for service in services:
        name = service["metadata"]["name"]
        if not service["spec"]["selector"].items() <= labels.items():
            yield f"Service {name}: selects none of its pods"
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in containers:
                yield f"Service {name}: the port {port['targetPort']} is nobody's"
        leads_in = any(port["targetPort"] == "internal" for port in service["spec"]["ports"])
        if "externalName" in service["spec"] or (service["spec"].get("type") == "LoadBalancer" and leads_in):
            yield f"Service {name}: the egress is open to the world"
    if "federation_egress" in ports:
        internal = [p for s in services for p in s["spec"]["ports"] if p["name"] == "internal"]
        if [p["port"] for p in internal] != [8080]:
            yield "no Service leads to the egress at port 8080, which Wire's charts have built in"
        probe = container["readinessProbe"].get("httpGet", {})
        if probe != {"path": "/i/status", "port": "internal"}:
            yield "Deployment fedgate-envoy: is ready before its filter can decide"
    if any(listener["address"]["socket_address"]["address"] != "0.0.0.0" for listener in listeners):
        yield "ConfigMap fedgate-envoy: a listener is not reached from outside of its pod"
    admin = yaml.safe_load(configuration)["admin"]["address"]["socket_address"]
    if not ipaddress.ip_address(admin["address"]).is_loopback:
        yield "ConfigMap fedgate-envoy: whoever reaches the pod may stop Envoy"


def certificates_serve_both(resources):
    """A certificate that we show to those who call, and to those we call."""
    for resource in resources:
        if resource["kind"] == "Certificate" and resource["metadata"]["name"] == "fedgate":
            if not {"server auth", "client auth"} <= set(resource["spec"]["usages"]):
                yield "Certificate fedgate: is not for both purposes"


def certificates_where_they_are_read(resources):
    """Where cert-manager is to issue our certificate, it does so in the namespace of each pod that has it."""
    issued = {(r["metadata"].get("namespace"), r["spec"]["secretName"]) for r in resources if r["kind"] == "Certificate"}
    for resource in resources if issued else ():
        namespace = resource["metadata"].get("namespace")
        for name, _, pod in pods([resource]):
            for secret in mounted(pod):
                if secret == "federator-certificate-secret" and (namespace, secret) not in issued:
                    yield f"{name}: the Secret {secret} is issued elsewhere"
        if resource["kind"] == "Gateway" and resource["apiVersion"].startswith("networking.istio.io/"):
            for server in resource["spec"]["servers"]:
                if (namespace, server["tls"]["credentialName"]) not in issued:
                    yield f"Gateway {resource['metadata']['name']}: its certificate is issued elsewhere"


def filter_never_open(resources):
    """In the gateways of others: what fails, refuses; and the token comes from the environment."""
    found = [r["spec"] for r in resources if r["kind"] == "EnvoyExtensionPolicy"]
    given = named(resources, "ConfigMap", "fedgate-wire-ingress")
    found += [yaml.safe_load(given["data"]["policy-patch.yaml"])["spec"]] if given else []
    for policy in found:
        if any(plugin.get("failOpen") is not False for plugin in policy["wasm"]):
            yield "EnvoyExtensionPolicy fedgate: fails open"
        if "targetRefs" in policy and {t["kind"] for t in policy["targetRefs"]} != {"Gateway", "HTTPRoute"}:
            yield "EnvoyExtensionPolicy fedgate: another policy can take its place"
    for resource in resources:
        if resource["kind"] == "WasmPlugin" and resource["spec"].get("failStrategy") != "FAIL_RELOAD":
            yield "WasmPlugin fedgate: fails open, or for ever"
        if resource["kind"] == "WasmPlugin" and resource["spec"]["phase"] != "AUTHN":
            yield "WasmPlugin fedgate: comes after filters that trust the origin"


def files_are_there(resources):
    """Each file of /etc/fedgate that Envoy's configuration names is one that its pod has; the filter is in its image."""
    deployment = named(resources, "Deployment", "fedgate-envoy")
    if deployment is None:
        return
    pod = deployment["spec"]["template"]["spec"]
    texts = envoy(resources)
    there = {"/etc/fedgate/fedgate_filter.wasm", "/etc/fedgate/tls", *(f"/etc/fedgate/secrets/{name}" for name in texts)}
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            there |= {f"/etc/fedgate/tls/{item['path']}" for kind in source.values() for item in kind["items"]}
    for name, text in texts.items():
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        for path in re.findall(r"/etc/fedgate/[^\s}\"',]+", "\n".join(lines)):
            if path not in there:
                yield f"{name}: names {path}, which the pod does not have"


RULES = [
    doors_kept, federator_behind_a_gateway, federator_is_ours,
    certificates_serve_both, certificates_where_they_are_read, filter_never_open, files_are_there,
]

"""What Envoy Gateway and Istio make of the chart's resources, as one configuration of Envoy: as their sources say, since
there is no cluster here. All that the chart says counts; what it leaves to them is as in envoy/ingress.yaml, where
Envoy's own default does not hold. The scenarios of the end-to-end tests can be played on what these functions return."""

import json

import yaml

from chart import ROOT, merged, named

PROXY = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


def files(resources):
    """Names and texts for envoys.install: the gateway's Envoy. None where the chart's mode has no gateway of others."""
    if named(resources, "WasmPlugin", "fedgate"):
        made = istio(resources)
    elif named(resources, "EnvoyExtensionPolicy", "fedgate"):
        policy = named(resources, "EnvoyExtensionPolicy", "fedgate")["spec"]
        made = envoy_gateway(policy, named(resources, "EnvoyProxy", "fedgate")["spec"], named(resources, "ClientTrafficPolicy", "fedgate")["spec"])
    elif named(resources, "ConfigMap", "fedgate-wire-ingress"):
        data = named(resources, "ConfigMap", "fedgate-wire-ingress")["data"]
        policy = yaml.safe_load(data["policy-patch.yaml"])["spec"]
        proxy = yaml.safe_load(data["values.yaml"])["gateway"]["envoyProxy"]["spec"]
        # Wire's chart has its own ClientTrafficPolicy and access log.
        made = envoy_gateway(policy, proxy, None)
    else:
        return None
    secrets = {path.name: path.read_text() for path in (ROOT / "envoy/secrets").glob("*.yaml")}
    return {"envoy.yaml": yaml.safe_dump(made, sort_keys=False), **secrets}


def _base():
    """envoy/ingress.yaml without its lobby, in front of Wire's federator: (configuration, chain, manager, filter)."""
    made = yaml.safe_load((ROOT / "envoy/ingress.yaml").read_text())
    (listener,) = made["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    chain["filters"] = [f for f in chain["filters"] if f["name"] != "fedgate_lobby"]
    manager = chain["filters"][0]["typed_config"]
    # Taking headers away by a pattern is what neither of them can be told.
    manager["http_filters"] = [f for f in manager["http_filters"] if f["name"] != "envoy.filters.http.header_mutation"]
    (host,) = manager["route_config"]["virtual_hosts"]
    federation, rest = host["routes"][0], host["routes"][-1]
    federation["match"] = {"prefix": "/federation/", "headers": federation["match"]["headers"][:1]}
    federation["route"] = {"cluster": "federator", "timeout": "60s"}
    host["routes"] = [federation, rest]
    federator = next(c for c in made["static_resources"]["clusters"] if c["name"] == "brig")
    federator = json.loads(json.dumps(federator).replace('"brig"', '"federator"'))
    made["static_resources"]["clusters"] = [federator]
    wasm = next(f for f in manager["http_filters"] if f["name"] == "fedgate")["typed_config"]["config"]
    return made, chain, manager, wasm


def envoy_gateway(policy, proxy, traffic):
    """Specs of EnvoyExtensionPolicy and EnvoyProxy, and of ClientTrafficPolicy or None."""
    made, chain, manager, wasm = _base()
    (plugin,) = policy["wasm"]
    wasm["failure_policy"] = "FAIL_OPEN" if plugin["failOpen"] else "FAIL_CLOSED"
    wasm["root_id"] = plugin["rootID"]
    wasm["vm_config"]["environment_variables"] = {"host_env_keys": plugin["env"]["hostKeys"]}
    wasm["configuration"]["value"] = json.dumps(plugin["config"])
    assert proxy["bootstrap"]["type"] == "Merge"
    bootstrap = yaml.safe_load(proxy["bootstrap"]["value"])
    made["static_resources"]["clusters"] += bootstrap["static_resources"]["clusters"]
    if traffic is None:
        manager["common_http_protocol_options"]["idle_timeout"] = "15s"
        return made
    tls = chain["transport_socket"]["typed_config"]
    tls["require_client_certificate"] = not traffic["tls"]["clientValidation"].get("optional", False)
    if "session" in traffic["tls"]:
        tls["disable_stateless_session_resumption"] = "stateless" not in traffic["tls"]["session"]["resumption"]
    tls["common_tls_context"]["alpn_protocols"] = traffic["tls"]["alpnProtocols"]
    parameters = tls["common_tls_context"]["tls_params"]
    parameters["tls_minimum_protocol_version"] = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}[traffic["tls"]["minVersion"]]
    parameters["ecdh_curves"] = traffic["tls"]["ecdhCurves"]
    headers, http = traffic["headers"], manager["common_http_protocol_options"]
    http["headers_with_underscores_action"] = {"RejectRequest": "REJECT_REQUEST", "Allow": "ALLOW"}[headers["withUnderscoresAction"]]
    http["idle_timeout"] = traffic["timeout"]["http"]["idleTimeout"]
    manager["forward_client_cert_details"] = {"Sanitize": "SANITIZE", "ForwardOnly": "FORWARD_ONLY"}[headers["xForwardedClientCert"]["mode"]]
    manager["strip_trailing_host_dot"] = headers.get("host", {}).get("stripTrailingHostDot", False)
    manager["path_with_escaped_slashes_action"] = {"RejectRequest": "REJECT_REQUEST"}[traffic["path"]["escapedSlashesAction"]]
    settings = proxy["telemetry"]["accessLog"]["settings"][0]
    manager["access_log"] = [{
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": PROXY, "path": settings["sinks"][0]["file"]["path"], "log_format": {"json_format": settings["format"]["json"]}},
    }]
    return made


def istio(resources):
    """The patches of the EnvoyFilter are merged, as Istio does it; the plugin comes as WasmPlugin."""
    made, chain, manager, wasm = _base()
    plugin = named(resources, "WasmPlugin", "fedgate")["spec"]
    wasm["failure_policy"] = plugin["failStrategy"]
    keys = [v["name"] for v in plugin["vmConfig"]["env"] if v["valueFrom"] == "HOST"]
    wasm["vm_config"]["environment_variables"] = {"host_env_keys": keys}
    wasm["configuration"]["value"] = json.dumps(plugin["pluginConfig"])
    verdicts = yaml.safe_load((ROOT / "envoy/ingress.yaml").read_text())["static_resources"]["clusters"][0]
    host = named(resources, "DestinationRule", "fedgate")["spec"]["host"]
    cluster = f"outbound|8601||{host}"
    verdicts = {**verdicts, "name": cluster, "type": "STRICT_DNS", "load_assignment": {**verdicts["load_assignment"], "cluster_name": cluster}}
    made["static_resources"]["clusters"].append(verdicts)
    server = named(resources, "Gateway", "fedgate")["spec"]["servers"][0]
    tls = chain["transport_socket"]["typed_config"]
    tls["require_client_certificate"] = {"OPTIONAL_MUTUAL": False, "MUTUAL": True}[server["tls"]["mode"]]
    tls["common_tls_context"]["tls_params"]["tls_minimum_protocol_version"] = server["tls"]["minProtocolVersion"].replace("TLSV1", "TLSv1")
    # What Istio says nothing of by itself has Envoy's default, until the patches say something.
    for key in ("disable_stateless_session_resumption", "disable_stateful_session_resumption"):
        del tls[key]
    del tls["common_tls_context"]["tls_params"]["ecdh_curves"]
    for key in ("access_log", "common_http_protocol_options", "http2_protocol_options", "path_with_escaped_slashes_action"):
        del manager[key]
    for patch in named(resources, "EnvoyFilter", "fedgate")["spec"]["configPatches"]:
        assert patch["patch"]["operation"] == "MERGE"
        place = {"FILTER_CHAIN": chain, "NETWORK_FILTER": chain["filters"][0]}[patch["applyTo"]]
        place.update(merged(place, patch["patch"]["value"]))
    return made

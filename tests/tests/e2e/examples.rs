//! The files of `examples/`. There is no Kubernetes here; but what they hand to Envoy and to the
//! filter is tried on both, and the names that they share are compared.

use std::fs;
use std::process::Command;

use fedgate_tests::artifacts;
use fedgate_tests::dns::srv;
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::process::run;
use fedgate_tests::{World, caller::Caller};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::check_envoy;
use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check, origin, received};
use crate::manifest::{documents, files, parse, resource, text};

const ENVOY_GATEWAY: &str = "envoy-gateway/1-envoy.yaml";
const ENVOY_GATEWAY_LISTENER: &str = "envoy-gateway/2-gateway.yaml";
const ENVOY_GATEWAY_FILTER: &str = "envoy-gateway/3-filter.yaml";
const ISTIO: &str = "istio/1-envoy.yaml";
const ISTIO_GATEWAY: &str = "istio/2-gateway.yaml";
const ISTIO_FILTER: &str = "istio/3-filter.yaml";
const CONTROL_PLANE: &str = "kubernetes/control-plane.yaml";
const CHART_VALUES: &str = "envoy-gateway/wire-chart/values.yaml";
const CHART_PATCH: &str = "envoy-gateway/wire-chart/policy-patch.yaml";

#[test]
fn every_example_is_yaml_and_each_resource_has_a_kind_and_a_name() {
    let files = files();
    assert!(files.len() >= 11, "{files:?}");
    for file in files.iter().filter(|file| ![CHART_VALUES, CHART_PATCH].contains(&file.as_str())) {
        for resource in documents(file) {
            for part in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
                text(&resource, part);
            }
        }
    }
}

#[test]
fn the_filter_finds_the_control_plane_by_the_names_that_the_examples_give() {
    let service = resource(CONTROL_PLANE, "Service");
    let (name, namespace) = (text(&service, "/metadata/name"), text(&service, "/metadata/namespace"));
    let port = &service["spec"]["ports"][0]["port"];
    let host = format!("{name}.{namespace}.svc.cluster.local");

    let config = envoy_gateway_config();
    let [cluster] = <[Value; 1]>::try_from(envoy_gateway_clusters()).unwrap();
    assert_eq!(config["control_plane"]["cluster"], cluster["name"]);
    let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    assert_eq!(endpoint["address"]["socket_address"], json!({"address": host, "port_value": port}));

    let cluster = &istio_config()["control_plane"]["cluster"];
    assert_eq!(cluster, &json!(format!("outbound|{port}||{host}")));

    let container = &resource(CONTROL_PLANE, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["name"], service["spec"]["ports"][0]["targetPort"]);
    assert_eq!(&container["ports"][0]["containerPort"], port);
    let variables = container["env"].as_array().unwrap();
    let listens = json!({"name": "FEDGATE_LISTEN_VERDICTS", "value": format!("0.0.0.0:{port}")});
    assert!(variables.contains(&listens), "{variables:?}");
    let settings = artifacts::read("docs/configuration.md");
    for variable in variables {
        let name = text(variable, "/name");
        assert!(settings.contains(&format!("`{name}`")), "{name} is no setting");
    }
}

#[test]
fn the_token_reaches_the_filter_and_no_failure_lets_requests_pass() {
    let policy = resource(ENVOY_GATEWAY_FILTER, "EnvoyExtensionPolicy");
    let [wasm] = <&[Value; 1]>::try_from(policy["spec"]["wasm"].as_array().unwrap().as_slice()).unwrap();
    assert_eq!(wasm["env"]["hostKeys"], json!([wasm["config"]["control_plane"]["token_env"]]));
    assert_eq!(wasm["failOpen"], false);
    let kubernetes = &resource(ENVOY_GATEWAY, "EnvoyProxy")["spec"]["provider"]["kubernetes"];
    let variable = &kubernetes["envoyDeployment"]["container"]["env"][0];
    assert_eq!(variable["name"], wasm["env"]["hostKeys"][0]);

    let plugin = &resource(ISTIO_FILTER, "WasmPlugin")["spec"];
    let token = &plugin["pluginConfig"]["control_plane"]["token_env"];
    assert_eq!(plugin["vmConfig"]["env"], json!([{"name": token, "valueFrom": "HOST"}]));
    assert_eq!(plugin["failStrategy"], "FAIL_RELOAD");
    let pod = &resource(ISTIO, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(&pod["containers"][0]["env"][0]["name"], token);
}

#[test]
fn wires_chart_gets_what_the_gateway_of_its_own_has() {
    let [values] = <[Value; 1]>::try_from(documents(CHART_VALUES)).unwrap();
    let envoy = resource(ENVOY_GATEWAY, "EnvoyProxy");
    let added = &values["gateway"]["envoyProxy"]["spec"];
    for part in ["provider", "bootstrap"] {
        assert_eq!(added[part], envoy["spec"][part], "{part}");
    }
    let [patch] = <[Value; 1]>::try_from(documents(CHART_PATCH)).unwrap();
    let policy = resource(ENVOY_GATEWAY_FILTER, "EnvoyExtensionPolicy");
    assert_eq!(patch, json!({"spec": {"wasm": policy["spec"]["wasm"]}}));
}

#[test]
fn envoy_takes_what_the_example_for_envoy_gateway_adds_to_it() {
    let settings =
        &resource(ENVOY_GATEWAY, "EnvoyProxy")["spec"]["telemetry"]["accessLog"]["settings"][0];
    assert_eq!(settings["format"]["json"]["request_id"], reference_request_id());
    let log = json!({"access_log": [{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": settings["sinks"][0]["file"]["path"],
            "log_format": {"json_format": settings["format"]["json"]},
        },
    }]});
    let policy = resource(ENVOY_GATEWAY_LISTENER, "ClientTrafficPolicy");
    let curves = &policy["spec"]["tls"]["ecdhCurves"];
    assert_eq!(curves, &reference_curves());
    let tls = json!({"common_tls_context": {"tls_params": {"ecdh_curves": curves}}});
    validate(&envoy_gateway_config(), &envoy_gateway_clusters(), &tls, &log).unwrap();
}

#[test]
fn envoy_takes_what_the_example_for_istio_adds_to_it() {
    let filter = resource(ISTIO_GATEWAY, "EnvoyFilter");
    let patches = filter["spec"]["configPatches"].as_array().unwrap();
    let value = |place: &str| {
        let patch = patches.iter().find(|patch| patch["applyTo"] == place).unwrap();
        assert_eq!(patch["patch"]["operation"], "MERGE");
        patch["patch"]["value"].clone()
    };
    let tls = value("FILTER_CHAIN")["transport_socket"]["typed_config"].clone();
    assert_eq!(tls["disable_stateless_session_resumption"], true);
    assert_eq!(tls["disable_stateful_session_resumption"], true);
    assert_eq!(tls["common_tls_context"]["tls_params"]["ecdh_curves"], reference_curves());
    let manager = value("NETWORK_FILTER")["typed_config"].clone();
    let log = &manager["access_log"][0]["typed_config"]["log_format"]["json_format"];
    assert_eq!(log["request_id"], reference_request_id());
    validate(&istio_config(), &[], &tls, &manager).unwrap();
    // It is the filter that is asked, too.
    let mut wrong = istio_config();
    wrong["colour"] = json!("red");
    let output = validate(&wrong, &[], &tls, &manager).unwrap_err();
    assert!(output.contains("configuration: colour is not a known key"), "{output}");
}

#[test]
fn behind_envoy_gateway_a_federator_gets_the_certificate_of_the_caller_whatever_the_caller_sends() {
    let config = envoy_gateway_config();
    forwards_the_certificate(&world(&config));
}

#[test]
fn behind_istio_a_federator_gets_the_certificate_of_the_caller_whatever_the_caller_sends() {
    let config = istio_config();
    forwards_the_certificate(&world(&config));
}

#[test]
fn a_federator_gets_no_certificate_unless_it_is_said() {
    let mut config = envoy_gateway_config();
    assert_eq!(config.as_object_mut().unwrap().remove("forward_certificate"), Some(json!(true)));
    let world = world(&config);
    let identity = world.identity(&["infra.a.com"]);
    assert_eq!(certificates(&world, &world.caller(&identity), &identity), [[""; 0], [""; 0]]);
}

/// Callers forge the header; only their own certificate arrives, in URL encoding, and once.
fn forwards_the_certificate(world: &World) {
    check_envoy::assert_clean(world);
    let (one, other) = (world.identity(&["infra.a.com"]), world.identity(&["*.a.com"]));
    for (own, forged) in [(&one, &other), (&other, &one)] {
        for values in certificates(world, &world.caller(own), forged) {
            let [value] = <[String; 1]>::try_from(values).unwrap();
            let is_encoded = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
            assert!(value.chars().all(is_encoded), "{value}");
            assert_eq!(percent_decode_str(&value).decode_utf8().unwrap(), own.chain);
        }
    }
    let forged: &[u8] = b"-----BEGIN%20CERTIFICATE-----";
    let headers = [origin("a.com"), ("x-ssl-certificate", forged)];
    check(world, &world.anonymous(), "nobody", &headers, Refuse(403, "no-client-certificate"));
    let stranger = world.caller(&world.identity(&["infra.evil.example"]));
    check(world, &stranger, "stranger", &headers, Refuse(403, "authentication-failure"));
    check(world, &world.caller(&one), "partner", &headers, Permit("a.com"));
}

/// What the backend receives as `X-SSL-Certificate`, in two requests on one connection, where the
/// caller sends `forged` in its place, twice.
fn certificates(world: &World, caller: &Caller, forged: &Identity) -> Vec<Vec<String>> {
    let forged = forged.chain.replace('\n', "%0A").replace(' ', "%20");
    let forged = ("x-ssl-certificate", forged.as_bytes());
    let headers = [forged, origin("a.com"), forged];
    world.run(async {
        let connection = caller.http2().await.unwrap();
        let mut values = vec![];
        for rpc in ["first-certificate", "second-certificate"] {
            let answer = connection.call(rpc, &headers).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.json());
            values.push(received(&answer, "x-ssl-certificate"));
        }
        values
    })
}

/// A world whose filter has this configuration, and whose Envoy does not take `X-SSL-Certificate`
/// away behind it, as the reference does.
fn world(config: &Value) -> World {
    let reference = artifacts::read("envoy/ingress.yaml");
    let (_, rest) = reference.split_once("value: |\n").unwrap();
    let (json, _) = rest.split_once("\n          # What must not come").unwrap();
    let mut json = format!("value: |\n{json}");
    let mut config = config.clone();
    if artifacts::envoy_minor() < 39 {
        // As docs/envoy.md has it for older versions.
        let role = r#""role": "ingress","#;
        json = json.replace(role, &format!(r#"{role} "chain_validation": "listener","#));
        config["chain_validation"] = json!("listener");
    }
    let cluster = config["control_plane"]["cluster"].to_string();
    World::builder()
        .records([srv("a.com", 60, "infra.a.com.")])
        .allow(&["a.com"])
        .edit(&json, &format!("value: {}", json!(config.to_string())))
        .edit("name: fedgate_verdicts", &format!("name: {cluster}"))
        .edit("regex: \"z-.*|x-ssl-.*\"", "regex: \"z-.*\"")
        .start()
}

/// Has Envoy judge a listener with this filter, these clusters, and what an example adds to TLS and to
/// the connection manager.
fn validate(config: &Value, clusters: &[Value], tls: &Value, manager: &Value) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let Identity { chain, key } = Authority::root("an authority").issue(&Leaf::of(["infra.b.com"]));
    let certificate =
        json!({"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}});
    let kind = |name: &str| format!("type.googleapis.com/envoy.extensions.{name}");
    let mut tls_context = json!({
        "@type": kind("transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {"tls_certificates": [certificate]},
    });
    merge(&mut tls_context, tls);
    let wasm = json!({
        "@type": kind("filters.http.wasm.v3.Wasm"),
        "config": {
            "root_id": "fedgate",
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": artifacts::filter()}},
                "environment_variables": {"host_env_keys": [config["control_plane"]["token_env"]]},
            },
            // Both Envoy Gateway and Istio hand JSON over as a text.
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
        },
    });
    let mut connection_manager = json!({
        "@type": kind("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "federation",
        "route_config": {},
        "http_filters": [
            {"name": "fedgate", "typed_config": wasm},
            {"name": "router", "typed_config": {"@type": kind("filters.http.router.v3.Router")}},
        ],
    });
    merge(&mut connection_manager, manager);
    let listener = json!({
        "name": "federation",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls_context},
            "filters": [{"name": "manager", "typed_config": connection_manager}],
        }],
    });
    let bootstrap = json!({"static_resources": {"clusters": clusters, "listeners": [listener]}});
    let file = dir.path().join("envoy.json");
    fs::write(&file, bootstrap.to_string()).unwrap();
    let mut envoy = Command::new(artifacts::envoy());
    run(envoy.arg("-c").arg(&file).args(["--mode", "validate"]).env("FEDGATE_TOKEN", "a-token"))
}

/// Adds members to an object, and to the objects in it. None may be there before, but for the type.
fn merge(into: &mut Value, more: &Value) {
    for (name, value) in more.as_object().unwrap() {
        match into.as_object_mut().unwrap().get_mut(name) {
            None => into[name] = value.clone(),
            Some(before) if before.is_object() => merge(before, value),
            Some(before) => assert_eq!(before, value, "{name} is there twice"),
        }
    }
}

/// The groups that the reference listener offers for the key exchange.
fn reference_curves() -> Value {
    let reference = parse(&artifacts::read("envoy/ingress.yaml")).remove(0);
    let chain = &reference["static_resources"]["listeners"][0]["filter_chains"][0];
    let curves =
        &chain["transport_socket"]["typed_config"]["common_tls_context"]["tls_params"]["ecdh_curves"];
    assert_eq!(curves[0], "X25519MLKEM768");
    curves.clone()
}

/// How the reference listener's access log names a request.
fn reference_request_id() -> String {
    let reference = artifacts::read("envoy/ingress.yaml");
    let (_, rest) = reference.split_once("request_id: \"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

fn envoy_gateway_config() -> Value {
    resource(ENVOY_GATEWAY_FILTER, "EnvoyExtensionPolicy")["spec"]["wasm"][0]["config"].clone()
}

fn envoy_gateway_clusters() -> Vec<Value> {
    let envoy = resource(ENVOY_GATEWAY, "EnvoyProxy");
    let bootstrap = parse(text(&envoy, "/spec/bootstrap/value")).remove(0);
    bootstrap["static_resources"]["clusters"].as_array().unwrap().clone()
}

fn istio_config() -> Value {
    resource(ISTIO_FILTER, "WasmPlugin")["spec"]["pluginConfig"].clone()
}

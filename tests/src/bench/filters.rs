//! The HTTP filters that are compared, each as Envoy's configuration has it, and the clusters they use.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fedgate_tests::artifacts;
use serde_json::{Value, json};

/// The one partner that all variants admit: its backend domain.
pub(crate) const PARTNER: &str = "a.com";
/// The name in the partner's certificate.
pub(crate) const PARTNER_HOST: &str = "infra.a.com";

/// Fedgate's own filter, with the configuration of `envoy/ingress.yaml`.
pub(crate) fn fedgate() -> Value {
    fedgate_that(true)
}

/// The same, which tells the control plane nothing of what it saw.
pub(crate) fn fedgate_quiet() -> Value {
    fedgate_that(false)
}

fn fedgate_that(reports: bool) -> Value {
    let configuration = json!({
        "role": "ingress",
        "control_plane": {"cluster": "fedgate_verdicts", "token_env": "FEDGATE_TOKEN", "timeout_ms": 5000},
        "max_staleness_s": 900,
        "mode": "enforce",
        "reports": reports,
    });
    wasm("fedgate", &artifacts::filter(), Some(&configuration))
}

/// The filter of `bench/null-filter`.
pub(crate) fn null() -> Value {
    wasm("null", &null_module(), None)
}

/// The module of [`null`].
pub(crate) fn null_module() -> PathBuf {
    let file = artifacts::filter().with_file_name("fedgate_null_filter.wasm");
    assert!(file.exists(), "{} is missing; `scripts/bench` makes it", file.display());
    file
}

fn wasm(name: &str, file: &Path, configuration: Option<&Value>) -> Value {
    let configuration = configuration.map(|value| {
        json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": value.to_string()})
    });
    filter(
        name,
        "wasm.v3.Wasm",
        &json!({"config": {
            "name": name,
            "root_id": name,
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {
                "vm_id": name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": file}},
                "environment_variables": {"host_env_keys": ["FEDGATE_TOKEN"]},
            },
            "configuration": configuration,
        }}),
    )
}

/// Envoy's Lua filter with a static table: the shortest script that decides the same, and nothing more.
pub(crate) fn lua() -> Value {
    let script = format!(
        r#"local hosts_of = {{["{PARTNER}"] = {{["{PARTNER_HOST}"] = true}}}}

function envoy_on_request(handle)
  local hosts = hosts_of[handle:headers():get("wire-origin-domain")]
  if hosts then
    local peer = handle:streamInfo():downstreamSslConnection()
    for _, name in ipairs(peer:dnsSansPeerCertificate()) do
      if hosts[name] then return end
    end
  end
  handle:respond({{[":status"] = "403"}}, "")
end
"#
    );
    filter(
        "envoy.filters.http.lua",
        "lua.v3.Lua",
        &json!({"default_source_code": {"inline_string": script}}),
    )
}

/// Envoy's RBAC filter with one static rule.
pub(crate) fn rbac() -> Value {
    let origin = json!({"name": "wire-origin-domain", "string_match": {"exact": PARTNER}});
    filter(
        "envoy.filters.http.rbac",
        "rbac.v3.RBAC",
        &json!({"rules": {"action": "ALLOW", "policies": {"partner": {
            "permissions": [{"header": origin}],
            "principals": [{"authenticated": {"principal_name": {"exact": PARTNER_HOST}}}],
        }}}}),
    )
}

/// Lets pass what a brig is to receive of a call from [`PARTNER`], and nothing else.
pub(crate) fn as_a_brig_receives_it() -> Value {
    let origin = json!({"name": "wire-origin-domain", "string_match": {"exact": PARTNER}});
    let json_type = json!({"name": "content-type", "string_match": {"exact": "application/json"}});
    let path = json!({"path": {"exact": "/federation/search-users"}});
    filter(
        "envoy.filters.http.rbac",
        "rbac.v3.RBAC",
        &json!({"rules": {"action": "ALLOW", "policies": {"call": {
            "permissions": [{"and_rules": {"rules": [{"header": origin}, {"header": json_type}, {"url_path": path}]}}],
            "principals": [{"any": true}],
        }}}}),
    )
}

/// Envoy's `ext_authz` filter, asking `server` by HTTP.
pub(crate) fn ext_authz(server: SocketAddr) -> Value {
    filter(
        "envoy.filters.http.ext_authz",
        "ext_authz.v3.ExtAuthz",
        &json!({
            "transport_api_version": "V3",
            "http_service": {
                "server_uri": {"uri": format!("http://{server}"), "cluster": "authz", "timeout": "5s"},
            },
            "allowed_headers": {"patterns": [{"exact": "wire-origin-domain"}]},
        }),
    )
}

fn filter(name: &str, message: &str, settings: &Value) -> Value {
    let mut config = settings.clone();
    config["@type"] = format!("type.googleapis.com/envoy.extensions.filters.http.{message}").into();
    json!({"name": name, "typed_config": config})
}

/// Waits for the whole request, so that its body goes through the filters before it, and is then
/// answered as a backend would answer it.
pub(crate) fn whole_request() -> Value {
    filter("envoy.filters.http.buffer", "buffer.v3.Buffer", &json!({"max_request_bytes": 65536}))
}

/// The end of every filter chain.
pub(crate) fn router() -> Value {
    filter("envoy.filters.http.router", "router.v3.Router", &json!({}))
}

/// The control plane's verdict API, as in `envoy/ingress.yaml`.
pub(crate) fn verdicts_cluster(server: SocketAddr) -> Value {
    cluster("fedgate_verdicts", server)
}

/// The server that `ext_authz` asks.
pub(crate) fn authz_cluster(server: SocketAddr) -> Value {
    cluster("authz", server)
}

/// Over HTTP/2, which under load costs the asking Envoy a quarter less than HTTP/1.1.
fn cluster(name: &str, server: SocketAddr) -> Value {
    let address = json!({"socket_address": {"address": server.ip(), "port_value": server.port()}});
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 100}},
            },
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    })
}

//! The reference configuration without Fedgate, which says in its route whom it calls.
//!
//! It is `envoy/both.yaml` still, with parts cut out and one route told what else the filter says. So
//! whatever is not Fedgate's is the same on both sides, also when that file changes.

use std::net::SocketAddr;
use std::path::Path;

use fedgate_tests::{World, WorldBuilder, artifacts};
use serde_json::{Value, json};

use super::super::filters::PARTNER;
use super::super::load::INGRESS;
use super::CALLED;

/// The cluster that the control plane made known to the Envoy of `world`, once it has.
pub(super) fn cluster(world: &World) -> Option<Value> {
    let dump = world.envoy.ask("/config_dump?resource=dynamic_active_clusters")?;
    let dump: Value = serde_json::from_str(&dump).ok()?;
    let clusters = dump["configs"].as_array()?.iter().map(|config| &config["cluster"]);
    clusters.into_iter().find(|cluster| cluster["name"] == format!("federation/{CALLED}")).cloned()
}

/// Takes out the filter, in both roles, and what it needs; or puts another module in its place.
pub(super) fn without_fedgate(
    builder: WorldBuilder,
    own_domain: &str,
    instead: Option<&Path>,
) -> WorldBuilder {
    let fedgate = artifacts::filter().display().to_string();
    let text = artifacts::read("envoy/both.yaml")
        .replace("/etc/fedgate/fedgate_filter.wasm", &fedgate)
        .replace(r#""own_domain": "b.com""#, &format!(r#""own_domain": "{own_domain}""#));
    let (ingress, egress) =
        text.split_once("  - name: federation_egress\n").expect("the ingress, and then the egress");
    let filter = "          - name: fedgate\n";
    let on_demand = "          # Holds a call until";
    let probes = "          # GET /i/status";
    let builder = builder
        .edit(part(&text, "# Where clusters come from", "# Under pressure"), "")
        .edit(part(egress, on_demand, "          - name: envoy.filters.http.router\n"), "");
    match instead {
        Some(module) => builder.edit(&fedgate, &module.display().to_string()),
        None => builder
            .edit(part(ingress, filter, "          # What must not come from outside"), "")
            .edit(part(egress, probes, on_demand), ""),
    }
}

/// Has a cluster open a connection for each call, as Wire's federator does.
pub(super) fn connect_for_each_call(cluster: &mut Value) {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    cluster["typed_extension_protocol_options"][options]["common_http_protocol_options"] =
        json!({"max_requests_per_connection": 1});
}

/// Calls `peer`, which is at that address, by a route and with a cluster as the control plane makes it.
pub(super) fn calling(builder: WorldBuilder, cluster: &Value, peer: SocketAddr) -> WorldBuilder {
    let mut cluster = cluster.clone();
    let made = cluster.as_object_mut().expect("a cluster");
    for key in ["@type", "eds_cluster_config"] {
        made.remove(key).unwrap_or_else(|| panic!("a cluster with {key}"));
    }
    made.insert("type".to_owned(), "STATIC".into());
    made.insert("load_assignment".to_owned(), endpoints(peer));
    builder
        .edit("  clusters:\n", &format!("  clusters:\n  - {cluster}\n"))
        .edit(
            "                  headers: [{name: x-fedgate-cluster, string_match: {prefix: federation/}}]\n",
            "",
        )
        .edit("prefix: /rpc/\n", &format!("prefix: /rpc/{CALLED}/brig/\n"))
        .edit("cluster_header: x-fedgate-cluster\n", &format!("cluster: federation/{CALLED}\n"))
        .edit(
            r#"regex_rewrite: {pattern: {regex: "^/rpc/[^/]+/"}, substitution: /federation/}"#,
            "prefix_rewrite: /federation/brig/",
        )
        .edit(
            "              request_headers_to_remove: [x-fedgate-cluster, x-forwarded-proto]\n              \
             request_headers_to_add:\n",
            &format!(
                "              request_headers_to_remove: [x-forwarded-proto]\n              \
                 request_headers_to_add:\n              \
                 - header: {{key: Wire-Origin-Domain, value: {PARTNER}}}\n                \
                 append_action: OVERWRITE_IF_EXISTS_OR_ADD\n"
            ),
        )
}

fn endpoints(peer: SocketAddr) -> Value {
    let address = json!({"socket_address": {"address": peer.ip(), "port_value": peer.port()}});
    json!({
        "cluster_name": format!("federation/{CALLED}"),
        "endpoints": [{
            "locality": {"sub_zone": INGRESS},
            "lb_endpoints": [{"endpoint": {"address": address, "hostname": INGRESS}}],
        }],
        "policy": {"overprovisioning_factor": 10_000},
    })
}

/// What stands in a text from `start` until `end`.
fn part<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text.find(start).unwrap_or_else(|| panic!("the configuration no longer has: {start}"));
    let (_, rest) = text.split_at(from);
    let to = rest.find(end).unwrap_or_else(|| panic!("the configuration no longer has: {end}"));
    rest.split_at(to).0
}

//! The clusters that lead to the control plane.

use std::collections::BTreeSet;

use serde_json::Value;

use super::codes;
use super::door::is_local;
use super::findings::Findings;
use super::shape::{at, has, items, text};
use super::view::View;
use crate::ledger::Ledger;

/// Where a cluster's options of HTTP stand.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Looks at the cluster that a filter asks.
pub(super) fn verdicts(view: &View<'_>, name: &str, ledger: &mut Ledger<'_>) {
    let claim = "the filter can ask the control plane";
    let mut found = Findings::default();
    let Some(cluster) = view.clusters.get(name) else {
        if is_to_come(view) {
            return ledger
                .not_looked_at(claim, format!("the cluster {name:?} may be one that comes later"));
        }
        found.add(&codes::NO_VERDICTS, format!("no cluster {name}"));
        return found.tell(ledger, claim, "");
    };
    found.add_if(
        addresses(view, name).is_some_and(|it| it.is_empty()),
        &codes::EMPTY_VERDICTS,
        format!("{name} has none"),
    );
    if !uses_http2(cluster) {
        found.add(&codes::SLOW_VERDICTS, format!("{name} has no http2_protocol_options"));
    } else if !has(options(cluster), "explicit_http_config/http2_protocol_options/connection_keepalive")
    {
        found.add(&codes::DEAF_VERDICTS, format!("{name} has none"));
    }
    found.and(plain(view, name)).tell(ledger, claim, name);
}

/// Looks at what clusters of other backends come from.
pub(super) fn xds(view: &View<'_>, ledger: &mut Ledger<'_>) {
    let claim = "other backends' clusters come from the control plane";
    let mut found = Findings::default();
    let ads =
        view.bootstrap.map_or(&Value::Null, |bootstrap| at(bootstrap, "dynamic_resources/ads_config"));
    if ads.is_null() {
        found.add(&codes::NO_XDS, "no dynamic_resources.ads_config");
        return found.tell(ledger, claim, "");
    }
    let kind = text(ads, "api_type");
    found.add_if(kind != "DELTA_GRPC", &codes::NOT_DELTA, format!("api_type is {kind}"));
    let service = items(ads, "grpc_services").first().unwrap_or(&Value::Null);
    let name = text(service, "envoy_grpc/cluster_name");
    let Some(cluster) = view.clusters.get(name) else {
        found.add(&codes::NO_XDS_CLUSTER, format!("no cluster {name}"));
        return found.tell(ledger, claim, "");
    };
    found.add_if(
        addresses(view, name).is_some_and(|it| it.is_empty()),
        &codes::NO_XDS_CLUSTER,
        format!("{name} has no endpoint"),
    );
    found.add_if(
        !uses_http2(cluster),
        &codes::NO_XDS_HTTP2,
        format!("{name} has no http2_protocol_options"),
    );
    let is_authorization = |header: &Value| text(header, "key").eq_ignore_ascii_case("authorization");
    if items(service, "initial_metadata").iter().any(is_authorization) {
        found.add(&codes::TOKEN_SHOWN, "it stands in ads_config's initial_metadata");
    } else {
        let mut filters = items(options(cluster), "http_filters").iter();
        let has_token = filters.any(|filter| {
            let mutations = items(filter, "typed_config/mutations/request_mutations");
            mutations.iter().any(|it| is_authorization(at(it, "append/header")))
        });
        found.add_if(!has_token, &codes::NO_XDS_TOKEN, format!("{name} sets no authorization"));
    }
    found.and(plain(view, name)).tell(ledger, claim, name);
}

/// What a cluster stands for: its name, and its addresses, since another cluster may have the same.
pub(super) fn backends(view: &View<'_>, cluster: &str) -> BTreeSet<String> {
    let mut backends = addresses(view, cluster).unwrap_or_default();
    backends.insert(cluster.to_owned());
    backends
}

/// A cluster's addresses; none where it has a way of its own to find them, or does not exist.
fn addresses(view: &View<'_>, name: &str) -> Option<BTreeSet<String>> {
    let cluster = view.clusters.get(name)?;
    let service = text(cluster, "eds_cluster_config/service_name");
    let assignment = match text(cluster, "type") {
        "EDS" => view.endpoints.get(if service.is_empty() { name } else { service })?,
        _ => at(cluster, "load_assignment"),
    };
    if assignment.is_null() && has(cluster, "cluster_type") {
        return None;
    }
    let endpoints = items(assignment, "endpoints").iter().flat_map(|it| items(it, "lb_endpoints"));
    let address = |endpoint: &Value| {
        let address = at(endpoint, "endpoint/address");
        let port = at(address, "socket_address/port_value");
        match text(address, "socket_address/address") {
            "" => address.to_string(),
            host => format!("{host} port {port}"),
        }
    };
    Some(endpoints.map(address).collect())
}

/// Whether the token leaves this host without TLS.
fn plain(view: &View<'_>, name: &str) -> Findings {
    let mut found = Findings::default();
    let is_plain = view.clusters.get(name).is_some_and(|cluster| {
        !has(cluster, "transport_socket") && !has(cluster, "transport_socket_matches")
    });
    let hosts = addresses(view, name).unwrap_or_default();
    let far = hosts.iter().find(|address| !address.split(' ').next().is_some_and(is_local));
    if let (true, Some(address)) = (is_plain, far) {
        found.add(&codes::PLAIN, format!("{name} leads to {address} without TLS"));
    }
    found
}

fn options(cluster: &Value) -> &Value {
    at(cluster, "typed_extension_protocol_options").get(HTTP_OPTIONS).unwrap_or(&Value::Null)
}

fn uses_http2(cluster: &Value) -> bool {
    let ways = ["explicit_http_config/http2_protocol_options", "auto_config/http2_protocol_options"];
    ways.iter().any(|way| has(options(cluster), way)) || has(cluster, "http2_protocol_options")
}

/// Whether clusters come from elsewhere, and are not in the configuration yet.
fn is_to_come(view: &View<'_>) -> bool {
    let bootstrap = view.bootstrap.unwrap_or(&Value::Null);
    view.secrets.is_none() && has(bootstrap, "dynamic_resources/cds_config")
}

//! The listener for our own services.

use serde_json::Value;

use super::codes;
use super::door::{Door, Route, host, is_local};
use super::findings::Findings;
use super::shape::{at, flag, has, items, shown, text};
use super::tls;
use crate::ledger::Ledger;

/// The header by which the filter names a cluster, and how each name of one begins.
const HEADER: &str = "x-fedgate-cluster";
const CLUSTERS: &str = "federation/";
/// What may be tried again: nobody has seen the call.
const UNSEEN: &[&str] = &["connect-failure", "refused-stream", "reset-before-request"];

/// Looks at all of it.
pub(super) fn lint(door: &Door<'_>, ledger: &mut Ledger<'_>) {
    exposure(door).tell(ledger, "only our own services reach it", "it listens on loopback");
    on_demand(door).tell(ledger, "a call waits until its cluster is here", "on_demand is there");
    let claim = "calls go where the filter says, once";
    if door.routes.is_none() {
        return ledger.not_looked_at(
            claim,
            "the routes are not in the configuration, or are chosen by a matcher",
        );
    }
    routes(door).tell(ledger, claim, format!("{} routes", door.forwarding().count()));
}

fn exposure(door: &Door<'_>) -> Findings {
    let mut found = Findings::default();
    let more = items(door.listener, "additional_addresses").iter();
    let hosts: Vec<_> = std::iter::once(door.listener).chain(more).map(host).collect();
    let Some(far) = hosts.into_iter().find(|host| !is_local(host)) else { return found };
    match tls::context(door.chain) {
        Some(tls) if !flag(tls, "require_client_certificate") => {
            found.add(&codes::PUBLIC, format!("it listens on {far} with TLS for everyone"));
        }
        Some(_) | None => found.add(&codes::BEYOND_HOST, format!("it listens on {far}")),
    }
    found
}

fn on_demand(door: &Door<'_>) -> Findings {
    let mut found = Findings::default();
    let gate = door.gate().map_or(0, |(place, ..)| place);
    let place = door.filters.iter().position(|filter| filter.kind == "OnDemand");
    match place {
        None => found.add(&codes::NO_ON_DEMAND, "no such filter"),
        Some(place) if place < gate => {
            found.add(&codes::NO_ON_DEMAND, "it stands before Fedgate's filter");
        }
        Some(place) => {
            let has_source = door.filters.get(place).is_some_and(|it| has(it.config, "odcds/source"));
            found.add_if(!has_source, &codes::NO_ON_DEMAND, "it has no odcds");
        }
    }
    found
}

fn routes(door: &Door<'_>) -> Findings {
    let mut found = Findings::default();
    let calls: Vec<_> =
        door.forwarding().filter(|route| text(route.action, "cluster_header") == HEADER).collect();
    found.add_if(
        calls.is_empty(),
        &codes::NO_CALL_ROUTE,
        format!("no route has `cluster_header: {HEADER}`"),
    );
    for route in door.forwarding().filter(|route| has(route.action, "cluster_header")) {
        found.add_if(
            !is_bound(route),
            &codes::OPEN_CALL_ROUTE,
            format!("route {} takes any value", route.place),
        );
    }
    for route in calls {
        for name in ["regex_rewrite", "auto_host_rewrite"] {
            let is_there = has(route.action, name) && at(route.action, name) != &Value::Bool(false);
            found.add_if(!is_there, &codes::NO_REWRITE, format!("route {} has no {name}", route.place));
        }
        let retries = text(route.retries, "retry_on").split(',').map(str::trim);
        let seen: Vec<_> = retries.filter(|it| !it.is_empty() && !UNSEEN.contains(it)).collect();
        found.add_if(
            !seen.is_empty(),
            &codes::REPEATS,
            format!("route {}: retry_on {}", route.place, shown(&seen.join(","))),
        );
    }
    found
}

/// Whether a route takes only clusters of other backends.
fn is_bound(route: &Route<'_>) -> bool {
    let header = text(route.action, "cluster_header");
    items(route.matched, "headers").iter().any(|matched| {
        let prefixes = ["string_match/prefix", "prefix_match"].map(|name| text(matched, name));
        text(matched, "name").eq_ignore_ascii_case(header)
            && !flag(matched, "invert_match")
            && prefixes.iter().any(|prefix| prefix.starts_with(CLUSTERS))
    })
}

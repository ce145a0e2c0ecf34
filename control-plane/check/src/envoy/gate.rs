//! Whether Fedgate's filter is where it belongs, and on; and what leads past it.

use std::collections::BTreeSet;

use super::clusters::backends;
use super::codes;
use super::door::{Door, Filter, Route, chains};
use super::findings::Findings;
use super::plugin::{Plugin, Role};
use super::shape::{at, has, items, list, text, typed};
use super::view::View;
use crate::ledger::Ledger;

/// Where other backends' requests go.
pub(super) const FEDERATION: &str = "/federation/";
/// Filters that believe what a request says of itself, or write into it.
const TRUSTING: &[&str] = &[
    "Lua",
    "ExtAuthz",
    "ExternalProcessor",
    "JwtAuthentication",
    "RBAC",
    "Wasm",
    "DynamicModuleFilter",
];

/// The side of the border that a door's routes are for.
pub(super) fn side(door: &Door<'_>) -> Option<Role> {
    let mut sides = door.forwarding().filter_map(|route| match text(route.action, "cluster_header") {
        "" => route.is_below(FEDERATION).then_some(Role::Ingress),
        _ => Some(Role::Egress),
    });
    sides.next()
}

/// Looks at the filter of one door.
pub(super) fn lint(view: &View<'_>, door: &Door<'_>, ledger: &mut Ledger<'_>) {
    let Some((place, filter, plugin)) = door.gate() else { return };
    switched_on(door, filter).tell(
        ledger,
        "the filter decides on every request",
        "it is on for all routes",
    );
    order(door, place).tell(
        ledger,
        "the filter comes first",
        format!("filter {} of {}", place + 1, door.filters.len()),
    );
    plugin.failure().tell(ledger, "a failure of the filter lets nothing pass", "it does not fail open");
    let mut found = plugin.configuration();
    if let (Some(role), Some(side)) = (plugin.role(), side(door)) {
        let seen = format!("role is {:?}", plugin.word("role"));
        // The keys are judged by the role that it has; what is missing for it follows from that.
        if role != side {
            found = Findings::default();
            found.add(&codes::WRONG_ROLE, seen);
        }
    }
    let found = found.and(plugin.token()).and(plugin.code());
    found.tell(ledger, "the filter is set up to enforce", format!("role {:?}", plugin.word("role")));
    if plugin.role() == Some(Role::Ingress) {
        let found = plugin.chain_validation(view.minor(), door.manager);
        found.tell(ledger, "Envoy and filter agree on who validates chains", "they do");
    }
}

fn switched_on(door: &Door<'_>, filter: &Filter<'_>) -> Findings {
    let mut found = Findings::default();
    let off: Vec<_> = door.forwarding().filter(|route| !route.has(filter)).collect();
    let is_off_everywhere = off.len() == door.forwarding().count();
    if filter.is_disabled && is_off_everywhere {
        found.add(&codes::DISABLED, "disabled is true, and no route switches it on");
    } else {
        for route in off {
            found.add(&codes::DISABLED_ON_ROUTE, format!("off for route {}", route.place));
        }
    }
    found.add_if(filter.is_conditional, &codes::CONDITIONAL, "it stands in an ExtensionWithMatcher");
    found
}

fn order(door: &Door<'_>, place: usize) -> Findings {
    let mut found = Findings::default();
    let before = door.filters.iter().take(place);
    let is_writing = |filter: &&Filter<'_>| {
        TRUSTING.contains(&filter.kind)
            || (filter.kind == "HeaderMutation"
                && items(filter.config, "mutations/request_mutations")
                    .iter()
                    .any(|it| has(it, "append")))
    };
    let early: Vec<_> = before.clone().filter(is_writing).map(|filter| filter.name).collect();
    if before.clone().any(|filter| filter.kind == "Router") {
        found.add(&codes::AFTER_ROUTER, "the router stands before it");
    } else if !early.is_empty() {
        found.add(&codes::LATE, format!("before it: {}", list(&early)));
    }
    found
}

/// Looks at where a guarded ingress leads.
pub(super) fn routes(door: &Door<'_>, ledger: &mut Ledger<'_>) {
    let claim = "partners reach what is below /federation/ and nothing else";
    if door.routes.is_none() {
        return ledger.not_looked_at(
            claim,
            "the routes are not in the configuration, or are chosen by a matcher",
        );
    }
    let mut found = Findings::default();
    for route in door.forwarding() {
        let rewritten = text(route.action, "prefix_rewrite");
        if !route.is_below(FEDERATION) {
            let beginning = route.beginning().unwrap_or("any path");
            found.add(&codes::BEYOND, format!("route {} takes {beginning}", route.place));
        } else if !rewritten.is_empty() && !rewritten.starts_with(FEDERATION) {
            found.add(&codes::BEYOND, format!("route {} leads to {rewritten}", route.place));
        } else if let Some(path) = replaced(route).filter(|path| !path.starts_with(FEDERATION)) {
            found.add(&codes::BEYOND, format!("route {} leads to {path}", route.place));
        }
    }
    found.tell(ledger, claim, format!("{} routes", door.forwarding().count()));
}

/// What a regular expression puts in the place of a path's beginning; one that stands for a part within changes no
/// beginning.
fn replaced<'a>(route: &Route<'a>) -> Option<&'a str> {
    let regex = text(route.action, "regex_rewrite/pattern/regex");
    let is_at_beginning = regex.starts_with('^') || regex.contains(FEDERATION.trim_end_matches('/'));
    is_at_beginning.then(|| text(route.action, "regex_rewrite/substitution"))
}

/// Looks for what leads to the same backends as the guarded doors, past the filter.
pub(super) fn ways_around(view: &View<'_>, doors: &[Door<'_>], ledger: &mut Ledger<'_>) {
    let is_guarded = |door: &&Door<'_>| {
        door.gate().is_some_and(|(.., plugin)| side(door).or(plugin.role()) == Some(Role::Ingress))
    };
    let mut guarded = BTreeSet::new();
    for route in doors.iter().filter(is_guarded).flat_map(Door::forwarding) {
        guarded.extend(route.clusters().into_iter().flat_map(|cluster| backends(view, cluster)));
    }
    let is_ours = |cluster: &str| backends(view, cluster).iter().any(|it| guarded.contains(it));
    let mut around = Findings::default();
    for door in doors.iter().filter(|door| door.gate().is_none()) {
        for route in door.forwarding().filter(|route| route.may_reach(FEDERATION)) {
            for cluster in route.clusters().into_iter().filter(|cluster| is_ours(cluster)) {
                around.add(
                    &codes::WAY_AROUND,
                    format!("{}: route {} leads to {cluster}", door.place, route.place),
                );
            }
        }
    }
    for (place, cluster) in tunnels(view).into_iter().filter(|(_, cluster)| is_ours(cluster)) {
        around.add(&codes::WAY_AROUND, format!("{place} leads to {cluster} by TCP"));
    }
    let claim = "no way leads around the filter";
    // Of a listener of its own, or of a guarded one, which says what is to be guarded.
    let unread: Vec<_> =
        doors.iter().filter(|door| door.routes.is_none()).map(|door| door.place.as_str()).collect();
    if around.is_empty() && !unread.is_empty() {
        let why = "the routes are not in the configuration, or are chosen by a matcher or a scope";
        ledger.not_looked_at(claim, format!("of {} {why}", list(&unread)));
    } else {
        around.tell(ledger, claim, format!("{} listeners", view.listeners.len()));
    }
    let mut missing = Findings::default();
    for door in doors.iter().filter(|door| door.gate().is_none()) {
        let is_late = |filter: &Filter<'_>| filter.is_missing && filter.name.contains("fedgate");
        let is_federation = door
            .forwarding()
            .any(|route| route.is_below(FEDERATION) && !route.clusters().into_iter().any(is_ours));
        if door.filters.iter().any(is_late) {
            missing.add(&codes::FILTER_NOT_DELIVERED, format!("{}: it has not come", door.place));
        } else if is_federation {
            missing.add(&codes::MISSING, format!("{} leads to {FEDERATION} without it", door.place));
        }
    }
    if missing.is_empty() && doors.iter().all(|door| door.gate().is_none()) {
        missing.add(&codes::MISSING, "no listener has Fedgate's filter");
    }
    missing.tell(ledger, "every federation listener has the filter", "it is there");
}

/// Clusters to which listeners lead by TCP, with what a report calls the way.
fn tunnels<'a>(view: &View<'a>) -> Vec<(String, &'a str)> {
    let mut tunnels = Vec::new();
    for listener in &view.listeners {
        for (place, chain) in chains(listener) {
            for filter in items(chain, "filters") {
                let (kind, config) = typed(at(filter, "typed_config"));
                let weighted =
                    items(config, "weighted_clusters/clusters").iter().map(|it| text(it, "name"));
                let clusters = std::iter::once(text(config, "cluster")).chain(weighted);
                if kind == "TcpProxy" {
                    tunnels.extend(clusters.map(|cluster| (place.clone(), cluster)));
                }
            }
        }
    }
    tunnels
}

/// The plugins of all doors that ask the control plane, by what they call its cluster.
pub(super) fn plugins<'d, 'a>(doors: &'d [Door<'a>]) -> impl Iterator<Item = &'d Plugin<'a>> {
    doors.iter().filter_map(|door| Some(door.gate()?.2))
}

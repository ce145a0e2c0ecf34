//! Every HTTP connection manager in every listener, its filters, and where its routes lead.

use serde_json::Value;

use super::plugin::Plugin;
use super::shape::{at, flag, has, items, list, shown, text, typed};
use super::view::View;

/// A connection manager, with all that stands around it.
pub(super) struct Door<'a> {
    /// What a report calls it: the listener, and its chain where there are several.
    pub(super) place: String,
    pub(super) listener: &'a Value,
    pub(super) chain: &'a Value,
    pub(super) manager: &'a Value,
    /// In their order.
    pub(super) filters: Vec<Filter<'a>>,
    /// None where the configuration does not tell of them.
    pub(super) routes: Option<Vec<Route<'a>>>,
}

/// One of its filters.
pub(super) struct Filter<'a> {
    pub(super) name: &'a str,
    /// The last part of its type: `Wasm`, `Router`.
    pub(super) kind: &'a str,
    pub(super) is_disabled: bool,
    /// Whether a matcher says when it counts.
    pub(super) is_conditional: bool,
    /// Whether it was to come from elsewhere, and did not.
    pub(super) is_missing: bool,
    pub(super) config: &'a Value,
    /// Where it is Fedgate's.
    pub(super) plugin: Option<Plugin<'a>>,
}

/// One route.
pub(super) struct Route<'a> {
    /// What a report calls it.
    pub(super) place: String,
    pub(super) matched: &'a Value,
    /// The action `route`; nothing where it redirects, or answers by itself.
    pub(super) action: &'a Value,
    /// Its own retry policy, or that of its virtual host.
    pub(super) retries: &'a Value,
    /// What it and those above it say of single filters, the closest first.
    settings: Vec<&'a Value>,
}

// === impl Door ===

impl<'a> Door<'a> {
    /// All of them.
    pub(super) fn all(view: &View<'a>) -> Vec<Self> {
        let mut doors = Vec::new();
        for listener in &view.listeners {
            for (place, chain) in chains(listener) {
                for filter in items(chain, "filters") {
                    let (kind, manager) = typed(at(filter, "typed_config"));
                    if kind == "HttpConnectionManager" {
                        doors.push(Self::new(view, place.clone(), listener, chain, manager));
                    }
                }
            }
        }
        doors
    }

    fn new(
        view: &View<'a>,
        place: String,
        listener: &'a Value,
        chain: &'a Value,
        manager: &'a Value,
    ) -> Self {
        let filters =
            items(manager, "http_filters").iter().map(|filter| Filter::new(view, filter)).collect();
        let named = || view.routes.get(text(manager, "rds/route_config_name")).copied();
        let table = manager.get("route_config").or_else(named);
        // Trees of matchers are not read.
        let table =
            table.filter(|table| items(table, "virtual_hosts").iter().all(|host| !has(host, "matcher")));
        Self { place, listener, chain, manager, filters, routes: table.map(routes) }
    }

    /// Fedgate's filter: where it stands, the filter, and what it is told.
    pub(super) fn gate(&self) -> Option<(usize, &Filter<'a>, &Plugin<'a>)> {
        let mut filters = self.filters.iter().enumerate();
        filters.find_map(|(place, filter)| Some((place, filter, filter.plugin.as_ref()?)))
    }

    /// The routes that lead to backends.
    pub(super) fn forwarding(&self) -> impl Iterator<Item = &Route<'a>> {
        self.routes.iter().flatten().filter(|route| route.action.is_object())
    }

    /// Whether one of its network filters is Fedgate's lobby.
    pub(super) fn has_lobby(&self) -> bool {
        items(self.chain, "filters").iter().any(|filter| {
            let (kind, config) = typed(at(filter, "typed_config"));
            kind == "Wasm" && Plugin::read(text(filter, "name"), config).is_some()
        })
    }
}

/// The filter chains of a listener, with what a report calls each.
pub(super) fn chains(listener: &Value) -> Vec<(String, &Value)> {
    let name = match text(listener, "name") {
        "" => format!("{}:{}", host(listener), at(listener, "address/socket_address/port_value")),
        name => shown(name),
    };
    let mut chains: Vec<_> = items(listener, "filter_chains").iter().collect();
    chains.extend(listener.get("default_filter_chain").filter(|chain| chain.is_object()));
    let count = chains.len();
    let place = |(index, chain): (usize, &Value)| match text(chain, "name") {
        _ if count == 1 => name.clone(),
        "" => format!("{name}, chain {}", index + 1),
        chain => format!("{name}, chain {}", shown(chain)),
    };
    chains.into_iter().enumerate().map(|item| (place(item), item.1)).collect()
}

/// The address that something listens on; empty for a socket in the file system, or within Envoy.
pub(super) fn host(listener: &Value) -> &str {
    text(listener, "address/socket_address/address")
}

/// Whether only this machine reaches an address.
pub(super) fn is_local(host: &str) -> bool {
    host.is_empty()
        || host == "localhost"
        || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

// === impl Filter ===

impl<'a> Filter<'a> {
    fn new(view: &View<'a>, filter: &'a Value) -> Self {
        let name = text(filter, "name");
        let came = has(filter, "config_discovery").then(|| view.extensions.get(name).copied());
        let default = at(filter, "config_discovery/default_config");
        let config = match came {
            None => at(filter, "typed_config"),
            Some(Some(came)) => at(came, "typed_config"),
            Some(None) => default,
        };
        let (mut kind, mut config) = typed(config);
        let is_conditional = kind == "ExtensionWithMatcher";
        if is_conditional {
            (kind, config) = typed(at(config, "extension_config/typed_config"));
        }
        let plugin = if kind == "Wasm" { Plugin::read(name, config) } else { None };
        Self {
            name,
            kind,
            is_disabled: flag(filter, "disabled"),
            is_conditional,
            is_missing: came == Some(None) && default.is_null(),
            config,
            plugin,
        }
    }
}

// === impl Route ===

impl<'a> Route<'a> {
    /// Whether a filter counts on all of it. The closest word does, and any configuration switches it on.
    pub(super) fn has(&self, filter: &Filter<'_>) -> bool {
        let says = |place: &Value| {
            let word = at(place, "typed_per_filter_config").get(filter.name)?;
            Some(typed(word).0 != "FilterConfig" || !flag(word, "disabled"))
        };
        let on_route = self.settings.iter().find_map(|place| says(place)).unwrap_or(!filter.is_disabled);
        match items(self.action, "weighted_clusters/clusters") {
            [] => on_route,
            clusters => clusters.iter().all(|cluster| says(cluster).unwrap_or(on_route)),
        }
    }

    /// The clusters that it leads to, mirrors too.
    pub(super) fn clusters(&self) -> Vec<&'a str> {
        let one = text(self.action, "cluster");
        let weighted =
            items(self.action, "weighted_clusters/clusters").iter().map(|it| text(it, "name"));
        let mirrors = items(self.action, "request_mirror_policies").iter().map(|it| text(it, "cluster"));
        std::iter::once(one).chain(weighted).chain(mirrors).filter(|name| !name.is_empty()).collect()
    }

    /// What its match says of the path, at its beginning; nothing where that cannot be said.
    pub(super) fn beginning(&self) -> Option<&'a str> {
        let matched = self.matched;
        let plain = ["prefix", "path", "path_separated_prefix"];
        let regex = text(matched, "safe_regex/regex");
        let stop = regex.trim_start_matches('^').find(|c: char| ".[({*+?\\|^$".contains(c));
        match plain.iter().map(|name| text(matched, name)).find(|text| !text.is_empty()) {
            Some(path) => Some(path),
            // An alternative may begin otherwise.
            None if regex.is_empty() || regex.contains('|') => None,
            None => {
                let regex = regex.trim_start_matches('^');
                stop.map_or(Some(regex), |stop| regex.get(..stop))
            }
        }
    }

    /// Whether each of its requests has a path below `folder`.
    pub(super) fn is_below(&self, folder: &str) -> bool {
        self.beginning().is_some_and(|path| path.starts_with(folder) || format!("{path}/") == folder)
    }

    /// Whether one of its requests may arrive below `folder`: by its path, or since that is rewritten.
    pub(super) fn may_reach(&self, folder: &str) -> bool {
        let rewrites = ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"];
        rewrites.iter().any(|name| has(self.action, name))
            || self.beginning().is_none_or(|path| folder.starts_with(path) || path.starts_with(folder))
    }
}

/// All routes of a table, in their order.
fn routes(table: &Value) -> Vec<Route<'_>> {
    let mut routes = Vec::new();
    for host in items(table, "virtual_hosts") {
        for (index, route) in items(host, "routes").iter().enumerate() {
            let own = at(route, "route/retry_policy");
            let retries = if own.is_null() { at(host, "retry_policy") } else { own };
            let place = format!("{} {}", list(&[text(host, "name")]), index + 1);
            let settings = vec![route, host, table];
            routes.push(Route {
                place,
                matched: at(route, "match"),
                action: at(route, "route"),
                retries,
                settings,
            });
        }
    }
    routes
}

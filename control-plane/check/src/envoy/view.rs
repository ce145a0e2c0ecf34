//! What of a configuration is looked at, found by name: the same for a dump and for the file that Envoy starts with.

use std::collections::BTreeMap;

use serde_json::Value;

use super::shape::{at, has, items, number, text};

/// The parts of a configuration.
#[derive(Default)]
pub(super) struct View<'a> {
    /// The file that Envoy was started with.
    pub(super) bootstrap: Option<&'a Value>,
    /// All listeners that are in use; one that is not yet is better than none.
    pub(super) listeners: Vec<&'a Value>,
    /// Clusters by name.
    pub(super) clusters: BTreeMap<&'a str, &'a Value>,
    /// Routes that came from elsewhere, by name.
    pub(super) routes: BTreeMap<&'a str, &'a Value>,
    /// Secrets that have come, by name; none where the configuration does not tell of them.
    pub(super) secrets: Option<BTreeMap<&'a str, &'a Value>>,
    /// Filters that came from elsewhere (ECDS), by name.
    pub(super) extensions: BTreeMap<&'a str, &'a Value>,
    /// Endpoints that came from elsewhere (EDS), by cluster.
    pub(super) endpoints: BTreeMap<&'a str, &'a Value>,
    /// What Envoy did not take: its name, and why not.
    pub(super) rejected: Vec<(&'a str, &'a str)>,
    /// What has come, and is not in use yet.
    pub(super) warming: Vec<&'a str>,
}

// === impl View ===

impl<'a> View<'a> {
    /// Of a configuration as Envoy dumps it.
    pub(super) fn of_dump(dump: &'a Value) -> Self {
        let mut view = Self::default();
        for part in items(dump, "configs") {
            // So named, since an Envoy without any secrets has no such part.
            view.secrets.get_or_insert_default();
            match text(part, "@type").rsplit('.').next().unwrap_or_default() {
                "BootstrapConfigDump" => view.bootstrap = Some(at(part, "bootstrap")),
                "ListenersConfigDump" => view.take_listeners(part),
                "ClustersConfigDump" => {
                    let listed = ["static_clusters", "dynamic_active_clusters"];
                    view.clusters.extend(named(part, &listed, "cluster", "name"));
                    view.note_warming(part, "dynamic_warming_clusters", "cluster/name");
                    view.note_rejected(
                        part,
                        &["dynamic_active_clusters", "dynamic_warming_clusters"],
                        "cluster/name",
                    );
                }
                "EndpointsConfigDump" => {
                    let listed = ["static_endpoint_configs", "dynamic_endpoint_configs"];
                    view.endpoints.extend(named(part, &listed, "endpoint_config", "cluster_name"));
                }
                "RoutesConfigDump" => {
                    let listed = ["static_route_configs", "dynamic_route_configs"];
                    view.routes.extend(named(part, &listed, "route_config", "name"));
                    view.note_rejected(part, &["dynamic_route_configs"], "route_config/name");
                }
                "SecretsConfigDump" => {
                    let listed = ["static_secrets", "dynamic_active_secrets"];
                    let secrets = named(part, &listed, "secret", "name");
                    view.secrets.get_or_insert_default().extend(secrets);
                    view.note_rejected(
                        part,
                        &["dynamic_active_secrets", "dynamic_warming_secrets"],
                        "name",
                    );
                }
                "EcdsConfigDump" => {
                    view.extensions.extend(named(part, &["ecds_filters"], "ecds_filter", "name"));
                    view.note_rejected(part, &["ecds_filters"], "ecds_filter/name");
                }
                _ => {}
            }
        }
        view
    }

    /// Of the file that Envoy starts with.
    pub(super) fn of_bootstrap(bootstrap: &'a Value) -> Self {
        let clusters = items(bootstrap, "static_resources/clusters");
        Self {
            bootstrap: Some(bootstrap),
            listeners: items(bootstrap, "static_resources/listeners").iter().collect(),
            clusters: clusters.iter().map(|cluster| (text(cluster, "name"), cluster)).collect(),
            ..Self::default()
        }
    }

    /// Envoy's minor version: 40 is 1.40.
    pub(super) fn minor(&self) -> Option<u64> {
        let version = at(self.bootstrap?, "node/user_agent_build_version/version");
        (number(version, "major_number") == Some(1)).then(|| number(version, "minor_number")).flatten()
    }

    fn take_listeners(&mut self, part: &'a Value) {
        self.listeners.extend(items(part, "static_listeners").iter().map(|it| at(it, "listener")));
        for listener in items(part, "dynamic_listeners") {
            let (active, warming) =
                (at(listener, "active_state/listener"), at(listener, "warming_state/listener"));
            if !warming.is_null() {
                self.warming.push(text(listener, "name"));
            }
            let counts = if active.is_null() { warming } else { active };
            if !counts.is_null() {
                self.listeners.push(counts);
            }
        }
        self.note_rejected(part, &["dynamic_listeners"], "name");
    }

    fn note_warming(&mut self, part: &'a Value, list: &str, name: &str) {
        self.warming.extend(items(part, list).iter().map(|item| text(item, name)));
    }

    fn note_rejected(&mut self, part: &'a Value, lists: &[&str], name: &str) {
        for item in lists.iter().flat_map(|list| items(part, list)) {
            if has(item, "error_state") {
                self.rejected.push((text(item, name), text(item, "error_state/details")));
            }
        }
    }
}

/// What stands in these lists as the member `what`, by its name there.
fn named<'a>(
    part: &'a Value,
    lists: &[&str],
    what: &'a str,
    name: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let items: Vec<_> = lists.iter().flat_map(|list| items(part, list)).collect();
    items.into_iter().map(move |item| (text(at(item, what), name), at(item, what)))
}

//! What one stream has subscribed to of one kind of resource, and what it has been told: the delta
//! protocol, without its messages.

use std::collections::{BTreeSet, HashMap};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, Resource as Sent};
use fedgate_policy::Domain;
use std::sync::Arc;

use super::book::{Book, Interest};
use super::entry::Standing;
use super::resource::{Resource, domain_of, name_of};

/// The names of each kind that one stream may subscribe to.
pub(super) const MAX_NAMES: usize = 10_000;

/// The kinds of resources that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// CDS.
    Clusters,
    /// EDS.
    Endpoints,
}

/// What one stream has subscribed to.
pub(super) struct Subscription {
    kind: Kind,
    begun: bool,
    names: HashMap<Domain, Held>,
    /// Names of which there may be something to say.
    dirty: BTreeSet<Domain>,
    /// Names of which there never is.
    refused: Vec<String>,
    /// Whether an answer is due, even an empty one.
    owed: bool,
}

struct Held {
    interest: Interest,
    told: Told,
    /// Whether an answer is due, even one that has been given before.
    owed: bool,
    /// Whether it was sent in place of another.
    replaced: bool,
}

/// What a stream's other end has of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Version(String),
    Removed,
}

/// What to say of a name.
#[derive(Debug, PartialEq)]
enum Say {
    /// Nothing, and nothing is due any more.
    Nothing,
    /// Nothing yet.
    Later,
    Removed,
    This(Arc<Resource>),
}

/// What there is to say.
#[derive(Debug, Default)]
pub(super) struct News {
    /// In no order.
    pub(super) resources: Vec<Sent>,
    pub(super) removed: Vec<String>,
    /// The domains whose resource the other end had, and had another.
    pub(super) replaced: Vec<Domain>,
    /// Whether an answer is due, even an empty one.
    pub(super) owed: bool,
}

// === impl Subscription ===

impl Subscription {
    pub(super) fn to(kind: Kind) -> Self {
        let (names, dirty, refused) = (HashMap::new(), BTreeSet::new(), Vec::new());
        Self { kind, begun: false, names, dirty, refused, owed: false }
    }

    /// Takes in a request. What it says that Envoy has of a domain does not count where that is
    /// `replaced`.
    pub(super) fn request(
        &mut self,
        request: DeltaDiscoveryRequest,
        book: &Arc<Book>,
        replaced: impl Fn(&Domain) -> bool,
    ) {
        let first = !std::mem::replace(&mut self.begun, true);
        // Without names, the first request subscribes to everything: of which there is nothing.
        self.owed |= first && request.resource_names_subscribe.is_empty();
        for name in request.resource_names_unsubscribe {
            if let Some(domain) = domain_of(&name) {
                self.names.remove(&domain);
            }
        }
        let mut held = if first { request.initial_resource_versions } else { HashMap::new() };
        for name in request.resource_names_subscribe {
            let Some(domain) = domain_of(&name) else {
                if name == "*" {
                    self.owed = true;
                } else {
                    self.refused.push(name);
                }
                continue;
            };
            let told = held.remove(&name).filter(|_| !replaced(&domain));
            let told = told.map_or(Told::Nothing, Told::Version);
            self.subscribe(domain, told, book);
        }
    }

    /// Whether this stream has sent the domain's resource in place of another.
    pub(super) fn has_replaced(&self, domain: &Domain) -> bool {
        self.names.get(domain).is_some_and(|held| held.replaced)
    }

    /// Has the domain's resource sent again, where it is subscribed to.
    pub(super) fn renew(&mut self, domain: &Domain) {
        if let Some(held) = self.names.get_mut(domain) {
            held.owed = true;
            self.dirty.insert(domain.clone());
        }
    }

    /// A domain of which something else may be said.
    pub(super) fn changed(&mut self, domain: &Domain) {
        if self.names.contains_key(domain) {
            self.dirty.insert(domain.clone());
        }
    }

    /// Something else may be said of any domain.
    pub(super) fn all_changed(&mut self) {
        self.dirty.extend(self.names.keys().cloned());
    }

    /// What there is to say; it is taken as said.
    pub(super) fn news(&mut self) -> News {
        let mut news = News {
            removed: std::mem::take(&mut self.refused),
            owed: std::mem::take(&mut self.owed),
            ..News::default()
        };
        for domain in std::mem::take(&mut self.dirty) {
            let Some(held) = self.names.get_mut(&domain) else { continue };
            match say(self.kind, &held.told, held.owed, held.interest.standing()) {
                Say::Later => continue,
                Say::Nothing => {}
                Say::Removed => {
                    held.told = Told::Removed;
                    news.removed.push(name_of(&domain));
                }
                Say::This(resource) => {
                    let told = Told::Version(resource.version.clone());
                    if matches!(held.told, Told::Version(_)) && held.told != told {
                        held.replaced = true;
                        news.replaced.push(domain.clone());
                    }
                    held.told = told;
                    news.resources.push(Sent {
                        name: name_of(&domain),
                        version: resource.version.clone(),
                        resource: Some(resource.packed.clone()),
                        ..Sent::default()
                    });
                }
            }
            held.owed = false;
        }
        news
    }

    fn subscribe(&mut self, domain: Domain, told: Told, book: &Arc<Book>) {
        self.dirty.insert(domain.clone());
        if let Some(held) = self.names.get_mut(&domain) {
            held.owed = true;
            held.interest.again();
            return;
        }
        if self.names.len() >= MAX_NAMES {
            // Envoy never unsubscribes from a name that it has once asked for on demand. A flood of
            // names that come to nothing is not to push out those that do not.
            self.names.retain(|_, held| held.owed || held.told != Told::Removed);
            tracing::warn!(
                limit = MAX_NAMES,
                kept = self.names.len(),
                "a stream has subscribed to too many names; those without a cluster are forgotten, until it comes back"
            );
        }
        if self.names.len() >= MAX_NAMES {
            self.refused.push(name_of(&domain));
            return;
        }
        let owed = told == Told::Nothing;
        let interest = book.interest(domain.clone());
        self.names.insert(domain, Held { interest, told, owed, replaced: false });
    }
}

impl News {
    /// Whether there is nothing to send.
    pub(super) fn is_nothing(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty() && !self.owed
    }
}

/// What to say to who has been told this, and whether or not an answer is `owed`.
fn say(kind: Kind, told: &Told, owed: bool, standing: Standing) -> Say {
    let resource = match (standing, kind) {
        (Standing::Pending, _) | (Standing::Present(_, None), Kind::Endpoints) => return Say::Later,
        (Standing::Absent, _) => {
            let gone = owed || matches!(told, Told::Version(_));
            return if gone { Say::Removed } else { Say::Nothing };
        }
        (Standing::Present(cluster, _), Kind::Clusters) => cluster,
        (Standing::Present(_, Some(endpoints)), Kind::Endpoints) => endpoints,
    };
    match told {
        // What it has is better than nothing.
        Told::Version(_) if resource.stopgap => Say::Later,
        Told::Version(version) if !owed && *version == resource.version => Say::Nothing,
        Told::Version(_) | Told::Nothing | Told::Removed => Say::This(resource),
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;

    use super::*;

    fn resource(name: &str, stopgap: bool) -> Arc<Resource> {
        Arc::new(Resource::pack(Cluster { name: name.to_owned(), ..Default::default() }, stopgap))
    }

    #[test]
    fn what_is_said_is_what_is_news_or_owed() {
        let (cluster, endpoints) = (resource("cluster", false), resource("endpoints", false));
        let had = |resource: &Arc<Resource>| Told::Version(resource.version.clone());
        let present = Standing::Present(cluster.clone(), Some(endpoints.clone()));
        let early = Standing::Present(cluster.clone(), None);
        let kept = Standing::Present(cluster.clone(), Some(resource("empty", true)));
        let empty = Say::This(resource("empty", true));
        let (clusters, eds) = (Kind::Clusters, Kind::Endpoints);
        let other = Told::Version("other".to_owned());
        let table = [
            (clusters, Told::Nothing, true, Standing::Pending, Say::Later),
            (clusters, other.clone(), false, Standing::Pending, Say::Later),
            (clusters, Told::Nothing, true, Standing::Absent, Say::Removed),
            (clusters, Told::Removed, false, Standing::Absent, Say::Nothing),
            (clusters, Told::Removed, true, Standing::Absent, Say::Removed),
            (clusters, other.clone(), false, Standing::Absent, Say::Removed),
            (clusters, Told::Nothing, true, early.clone(), Say::This(cluster.clone())),
            (clusters, Told::Removed, false, early.clone(), Say::This(cluster.clone())),
            (clusters, other.clone(), false, present.clone(), Say::This(cluster.clone())),
            (clusters, had(&cluster), false, present.clone(), Say::Nothing),
            (clusters, had(&cluster), true, present.clone(), Say::This(cluster.clone())),
            (eds, Told::Nothing, true, early, Say::Later),
            (eds, Told::Nothing, true, present.clone(), Say::This(endpoints.clone())),
            (eds, had(&endpoints), false, present, Say::Nothing),
            (eds, Told::Nothing, true, kept.clone(), empty),
            (eds, had(&endpoints), false, kept.clone(), Say::Later),
            (eds, had(&endpoints), true, kept, Say::Later),
        ];
        for (kind, told, owed, standing, expected) in table {
            let case = format!("{kind:?} {told:?} {owed} {standing:?}");
            assert_eq!(say(kind, &told, owed, standing), expected, "{case}");
        }
    }
}

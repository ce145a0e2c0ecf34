//! Verdicts: the allow list first, then discovery, then the allow list again.
//!
//! ```text
//!  request ─► allowed? ─no─► denied, and DNS never hears of the domain
//!                │yes
//!                ▼
//!             cache ──miss──► one discovery, however many wait for it ◄── refresher (listed domains)
//!                │
//!                ▼
//!             still allowed? ─► verdict, with what remains of the answer's life
//!
//!  allow list ──every change──┬─► feed ─► pages for the filters
//!  cache ───────every lookup──┴─► xDS ─► clusters for Envoy
//! ```

mod binding;
mod cache;
mod feed;
mod history;
mod known;
mod outage;
pub(crate) mod refresher;
mod room;
pub(crate) mod schedule;
mod standing;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fedgate_allow_list::{AllowList, Change, Terms, terms};
use fedgate_discovery::{Discover, Discovered, Proof, Resolve};
use fedgate_policy::{Asker, Domain, FailureLabel, FeedPage, Speaker, Verdict};

use binding::Binding;
use cache::Cache;
use feed::Feed;
use watch::{Observed, Watch};

use crate::telemetry;

pub(crate) use feed::{Said, Told, are_alike};
pub(crate) use known::Known;
pub(crate) use standing::{Attempt, Standing, State};
pub(crate) use watch::DnsTrouble;

/// How long whoever asks waits for a lookup, whatever `discovery.timeout` is; it goes on for later ones.
///
/// Below the 5 seconds for which the filter waits for a verdict, and Envoy for a cluster, so that the
/// trouble is told by whoever knows it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// How long a denial holds, in milliseconds: short, because adding the domain ends it.
const DENIAL_TTL_MS: u64 = 1000;
/// How long it holds that a lookup takes too long: short, because it may end any moment.
const LATE_TTL_MS: u64 = 1000;

/// Gives verdicts.
#[derive(Clone)]
pub(crate) struct Verdicts {
    list: AllowList,
    cache: Arc<Cache>,
    feed: Arc<Feed>,
    watch: Arc<Watch>,
}

/// What the list says of a domain that is allowed.
struct Listing {
    is_listed: bool,
    proof: Proof,
    /// The terms, where they are not plain.
    binding: Option<Binding>,
}

/// Strategy or list do not allow a domain.
struct Denied {
    /// Whether that is what its entry says.
    is_blocked: bool,
}

// === impl Verdicts ===

impl Verdicts {
    /// Verdicts on `list`, by `discovery`. `epoch` is a random number, by which the feed knows its
    /// own cursors from those of a process before it; `store` names where the list is kept. Filters are
    /// told both.
    pub(crate) fn new(list: AllowList, discovery: Arc<dyn Discover>, epoch: u64, store: &str) -> Self {
        let feed = Feed::of(&list, epoch, &discovery.basis(), store);
        let watch = Arc::new(Watch::new(discovery.servers()));
        let cache = Arc::new(Cache::new(discovery, feed.clone(), watch.clone()));
        Self { list, cache, feed, watch }
    }

    /// Takes in what was found of a listed domain at an earlier time, that long ago. It holds until its
    /// end, but the refresher looks the domain up anew.
    pub(crate) async fn recall(&self, domain: Domain, found: Discovered, age: Duration) {
        self.cache.recall(domain, found, age).await;
    }

    /// Takes in what another control plane of our store found of a listed domain, that long ago.
    pub(crate) async fn share(&self, domain: Domain, found: Discovered, age: Duration) {
        self.cache.share(domain, found, age).await;
    }

    /// What others found has been taken in, up to that revision of the store; the last of it so long ago.
    pub(crate) fn mark(&self, heard: i64, age: Duration) {
        let now = Instant::now();
        self.feed.mark(heard, now.checked_sub(age).unwrap_or(now));
    }

    /// How old the list may be, where others write to it.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.list.age()
    }

    /// What the listed domains' verdicts have become since `cursor`. Where nothing is new, that is
    /// waited for.
    pub(crate) async fn changes(&self, cursor: &str, wait: Duration) -> FeedPage {
        self.feed.page(cursor, wait).await
    }

    /// Who gives these verdicts, as filters are told.
    pub(crate) fn speaker(&self) -> &Speaker {
        self.feed.speaker()
    }

    /// Lets nobody wait for changes any more.
    pub(crate) fn end_waiting(&self) {
        self.feed.end();
    }

    /// The verdict on a domain, looked up on somebody's behalf where it is allowed and not known; in time
    /// ([`PATIENCE`]).
    pub(crate) async fn verdict(&self, domain: Domain, asker: Asker) -> Verdict {
        match tokio::time::timeout(PATIENCE, self.allowed(&domain, asker, None)).await {
            Ok(Ok((known, binding))) => said(domain, &known, binding.as_ref()),
            Ok(Err(denied)) => denied.verdict(domain),
            Err(_) if !self.list.lists(&domain) && self.cache.is_crowded(&domain) => crowded(domain),
            Err(_) => late(domain),
        }
    }

    /// What a new lookup of an allowed domain comes to; none where it is not allowed.
    ///
    /// An answer that has not ended outlives a lookup that fails transiently.
    pub(crate) async fn refresh(&self, domain: &Domain) -> Option<Attempt> {
        let (known, binding) = self.allowed(domain, Asker::Ours, Some(Instant::now())).await.ok()?;
        Some(Attempt::new(&known, said(domain.clone(), &known, binding.as_ref())))
    }

    /// The verdict as far as it is known; nothing is looked up.
    pub(crate) async fn known(&self, domain: Domain) -> Option<Verdict> {
        match self.ruling(&domain) {
            Err(denied) => Some(denied.verdict(domain)),
            Ok(Listing { is_listed, binding, .. }) => {
                let known = self.cache.peek(&domain, is_listed).await?;
                Some(said(domain, &known, binding.as_ref()))
            }
        }
    }

    /// What DNS said of an allowed domain, before terms are applied, as far as it is known; nothing is looked up.
    pub(crate) async fn found(&self, domain: &Domain) -> Option<Arc<Known>> {
        let Listing { is_listed, .. } = self.ruling(domain).ok()?;
        self.cache.peek(domain, is_listed).await
    }

    /// Who is asked, for people.
    pub(crate) fn servers(&self) -> &str {
        self.watch.servers()
    }

    /// What filters are told of a domain.
    pub(crate) fn told(&self, domain: &Domain) -> Told {
        self.feed.told(domain)
    }

    /// How it stands with the lookups of a listed domain; nothing is looked up.
    pub(crate) async fn standing(&self, domain: &Domain) -> Standing {
        Standing { known: self.cache.peek(domain, true).await, history: self.watch.history(domain) }
    }

    /// The trouble of DNS as a whole, if there is any.
    pub(crate) fn dns(&self) -> Option<DnsTrouble> {
        self.watch.dns()
    }

    /// What is kept, and what filters were told.
    pub(crate) async fn facts(&self) -> (telemetry::Cache, telemetry::Feed) {
        (self.cache.facts().await, self.feed.facts())
    }

    /// Lookups of addresses that are seen as well.
    pub(crate) fn observe(&self, resolve: Arc<dyn Resolve>) -> Arc<dyn Resolve> {
        Arc::new(Observed { resolve, watch: self.watch.clone() })
    }

    /// What is known of an allowed domain, for connections to it; looked up where nothing is, or
    /// nothing that was tried `since` then. None where the domain is not allowed.
    pub(crate) async fn known_when_allowed(
        &self,
        domain: &Domain,
        since: Option<Instant>,
    ) -> Option<Arc<Known>> {
        let (known, binding) = self.allowed(domain, Asker::Ours, since).await.ok()?;
        Some(binding.map_or(known.clone(), |binding| Arc::new(binding.for_calls(&known))))
    }

    async fn allowed(
        &self,
        domain: &Domain,
        asker: Asker,
        since: Option<Instant>,
    ) -> Result<(Arc<Known>, Option<Binding>), Denied> {
        let Listing { is_listed, proof, .. } = self.ruling(domain)?;
        let known = self.cache.fetch(domain, is_listed, asker, proof, since).await;
        // It may have been removed while we waited, or be listed on other terms.
        Ok((known, self.ruling(domain)?.binding))
    }

    /// What strategy and list say of a domain at this moment.
    fn ruling(&self, domain: &Domain) -> Result<Listing, Denied> {
        self.list.look(|state| {
            let entry = state.in_force(domain);
            if !state.allows(domain) {
                let is_blocked = entry.is_some_and(|entry| !entry.allows());
                return Err(Denied { is_blocked });
            }
            let terms = entry.map(|entry| &entry.terms);
            Ok(Listing {
                is_listed: entry.is_some(),
                proof: terms.map_or(Proof::AsSet, |terms| proof(terms)),
                binding: terms.and_then(|it| Binding::of(it, Instant::now(), SystemTime::now())),
            })
        })
    }

    /// Whether strategy and list allow this domain.
    pub(crate) fn allows(&self, domain: &Domain) -> bool {
        self.list.allows(domain)
    }

    /// Whether a domain is listed, so that the refresher looks it up ahead of time.
    pub(crate) fn lists(&self, domain: &Domain) -> bool {
        self.list.lists(domain)
    }

    /// Tells `follower` of whatever may change what is said of a domain: its place on the list, or a
    /// lookup; or of all domains, by none, where the strategy has changed. It does not block, nor ask
    /// us, and is kept for ever.
    pub(crate) fn follow(&self, follower: impl Fn(Option<&Domain>) + Send + Sync + 'static) {
        let follower = Arc::new(follower);
        let told_of_lookups = follower.clone();
        self.cache.follow(move |domain| told_of_lookups(Some(domain)));
        let told_of_changes = move |change: &Change| {
            match change {
                Change::Put(domain, _) | Change::Remove(domain, _) | Change::Lapse(domain) => {
                    follower(Some(domain));
                }
                Change::Strategy(..) => follower(None),
                Change::Token(_) | Change::Revoke(..) | Change::Seal(..) => {}
            }
            true
        };
        self.list.follow(|_| (), told_of_changes);
    }
}

// === impl Denied ===

impl Denied {
    fn verdict(self, domain: Domain) -> Verdict {
        if self.is_blocked {
            Verdict::blocked(domain, DENIAL_TTL_MS)
        } else {
            Verdict::denied(domain, DENIAL_TTL_MS)
        }
    }
}

/// Whether a lookup on these terms has to be proven.
fn proof(terms: &Terms) -> Proof {
    match terms.dnssec {
        terms::Proof::Inherit => Proof::AsSet,
        terms::Proof::Require => Proof::Required,
    }
}

/// The verdict on a domain of which this is known, on these terms.
fn said(domain: Domain, known: &Known, binding: Option<&Binding>) -> Verdict {
    let now = Instant::now();
    match binding {
        Some(binding) => binding.verdict(domain, known, now),
        None => known.verdict(domain, now),
    }
}

/// The verdict on a domain whose lookup takes longer than anybody waits.
fn late(domain: Domain) -> Verdict {
    let seconds = PATIENCE.as_secs();
    let cause = format!("no answer after {seconds} s; it is still being asked");
    unanswered(domain, &cause, LATE_TTL_MS)
}

/// The verdict on a domain that could not be asked about, for the one who asked, and for nobody else.
fn crowded(domain: Domain) -> Verdict {
    let cause = "not asked: whoever wants to know has too many lookups of unlisted domains under way; \
                 try again later";
    unanswered(domain, cause, 0)
}

fn unanswered(domain: Domain, cause: &str, ttl_ms: u64) -> Verdict {
    let message = format!("DNS error: _wire-server-federator._tcp.{domain}: {cause}");
    Verdict::failed(domain, FailureLabel::DiscoveryFailure, message, ttl_ms)
}

#[cfg(test)]
pub(crate) mod tests;

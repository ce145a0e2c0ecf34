//! What discovery found, for as long as it lives; and never two lookups of one domain at a time.
//!
//! Listed domains and others are kept apart. The operator bounds the number of the former, so they
//! are never evicted; the latter, which anybody can make up under `allowAll`, are bounded in bytes
//! and in lookups under way ([`room`](super::room)), so that a flood of them can push out only its own kind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use fedgate_discovery::{Discover, Discovered, Proof};
use fedgate_policy::{Asker, Domain, Outcome};
use moka::Expiry;
use moka::notification::RemovalCause;
use tokio::sync::mpsc;

use super::feed::Feed;
use super::known::Known;
use super::room::Room;
use super::watch::Watch;
use crate::{telemetry, traces};

/// Bytes, roughly, that answers on unlisted domains may take: 100,000 of them and more, as they are.
const UNLISTED_BYTES: u64 = 64 << 20;
/// Bytes of an entry besides its names and text.
const ENTRY_BYTES: usize = 460;

/// The answers that have not ended, and the lookups under way.
pub(super) struct Cache {
    listed: Answers,
    unlisted: Answers,
    discovery: Arc<dyn Discover>,
    /// For lookups of unlisted domains.
    room: Arc<Room>,
    /// Hears what is known of listed domains.
    feed: Arc<Feed>,
    /// Sees what lookups come to.
    watch: Arc<Watch>,
    /// Hear of every domain that has been looked up.
    followers: Arc<RwLock<Vec<Follower>>>,
    counts: Arc<Counts>,
    /// What others found, for whoever looks domains up ahead of time.
    tell_shared: mpsc::UnboundedSender<(Domain, Arc<Known>)>,
    shared: Mutex<Option<Shared>>,
}

/// What is counted, since the start.
#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    evicted: AtomicU64,
}

type Follower = Box<dyn Fn(&Domain) + Send + Sync>;

/// What others found, as they find it.
pub(super) type Shared = mpsc::UnboundedReceiver<(Domain, Arc<Known>)>;

type Answers = moka::future::Cache<Domain, Arc<Known>>;

// === impl Cache ===

impl Cache {
    pub(super) fn new(discovery: Arc<dyn Discover>, feed: Arc<Feed>, watch: Arc<Watch>) -> Self {
        let counts = Arc::<Counts>::default();
        let counted = counts.clone();
        // As many as there are listed domains, at most, until the refresher takes them.
        let (tell_shared, shared) = mpsc::unbounded_channel();
        let unlisted = Answers::builder()
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    counted.evicted.fetch_add(1, Ordering::Relaxed);
                }
            })
            .max_capacity(UNLISTED_BYTES)
            .weigher(|domain, known| weigh(domain, known))
            .expire_after(AtItsEnd)
            .build();
        Self {
            listed: Answers::builder().expire_after(AtItsEnd).build(),
            unlisted,
            room: Arc::new(Room::new(discovery.width())),
            discovery,
            feed,
            watch,
            followers: Arc::default(),
            counts,
            tell_shared,
            shared: Mutex::new(Some(shared)),
        }
    }

    /// Tells `follower` of every domain that has been looked up, once that is known.
    pub(super) fn follow(&self, follower: impl Fn(&Domain) + Send + Sync + 'static) {
        self.followers.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(follower));
    }

    /// What is known of a domain, without a lookup.
    pub(super) async fn peek(&self, domain: &Domain, listed: bool) -> Option<Arc<Known>> {
        self.answers(listed).get(domain).await
    }

    /// What is known of a domain; looked up on somebody's behalf if nothing is, or nothing tried `since` then, or
    /// nothing that is proven as it has to be.
    /// Where it is not listed, that may have to wait for room.
    ///
    /// Callers who want the same domain share one lookup. It has a task of its own: it goes on for
    /// the others, and for later ones, if the caller who started it goes away.
    pub(super) async fn fetch(
        &self,
        domain: &Domain,
        listed: bool,
        asker: Asker,
        proof: Proof,
        since: Option<Instant>,
    ) -> Arc<Known> {
        let answers = self.answers(listed);
        if since.is_none()
            && let Some(known) = answers.get(domain).await
            && known.is_enough(proof)
        {
            // It may be news: the lookup may have ended before the domain was listed again.
            if listed {
                self.feed.learn(domain, &known);
            }
            self.counts.hits.fetch_add(1, Ordering::Relaxed);
            return known;
        }
        self.counts.misses.fetch_add(1, Ordering::Relaxed);
        let place = if listed { None } else { Some(self.room.enter(domain, asker).await) };
        let lookup = {
            let (answers, domain) = (answers.clone(), domain.clone());
            let discovery = self.discovery.clone();
            let watch = self.watch.clone();
            async move {
                let found = discovery.discover(&domain, proof).await;
                watch.learn(&domain, listed, &found, Instant::now());
                let before = answers.get(&domain).await;
                Arc::new(Known::after(before.as_deref(), found, proof, Instant::now()))
            }
        };
        let (answers, key) = (answers.clone(), domain.clone());
        let feed = listed.then(|| self.feed.clone());
        let followers = self.followers.clone();
        let outdated = move |known: &Arc<Known>| {
            since.is_some_and(|since| known.tried_at < since) || !known.is_enough(proof)
        };
        let shared = async move {
            let entry = answers.entry(key).or_insert_with_if(lookup, outdated).await;
            drop(place);
            if let Some(feed) = feed {
                feed.learn(entry.key(), entry.value());
            }
            if entry.is_fresh() {
                let followers = followers.read().unwrap_or_else(PoisonError::into_inner);
                followers.iter().for_each(|follower| follower(entry.key()));
            }
            entry.into_value()
        };
        tokio::spawn(traces::carried(shared)).await.unwrap_or_else(|error| {
            tracing::error!(%domain, %error, "lookup broke off");
            let found = Discovered::transient(format!("the lookup of {domain} broke off"));
            Arc::new(Known::after(None, found, proof, Instant::now()))
        })
    }

    /// Takes in what was found of a listed domain at an earlier time.
    pub(super) async fn recall(&self, domain: Domain, found: Discovered, age: Duration) {
        self.take_in(&domain, Known::recalled(found, age, Instant::now())).await;
    }

    /// Takes in what another control plane found of a listed domain, that long ago, unless DNS has told us something
    /// since. Lookups of ours that came to nothing since then say nothing against it.
    pub(super) async fn share(&self, domain: Domain, found: Discovered, age: Duration) {
        let now = Instant::now();
        let mut known = Known::recalled(found, age, now);
        if let Some(before) = self.listed.get(&domain).await {
            if before.stands(now) && before.found_at >= known.found_at {
                return;
            }
            if before.tried_at >= known.tried_at {
                known.tried_at = now;
            }
        }
        let known = self.take_in(&domain, known).await;
        let followers = self.followers.read().unwrap_or_else(PoisonError::into_inner);
        followers.iter().for_each(|follower| follower(&domain));
        drop(followers);
        // Nobody needs it who looks nothing up.
        let _ = self.tell_shared.send((domain, known));
    }

    async fn take_in(&self, domain: &Domain, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        self.watch.recall(domain, known.tried_at);
        self.listed.insert(domain.clone(), known.clone()).await;
        self.feed.learn(domain, &known);
        known
    }

    /// What others found, for the one who looks domains up ahead of time.
    pub(super) fn shared(&self) -> Shared {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
        shared.unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    /// Whether whoever asks about a domain that is not listed still waits for room.
    pub(super) fn is_crowded(&self, domain: &Domain) -> bool {
        !self.room.holds(domain)
    }

    /// Forgets what is known of a domain that is no longer listed.
    pub(super) async fn forget_listed(&self, domain: &Domain) {
        self.listed.invalidate(domain).await;
        self.watch.forget(domain);
    }

    /// How full it is, and of how much use.
    pub(super) async fn facts(&self) -> telemetry::Cache {
        // What is counted lags behind what is there until this.
        self.listed.run_pending_tasks().await;
        self.unlisted.run_pending_tasks().await;
        let Counts { hits, misses, evicted } = &*self.counts;
        let [hits, misses, evicted] = [hits, misses, evicted].map(|count| count.load(Ordering::Relaxed));
        telemetry::Cache {
            listed: self.listed.entry_count(),
            unlisted: self.unlisted.entry_count(),
            unlisted_octets: self.unlisted.weighted_size(),
            hits,
            misses,
            evicted,
        }
    }

    fn answers(&self, listed: bool) -> &Answers {
        if listed { &self.listed } else { &self.unlisted }
    }
}

/// An entry ends when its answer does.
struct AtItsEnd;

impl Expiry<Domain, Arc<Known>> for AtItsEnd {
    fn expire_after_create(&self, _: &Domain, known: &Arc<Known>, now: Instant) -> Option<Duration> {
        Some(known.expires_at.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &Domain,
        known: &Arc<Known>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(known.expires_at.saturating_duration_since(now))
    }
}

/// What an entry takes, roughly, in bytes.
fn weigh(domain: &Domain, known: &Known) -> u32 {
    let names = match &known.outcome {
        Outcome::Hosts(hosts) => hosts.iter().map(|host| host.as_str().len().saturating_add(16)).sum(),
        Outcome::Failure(failure) => failure.message.len(),
    };
    let targets: usize =
        known.targets.iter().map(|target| target.host.as_str().len().saturating_add(24)).sum();
    let trouble = known.trouble.as_ref().map_or(0, |trouble| trouble.message.len());
    let passed_over: usize = known.passed_over.iter().map(|text| text.len().saturating_add(24)).sum();
    let bytes = [domain.as_str().len(), names, targets, trouble, passed_over]
        .into_iter()
        .fold(ENTRY_BYTES, usize::saturating_add);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

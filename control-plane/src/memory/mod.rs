//! What was discovered, for longer than a process lives: so that what DNS said of a listed domain holds
//! until its end, also where we are restarted while no DNS can be reached.
//!
//! ```text
//!  verdicts, xds ──► Remembering ──► discovery            start ──► recall ──► verdicts
//!                        │ found                                       ▲
//!                        ▼                                             │
//!                     Memory ──every second, what is new──► Keep ──────┘
//! ```
//!
//! It holds what DNS *answered* of listed domains, and of the hosts that these point at: no trouble, and
//! nothing that anybody can make up. Of a domain nothing is recalled past the end of its answer's life,
//! nor beyond `discovery.max_ttl`, nor where nobody knows how much time has passed ([`when`]), nor what
//! rests on other settings ([`Discover::basis`]). Addresses may be older than their TTL: they stand while
//! DNS does not say otherwise, as in the process that found them, because TLS proves the host's name.
//!
//! It is a help, never a need: what it cannot read or write is told in the log, and looked up.
//!
//! [`Discover::basis`]: fedgate_discovery::Discover::basis

pub(crate) mod etcd;
mod finding;
mod layer;
pub(crate) mod sqlite;
mod state;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
mod when;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedgate_discovery::{Addresses, Certainty, Discovered, Family};
use fedgate_policy::{Domain, HostName};
use fedgate_store::StoreError;
use tokio::sync::{Notify, mpsc};

use finding::{Kept, Key};
pub(crate) use layer::Remembering;
pub(crate) use state::Recalled;
use state::State;
use when::When;

/// How often what is new is written: what a crash forgets is no older.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait after a write that failed.
const RETRY: Duration = Duration::from_secs(10);
/// How often what has ended is removed.
const SWEEP: Duration = Duration::from_secs(60 * 60);
/// Findings that are written in one go; the allow list's own writes wait for no more.
const BATCH: usize = 1000;

/// What others found, and up to where in the order of the store.
pub(crate) struct Heard {
    pub(crate) findings: Vec<(Key, Kept)>,
    pub(crate) revision: i64,
}

/// What others found before, in the order of the store, and what they find from then on.
pub(crate) struct Watched {
    pub(crate) before: Vec<Heard>,
    pub(crate) news: mpsc::Receiver<Heard>,
}

/// Where findings are kept. Its methods block.
pub(crate) trait Keep: Send {
    /// All that is kept.
    fn recall(&mut self) -> Result<Vec<(Key, Kept)>, StoreError>;
    /// What others find; none where nobody else can.
    fn watch(&mut self) -> Option<Watched> {
        None
    }
    /// Puts findings in the place of earlier ones, or takes them away, where there is none: all of it,
    /// or nothing.
    fn write(&mut self, changes: &[(Key, Option<Kept>)]) -> Result<(), StoreError>;
    /// Takes away what has ended.
    fn sweep(&mut self, now: &When) -> Result<(), StoreError>;
    /// Reckons what was found before this boot by this one's time, as the wall clock has it, and from then on
    /// corrects what that says where it is set.
    fn step(&mut self, now: &When) -> Result<(), StoreError>;
}

/// What was discovered of listed domains.
pub(crate) struct Memory {
    state: Mutex<State>,
    store: Arc<Mutex<Box<dyn Keep>>>,
    lists: Box<dyn Fn(&Domain) -> bool + Send + Sync>,
    failing: AtomicBool,
    /// Whether it is to end.
    ending: Notify,
}

// === impl Memory ===

impl Memory {
    /// What `store` keeps, as far as it rests on `basis`, and for `longest` after it was found at most.
    /// `lists` says which domains are worth it.
    pub(crate) fn new(
        store: Box<dyn Keep>,
        basis: String,
        longest: Duration,
        lists: impl Fn(&Domain) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = Mutex::new(State::new(basis, longest));
        let store = Arc::new(Mutex::new(store));
        let failing = AtomicBool::new(false);
        Arc::new(Self { state, store, lists: Box::new(lists), failing, ending: Notify::new() })
    }

    /// What is known of listed domains from an earlier time, and still holds. Blocks.
    pub(crate) fn recall(&self) -> Vec<Recalled> {
        let now = When::now();
        let rows = {
            let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            // The wall clock may have been set while nobody looked, or the machine was booted.
            if let Err(error) = store.step(&now) {
                tracing::warn!(%error, "what was discovered earlier cannot be put in this boot's time");
            }
            store.recall()
        };
        let rows = rows.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was discovered earlier cannot be read, so all is looked up anew");
            Vec::new()
        });
        let (recalled, corrupt) = self.state().recall(rows, &self.lists, &now);
        if let Some(first) = corrupt.first() {
            tracing::warn!(
                findings = corrupt.len(),
                first,
                "some of what was discovered earlier means nothing to us: it is passed over, and looked up anew"
            );
        }
        tracing::info!(
            domains = recalled.len(),
            "what was discovered earlier, and still holds, is in force"
        );
        recalled
    }

    /// What others find, as they find it; none where nobody else can. Blocks.
    pub(crate) fn watch(&self) -> Option<Watched> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).watch()
    }

    /// What of that counts here.
    pub(crate) fn hear(&self, findings: Vec<(Key, Kept)>) -> Vec<Recalled> {
        self.state().hear(findings, &self.lists, &When::now())
    }

    /// Writes what is new, from time to time, and a last time when it is to [end](Self::end). Whoever aborts it loses
    /// what it is about to write.
    pub(crate) async fn keep(&self) {
        let mut swept = tokio::time::Instant::now();
        let mut before = When::now();
        loop {
            let failing = self.failing.load(Ordering::Relaxed);
            tokio::select! {
                () = tokio::time::sleep(if failing { RETRY } else { INTERVAL }) => self.write().await,
                () = self.ending.notified() => return self.write().await,
            }
            let now = When::now();
            if now.is_after_step(&before) {
                tracing::warn!(
                    "the wall clock was set: nothing here is due by it, but certificates, and the signatures of \
                     DNSSEC, are judged by what it says"
                );
                let now = now.clone();
                self.tell(self.with_store(move |store| store.step(&now)).await);
            }
            before = now;
            if swept.elapsed() > SWEEP {
                swept = tokio::time::Instant::now();
                self.tell(self.with_store(|store| store.sweep(&When::now())).await);
            }
        }
    }

    /// Nothing more will be found.
    pub(crate) fn end(&self) {
        self.ending.notify_one();
    }

    /// Writes what is new.
    async fn write(&self) {
        loop {
            let batch = self.state().take(BATCH);
            if batch.is_empty() {
                return;
            }
            let changes = Arc::new(batch);
            let written = {
                let changes = changes.clone();
                self.with_store(move |store| store.write(&changes)).await
            };
            let failed = written.is_err();
            self.tell(written);
            if failed {
                return self.state().give_back(&changes);
            }
        }
    }

    /// Forgets a domain that is no longer listed.
    pub(crate) fn forget(&self, domain: &Domain) {
        self.state().forget(domain);
    }

    fn found(&self, domain: &Domain, found: &Discovered) {
        if found.certainty == Certainty::Answered && (self.lists)(domain) {
            self.state().found(domain, found, When::now());
        }
    }

    fn resolved(&self, host: &HostName, family: Family, found: &Addresses) {
        if found.trouble.is_none() {
            self.state().resolved(host, family, &found.usable, When::now());
        }
    }

    /// Says that writing fails, or that it does so no longer.
    fn tell(&self, written: Result<(), StoreError>) {
        match (written, self.failing.load(Ordering::Relaxed)) {
            (Err(error), false) => tracing::warn!(
                %error,
                "what is discovered cannot be written to the store: it holds all the same, but a restart \
                 would forget it"
            ),
            (Ok(()), true) => tracing::info!("what is discovered is written to the store again"),
            (Ok(()), false) | (Err(_), true) => return,
        }
        self.failing.fetch_xor(true, Ordering::Relaxed);
    }

    async fn with_store(
        &self,
        act: impl FnOnce(&mut dyn Keep) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let store = self.store.clone();
        let acted = tokio::task::spawn_blocking(move || {
            act(&mut **store.lock().unwrap_or_else(PoisonError::into_inner))
        });
        acted.await.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

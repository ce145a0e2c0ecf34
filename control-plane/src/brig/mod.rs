//! One truth with brig, which keeps a list of the same kind: who is on ours and not on brig's is let in at the
//! border and sees nothing behind it.
//!
//! ```text
//!  push:    allow list ──each change, every 10 s──► diff ──POST, PUT──► brig
//!                                                    ▲ GET      ledger: the rows that we wrote
//!  follow:  allow list ◄──put, remove (by `brig`)── steps ◄──GET, every 10 s── brig
//! ```
//!
//! Brig's API knows no conditions, no removal, and not whose a row is. So we note which rows we wrote, change no
//! others unless told (`overwrite`), and write `no_search` and no team where a domain is off our list.
//!
//! It is a task of its own, which holds no lock while it asks: a brig that is away, slow, or answers nonsense
//! changes nothing in what the border lets pass, and keeps no write waiting.

mod client;
pub(crate) mod etcd;
mod follow;
mod import;
mod ledger;
mod plan;
mod push;
mod report;
mod seen;
pub(crate) mod sqlite;
mod steps;
mod trouble;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedgate_allow_list::{AllowList, Change};
use fedgate_policy::Domain;
use fedgate_store::StoreError;
use tokio::sync::Notify;

pub(crate) use client::{Address, Authorities, innermost};
pub(crate) use import::ImportError;
pub(crate) use ledger::Keep;
use ledger::Written;
use plan::{Claim, Facts, Plan};
pub(crate) use plan::{Difference, Kind};
pub(crate) use report::Report;
use seen::Seen;
use trouble::Trouble;

use crate::contract::Policy;
use crate::traces::{self, Span, SpanKind};

/// From one round to the next, where nothing has changed.
const INTERVAL: Duration = Duration::from_secs(10);
/// Changes that come within this time are one.
const COALESCE: Duration = Duration::from_millis(200);
/// The pause after the first failure, which doubles, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How long it may take until a write of which we did not hear comes to brig all the same.
const UNCERTAIN: Duration = Duration::from_secs(5 * 60);

/// Who is the master of both lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// We are.
    Push,
    /// Brig is.
    Follow,
}

/// How we keep in step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) mode: Mode,
    /// Whether rows of listed domains are ours to change, whoever wrote them.
    pub(crate) overwrite: bool,
}

/// Keeps both lists in step.
#[derive(Clone)]
pub(crate) struct Brig(Arc<Inner>);

struct Inner {
    settings: Settings,
    client: client::Client,
    list: AllowList,
    keep: Mutex<Box<dyn Keep>>,
    known: Mutex<Known>,
    changed: Notify,
    started: Instant,
}

/// What is known of brig.
#[derive(Default)]
struct Known {
    ledger: Arc<BTreeMap<Domain, Written>>,
    /// Its last answer.
    seen: Option<Arc<Seen>>,
    tried: HashMap<Domain, Tried>,
    trouble: Trouble,
    /// Entries whose rows were not in the last answer.
    absent: BTreeSet<Domain>,
    /// How many of so many rows were not, where that is too many to be believed.
    doubt: Option<(usize, usize)>,
}

/// A write, and what came of it.
struct Tried {
    policy: Policy,
    /// How often brig did not take it.
    times: u32,
    at: Instant,
    /// Until when it is not tried again.
    until: Instant,
    cause: String,
}

/// Why brig cannot be kept in step with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// TLS cannot be spoken.
    #[error("brig.url: TLS cannot be spoken: {0}; name the authorities to trust with brig.ca")]
    Tls(String),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl Brig ===

impl Brig {
    /// Reads what we wrote earlier. Blocks.
    pub(crate) fn new(
        settings: Settings,
        list: AllowList,
        mut keep: Box<dyn Keep>,
    ) -> Result<Self, StartError> {
        let client = client::Client::new(&settings.address).map_err(StartError::Tls)?;
        let known = Known { ledger: Arc::new(keep.recall()?), ..Known::default() };
        let brig = Self(Arc::new(Inner {
            settings,
            client,
            list,
            keep: Mutex::new(keep),
            known: Mutex::new(known),
            changed: Notify::new(),
            started: Instant::now(),
        }));
        let waker = Arc::downgrade(&brig.0);
        let wake = move |change: &Change| {
            let Some(inner) = waker.upgrade() else { return false };
            match change {
                Change::Put(..) | Change::Remove(..) | Change::Lapse(_) | Change::Strategy(..) => {
                    inner.changed.notify_one();
                }
                Change::Token(_) | Change::Revoke(..) | Change::Seal(..) => {}
            }
            true
        };
        brig.0.list.follow(|_| (), wake);
        Ok(brig)
    }

    /// Keeps both lists in step, until it is aborted.
    pub(crate) async fn run(&self) {
        let (mut failures, mode) = (0_u32, self.0.settings.mode);
        tracing::info!(url = %self.0.settings.address.url, mode = mode.name(), "kept in step with brig");
        loop {
            let ended = self.round().await;
            self.known().trouble.heard(ended.as_ref().err());
            let Ok(again) = ended else {
                let pause = PAUSES.0.saturating_mul(2_u32.saturating_pow(failures)).min(PAUSES.1);
                failures = failures.saturating_add(1);
                tokio::time::sleep(pause).await;
                continue;
            };
            failures = 0;
            let due = if again { COALESCE } else { INTERVAL };
            let woken = async {
                match mode {
                    Mode::Push => self.0.changed.notified().await,
                    Mode::Follow => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(due) => {}
                () = woken => tokio::time::sleep(COALESCE).await,
            }
        }
    }

    /// One round; whether there is more to do at once. Otherwise why it came to nothing.
    async fn round(&self) -> Result<bool, String> {
        let mode = self.0.settings.mode;
        let span = Span::begin("round with brig", SpanKind::Internal, || {
            vec![traces::text("fedgate.brig.mode", mode)]
        });
        let round = async {
            match mode {
                Mode::Push => push::round(self).await,
                Mode::Follow => follow::round(self).await,
            }
        };
        span.around(round).await.inspect_err(|cause| span.fail(cause))
    }

    /// What differs now, by brig's last answer.
    fn compare(&self) -> Plan {
        let claim = match self.0.settings {
            Settings { mode: Mode::Follow, .. } => Claim::All,
            Settings { overwrite: true, .. } => Claim::Listed,
            Settings { overwrite: false, .. } => Claim::Written,
        };
        let wishes = self.0.list.look(plan::wishes);
        let (now, known) = (Instant::now(), self.known());
        let Some(seen) = known.seen.clone() else { return Plan::default() };
        let held = |domain: &Domain, policy: &Policy| {
            let tried = known.tried.get(domain)?;
            (tried.policy == *policy && now < tried.until).then(|| tried.cause.clone())
        };
        let pending = |domain: &Domain| {
            let last = known.tried.get(domain).map_or(self.0.started, |tried| tried.at);
            now.saturating_duration_since(last) < UNCERTAIN
        };
        let facts = Facts {
            wishes: &wishes,
            seen: &seen,
            ledger: &known.ledger,
            held: &held,
            pending: &pending,
            claim,
        };
        plan::plan(&facts)
    }

    /// Says in the log that there is drift which nobody mends, or that there is none any more.
    fn tell_drift(&self, plan: &Plan) {
        let strategy = self.0.list.strategy().0.name();
        let mut known = self.known();
        let stands = |it: &&Difference| match self.0.settings.mode {
            Mode::Push => it.stands(),
            Mode::Follow => !known.absent.contains(&it.domain),
        };
        let first = plan.drift.iter().find(stands).map(|it| it.domain.as_str());
        let stands = plan.drift.iter().filter(stands).count();
        let theirs = known.seen.as_ref().map(|seen| seen.strategy.clone()).unwrap_or_default();
        known.trouble.differs(stands, first, (strategy, &theirs));
    }

    /// Changes the ledger, in the store first.
    async fn note(
        &self,
        decide: impl FnOnce(&BTreeMap<Domain, Written>) -> Vec<(Domain, Option<Written>)> + Send + 'static,
    ) -> Result<(), StoreError> {
        let brig = self.clone();
        let noted = tokio::task::spawn_blocking(move || {
            let mut keep = brig.0.keep.lock().unwrap_or_else(PoisonError::into_inner);
            let ledger = brig.known().ledger.clone();
            let changes = decide(&ledger);
            drop(ledger);
            if changes.is_empty() {
                return Ok(());
            }
            keep.write(&changes)?;
            let mut known = brig.known();
            let ledger = Arc::make_mut(&mut known.ledger);
            for (domain, written) in changes {
                match written {
                    Some(written) => ledger.insert(domain, written),
                    None => ledger.remove(&domain),
                };
            }
            Ok(())
        });
        noted.await.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Settings ===

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.mode, self.address.url)?;
        if self.overwrite { f.write_str(", overwriting others' rows") } else { Ok(()) }
    }
}

// === impl Mode ===

impl Mode {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Follow => "follow",
        }
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Push, Self::Follow]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or("is neither `push` nor `follow`")
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

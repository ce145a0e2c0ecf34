//! Who may federate with us: the strategy and the listed backend domains; and who may say so.
//!
//! Reads come from memory and never wait. A write goes to the store first, together with the record of
//! who made it, and once that has it safely, into memory; writes follow one another, so that both go
//! through the same states in the same order, and a caller that goes away breaks nothing off. Whoever
//! follows the list is told of each change in that order, before the write returns.
//!
//! Where others write to the store as well, [`AllowList::follow_store`] takes in what they write; a write of ours is
//! decided on all of it, or not done.
//!
//! An entry that comes to its end changes without a write: [`AllowList::keep_time`] sees to it.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod audit;
pub mod etcd;
mod file;
mod outcome;
pub mod schema;
pub mod sqlite;
mod state;
pub mod terms;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tokens;

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};

use fedgate_policy::{Domain, Strategy};
pub use fedgate_store::{Health, StoreError};
use opentelemetry::Context;
use tokio::sync::mpsc;

pub use audit::{Author, Deed, Record};
pub use file::{FILE, Wanted};
pub use outcome::{Access, MAX_NAMED, Outcome, Write};
pub use state::{Change, Condition, Effect, Effects, Entry, Owner, Past, Stamp, State};
pub use terms::{Moment, Terms, TermsError};
pub use tokens::{Role, Token, UnknownRole};

/// How long an end may go unseen if the wall clock is set forward.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How long a store that others write to may be silent before we are of no use to anybody who can ask others.
pub const SILENCE: Duration = Duration::from_secs(5);
/// How long a write waits for what others wrote.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How often a write is decided anew.
const TRIES: usize = 30;

/// Where the list lives. Its methods block.
pub trait Store: Send {
    /// The name by which it is known again, wherever it is; made with it, at random.
    fn identity(&mut self) -> Result<String, StoreError>;
    /// Everything that was ever acknowledged.
    fn load(&mut self) -> Result<State, StoreError>;
    /// What others write, from what was loaded on; none where nobody else can.
    fn watch(&mut self) -> Option<mpsc::Receiver<Told>> {
        None
    }
    /// Keeps changes that were decided on the list's revision `base`, and the records of them: all of it or
    /// nothing; once this returns, they survive a crash. [`StoreError::Overtaken`] where the list is at another
    /// revision by now. Returns what seals the write ([`State::seal`]), where others write as well.
    fn keep(
        &mut self,
        base: i64,
        changes: &[Change],
        records: &[Record],
    ) -> Result<Option<Arc<str>>, StoreError>;
    /// Whether the list is at this revision still; [`StoreError::Overtaken`] where it is not.
    fn confirm(&mut self, base: i64) -> Result<(), StoreError> {
        let _ = base;
        Ok(())
    }
    /// Keeps records of entries that came to their end, unless others have done so.
    fn lapse(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.keep(0, &[], records).map(|_| ())
    }
    /// Records that were kept, each with its number, by which they are ordered.
    fn audit(&mut self, query: &audit::Query) -> Result<Vec<(i64, Record)>, StoreError>;
    /// Deletes some of the records that need not be kept any longer; says how many, 0 being the end.
    fn trim_audit(&mut self, keep: audit::Retention, now: SystemTime) -> Result<usize, StoreError>;
    /// Notes when tokens were last used, by their names.
    fn used(&mut self, tokens: &[(Arc<str>, SystemTime)]) -> Result<(), StoreError>;
    /// All of it, as a value.
    fn whole(&mut self) -> Result<Whole, StoreError>;
    /// Makes an empty store what another one is.
    fn fill(&mut self, whole: &Whole) -> Result<(), StoreError>;
    /// All of it, in a file that has no name.
    fn copy(&mut self) -> Result<File, StoreError>;
    /// Whether the store can be read.
    fn check(&mut self) -> Result<(), StoreError>;
    /// How it stands with it; whether it can be written to is tried.
    fn health(&mut self) -> Health;
    /// Leaves the store tidy.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// All that a store holds of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// See [`Store::identity`].
    pub identity: String,
    /// The list.
    pub state: State,
    /// The records, each with its number.
    pub records: Vec<(i64, Record)>,
}

/// What is heard of a store that others write to.
#[derive(Debug)]
pub enum Told {
    /// What they wrote, in the order of revisions: one write or more, each with its seal.
    Writes(Vec<(Vec<Change>, Arc<str>)>),
    /// All of it, where nobody knows what they wrote.
    All(Box<State>),
    /// Then nothing was newer than what was told before.
    Heard(Instant),
    /// Why that cannot be said.
    Trouble(StoreError),
}

/// Why a write was not done; the list is as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The domain is not listed.
    #[error("{0} is not on the allow list")]
    NotListed(Domain),
    /// The domain stands twice in one request.
    #[error("{0} is named twice")]
    Twice(Domain),
    /// What is to be said of the domain cannot be.
    #[error("{0}: {1}")]
    Terms(Domain, TermsError),
    /// The entry is the file's.
    #[error("{0} is listed by the file `list.file`, which alone changes it: change it there")]
    OfFile(Domain),
    /// There is a token of this name.
    #[error("there is a token named '{0}': revoke it first, or choose another name")]
    TokenExists(Arc<str>),
    /// There is such a token, by another name.
    #[error("the token '{0}' has the same digest")]
    SameToken(Arc<str>),
    /// There is none.
    #[error("there is no token named '{0}' in the store")]
    NoToken(Arc<str>),
    /// The caller's condition does not hold.
    #[error(
        "the condition of If-Match or If-None-Match does not hold: it has changed since you read it"
    )]
    Precondition,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The allow list.
#[derive(Clone)]
pub struct AllowList {
    shown: Arc<RwLock<Shown>>,
    /// None once it is closed.
    store: Arc<Mutex<Option<Box<dyn Store>>>>,
    following: Arc<Following>,
}

/// What is known of a store that others write to.
#[derive(Default)]
struct Following {
    /// What it tells, until somebody follows.
    told: Mutex<Option<mpsc::Receiver<Told>>>,
    /// When nothing was newer than what is in memory; none where nobody else writes.
    heard: Mutex<Option<Instant>>,
    /// Wakes writes that wait for what others wrote.
    moved: Condvar,
}

/// The list in memory, and who follows it: under one lock, so that nobody misses a change, or is told
/// of one that he has seen.
struct Shown {
    state: State,
    /// When which entry comes to its end.
    ends: BTreeSet<(SystemTime, Domain)>,
    followers: Vec<Follower>,
}

/// Takes a change, and says whether it wants the next one. It does not block, nor ask the list.
type Follower = Box<dyn FnMut(&Change) -> bool + Send + Sync>;

// === impl AllowList ===

impl AllowList {
    /// Reads the list from its store, as it stands at this moment. Blocks.
    pub fn open(mut store: Box<dyn Store>, now: SystemTime) -> Result<Self, StoreError> {
        let heard = Instant::now();
        let mut shown = Shown::new(store.load()?);
        for domain in shown.ended(now) {
            shown.apply(Change::Lapse(domain));
        }
        let told = store.watch();
        let heard = Mutex::new(told.is_some().then_some(heard));
        let following = Following { told: Mutex::new(told), heard, moved: Condvar::new() };
        Ok(Self {
            shown: Arc::new(RwLock::new(shown)),
            store: Arc::new(Mutex::new(Some(store))),
            following: Arc::new(following),
        })
    }

    /// Takes in what others write, for as long as the store tells; for ever where nobody else writes.
    pub async fn follow_store(&self) {
        let told = self.following.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut told) = told else { return std::future::pending().await };
        let mut is_troubled = false;
        while let Some(told) = told.recv().await {
            match told {
                Told::Writes(writes) => {
                    let mut shown = self.shown_for_writing();
                    for (changes, seal) in writes {
                        shown.show_write(changes, Some(seal));
                    }
                }
                Told::All(state) => {
                    let mut shown = self.shown_for_writing();
                    for change in shown.state.until(&state) {
                        shown.show(change);
                    }
                }
                Told::Heard(at) => {
                    *self.following.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
                    if std::mem::take(&mut is_troubled) {
                        tracing::info!(
                            "the store answers again: writes are taken, and changes are heard"
                        );
                    }
                    continue;
                }
                Told::Trouble(error) => {
                    if !std::mem::replace(&mut is_troubled, true) {
                        tracing::error!(
                            %error,
                            "the store does not answer: no write is taken, and what others write is not heard; \
                             what is known is served, and filters are told how old it is"
                        );
                    }
                    continue;
                }
            }
            // Under this lock, so that nobody begins to wait in between.
            let _heard = self.following.heard.lock().unwrap_or_else(PoisonError::into_inner);
            self.following.moved.notify_all();
        }
    }

    /// How old what is in memory may be, where others write to the store; nothing where nobody else does.
    pub fn age(&self) -> Option<Duration> {
        let heard = *self.following.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|heard| heard.elapsed())
    }

    /// Waits until memory is past a revision, and says whether it is.
    fn catch_up(&self, base: i64) -> bool {
        let until = Instant::now().checked_add(CATCH_UP);
        let mut heard = self.following.heard.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.shown().state.revision != base {
                return true;
            }
            let left =
                until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let waited = self.following.moved.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether strategy and list allow this domain.
    pub fn allows(&self, domain: &Domain) -> bool {
        self.shown().state.allows(domain)
    }

    /// Whether the domain is listed as one that may federate, whatever the strategy.
    pub fn lists(&self, domain: &Domain) -> bool {
        self.shown().state.lists(domain)
    }

    /// The terms on which a domain is listed, if its entry counts.
    pub fn terms(&self, domain: &Domain) -> Option<Arc<Terms>> {
        self.shown().state.in_force(domain).map(|entry| entry.terms.clone())
    }

    /// The entry of a listed domain, whatever the strategy, and even if it has come to its end.
    pub fn entry(&self, domain: &Domain) -> Option<Entry> {
        self.shown().state.domains.get(domain).cloned()
    }

    /// Up to `limit` entries in alphabetical order, from behind `after`, of those that are `wanted`;
    /// and whether more follow.
    pub fn page(
        &self,
        after: Option<&Domain>,
        limit: usize,
        mut wanted: impl FnMut(&Domain, &Entry) -> bool,
    ) -> (Vec<(Domain, Entry)>, bool) {
        let state = &self.shown().state;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = state.domains.range::<Domain, _>((start, Bound::Unbounded));
        let mut rest = rest.filter(|(domain, entry)| wanted(domain, entry));
        let page =
            rest.by_ref().take(limit).map(|(name, entry)| (name.clone(), entry.clone())).collect();
        (page, rest.next().is_some())
    }

    /// The strategy, and the revision at which it was set.
    pub fn strategy(&self) -> (Strategy, i64) {
        let state = &self.shown().state;
        (state.strategy, state.strategy_revision)
    }

    /// The list's revision.
    pub fn revision(&self) -> i64 {
        self.shown().state.revision
    }

    /// Shows the list as it is, then every later change as it is made, until `follower` wants no more.
    pub fn follow<T>(
        &self,
        start: impl FnOnce(&State) -> T,
        follower: impl FnMut(&Change) -> bool + Send + Sync + 'static,
    ) -> T {
        let mut shown = self.shown_for_writing();
        shown.followers.push(Box::new(follower));
        start(&shown.state)
    }

    /// Shows the list as it is.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.shown().state)
    }

    /// Does a write, or only says what it would come to: the decision is the same.
    pub async fn apply(
        &self,
        write: Write,
        is_dry_run: bool,
        condition: Condition,
        author: Author,
    ) -> Result<Outcome, WriteError> {
        self.write(author, move |state, author| {
            let (outcome, changes) = state.decide(write.clone(), &condition, author)?;
            Ok((outcome, if is_dry_run { Vec::new() } else { changes }))
        })
        .await
    }

    /// Lists a domain, or changes the terms on which it is listed; what is not given stays.
    pub async fn put(
        &self,
        domain: Domain,
        change: terms::Change,
        condition: Condition,
        author: Author,
    ) -> Result<(Entry, Effect), WriteError> {
        self.write(author, move |state, author| {
            let (done, change) = state.put(domain.clone(), change.clone(), &condition, author)?;
            Ok((done, change.into_iter().collect()))
        })
        .await
    }

    /// Lists many domains, or changes their terms: all of them or none. With `prune`, takes all others
    /// off the list.
    pub async fn put_all(
        &self,
        wanted: Vec<(Domain, terms::Change)>,
        prune: bool,
        condition: Condition,
        author: Author,
    ) -> Result<Effects, WriteError> {
        self.write(author, move |state, author| state.put_all(wanted.clone(), prune, &condition, author))
            .await
    }

    /// Takes a domain off the list.
    pub async fn remove(
        &self,
        domain: Domain,
        condition: Condition,
        author: Author,
    ) -> Result<(), WriteError> {
        self.write(author, move |state, _| {
            let (done, change) = state.remove(domain.clone(), &condition)?;
            Ok((done, change.into_iter().collect()))
        })
        .await
    }

    /// From now on, what the file owns is changed by [`AllowList::keep_file`] alone.
    pub fn guard_file(&self) {
        self.shown_for_writing().state.file_is_kept = true;
    }

    /// Brings the list in step with what a file says. Returns what that comes to, and what it leaves as it is; see
    /// [`State::conflicts`].
    pub async fn keep_file(
        &self,
        wanted: Arc<Wanted>,
        at: SystemTime,
    ) -> Result<(Outcome, Vec<Domain>), WriteError> {
        self.write_of_file(wanted, at, State::keep_file).await
    }

    /// Puts those entries of a file that is kept in step with, which were in conflict and are no more. Returns the same.
    pub async fn take_up(
        &self,
        wanted: Arc<Wanted>,
        were: Vec<Domain>,
        at: SystemTime,
    ) -> Result<(Outcome, Vec<Domain>), WriteError> {
        let changes =
            move |state: &State, wanted: &Wanted, author: &Author| state.take_up(wanted, &were, author);
        self.write_of_file(wanted, at, changes).await
    }

    async fn write_of_file(
        &self,
        wanted: Arc<Wanted>,
        at: SystemTime,
        changes: impl Fn(&State, &Wanted, &Author) -> Vec<Change> + Send + Sync + 'static,
    ) -> Result<(Outcome, Vec<Domain>), WriteError> {
        self.write(Author { by: FILE.into(), ..Author::system(at) }, move |state, author| {
            let changes = changes(state, &wanted, author);
            let outcome = state.outcome(wanted.len(), &changes);
            Ok(((outcome, state.conflicts(&wanted)), changes))
        })
        .await
    }

    /// Sets the strategy; returns the revision at which it was set.
    pub async fn set_strategy(
        &self,
        strategy: Strategy,
        condition: Condition,
        author: Author,
    ) -> Result<(i64, Effect), WriteError> {
        self.write(author, move |state, _| {
            let (done, change) = state.set_strategy(strategy, &condition)?;
            Ok((done, change.into_iter().collect()))
        })
        .await
    }

    /// Takes a token in; its revision is given by the list.
    pub async fn make_token(&self, token: Token, author: Author) -> Result<(), WriteError> {
        self.write(author, move |state, _| {
            let (done, change) = state.make_token(token.clone())?;
            Ok((done, change.into_iter().collect()))
        })
        .await
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, name: String, author: Author) -> Result<(), WriteError> {
        self.write(author, move |state, _| {
            let (done, change) = state.revoke_token(&name)?;
            Ok((done, change.into_iter().collect()))
        })
        .await
    }

    /// Writes down what changes nothing.
    pub async fn record(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.with_store(move |store| open(store)?.keep(0, &[], &records)).await.map(|_| ())
    }

    /// What was written down, each with its number.
    pub async fn audit(&self, query: audit::Query) -> Result<Vec<(i64, Record)>, StoreError> {
        self.with_store(move |store| open(store)?.audit(&query)).await
    }

    /// Deletes records that need not be kept any longer; says how many.
    pub async fn trim_audit(
        &self,
        keep: audit::Retention,
        now: SystemTime,
    ) -> Result<usize, StoreError> {
        let mut all = 0_usize;
        // Piece by piece, so that nobody waits for long in between.
        loop {
            match self.with_store(move |store| open(store)?.trim_audit(keep, now)).await? {
                0 => return Ok(all),
                some => all = all.saturating_add(some),
            }
        }
    }

    /// Notes when tokens were last used, by their names.
    pub async fn used(&self, tokens: Vec<(Arc<str>, SystemTime)>) -> Result<(), StoreError> {
        self.with_store(move |store| open(store)?.used(&tokens)).await
    }

    /// Has entries come to their end at their time by the wall clock, for ever. One that has stays so,
    /// even if that clock is set back.
    pub async fn keep_time(&self) {
        loop {
            let now = SystemTime::now();
            let next = self.lapse(now).await;
            let until = next.and_then(|next| next.duration_since(now).ok());
            tokio::time::sleep(until.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)).await;
        }
    }

    /// Ends the entries whose time is over; returns the next such time.
    async fn lapse(&self, now: SystemTime) -> Option<SystemTime> {
        let is_due = |(end, _): &(SystemTime, Domain)| *end <= now;
        if self.shown().ends.first().is_some_and(is_due) {
            let records = self.shown_for_writing().lapse(now);
            for record in &records {
                let domain = record.domain.as_ref().map(Domain::as_str);
                tracing::info!(domain, "an entry has come to its end: it counts as absent");
            }
            if let Err(error) = self.with_store(move |store| open(store)?.lapse(&records)).await {
                tracing::error!(%error, "that an entry came to its end could not be written down");
            }
        }
        self.shown().ends.first().map(|(end, _)| *end)
    }

    /// All of the store, in a file that has no name; that it was made is written down, and in it. Other writes wait
    /// meanwhile.
    pub async fn copy(&self, author: &Author) -> Result<File, StoreError> {
        let record = author.did(Deed::StoreCopied, serde_json::Value::Null);
        self.with_store(move |store| {
            let store = open(store)?;
            store.keep(0, &[], &[record])?;
            store.copy()
        })
        .await
    }

    /// Whether the store can be read.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.with_store(|store| open(store)?.check()).await
    }

    /// How it stands with the store; whether it can be written to is tried.
    pub async fn health(&self) -> Result<Health, StoreError> {
        self.with_store(|store| Ok(open(store)?.health())).await
    }

    /// Closes the store, after the write that is under way. Later writes fail, reads go on.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.with_store(|store| store.take().map_or(Ok(()), Store::close)).await
    }

    /// Decides on the present state, stores the changes, shows them: one write after the other. Where others have
    /// written meanwhile, it is decided anew.
    async fn write<T: Send + 'static>(
        &self,
        author: Author,
        decide: impl Fn(&State, &Author) -> Result<(T, Vec<Change>), WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let list = self.clone();
        self.with_store(move |store| {
            for _ in 0..TRIES {
                let (base, decided, records) = {
                    let state = &list.shown().state;
                    let decided = decide(state, &author);
                    let changes = decided.as_ref().map_or(&[][..], |(_, changes)| changes);
                    let records = changes.iter().filter_map(|it| audit::record(state, it, &author));
                    let records: Vec<_> = records.collect();
                    (state.revision, decided, records)
                };
                let (result, changes) = match decided {
                    Ok((result, changes)) if !changes.is_empty() => (result, changes),
                    // That nothing is to be done is as good as what it was decided on.
                    nothing => match store.as_mut().map_or(Ok(()), |store| store.confirm(base)) {
                        Err(StoreError::Overtaken) if list.catch_up(base) => continue,
                        Err(error) => return Err(error.into()),
                        Ok(()) => return nothing.map(|(result, _)| result),
                    },
                };
                match open(store)?.keep(base, &changes, &records) {
                    Err(StoreError::Overtaken) if list.catch_up(base) => {}
                    Err(error) => return Err(error.into()),
                    Ok(seal) => {
                        list.shown_for_writing().show_write(changes, seal);
                        return Ok(result);
                    }
                }
            }
            Err(StoreError::Overtaken.into())
        })
        .await
    }

    fn shown(&self) -> RwLockReadGuard<'_, Shown> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown_for_writing(&self) -> RwLockWriteGuard<'_, Shown> {
        self.shown.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` where it may block. It runs to its end even if the caller goes away: otherwise a
    /// change could be stored and not shown.
    async fn with_store<T, E>(
        &self,
        act: impl FnOnce(&mut Option<Box<dyn Store>>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::convert::From<StoreError> + Send + 'static,
    {
        let (store, trace) = (self.store.clone(), Context::current());
        tokio::task::spawn_blocking(move || {
            let _trace = trace.attach();
            act(&mut store.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .unwrap_or_else(|error| Err(StoreError::Failed(error.to_string()).into()))
    }
}

fn open(store: &mut Option<Box<dyn Store>>) -> Result<&mut Box<dyn Store>, StoreError> {
    store.as_mut().ok_or_else(|| StoreError::Failed("it is closed".to_owned()))
}

// === impl Shown ===

impl Shown {
    fn new(state: State) -> Self {
        let ends = state.domains.iter().filter_map(|(domain, entry)| end(domain, entry)).collect();
        Self { state, ends, followers: Vec::new() }
    }

    /// Shows a write as a whole, unless that was done before: our own may be told by the store first.
    fn show_write(&mut self, changes: Vec<Change>, seal: Option<Arc<str>>) {
        let revision = changes.iter().rev().find_map(Change::revision);
        if revision.is_some_and(|revision| revision <= self.state.revision) {
            return;
        }
        for change in changes {
            self.show(change);
        }
        if let Some(seal) = seal {
            self.show(Change::Seal(seal, self.state.revision));
        }
    }

    /// Tells all who follow of a change, and makes it.
    fn show(&mut self, change: Change) {
        self.followers.retain_mut(|follower| follower(&change));
        self.apply(change);
    }

    fn apply(&mut self, change: Change) {
        if let Change::Put(domain, _) | Change::Remove(domain, _) | Change::Lapse(domain) = &change
            && let Some((domain, entry)) = self.state.domains.get_key_value(domain)
            && let Some(end) = end(domain, entry)
        {
            self.ends.remove(&end);
        }
        if let Change::Put(domain, entry) = &change
            && let Some(end) = end(domain, entry)
        {
            self.ends.insert(end);
        }
        self.state.apply(change);
    }

    /// Ends the entries whose time is over, and says so.
    fn lapse(&mut self, now: SystemTime) -> Vec<Record> {
        let author = Author::system(now);
        let mut records = Vec::new();
        for domain in self.ended(now) {
            let change = Change::Lapse(domain);
            records.extend(audit::record(&self.state, &change, &author));
            self.show(change);
        }
        records
    }

    fn ended(&self, now: SystemTime) -> Vec<Domain> {
        let over = self.ends.iter().take_while(|(end, _)| *end <= now);
        over.map(|(_, domain)| domain.clone()).collect()
    }
}

/// When an entry that still counts comes to its end.
fn end(domain: &Domain, entry: &Entry) -> Option<(SystemTime, Domain)> {
    let end = entry.terms.expires_at.filter(|_| !entry.lapsed)?;
    Some((end.0, domain.clone()))
}

#[cfg(test)]
mod tests {
    use super::testing::{Nowhere, in_memory, listing, put, us};
    use super::*;

    #[tokio::test]
    async fn a_write_that_the_store_refuses_leaves_the_list_as_it_was() {
        let list = AllowList::open(Box::new(Nowhere { full: true }), SystemTime::now()).unwrap();
        let domain: Domain = "a.com".parse().unwrap();
        let put = list.put(domain.clone(), terms::Change::default(), Condition::None, us()).await;
        assert!(matches!(put, Err(WriteError::Store(StoreError::Full(_)))));
        assert!(!list.allows(&domain));
        assert!(list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.is_err());
        assert_eq!(list.strategy(), (Strategy::AllowDynamic, 0));
    }

    #[tokio::test]
    async fn pages_hold_every_domain_once_and_in_order() {
        let list = listing(&["c.com", "a.com", "d.com", "b.com"]).await;
        let (first, more) = list.page(None, 3, |_, _| true);
        assert!(more);
        let after = first.last().map(|(name, _)| name.clone());
        let (second, more) = list.page(after.as_ref(), 3, |_, _| true);
        assert!(!more);
        let names: Vec<_> = first.iter().chain(&second).map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.com", "b.com", "c.com", "d.com"]);
        assert!(!list.page(None, 4, |_, _| true).1, "a page that ends with the list has no next");
    }

    #[tokio::test]
    async fn a_follower_sees_the_list_then_each_change_in_order_until_it_has_enough() {
        let list = listing(&["a.com"]).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let follower = {
            let seen = seen.clone();
            move |change: &Change| {
                let mut seen = seen.lock().unwrap();
                seen.push(change.clone());
                seen.len() < 2
            }
        };
        assert_eq!(list.follow(|state| state.domains.len(), follower), 1);
        list.remove("a.com".parse().unwrap(), Condition::None, us()).await.unwrap();
        list.set_strategy(Strategy::AllowDynamic, Condition::None, us()).await.unwrap();
        list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.unwrap();
        list.set_strategy(Strategy::AllowNone, Condition::None, us()).await.unwrap();
        let expected =
            [Change::Remove("a.com".parse().unwrap(), 2), Change::Strategy(Strategy::AllowAll, 3)];
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_closed_list_is_read_but_not_written() {
        let list = listing(&["a.com"]).await;
        list.close().await.unwrap();
        let domain: Domain = "a.com".parse().unwrap();
        assert!(list.allows(&domain));
        assert!(list.remove(domain, Condition::None, us()).await.is_err());
        assert!(list.check().await.is_err());
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000 + seconds)
    }

    #[tokio::test]
    async fn an_entry_counts_until_its_last_second_and_is_told_when_it_ends() {
        let list = in_memory();
        put(&list, "a.com", r#"{"expires_at":"2030-01-01T00:00:10Z"}"#).await;
        put(&list, "b.com", r#"{"expires_at":"2030-01-01T00:00:20Z","action":"block"}"#).await;
        put(&list, "c.com", r#"{"expires_at":"2030-01-01T00:00:05Z"}"#).await;
        put(&list, "c.com", r#"{"expires_at":null}"#).await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let follower = move |change: &Change| {
            tell.lock().unwrap().push(change.clone());
            true
        };
        list.follow(|_| (), follower);
        let [a, b, c] = ["a.com", "b.com", "c.com"].map(|name| name.parse::<Domain>().unwrap());
        list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.unwrap();
        told.lock().unwrap().clear();
        assert_eq!(list.lapse(at(9)).await, Some(at(10)));
        assert!(list.lists(&a) && !list.allows(&b) && told.lock().unwrap().is_empty());
        assert_eq!(list.lapse(at(10)).await, Some(at(20)));
        assert!(!list.lists(&a) && list.terms(&a).is_none() && list.entry(&a).unwrap().lapsed);
        assert!(list.allows(&a), "absent, under allowAll");
        assert_eq!(list.lapse(at(30)).await, None);
        assert!(list.allows(&b), "a block ends as well");
        assert!(list.lists(&c));
        assert_eq!(*told.lock().unwrap(), [Change::Lapse(a.clone()), Change::Lapse(b)]);
        // A clock that is set back brings nothing back; an operator does.
        assert_eq!(list.lapse(at(0)).await, None);
        put(&list, "a.com", r#"{"note":"n"}"#).await;
        assert!(!list.lists(&a), "the end is still the same");
        put(&list, "a.com", r#"{"expires_at":"2030-01-01T00:01:00Z"}"#).await;
        assert!(list.lists(&a));
        list.remove(a, Condition::None, us()).await.unwrap();
        assert_eq!(list.lapse(at(99)).await, None);
    }
}

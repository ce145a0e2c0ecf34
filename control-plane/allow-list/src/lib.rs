//! Who may federate with us: the strategy and the listed backend domains.
//!
//! Reads come from memory and never wait. A write goes to the store first and, once that has it
//! safely, into memory; writes follow one another, so that both go through the same states in the
//! same order, and a caller that goes away breaks nothing off. Whoever follows the list is told of
//! each change in that order, before the write returns.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod sqlite;
mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use fedgate_policy::{Domain, Strategy};

pub use fedgate_store::StoreError;
pub use state::{Change, Condition, Effect, Entry, State};

/// Where the list lives. Its methods block.
pub trait Store: Send {
    /// Everything that was ever acknowledged.
    fn load(&mut self) -> Result<State, StoreError>;
    /// Keeps a change, all of it or nothing; once this returns, the change survives a crash.
    fn keep(&mut self, change: &Change) -> Result<(), StoreError>;
    /// Whether the store can be read.
    fn check(&mut self) -> Result<(), StoreError>;
    /// Leaves the store tidy.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Why a write was not done; the list is as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The domain is not listed.
    #[error("{0} is not on the allow list")]
    NotListed(Domain),
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
}

/// The list in memory, and who follows it: under one lock, so that nobody misses a change, or is told
/// of one that he has seen.
struct Shown {
    state: State,
    followers: Vec<Follower>,
}

/// Takes a change, and says whether it wants the next one. It does not block, nor ask the list.
type Follower = Box<dyn FnMut(&Change) -> bool + Send + Sync>;

// === impl AllowList ===

impl AllowList {
    /// Reads the list from its store. Blocks.
    pub fn open(mut store: Box<dyn Store>) -> Result<Self, StoreError> {
        let shown = Shown { state: store.load()?, followers: Vec::new() };
        Ok(Self { shown: Arc::new(RwLock::new(shown)), store: Arc::new(Mutex::new(Some(store))) })
    }

    /// Whether strategy and list allow this domain.
    pub fn allows(&self, domain: &Domain) -> bool {
        self.shown().state.allows(domain)
    }

    /// Whether the domain is listed, whatever the strategy.
    pub fn lists(&self, domain: &Domain) -> bool {
        self.shown().state.domains.contains_key(domain)
    }

    /// The entry of a listed domain, whatever the strategy.
    pub fn entry(&self, domain: &Domain) -> Option<Entry> {
        self.shown().state.domains.get(domain).cloned()
    }

    /// Up to `limit` entries in alphabetical order, from behind `after`; and whether more follow.
    pub fn page(&self, after: Option<&Domain>, limit: usize) -> (Vec<(Domain, Entry)>, bool) {
        let state = &self.shown().state;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = state.domains.range::<Domain, _>((start, Bound::Unbounded));
        let page =
            rest.by_ref().take(limit).map(|(name, entry)| (name.clone(), entry.clone())).collect();
        (page, rest.next().is_some())
    }

    /// The strategy, and the revision at which it was set.
    pub fn strategy(&self) -> (Strategy, i64) {
        let state = &self.shown().state;
        (state.strategy, state.strategy_revision)
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

    /// Lists a domain, or changes its note; without a note, the one that is there stays.
    pub async fn put(
        &self,
        domain: Domain,
        note: Option<String>,
        condition: Condition,
        now: SystemTime,
    ) -> Result<(Entry, Effect), WriteError> {
        self.write(move |state| state.put(domain, note, &condition, now)).await
    }

    /// Takes a domain off the list.
    pub async fn remove(&self, domain: Domain, condition: Condition) -> Result<(), WriteError> {
        self.write(move |state| state.remove(domain, &condition)).await
    }

    /// Sets the strategy; returns the revision at which it was set.
    pub async fn set_strategy(
        &self,
        strategy: Strategy,
        condition: Condition,
    ) -> Result<(i64, Effect), WriteError> {
        self.write(move |state| state.set_strategy(strategy, &condition)).await
    }

    /// Whether the store can be read.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.with_store(|store| open(store)?.check()).await
    }

    /// Closes the store, after the write that is under way. Later writes fail, reads go on.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.with_store(|store| store.take().map_or(Ok(()), Store::close)).await
    }

    /// Decides on the present state, stores the change, shows it: one write after the other.
    async fn write<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&State) -> Result<(T, Option<Change>), WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let list = self.clone();
        self.with_store(move |store| {
            let (result, change) = decide(&list.shown().state)?;
            if let Some(change) = change {
                open(store)?.keep(&change)?;
                let mut shown = list.shown_for_writing();
                shown.followers.retain_mut(|follower| follower(&change));
                shown.state.apply(change);
            }
            Ok(result)
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
        E: From<StoreError> + Send + 'static,
    {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || {
            act(&mut store.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .unwrap_or_else(|error| Err(StoreError::Failed(error.to_string()).into()))
    }
}

fn open(store: &mut Option<Box<dyn Store>>) -> Result<&mut Box<dyn Store>, StoreError> {
    store.as_mut().ok_or_else(|| StoreError::Failed("it is closed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::testing::{Nowhere, listing};
    use super::*;

    #[tokio::test]
    async fn a_write_that_the_store_refuses_leaves_the_list_as_it_was() {
        let list = AllowList::open(Box::new(Nowhere { full: true })).unwrap();
        let domain: Domain = "a.com".parse().unwrap();
        let put = list.put(domain.clone(), None, Condition::None, SystemTime::now()).await;
        assert!(matches!(put, Err(WriteError::Store(StoreError::Full(_)))));
        assert!(!list.allows(&domain));
        assert!(list.set_strategy(Strategy::AllowAll, Condition::None).await.is_err());
        assert_eq!(list.strategy(), (Strategy::AllowDynamic, 0));
    }

    #[tokio::test]
    async fn pages_hold_every_domain_once_and_in_order() {
        let list = listing(&["c.com", "a.com", "d.com", "b.com"]).await;
        let (first, more) = list.page(None, 3);
        assert!(more);
        let after = first.last().map(|(name, _)| name.clone());
        let (second, more) = list.page(after.as_ref(), 3);
        assert!(!more);
        let names: Vec<_> = first.iter().chain(&second).map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.com", "b.com", "c.com", "d.com"]);
        assert!(!list.page(None, 4).1, "a page that ends with the list has no next");
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
        list.remove("a.com".parse().unwrap(), Condition::None).await.unwrap();
        list.set_strategy(Strategy::AllowDynamic, Condition::None).await.unwrap();
        list.set_strategy(Strategy::AllowAll, Condition::None).await.unwrap();
        list.set_strategy(Strategy::AllowNone, Condition::None).await.unwrap();
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
        assert!(list.remove(domain, Condition::None).await.is_err());
        assert!(list.check().await.is_err());
    }
}

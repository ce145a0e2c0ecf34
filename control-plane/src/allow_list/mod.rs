//! Who may federate with us: the strategy and the listed backend domains.
//!
//! Reads come from memory and never wait. A write goes to the store first and, once that has it
//! safely, into memory; writes follow one another, so that both go through the same states in the
//! same order, and a caller that goes away breaks nothing off.

pub(crate) mod sqlite;
mod state;

use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use fedgate_policy::Domain;
use tokio::sync::watch;

pub(crate) use state::{Change, Condition, Effect, Entry, State, Strategy};

/// Where the list lives. Its methods block.
pub(crate) trait Store: Send {
    /// Everything that was ever acknowledged.
    fn load(&mut self) -> Result<State, StoreError>;
    /// Keeps a change, all of it or nothing; once this returns, the change survives a crash.
    fn keep(&mut self, change: &Change) -> Result<(), StoreError>;
    /// Whether the store can be read.
    fn check(&mut self) -> Result<(), StoreError>;
    /// Leaves the store tidy.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Why the store cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// It cannot be opened.
    #[error("cannot open the store {file}: {cause}; {cure}")]
    Open {
        /// Its file.
        file: String,
        /// What is wrong.
        cause: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// A row does not mean anything to us. Passing it over might allow or refuse the wrong domain.
    #[error("the store holds the {what} '{value}', which {reason}; mend it by hand or restore a backup")]
    Row {
        /// The column.
        what: &'static str,
        /// What stands there.
        value: String,
        /// Why that will not do.
        reason: String,
    },
    /// Its disk has no room left.
    #[error("the store's disk is full")]
    Full,
    /// It could not be read or written.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// Why a write was not done; the list is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
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
pub(crate) struct AllowList {
    state: Arc<watch::Sender<State>>,
    /// None once it is closed.
    store: Arc<Mutex<Option<Box<dyn Store>>>>,
}

// === impl AllowList ===

impl AllowList {
    /// Reads the list from its store. Blocks.
    pub(crate) fn open(mut store: Box<dyn Store>) -> Result<Self, StoreError> {
        let state = Arc::new(watch::Sender::new(store.load()?));
        Ok(Self { state, store: Arc::new(Mutex::new(Some(store))) })
    }

    /// Whether strategy and list allow this domain.
    pub(crate) fn allows(&self, domain: &Domain) -> bool {
        self.state.borrow().allows(domain)
    }

    /// Whether the domain is listed, whatever the strategy.
    pub(crate) fn lists(&self, domain: &Domain) -> bool {
        self.state.borrow().domains.contains_key(domain)
    }

    /// The entry of a listed domain, whatever the strategy.
    pub(crate) fn entry(&self, domain: &Domain) -> Option<Entry> {
        self.state.borrow().domains.get(domain).cloned()
    }

    /// Up to `limit` entries in alphabetical order, from behind `after`; and whether more follow.
    pub(crate) fn page(&self, after: Option<&Domain>, limit: usize) -> (Vec<(Domain, Entry)>, bool) {
        let state = self.state.borrow();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = state.domains.range::<Domain, _>((start, Bound::Unbounded));
        let page =
            rest.by_ref().take(limit).map(|(name, entry)| (name.clone(), entry.clone())).collect();
        (page, rest.next().is_some())
    }

    /// The strategy, and the revision at which it was set.
    pub(crate) fn strategy(&self) -> (Strategy, i64) {
        let state = self.state.borrow();
        (state.strategy, state.strategy_revision)
    }

    /// Tells of every change.
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Lists a domain, or changes its note; without a note, the one that is there stays.
    pub(crate) async fn put(
        &self,
        domain: Domain,
        note: Option<String>,
        condition: Condition,
        now: SystemTime,
    ) -> Result<(Entry, Effect), WriteError> {
        self.write(move |state| state.put(domain, note, &condition, now)).await
    }

    /// Takes a domain off the list.
    pub(crate) async fn remove(&self, domain: Domain, condition: Condition) -> Result<(), WriteError> {
        self.write(move |state| state.remove(domain, &condition)).await
    }

    /// Sets the strategy; returns the revision at which it was set.
    pub(crate) async fn set_strategy(
        &self,
        strategy: Strategy,
        condition: Condition,
    ) -> Result<(i64, Effect), WriteError> {
        self.write(move |state| state.set_strategy(strategy, &condition)).await
    }

    /// Whether the store can be read.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        self.with_store(|store| open(store)?.check()).await
    }

    /// Closes the store, after the write that is under way. Later writes fail, reads go on.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        self.with_store(|store| store.take().map_or(Ok(()), Store::close)).await
    }

    /// Decides on the present state, stores the change, shows it: one write after the other.
    async fn write<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&State) -> Result<(T, Option<Change>), WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let state = self.state.clone();
        self.with_store(move |store| {
            let (result, change) = decide(&state.borrow())?;
            if let Some(change) = change {
                open(store)?.keep(&change)?;
                state.send_modify(|state| state.apply(change));
            }
            Ok(result)
        })
        .await
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
pub(crate) mod tests {
    use super::*;

    /// A store that keeps nothing, and refuses to keep anything where it is `full`.
    pub(crate) struct Nowhere {
        pub(crate) full: bool,
    }

    impl Store for Nowhere {
        fn load(&mut self) -> Result<State, StoreError> {
            Ok(State::default())
        }
        fn keep(&mut self, _: &Change) -> Result<(), StoreError> {
            if self.full { Err(StoreError::Full) } else { Ok(()) }
        }
        fn check(&mut self) -> Result<(), StoreError> {
            if self.full { Err(StoreError::Full) } else { Ok(()) }
        }
        fn close(self: Box<Self>) -> Result<(), StoreError> {
            Ok(())
        }
    }

    pub(crate) fn in_memory() -> AllowList {
        AllowList::open(Box::new(Nowhere { full: false })).unwrap()
    }

    pub(crate) async fn listing(names: &[&str]) -> AllowList {
        let list = in_memory();
        for name in names {
            let put = list.put(name.parse().unwrap(), None, Condition::None, SystemTime::now());
            put.await.unwrap();
        }
        list
    }

    #[tokio::test]
    async fn a_write_that_the_store_refuses_leaves_the_list_as_it_was() {
        let list = AllowList::open(Box::new(Nowhere { full: true })).unwrap();
        let domain: Domain = "a.com".parse().unwrap();
        let put = list.put(domain.clone(), None, Condition::None, SystemTime::now()).await;
        assert!(matches!(put, Err(WriteError::Store(StoreError::Full))));
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
    async fn a_closed_list_is_read_but_not_written() {
        let list = listing(&["a.com"]).await;
        list.close().await.unwrap();
        let domain: Domain = "a.com".parse().unwrap();
        assert!(list.allows(&domain));
        assert!(list.remove(domain, Condition::None).await.is_err());
        assert!(list.check().await.is_err());
    }
}

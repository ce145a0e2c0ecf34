//! Lists for tests, which are kept nowhere.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "for tests")]

use std::time::SystemTime;

use fedgate_store::StoreError;

use crate::{AllowList, Change, Condition, State, Store};

/// A store that keeps nothing, and refuses to keep anything where it is `full`.
pub struct Nowhere {
    pub full: bool,
}

impl Store for Nowhere {
    fn load(&mut self) -> Result<State, StoreError> {
        Ok(State::default())
    }
    fn keep(&mut self, _: &Change) -> Result<(), StoreError> {
        if self.full { Err(StoreError::Full(None)) } else { Ok(()) }
    }
    fn check(&mut self) -> Result<(), StoreError> {
        if self.full { Err(StoreError::Full(None)) } else { Ok(()) }
    }
    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

pub fn in_memory() -> AllowList {
    AllowList::open(Box::new(Nowhere { full: false })).unwrap()
}

pub async fn listing(names: &[&str]) -> AllowList {
    let list = in_memory();
    for name in names {
        let put = list.put(name.parse().unwrap(), None, Condition::None, SystemTime::now());
        put.await.unwrap();
    }
    list
}

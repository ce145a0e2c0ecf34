//! Lists for tests, which are kept nowhere.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "for tests")]

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use fedgate_store::{Health, StoreError};

use crate::audit::{Query, Retention};
use crate::{AllowList, Author, Change, Condition, Record, State, Store, Whole, terms};

/// A store that keeps nothing, and refuses to keep anything where it is `full`.
pub struct Nowhere {
    pub full: bool,
}

impl Store for Nowhere {
    fn identity(&mut self) -> Result<String, StoreError> {
        Ok("nowhere".to_owned())
    }
    fn load(&mut self) -> Result<State, StoreError> {
        Ok(State::default())
    }
    fn keep(&mut self, _: i64, _: &[Change], _: &[Record]) -> Result<Option<Arc<str>>, StoreError> {
        self.check().map(|()| None)
    }
    fn audit(&mut self, _: &Query) -> Result<Vec<(i64, Record)>, StoreError> {
        Ok(Vec::new())
    }
    fn trim_audit(&mut self, _: Retention, _: SystemTime) -> Result<usize, StoreError> {
        Ok(0)
    }
    fn used(&mut self, _: &[(Arc<str>, SystemTime)]) -> Result<(), StoreError> {
        self.check()
    }
    fn whole(&mut self) -> Result<Whole, StoreError> {
        Err(StoreError::Failed("it is kept nowhere".to_owned()))
    }
    fn fill(&mut self, _: &Whole) -> Result<(), StoreError> {
        Err(StoreError::Failed("it is kept nowhere".to_owned()))
    }
    fn copy(&mut self) -> Result<File, StoreError> {
        Err(StoreError::Failed("it is kept nowhere".to_owned()))
    }
    fn check(&mut self) -> Result<(), StoreError> {
        if self.full { Err(StoreError::Full(None)) } else { Ok(()) }
    }
    fn health(&mut self) -> Health {
        Health { place: "nowhere".to_owned(), octets: 0, schema: 0, trouble: self.check().err() }
    }
    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

pub fn in_memory() -> AllowList {
    AllowList::open(Box::new(Nowhere { full: false }), SystemTime::now()).unwrap()
}

pub async fn listing(names: &[&str]) -> AllowList {
    let list = in_memory();
    for name in names {
        put(&list, name, "{}").await;
    }
    list
}

/// Puts a domain on the list, on terms that are given as JSON.
pub async fn put(list: &AllowList, name: &str, terms: &str) {
    let terms: terms::Change = serde_json::from_str(terms).unwrap();
    list.put(name.parse().unwrap(), terms, Condition::None, us()).await.unwrap();
}

/// Somebody who changes lists, now.
pub fn us() -> Author {
    Author::system(SystemTime::now())
}

//! Where things are kept that are to outlast us: the choice of the store, which nobody above needs to know.

use std::path::Path;

use fedgate_allow_list::Store;
use fedgate_allow_list::etcd::EtcdList;
use fedgate_allow_list::sqlite::Sqlite;
use fedgate_store::StoreError;
use fedgate_store::etcd::Etcd;
use fedgate_store::sqlite::Database;

use crate::config::{StorePlace, StoreUrl};
use crate::{brig, memory};

/// A store that is open.
#[derive(Clone)]
pub(crate) enum Backend {
    /// A file, which is ours alone.
    Sqlite(Database),
    /// A cluster, which others use as well.
    Etcd(Etcd),
}

// === impl Backend ===

impl Backend {
    /// Opens a store, or makes it. Blocks, inside a runtime.
    pub(crate) fn open(place: &StorePlace) -> Result<Self, StoreError> {
        match &place.url {
            StoreUrl::Sqlite(path) => Database::open(path).map(Self::Sqlite),
            StoreUrl::Etcd(cluster) => Ok(Self::Etcd(Etcd::new(cluster.clone(), place.access.clone()))),
        }
    }

    /// What hinders a store from being kept there, as far as that shows without opening it. Blocks.
    pub(crate) fn look(place: &StorePlace) -> Result<(), StoreError> {
        match &place.url {
            StoreUrl::Sqlite(path) => Database::look(path),
            // It need not run yet.
            StoreUrl::Etcd(_) => place.access.look(),
        }
    }

    /// The part of the allow list.
    pub(crate) fn list(&self) -> Box<dyn Store> {
        match self {
            Self::Sqlite(database) => Box::new(Sqlite(database.clone())),
            Self::Etcd(etcd) => Box::new(EtcdList::new(etcd.clone())),
        }
    }

    /// The part of what was discovered.
    pub(crate) fn findings(&self) -> Box<dyn memory::Keep> {
        match self {
            Self::Sqlite(database) => Box::new(memory::sqlite::Sqlite(database.clone())),
            Self::Etcd(etcd) => Box::new(memory::etcd::EtcdFindings::new(etcd.clone())),
        }
    }

    /// The part of the rows of brig's that we wrote.
    pub(crate) fn rows(&self) -> Box<dyn brig::Keep> {
        match self {
            Self::Sqlite(database) => Box::new(brig::sqlite::Sqlite(database.clone())),
            Self::Etcd(etcd) => Box::new(brig::etcd::EtcdRows(etcd.clone())),
        }
    }
}

/// Where a store is, for people.
pub(crate) fn display(url: &StoreUrl) -> String {
    match url {
        StoreUrl::Sqlite(path) => absolute(path),
        StoreUrl::Etcd(place) => place.to_string(),
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

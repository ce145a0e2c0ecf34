//! Where things are kept that are to outlast us: the allow list, and what discovery found. In one file of
//! `SQLite`, which is ours alone; or in etcd, which several of us share.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod backup;
pub mod etcd;
pub mod rights;
pub mod sqlite;

/// Why the store cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("cannot open the store {file}: {cause}; {cure}")]
    Open {
        /// Its file.
        file: String,
        /// What is wrong.
        cause: String,
        /// What to do about it.
        cure: String,
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
    #[error("the store's disk is full{}", .0.as_ref().map(|file| format!(": there is no room for {file}")).unwrap_or_default())]
    Full(Option<String>),
    /// It cannot be reached, or has no majority.
    #[error("the store cannot be reached: {place}: {cause}; see that a majority of its members runs")]
    Away {
        /// Where it is.
        place: String,
        /// What the last member that was asked said, or did.
        cause: String,
    },
    /// Others wrote meanwhile, again and again.
    #[error("others write to the store at the same time: nothing was changed; try again")]
    Overtaken,
    /// Nobody knows whether it was written.
    #[error(
        "the store did not answer in time whether it was written: read it, and try again if it was not"
    )]
    Unknown,
    /// It could not be read or written.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// How it stands with a store.
#[derive(Debug)]
pub struct Health {
    /// Where it is.
    pub place: String,
    /// How large it is.
    pub octets: u64,
    /// The version of its schema.
    pub schema: usize,
    /// Why nothing can be written, if so.
    pub trouble: Option<StoreError>,
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full(None);
        }
        Self::Failed(error.to_string())
    }
}

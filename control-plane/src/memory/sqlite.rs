//! The memory's part of the store's file.

use std::time::SystemTime;

use rusqlite::TransactionBehavior;

use super::Keep;
use super::finding::{Kept, Key};
use crate::store::StoreError;
use crate::store::sqlite::{Database, millis, time};

/// Findings, one to a row.
pub(crate) struct Sqlite(pub(crate) Database);

impl Keep for Sqlite {
    fn recall(&mut self) -> Result<Vec<(Key, Kept)>, StoreError> {
        self.0.with(|connection| {
            let mut rows = connection
                .prepare("SELECT kind, name, basis, found_at, ends_at, finding FROM finding")?;
            let rows = rows.query_map([], |row| {
                let key = Key { kind: row.get(0)?, name: row.get(1)? };
                let (found_at, ends_at) = (time(row.get(3)?), time(row.get(4)?));
                Ok((key, Kept { basis: row.get(2)?, found_at, ends_at, finding: row.get(5)? }))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn write(&mut self, changes: &[(Key, Option<Kept>)]) -> Result<(), StoreError> {
        self.0.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut put = transaction
                .prepare_cached("INSERT OR REPLACE INTO finding VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            let mut remove =
                transaction.prepare_cached("DELETE FROM finding WHERE kind = ?1 AND name = ?2")?;
            for (Key { kind, name }, kept) in changes {
                match kept {
                    Some(Kept { basis, found_at, ends_at, finding }) => {
                        let (found_at, ends_at) = (millis(*found_at), millis(*ends_at));
                        put.execute((kind, name, basis, found_at, ends_at, finding))?
                    }
                    None => remove.execute((kind, name))?,
                };
            }
            drop((put, remove));
            Ok(transaction.commit()?)
        })
    }

    fn sweep(&mut self, now: SystemTime) -> Result<(), StoreError> {
        self.0.with(|connection| {
            connection.execute("DELETE FROM finding WHERE ends_at <= ?1", [millis(now)])?;
            Ok(())
        })
    }
}

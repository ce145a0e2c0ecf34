//! The memory's part of the store's file.

use std::time::Duration;

use fedgate_store::StoreError;
use fedgate_store::sqlite::{Database, millis, time};
use rusqlite::TransactionBehavior;

use super::Keep;
use super::finding::{Kept, Key};
use super::when::When;

/// Findings, one to a row.
pub(crate) struct Sqlite(pub(crate) Database);

impl Keep for Sqlite {
    fn recall(&mut self) -> Result<Vec<(Key, Kept)>, StoreError> {
        self.0.with(|connection| {
            let mut rows = connection.prepare(
                "SELECT kind, name, basis, found_at, ends_at, finding, boot, booted_ms FROM finding",
            )?;
            let rows = rows.query_map([], |row| {
                let key = Key { kind: row.get(0)?, name: row.get(1)? };
                let (wall, end) = (time(row.get(3)?), time(row.get(4)?));
                let boot = row.get::<_, String>(6)?.into();
                let found = When { wall, boot, booted_ms: row.get(7)? };
                let life = end.duration_since(wall).unwrap_or_default();
                Ok((key, Kept { basis: row.get(2)?, found, life, finding: row.get(5)? }))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn write(&mut self, changes: &[(Key, Option<Kept>)]) -> Result<(), StoreError> {
        self.0.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut put = transaction.prepare_cached(
                "INSERT OR REPLACE INTO finding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            let mut remove =
                transaction.prepare_cached("DELETE FROM finding WHERE kind = ?1 AND name = ?2")?;
            for (Key { kind, name }, kept) in changes {
                match kept {
                    Some(Kept { basis, found, life, finding }) => {
                        let (found_at, booted) = (millis(found.wall), found.booted_ms);
                        let ends_at = found_at.saturating_add(whole_millis(*life));
                        let boot = &*found.boot;
                        put.execute((kind, name, basis, found_at, ends_at, finding, boot, booted))?
                    }
                    None => remove.execute((kind, name))?,
                };
            }
            drop((put, remove));
            Ok(transaction.commit()?)
        })
    }

    fn sweep(&mut self, now: &When) -> Result<(), StoreError> {
        self.0.with(|connection| {
            connection.execute("DELETE FROM finding WHERE ends_at <= ?1", [millis(now.wall)])?;
            Ok(())
        })
    }

    fn step(&mut self, now: &When) -> Result<(), StoreError> {
        let (boot, wall) = (&*now.boot, millis(now.wall));
        let boot_at = wall.saturating_sub(now.booted_ms);
        self.0.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "UPDATE finding SET boot = ?1, booted_ms = found_at - ?2
                 WHERE boot <> ?1 AND ?1 <> '' AND found_at <= ?3",
                (boot, boot_at, wall),
            )?;
            transaction.execute(
                "UPDATE finding SET found_at = ?2 + booted_ms, ends_at = ?2 + booted_ms + ends_at - found_at
                 WHERE boot = ?1 AND ?1 <> '' AND abs(?2 + booted_ms - found_at) > 1000",
                (boot, boot_at),
            )?;
            Ok(transaction.commit()?)
        })
    }
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

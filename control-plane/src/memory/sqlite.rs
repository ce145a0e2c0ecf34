//! The memory's part of the store's file.

use std::time::Duration;

use rusqlite::TransactionBehavior;

use super::Keep;
use super::finding::{Kept, Key};
use super::when::When;
use crate::store::StoreError;
use crate::store::sqlite::{Database, millis, time};

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
                let found = When { wall, boot, booted: duration(row.get(7)?) };
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
                        let (found_at, booted) = (millis(found.wall), whole_millis(found.booted));
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
        let boot_at = millis(now.boot_by_wall());
        self.0.with(|connection| {
            connection.execute(
                "UPDATE finding SET found_at = ?1 + booted_ms, ends_at = ?1 + booted_ms + ends_at - found_at
                 WHERE boot = ?2 AND boot <> '' AND abs(?1 + booted_ms - found_at) > 1000",
                (boot_at, &*now.boot),
            )?;
            Ok(())
        })
    }
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

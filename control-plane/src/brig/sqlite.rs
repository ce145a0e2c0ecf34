//! The ledger's part of the store's file.

use std::collections::BTreeMap;

use fedgate_policy::Domain;
use fedgate_store::StoreError;
use fedgate_store::sqlite::Database;
use rusqlite::TransactionBehavior;

use super::ledger::{Keep, Written};

/// What we wrote, one row of brig's to a row.
pub(crate) struct Sqlite(pub(crate) Database);

impl Keep for Sqlite {
    fn recall(&mut self) -> Result<BTreeMap<Domain, Written>, StoreError> {
        self.0.with(|connection| {
            let mut rows = connection.prepare("SELECT domain, policy, confirmed FROM brig_row")?;
            let rows = rows.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
            })?;
            let mut ledger = BTreeMap::new();
            for row in rows {
                let (name, policy, confirmed) = row?;
                let (Ok(domain), Ok(policy)) = (name.parse(), serde_json::from_str(&policy)) else {
                    // The border does not hang on it: then the row is not ours, and stays as it is.
                    tracing::error!(name, policy, "a note on a row of brig's means nothing to us");
                    continue;
                };
                ledger.insert(domain, Written { policy, confirmed });
            }
            Ok(ledger)
        })
    }

    fn write(&mut self, changes: &[(Domain, Option<Written>)]) -> Result<(), StoreError> {
        let text = |written: &Written| {
            serde_json::to_string(&written.policy).map_err(|error| StoreError::Failed(error.to_string()))
        };
        self.0.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO brig_row VALUES (?1, ?2, ?3)")?;
            let mut remove = transaction.prepare_cached("DELETE FROM brig_row WHERE domain = ?1")?;
            for (domain, written) in changes {
                match written {
                    Some(written) => {
                        put.execute((domain.as_str(), text(written)?, written.confirmed))?
                    }
                    None => remove.execute([domain.as_str()])?,
                };
            }
            drop((put, remove));
            Ok(transaction.commit()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Policy;

    #[test]
    fn what_was_written_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fedgate.db");
        let [a, b]: [Domain; 2] = ["a.com", "b.com"].map(|name| name.parse().unwrap());
        let written = |policy, confirmed| Some(Written { policy, confirmed });
        let store = Database::open(&path).unwrap();
        let mut keep = Sqlite(store.clone());
        keep.write(&[
            (a.clone(), written(Policy::closed(), false)),
            (b.clone(), written(Policy::default(), true)),
        ])
        .unwrap();
        keep.write(&[(a.clone(), written(Policy::closed(), true)), (b, None)]).unwrap();
        store.close().unwrap();
        let mut keep = Sqlite(Database::open(&path).unwrap());
        let found: Vec<_> = keep.recall().unwrap().into_iter().collect();
        assert_eq!(found, [(a, Written { policy: Policy::closed(), confirmed: true })]);
    }
}

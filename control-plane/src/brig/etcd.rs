//! The ledger's part of a store in etcd.

use std::collections::BTreeMap;

use fedgate_policy::Domain;
use fedgate_store::StoreError;
use fedgate_store::etcd::{Etcd, MAX_OPERATIONS, Operation};
use serde::{Deserialize, Serialize};

use super::ledger::{Keep, Written};
use crate::contract::Policy;

/// What we wrote, one row of brig's to a key.
pub(crate) struct EtcdRows(pub(crate) Etcd);

const ROWS: &str = "brig/";
const END: &str = "brig0";

#[derive(Serialize, Deserialize)]
struct Row {
    policy: Policy,
    confirmed: bool,
}

impl Keep for EtcdRows {
    fn recall(&mut self) -> Result<BTreeMap<Domain, Written>, StoreError> {
        let (items, _) = self.0.wait(self.0.range(ROWS, END, 0))?;
        let mut ledger = BTreeMap::new();
        for item in items {
            let name = item.key.strip_prefix(ROWS).unwrap_or_default();
            let (Ok(domain), Ok(Row { policy, confirmed })) =
                (name.parse(), serde_json::from_slice(&item.value))
            else {
                // The border does not hang on it: then the row is not ours, and stays as it is.
                tracing::error!(name, "a note on a row of brig's means nothing to us");
                continue;
            };
            ledger.insert(domain, Written { policy, confirmed });
        }
        Ok(ledger)
    }

    fn write(&mut self, changes: &[(Domain, Option<Written>)]) -> Result<(), StoreError> {
        let mut operations = Vec::with_capacity(changes.len());
        for (domain, written) in changes {
            let key = format!("{ROWS}{domain}");
            operations.push(match written {
                Some(Written { policy, confirmed }) => {
                    let row = Row { policy: policy.clone(), confirmed: *confirmed };
                    let row = serde_json::to_vec(&row);
                    Operation::Put(key, row.map_err(|error| StoreError::Failed(error.to_string()))?)
                }
                None => Operation::Delete(key),
            });
        }
        self.0.wait(async {
            // Piece by piece: each row is noted before it is written, whichever piece it is in.
            for piece in operations.chunks(MAX_OPERATIONS) {
                self.0.commit(&[], piece).await?;
            }
            Ok(())
        })
    }
}

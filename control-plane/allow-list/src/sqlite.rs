//! The allow list in the store's file.

use fedgate_policy::{Domain, Strategy, UnknownStrategy};
use rusqlite::{Connection, Transaction, TransactionBehavior, named_params};

use super::{Change, Entry, State, Store, StoreError};
use fedgate_store::sqlite::{Database, millis, time};

/// The allow list's part of the file.
pub struct Sqlite(pub Database);

// === impl Sqlite ===

impl Store for Sqlite {
    fn load(&mut self) -> Result<State, StoreError> {
        self.0.with(|connection| load(connection))
    }

    fn keep(&mut self, change: &Change) -> Result<(), StoreError> {
        self.0.with(|connection| keep(connection, change))
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.0
            .with(|connection| Ok(connection.query_row("SELECT revision FROM list", [], |_| Ok(()))?))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.0.close()
    }
}

fn load(connection: &Connection) -> Result<State, StoreError> {
    let (revision, strategy, strategy_revision) =
        connection.query_row("SELECT revision, strategy, strategy_revision FROM list", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })?;
    let strategy = strategy_named(strategy)?;
    let mut state = State { revision, strategy, strategy_revision, ..State::default() };
    let mut rows =
        connection.prepare("SELECT name, note, revision, created_at, updated_at FROM domain")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        // Parsed as a domain is normalised; what is stored has to be so already.
        let domain = Domain::parse(name.as_bytes()).map_err(|reason| StoreError::Row {
            what: "domain",
            value: name.clone(),
            reason: reason.to_string(),
        })?;
        let entry = Entry {
            note: row.get(1)?,
            revision: row.get(2)?,
            created_at: time(row.get(3)?),
            updated_at: time(row.get(4)?),
        };
        if state.domains.insert(domain, entry).is_some() {
            let reason = "stands there twice".to_owned();
            return Err(StoreError::Row { what: "domain", value: name, reason });
        }
    }
    Ok(state)
}

fn keep(connection: &mut Connection, change: &Change) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match change {
        Change::Put(domain, entry) => put(&transaction, domain, entry)?,
        Change::Remove(domain, revision) => {
            transaction.execute("DELETE FROM domain WHERE name = ?1", [domain.as_str()])?;
            transaction.execute("UPDATE list SET revision = ?1", [revision])?;
        }
        Change::Strategy(strategy, revision) => {
            transaction.execute(
                "UPDATE list SET revision = ?1, strategy = ?2, strategy_revision = ?1",
                (revision, strategy.name()),
            )?;
        }
    }
    Ok(transaction.commit()?)
}

fn put(transaction: &Transaction<'_>, domain: &Domain, entry: &Entry) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO domain VALUES (:name, :note, :revision, :created_at, :updated_at)
         ON CONFLICT (name) DO UPDATE
         SET note = :note, revision = :revision, updated_at = :updated_at",
        named_params! {
            ":name": domain.as_str(),
            ":note": entry.note,
            ":revision": entry.revision,
            ":created_at": millis(entry.created_at),
            ":updated_at": millis(entry.updated_at),
        },
    )?;
    transaction.execute("UPDATE list SET revision = ?1", [entry.revision])?;
    Ok(())
}

fn strategy_named(name: String) -> Result<Strategy, StoreError> {
    name.parse().map_err(|reason: UnknownStrategy| StoreError::Row {
        what: "strategy",
        value: name,
        reason: reason.to_string(),
    })
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;

//! The allow list in the store's file.

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use fedgate_policy::{Domain, Strategy};
use fedgate_store::sqlite::{Database, millis, time};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, named_params, params_from_iter};

use crate::audit::{Order, Query, Record, Retention};
use crate::state::{Names, Stamp, shared};
use crate::{Change, Entry, Health, State, Store, StoreError, Token, Whole};

/// How many records one transaction deletes at most: some milliseconds of work.
const TRIMMED: u32 = 1000;

/// The allow list's part of the file.
pub struct Sqlite(pub Database);

// === impl Sqlite ===

impl Store for Sqlite {
    fn identity(&mut self) -> Result<String, StoreError> {
        self.0.identity()
    }

    fn load(&mut self) -> Result<State, StoreError> {
        self.0.with(|connection| load(connection))
    }

    fn keep(
        &mut self,
        _: i64,
        changes: &[Change],
        records: &[Record],
    ) -> Result<Option<Arc<str>>, StoreError> {
        self.0.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            changes.iter().try_for_each(|change| keep(&transaction, change))?;
            records.iter().try_for_each(|record| write_down(&transaction, None, record))?;
            transaction.commit()?;
            Ok(None)
        })
    }

    fn audit(&mut self, query: &Query) -> Result<Vec<(i64, Record)>, StoreError> {
        self.0.with(|connection| audit(connection, query))
    }

    fn trim_audit(&mut self, keep: Retention, now: SystemTime) -> Result<usize, StoreError> {
        let oldest = now.checked_sub(keep.age).map_or(0, millis);
        self.0.with(|connection| {
            Ok(connection.execute(
                "DELETE FROM audit WHERE id IN (
                     SELECT id FROM audit WHERE at < ?1
                     OR id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?2)
                     ORDER BY id LIMIT ?3
                 )",
                (oldest, keep.count, TRIMMED),
            )?)
        })
    }

    fn used(&mut self, tokens: &[(Arc<str>, SystemTime)]) -> Result<(), StoreError> {
        self.0.with(|connection| {
            let transaction = connection.transaction()?;
            for (name, at) in tokens {
                transaction.execute(
                    "UPDATE token SET last_used_at = max(?2, ifnull(last_used_at, 0)) WHERE name = ?1",
                    (name, millis(*at)),
                )?;
            }
            Ok(transaction.commit()?)
        })
    }

    fn whole(&mut self) -> Result<Whole, StoreError> {
        let identity = self.0.identity()?;
        self.0.with(|connection| {
            let state = load(connection)?;
            let records = audit(connection, &Query { limit: 1 << 31, ..Query::default() })?;
            Ok(Whole { identity, state, records })
        })
    }

    fn fill(&mut self, whole: &Whole) -> Result<(), StoreError> {
        self.0.with(|connection| fill(connection, whole))
    }

    fn copy(&mut self) -> Result<File, StoreError> {
        self.0.copy()
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.0
            .with(|connection| Ok(connection.query_row("SELECT revision FROM list", [], |_| Ok(()))?))
    }

    fn health(&mut self) -> Health {
        self.0.health()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.0.close()
    }
}

// === reading ===

fn load(connection: &Connection) -> Result<State, StoreError> {
    let (revision, strategy, strategy_revision) =
        connection.query_row("SELECT revision, strategy, strategy_revision FROM list", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })?;
    let strategy =
        strategy.parse::<Strategy>().map_err(|reason| senseless("strategy", &strategy, &reason))?;
    let mut state = State { revision, strategy, strategy_revision, ..State::default() };
    let mut names = Names::default();
    let mut rows = connection.prepare(
        "SELECT name, terms, revision, created_at, created_by, updated_at, updated_by FROM domain",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        // Parsed as a domain is normalised; what is stored has to be so already.
        let domain =
            Domain::parse(name.as_bytes()).map_err(|reason| senseless("domain", &name, &reason))?;
        let terms: String = row.get(1)?;
        let entry = Entry {
            terms: shared(
                serde_json::from_str(&terms).map_err(|reason| senseless("terms", &terms, &reason))?,
            ),
            revision: row.get(2)?,
            created: Stamp { at: time(row.get(3)?), by: names.of(&row.get::<_, String>(4)?) },
            updated: Stamp { at: time(row.get(5)?), by: names.of(&row.get::<_, String>(6)?) },
            lapsed: false,
        };
        if state.domains.insert(domain, entry).is_some() {
            return Err(senseless("domain", &name, &"stands there twice"));
        }
    }
    let mut rows = connection.prepare(
        "SELECT name, role, sha256, created_at, created_by, expires_at, last_used_at, revision
         FROM token",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let token = token(row)?;
        state.tokens.insert(token.name.clone(), token);
    }
    Ok(state)
}

fn token(row: &Row<'_>) -> Result<Token, StoreError> {
    let role: String = row.get(1)?;
    Ok(Token {
        name: row.get::<_, String>(0)?.into(),
        role: role.parse().map_err(|reason| senseless("role", &role, &reason))?,
        sha256: row.get(2)?,
        created_at: time(row.get(3)?),
        created_by: row.get::<_, String>(4)?.into(),
        expires_at: row.get::<_, Option<i64>>(5)?.map(time),
        last_used_at: row.get::<_, Option<i64>>(6)?.map(time),
        revision: row.get(7)?,
    })
}

fn audit(connection: &Connection, query: &Query) -> Result<Vec<(i64, Record)>, StoreError> {
    let mut conditions = vec!["1".to_owned()];
    let mut values: Vec<Sql> = Vec::new();
    let mut wanted = |condition: &str, value: Option<Sql>| {
        if let Some(value) = value {
            conditions.push(condition.to_owned());
            values.push(value);
        }
    };
    wanted("domain = ?", query.domain.as_ref().map(|domain| Sql::Text(domain.to_string())));
    wanted("by = ?", query.by.clone().map(Sql::Text));
    wanted("at >= ?", query.since.map(|at| Sql::Integer(millis(at))));
    wanted("at < ?", query.until.map(|at| Sql::Integer(millis(at))));
    wanted("id > ?", query.after.map(Sql::Integer));
    wanted("id < ?", query.before.map(Sql::Integer));
    if !query.deeds.is_empty() {
        conditions.push(format!("deed IN (?{})", ", ?".repeat(query.deeds.len().saturating_sub(1))));
        values.extend(query.deeds.iter().map(|deed| Sql::Text(deed.name().to_owned())));
    }
    let order = match query.order {
        Order::Newest => "DESC",
        Order::Oldest => "ASC",
    };
    let conditions = conditions.join(" AND ");
    let mut rows = connection.prepare_cached(&format!(
        "SELECT id, revision, at, by, deed, domain, before, after, request_id FROM audit
         WHERE {conditions} ORDER BY id {order} LIMIT {}",
        query.limit
    ))?;
    let mut rows = rows.query(params_from_iter(values))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push((row.get(0)?, record(row)?));
    }
    Ok(records)
}

fn record(row: &Row<'_>) -> Result<Record, StoreError> {
    let json = |column| -> Result<Option<serde_json::Value>, StoreError> {
        let text: Option<String> = row.get(column)?;
        let read = |text: String| {
            serde_json::from_str(&text).map_err(|reason| senseless("audit", &text, &reason))
        };
        text.map(read).transpose()
    };
    let (deed, domain): (String, Option<String>) = (row.get(4)?, row.get(5)?);
    let parsed = |name: String| {
        Domain::parse(name.as_bytes()).map_err(|reason| senseless("domain", &name, &reason))
    };
    Ok(Record {
        revision: row.get(1)?,
        at: time(row.get(2)?),
        by: row.get::<_, String>(3)?.into(),
        deed: deed.parse().map_err(|reason| senseless("deed", &deed, &reason))?,
        domain: domain.map(parsed).transpose()?,
        before: json(6)?,
        after: json(7)?,
        request_id: row.get::<_, Option<String>>(8)?.map(Into::into),
    })
}

/// A row that means nothing to us.
fn senseless(what: &'static str, value: &str, reason: &dyn ToString) -> StoreError {
    StoreError::Row { what, value: value.to_owned(), reason: reason.to_string() }
}

// === writing ===

fn keep(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    let revision = match change {
        Change::Put(domain, entry) => {
            put(transaction, domain, entry)?;
            entry.revision
        }
        Change::Remove(domain, revision) => {
            let mut delete = transaction.prepare_cached("DELETE FROM domain WHERE name = ?1")?;
            delete.execute([domain.as_str()])?;
            *revision
        }
        Change::Lapse(_) | Change::Seal(..) => return Ok(()),
        Change::Strategy(strategy, revision) => {
            transaction.execute(
                "UPDATE list SET strategy = ?1, strategy_revision = ?2",
                (strategy.name(), revision),
            )?;
            *revision
        }
        Change::Token(token) => {
            transaction.execute(
                "INSERT INTO token VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                (
                    &token.name,
                    token.role.name(),
                    token.sha256,
                    millis(token.created_at),
                    &token.created_by,
                    token.expires_at.map(millis),
                    token.last_used_at.map(millis),
                    token.revision,
                ),
            )?;
            token.revision
        }
        Change::Revoke(name, revision) => {
            transaction.execute("DELETE FROM token WHERE name = ?1", [name])?;
            *revision
        }
    };
    transaction.prepare_cached("UPDATE list SET revision = ?1")?.execute([revision])?;
    Ok(())
}

fn put(transaction: &Transaction<'_>, domain: &Domain, entry: &Entry) -> Result<(), StoreError> {
    let mut upsert = transaction.prepare_cached(
        "INSERT INTO domain (name, terms, revision, created_at, created_by, updated_at, updated_by)
         VALUES (:name, :terms, :revision, :created_at, :created_by, :updated_at, :updated_by)
         ON CONFLICT (name) DO UPDATE
         SET terms = :terms, revision = :revision, updated_at = :updated_at, updated_by = :updated_by",
    )?;
    upsert.execute(named_params! {
        ":name": domain.as_str(),
        ":terms": json(&*entry.terms)?,
        ":revision": entry.revision,
        ":created_at": millis(entry.created.at),
        ":created_by": entry.created.by,
        ":updated_at": millis(entry.updated.at),
        ":updated_by": entry.updated.by,
    })?;
    Ok(())
}

/// Makes an empty file what another store is.
fn fill(connection: &mut Connection, whole: &Whole) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let used: bool = transaction.query_row(
        "SELECT (SELECT revision FROM list) > 0 OR EXISTS (SELECT 1 FROM audit)",
        [],
        |row| row.get(0),
    )?;
    if used {
        return Err(StoreError::Failed("there is a list already".to_owned()));
    }
    let Whole { identity, state, records } = whole;
    for (domain, entry) in &state.domains {
        put(&transaction, domain, entry)?;
    }
    for token in state.tokens.values() {
        keep(&transaction, &Change::Token(token.clone()))?;
    }
    for (number, record) in records {
        write_down(&transaction, Some(*number), record)?;
    }
    transaction.execute(
        "UPDATE list SET revision = ?1, strategy = ?2, strategy_revision = ?3",
        (state.revision, state.strategy.name(), state.strategy_revision),
    )?;
    transaction.execute("UPDATE identity SET name = ?1", [identity])?;
    Ok(transaction.commit()?)
}

/// A store in a file that has no name.
pub(crate) fn file_of(whole: &Whole) -> Result<File, StoreError> {
    Database::unnamed(|database| Sqlite(database).fill(whole))
}

/// Adds a record to those that are there, with its number or the next one.
fn write_down(
    transaction: &Transaction<'_>,
    number: Option<i64>,
    record: &Record,
) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO audit (id, revision, at, by, deed, domain, before, after, request_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    insert.execute((
        number,
        record.revision,
        millis(record.at),
        &record.by,
        record.deed.name(),
        record.domain.as_ref().map(Domain::as_str),
        record.before.as_ref().map(json).transpose()?,
        record.after.as_ref().map(json).transpose()?,
        &record.request_id,
    ))?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(error.to_string()))
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;

//! The allow list in one file of `SQLite`.
//!
//! `synchronous=FULL` with the write-ahead log: a commit returns once it is on the disk.
//! `locking_mode=EXCLUSIVE`: while we run, nobody else opens the file, so memory and file cannot
//! come to differ by a second process or a hand edit.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedgate_policy::{Domain, Strategy, UnknownStrategy};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, named_params};

use super::{Change, Entry, State, Store, StoreError};

/// Marks a file as ours (`PRAGMA application_id`): "fdgt".
const APPLICATION_ID: i32 = 0x6664_6774;

/// One step per version of the schema; a file of version n has had the first n.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE list (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL,
        strategy TEXT NOT NULL,
        strategy_revision INTEGER NOT NULL
    ) STRICT;
    INSERT INTO list VALUES (1, 0, 'allowDynamic', 0);
    CREATE TABLE domain (
        name TEXT PRIMARY KEY,
        note TEXT NOT NULL,
        revision INTEGER NOT NULL,
        created_at INTEGER NOT NULL, -- milliseconds since 1970
        updated_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// How long to wait for a process that is just closing the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// An open file, which nobody else can open.
pub(crate) struct Sqlite {
    connection: Connection,
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens the file at `path`, or makes it, and brings its schema up to date. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let fault = |fault: Fault| fault.at(path);
        // Nobody else's business; the log beside it takes the file's mode. Where this fails, so does
        // opening, which says why.
        let _ = File::options().create(true).append(true).mode(0o600).open(path);
        let mut connection = Connection::open(path).map_err(|error| fault(error.into()))?;
        prepare(&mut connection).map_err(fault)?;
        Ok(Self { connection })
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<State, StoreError> {
        let (revision, strategy, strategy_revision) = self.connection.query_row(
            "SELECT revision, strategy, strategy_revision FROM list",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)),
        )?;
        let strategy = strategy_named(strategy)?;
        let mut state = State { revision, strategy, strategy_revision, ..State::default() };
        let mut rows = self
            .connection
            .prepare("SELECT name, note, revision, created_at, updated_at FROM domain")?;
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

    fn keep(&mut self, change: &Change) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
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

    fn check(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.query_row("SELECT revision FROM list", [], |_| Ok(()))?)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        // Closing the last connection writes the log back into the file and removes it.
        self.connection.close().map_err(|(_, error)| error.into())
    }
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

/// Takes the lock, looks for damage, migrates. Nothing is written before the file is known as ours.
fn prepare(connection: &mut Connection) -> Result<(), Fault> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // In this mode, a lock once taken stays; reading first takes it, and fails if the file is none.
    let (id, version): (i32, i64) = (
        connection.query_row("PRAGMA application_id", [], |row| row.get(0))?,
        connection.query_row("PRAGMA user_version", [], |row| row.get(0))?,
    );
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (tables > 0 || version > 0) {
        return Err(Fault::Foreign);
    }
    let Some(steps) = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..)) else {
        return Err(Fault::Newer(version));
    };
    let damage: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if damage != "ok" {
        return Err(Fault::Corrupt(damage));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !steps.is_empty() {
        steps.iter().try_for_each(|step| transaction.execute_batch(step))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        transaction.pragma_update(None, "user_version", version)?;
    }
    // Where there is nothing to migrate, nothing is written, so that a full disk can be read.
    Ok(transaction.commit()?)
}

fn strategy_named(name: String) -> Result<Strategy, StoreError> {
    name.parse().map_err(|reason: UnknownStrategy| StoreError::Row {
        what: "strategy",
        value: name,
        reason: reason.to_string(),
    })
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

// === errors ===

/// Why a file cannot be opened.
enum Fault {
    Foreign,
    Newer(i64),
    Corrupt(String),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(error.to_string()),
            _ => Self::Sql(error),
        }
    }
}

impl Fault {
    fn at(self, path: &Path) -> StoreError {
        const RESTORE: &str = "nothing was changed in it: restore a backup in its place, or move it away (with its -wal) to start with an empty list";
        const ELSEWHERE: &str = "name another file with --store-url";
        let (cause, cure) = match self {
            Self::Foreign => ("it is a database of something else".to_owned(), ELSEWHERE),
            Self::Newer(version) => (
                format!("its schema has version {version}, and we know none above {}", MIGRATIONS.len()),
                "run the version of fedgate that wrote it, or a later one",
            ),
            Self::Corrupt(damage) => (format!("it is damaged: {damage}"), RESTORE),
            Self::Sql(error) => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => {
                    ("it is no SQLite database, or is damaged".to_owned(), RESTORE)
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                    "another process has it open".to_owned(),
                    "stop the other `fedgate serve` (or sqlite3) first",
                ),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
                    error.to_string(),
                    "see that its directory is there, and that we may write to it and to the file",
                ),
                _ => (error.to_string(), "see that its disk is well and has room"),
            },
        };
        StoreError::Open { file: display(path), cause, cure }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// The file with its directory, so that an error says where it is looked for.
fn display(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)).display().to_string()
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;

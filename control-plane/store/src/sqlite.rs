//! One file of `SQLite`, which everything that is to outlast us shares: opened, locked, brought up to date.
//!
//! `synchronous=FULL` with the write-ahead log: a commit returns once it is on the disk.
//! `locking_mode=EXCLUSIVE`: while we run, nobody else opens the file, so memory and file cannot
//! come to differ by a second process or a hand edit.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{Health, StoreError};
use crate::rights::{self, Obstacle};

/// Marks a file as ours (`PRAGMA application_id`): "fdgt".
const APPLICATION_ID: i32 = 0x6664_6774;

/// One step per version of the schema; a file of version n has had the first n.
const MIGRATIONS: &[&str] = &[
    "
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
",
    "
    CREATE TABLE finding (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        basis TEXT NOT NULL,
        found_at INTEGER NOT NULL, -- milliseconds since 1970
        ends_at INTEGER NOT NULL,
        finding TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE identity (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        name TEXT NOT NULL
    ) STRICT;
    INSERT INTO identity VALUES (1, lower(hex(randomblob(8))));
    -- When it was found by the clock of a boot, and of which; 0 and empty where nobody knows.
    ALTER TABLE finding ADD COLUMN boot TEXT NOT NULL DEFAULT '';
    ALTER TABLE finding ADD COLUMN booted_ms INTEGER NOT NULL DEFAULT 0;
",
    "
    -- What the operator says of a domain, as JSON.
    ALTER TABLE domain ADD COLUMN terms TEXT NOT NULL DEFAULT '{}';
    UPDATE domain SET terms = json_object('note', note) WHERE note <> '';
    ALTER TABLE domain DROP COLUMN note;
    -- By whom; empty where that was not written down.
    ALTER TABLE domain ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
    ALTER TABLE domain ADD COLUMN updated_by TEXT NOT NULL DEFAULT '';
    CREATE TABLE token (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        sha256 BLOB NOT NULL UNIQUE,
        created_at INTEGER NOT NULL, -- milliseconds since 1970, as all moments
        created_by TEXT NOT NULL,
        expires_at INTEGER,
        last_used_at INTEGER,
        revision INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        revision INTEGER,
        at INTEGER NOT NULL,
        by TEXT NOT NULL,
        deed TEXT NOT NULL,
        domain TEXT,
        before TEXT, -- JSON
        after TEXT,
        request_id TEXT
    ) STRICT;
    CREATE INDEX audit_of_domain ON audit (domain, id);
",
    "
    -- The rows of brig's list that we wrote, or were about to.
    CREATE TABLE brig_row (
        domain TEXT PRIMARY KEY,
        policy TEXT NOT NULL, -- JSON
        confirmed INTEGER NOT NULL -- whether brig was seen to have it so
    ) STRICT, WITHOUT ROWID;
",
];

/// How long to wait for a process that is just closing the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// An open file, which nobody else can open, shared by those of us who keep something in it.
#[derive(Clone)]
pub struct Database {
    path: Arc<Path>,
    connection: Arc<Mutex<Option<Connection>>>,
}

// === impl Database ===

impl Database {
    /// Opens the file at `path`, or makes it, and brings its schema up to date. Blocks.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fault = |fault: Fault| fault.at(path);
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(fault(Fault::NoFile));
        }
        // Nobody else's business; the log beside it takes the file's mode. Where this fails, so does
        // opening, which says why.
        let _ = File::options().create(true).append(true).mode(0o600).open(path);
        let inode = || fs::metadata(path).ok().map(|found| found.ino());
        let before = inode();
        let mut connection = Connection::open(path).map_err(|error| fault(error.into()))?;
        prepare(&mut connection).map_err(fault)?;
        if inode() != before {
            return Err(fault(Fault::Replaced));
        }
        Ok(Self::of(path, connection))
    }

    /// Opens the file at `path`, which has to be a store of ours, and leaves its schema as it is. Blocks.
    pub(crate) fn open_as_it_is(path: &Path) -> Result<Self, Fault> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(Fault::NoFile),
            Err(error) => return Err(Fault::Missing(error)),
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // What is damaged, or not ours, keeps its log; of what is well, it goes into the file.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        if examine(&connection)? == 0 {
            return Err(Fault::Foreign);
        }
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(Self::of(path, connection))
    }

    fn of(path: &Path, connection: Connection) -> Self {
        Self { path: path.into(), connection: Arc::new(Mutex::new(Some(connection))) }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What hinders a store from being kept at `path`, as far as that shows without opening it: opening would
    /// make files, and as whoever looks. Blocks.
    pub fn look(path: &Path) -> Result<(), StoreError> {
        let fault = match fs::metadata(path) {
            Ok(found) if !found.is_file() => Some(Fault::NoFile),
            Ok(_) | Err(_) => None,
        };
        if let Some(fault) = fault {
            return Err(fault.at(path));
        }
        if let Some(Obstacle { cause, cure }) = rights::to_keep(path) {
            return Err(StoreError::Open { file: display(path), cause, cure });
        }
        let mut header = [0; 100];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
        match (read, fs::metadata(path).map(|found| found.len())) {
            // It is made when it is opened first.
            (_, Err(_) | Ok(0)) => Ok(()),
            (Ok(()), _) => header_fault(&header).map_or(Ok(()), |fault| Err(fault.at(path))),
            (Err(_), _) => Err(Fault::NoDatabase.at(path)),
        }
    }

    /// The name by which the file is known again, wherever it is; made with it, at random. Blocks.
    pub fn identity(&self) -> Result<String, StoreError> {
        self.with(|connection| {
            Ok(connection.query_row("SELECT name FROM identity", [], |row| row.get(0))?)
        })
    }

    /// Works with the file, alone. Blocks.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || StoreError::Failed("it is closed".to_owned());
        work(connection.as_mut().ok_or_else(closed)?).map_err(|error| self.explain(error))
    }

    /// How it stands with the file; whether it can be written to is tried. Blocks.
    pub fn health(&self) -> Health {
        let tried = self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            // The same again, which is written all the same.
            transaction.pragma_update(None, "user_version", version)?;
            Ok(transaction.commit()?)
        });
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        let full = StoreError::Full(Some(display(&self.path)));
        let octets = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        Health {
            place: display(&self.path),
            octets: octets(&self.path).saturating_add(octets(Path::new(&log))),
            schema: MIGRATIONS.len(),
            trouble: tried.err().or_else(|| rights::is_full(&self.path).then_some(full)),
        }
    }

    /// Says of a failure which file it is about, and what stands in the way, if that shows.
    fn explain(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Full(_) => StoreError::Full(Some(display(&self.path))),
            StoreError::Failed(said) => StoreError::Failed(match rights::to_keep(&self.path) {
                Some(Obstacle { cause, cure }) => format!("{said}: {cause}; {cure}"),
                None => format!("{}: {said}", display(&self.path)),
            }),
            error @ (StoreError::Open { .. }
            | StoreError::Row { .. }
            | StoreError::Away { .. }
            | StoreError::Overtaken
            | StoreError::Unknown) => error,
        }
    }

    /// Closes the file, for all who share it. Blocks.
    pub fn close(&self) -> Result<(), StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Closing the last connection writes the log back into the file and removes it.
        connection.map_or(Ok(()), |it| it.close().map_err(|(_, error)| error.into()))
    }
}

/// Takes the lock and looks for damage; returns the version of the schema, 0 where nothing is in it. Writes nothing.
fn examine(connection: &Connection) -> Result<usize, Fault> {
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
    let known = usize::try_from(version).ok().filter(|version| *version <= MIGRATIONS.len());
    let known = known.ok_or(Fault::Newer(version))?;
    let damage: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if damage == "ok" { Ok(known) } else { Err(Fault::Corrupt(damage)) }
}

/// Takes the lock, looks for damage, migrates. Nothing is written before the file is known as ours.
fn prepare(connection: &mut Connection) -> Result<(), Fault> {
    let version = examine(connection)?;
    let steps = MIGRATIONS.get(version..).unwrap_or_default();
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version == 0 {
        tracing::info!("a new store is made: its list is empty");
    }
    if !steps.is_empty() {
        steps.iter().try_for_each(|step| transaction.execute_batch(step))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        transaction.pragma_update(None, "user_version", version)?;
    }
    // Where there is nothing to migrate, nothing is written, so that a full disk can be read.
    Ok(transaction.commit()?)
}

/// What the beginning of a file says against it (the format of `SQLite`'s files, section 1.3). What is still in
/// the log beside it may say otherwise, so that zeros say nothing.
fn header_fault(header: &[u8; 100]) -> Option<Fault> {
    let number =
        |at: usize| header.get(at..at.saturating_add(4)).and_then(|octets| octets.try_into().ok());
    let (version, id) = (i32::from_be_bytes(number(60)?), i32::from_be_bytes(number(68)?));
    if !header.starts_with(b"SQLite format 3\0") {
        return Some(Fault::NoDatabase);
    }
    if ![0, APPLICATION_ID].contains(&id) {
        return Some(Fault::Foreign);
    }
    let is_known = usize::try_from(version).is_ok_and(|version| version <= MIGRATIONS.len());
    (!is_known).then(|| Fault::Newer(version.into()))
}

/// As a column has it: milliseconds since 1970.
pub fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// As [`millis`] gave it.
pub fn time(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

// === errors ===

/// Why a file cannot be opened.
pub(crate) enum Fault {
    NoFile,
    Missing(std::io::Error),
    Busy,
    Replaced,
    NoDatabase,
    Foreign,
    Newer(i64),
    Corrupt(String),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(error.to_string()),
            Some(ErrorCode::NotADatabase) => Self::NoDatabase,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Sql(error),
        }
    }
}

impl Fault {
    pub(crate) fn at(self, path: &Path) -> StoreError {
        const RESTORE: &str = "nothing was changed in it: restore a backup in its place, or move it away (with its -wal) to start with an empty list";
        const ELSEWHERE: &str = "name another file with --store-url";
        let (cause, cure) = match self {
            Self::NoFile => (
                "it is a directory, or something else that is no file".to_owned(),
                "name a file, e.g. --store-url sqlite:///var/lib/fedgate/fedgate.db",
            ),
            Self::NoDatabase => ("it is no SQLite database, or is damaged".to_owned(), RESTORE),
            Self::Foreign => ("it is a database of something else".to_owned(), ELSEWHERE),
            Self::Newer(version) => (
                format!("its schema has version {version}, and we know none above {}", MIGRATIONS.len()),
                "run the version of fedgate that wrote it, or a later one",
            ),
            Self::Corrupt(damage) => (format!("it is damaged: {damage}"), RESTORE),
            Self::Busy => (
                "another process has it open".to_owned(),
                "stop the other `fedgate serve` (or sqlite3) first",
            ),
            Self::Missing(error) => (rights::unreadable(path, &error), "name the file of a store"),
            Self::Replaced => ("it was replaced while it was opened".to_owned(), "start again"),
            Self::Sql(error) => {
                if let Some(Obstacle { cause, cure }) = rights::to_keep(path) {
                    return StoreError::Open { file: display(path), cause, cure };
                }
                let is_about_rights = matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
                );
                let cure = if is_about_rights {
                    "see that its directory is there, and that we may write to it and to the file"
                } else {
                    "see that its disk is well and has room"
                };
                (error.to_string(), cure)
            }
        };
        StoreError::Open { file: display(path), cause, cure: cure.to_owned() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(None),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// The file with its directory, so that an error says where it is looked for.
pub(crate) fn display(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)).display().to_string()
}

//! Copies of a store: made while it is in use, or while nobody uses it, and put in a store's place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::StoreError;
use crate::rights::{self, Obstacle};
use crate::sqlite::{Database, Fault, display};

/// What is put behind the name of a file that a copy replaced, before the time.
const REPLACED: &str = ".before-restore-";

// === impl Database ===

impl Database {
    /// A consistent copy, in one file that has no name, so that it is gone with whoever holds it. All else that
    /// is done with the store waits meanwhile: 0.3 s for 100,000 domains. Blocks.
    pub fn copy(&self) -> Result<File, StoreError> {
        let place = named(self.path(), ".copying");
        self.with(|connection| copy(connection, &place))
    }

    /// A new store that `fill` fills, in one file that has no name. Blocks.
    pub fn unnamed(fill: impl FnOnce(Self) -> Result<(), StoreError>) -> Result<File, StoreError> {
        let directory = tempfile::tempdir()?;
        let database = Database::open(&directory.path().join("copy.db"))?;
        fill(database.clone())?;
        let copy = database.copy()?;
        database.close()?;
        Ok(copy)
    }

    /// As [`Database::copy`], of a file that nobody uses, whose schema stays as it is. Blocks.
    pub fn copy_unused(path: &Path) -> Result<File, StoreError> {
        let database = Database::open_as_it_is(path).map_err(|fault| fault.at(path))?;
        let file = database.copy()?;
        database.close()?;
        Ok(file)
    }

    /// Whether a file is a store of ours that is whole. Blocks.
    pub fn examine(path: &Path) -> Result<(), StoreError> {
        examine(path).map_err(|fault| not_to_use(fault, path))?.close()
    }
}

fn copy(connection: &Connection, place: &Path) -> Result<File, StoreError> {
    // There is one if we were killed over it.
    let _ = fs::remove_file(place);
    let file = private(place)?;
    let copied = connection.execute("VACUUM INTO ?1", [place.to_string_lossy()]);
    fs::remove_file(place)?;
    copied?;
    Ok(file)
}

/// Opens a store, which is whole to its last index.
fn examine(path: &Path) -> Result<Database, Fault> {
    let database = Database::open_as_it_is(path)?;
    let damage = database.with(|connection| {
        Ok(connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))?)
    });
    match damage {
        Ok(damage) if damage == "ok" => Ok(database),
        Ok(damage) => Err(Fault::Corrupt(damage)),
        Err(error) => Err(Fault::Corrupt(error.to_string())),
    }
}

/// Puts a copy of the store in the file `from` in the place of the one at `path`, and makes sure that it will be
/// read: `check` has the last word on it. Returns under what name the file is kept that was there before, which ends
/// with `stamp`. Until the very end nothing is changed there. Blocks.
pub fn restore(
    from: &Path,
    path: &Path,
    stamp: &str,
    check: impl FnOnce(&Database) -> Result<(), StoreError>,
) -> Result<Option<PathBuf>, StoreError> {
    if let Some(Obstacle { cause, cure }) = rights::to_keep(path) {
        return Err(StoreError::Open { file: display(path), cause, cure });
    }
    let draft = named(path, ".restoring");
    let restored = prepare(from, &draft, path, check).and_then(|()| replace(&draft, path, stamp));
    if restored.is_err() {
        std::iter::once(draft.clone()).chain(logs(&draft)).for_each(|file| {
            // What is not there need not go.
            let _ = fs::remove_file(file);
        });
    }
    restored
}

/// Makes a store of `draft` that is as the one in `from`, of our schema, and to be read by us.
fn prepare(
    from: &Path,
    draft: &Path,
    path: &Path,
    check: impl FnOnce(&Database) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let unusable = |fault: Fault| not_to_use(fault, from);
    match fs::metadata(from) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(unusable(Fault::NoFile)),
        Err(error) => return Err(unusable(Fault::Missing(error))),
    }
    let held = hold(from, FlockOperation::NonBlockingLockShared);
    let _held = held.map_err(|error| unusable(Fault::Missing(error)))?.ok_or_else(in_use(from))?;
    for (from, to) in pairs(from, draft) {
        // What is left of a restore that was killed.
        let _ = fs::remove_file(&to);
        match File::open(&from) {
            Ok(mut file) => {
                io::copy(&mut file, &mut private(&to)?)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(Fault::Missing(error))),
        }
    }
    examine(draft).map_err(unusable)?.close()?;
    let database = Database::open(draft)?;
    let checked = check(&database);
    database.close()?;
    checked?;
    // Whose the store is, where we are root.
    let owner = fs::metadata(path).or_else(|_| fs::metadata(directory(path)))?;
    let drafted = fs::metadata(draft)?;
    if (drafted.uid(), drafted.gid()) != (owner.uid(), owner.gid()) {
        chown(draft, Some(owner.uid()), Some(owner.gid()))?;
    }
    File::open(draft).and_then(|file| file.sync_all()).map_err(StoreError::from)
}

/// Puts `draft` in the place of the store at `path`, which nobody uses.
fn replace(draft: &Path, path: &Path, stamp: &str) -> Result<Option<PathBuf>, StoreError> {
    let aside = named(path, &format!("{REPLACED}{stamp}"));
    let held = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
        Ok(_) => Some(set_aside(path, &aside)?),
    };
    if held.is_none() {
        // A log without its file says nothing, and would be taken for the new one's.
        for log in logs(path) {
            let _ = fs::remove_file(log);
        }
    }
    fs::rename(draft, path)?;
    File::open(directory(path)).and_then(|directory| directory.sync_all())?;
    Ok(held.map(|_| aside))
}

/// Gives the store at `path` a second name, and its log that name alone; holds it against others.
fn set_aside(path: &Path, aside: &Path) -> Result<File, StoreError> {
    // If it is well, nothing of it is in its log from then on: so whatever ends us next, the file is whole. If it
    // is damaged, it is to be kept as it is.
    match Database::open_as_it_is(path) {
        Ok(database) => {
            database.with(|connection| {
                Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
            })?;
            database.close()?;
        }
        Err(fault @ Fault::Foreign) if fs::metadata(path).is_ok_and(|found| found.len() > 0) => {
            return Err(fault.at(path));
        }
        Err(fault @ Fault::Busy) => return Err(fault.at(path)),
        Err(_) => {}
    }
    let held = hold(path, FlockOperation::NonBlockingLockExclusive)?;
    let held = held.ok_or_else(in_use(path))?;
    fs::hard_link(path, aside)?;
    for (log, aside) in pairs(path, aside).skip(1) {
        match fs::rename(log, aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(held)
}

/// Holds a file, for as long as what is returned is open, against whoever would open it with `SQLite`, here and
/// there alike by locks of POSIX; none where somebody has it open so. In this process nobody may meanwhile: the
/// first who closes the file takes all locks away.
fn hold(path: &Path, how: FlockOperation) -> io::Result<Option<File>> {
    let writes = matches!(how, FlockOperation::NonBlockingLockExclusive);
    let file = File::options().read(true).write(writes).open(path)?;
    match fcntl_lock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn in_use(path: &Path) -> impl FnOnce() -> StoreError {
    || Fault::Busy.at(path)
}

/// Why a copy cannot be used; it is not the store that is at fault.
fn not_to_use(fault: Fault, path: &Path) -> StoreError {
    let has_cure = matches!(fault, Fault::Newer(_) | Fault::Busy);
    match fault.at(path) {
        StoreError::Open { file, cause, cure } => {
            let other = "name another backup; nothing was changed".to_owned();
            StoreError::Open { file, cause, cure: if has_cure { cure } else { other } }
        }
        error @ (StoreError::Row { .. }
        | StoreError::Full(_)
        | StoreError::Away { .. }
        | StoreError::Overtaken
        | StoreError::Unknown
        | StoreError::Failed(_)) => error,
    }
}

/// A new file, to be read by us alone.
fn private(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A store's file and its logs, each with what it is called elsewhere.
fn pairs(from: &Path, to: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let files = |path: &Path| std::iter::once(path.to_owned()).chain(logs(path));
    files(from).zip(files(to))
}

/// What `SQLite` keeps beside a file, and cannot do without.
fn logs(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-journal"].map(|suffix| named(path, suffix))
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(suffix);
    name.into()
}

fn directory(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;

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

    /// As [`Database::copy`], of a file that nobody uses, which stays as it is. Blocks.
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
    let file = private(place).map_err(failed)?;
    let copied = connection.execute("VACUUM INTO ?1", [place.to_string_lossy()]);
    fs::remove_file(place).map_err(failed)?;
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
                io::copy(&mut file, &mut private(&to).map_err(failed)?).map_err(failed)?;
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
    let owner = fs::metadata(path).or_else(|_| fs::metadata(directory(path))).map_err(failed)?;
    let drafted = fs::metadata(draft).map_err(failed)?;
    if (drafted.uid(), drafted.gid()) != (owner.uid(), owner.gid()) {
        chown(draft, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
    }
    File::open(draft).and_then(|file| file.sync_all()).map_err(failed)
}

/// Puts `draft` in the place of the store at `path`, which nobody uses.
fn replace(draft: &Path, path: &Path, stamp: &str) -> Result<Option<PathBuf>, StoreError> {
    let aside = named(path, &format!("{REPLACED}{stamp}"));
    let held = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
        Ok(_) => Some(set_aside(path, &aside)?),
    };
    if held.is_none() {
        // A log without its file says nothing, and would be taken for the new one's.
        for log in logs(path) {
            let _ = fs::remove_file(log);
        }
    }
    fs::rename(draft, path).map_err(failed)?;
    File::open(directory(path)).and_then(|directory| directory.sync_all()).map_err(failed)?;
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
    let held = hold(path, FlockOperation::NonBlockingLockExclusive).map_err(failed)?;
    let held = held.ok_or_else(in_use(path))?;
    fs::hard_link(path, aside).map_err(failed)?;
    for (log, aside) in pairs(path, aside).skip(1) {
        match fs::rename(log, aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
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
        error @ (StoreError::Row { .. } | StoreError::Full(_) | StoreError::Failed(_)) => error,
    }
}

fn failed(error: io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::StorageFull {
        return StoreError::Full(None);
    }
    StoreError::Failed(error.to_string())
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
mod tests {
    use super::*;

    /// A store whose list has this revision, closed; or not, so that all is still in its log.
    fn store(path: &Path, revision: i64) -> Database {
        let database = Database::open(path).unwrap();
        let set = |connection: &mut Connection| {
            connection.execute("UPDATE list SET revision = ?1", [revision])?;
            Ok(())
        };
        database.with(set).unwrap();
        database
    }

    fn revision(path: &Path) -> i64 {
        let database = Database::open(path).unwrap();
        let read = |connection: &mut Connection| {
            Ok(connection.query_row("SELECT revision FROM list", [], |row| row.get(0))?)
        };
        database.with(read).unwrap()
    }

    fn put_back(from: &Path, path: &Path) -> Result<Option<PathBuf>, StoreError> {
        restore(from, path, "now", |_| Ok(()))
    }

    fn files(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_copy_of_an_open_store_is_whole_and_nobody_elses_business() {
        let dir = tempfile::tempdir().unwrap();
        let database = store(&dir.path().join("s.db"), 7);
        let mut copy = database.copy().unwrap();
        assert_eq!(copy.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(files(dir.path()), ["s.db", "s.db-wal"], "nothing is left beside it");
        let kept = dir.path().join("copy.db");
        io::copy(&mut copy, &mut File::create(&kept).unwrap()).unwrap();
        Database::examine(&kept).unwrap();
        database.close().unwrap();
        assert_eq!(revision(&kept), 7);
        Database::copy_unused(&kept).unwrap();
    }

    #[test]
    fn a_restored_store_is_the_copy_and_what_it_replaced_is_kept_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let (path, from) = (dir.path().join("s.db"), dir.path().join("b.db"));
        store(&from, 3).close().unwrap();
        assert_eq!(put_back(&from, &path).unwrap(), None, "nothing was there before");
        assert_eq!(revision(&path), 3);
        store(&path, 9).close().unwrap();
        // Something that is damaged, with its log.
        let aside = put_back(&from, &path).unwrap().unwrap();
        assert_eq!((revision(&path), revision(&aside)), (3, 9));
        fs::remove_file(&aside).unwrap();
        fs::write(&path, [0xab; 9000]).unwrap();
        fs::write(dir.path().join("s.db-wal"), "a log").unwrap();
        assert_eq!(put_back(&from, &path).unwrap(), Some(aside.clone()));
        assert_eq!(revision(&path), 3);
        assert_eq!(fs::read(&aside).unwrap(), [0xab; 9000]);
        assert_eq!(fs::read(named(&aside, "-wal")).unwrap(), b"a log");
        assert_eq!(
            files(dir.path()),
            ["b.db", "s.db", "s.db.before-restore-now", "s.db.before-restore-now-wal"]
        );
    }

    #[test]
    fn a_copy_with_its_log_is_taken_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, from) = (dir.path().join("s.db"), dir.path().join("b.db"));
        let open = store(&dir.path().join("open.db"), 5);
        for suffix in ["", "-wal"] {
            let crashed = named(&dir.path().join("open.db"), suffix);
            fs::write(named(&from, suffix), fs::read(crashed).unwrap()).unwrap();
        }
        let before = fs::read(&from).unwrap();
        put_back(&from, &path).unwrap();
        assert_eq!(revision(&path), 5);
        assert_eq!(fs::read(&from).unwrap(), before, "what it is from stays as it is");
        open.close().unwrap();
    }

    #[test]
    fn what_is_no_whole_store_of_ours_is_refused_and_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (path, from) = (dir.path().join("s.db"), dir.path().join("b.db"));
        store(&path, 9).close().unwrap();
        store(&from, 3).close().unwrap();
        let whole = fs::read(&from).unwrap();
        let sql = |text: &'static str| {
            move |file: &Path| Connection::open(file).unwrap().execute_batch(text).unwrap()
        };
        let put = |octets: Vec<u8>| move |file: &Path| fs::write(file, &octets).unwrap();
        let mut damaged = whole.clone();
        damaged[4096..].fill(0xab);
        type Spoil = Box<dyn Fn(&Path)>;
        let table: [(&str, Spoil, &str); 8] = [
            ("missing", Box::new(|file| fs::remove_file(file).unwrap()), "No such file"),
            ("empty", Box::new(put(Vec::new())), "database of something else"),
            ("text", Box::new(put(b"a list\n".repeat(999))), "no SQLite database"),
            ("cut", Box::new(put(whole[..whole.len() / 2].to_vec())), "damaged"),
            ("damaged", Box::new(put(damaged)), "damaged"),
            ("foreign", Box::new(sql("PRAGMA application_id = 1")), "of something else"),
            ("newer", Box::new(sql("PRAGMA user_version = 99")), "version 99"),
            (
                "a directory",
                Box::new(|file| {
                    fs::remove_file(file).unwrap();
                    fs::create_dir(file).unwrap();
                }),
                "no file",
            ),
        ];
        for (what, spoil, expected) in table {
            if from.exists() {
                fs::remove_file(&from).unwrap();
            }
            fs::write(&from, &whole).unwrap();
            spoil(&from);
            let error = put_back(&from, &path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("b.db"), "{what}: {error}");
            assert_eq!(Database::examine(&from).unwrap_err().to_string(), error, "{what}");
            assert!(files(dir.path()).iter().all(|name| !name.contains("restor")), "{what}");
            assert_eq!(revision(&path), 9, "{what}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_a_database_of_others_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, from) = (dir.path().join("s.db"), dir.path().join("b.db"));
        store(&from, 3).close().unwrap();
        let row = || StoreError::Failed("a row".to_owned());
        assert!(restore(&from, &path, "now", |_| Err(row())).is_err());
        assert_eq!(files(dir.path()), ["b.db"]);
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let error = put_back(&from, &path).unwrap_err().to_string();
        assert!(error.contains("something else") && error.contains("s.db"), "{error}");
    }
}

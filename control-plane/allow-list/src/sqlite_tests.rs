use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;

impl Sqlite {
    fn open(path: &Path) -> Result<Self, StoreError> {
        Database::open(path).map(Self)
    }
}

fn entry(revision: i64, note: &str) -> Entry {
    let at = UNIX_EPOCH + Duration::from_millis(1_234_567_890_123);
    Entry { note: note.to_owned(), revision, created_at: at, updated_at: at }
}

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fedgate.db");
    (directory, path)
}

fn refused(path: &Path) -> String {
    Sqlite::open(path).err().unwrap().to_string()
}

fn tamper(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_new_store_allows_nobody() {
    let (_directory, path) = place();
    assert_eq!(Sqlite::open(&path).unwrap().load().unwrap(), State::default());
}

#[test]
fn a_new_store_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path) = place();
    let _store = Sqlite::open(&path).unwrap();
    for file in ["fedgate.db", "fedgate.db-wal"] {
        let mode = path.with_file_name(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_store_has_a_name_of_its_own_which_it_keeps() {
    let (_directory, path) = place();
    let name = Sqlite::open(&path).unwrap().0.identity().unwrap();
    assert!(name.len() == 16 && name.bytes().all(|octet| octet.is_ascii_hexdigit()), "{name}");
    assert_eq!(Sqlite::open(&path).unwrap().0.identity().unwrap(), name);
    let (_directory, other) = place();
    assert_ne!(Sqlite::open(&other).unwrap().0.identity().unwrap(), name);
    // As it was before stores had names.
    tamper(
        &path,
        "DROP TABLE identity; ALTER TABLE finding DROP COLUMN boot;
         ALTER TABLE finding DROP COLUMN booted_ms; PRAGMA user_version = 2;
         INSERT INTO domain VALUES ('a.com', '', 1, 0, 0);
         INSERT INTO finding VALUES ('domain', 'a.com', 'x', 1, 2, '{}')",
    );
    let mut store = Sqlite::open(&path).unwrap();
    assert_ne!(store.0.identity().unwrap(), name);
    assert!(store.load().unwrap().domains.contains_key(&domain("a.com")));
}

#[test]
fn what_is_kept_is_there_after_reopening() {
    let (_directory, path) = place();
    let mut store = Sqlite::open(&path).unwrap();
    let mut expected = State::default();
    for change in [
        Change::Put(domain("a.com"), entry(1, "")),
        Change::Put(domain("b.com"), entry(2, "'); DROP TABLE domain; --")),
        Change::Put(domain("a.com"), entry(3, "München")),
        Change::Strategy(Strategy::AllowAll, 4),
        Change::Put(domain("c.com"), entry(5, "")),
        Change::Remove(domain("c.com"), 6),
    ] {
        store.keep(&change).unwrap();
        expected.apply(change);
    }
    assert_eq!(store.load().unwrap(), expected);
    // Dropped, not closed, as by a crash: the log is still there.
    drop(store);
    let mut store = Sqlite::open(&path).unwrap();
    assert_eq!(store.load().unwrap(), expected);
    assert!(store.check().is_ok());
    Box::new(store).close().unwrap();
    assert_eq!(Sqlite::open(&path).unwrap().load().unwrap(), expected);
}

#[test]
fn a_commit_reaches_the_disk_before_it_returns() {
    let (_directory, path) = place();
    let store = Sqlite::open(&path).unwrap();
    let pragma = |name: &str| {
        store.0.with(|connection| {
            let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            Ok(connection.query_row(&format!("PRAGMA {name}"), [], value)?)
        })
    };
    assert_eq!(pragma("journal_mode").unwrap(), "wal".to_owned().into());
    assert_eq!(pragma("synchronous").unwrap(), 2.into(), "FULL");
}

#[test]
fn a_second_opener_is_refused_and_told_why() {
    let (_directory, path) = place();
    // Opened for the second time, when there is nothing to write, it is locked all the same.
    drop(Sqlite::open(&path).unwrap());
    let _first = Sqlite::open(&path).unwrap();
    let error = refused(&path);
    assert!(error.contains("another process has it open"), "{error}");
    let hand = Connection::open(&path).unwrap();
    hand.busy_timeout(Duration::ZERO).unwrap();
    assert!(hand.execute("DELETE FROM domain", []).is_err(), "nor does a hand edit get through");
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let (_directory, path) = place();
    for bytes in [b"this is not a database, and it is longer than a header is. ".repeat(40), {
        let mut store = Sqlite::open(&path).unwrap();
        for n in 0..500 {
            store.keep(&Change::Put(domain(&format!("d{n}.example.com")), entry(n, "note"))).unwrap();
        }
        Box::new(store).close().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[9000..13_000].fill(0xa5);
        bytes
    }] {
        std::fs::write(&path, &bytes).unwrap();
        let error = refused(&path);
        assert!(error.contains("fedgate.db") && error.contains("damaged"), "{error}");
        assert!(error.contains("restore a backup"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_file_of_a_later_version_or_of_something_else_is_left_alone() {
    let (_directory, path) = place();
    drop(Sqlite::open(&path).unwrap());
    for version in ["99", "-1"] {
        tamper(&path, &format!("PRAGMA user_version = {version}"));
        let error = refused(&path);
        assert!(error.contains(&format!("version {version}")), "{error}");
    }
    let (_directory, path) = place();
    tamper(&path, "CREATE TABLE contacts (name TEXT)");
    assert!(refused(&path).contains("a database of something else"));
}

#[test]
fn a_row_that_means_nothing_stops_the_start() {
    for (sql, what) in [
        ("INSERT INTO domain VALUES ('not a domain', '', 1, 0, 0)", "the domain 'not a domain'"),
        (
            "INSERT INTO domain VALUES ('a.com', '', 1, 0, 0), ('A.com', '', 1, 0, 0)",
            "stands there twice",
        ),
        ("UPDATE list SET strategy = 'allowEverything'", "the strategy 'allowEverything'"),
    ] {
        let (_directory, path) = place();
        drop(Sqlite::open(&path).unwrap());
        tamper(&path, sql);
        let error = Sqlite::open(&path).unwrap().load().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_path_that_cannot_be_opened_is_named_with_a_cure() {
    let (directory, _) = place();
    let error = refused(&directory.path().join("nowhere/fedgate.db"));
    assert!(error.contains("nowhere/fedgate.db") && error.contains("directory"), "{error}");
}

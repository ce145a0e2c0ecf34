use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;
use crate::Terms;
use crate::audit::{Author, Deed};

impl Sqlite {
    fn open(path: &Path) -> Result<Self, StoreError> {
        Database::open(path).map(Self)
    }
}

fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_234_567_890_123)
}

fn entry(revision: i64, note: &str) -> Entry {
    on(revision, Terms { note: note.to_owned(), ..Terms::default() })
}

fn on(revision: i64, terms: Terms) -> Entry {
    let stamp = |by: &str| Stamp { at: moment(), by: by.into() };
    let (created, updated) = (stamp("alice"), stamp("bob"));
    Entry { terms: shared(terms), revision, created, updated, lapsed: false }
}

fn keep(store: &mut Sqlite, change: &Change) {
    store.keep(0, std::slice::from_ref(change), &[]).unwrap();
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
}

#[test]
fn a_store_of_before_stores_had_names_keeps_what_it_has_and_gets_one() {
    let (_directory, path) = place();
    tamper(
        &path,
        "PRAGMA application_id = 0x66646774;
         CREATE TABLE list (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL,
             strategy TEXT NOT NULL, strategy_revision INTEGER NOT NULL) STRICT;
         INSERT INTO list VALUES (1, 2, 'allowDynamic', 0);
         CREATE TABLE domain (name TEXT PRIMARY KEY, note TEXT NOT NULL, revision INTEGER NOT NULL,
             created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
         INSERT INTO domain VALUES ('a.com', 'say \"hello\"', 1, 5, 6), ('b.com', '', 2, 7, 8);
         CREATE TABLE finding (kind TEXT NOT NULL, name TEXT NOT NULL, basis TEXT NOT NULL,
             found_at INTEGER NOT NULL, ends_at INTEGER NOT NULL, finding TEXT NOT NULL,
             PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID;
         INSERT INTO finding VALUES ('domain', 'a.com', 'x', 1, 2, '{}');
         PRAGMA user_version = 2;",
    );
    let mut store = Sqlite::open(&path).unwrap();
    assert_eq!(store.0.identity().unwrap().len(), 16);
    let domains = store.load().unwrap().domains;
    let a = &domains[&domain("a.com")];
    assert_eq!((a.terms.note.as_str(), a.revision), ("say \"hello\"", 1));
    let stamp = |millis| Stamp { at: UNIX_EPOCH + Duration::from_millis(millis), by: "".into() };
    assert_eq!((&a.created, &a.updated), (&stamp(5), &stamp(6)));
    assert_eq!(*domains[&domain("b.com")].terms, Terms::default());
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
            keep(&mut store, &Change::Put(domain(&format!("d{n}.example.com")), entry(n, "note")));
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
        (
            "INSERT INTO domain VALUES ('not a domain', 1, 0, 0, '{}', '', '')",
            "the domain 'not a domain'",
        ),
        (
            "INSERT INTO domain VALUES ('a.com', 1, 0, 0, '{}', '', ''), ('A.com', 1, 0, 0, '{}', '', '')",
            "stands there twice",
        ),
        ("INSERT INTO domain VALUES ('a.com', 1, 0, 0, '{\"colour\":1}', '', '')", "the terms"),
        ("INSERT INTO token VALUES ('t', 'king', x'00', 0, '', NULL, NULL, 1)", "the role 'king'"),
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

#[test]
fn a_change_and_its_record_are_kept_together_or_not_at_all() {
    let (_directory, path) = place();
    let mut store = Sqlite::open(&path).unwrap();
    store.0.with(|it| Ok(it.execute_batch("DROP TABLE audit")?)).unwrap();
    let change = Change::Put(domain("a.com"), entry(1, ""));
    let record = Author::system(moment()).did(Deed::CallsRefused, serde_json::json!({}));
    assert!(store.keep(0, &[change], &[record]).is_err());
    assert_eq!(store.load().unwrap(), State::default());
}

use super::*;

/// Makes a file what it should not be.
type Spoil = Box<dyn Fn(&Path)>;

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
    assert_eq!(files(dir.path()), ["copy.db", "s.db"], "nothing is left beside them");
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

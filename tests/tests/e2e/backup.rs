//! Copies of the store: made while it is written to, put back, and refused where they are none.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN, VIEWER_TOKEN};
use fedgate_tests::process::{PATIENCE, http};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A folder for copies, and the store of a control plane.
struct Place {
    dir: tempfile::TempDir,
    store: PathBuf,
}

// === impl Place ===

impl Place {
    fn beside(control_plane: &ControlPlane) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: control_plane.dir().join("fedgate.db") }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.store.display())
    }

    /// The store's files, and what is in them.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let found = fs::read_dir(self.store.parent().unwrap()).unwrap().map(|it| it.unwrap().path());
        let is_store = |path: &PathBuf| path.to_str().unwrap().contains("fedgate.db");
        let mut files: Vec<_> =
            found.filter(is_store).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    }
}

/// The listed domains.
fn listed(control_plane: &ControlPlane) -> BTreeSet<String> {
    let list = control_plane.cli(&["domain", "list", "--json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let name = |it: &Value| it["domain"].as_str().unwrap().to_owned();
    list["domains"].as_array().unwrap().iter().map(name).collect()
}

/// The one number that a copy's query comes to.
fn count(file: &str, sql: &str) -> i64 {
    rusqlite::Connection::open(file).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn token(writer: usize) -> String {
    format!("token-of-writer-{writer}")
}

#[test]
fn a_copy_made_under_writes_is_a_state_that_was_acknowledged_and_comes_back_as_such() {
    const WRITERS: usize = 8;
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    // Each with a token of his own: one may not call so often.
    let tokens = (0..WRITERS).map(|writer| {
        let sha256 = hex::encode(Sha256::digest(token(writer)));
        format!("[[token]]\nname = \"w{writer}\"\nrole = \"admin\"\nsha256 = \"{sha256}\"\n")
    });
    let tokens: String = tokens.chain(["[discovery]".to_owned()]).collect();
    control_plane.configure("[discovery]", &tokens);
    control_plane.terminate();
    control_plane.restart();
    let place = Place::beside(control_plane);
    let url = control_plane.url();
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new([0_usize; WRITERS]));
    let (mut before, mut after) = ([0; WRITERS], [0; WRITERS]);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (url, stop, acknowledged) = (&url, &stop, &acknowledged);
            scope.spawn(move || {
                for n in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let put = http()
                        .put(format!("{url}/v1/domains/w{writer}-{n}.com"))
                        .header("authorization", format!("Bearer {}", token(writer)))
                        .send_empty();
                    assert_eq!(put.unwrap().status(), 201);
                    acknowledged.lock().unwrap()[writer] = n;
                }
            });
        }
        let started = Instant::now();
        while acknowledged.lock().unwrap().iter().sum::<usize>() < 500 {
            assert!(started.elapsed() < PATIENCE, "the writers make no progress");
            std::thread::yield_now();
        }
        before = *acknowledged.lock().unwrap();
        control_plane.cli(&["store", "backup", &place.path("copy.db")]).unwrap();
        after = *acknowledged.lock().unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    assert_ne!(before, after, "there were writes meanwhile");

    let control_plane = world.control_plane.as_mut().unwrap();
    control_plane.terminate();
    let copy = place.path("copy.db");
    control_plane.cli(&["store", "restore", &copy, "--store-url", &place.url()]).unwrap();
    control_plane.restart();
    let listed = listed(control_plane);
    let mut whole = 0;
    for (writer, (before, after)) in before.into_iter().zip(after).enumerate() {
        // What a writer wrote is there up to some write, and nothing behind it.
        let there =
            (1..=after + 2).take_while(|n| listed.contains(&format!("w{writer}-{n}.com"))).count();
        assert!((before..=after + 1).contains(&there), "{writer}: {before} <= {there} <= {after} + 1");
        whole += there;
    }
    assert_eq!(listed.len(), whole);
    let audited = "SELECT count(DISTINCT domain) FROM audit WHERE deed = 'domain-added'";
    assert_eq!(count(&copy, audited), i64::try_from(whole).unwrap(), "with a record of each");
    assert_eq!(
        count(&copy, "SELECT count(*) FROM audit WHERE deed = 'store-copied' AND by = 'admin'"),
        1
    );
}

#[test]
fn a_copy_is_for_admins_and_their_eyes_only() {
    let world = World::builder().allow(&["a.com"]).start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let place = Place::beside(control_plane);
    for (token, status) in [(VIEWER_TOKEN, 403), (FILTER_TOKEN, 403), ("somebody", 401)] {
        let request = http().post(format!("{}/v1/store/backup", control_plane.url()));
        let answer = request.header("authorization", format!("Bearer {token}")).send_empty().unwrap();
        assert_eq!(answer.status(), status, "{token}");
    }
    let copy = place.path("copy.db");
    control_plane.cli(&["store", "backup", &copy]).unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(count(&copy, "SELECT count(*) FROM audit WHERE deed = 'store-copied'"), 1);
    let beside: Vec<_> = place.files().into_iter().map(|(path, _)| path).collect();
    assert!(beside.len() == 2, "nothing is left beside the store: {beside:?}");

    let error = control_plane.cli(&["store", "backup", &copy]).unwrap_err();
    assert!(error.contains("exit status: 2") && error.contains("--replace"), "{error}");
    control_plane.cli(&["store", "backup", &copy, "--replace"]).unwrap();
    let store = place.store.to_str().unwrap();
    let error = control_plane.cli(&["store", "backup", store, "--replace"]).unwrap_err();
    assert!(error.contains("in use"), "the store itself is not written over: {error}");
    let names = fs::read_dir(place.dir.path()).unwrap().count();
    assert_eq!(names, 1, "no part of a copy is left");
}

#[test]
fn a_store_that_is_served_is_neither_replaced_nor_copied_behind_its_back() {
    let mut world = World::builder().allow(&["a.com"]).start();
    let control_plane = world.control_plane.as_mut().unwrap();
    let place = Place::beside(control_plane);
    let (copy, url) = (place.path("copy.db"), place.url());
    control_plane.cli(&["store", "backup", &copy]).unwrap();
    control_plane.add(&["b.com"]);
    let other = place.path("other.db");
    let store = place.store.to_str().unwrap().to_owned();
    for words in [
        ["store", "restore", &copy, "--store-url", &url].as_slice(),
        // A copy, that is, of a store which is in use.
        &["store", "restore", &store, "--store-url", &format!("sqlite://{other}")],
        &["store", "backup", &other, "--offline", "--store-url", &url],
    ] {
        let error = control_plane.cli(words).unwrap_err();
        let told = error.contains("another process has it open") && error.contains("exit status: 1");
        assert!(told, "{words:?}: {error}");
    }
    assert!(!Path::new(&other).exists());
    control_plane.add(&["c.com"]);
    assert_eq!(listed(control_plane).len(), 3, "it was not disturbed");
    control_plane.terminate();
    control_plane.cli(&["store", "backup", &other, "--offline", "--store-url", &url]).unwrap();
    assert_eq!(count(&other, "SELECT count(*) FROM domain"), 3);
    control_plane.cli(&["store", "restore", &copy, "--store-url", &url]).unwrap();
    control_plane.restart();
    assert_eq!(listed(control_plane), BTreeSet::from(["a.com".to_owned()]));
    let kept = fs::read_dir(control_plane.dir()).unwrap();
    let kept =
        kept.map(|it| it.unwrap().path()).find(|it| it.to_str().unwrap().contains(".before-restore-"));
    let kept = kept.unwrap();
    assert_eq!(
        count(kept.to_str().unwrap(), "SELECT count(*) FROM domain"),
        3,
        "what was there is kept"
    );
    // And can be put back.
    control_plane.terminate();
    control_plane.cli(&["store", "restore", kept.to_str().unwrap(), "--store-url", &url]).unwrap();
    control_plane.restart();
    assert_eq!(listed(control_plane).len(), 3);
}

#[test]
fn what_is_no_whole_store_is_refused_and_nothing_is_lost() {
    let mut world = World::builder().allow(&["a.com", "b.com"]).start();
    let control_plane = world.control_plane.as_mut().unwrap();
    let place = Place::beside(control_plane);
    let copy = place.path("copy.db");
    control_plane.cli(&["store", "backup", &copy]).unwrap();
    control_plane.terminate();
    let (whole, before) = (fs::read(&copy).unwrap(), place.files());
    let spoilt = place.path("spoilt.db");
    let sql = |text: &str| {
        fs::write(&spoilt, &whole).unwrap();
        rusqlite::Connection::open(&spoilt).unwrap().execute_batch(text).unwrap();
        fs::read(&spoilt).unwrap()
    };
    let mut damaged = whole.clone();
    damaged[8192..].fill(0xab);
    for (what, octets, words) in [
        ("cut off", whole[..whole.len() / 2].to_vec(), "damaged"),
        ("damaged", damaged, "damaged"),
        ("no database", b"strategy = 1\n".repeat(1000), "no SQLite database"),
        ("empty", Vec::new(), "of something else"),
        ("of others", sql("PRAGMA application_id = 7"), "of something else"),
        ("newer", sql("PRAGMA user_version = 99"), "version 99"),
        ("senseless", sql("UPDATE domain SET terms = '{\"colour\":1}' WHERE name = 'a.com'"), "colour"),
    ] {
        fs::write(&spoilt, octets).unwrap();
        let restore = ["store", "restore", &spoilt, "--store-url", &place.url()];
        let error = control_plane.cli(&restore).unwrap_err();
        assert!(error.contains("exit status: 1") && error.contains(words), "{what}: {error}");
        assert_eq!(place.files(), before, "{what}: all is as it was");
    }
    control_plane.restart();
    assert_eq!(listed(control_plane).len(), 2);
}

#[test]
#[ignore = "measures: how long writes wait for a copy of 100,000 domains"]
fn writes_wait_for_a_copy_of_a_long_list_for_less_than_a_second() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane.as_mut().unwrap();
    let place = Place::beside(control_plane);
    control_plane.terminate();
    let fill = "
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000)
        INSERT INTO domain (name, terms, revision, created_at, updated_at) SELECT 'b' || n || '.example.com', '{}', n, 1, 1 FROM n;
        INSERT INTO audit (revision, at, by, deed, domain, after) SELECT revision, 1, 'me', 'domain-added', name, terms FROM domain;
        UPDATE list SET revision = 100000;";
    rusqlite::Connection::open(&place.store).unwrap().execute_batch(fill).unwrap();
    control_plane.restart();
    let (url, done) = (control_plane.url(), AtomicBool::new(false));
    let longest = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let started = Instant::now();
                let request = http().put(format!("{url}/v1/domains/w{n}.com"));
                request.header("authorization", format!("Bearer {ADMIN_TOKEN}")).send_empty().unwrap();
                longest = longest.max(started.elapsed());
            }
            longest
        });
        let started = Instant::now();
        control_plane.cli(&["store", "backup", &place.path("copy.db")]).unwrap();
        let octets = fs::metadata(place.path("copy.db")).unwrap().len();
        eprintln!("a copy of {octets} octets took {:?}", started.elapsed());
        done.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    eprintln!("the longest write took {longest:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

//! Files and ports that are not ours to use: what is said names them, their owner, us, and the cure. Needs root,
//! which alone can be somebody else.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fedgate_tests::artifacts;
use fedgate_tests::control_plane::ANY_PORTS;
use tempfile::TempDir;

use crate::slips::complaint;

/// Somebody who owns nothing, on every system.
const NOBODY: u32 = 65534;

/// A folder that everybody may enter, with the program in it.
struct Place(TempDir);

// === impl Place ===

impl Place {
    /// None where we cannot become somebody else; that is told.
    fn new(test: &str) -> Option<Self> {
        let is_root = rustix::process::geteuid().is_root();
        let can = is_root && nobody().arg("true").status().is_ok_and(|status| status.success());
        if !can {
            // Past the harness, which keeps for itself what a test prints that passes.
            let words = format!("SKIPPED {test}: it takes root, and setpriv\n");
            std::io::stderr().write_all(words.as_bytes()).unwrap();
            return None;
        }
        let place = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(place.0.path(), Permissions::from_mode(0o755)).unwrap();
        fs::copy(artifacts::fedgate(), place.path("fedgate")).unwrap();
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A folder of this owner.
    fn folder(&self, name: &str, owner: u32, mode: u32) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        own(&folder, owner, mode);
        folder
    }

    /// What `fedgate` with these words says as nobody, after `launcher`.
    fn say(&self, launcher: &[&str], words: &[&str]) -> Output {
        let mut command = Command::new(launcher.first().unwrap_or(&"env"));
        command.args(launcher.get(1..).unwrap_or_default()).args(SETPRIV);
        command.arg(self.path("fedgate")).args(words).current_dir(self.0.path());
        command.output().unwrap()
    }

    /// What `fedgate serve` says of a store, with and without `--check-config`; that is the same.
    fn store(&self, launcher: &[&str], file: &Path) -> String {
        let url = format!("sqlite://{}", file.display());
        let serve = ["serve", "--store-url", &url, "--discovery-servers", "192.0.2.53"];
        let serve = [&serve[..], &ANY_PORTS].concat();
        let served = self.say(launcher, &serve);
        let checked = self.say(launcher, &[&serve[..], &["--check-config"]].concat());
        assert_eq!((served.status.code(), checked.status.code()), (Some(1), Some(2)), "{served:?}");
        let told = complaint(&served).lines().last().unwrap().to_owned();
        let told = told.strip_prefix("fedgate: ").unwrap_or_else(|| panic!("{told}")).to_owned();
        assert!(complaint(&checked).contains(&told), "{told}\n{}", complaint(&checked));
        assert!(told.starts_with(&format!("cannot open the store {}: ", file.display())), "{told}");
        told
    }
}

const SETPRIV: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

fn nobody() -> Command {
    let mut command = Command::new(SETPRIV[0]);
    command.args(&SETPRIV[1..]);
    command
}

fn own(file: &Path, owner: u32, mode: u32) {
    chown(file, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
}

fn assert_all(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

/// Marks a database as a store of ours, in which nothing is yet.
const OURS: &str = "PRAGMA application_id = 1717856116; PRAGMA user_version = 1; CREATE TABLE t (x)";
const WE: &str = "we are nobody (uid 65534)";

#[test]
fn a_store_that_is_not_ours_is_named_with_its_owner_and_the_cure() {
    let Some(place) = Place::new("a_store_that_is_not_ours…") else { return };
    // A store as it is after a crash: with a log beside it.
    let made = place.path("made.db");
    let database = rusqlite::Connection::open(&made).unwrap();
    database
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        .unwrap();
    let restore = |folder: &Path, owner: u32, log_owner: u32| {
        let file = folder.join("fedgate.db");
        for (suffix, owner) in [("", owner), ("-wal", log_owner), ("-shm", log_owner)] {
            let (from, to) =
                (format!("{}{suffix}", made.display()), format!("{}{suffix}", file.display()));
            fs::copy(from, &to).unwrap();
            own(Path::new(&to), owner, 0o600);
        }
        file
    };

    let folder = place.folder("restored", NOBODY, 0o700);
    let file = restore(&folder, 0, 0);
    let (shown, all) = (file.display().to_string(), format!("{0} {0}-wal {0}-shm`", file.display()));
    let told = place.store(&[], &file);
    let owner = format!("{shown} belongs to root (uid 0), with mode 0600");
    assert_all(&told, &[&owner, WE, "`chown nobody: ", &all]);

    let folder = place.folder("another_log", NOBODY, 0o700);
    let file = restore(&folder, NOBODY, 1);
    let told = place.store(&[], &file);
    let owner = format!("{}-wal belongs to daemon (uid 1), with mode 0600", file.display());
    assert_all(&told, &[&owner, WE, &format!("`chown nobody: {}-wal", file.display())]);

    let folder = place.folder("closed", 0, 0o700);
    let told = place.store(&[], &folder.join("fedgate.db"));
    let owner = format!("{} belongs to root (uid 0), with mode 0700", folder.display());
    assert_all(&told, &[&owner, WE, &format!("`chmod o+x {}`", folder.display())]);

    let folder = place.folder("not_writable", 0, 0o755);
    let told = place.store(&[], &folder.join("fedgate.db"));
    let owner = format!("{} belongs to root (uid 0), with mode 0755", folder.display());
    assert_all(&told, &[&owner, WE, &format!("`chown nobody: {}`", folder.display())]);

    let folder = place.folder("forgotten_mode", NOBODY, 0o700);
    let file = folder.join("fedgate.db");
    fs::write(&file, "").unwrap();
    own(&file, NOBODY, 0o400);
    assert_all(
        &place.store(&[], &file),
        &["with mode 0400", WE, &format!("`chmod u+rw {}`", file.display())],
    );

    let told = place.store(&[], &place.path("nowhere/fedgate.db"));
    assert_all(&told, &["the directory", "nowhere is not there", "`install -d -o nobody -m 0700 "]);
}

#[test]
fn a_store_on_a_disk_that_is_read_only_or_full_says_so() {
    let Some(place) = Place::new("a_store_on_a_disk…") else { return };
    let disk = place.folder("disk", NOBODY, 0o700);
    let shown = disk.display();
    for (mount, made, expected) in [
        (
            "mount --bind DISK DISK && mount -o remount,bind,ro DISK",
            false,
            "is on a file system that is mounted read-only",
        ),
        (
            "mount --bind DISK DISK && mount -o remount,bind,ro DISK",
            true,
            "is on a file system that is mounted read-only",
        ),
        (
            "mount -t tmpfs -o size=16k,mode=0777 fedgate-tiny DISK && (cat /dev/zero > DISK/ballast || true) 2>/dev/null",
            false,
            "has no room left; make room there",
        ),
    ] {
        let file = disk.join("fedgate.db");
        if made {
            rusqlite::Connection::open(&file).unwrap().execute_batch(OURS).unwrap();
            own(&file, NOBODY, 0o600);
        }
        let script = format!("{} && exec \"$@\"", mount.replace("DISK", &shown.to_string()));
        let launcher = ["unshare", "--mount", "sh", "-c", &script, "sh"];
        let can = Command::new("unshare").args(["--mount", "sh", "-c", &script, "sh", "true"]).status();
        if !can.is_ok_and(|status| status.success()) {
            std::io::stderr()
                .write_all(b"SKIPPED a_store_on_a_disk...: nothing can be mounted\n")
                .unwrap();
            return;
        }
        let told = place.store(&launcher, &file);
        assert_all(&told, &[expected, &shown.to_string()]);
    }
}

#[test]
fn a_file_that_we_may_not_read_is_named_with_its_owner() {
    let Some(place) = Place::new("a_file_that_we_may_not_read…") else { return };
    for (name, words) in [
        ("fedgate.toml", &["serve", "--config", "fedgate.toml", "--check-config"][..]),
        ("anchors", &["serve", "--discovery-trust-anchor", "anchors"]),
        ("alice.token", &["domain", "list", "--token-file", "alice.token"]),
    ] {
        let file = place.path(name);
        fs::write(&file, "x").unwrap();
        own(&file, 0, 0o640);
        let output = place.say(&[], words);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let cure = format!("`chown nobody: {}`", file.display());
        let parts = ["Permission denied", "belongs to root (uid 0), with mode 0640", WE, &cure];
        assert_all(&complaint(&output), &parts);
    }
}

#[test]
fn a_port_that_takes_a_right_says_which() {
    let Some(place) = Place::new("a_port_that_takes_a_right…") else { return };
    // A network of its own, so that nobody's settings say otherwise; 1024 is what a new one has.
    let launcher = ["unshare", "--net"];
    let served = place.say(&launcher, &["serve", "--listen-admin", "0.0.0.0:80"]);
    let told = complaint(&served);
    assert_eq!(served.status.code(), Some(1), "{told}");
    let parts = [
        "cannot listen on 0.0.0.0:80 (admin)",
        "CAP_NET_BIND_SERVICE",
        "nobody (uid 65534)",
        "--listen-admin",
    ];
    assert_all(&told, &parts);
    let served = place.say(&[], &["serve", "--listen-admin", "192.0.2.1:8600"]);
    assert_all(&complaint(&served), &["no interface of this machine has 192.0.2.1"]);
}

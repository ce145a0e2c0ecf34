//! The store's disk is full: writes are refused, and nothing else changes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use fedgate_tests::World;
use fedgate_tests::control_plane::ADMIN_TOKEN;
use fedgate_tests::dns::srv;
use fedgate_tests::process::{Process, eventually, http};
use serde_json::Value;
use tempfile::TempDir;

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check_http2, origin};
use crate::control_plane::verdict;

/// A disk of 1 MiB, in memory. It is mounted in a namespace that only [`TinyDisk::launcher`] enters, and
/// that ends with the process which holds it: nothing is left behind, however the test ends.
struct TinyDisk {
    holder: Process,
    dir: TempDir,
    /// Whether the holder's namespace is also one of users, which it needs where we are not root.
    of_users: bool,
}

// === impl TinyDisk ===

impl TinyDisk {
    /// Mounts it; the reason where this machine lets us not.
    fn mount() -> Result<Self, String> {
        Self::mount_as(true).or_else(|_| Self::mount_as(false))
    }

    fn mount_as(of_users: bool) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        if of_users {
            command.arg("--map-root-user");
        }
        // `exec`, so that the holder is the process that we know.
        let script =
            "mount -t tmpfs -o size=1m fedgate-tiny \"$0\" && echo mounted && exec sleep infinity";
        command.args(["--mount", "sh", "-c", script]).arg(dir.path());
        let mut holder = Process::start(&mut command, &dir.path().with_extension("log"));
        let mut ended = None;
        eventually("the disk is mounted, or cannot be", || {
            ended = holder.ended();
            (ended.is_some() || holder.log().contains("mounted")).then_some(())
        });
        let log = holder.log();
        let _ = fs::remove_file(dir.path().with_extension("log"));
        match ended {
            Some(status) => Err(format!("{status}: {log}")),
            None => Ok(Self { holder, dir, of_users }),
        }
    }

    /// The command that runs the control plane where the disk is, and has it put its store there.
    fn launcher(&self) -> Vec<String> {
        let store = format!("FEDGATE_STORE_URL=sqlite://{}/fedgate.db", self.dir.path().display());
        let target = format!("--target={}", self.holder.id());
        let mut words = vec!["env", &store, "nsenter", &target, "--mount", "--wd=."];
        if self.of_users {
            words.extend(["--user", "--preserve-credentials"]);
        }
        words.into_iter().map(str::to_owned).collect()
    }

    /// A path on the disk, as seen from outside.
    fn path(&self, name: &str) -> PathBuf {
        let inside = self.dir.path().strip_prefix("/").unwrap();
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut ballast = File::create(self.path("ballast")).unwrap();
        while ballast.write_all(&[0; 512]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }
}

/// Puts a domain on the list; status and body of the answer.
fn put(world: &World, domain: &str) -> (u16, Value) {
    let url = format!("{}/v1/domains/{domain}", world.control_plane.as_ref().unwrap().url());
    let request = http().put(url).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let mut answer = request.send_empty().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or_default())
}

#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_heals() {
    let disk = match TinyDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            // Past the harness, which keeps for itself what a test prints that passes.
            let words = format!("SKIPPED a_full_disk…: no disk can be mounted here: {reason}\n");
            std::io::stderr().write_all(words.as_bytes()).unwrap();
            return;
        }
    };
    let mut world = World::builder()
        .launcher(disk.launcher())
        .records(["a.com", "z.com"].map(|domain| srv(domain, 3600, "infra.x.com.")))
        .allow(&["a.com"])
        .start();
    assert!(disk.path("fedgate.db").exists(), "the store is on the tiny disk");
    let list = |world: &World| {
        world.control_plane.as_ref().unwrap().cli(&["domain", "list", "--json"]).unwrap()
    };

    disk.fill();
    // The store's files may have some room in them still.
    let (number, problem) = (0..10_000)
        .map(|n| (n, put(&world, &format!("d{n}.com"))))
        .find(|(_, (status, _))| *status != 201)
        .map(|(n, (status, problem))| {
            assert_eq!(status, 507, "{problem}");
            (n, problem)
        })
        .expect("a disk that is full");
    assert!(problem["detail"].as_str().unwrap().contains("disk is full"), "{problem}");
    let acknowledged: Vec<_> = (0..number).map(|n| format!("d{n}.com")).collect();
    let check = |world: &World| {
        let list = list(world);
        assert!(list.contains("\"a.com\""));
        for domain in &acknowledged {
            assert!(list.contains(&format!("\"{domain}\"")), "{domain} was acknowledged, and is lost");
        }
        assert!(!list.contains(&format!("\"d{number}.com\"")), "what was refused is not there");
        assert_eq!(verdict(world, "a.com")["hosts"][0], "infra.x.com");
    };
    check(&world);
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "full", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &caller, "full_unlisted", &[origin("z.com")], Refuse(400, "federation-denied"));

    // Killed, it starts and reads from a disk that is full.
    world.control_plane().kill();
    world.control_plane().restart();
    check(&world);
    assert_eq!(put(&world, "more.com").0, 507, "it is full still");

    disk.make_room();
    assert_eq!(put(&world, "z.com").0, 201);
    check(&world);
    eventually("the new domain passes", || {
        let answer = world.run(async { caller.call("room", &[origin("z.com")]).await });
        (answer.unwrap().status == 200).then_some(())
    });
}

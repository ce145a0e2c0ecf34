//! A small disk of one's own, for a store that is to have trouble with it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, eventually, run};

/// A disk in memory. It is mounted in a namespace that only [`Disk::launcher`] enters, and that ends with the
/// process which holds it: nothing is left behind, however the test ends.
#[derive(Debug)]
pub struct Disk {
    holder: Process,
    dir: TempDir,
    /// Whether the holder's namespace is also one of users, which it needs where we are not root.
    of_users: bool,
}

// === impl Disk ===

impl Disk {
    /// Mounts one of this size; the reason where this machine lets us not.
    pub fn mount(mib: u32) -> Result<Self, String> {
        Self::mount_as(mib, true).or_else(|_| Self::mount_as(mib, false))
    }

    fn mount_as(mib: u32, of_users: bool) -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("a folder for a disk");
        let mut command = Command::new("unshare");
        if of_users {
            command.arg("--map-root-user");
        }
        // `exec`, so that the holder is the process that we know.
        let script = format!(
            "mount -t tmpfs -o size={mib}m fedgate-disk \"$0\" && echo mounted && exec sleep infinity"
        );
        command.args(["--mount", "sh", "-c", &script]).arg(dir.path());
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
    pub fn launcher(&self) -> Vec<String> {
        let store = format!("FEDGATE_STORE_URL=sqlite://{}/fedgate.db", self.dir.path().display());
        let mut words = vec!["env".to_owned(), store];
        words.extend(self.inside());
        words
    }

    /// Where it is mounted, for who is [inside](Self::inside).
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What is to stand before a command, so that it runs where the disk is.
    pub fn inside(&self) -> Vec<String> {
        let target = format!("--target={}", self.holder.id());
        let mut words = vec!["nsenter", &target, "--mount", "--wd=."];
        if self.of_users {
            words.extend(["--user", "--preserve-credentials"]);
        }
        words.into_iter().map(str::to_owned).collect()
    }

    /// A path on the disk, as seen from outside.
    pub fn path(&self, name: &str) -> PathBuf {
        let inside = self.dir.path().strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut ballast = File::create(self.path("ballast")).expect("a file on the disk");
        for piece in [&[0; 16_384][..], &[0; 512]] {
            while ballast.write_all(piece).is_ok() {}
        }
    }

    /// Undoes [`Disk::fill`].
    pub fn make_room(&self) {
        fs::remove_file(self.path("ballast")).expect("the disk was filled");
    }

    /// Whether it can be written. Nobody may have a file of it open for writing when it is no longer to be.
    pub fn allow_writes(&self, allowed: bool) -> Result<(), String> {
        let options = if allowed { "remount,rw" } else { "remount,ro" };
        let words = self.inside();
        let (program, arguments) = words.split_first().expect("a command");
        let mut command = Command::new(program);
        command.args(arguments).args(["mount", "-o", options]).arg(self.dir.path());
        run(&mut command).map(drop)
    }
}

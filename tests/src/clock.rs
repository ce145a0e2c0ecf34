//! A wall clock that a test sets, for Envoy and the control plane of one world. The machine's stays as it is.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::run;

/// The library that programs get their time from.
const SOURCE: &str = include_str!("clock.c");

/// A wall clock, which goes right until it is set.
#[derive(Debug)]
pub struct WallClock {
    dir: TempDir,
}

// === impl WallClock ===

impl WallClock {
    /// A new one.
    ///
    /// # Panics
    /// Where there is no C compiler.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("fedgate-clock-").tempdir().expect("a folder");
        let source = dir.path().join("clock.c");
        fs::write(&source, SOURCE).expect("the source");
        let clock = Self { dir };
        clock.set(0);
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-shared", "-fPIC", "-o"]).arg(clock.library()).arg(source);
        run(&mut cc).expect("the clock is compiled");
        clock
    }

    /// Sets it so many seconds before or behind the right time.
    pub fn set(&self, seconds: i64) {
        // Written in place: programs look at this very file, which is never to be shorter.
        let file = File::options().create(true).truncate(false).write(true).open(self.file());
        let set = file.and_then(|file| file.write_all_at(&seconds.to_ne_bytes(), 0));
        set.expect("the clock is set");
    }

    /// The variables of a program that goes by it.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library()), ("WALL_CLOCK_STEP", self.file())]
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("step")
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

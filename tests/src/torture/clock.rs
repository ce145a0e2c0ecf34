//! A wall clock of one's own for a program that is linked dynamically, by Debian's libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use fedgate_tests::process::run;

/// As far as a clock is stepped, in seconds.
pub(crate) const STEP_S: u64 = 3600;

/// A clock that can be stepped.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

// === impl Clock ===

impl Clock {
    /// One with its files in this folder, of this name; the reason where there is none here.
    pub(crate) fn install(dir: &Path, name: &str) -> Result<Self, String> {
        let installed = library().ok_or("libfaketime is not installed")?;
        // A copy of its own, so that it is there, and stays as it is, for as long as the program runs.
        let clock = Self { library: dir.join(format!("{name}.so")), file: dir.join(name) };
        let _ = fs::remove_file(&clock.library);
        fs::copy(installed, &clock.library).map_err(|error| error.to_string())?;
        clock.set(&format!("+{STEP_S}"));
        let [program, arguments @ ..] = &clock.launcher()[..] else { return Err(String::new()) };
        let told = run(Command::new(program).args(arguments).args(["date", "+%s"]))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if !told.trim().parse::<u64>().is_ok_and(|told| told > now + STEP_S / 2) {
            return Err(format!("libfaketime steps no clock here: it is {now}, and it tells {told}"));
        }
        clock.set("+0");
        Ok(clock)
    }

    /// Steps it by so many seconds from the true time; in one step, so that nobody reads half of it.
    pub(crate) fn set(&self, by: &str) {
        let next = self.library.with_extension("next");
        fs::write(&next, format!("{by}\n")).expect("the clock's file");
        fs::rename(next, &self.file).expect("the clock's file moves into place");
    }

    /// What a command has to begin with, so that its program's wall clock is this one. The clock that only
    /// goes forward is left alone, as the system leaves it.
    pub(crate) fn launcher(&self) -> Vec<String> {
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "FAKETIME_DONT_RESET=1".to_owned(),
        ]
    }
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.exists())
}

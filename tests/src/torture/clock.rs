//! A wall clock of one's own for a program that is linked dynamically, by Debian's libfaketime.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that says by how much a program's clock is wrong; the reason where there is no such clock.
pub(crate) fn install(file: &Path) -> Result<PathBuf, String> {
    library().ok_or("libfaketime is not installed")?;
    set(file, "+0");
    Ok(file.to_owned())
}

/// In one step, so that nobody reads half of it.
pub(crate) fn set(file: &Path, by: &str) {
    let next = file.with_extension("next");
    fs::write(&next, format!("{by}\n")).expect("the clock's file");
    fs::rename(next, file).expect("the clock's file moves into place");
}

/// What a command has to begin with, so that its program's wall clock goes by that file. The clock that only
/// goes forward is left alone, as the system leaves it.
pub(crate) fn launcher(file: &Path) -> Vec<String> {
    let library = library().unwrap_or_default();
    vec![
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "FAKETIME_DONT_RESET=1".to_owned(),
    ]
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.exists())
}

//! Where the programs under test are: built by cargo, or installed by `scripts/setup`.

use std::path::{Path, PathBuf};

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The control plane and command line, of the same build as this program.
pub fn fedgate() -> PathBuf {
    existing(build_folder().join("fedgate"), "cargo build")
}

/// The filter, as released.
pub fn filter() -> PathBuf {
    let target = build_folder().parent().map(Path::to_owned).unwrap_or_default();
    existing(target.join("fedgate_filter.wasm"), "scripts/build")
}

/// Envoy itself, and no wrapper around it: its pid is to be Envoy's.
pub fn envoy() -> PathBuf {
    existing(repository().join(".tools/envoy"), "scripts/setup")
}

/// `target/debug` or `target/release`: the folder, or its parent, that this program runs from.
fn build_folder() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    let folder = program.parent().expect("a program is in a folder");
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    folder.expect("deps is in a folder").to_owned()
}

fn existing(path: PathBuf, cure: &str) -> PathBuf {
    assert!(path.exists(), "{} is missing; `{cure}` makes it", path.display());
    path
}

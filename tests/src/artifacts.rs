//! Where the programs under test are: built by cargo, or installed by `scripts/setup`.

use std::path::{Path, PathBuf};

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// A file of the repository, by its path there.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
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
    let tools = repository().join(".tools");
    match std::env::var(ENVOY_VERSION) {
        Ok(version) => {
            let envoy = tools.join(format!("envoy-{version}/envoy/_bin/envoy"));
            existing(envoy, &format!("{ENVOY_VERSION}={version} scripts/setup"))
        }
        Err(_) => existing(tools.join("envoy"), "scripts/setup"),
    }
}

/// The minor version of that Envoy: 40 is 1.40.
pub fn envoy_minor() -> u32 {
    let version = std::env::var(ENVOY_VERSION).unwrap_or_else(|_| "1.40.0".to_owned());
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok());
    minor.unwrap_or_else(|| panic!("{ENVOY_VERSION} is {version}, which is no version"))
}

/// Names another version of Envoy than the usual one.
const ENVOY_VERSION: &str = "FEDGATE_ENVOY";

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

//! Our certificates, with their keys, as they lie in files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::codes;
use crate::ledger::Ledger;
use crate::probe::{Identity, IdentityError};

/// The most octets of a file; the roots of the world have some 250 kB.
const MAX: u64 = 4 << 20;
/// Mode bits of those who are neither owner nor group.
#[cfg(unix)]
const OTHERS: u32 = 0o007;

/// A certificate and its key, as files.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// PEM, leaf first.
    pub certificate: &'a Path,
    /// PEM.
    pub key: Option<&'a Path>,
}

/// What is usable of a [`Pair`].
pub(super) struct Loaded {
    /// What the file has, leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Where the key goes with it.
    pub(super) identity: Option<Identity>,
}

/// The file, where it can be read.
pub(super) fn read(ledger: &mut Ledger<'_>, path: &Path) -> Option<Vec<u8>> {
    let claim = format!("{} can be read", path.display());
    match contents(path) {
        Ok(contents) => Some(contents),
        Err(why) => {
            ledger.found(claim, &codes::FILE_UNREADABLE, why);
            None
        }
    }
}

/// A pipe or a device would not end, or not begin.
fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| error.to_string();
    if !path.metadata().map_err(told)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut contents = Vec::new();
    File::open(path).and_then(|file| file.take(MAX + 1).read_to_end(&mut contents)).map_err(told)?;
    if u64::try_from(contents.len()).is_ok_and(|length| length <= MAX) {
        Ok(contents)
    } else {
        Err(format!("it has more than {MAX} octets"))
    }
}

/// Looks at a certificate's file and at its key's.
pub(super) fn pair(ledger: &mut Ledger<'_>, pair: Pair<'_>) -> Option<Loaded> {
    let pem = read(ledger, pair.certificate)?;
    let chain: Vec<_> = match CertificateDer::pem_slice_iter(&pem).collect() {
        Ok(chain) => chain,
        Err(error) => {
            ledger.found("the file is PEM", &codes::PEM_UNREADABLE, error.to_string());
            return None;
        }
    };
    if chain.is_empty() {
        ledger.found("the file is PEM", &codes::PEM_UNREADABLE, "no certificate is in it");
        return None;
    }
    let identity = pair.key.and_then(|path| key(ledger, &pem, path));
    if pair.key.is_none() {
        ledger.not_looked_at(GOES_WITH, "the key was not named");
    }
    Some(Loaded { chain, identity })
}

const GOES_WITH: &str = "the key belongs to it";

fn key(ledger: &mut Ledger<'_>, chain: &[u8], path: &Path) -> Option<Identity> {
    let key = read(ledger, path)?;
    mode(ledger, path);
    let trouble = match Identity::read(chain, &key) {
        Ok(identity) => {
            ledger.passed(GOES_WITH, path.display().to_string());
            return Some(identity);
        }
        Err(trouble) => trouble,
    };
    let is_encrypted = String::from_utf8_lossy(&key).contains("ENCRYPTED");
    let code = match &trouble {
        _ if is_encrypted => &codes::KEY_ENCRYPTED,
        IdentityError::Pair(rustls::Error::InconsistentKeys(_)) => &codes::KEY_MISMATCH,
        IdentityError::Pair(_)
        | IdentityError::Certificate(_)
        | IdentityError::Key(_)
        | IdentityError::Made(_) => &codes::PEM_UNREADABLE,
    };
    ledger.found(GOES_WITH, code, format!("{}: {trouble}", path.display()));
    None
}

#[cfg(unix)]
fn mode(ledger: &mut Ledger<'_>, path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let claim = "the key is kept from others";
    let Ok(about) = path.metadata() else { return ledger.not_looked_at(claim, "its mode is unknown") };
    let mode = about.permissions().mode();
    let seen = format!("{} has the mode {:04o}", path.display(), mode & 0o7777);
    if mode & OTHERS == 0 {
        ledger.passed(claim, seen);
    } else {
        ledger.found(claim, &codes::KEY_EXPOSED, seen);
    }
}

#[cfg(not(unix))]
fn mode(ledger: &mut Ledger<'_>, _: &Path) {
    ledger.not_looked_at("the key is kept from others", "this system has no modes");
}

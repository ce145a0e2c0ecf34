//! Where the allow list is kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use fedgate_store::etcd::{Access, Place};

use super::{File, Reader, Settings, either};

/// A store, and how we prove to it who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StorePlace {
    /// Where it is.
    pub(crate) url: StoreUrl,
    /// Of use with etcd alone.
    pub(crate) access: Access,
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// In this file, which is ours alone.
    Sqlite(PathBuf),
    /// In etcd, which several control planes share.
    Etcd(Place),
}

pub(super) fn read(settings: &mut Settings, file: &mut File, reader: &mut Reader) -> StorePlace {
    let url = either(&mut settings.store_url, &mut file.store.url);
    let url = url.unwrap_or_else(|| "sqlite://fedgate.db".to_owned());
    let url = reader.parse("store.url", &url, StoreUrl::Sqlite(PathBuf::new()));
    let path = |flag, file| either(flag, file).map(PathBuf::from);
    let ca = path(&mut settings.store_ca, &mut file.store.ca);
    let certificate = path(&mut settings.store_certificate, &mut file.store.certificate);
    let key = path(&mut settings.store_key, &mut file.store.key);
    let user = either(&mut settings.store_user, &mut file.store.user);
    let password = path(&mut settings.store_password_file, &mut file.store.password_file);
    let is_secure = matches!(&url, StoreUrl::Etcd(place) if place.is_secure);
    let is_etcd = matches!(url, StoreUrl::Etcd(_));
    for (name, given) in [("ca", &ca), ("certificate", &certificate), ("key", &key)] {
        let stray = given.is_some() && !is_secure;
        reader.check(&format!("store.{name}"), !stray, "is for a store at etcds:// alone");
    }
    for (name, given) in [("user", user.is_some()), ("password_file", password.is_some())] {
        reader.check(&format!("store.{name}"), !given || is_etcd, "is for a store in etcd alone");
    }
    reader.check(
        "store.ca",
        ca.is_some() || !is_secure,
        "is needed for etcds://: the authorities of the members' certificates, as PEM",
    );
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            reader.errors.push("store.key: is missing beside store.certificate".to_owned());
            None
        }
        (None, Some(_)) => {
            reader.errors.push("store.certificate: is missing beside store.key".to_owned());
            None
        }
    };
    let user = match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) => {
            reader.errors.push("store.password_file: is missing beside store.user".to_owned());
            None
        }
        (None, Some(_)) => {
            reader.errors.push("store.user: is missing beside store.password_file".to_owned());
            None
        }
    };
    StorePlace { url, access: Access { ca, identity, user } }
}

impl StorePlace {
    /// What the keys of the configuration say, in the order of the documentation.
    pub(super) fn told(&self) -> Vec<(&'static str, Option<String>)> {
        let Self { url, access: Access { ca, identity, user } } = self;
        let path = |path: &PathBuf| path.display().to_string();
        vec![
            ("store.url", Some(url.to_string())),
            ("store.ca", ca.as_ref().map(path)),
            ("store.certificate", identity.as_ref().map(|(certificate, _)| path(certificate))),
            ("store.key", identity.as_ref().map(|(_, key)| path(key))),
            ("store.user", user.as_ref().map(|(user, _)| user.clone())),
            ("store.password_file", user.as_ref().map(|(_, password)| path(password))),
        ]
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("sqlite", _)) => Err("names no file; write e.g. sqlite://fedgate.db".to_owned()),
            Some(("etcd" | "etcds", _)) => {
                text.parse().map(Self::Etcd).map_err(|error| format!("{error}"))
            }
            Some((scheme, _)) => {
                Err(format!("only sqlite://, etcd:// and etcds:// are supported, not {scheme}://"))
            }
            None => Err("is no URL; write e.g. sqlite://fedgate.db".to_owned()),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Etcd(place) => place.fmt(f),
        }
    }
}

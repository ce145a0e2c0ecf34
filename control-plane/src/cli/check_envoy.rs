//! `fedgate check --envoy`: reads an Envoy's configuration, and has it looked at.

use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedgate_check::envoy::{self, Configuration, MAX_SIZE, Unreadable};
use fedgate_check::{Ledger, Report};
use fedgate_policy::{UnixTime, legible};
use reqwest::Url;

use super::Error;
use super::client::http_to;

/// How long an Envoy may take to tell its configuration.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a configuration is.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// At an admin interface.
    Admin(Url),
    /// In a file.
    File(PathBuf),
}

/// Why a configuration cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// It cannot be read at all.
    #[error("cannot read an Envoy's configuration from {place}: {why}")]
    Unreachable {
        /// The URL or file.
        place: String,
        /// What came instead.
        why: String,
    },
    /// It is something else.
    #[error("{place}: {why}")]
    Unreadable {
        /// The URL or file.
        place: String,
        /// What it is.
        why: Unreadable,
    },
}

// === impl Source ===

/// What is no URL of HTTP is a file.
impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !(text.starts_with("http://") || text.starts_with("https://")) {
            return Ok(Self::File(text.into()));
        }
        let mut url: Url = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
        // Behind a proxy, such as kubectl's, it has a path before it.
        let before = url.path().trim_end_matches('/').trim_end_matches("/config_dump").to_owned();
        url.set_path(&format!("{before}/config_dump"));
        url.set_query(Some("include_eds"));
        url.set_fragment(None);
        Ok(Self::Admin(url))
    }
}

impl Source {
    /// Reads it, and has it looked at.
    pub(super) async fn look(&self, mut ledger: Ledger<'_>) -> Result<Report, Error> {
        let place = match self {
            Self::Admin(url) => without_password(url),
            Self::File(path) => path.display().to_string(),
        };
        let place = legible(&place, 300);
        ledger.section("Envoy");
        ledger.begins("the configuration can be read");
        let octets = match self {
            Self::Admin(url) => fetch(url, TIMEOUT).await,
            Self::File(path) => {
                std::fs::File::open(path).map_err(|error| error.to_string()).and_then(read)
            }
        };
        let octets = octets.map_err(|why| SourceError::Unreachable { place: place.clone(), why })?;
        let configuration = Configuration::parse(&octets)
            .map_err(|why| SourceError::Unreadable { place: place.clone(), why })?;
        ledger.passed("the configuration can be read", format!("{} KiB", octets.len() / 1024));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        envoy::lint(&configuration, UnixTime(i64::try_from(now).unwrap_or(i64::MAX)), &mut ledger);
        Ok(ledger.close(place))
    }
}

/// As it may be told of.
pub(super) fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for URLs that have no place for one.
    let _ = url.set_password(None);
    url.to_string()
}

/// One octet more than may be, so that it shows.
fn read(file: std::fs::File) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let most = u64::try_from(MAX_SIZE).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut octets).map_err(|error| error.to_string())?;
    Ok(octets)
}

/// What stands there, if it comes in time.
pub(super) async fn fetch(url: &Url, patience: Duration) -> Result<Vec<u8>, String> {
    let told = |error: reqwest::Error| {
        let cause =
            std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{}{cause}; is it the address of Envoy's admin interface?", error.without_url())
    };
    let http = http_to(url).timeout(patience).build().map_err(told)?;
    let mut answer = http.get(url.clone()).send().await.map_err(told)?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}; is it Envoy's admin interface?", answer.status()));
    }
    let mut octets = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        octets.extend_from_slice(&chunk);
        if octets.len() > MAX_SIZE {
            break;
        }
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_dump_is_not_the_operators_to_know() {
        for (text, url) in [
            ("http://127.0.0.1:9901", "http://127.0.0.1:9901/config_dump?include_eds"),
            ("http://127.0.0.1:9901/", "http://127.0.0.1:9901/config_dump?include_eds"),
            ("http://[::1]:9901/config_dump?mask=x#y", "http://[::1]:9901/config_dump?include_eds"),
            (
                "https://k8s/pods/x:15000/proxy/",
                "https://k8s/pods/x:15000/proxy/config_dump?include_eds",
            ),
        ] {
            let Ok(Source::Admin(read)) = text.parse() else { panic!("{text} is no URL") };
            assert_eq!(read.as_str(), url);
        }
        assert!(
            matches!("dump.json".parse(), Ok(Source::File(path)) if path.as_os_str() == "dump.json")
        );
        assert!("http://:x".parse::<Source>().is_err());
    }

    #[test]
    fn a_password_in_the_url_is_not_repeated() {
        let url = "http://me:secret@127.0.0.1:9901/".parse().unwrap();
        assert_eq!(without_password(&url), "http://me@127.0.0.1:9901/");
    }
}

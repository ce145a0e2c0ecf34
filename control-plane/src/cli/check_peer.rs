//! `fedgate check DOMAIN`: what the tester of another backend is told, from flags and configuration.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use fedgate_check::certificate::{self, RevocationLists, Trust};
use fedgate_check::probe::Identity;
use fedgate_check::{Ledger, peer};
use fedgate_policy::{Domain, UnixTime};

use super::Error;
use super::store::FileError;
use crate::config::{self, Config, Settings};
use crate::serve::ServeError;
use crate::spelling;

/// How to look at another backend.
#[derive(Debug, Args)]
#[command(next_help_heading = "Another backend")]
pub(super) struct PeerArgs {
    /// Our own backend domain, in whose name they are called
    #[arg(long, value_name = "DOMAIN", value_parser = spelling::domain)]
    pub(super) own_domain: Option<Domain>,
    /// The certificate that our Envoy shows when it calls: PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) certificate: Option<PathBuf>,
    /// The key of that certificate: PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(super) key: Option<PathBuf>,
    /// The authorities that our Envoy trusts: PEM
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// Revocation lists of those authorities: PEM
    #[arg(long, value_name = "FILE")]
    pub(super) crl: Option<PathBuf>,
    /// A DNS server to ask, and no other; said again, one more; without it, those of the configuration, or the
    /// system's
    #[arg(long, value_name = "IP[:PORT]", value_parser = config::dns_server)]
    dns_server: Vec<SocketAddr>,
    /// Connect to addresses also that are not public
    #[arg(long)]
    allow_private_addresses: bool,
    /// For how long one step may take: a question to DNS, a connection, a handshake, a call
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,
    /// The control plane's configuration, of which [discovery] counts
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

// === impl PeerArgs ===

impl PeerArgs {
    /// Looks at all of `domain`.
    pub(super) async fn look(&self, ledger: &mut Ledger<'_>, domain: &Domain) -> Result<(), Error> {
        let dns = self.dns()?;
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let (chain, secret) = (read(certificate)?, read(key)?);
                Some(Identity::read(&chain, &secret).map_err(|cause| unusable(certificate, &cause))?)
            }
            (Some(_) | None, _) => None,
        };
        let trust = file(self.trust.as_deref(), Trust::read)?;
        let lists = file(self.crl.as_deref(), RevocationLists::read)?.unwrap_or_default();
        let question = peer::Question {
            domain,
            own_domain: self.own_domain.as_ref(),
            identity: identity.as_ref(),
            trust: trust.as_ref().ok_or(certificate::NO_BUNDLE),
            lists: &lists,
            patience: self.timeout,
            now: now(),
        };
        peer::look(ledger, &dns, &question).await;
        Ok(())
    }

    pub(super) fn dns(&self) -> Result<peer::Dns, Error> {
        let config = match &self.config {
            None => None,
            path @ Some(_) => {
                let settings = Settings { config: path.clone(), ..Settings::default() };
                Some(Config::load(&settings).map_err(ServeError::from)?)
            }
        };
        let config = config.as_ref();
        let mut servers = self.dns_server.clone();
        if servers.is_empty() {
            servers = config.map(|config| config.servers.clone()).unwrap_or_default();
        }
        let private = self.allow_private_addresses || config.is_some_and(|it| it.private_addresses);
        let anchors = config.map(|config| config.dnssec.anchors.clone()).unwrap_or_default();
        peer::Dns::new(&servers, self.timeout, private, &anchors).map_err(|error| {
            Error::Use(error.to_string().replace("--discovery-servers", "--dns-server"))
        })
    }
}

pub(super) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

pub(super) fn file<T, E: ToString>(
    path: Option<&Path>,
    parse: fn(&[u8]) -> Result<T, E>,
) -> Result<Option<T>, Error> {
    let Some(path) = path else { return Ok(None) };
    parse(&read(path)?).map(Some).map_err(|cause| unusable(path, &cause))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|cause| unusable(path, &cause))
}

fn unusable(path: &Path, cause: &impl ToString) -> Error {
    FileError::Unusable { path: path.to_owned(), cause: cause.to_string() }.into()
}

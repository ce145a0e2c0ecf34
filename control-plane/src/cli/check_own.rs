//! `fedgate check --self`: what the tester of our own side is told, from flags and from where setup puts files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use fedgate_check::certificate::RevocationLists;
use fedgate_check::{Ledger, own};
use reqwest::Url;
use serde::Deserialize;

use super::check_peer::{PeerArgs, file, now};
use super::client::{Client, ClientError};
use super::{Error, Remote, check_envoy};

/// Where docs/setup.md puts them.
const SERVER: [&str; 2] = ["/etc/fedgate/tls/server.pem", "/etc/fedgate/tls/server.key"];
const CLIENT: [&str; 2] = ["/etc/fedgate/tls/client.pem", "/etc/fedgate/tls/client.key"];
const TRUST: &str = "/etc/fedgate/tls/trust.pem";

/// What only our own side has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Our own side")]
pub(super) struct OwnArgs {
    /// The certificate that our ingress presents: PEM, leaf first; without it, /etc/fedgate/tls/server.pem, if it is
    /// there, as client.pem and trust.pem are
    #[arg(long, value_name = "FILE", requires = "server_key", requires = "own")]
    server_certificate: Option<PathBuf>,
    /// The key of that certificate: PEM
    #[arg(long, value_name = "FILE", requires = "server_certificate")]
    server_key: Option<PathBuf>,
    /// The admin interface of an Envoy of ours, whose filters are asked how they stand; said again, one more
    #[arg(long, value_name = "URL", requires = "own")]
    envoy_admin: Vec<Url>,
    #[command(flatten)]
    remote: Remote,
}

// === impl PeerArgs ===

impl PeerArgs {
    /// Looks at our own side.
    pub(super) async fn look_at_us(&self, ledger: &mut Ledger<'_>, own: &OwnArgs) -> Result<(), Error> {
        let dns = self.dns()?;
        let lists = file(self.crl.as_deref(), RevocationLists::read)?.unwrap_or_default();
        let mut envoys = Vec::new();
        for url in &own.envoy_admin {
            envoys.push((url.to_string(), statistics(url, self.timeout).await));
        }
        let question = own::Question {
            domain: self.own_domain.as_ref(),
            server: pair(own.server_certificate.as_deref(), own.server_key.as_deref(), SERVER),
            client: pair(self.certificate.as_deref(), self.key.as_deref(), CLIENT),
            trust: self.trust.as_deref().or_else(|| usual(TRUST)),
            lists: &lists,
            patience: self.timeout,
            control_plane: status(&own.remote).await,
            envoys,
            now: now(),
        };
        own::look(ledger, &dns, &question).await;
        Ok(())
    }
}

/// What the control plane says of itself.
async fn status(remote: &Remote) -> own::Answer {
    let client = match Client::new(remote) {
        Ok(client) => client,
        Err(error) => return own::Answer::NotTold(error.to_string()),
    };
    match client.get(&["status"]).await.and_then(|answer| answer.read()) {
        Ok(status) => own::Answer::Told(Box::new(status)),
        Err(error @ (ClientError::Unreachable { .. } | ClientError::Strange { .. })) => {
            own::Answer::Away(error.to_string())
        }
        Err(error) => own::Answer::NotTold(error.to_string()),
    }
}

/// What an Envoy says of our filters.
async fn statistics(admin: &Url, patience: Duration) -> Result<Vec<own::Stat>, String> {
    #[derive(Deserialize)]
    struct Statistics {
        stats: Vec<own::Stat>,
    }
    let mut url = admin.clone();
    url.set_path(&format!("{}/stats", admin.path().trim_end_matches('/')));
    url.set_query(Some(r"format=json&filter=^wasmcustom\.fedgate\."));
    let octets = check_envoy::fetch(&url, patience).await?;
    let read: Result<Statistics, _> = serde_json::from_slice(&octets);
    Ok(read.map_err(|_| "what answers is no admin interface of an Envoy".to_owned())?.stats)
}

fn pair<'a>(
    certificate: Option<&'a Path>,
    key: Option<&'a Path>,
    [usual_certificate, usual_key]: [&'static str; 2],
) -> Option<own::Pair<'a>> {
    match certificate {
        Some(certificate) => Some(own::Pair { certificate, key }),
        None => usual(usual_certificate)
            .map(|certificate| own::Pair { certificate, key: Some(Path::new(usual_key)) }),
    }
}

fn usual(path: &'static str) -> Option<&'static Path> {
    let path = Path::new(path);
    path.exists().then_some(path)
}

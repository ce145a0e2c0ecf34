//! `fedgate check --self`: what the tester of our own side is told, from flags and from where setup puts files.

use std::path::{Path, PathBuf};

use clap::Args;
use fedgate_check::certificate::RevocationLists;
use fedgate_check::{Ledger, own};

use super::Error;
use super::check_peer::{PeerArgs, file, now};

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
}

// === impl PeerArgs ===

impl PeerArgs {
    /// Looks at our own side.
    pub(super) async fn look_at_us(&self, ledger: &mut Ledger<'_>, own: &OwnArgs) -> Result<(), Error> {
        let dns = self.dns()?;
        let lists = file(self.crl.as_deref(), RevocationLists::read)?.unwrap_or_default();
        let question = own::Question {
            domain: self.own_domain.as_ref(),
            server: pair(own.server_certificate.as_deref(), own.server_key.as_deref(), SERVER),
            client: pair(self.certificate.as_deref(), self.key.as_deref(), CLIENT),
            trust: self.trust.as_deref().or_else(|| usual(TRUST)),
            lists: &lists,
            patience: self.timeout,
            now: now(),
        };
        own::look(ledger, &dns, &question).await;
        Ok(())
    }
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

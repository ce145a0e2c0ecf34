//! `fedgate check --self`: what the tester of our own side is told, from flags and from where setup puts files.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use fedgate_allow_list::terms::Mode;
use fedgate_check::certificate::RevocationLists;
use fedgate_check::{Ledger, own};
use fedgate_policy::Domain;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::check_peer::{PeerArgs, file, now};
use super::client::{Client, ClientError};
use super::{Error, Remote, check_envoy};
use crate::contract::{PartnerInList, PartnerPage, ShownPartner};
use crate::spelling;

/// Where docs/setup.md puts them.
const SERVER: [&str; 2] = ["/etc/fedgate/tls/server.pem", "/etc/fedgate/tls/server.key"];
const CLIENT: [&str; 2] = ["/etc/fedgate/tls/client.pem", "/etc/fedgate/tls/client.key"];
const TRUST: &str = "/etc/fedgate/tls/trust.pem";
/// So many partners are asked for, to find some that the gate does not spare.
const MAX_PARTNERS: usize = 8;
/// Who called within this time calls again soon, and is refused no more in `fedgate status`.
const LATELY: Duration = Duration::from_secs(3600);

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
    /// A partner on our list, in whose name our ingress is to refuse our certificate, and whose clock ours is
    /// compared with; said again, one more; without it, the control plane names some, and for the first those alone who
    /// called within the hour
    #[arg(long, value_name = "DOMAIN", value_parser = spelling::domain, requires = "own")]
    partner: Vec<Domain>,
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
            envoys.push((check_envoy::without_password(url), statistics(url, self.timeout).await));
        }
        let (partners, callers) = match partners(own).await {
            Ok((partners, callers)) => (Ok(partners), callers),
            Err(why) => (Err(why), Vec::new()),
        };
        let question = own::Question {
            domain: self.own_domain.as_ref(),
            server: pair(own.server_certificate.as_deref(), own.server_key.as_deref(), SERVER),
            client: pair(self.certificate.as_deref(), self.key.as_deref(), CLIENT),
            trust: self.trust.as_deref().or_else(|| usual(TRUST)),
            lists: &lists,
            patience: self.timeout,
            control_plane: status(&own.remote).await,
            envoys,
            partners,
            callers,
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
    let answer = client.get(&["status"]).await.and_then(|answer| answer.json());
    match answer.map(|told| (told.get("version").is_some(), serde_json::from_value(told))) {
        Ok((_, Ok(status))) => own::Answer::Told(Box::new(status)),
        Ok((true, Err(error))) => {
            own::Answer::NotTold(format!("it speaks another version than this command: {error}"))
        }
        Ok((false, Err(error))) => own::Answer::Away(format!("what answers is none: {error}")),
        Err(error @ (ClientError::Unreachable { .. } | ClientError::Strange { .. })) => {
            own::Answer::Away(error.to_string())
        }
        Err(error) => own::Answer::NotTold(error.to_string()),
    }
}

/// Partners whom the gate refuses what their certificate does not prove, who called last first; and those of them in
/// whose name that may be tried.
async fn partners(own: &OwnArgs) -> Result<(Vec<Domain>, Vec<Domain>), String> {
    if !own.partner.is_empty() {
        return Ok((own.partner.clone(), own.partner.clone()));
    }
    let told = |why: &dyn Display| format!("{why}; use --partner, or --url and a token");
    let client = Client::new(&own.remote).map_err(|error| told(&error))?;
    let request = client.request(Method::GET, &["partners"], &[("limit", "1000")]);
    let page = client.send(request).await.and_then(|answer| answer.read());
    let PartnerPage { mut partners, .. } = page.map_err(|error| told(&error))?;
    partners.sort_by(|one, other| other.last_request.cmp(&one.last_request));
    let (mut named, mut callers) = (Vec::new(), Vec::new());
    for PartnerInList { domain, last_request, .. } in partners.into_iter().take(MAX_PARTNERS) {
        let shown = client.get(&["partners", domain.as_str()]).await.and_then(|answer| answer.read());
        let ShownPartner { entry, .. } = shown.map_err(|error| told(&error))?;
        if entry.is_some_and(|entry| entry.terms.mode != Mode::Shadow) {
            if last_request.is_some_and(|at| is_lately(&at)) {
                callers.push(domain.clone());
            }
            named.push(domain);
        }
    }
    if named.is_empty() {
        Err(told(&"the list allows nobody whom the gate does not spare"))
    } else {
        Ok((named, callers))
    }
}

fn is_lately(at: &str) -> bool {
    let at = humantime::parse_rfc3339(at).ok();
    at.is_some_and(|at| at.elapsed().is_ok_and(|ago| ago <= LATELY))
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

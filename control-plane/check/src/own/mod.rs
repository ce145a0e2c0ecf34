//! The tester of our own side: files, our SRV record, and the ingress that it leads to.
//!
//! ```text
//!  files ─► our certificates, the bundle (pure)
//!  peer::targets, as another backend would look at us ─► ingress: is it ours, does it refuse forged headers?
//!  partners: in whose name those are forged, and whose clocks ours is compared with
//! ```

mod bundle;
mod clock;
mod codes;
mod control_plane;
mod files;
mod ingress;
mod partners;

use std::path::Path;
use std::time::Duration;

use fedgate_policy::{Domain, HostName, UnixTime};

use crate::certificate::{self, Expected, RevocationLists, Role, Trust};
use crate::ledger::Ledger;
use crate::peer::{self, Dns};

pub use codes::CODES;
pub use control_plane::{Answer, Stat, Status};
pub use files::Pair;

use clock::Asking;
use files::Loaded;
use ingress::Impostor;

/// What is to be looked at. What is not named is not looked at.
pub struct Question<'a> {
    /// Ours.
    pub domain: Option<&'a Domain>,
    /// What our ingress presents.
    pub server: Option<Pair<'a>>,
    /// What our Envoy shows when it calls.
    pub client: Option<Pair<'a>>,
    /// The trust bundle.
    pub trust: Option<&'a Path>,
    /// What is revoked.
    pub lists: &'a RevocationLists,
    /// For how long one step may take.
    pub patience: Duration,
    /// What our control plane says.
    pub control_plane: Answer,
    /// What Envoys say of their filters, by their admin interfaces.
    pub envoys: Vec<(String, Result<Vec<Stat>, String>)>,
    /// Partners on our list, whom the gate does not spare (shadow), the best first; or why none is known, and how that
    /// can be had.
    pub partners: Result<Vec<Domain>, String>,
    /// Those of them in whose name a call may be refused: where they call often, that is soon over.
    pub callers: Vec<Domain>,
    /// When it is.
    pub now: UnixTime,
}

/// Looks at all of it.
pub async fn look(ledger: &mut Ledger<'_>, dns: &Dns, question: &Question<'_>) {
    ledger.section("DNS");
    let hosts = peer::own_hosts(ledger, dns, question.domain).await;
    ledger.section("trust bundle");
    let trust = bundle(ledger, question);
    let trust = trust.as_ref().map_err(|why| *why);
    ledger.section("server certificate");
    let server = pair(ledger, question, &hosts, trust, Role::OwnServer);
    ledger.section("client certificate");
    let client = pair(ledger, question, &hosts, trust, Role::Client);
    let client = client.and_then(|loaded| loaded.identity);
    control_plane::look(ledger, &question.control_plane);
    for (place, stats) in &question.envoys {
        control_plane::look_at_envoy(ledger, place, stats);
    }
    if question.envoys.is_empty() {
        ledger.section("Envoys");
        ledger
            .not_looked_at("their filters hear one control plane", "none was named; use --envoy-admin");
    }
    let partners = partners::known(dns, question).await;
    let partners = partners.as_deref().map_err(String::as_str);
    let asking = Asking {
        dns,
        partners,
        identity: client.as_ref(),
        domain: question.domain,
        patience: question.patience,
    };
    clock::look(ledger, &asking).await;
    let Some(domain) = question.domain.filter(|_| !hosts.is_empty()) else {
        ledger.section("our ingress");
        return ledger.not_looked_at("it can be reached", "no SRV record says where it is");
    };
    let ours = peer::Question {
        domain,
        // We are on no list of our own, and call nobody in our own name here.
        own_domain: None,
        identity: client.as_ref(),
        trust,
        lists: question.lists,
        patience: question.patience,
        now: question.now,
    };
    for presented in peer::targets(ledger, dns, &ours, &hosts, Role::OwnServer).await {
        ledger.section(presented.address.to_string());
        let file = server.as_ref().and_then(|loaded| loaded.chain.first());
        ingress::ours(ledger, &presented, file, &ours);
        let impostor = client.as_ref().map(|identity| Impostor {
            identity,
            domain,
            partners,
            callers: &question.callers,
            patience: question.patience,
        });
        ingress::refuses(ledger, &presented, impostor).await;
    }
}

/// The authorities in the bundle, or why they are not known.
fn bundle(ledger: &mut Ledger<'_>, question: &Question<'_>) -> Result<Trust, &'static str> {
    let Some(path) = question.trust else {
        ledger.not_looked_at("the trust bundle is usable", "it was not named; use --trust");
        return Err(certificate::NO_BUNDLE);
    };
    let unusable = "the trust bundle cannot be used";
    let file = files::read(ledger, path).ok_or(unusable)?;
    bundle::look(ledger, &file, question.now);
    Trust::read(&file).map_err(|_| unusable)
}

fn pair(
    ledger: &mut Ledger<'_>,
    question: &Question<'_>,
    hosts: &[HostName],
    trust: Result<&Trust, &'static str>,
    role: Role,
) -> Option<Loaded> {
    let (pair, flags) = match role {
        Role::Server | Role::OwnServer => (question.server, "--server-certificate and --server-key"),
        Role::Client => (question.client, "--certificate and --key"),
    };
    let Some(pair) = pair else {
        ledger.not_looked_at("it will do", format!("it was not named; use {flags}"));
        return None;
    };
    let loaded = files::pair(ledger, pair)?;
    let expected = Expected { role, hosts, trust, lists: question.lists, now: question.now };
    certificate::look(ledger, &loaded.chain, &expected);
    Some(loaded)
}

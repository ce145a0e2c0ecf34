//! The tester of another backend: what is asked, in which order, and what it means.
//!
//! ```text
//!  dns ─► places ─► addresses ─► visit (I/O) ─► Visit ─► listener, admission, answer, certificate (pure)
//! ```
//!
//! All addresses of a target are visited at the same time, and told one after the other. Where one step makes
//! the next impossible, that is not looked at.

mod admission;
mod answer;
pub(crate) mod codes;
mod dns;
mod listener;
mod visit;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fedgate_policy::{Domain, HostName, Outcome, UnixTime};
use futures_util::{StreamExt as _, stream};
use rustls::pki_types::CertificateDer;

use crate::certificate::{self, Expected, RevocationLists, Role, Trust};
use crate::ledger::Ledger;
use crate::probe::Identity;

pub(crate) use answer::Gap;
pub use codes::CODES;
pub use dns::Dns;
pub(crate) use dns::Place;

use visit::{Talk, Visit, visit};

/// Addresses that are visited at the same time.
const AT_ONCE: usize = 8;
/// So many times what one step may take, the whole may have taken when another target is begun.
const STEPS: u32 = 12;

/// What is asked of another backend.
pub struct Question<'a> {
    /// Theirs.
    pub domain: &'a Domain,
    /// Ours, where it is known.
    pub own_domain: Option<&'a Domain>,
    /// The certificate that we show when we call.
    pub identity: Option<&'a Identity>,
    /// Whom we trust; or why that is not known.
    pub trust: Result<&'a Trust, &'static str>,
    /// What is revoked.
    pub lists: &'a RevocationLists,
    /// For how long one step may take.
    pub patience: Duration,
    /// When it is.
    pub now: UnixTime,
}

/// What an address has presented.
pub(crate) struct Presented {
    pub(crate) address: SocketAddr,
    /// As whom it was spoken to.
    pub(crate) place: Place,
    /// Leaf first; none where it did not come to that.
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

/// Looks at all of it.
pub async fn look(ledger: &mut Ledger<'_>, dns: &Dns, question: &Question<'_>) {
    ledger.section("our certificate");
    let own_hosts = own_hosts(ledger, dns, question.own_domain).await;
    own_certificate(ledger, question, &own_hosts);
    targets(ledger, dns, question, &own_hosts, Role::Server).await;
}

/// Looks at who speaks for the domain, and at all their addresses: what each has presented, as whom.
pub(crate) async fn targets(
    ledger: &mut Ledger<'_>,
    dns: &Dns,
    question: &Question<'_>,
    own_hosts: &[HostName],
    role: Role,
) -> Vec<Presented> {
    let mut presented = Vec::new();
    ledger.section("DNS");
    let begun = Instant::now();
    for place in dns::look(ledger, dns, question.domain).await {
        let (host, port) = &place;
        ledger.section(format!("{host}:{port}"));
        if begun.elapsed() > question.patience.saturating_mul(STEPS) {
            ledger.not_looked_at("it works", "what comes before it took too long");
            continue;
        }
        let addresses = dns::addresses(ledger, dns, &place).await;
        let visits: Vec<Visit> = if addresses.is_empty() {
            Vec::new()
        } else {
            ledger.begins("its addresses can be spoken to");
            stream::iter(addresses)
                .map(|address| visit(question, own_hosts, &place, address))
                .buffered(AT_ONCE)
                .collect()
                .await
        };
        listener::reached(ledger, &visits);
        listener::alike(ledger, &visits);
        for Visit { address, talk, .. } in visits {
            if let Some(talk) = talk {
                ledger.section(address.to_string());
                spoken(ledger, question, host, &talk, role);
                let (place, chain) = (place.clone(), talk.seen.chain);
                presented.push(Presented { address, place, chain });
            }
        }
    }
    presented
}

/// What one address does.
fn spoken(ledger: &mut Ledger<'_>, question: &Question<'_>, host: &HostName, talk: &Talk, role: Role) {
    listener::shakes_hands(ledger, talk, question.identity.is_some());
    let hosts = [host.clone()];
    let expected = Expected {
        role,
        hosts: &hosts,
        trust: question.trust,
        lists: question.lists,
        now: question.now,
    };
    certificate::look(ledger, &talk.seen.chain, &expected);
    admission::look(ledger, talk, question.identity);
    answer::look(ledger, talk, question);
    answer::clock(ledger, talk, role);
}

/// The hosts that speak for us, as they will find them.
pub async fn own_hosts(
    ledger: &mut Ledger<'_>,
    dns: &Dns,
    own_domain: Option<&Domain>,
) -> Vec<HostName> {
    let claim = "our own SRV record is there";
    let Some(domain) = own_domain else {
        ledger.not_looked_at(claim, "our own domain was not named; use --own-domain");
        return Vec::new();
    };
    ledger.begins(claim);
    let found = dns.hosts(domain).await;
    match &found.outcome {
        Outcome::Hosts(hosts) => {
            let texts: Vec<_> = hosts.iter().take(AT_ONCE).map(ToString::to_string).collect();
            ledger.passed(claim, texts.join(", "));
            return hosts.clone();
        }
        Outcome::Failure(failure) => {
            let code = dns::failed(dns, domain, &found, failure.label).await;
            let code = if *code == codes::SRV_MISSING { &codes::OWN_SRV_MISSING } else { code };
            ledger.found(claim, code, &failure.message);
        }
    }
    Vec::new()
}

fn own_certificate(ledger: &mut Ledger<'_>, question: &Question<'_>, own_hosts: &[HostName]) {
    let Some(identity) = question.identity else {
        return ledger.not_looked_at("it will do", "it was not named; use --certificate and --key");
    };
    let expected = Expected {
        role: Role::Client,
        hosts: own_hosts,
        trust: question.trust,
        lists: question.lists,
        now: question.now,
    };
    certificate::look(ledger, identity.chain(), &expected);
}

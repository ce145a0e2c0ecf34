//! Partners of ours, by what DNS says of them: in their name our ingress is to refuse our certificate.

use fedgate_policy::{Certificate, Domain, HostName};

use super::Question;
use crate::peer::{Dns, Place};
use crate::probe::Identity;

/// The most that are asked for.
const MOST: usize = 3;

/// A partner with an SRV record.
pub(super) struct Partner {
    pub(super) domain: Domain,
    /// Where its ingresses are.
    pub(super) places: Vec<Place>,
}

/// The first of those that are named, and have an SRV record; or why there is none.
pub(super) async fn known(dns: &Dns, question: &Question<'_>) -> Result<Vec<Partner>, String> {
    let named = question.partners.as_ref().map_err(Clone::clone)?;
    let mut known = Vec::new();
    let others = named.iter().filter(|domain| Some(*domain) != question.domain);
    for domain in others.take(MOST) {
        let places = dns.places(domain).await;
        if !places.is_empty() {
            known.push(Partner { domain: domain.clone(), places });
        }
    }
    if known.is_empty() { Err("DNS names the ingress of no partner".to_owned()) } else { Ok(known) }
}

// === impl Partner ===

impl Partner {
    /// Whether a certificate is for one of its hosts, as where one federator speaks for several backends.
    pub(super) fn is_proven_by(&self, identity: &Identity) -> bool {
        let leaf = identity.chain().first().and_then(|leaf| Certificate::parse(leaf).ok());
        let mut hosts = self.places.iter().map(|(host, _): &(HostName, u16)| host);
        leaf.is_some_and(|leaf| hosts.any(|host| leaf.presents(host)))
    }
}

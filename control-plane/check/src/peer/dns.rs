//! What DNS says of a backend: who speaks for it, and where those are.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fedgate_discovery::dns::{DnsDiscovery, NoServers};
use fedgate_discovery::dnssec::anchors::Anchors;
use fedgate_discovery::dnssec::{BOGUS, Demand, Dnssec};
use fedgate_discovery::{
    Addresses, Certainty, Discover, Discovered, Family, Proof, Resolve, Target, TtlBounds,
};
use fedgate_policy::{Domain, FailureLabel, HostName, Outcome};

use super::codes;
use crate::code::Code;
use crate::ledger::Ledger;

/// The most targets that are looked at.
const MAX_TARGETS: usize = 8;
/// The most addresses of a target that are connected to.
const MAX_ADDRESSES: usize = 8;
/// The port that firewalls let through.
const HTTPS: u16 = 443;
const SHORT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(86_400);
/// TTLs are told as they are.
const ANY_TTL: TtlBounds =
    TtlBounds { min: Duration::ZERO, max: Duration::from_secs(i32::MAX.unsigned_abs() as u64) };

/// DNS, asked with and without DNSSEC.
pub struct Dns {
    plain: DnsDiscovery,
    opportunistic: DnsDiscovery,
}

/// A host and a port of an SRV record.
pub(crate) type Place = (HostName, u16);

// === impl Dns ===

impl Dns {
    /// `servers` are asked, or the system's where there are none; each question for `patience` at most.
    pub fn new(
        servers: &[SocketAddr],
        patience: Duration,
        private_addresses: bool,
        anchors: &Anchors,
    ) -> Result<Self, NoServers> {
        let dns = |demand| {
            let dnssec = Dnssec { demand, anchors: anchors.clone() };
            DnsDiscovery::new(servers, ANY_TTL, patience, private_addresses, dnssec)
        };
        Ok(Self { plain: dns(None)?, opportunistic: dns(Some(Demand::Opportunistic))? })
    }

    /// The hosts that speak for a domain.
    pub async fn hosts(&self, domain: &Domain) -> Discovered {
        self.plain.discover(domain, Proof::AsSet).await
    }

    /// Where their ingresses are, in their order; none where DNS names none.
    pub(crate) async fn places(&self, domain: &Domain) -> Vec<Place> {
        places(self.hosts(domain).await.targets)
    }

    /// The addresses of an ingress, IPv4 first; none where DNS says none.
    pub(crate) async fn addresses(&self, (host, port): &Place) -> Vec<SocketAddr> {
        let resolve = |family| self.plain.resolve(host, family);
        let (v4, v6) = futures_util::future::join(resolve(Family::V4), resolve(Family::V6)).await;
        v4.usable.into_iter().chain(v6.usable).map(|address| SocketAddr::new(address, *port)).collect()
    }
}

/// Looks at the SRV records of a domain, and gives the places that they name, each once, in their order.
pub(super) async fn look(ledger: &mut Ledger<'_>, dns: &Dns, domain: &Domain) -> Vec<Place> {
    let claim = "an SRV record says who speaks for the domain";
    ledger.begins(claim);
    let found = dns.hosts(domain).await;
    match &found.outcome {
        Outcome::Hosts(_) => ledger.passed(claim, listed(&found.targets)),
        Outcome::Failure(failure) => {
            ledger.found(claim, failed(dns, domain, &found, failure.label).await, &failure.message);
        }
    }
    if found.targets.is_empty() {
        for claim in [USABLE, TTL, SIGNED] {
            ledger.not_looked_at(claim, "there is no SRV record to look at");
        }
        return Vec::new();
    }
    records(ledger, &found);
    signed(ledger, dns, domain).await;
    let mut places = places(found.targets);
    if let Some(more) = places.len().checked_sub(MAX_TARGETS).filter(|more| *more > 0) {
        ledger.not_looked_at("the other targets", format!("there are {more} more"));
    }
    places.truncate(MAX_TARGETS);
    places
}

/// The places of targets, each once; nobody connects to port 0.
fn places(targets: Vec<Target>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for target in targets.into_iter().filter(|target| target.port != 0) {
        let place = (target.host, target.port);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

const USABLE: &str = "the records are of use";
const TTL: &str = "they live for as long as they should";
const SIGNED: &str = "they are signed";

/// What it means that nobody is found who speaks for a domain.
pub(super) async fn failed(
    dns: &Dns,
    domain: &Domain,
    found: &Discovered,
    label: FailureLabel,
) -> &'static Code {
    match (label, found.certainty) {
        (FailureLabel::InvalidDomain | FailureLabel::FederationDenied, _) => {
            if dns.plain.declines(domain).await { &codes::SRV_UNAVAILABLE } else { &codes::SRV_MISSING }
        }
        (FailureLabel::DiscoveryFailure, Certainty::Answered) => &codes::SRV_UNUSABLE,
        (FailureLabel::DiscoveryFailure, Certainty::Transient) => &codes::SRV_LOOKUP_FAILED,
    }
}

fn listed(targets: &[Target]) -> String {
    let each = targets.iter().take(MAX_TARGETS).map(|target| {
        let Target { priority, weight, port, host } = target;
        format!("{priority} {weight} {port} {host}")
    });
    each.collect::<Vec<_>>().join("; ")
}

fn records(ledger: &mut Ledger<'_>, found: &Discovered) {
    let mut findings = Vec::new();
    let mut tell = |code, seen: String| findings.push(crate::Finding { code, seen });
    for cause in &found.passed_over {
        tell(&codes::SRV_PASSED_OVER, cause.clone());
    }
    for Target { host, port, .. } in &found.targets {
        match *port {
            0 => tell(&codes::PORT_ZERO, format!("port 0 of {host}")),
            HTTPS => {}
            port => tell(&codes::PORT_UNUSUAL, format!("port {port} of {host}")),
        }
    }
    if found.targets.len() > 1 {
        tell(&codes::SEVERAL_TARGETS, listed(&found.targets));
    }
    ledger.judged(USABLE, findings, "one target, at port 443");
    let seen = format!("{} s", found.ttl.as_secs());
    if found.ttl < SHORT {
        ledger.found(TTL, &codes::TTL_SHORT, seen);
    } else if found.ttl > LONG {
        ledger.found(TTL, &codes::TTL_LONG, seen);
    } else {
        ledger.passed(TTL, seen);
    }
}

async fn signed(ledger: &mut Ledger<'_>, dns: &Dns, domain: &Domain) {
    ledger.begins(SIGNED);
    if dns.plain.discover(domain, Proof::Required).await.is_proven {
        return ledger.passed(SIGNED, "proven by DNSSEC");
    }
    let found = dns.opportunistic.discover(domain, Proof::AsSet).await;
    match found.trouble() {
        None => ledger.found(SIGNED, &codes::DNSSEC_ABSENT, "the zone is proven not to be signed"),
        Some(failure) if failure.message.contains(BOGUS) => {
            ledger.found(SIGNED, &codes::DNSSEC_BOGUS, &failure.message);
        }
        Some(failure) => ledger.not_looked_at(SIGNED, format!("nobody says so: {}", failure.message)),
    }
}

/// Looks at the addresses of a target, and gives those to connect to.
pub(super) async fn addresses(ledger: &mut Ledger<'_>, dns: &Dns, place: &Place) -> Vec<SocketAddr> {
    let (host, port) = place;
    let claim = "the target has addresses";
    ledger.begins(claim);
    let resolve = |family| dns.plain.resolve(host, family);
    let (v4, v6) = futures_util::future::join(resolve(Family::V4), resolve(Family::V6)).await;
    usable(ledger, claim, host, &v4, &v6);
    let named = "the target has them itself";
    if dns.plain.is_alias(host).await {
        ledger.found(named, &codes::TARGET_IS_ALIAS, format!("{host} is an alias"));
    } else {
        ledger.passed(named, format!("{host} is no alias"));
    }
    // Some of each family.
    let some = |found: Addresses| found.usable.into_iter().take(MAX_ADDRESSES);
    some(v4).chain(some(v6)).map(|address| SocketAddr::new(address, *port)).collect()
}

/// What the addresses of both families are worth.
fn usable(ledger: &mut Ledger<'_>, claim: &str, host: &HostName, v4: &Addresses, v6: &Addresses) {
    let usable: Vec<IpAddr> = v4.usable.iter().chain(&v6.usable).copied().collect();
    let private: BTreeSet<IpAddr> = v4.private.iter().chain(&v6.private).copied().collect();
    match (usable.is_empty(), private.is_empty(), trouble(v4, v6)) {
        (false, true, None) => ledger.passed(claim, each(&usable)),
        (false, _, Some(trouble)) => ledger.found(claim, &codes::ADDRESS_LOOKUP_HALF, trouble),
        (false, false, None) => ledger.found(claim, &codes::ADDRESS_PASSED_OVER, each(&private)),
        (true, false, _) => ledger.found(claim, &codes::ADDRESS_PRIVATE, each(&private)),
        (true, true, Some(trouble)) => ledger.found(claim, &codes::ADDRESS_LOOKUP_FAILED, trouble),
        (true, true, None) => {
            ledger.found(
                claim,
                &codes::ADDRESS_MISSING,
                format!("{host} has neither A nor AAAA records"),
            );
        }
    }
}

fn each<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let texts: Vec<_> = addresses.into_iter().take(16).map(ToString::to_string).collect();
    texts.join(", ")
}

fn trouble(v4: &Addresses, v6: &Addresses) -> Option<String> {
    let told = |kind, found: &Addresses| Some(format!("{kind}: {}", found.trouble.as_ref()?));
    let both: Vec<_> = told("A", v4).into_iter().chain(told("AAAA", v6)).collect();
    if both.is_empty() { None } else { Some(both.join("; ")) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn found(usable: &[&str], private: &[&str], trouble: Option<&str>) -> Addresses {
        let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Addresses {
            usable: parsed(usable),
            private: parsed(private),
            ttl: Duration::from_secs(60),
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn what_addresses_are_worth_has_its_code() {
        let (public, private) = (&["9.9.9.9"][..], &["10.0.0.1"][..]);
        let none = || found(&[], &[], None);
        for (v4, v6, expected) in [
            (found(public, &[], None), none(), None),
            (found(public, private, None), none(), Some("address-passed-over")),
            (found(public, &[], None), found(&[], &["fd00::1"], None), Some("address-passed-over")),
            (found(public, &[], None), found(&[], &[], Some("timeout")), Some("address-lookup-half")),
            (found(&[], private, None), none(), Some("address-private")),
            (found(&[], private, Some("timeout")), none(), Some("address-private")),
            (found(&[], &[], Some("timeout")), none(), Some("address-lookup-failed")),
            (none(), none(), Some("address-missing")),
        ] {
            let mut ignore = |_: crate::Progress<'_>| ();
            let mut ledger = Ledger::new(&mut ignore);
            usable(&mut ledger, "addresses", &"infra.a.com".parse().unwrap(), &v4, &v6);
            let report = ledger.close("a target");
            let codes: Vec<_> = report.findings().map(|finding| finding.code.name).collect();
            assert_eq!(codes, Vec::from_iter(expected), "{v4:?} {v6:?}");
        }
    }
}

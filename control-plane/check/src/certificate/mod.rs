//! What is wrong with a certificate and its chain, theirs or ours: a pure function of what was shown, of what is
//! expected, and of now.

pub(crate) mod reading;
mod trust;

use std::fmt;

use fedgate_policy::{Certificate, ExtendedKeyUsage, HostName, UnixTime};
use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::ledger::{Finding, Ledger};
use crate::peer::codes;
use reading::Reading;

pub use trust::{RevocationLists, Trust, TrustError};

/// Why nothing is known of authorities that nobody named.
pub const NO_BUNDLE: &str = "no trust bundle was named; use --trust";
const DAY: i64 = 86_400;
/// So many days before its end, a certificate is to have been renewed; or in the last third of its life.
const RENEWAL: i64 = 14 * DAY;

/// What a certificate is to be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// What it is shown for.
    pub role: Role,
    /// One of these it has to name; where there are none, nobody knows which.
    pub hosts: &'a [HostName],
    /// To whom its chain is to lead; or why that is not known.
    pub trust: Result<&'a Trust, &'static str>,
    /// What may have revoked it.
    pub lists: &'a RevocationLists,
    /// When.
    pub now: UnixTime,
}

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// By an ingress.
    Server,
    /// By our ingress: when we call, we may show another.
    OwnServer,
    /// By who calls.
    Client,
}

/// Looks at a chain as it was presented, leaf first.
pub fn look(ledger: &mut Ledger<'_>, chain: &[CertificateDer<'_>], expected: &Expected<'_>) {
    let read = chain.iter().map(|der| Reading::read(der)).collect::<Option<Vec<_>>>();
    let leaf = chain.first().map(|leaf| Certificate::parse(leaf));
    let (certificate, readings) = match (leaf, read) {
        (Some(Ok(leaf)), Some(readings)) => (leaf, readings),
        (None, _) => return ledger.not_looked_at(READABLE, "no certificate was shown"),
        (Some(Err(error)), _) => {
            let seen = format!("the certificate {error}");
            return ledger.found(READABLE, &codes::CERTIFICATE_UNREADABLE, seen);
        }
        (Some(Ok(_)), None) => {
            let seen = "something in the chain is no certificate";
            return ledger.found(READABLE, &codes::CERTIFICATE_UNREADABLE, seen);
        }
    };
    let Some(leaf) = readings.first() else { return };
    ledger.passed(READABLE, format!("{}, issued by {}", leaf.portrait.subject, leaf.portrait.issuer));
    names(ledger, &certificate, leaf, expected.hosts);
    let used = expected.trust.ok().and_then(|trust| trust.way(chain, &readings, expected.now));
    let is_used = |index: usize| used.as_ref().is_none_or(|(_, used)| used.contains(&index));
    let (on_way, aside): (Vec<_>, Vec<_>) =
        readings.iter().enumerate().partition(|(index, _)| is_used(*index));
    let [on_way, aside] =
        [on_way, aside].map(|part| part.into_iter().map(|(_, it)| it).collect::<Vec<_>>());
    ledger.judged("it is valid now, and for a while", ends(&on_way, expected.now), until(&on_way));
    let usage = certificate.extended_key_usage();
    ledger.judged("it may be used for this", purposes(usage, expected.role), told(usage));
    ledger.judged("its key may sign handshakes", signs(leaf), "digitalSignature, or no keyUsage");
    ledger.judged("its key is of a kind that is accepted", key(leaf), leaf.key.clone());
    ledger.judged("it may issue no others", authority(leaf), "no CA:TRUE");
    let weak = weak(&on_way);
    let is_weak = !weak.is_empty();
    ledger.judged("it is signed well", weak, "no signature uses SHA-1 or MD5");
    ledger.judged("its chain is in order", order(&on_way, &aside), format!("{} sent", readings.len()));
    let way = used.map(|(when, _)| when);
    trusted(ledger, chain, &readings, expected, way, is_weak);
}

/// Whether a chain leads to one of these authorities, now.
pub(crate) fn leads_to(trust: &Trust, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
    let readings = chain.iter().map(|der| Reading::read(der)).collect::<Option<Vec<_>>>();
    let way = readings.and_then(|readings| trust.way(chain, &readings, now));
    way.is_some_and(|(when, _)| when == now)
}

const READABLE: &str = "the certificate can be read";

fn names(ledger: &mut Ledger<'_>, certificate: &Certificate, leaf: &Reading, hosts: &[HostName]) {
    let claim = "it names the host";
    let names = &leaf.portrait.names;
    let Some(first) = hosts.first() else {
        return ledger.not_looked_at(claim, "which host it is for is not known");
    };
    if let Some(host) = hosts.iter().find(|host| certificate.presents(host)) {
        return ledger.passed(claim, format!("{host} is among {names}"));
    }
    let wanted = match hosts.len() {
        1 => first.to_string(),
        count => format!("{first} and {} more hosts", count.saturating_sub(1)),
    };
    let in_cn =
        |host: &HostName| leaf.common_names.iter().any(|cn| cn.eq_ignore_ascii_case(host.as_str()));
    let (code, seen) = if !leaf.has_dns_names && hosts.iter().any(in_cn) {
        (&codes::NAME_IN_CN_ONLY, format!("{wanted} is the common name alone"))
    } else if names.is_empty() {
        (&codes::NAME_MISSING, format!("no subject alternative name; wanted: {wanted}"))
    } else {
        (&codes::NAME_MISSING, format!("{names}; wanted: {wanted}"))
    };
    ledger.found(claim, code, seen);
}

fn ends(readings: &[&Reading], now: UnixTime) -> Vec<Finding> {
    readings.iter().filter_map(|it| end(it, now)).collect()
}

fn end(reading: &Reading, now: UnixTime) -> Option<Finding> {
    let (since, until) = reading.validity;
    let subject = &reading.portrait.subject;
    let left = until.0.saturating_sub(now.0);
    if now > until {
        return Some(finding(
            &codes::CERTIFICATE_EXPIRED,
            format!("{subject} ended {until}; it is {now}"),
        ));
    }
    if now < since {
        let seen = format!("{subject} begins {since}; it is {now}");
        return Some(finding(&codes::CERTIFICATE_NOT_YET_VALID, seen));
    }
    let soon =
        until.0.saturating_sub(since.0).checked_div(3).map_or(RENEWAL, |third| third.min(RENEWAL));
    (left < soon).then(|| {
        let seen = format!("{subject} ends {until}, in {}", Span(left));
        finding(&codes::CERTIFICATE_ENDS_SOON, seen)
    })
}

fn until(readings: &[&Reading]) -> String {
    let first = readings.iter().map(|it| it.validity.1).min();
    first.map(|first| format!("until {first}")).unwrap_or_default()
}

/// Days, or hours.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_div(DAY) {
            Some(days @ 2..) => write!(f, "{days} days"),
            _ => write!(f, "{} hours", self.0.checked_div(3600).unwrap_or_default()),
        }
    }
}

fn purposes(usage: ExtendedKeyUsage, role: Role) -> Vec<Finding> {
    let (server, client) = match usage {
        ExtendedKeyUsage::Any => (true, true),
        ExtendedKeyUsage::Only { server_auth, client_auth } => (server_auth, client_auth),
    };
    let mut findings = Vec::new();
    let mut demand = |holds: bool, code| {
        if !holds {
            findings.push(finding(code, told(usage)));
        }
    };
    match role {
        Role::Server => {
            demand(server, &codes::SERVER_PURPOSE_MISSING);
            demand(client, &codes::SERVER_ONLY);
        }
        Role::OwnServer => demand(server, &codes::SERVER_PURPOSE_MISSING),
        Role::Client => demand(client, &codes::CLIENT_PURPOSE_MISSING),
    }
    findings
}

fn told(usage: ExtendedKeyUsage) -> &'static str {
    match usage {
        ExtendedKeyUsage::Any => "it is not limited to any purpose",
        ExtendedKeyUsage::Only { server_auth: true, client_auth: true } => "serverAuth and clientAuth",
        ExtendedKeyUsage::Only { server_auth: true, client_auth: false } => "serverAuth alone",
        ExtendedKeyUsage::Only { server_auth: false, client_auth: true } => "clientAuth alone",
        ExtendedKeyUsage::Only { server_auth: false, client_auth: false } => {
            "neither serverAuth nor clientAuth"
        }
    }
}

fn signs(leaf: &Reading) -> Vec<Finding> {
    let seen = "keyUsage without digitalSignature";
    found_unless(leaf.may_sign, &codes::DIGITAL_SIGNATURE_MISSING, seen)
}

fn key(leaf: &Reading) -> Vec<Finding> {
    found_unless(leaf.is_key_accepted, &codes::KEY_NOT_ACCEPTED, &leaf.key)
}

fn authority(leaf: &Reading) -> Vec<Finding> {
    found_unless(!leaf.is_authority, &codes::LEAF_IS_AUTHORITY, "CA:TRUE in basicConstraints")
}

/// A root's signature is its own, and proves nothing anyway.
fn weak(readings: &[&Reading]) -> Vec<Finding> {
    let signed = readings.iter().filter(|it| !it.is_self_issued());
    signed
        .filter_map(|it| {
            let digest = it.weak_digest?;
            let seen = format!("{} is signed with {digest}", it.portrait.subject);
            Some(finding(&codes::SIGNATURE_WEAK, seen))
        })
        .collect()
}

/// Of those that lead to an authority, and of others that were sent beside them.
fn order(readings: &[&Reading], aside: &[&Reading]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if readings.windows(2).any(|pair| matches!(pair, [one, next] if one.issuer != next.subject)) {
        let subjects: Vec<_> = readings.iter().map(|it| it.portrait.subject.as_str()).collect();
        findings.push(finding(&codes::CHAIN_DISORDERED, subjects.join("; then ")));
    }
    let unused = aside.iter().filter(|it| !it.is_self_issued());
    findings.extend(unused.map(|it| finding(&codes::CERTIFICATE_UNUSED, it.portrait.subject.clone())));
    if let Some(root) = readings.iter().skip(1).chain(aside).find(|it| it.is_self_issued()) {
        findings.push(finding(&codes::ROOT_SENT, root.portrait.subject.clone()));
    }
    findings
}

fn trusted(
    ledger: &mut Ledger<'_>,
    chain: &[CertificateDer<'_>],
    readings: &[Reading],
    expected: &Expected<'_>,
    way: Option<UnixTime>,
    is_weak: bool,
) {
    let claim = "it leads to a trusted authority";
    let revoked = "it is not revoked";
    let trust = match expected.trust {
        Ok(trust) => trust,
        Err(why) => {
            ledger.not_looked_at(claim, why);
            return ledger.not_looked_at(revoked, why);
        }
    };
    if is_weak || readings.first().is_some_and(|leaf| leaf.is_authority) {
        return ledger.not_looked_at(claim, "nobody would go that way");
    }
    match trust.judge(chain, readings, expected.lists, way, expected.now) {
        Ok(seen) => {
            ledger.passed(claim, seen);
            if expected.lists.is_empty() {
                ledger.not_looked_at(revoked, "no revocation list was named; use --crl");
            } else {
                ledger.passed(revoked, "no list names it");
            }
        }
        Err(Finding { code, seen }) if *code == codes::CERTIFICATE_REVOKED => {
            ledger.found(revoked, code, seen);
        }
        Err(Finding { code, seen }) => ledger.found(claim, code, seen),
    }
}

fn found_unless(holds: bool, code: &'static Code, seen: &str) -> Vec<Finding> {
    if holds { Vec::new() } else { vec![finding(code, seen)] }
}

fn finding(code: &'static Code, seen: impl Into<String>) -> Finding {
    Finding { code, seen: seen.into() }
}

#[cfg(test)]
mod tests;

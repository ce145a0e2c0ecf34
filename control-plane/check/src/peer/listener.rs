//! What it means how their addresses take connections, and shake hands: pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::codes;
use super::visit::{Others, Talk, Visit};
use crate::code::Code;
use crate::ledger::{Finding, Ledger};
use crate::probe::{Agreed, ConnectTrouble, TlsTrouble, Version};

/// Whether its addresses take connections.
pub(super) fn reached(ledger: &mut Ledger<'_>, visits: &[Visit]) {
    let claim = "its addresses take connections";
    if visits.is_empty() {
        return ledger.not_looked_at(claim, "it has no address to connect to");
    }
    let mut opened = Vec::new();
    let mut dead = Vec::new();
    for visit in visits {
        match &visit.connected {
            Ok(took) => opened.push((visit.address, *took)),
            Err(trouble @ ConnectTrouble::NoWay(_)) => {
                ledger
                    .not_looked_at(format!("{} takes connections", visit.address), trouble.to_string());
            }
            Err(trouble @ (ConnectTrouble::Refused(_) | ConnectTrouble::Silent(_))) => {
                dead.push((visit.address, trouble));
            }
        }
    }
    if opened.is_empty() && dead.is_empty() {
        let seen = format!("none of its {} addresses could be tried from here", visits.len());
        return ledger.found(claim, &codes::TARGET_UNTRIED, seen);
    }
    let told = |dead: &[(SocketAddr, &ConnectTrouble)]| {
        let each = dead.iter().map(|(address, trouble)| format!("{address}: {trouble}"));
        each.collect::<Vec<_>>().join("; ")
    };
    if opened.is_empty() {
        return ledger.found(claim, &codes::TARGET_DEAD, told(&dead));
    }
    let lives = |family: bool| opened.iter().any(|(address, _)| address.is_ipv6() == family);
    let (families, single): (Vec<_>, Vec<_>) =
        dead.into_iter().partition(|(address, _)| !lives(address.is_ipv6()));
    let mut findings: Vec<_> =
        single.iter().map(|one| Finding { code: &codes::ADDRESS_DEAD, seen: told(&[*one]) }).collect();
    if !families.is_empty() {
        findings.push(Finding { code: &codes::FAMILY_DEAD, seen: told(&families) });
    }
    let seen: Vec<_> = opened.iter().map(|(address, took)| format!("{address} in {took:.1?}")).collect();
    ledger.judged(claim, findings, seen.join(", "));
}

/// Whether they show the same certificate.
pub(super) fn alike(ledger: &mut Ledger<'_>, visits: &[Visit]) {
    let leaves = visits.iter().filter_map(|visit| visit.talk.as_ref()?.seen.chain.first());
    let count = leaves.clone().count();
    let different = leaves.map(AsRef::<[u8]>::as_ref).collect::<BTreeSet<_>>().len();
    if count > 1 {
        let claim = "its addresses show the same certificate";
        if different > 1 {
            let seen = format!("{different} certificates at {count} addresses");
            ledger.found(claim, &codes::CERTIFICATES_DIFFER, seen);
        } else {
            ledger.passed(claim, format!("at {count} addresses"));
        }
    }
}

const SHAKES: &str = "it shakes hands";
const MODERN: &str = "it speaks TLS 1.3";
const GROUPS: &str = "it takes the newer key exchange and the older one";
const HTTP2: &str = "it speaks HTTP/2";

/// Whether TLS is spoken, and how.
pub(super) fn shakes_hands(ledger: &mut Ledger<'_>, talk: &Talk, with_certificate: bool) {
    let agreed = match &talk.agreed {
        Ok(agreed) => agreed,
        Err(trouble) => {
            match failed(talk, trouble, with_certificate) {
                Some(code) => ledger.found(SHAKES, code, trouble.to_string()),
                None => {
                    ledger.not_looked_at(SHAKES, "it wants a certificate; use --certificate and --key");
                }
            }
            for claim in [MODERN, GROUPS, HTTP2] {
                ledger.not_looked_at(claim, "there was no handshake");
            }
            return;
        }
    };
    let Agreed { version, group, is_http2 } = agreed;
    let name = match version {
        Version::Tls12 => "TLS 1.2",
        Version::Tls13 => "TLS 1.3",
    };
    ledger.passed(SHAKES, format!("{name}, {group}, in {:.1?}", talk.took));
    match (version, &talk.others) {
        (Version::Tls12, _) => {
            ledger.found(MODERN, &codes::TLS_12_ONLY, "1.2 was agreed on, though 1.3 was offered");
        }
        (Version::Tls13, Some(Others { tls12: true, .. })) => ledger.passed(MODERN, "1.2 also"),
        (Version::Tls13, _) => ledger.passed(MODERN, "and nothing older"),
    }
    match (version, &talk.others) {
        (Version::Tls13, Some(Others { post_quantum: true, classic, .. })) => ledger.passed(
            GROUPS,
            if *classic { "X25519MLKEM768 and older ones" } else { "X25519MLKEM768 alone" },
        ),
        (Version::Tls12 | Version::Tls13, _) => {
            ledger.found(
                GROUPS,
                &codes::POST_QUANTUM_ABSENT,
                format!("{group}, and not X25519MLKEM768"),
            );
        }
    }
    if *is_http2 {
        ledger.passed(HTTP2, "h2 was agreed on");
    } else {
        ledger.found(HTTP2, &codes::HTTP2_ABSENT, "h2 was offered, and not agreed on");
    }
}

/// What it means that a handshake failed; nothing, where a certificate was asked for that we have not got.
fn failed(talk: &Talk, trouble: &TlsTrouble, with_certificate: bool) -> Option<&'static Code> {
    match trouble {
        TlsTrouble::Alert(_) | TlsTrouble::Closed if talk.seen.asked.is_some() => {
            with_certificate.then_some(&codes::CERTIFICATE_REFUSED)
        }
        TlsTrouble::Version => Some(&codes::TLS_TOO_OLD),
        TlsTrouble::NotTls => Some(&codes::NOT_TLS),
        TlsTrouble::Silent(_) => Some(&codes::TLS_SILENT),
        TlsTrouble::Alert(_) | TlsTrouble::Closed | TlsTrouble::Other(_) => Some(&codes::TLS_FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As of a peer with IPv6 alone, from a machine that has none.
    #[test]
    fn a_target_of_which_no_address_could_be_tried_is_not_passed_over() {
        let trouble = ConnectTrouble::NoWay("Network is unreachable".to_owned());
        let address = "[2001:db8::1]:443".parse().unwrap();
        let mut ignore = |_: crate::Progress<'_>| ();
        let mut ledger = Ledger::new(&mut ignore);
        reached(&mut ledger, &[Visit { address, connected: Err(trouble), talk: None }]);
        let report = ledger.close("a target");
        let codes: Vec<_> = report.findings().map(|finding| finding.code.name).collect();
        assert_eq!(codes, ["target-untried"]);
        assert_eq!(report.exit_code(), 3);
    }
}

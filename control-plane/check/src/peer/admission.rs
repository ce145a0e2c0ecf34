//! Whom they let in: whether a certificate is asked for, and whether one that is worth nothing will do. Pure.

use fedgate_policy::PeerError;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::codes;
use super::visit::{Talk, Welcome};
use crate::code::Code;
use crate::ledger::Ledger;
use crate::probe::{Answer, Asked, CallTrouble, Identity, TlsTrouble};

const ASKS: &str = "it asks for a certificate";
const OURS: &str = "it asks for one of our issuer";
const NOBODY: &str = "it refuses who has none";
const STRANGER: &str = "it refuses one that no authority has signed";

/// Labels with which an answer refuses a certificate, or that there is none.
pub(super) const OF_CERTIFICATES: [&str; 5] = [
    "no-client-certificate",
    "untrusted-certificate",
    "certificate-parse-error",
    "certificate-expired",
    "authentication-failure",
];

/// Looks at whom an address lets in.
pub(super) fn look(ledger: &mut Ledger<'_>, talk: &Talk, identity: Option<&Identity>) {
    let Some(others) = &talk.others else {
        for claim in [ASKS, OURS, NOBODY, STRANGER] {
            ledger.not_looked_at(claim, "there was no handshake");
        }
        return;
    };
    if let Some(asked) = &talk.seen.asked {
        ledger.passed(ASKS, format!("{} authorities named", asked.authorities.len()));
        issuer(ledger, asked, identity);
    } else {
        ledger.found(ASKS, &codes::NO_CERTIFICATE_ASKED, "the handshake went without");
        ledger.not_looked_at(OURS, "it asks for none");
    }
    told(ledger, NOBODY, &codes::STRANGER_ANSWERED, &others.nobody);
    if talk.seen.asked.is_some() {
        told(ledger, STRANGER, &codes::SELF_SIGNED_ANSWERED, &others.stranger);
    } else {
        ledger.not_looked_at(STRANGER, "it asks for none");
    }
}

fn told(ledger: &mut Ledger<'_>, claim: &str, code: &'static Code, welcome: &Welcome) {
    match reception(welcome) {
        Reception::Refused(seen) => ledger.passed(claim, seen),
        Reception::LetIn(seen) => ledger.found(claim, code, seen),
        Reception::Unclear(why) => ledger.not_looked_at(claim, why),
    }
}

/// How a call was taken that is to be refused.
#[derive(Debug, PartialEq, Eq)]
enum Reception {
    Refused(String),
    LetIn(String),
    Unclear(String),
}

fn reception(welcome: &Welcome) -> Reception {
    match welcome {
        Welcome::Untried(why) => Reception::Unclear(why.clone()),
        Welcome::Handshake(trouble @ (TlsTrouble::Alert(_) | TlsTrouble::Closed)) => {
            Reception::Refused(trouble.to_string())
        }
        Welcome::Handshake(
            trouble @ (TlsTrouble::Version
            | TlsTrouble::NotTls
            | TlsTrouble::Silent(_)
            | TlsTrouble::Other(_)),
        ) => Reception::Unclear(trouble.to_string()),
        Welcome::Call(Err(trouble @ (CallTrouble::Alert(_) | CallTrouble::Closed))) => {
            Reception::Refused(trouble.to_string())
        }
        Welcome::Call(Err(trouble @ (CallTrouble::Silent(_) | CallTrouble::Broken(_)))) => {
            Reception::Unclear(trouble.to_string())
        }
        Welcome::Call(Ok(answer)) => answered(answer),
    }
}

/// A refusal counts where it is for the certificate. A list that said no before that proves nothing.
fn answered(answer: &Answer) -> Reception {
    let Answer { status, body, .. } = answer;
    if (200..300).contains(status) {
        return Reception::LetIn(format!("the answer {status}"));
    }
    let error = PeerError::read(*status, body);
    let by_proxy = error.label == "unknown-error" && [400, 401, 403, 495, 496].contains(status);
    if by_proxy || OF_CERTIFICATES.contains(&error.label.as_str()) {
        Reception::Refused(format!("{status} {}", error.label))
    } else {
        Reception::Unclear(format!("it answers {status} {}, for another reason", error.label))
    }
}

fn issuer(ledger: &mut Ledger<'_>, asked: &Asked, identity: Option<&Identity>) {
    let Some(identity) = identity else {
        return ledger.not_looked_at(OURS, "our certificate was not named; use --certificate and --key");
    };
    if asked.authorities.is_empty() {
        return ledger.passed(OURS, "any issuer will do");
    }
    let issuers = identity.chain().iter().filter_map(|der| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(certificate.issuer().as_raw().to_vec())
    });
    if issuers.into_iter().any(|issuer| asked.authorities.contains(&issuer)) {
        ledger.passed(OURS, "it is named");
    } else {
        let seen = format!("{} authorities are named, and not ours", asked.authorities.len());
        ledger.found(OURS, &codes::ISSUER_NOT_ASKED_FOR, seen);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_refusal_counts_where_it_is_for_the_certificate() {
        let wires = |label: &str| format!(r#"{{"code":400,"label":"{label}","message":"m"}}"#);
        let nginx = "<html>400 No required SSL certificate was sent".to_owned();
        for (status, body, expected) in [
            (403, wires("no-client-certificate"), "refused"),
            (403, wires("authentication-failure"), "refused"),
            (400, nginx, "refused"),
            (403, "RBAC: access denied".to_owned(), "refused"),
            (200, "[]".to_owned(), "let in"),
            (204, String::new(), "let in"),
            // Their list said no, which it does to anybody.
            (400, wires("federation-denied"), "unclear"),
            (422, wires("invalid-domain"), "unclear"),
            (404, "not found".to_owned(), "unclear"),
            (503, "no healthy upstream".to_owned(), "unclear"),
        ] {
            let body = body.into_bytes();
            let (date, received, took) = (None, SystemTime::UNIX_EPOCH, Duration::ZERO);
            let reception = answered(&Answer { status, body, date, received, took });
            let is = match reception {
                Reception::Refused(_) => "refused",
                Reception::LetIn(_) => "let in",
                Reception::Unclear(_) => "unclear",
            };
            assert_eq!(is, expected, "{status} {reception:?}");
        }
    }
}

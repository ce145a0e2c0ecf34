//! What is wrong with a partner, in a sentence for whoever has to mend it.

use std::time::Instant;

use fedgate_policy::{HostName, Outcome};

use super::label::Label;
use super::state::{Judged, State, Trouble};
use crate::moment;
use crate::verdicts::Standing;

/// What is wrong, if anything is.
pub(crate) fn cause(judged: &Judged<'_>, lookups: &Standing, now: Instant) -> Option<String> {
    let seen = judged.trouble.as_ref();
    match judged.state {
        State::DiscoveryFailing => Some(discovery(lookups, now)),
        State::Refused => seen.map(|trouble| refused(trouble, lookups, now)),
        State::WouldBeRefused => {
            seen.map(|it| format!("it passes in shadow alone: {}", refused(it, lookups, now)))
        }
        State::RefusingUs => seen.map(|trouble| refusing_us(trouble.label)),
        State::Unreachable => seen.map(unreachable),
        State::NeverSeen | State::Ok => None,
    }
}

fn discovery(lookups: &Standing, now: Instant) -> String {
    let known = lookups.stands(now);
    let found = match known.map(|known| &known.outcome) {
        Some(Outcome::Failure(failure)) => Some(failure.message.as_str()),
        Some(Outcome::Hosts(_)) | None => None,
    };
    let cause = lookups.cause().or(found).unwrap_or("its lookups come to nothing");
    match known.filter(|known| found.is_none() && known.expires_at > now) {
        Some(known) => {
            let until = moment::of(known.expires_at, now);
            format!("{cause}; what was found before stands until {until}")
        }
        None => cause.to_owned(),
    }
}

fn refused(trouble: &Trouble<'_>, lookups: &Standing, now: Instant) -> String {
    let Trouble { label, end, is_doubtful, .. } = trouble;
    let certificate = end.certificate.as_ref();
    let whose = if *is_doubtful { "its own, or somebody else's" } else { "its own" };
    match (label.word(), certificate) {
        ("authentication-failure", Some(certificate)) => {
            let expected = match lookups.stands(now).map(|known| &known.outcome) {
                Some(Outcome::Hosts(hosts)) => named(hosts),
                Some(Outcome::Failure(_)) | None => "one of its infrastructure domains".to_owned(),
            };
            format!("{expected} is expected, and the certificate is for {} ({whose})", certificate.names)
        }
        ("certificate-expired", Some(certificate)) => {
            format!("the certificate ({whose}) is not valid; it ends {}", certificate.not_after)
        }
        ("federation-denied", _) => {
            "it is listed, and an Envoy refuses it that has not heard of that, or by the strategy"
                .to_owned()
        }
        (label, _) => format!("we refuse it: {label}"),
    }
}

fn refusing_us(label: Label) -> String {
    let word = label.word();
    let why = match word {
        "federation-denied" => "we are not on their list",
        "authentication-failure" => {
            "our certificate lacks our infrastructure domain, as they look it up"
        }
        "no-client-certificate"
        | "untrusted-certificate"
        | "certificate-parse-error"
        | "certificate-expired" => "is our client certificate still good?",
        "invalid-domain" | "discovery-failure" => "they do not find us in DNS",
        "verdict-unavailable" => "their control plane is away",
        _ => "they do not read who we are",
    };
    format!("it refuses us: {word}: {why}")
}

fn unreachable(Trouble { label, end, .. }: &Trouble<'_>) -> String {
    let at = end.upstream.map(|at| format!(" at {at}")).unwrap_or_default();
    let word = label.word();
    let why = match word {
        "federation-connection-refused" => "nobody takes our connections",
        // With TLS 1.3 the handshake is over for us before they have looked at our certificate.
        "federation-http2-error" => {
            "calls break off; so it looks, too, where they refuse our certificate"
        }
        "federation-tls-error" => "the TLS handshake fails, for their certificate or for ours",
        _ => "calls break off",
    };
    format!("{word}{at}: {why}")
}

fn named(hosts: &[HostName]) -> String {
    match hosts {
        [only] => only.to_string(),
        [first, ..] => format!("{first} or another of {}", hosts.len()),
        [] => "nothing".to_owned(),
    }
}

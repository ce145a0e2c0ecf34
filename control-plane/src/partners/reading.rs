//! A report, read: past this, nothing of it is text that anybody could have made up, but for what a certificate
//! says, which is bounded and legible.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedgate_policy::report::{FeedState, Line, MAX_LINES, Report, Shown};
use fedgate_policy::{Domain, UnixTime, legible};

use super::label::Label;

/// The longest names of a worker and of a version.
const MAX_NAME: usize = 64;
/// The longest text that a filter makes of a list of names, and more; beyond that it is no filter's.
const MAX_TEXT: usize = 32 << 10;
/// How much of it is kept, in characters.
const KEPT: usize = 1000;
/// The longest serial number: 20 octets (RFC 5280 §4.1.2.2), and some of those who do not keep to that.
const MAX_SERIAL: usize = 128;
/// The longest ago that anything can be.
const LONGEST_AGO: Duration = Duration::from_secs(3600);

/// What a worker tells.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) worker: String,
    pub(super) side: Side,
    pub(super) version: String,
    pub(super) feed: FeedState,
    pub(super) events: Vec<Event>,
    pub(super) others: u32,
}

/// Requests, or calls, of one domain that came to the same end.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) domain: Domain,
    pub(super) label: Label,
    pub(super) count: u32,
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) upstream: Option<SocketAddr>,
}

/// Which way it goes: what a filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Side {
    /// They call us.
    Ingress,
    /// We call them.
    Egress,
}

/// What a certificate says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) names: String,
    pub(crate) issuer: String,
    pub(crate) serial: String,
    /// The last second of its validity.
    pub(crate) not_after: UnixTime,
}

/// Why nothing of a report counts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it has {0} lines, more than {MAX_LINES}")]
    TooLong(usize),
    #[error("its role is neither ingress nor egress")]
    Role,
    #[error("its worker and version are not up to {MAX_NAME} letters, digits, '.', '-', '_', '+'")]
    Name,
    #[error("a line of {0} has a label that there is not")]
    Label(Domain),
    #[error("a line of {0} has an upstream that is not an address and a port")]
    Upstream(Domain),
    #[error("a line of {0} shows a certificate in text that is too long, or not legible")]
    Text(Domain),
}

// === impl Told ===

impl Told {
    /// Reads a report that came at this moment: all of it, or nothing.
    pub(super) fn read(report: Report, now: Instant) -> Result<Self, Unreadable> {
        let Report { worker, role, version, feed, lines, others } = report;
        if lines.len() > MAX_LINES {
            return Err(Unreadable::TooLong(lines.len()));
        }
        let side = match &*role {
            "ingress" => Side::Ingress,
            "egress" => Side::Egress,
            _ => return Err(Unreadable::Role),
        };
        if !is_name(&worker) || !is_name(&version) {
            return Err(Unreadable::Name);
        }
        let events = lines.into_iter().map(|line| Event::read(line, now)).collect::<Result<_, _>>()?;
        Ok(Self { worker, side, version, feed, events, others })
    }
}

// === impl Event ===

impl Event {
    fn read(line: Line, now: Instant) -> Result<Self, Unreadable> {
        let Line { domain, label, count, first_ms, last_ms, certificate, upstream, spared } = line;
        let Some(label) = Label::read(&label) else { return Err(Unreadable::Label(domain)) };
        let label = if spared { label.spared() } else { label };
        let upstream = upstream.map(|text| text.parse()).transpose();
        let Ok(upstream) = upstream else { return Err(Unreadable::Upstream(domain)) };
        let certificate = match certificate.map(Certificate::read) {
            None => None,
            Some(Some(certificate)) => Some(Arc::new(certificate)),
            Some(None) => return Err(Unreadable::Text(domain)),
        };
        let ago = |millis| {
            let ago = Duration::from_millis(millis).min(LONGEST_AGO);
            now.checked_sub(ago).unwrap_or(now)
        };
        let (last, first) = (ago(last_ms), ago(first_ms.max(last_ms)));
        Ok(Self { domain, label, count: count.max(1), first, last, certificate, upstream })
    }
}

// === impl Side ===

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

// === impl Certificate ===

impl Certificate {
    fn read(shown: Shown) -> Option<Self> {
        let Shown { names, issuer, serial, not_after } = shown;
        let is_serial = serial.len() <= MAX_SERIAL && serial.bytes().all(|it| it.is_ascii_hexdigit());
        let (names, issuer) = (text(&names)?, text(&issuer)?);
        is_serial.then_some(Self { names, issuer, serial, not_after: UnixTime(not_after) })
    }
}

/// The beginning of a text in which nothing is that is not seen.
fn text(text: &str) -> Option<String> {
    let is_text = text.len() <= MAX_TEXT && legible(text, MAX_TEXT) == text;
    is_text.then(|| legible(text, KEPT))
}

fn is_name(text: &str) -> bool {
    let is_of_name = |it: u8| it.is_ascii_alphanumeric() || b".-_+".contains(&it);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_of_name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report(change: impl FnOnce(&mut Value)) -> Result<Told, Unreadable> {
        let mut report = json!({
            "worker": "3f9c41d07ab85e26", "role": "ingress", "version": "0.1.0",
            "feed": {"heard_ms": 1200, "whole": true, "entries": 12},
            "lines": [{"domain": "a.com", "label": "authentication-failure", "count": 3, "first_ms": 4000,
                "last_ms": 100, "upstream": "192.0.2.7:443",
                "certificate": {"names": "DNS:x.a.com", "issuer": "CN=Root", "serial": "0a1b", "not_after": 1}}],
        });
        change(&mut report);
        Told::read(serde_json::from_value(report).unwrap(), Instant::now())
    }

    #[test]
    fn nothing_gets_in_that_a_filter_does_not_say() {
        assert_eq!(report(|_| {}).unwrap().events.len(), 1);
        let a: Domain = "a.com".parse().unwrap();
        for (place, value, expected) in [
            ("/role", json!("both"), Unreadable::Role),
            ("/worker", json!(""), Unreadable::Name),
            ("/worker", json!("a b"), Unreadable::Name),
            ("/version", json!("v".repeat(65)), Unreadable::Name),
            ("/lines/0/label", json!("made-up"), Unreadable::Label(a.clone())),
            ("/lines/0/upstream", json!("infra.a.com:443"), Unreadable::Upstream(a.clone())),
            ("/lines/0/certificate/names", json!("a\u{1b}[2J"), Unreadable::Text(a.clone())),
            ("/lines/0/certificate/issuer", json!("\u{202e}"), Unreadable::Text(a.clone())),
            ("/lines/0/certificate/names", json!("x".repeat(MAX_TEXT + 1)), Unreadable::Text(a.clone())),
            ("/lines/0/certificate/serial", json!("0x1"), Unreadable::Text(a)),
        ] {
            let read = report(|it| *it.pointer_mut(place).unwrap() = value);
            assert_eq!(read.unwrap_err(), expected, "{place}");
        }
        let long = report(|it| it["lines"] = vec![it["lines"][0].clone(); MAX_LINES + 1].into());
        assert_eq!(long.unwrap_err(), Unreadable::TooLong(MAX_LINES + 1));
    }

    #[test]
    fn a_moment_that_cannot_be_is_none() {
        let told = report(|it| {
            it["lines"][0]["first_ms"] = json!(5);
            it["lines"][0]["last_ms"] = json!(u64::MAX);
            it["lines"][0]["count"] = json!(0);
        });
        let event = told.unwrap().events.remove(0);
        assert!(
            event.first == event.last && event.last.elapsed() <= LONGEST_AGO + Duration::from_secs(9)
        );
        assert_eq!(event.count, 1);
    }
}

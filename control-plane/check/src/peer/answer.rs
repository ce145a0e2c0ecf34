//! What it means what they say to a harmless call of ours: pure.

use std::time::{Duration, SystemTime};

use fedgate_policy::{PeerError, legible};

use super::admission::OF_CERTIFICATES;
use super::visit::{Others, Talk, Welcome};
use super::{Question, codes};
use crate::certificate::Role;
use crate::code::Code;
use crate::ledger::Ledger;
use crate::probe::{Answer, CallTrouble};

const ANSWERS: &str = "it answers a call of ours";
/// The most characters of what they say that are told.
const SAID: usize = 200;
/// From where on clocks differ, and are wrong: less what the way takes, and the seconds that a `Date` rounds off.
const DIFFERS: Duration = Duration::from_secs(2 * 60);
const WRONG: Duration = Duration::from_secs(10 * 60 - 5);

/// Looks at the answer.
pub(super) fn look(ledger: &mut Ledger<'_>, talk: &Talk, question: &Question<'_>) {
    match &talk.answer {
        Some(Ok(answer)) => match wrong(answer) {
            None => ledger.passed(ANSWERS, format!("{} in {:.1?}", answer.status, answer.took)),
            Some(code) => ledger.found(ANSWERS, code, said(answer)),
        },
        Some(Err(trouble)) => ledger.found(ANSWERS, unanswered(talk, trouble), trouble.to_string()),
        None => ledger.not_looked_at(
            ANSWERS,
            match &talk.agreed {
                Err(_) => "there was no handshake",
                Ok(_) if question.identity.is_none() => {
                    "our certificate was not named; use --certificate and --key"
                }
                Ok(_) if question.own_domain.is_none() => "our domain was not named; use --own-domain",
                Ok(_) => "it does not speak HTTP/2",
            },
        ),
    }
}

/// Whether their clock goes as ours does.
pub(super) fn clock(ledger: &mut Ledger<'_>, talk: &Talk, role: Role) {
    // Ours mostly is this very machine: that the two agree proves nothing about either.
    let claim = match role {
        Role::OwnServer => "its clock goes as this machine's does",
        Role::Server | Role::Client => "its clock goes as ours does",
    };
    let dated = answers(talk).find_map(|answer| Some((answer.date?, answer.received)));
    let Some((theirs, ours)) = dated else {
        return ledger.not_looked_at(claim, "no answer has a date");
    };
    Gap::between(theirs, ours).tell(ledger, claim, "theirs");
}

/// How far another clock is from ours; the least is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gap {
    apart: Duration,
    is_ahead: bool,
}

impl Gap {
    pub(crate) fn between(theirs: SystemTime, ours: SystemTime) -> Self {
        match theirs.duration_since(ours) {
            Ok(apart) => Self { apart, is_ahead: true },
            Err(error) => Self { apart: error.duration(), is_ahead: false },
        }
    }

    /// Tells whether it is too wide; `whose` is the other clock.
    pub(crate) fn tell(self, ledger: &mut Ledger<'_>, claim: &str, whose: &str) {
        let side = if self.is_ahead { "ahead of" } else { "behind" };
        let seen = format!("{whose} is {} s {side} ours", self.apart.as_secs());
        if self.apart >= WRONG {
            ledger.found(claim, &codes::CLOCK_WRONG, seen);
        } else if self.apart >= DIFFERS {
            ledger.found(claim, &codes::CLOCK_DIFFERS, seen);
        } else {
            ledger.passed(claim, seen);
        }
    }
}

fn answers(talk: &Talk) -> impl Iterator<Item = &Answer> {
    let ours = talk.answer.as_ref().and_then(|answer| answer.as_ref().ok());
    let others = talk.others.iter().flat_map(|Others { nobody, stranger, .. }| [nobody, stranger]);
    ours.into_iter().chain(others.filter_map(|welcome| match welcome {
        Welcome::Call(Ok(answer)) => Some(answer),
        Welcome::Call(Err(_)) | Welcome::Handshake(_) | Welcome::Untried(_) => None,
    }))
}

/// What is wrong with an answer, if anything is.
fn wrong(answer: &Answer) -> Option<&'static Code> {
    let Answer { status, body, .. } = answer;
    if (200..300).contains(status) {
        let is_json = serde_json::from_slice::<serde_json::Value>(body).is_ok();
        return if is_json { None } else { Some(&codes::NO_FEDERATOR) };
    }
    let label = PeerError::read(*status, body).label;
    Some(match label.as_str() {
        "federation-denied" => &codes::NOT_ON_THEIR_LIST,
        "invalid-domain" | "discovery-failure" => &codes::OUR_SRV_UNSEEN,
        "invalid-endpoint" => &codes::ENDPOINT_MISSING,
        label if OF_CERTIFICATES.contains(&label) => &codes::CERTIFICATE_REFUSED,
        "unknown-error" => by_proxy(*status, body),
        _ if *status >= 500 => &codes::BACKEND_FAILS,
        _ => &codes::CALL_REFUSED,
    })
}

/// Of an answer that is none of Wire's.
fn by_proxy(status: u16, body: &[u8]) -> &'static Code {
    let text = String::from_utf8_lossy(body);
    match status {
        // As nginx says it.
        _ if text.contains("SSL certificate") => &codes::CERTIFICATE_REFUSED,
        500.. => &codes::BACKEND_FAILS,
        404 | 405 if !text.trim_start().starts_with('<') => &codes::ENDPOINT_MISSING,
        _ => &codes::NO_FEDERATOR,
    }
}

fn unanswered(talk: &Talk, trouble: &CallTrouble) -> &'static Code {
    match trouble {
        // In TLS 1.3, a certificate is refused after the handshake, and at times without a word.
        CallTrouble::Alert(_) | CallTrouble::Closed if talk.seen.asked.is_some() => {
            &codes::CERTIFICATE_REFUSED
        }
        CallTrouble::Silent(_) => &codes::CALL_UNANSWERED,
        CallTrouble::Alert(_) | CallTrouble::Closed | CallTrouble::Broken(_) => &codes::HTTP2_BROKEN,
    }
}

fn said(answer: &Answer) -> String {
    let error = PeerError::read(answer.status, &answer.body);
    legible(&format!("{} {error}", answer.status), SAID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.as_bytes().to_vec(),
            date: None,
            received: SystemTime::UNIX_EPOCH,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn an_answer_is_read_for_what_is_wrong() {
        let wires =
            |code, label: &str| (code, format!(r#"{{"code":{code},"label":"{label}","message":"m"}}"#));
        for ((status, body), expected) in [
            ((200, r#"{"supported":[0,1]}"#.to_owned()), None),
            ((200, "<html>".to_owned()), Some("no-federator")),
            ((200, String::new()), Some("no-federator")),
            (wires(400, "federation-denied"), Some("not-on-their-list")),
            (wires(422, "invalid-domain"), Some("our-srv-unseen")),
            (wires(403, "authentication-failure"), Some("certificate-refused")),
            (wires(403, "no-client-certificate"), Some("certificate-refused")),
            (wires(403, "invalid-endpoint"), Some("endpoint-missing")),
            (wires(503, "verdict-unavailable"), Some("backend-fails")),
            (wires(418, "teapot"), Some("call-refused")),
            ((404, "404 not found".to_owned()), Some("endpoint-missing")),
            ((404, "<html>not found".to_owned()), Some("no-federator")),
            ((502, "<html>Bad Gateway".to_owned()), Some("backend-fails")),
            ((301, String::new()), Some("no-federator")),
            (
                (400, "<html>No required SSL certificate was sent".to_owned()),
                Some("certificate-refused"),
            ),
        ] {
            assert_eq!(wrong(&answer(status, &body)).map(|code| code.name), expected, "{status} {body}");
        }
    }

    #[test]
    fn what_they_say_does_not_break_out_of_a_line() {
        let told = said(&answer(403, &format!("\u{1b}[2J\n\u{202e}{}", "x".repeat(5000))));
        assert!(!told.contains(['\u{1b}', '\n', '\u{202e}']) && told.chars().count() < 250, "{told}");
    }
}

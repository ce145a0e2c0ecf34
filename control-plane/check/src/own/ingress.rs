//! Our ingress: whether it is where our SRV record leads, and refuses what only our own certificate can try.

use std::net::SocketAddr;
use std::time::Duration;

use fedgate_policy::{Certificate, Domain, PeerError};
use rustls::pki_types::CertificateDer;

use super::codes;
use super::partners::Partner;
use crate::certificate;
use crate::ledger::Ledger;
use crate::peer::{Place, Presented, Question};
use crate::probe::{Answer, Call, Groups, Hello, Identity, Versions, call, connect, handshake};

/// What Wire's services ask each other first.
const PATH: &str = "/federation/brig/api-version";
/// A domain that cannot be anybody's (RFC 6761).
const NOBODY: &str = "stranger.invalid";
/// What a gate says to a certificate that does not prove the domain, and to a header that is not one domain. Any other
/// answer is about something else: an allow list says no to a stranger's domain before any name is compared.
const WRONG_NAME: &[&str] = &["authentication-failure"];
const WRONG_HEADER: &[&str] = &["domain-parse-error", "no-origin-domain"];

/// Whether it presents what the file has, or what is as good: an ingress may have several certificates, of several kinds
/// of keys or one for each machine.
pub(super) fn ours(
    ledger: &mut Ledger<'_>,
    presented: &Presented,
    file: Option<&CertificateDer<'_>>,
    question: &Question<'_>,
) {
    let claim = "it is our ingress";
    match (presented.chain.first(), file) {
        (_, None) => {
            ledger.not_looked_at(
                claim,
                "our certificate was not named, or not read; use --server-certificate",
            );
        }
        (None, _) => ledger.not_looked_at(claim, "it has presented no certificate"),
        (Some(theirs), Some(file)) if theirs == file => ledger.passed(claim, "it presents the file's"),
        (Some(theirs), Some(_)) => {
            let names_it = Certificate::parse(theirs).is_ok_and(|it| it.presents(&presented.place.0));
            let seen = format!("{} presents another certificate", presented.address);
            match question.trust {
                _ if !names_it => ledger.found(claim, &codes::SRV_LEADS_ELSEWHERE, seen),
                Ok(trust) if certificate::leads_to(trust, &presented.chain, question.now) => {
                    ledger.found(claim, &codes::ANOTHER_CERTIFICATE, seen);
                }
                Ok(_) => ledger.found(claim, &codes::SRV_LEADS_ELSEWHERE, seen),
                Err(why) => ledger.not_looked_at(claim, format!("{seen} for that name, and {why}")),
            }
        }
    }
}

/// Who tries it, and in whose name.
pub(super) struct Impostor<'a> {
    /// What our Envoy shows when it calls, for our domain.
    pub(super) identity: &'a Identity,
    pub(super) domain: &'a Domain,
    /// Whose names it does not prove, though the list has them; or why there are none.
    pub(super) partners: Result<&'a [Partner], &'a str>,
    /// Those of them in whose name one may try.
    pub(super) callers: &'a [Domain],
    /// For how long one step may take.
    pub(super) patience: Duration,
}

const NAME: &str = "it refuses a domain that the certificate does not prove";
const PORT: &str = "it refuses a domain with a port";
const TWO: &str = "it refuses two domains at once";

/// Whether headers are refused that nobody may send, each on a connection of its own.
pub(super) async fn refuses(
    ledger: &mut Ledger<'_>,
    presented: &Presented,
    impostor: Option<Impostor<'_>>,
) {
    let Some(impostor) = impostor else {
        for claim in [NAME, PORT, TWO] {
            ledger.not_looked_at(claim, "our certificate was not named; use --certificate and --key");
        }
        return;
    };
    ledger.begins(NAME);
    impostor.name(presented).await.tell(ledger, NAME, presented.address);
    let domain = impostor.domain.as_str();
    let port = format!("{domain}:443");
    for (claim, origins) in [(PORT, &[port.as_str()][..]), (TWO, &[domain, NOBODY])] {
        ledger.begins(claim);
        let reception = impostor.tries(presented, origins, WRONG_HEADER).await;
        reception.tell(ledger, claim, presented.address);
    }
}

/// How a call was taken that is to be refused.
#[derive(Debug, PartialEq, Eq)]
enum Reception {
    Refused(String),
    LetIn(String),
    Unclear(String),
}

// === impl Impostor ===

impl Impostor<'_> {
    /// Claims to be a partner. Where none is known, a stranger's domain may show that nobody looks at all.
    async fn name(&self, presented: &Presented) -> Reception {
        let strange = |partners: Result<&[Partner], &str>| {
            match partners {
            Err(why) => format!("no listed partner is known in whose name to try it: {why}"),
            Ok(_) => "no partner that our certificate is not for has called within the hour, and in another's name a \
                      refusal would stand; use --partner"
                .to_owned(),
        }
        };
        let partners = self.partners.unwrap_or_default();
        let mut last = None;
        let is_callers = |partner: &&Partner| self.callers.contains(&partner.domain);
        let strangers = partners.iter().filter(|partner| !partner.is_proven_by(self.identity));
        for partner in strangers.filter(is_callers) {
            match self.tries(presented, &[partner.domain.as_str()], WRONG_NAME).await {
                Reception::Unclear(why) => {
                    last = Some(format!("in the name of {}, {why}", partner.domain));
                }
                clear @ (Reception::Refused(_) | Reception::LetIn(_)) => return clear,
            }
        }
        match (last, self.tries(presented, &[NOBODY], WRONG_NAME).await) {
            (Some(why), Reception::Unclear(_)) => Reception::Unclear(why),
            (None, Reception::Unclear(_)) => Reception::Unclear(strange(self.partners)),
            (_, clear @ (Reception::Refused(_) | Reception::LetIn(_))) => clear,
        }
    }

    async fn tries(&self, presented: &Presented, origins: &[&str], expected: &[&str]) -> Reception {
        let at = (presented.address, &presented.place);
        match ask(at, Some(self.identity), origins, self.patience).await {
            Ok(answer) => Reception::of(answer.status, &answer.body, expected),
            Err(why) => Reception::Unclear(why),
        }
    }
}

// === impl Reception ===

impl Reception {
    fn of(status: u16, body: &[u8], expected: &[&str]) -> Self {
        let label = PeerError::read(status, body).label;
        if (200..300).contains(&status) {
            Self::LetIn(format!("answers {status}, as to a partner"))
        } else if expected.contains(&label.as_str()) {
            Self::Refused(format!("{status} {label}"))
        } else {
            let expected = expected.join(" or ");
            Self::Unclear(format!("it answers {status} {label}, and the gate's answer is {expected}"))
        }
    }

    fn tell(self, ledger: &mut Ledger<'_>, claim: &str, address: SocketAddr) {
        match self {
            Self::Refused(seen) => ledger.passed(claim, seen),
            Self::LetIn(seen) => {
                ledger.found(claim, &codes::FORGED_ORIGIN_ANSWERED, format!("{address} {seen}"));
            }
            Self::Unclear(why) => ledger.not_looked_at(claim, why),
        }
    }
}

/// What an ingress says to a call with these origins.
pub(super) async fn ask(
    (address, (host, port)): (SocketAddr, &Place),
    identity: Option<&Identity>,
    origins: &[&str],
    patience: Duration,
) -> Result<Answer, String> {
    let connected = connect(address, patience).await.map_err(|trouble| trouble.to_string())?;
    let hello = Hello { host, identity, versions: Versions::All, groups: Groups::All };
    let session = handshake(connected.stream, hello, patience).await.session;
    let session = session.map_err(|trouble| trouble.to_string())?;
    let request = Call { host, port: *port, path: PATH, origins, body: "[]" };
    call(session.stream, request, patience).await.map_err(|trouble| trouble.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_gates_own_answer_is_a_refusal() {
        let said = |label: &str| format!(r#"{{"code":400,"label":"{label}","message":"m"}}"#);
        let denied = || "RBAC: access denied".to_owned();
        for (status, body, expected, is) in [
            (403, said("authentication-failure"), WRONG_NAME, "refused"),
            (422, said("domain-parse-error"), WRONG_HEADER, "refused"),
            (403, said("no-origin-domain"), WRONG_HEADER, "refused"),
            (200, "[]".to_owned(), WRONG_NAME, "let in"),
            (204, String::new(), WRONG_HEADER, "let in"),
            // The list says no, and nobody has compared a name.
            (400, said("federation-denied"), WRONG_NAME, "unclear"),
            (400, said("federation-denied"), WRONG_HEADER, "unclear"),
            (422, said("domain-parse-error"), WRONG_NAME, "unclear"),
            (403, said("authentication-failure"), WRONG_HEADER, "unclear"),
            (403, denied(), WRONG_NAME, "unclear"),
            (403, denied(), WRONG_HEADER, "unclear"),
            (404, String::new(), WRONG_HEADER, "unclear"),
            (503, said("verdict-unavailable"), WRONG_NAME, "unclear"),
        ] {
            let reception = match Reception::of(status, body.as_bytes(), expected) {
                Reception::Refused(_) => "refused",
                Reception::LetIn(_) => "let in",
                Reception::Unclear(_) => "unclear",
            };
            assert_eq!(reception, is, "{status} {body} {expected:?}");
        }
    }
}

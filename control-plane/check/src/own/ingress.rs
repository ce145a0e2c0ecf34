//! Our ingress: whether it is where our SRV record leads, and refuses what only our own certificate can try.

use std::time::Duration;

use fedgate_policy::{Domain, PeerError};
use rustls::pki_types::CertificateDer;

use super::codes;
use crate::ledger::Ledger;
use crate::peer::Presented;
use crate::probe::{Call, Groups, Hello, Identity, Versions, call, connect, handshake};

/// What Wire's services ask each other first.
const PATH: &str = "/federation/brig/api-version";
/// A domain that cannot be anybody's (RFC 6761).
const NOBODY: &str = "stranger.invalid";

/// Whether it presents what the file has.
pub(super) fn ours(ledger: &mut Ledger<'_>, presented: &Presented, file: Option<&[CertificateDer<'_>]>) {
    let claim = "it is our ingress";
    match (presented.chain.first(), file.and_then(<[_]>::first)) {
        (_, None) => {
            ledger.not_looked_at(
                claim,
                "our certificate was not named, or not read; use --server-certificate",
            );
        }
        (None, _) => ledger.not_looked_at(claim, "it has presented no certificate"),
        (Some(theirs), Some(file)) if theirs == file => ledger.passed(claim, "it presents the file's"),
        (Some(_), Some(_)) => {
            let seen = format!("{} presents another certificate", presented.address);
            ledger.found(claim, &codes::SRV_LEADS_ELSEWHERE, seen);
        }
    }
}

/// Whether headers are refused that nobody may send, each on a connection of its own.
pub(super) async fn refuses(
    ledger: &mut Ledger<'_>,
    presented: &Presented,
    identity: Option<&Identity>,
    domain: &Domain,
    patience: Duration,
) {
    let domain = domain.as_str();
    let port = format!("{domain}:443");
    for (claim, origins) in [
        ("it refuses a domain that the certificate does not prove", &[NOBODY][..]),
        ("it refuses a domain with a port", &[port.as_str()]),
        ("it refuses two domains at once", &[domain, NOBODY]),
    ] {
        let Some(identity) = identity else {
            ledger.not_looked_at(claim, "our certificate was not named; use --certificate and --key");
            continue;
        };
        ledger.begins(claim);
        match status(presented, identity, origins, patience).await {
            Ok((200..=299, _)) => {
                let seen = format!("{} answers as to a partner", presented.address);
                ledger.found(claim, &codes::FORGED_ORIGIN_ANSWERED, seen);
            }
            Ok((status @ 400..=499, label)) => ledger.passed(claim, format!("{status} {label}")),
            Ok((status, label)) => {
                ledger.not_looked_at(claim, format!("it answers {status} {label}, for another reason"));
            }
            Err(why) => ledger.not_looked_at(claim, why),
        }
    }
}

async fn status(
    presented: &Presented,
    identity: &Identity,
    origins: &[&str],
    patience: Duration,
) -> Result<(u16, String), String> {
    let (host, port) = &presented.place;
    let connected = connect(presented.address, patience).await.map_err(|trouble| trouble.to_string())?;
    let hello = Hello { host, identity: Some(identity), versions: Versions::All, groups: Groups::All };
    let session = handshake(connected.stream, hello, patience).await.session;
    let session = session.map_err(|trouble| trouble.to_string())?;
    let request = Call { host, port: *port, path: PATH, origins, body: "[]" };
    let answer = call(session.stream, request, patience).await.map_err(|trouble| trouble.to_string())?;
    let label = PeerError::read(answer.status, &answer.body).label;
    Ok((answer.status, label))
}

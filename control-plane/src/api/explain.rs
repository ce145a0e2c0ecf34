//! The decision on a request that somebody describes: made as the filter makes it, on what it would be told now.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use fedgate_allow_list::terms::Proof;
use fedgate_policy::{Account, Asker, Domain, Facts, Handshake, Peer, RemoteCall, UnixTime, Verdict};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::account::{self, Seen};
use super::extract::CertificateJson;
use super::problem::Problem;
use crate::contract::{
    Details, Direction, DiscoveryBody, Explain, Explained, Kind, ListedDomain, TargetBody,
};
use crate::{moment, pem, spelling};

/// The component and procedure of the call that is explained: one that changes nothing.
const CALL: &str = "brig/api-version";

/// What has this to say, for those who may read.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// What would become of a request, and why: the decision, step by step. Role `viewer` is enough.
///
/// A domain that may federate and was not looked up yet is looked up for it; another one is not.
#[utoipa::path(
    post, path = "/v1/explain", tag = "domains", request_body = Explain,
    responses(
        (status = 200, body = Explained),
        (status = 422, body = Details, content_type = "application/problem+json", description = "the certificate is none"),
    ),
)]
async fn explain(
    State(api): State<Api>,
    CertificateJson(asked): CertificateJson<Explain>,
) -> Result<impl IntoResponse, Problem> {
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(account_of(&api, &asked).await?)))
}

/// What would become of that.
pub(crate) async fn account_of(api: &Api, asked: &Explain) -> Result<Explained, Problem> {
    let texts = [Some(&asked.domain), asked.origin.as_ref()];
    if texts.into_iter().flatten().any(|text| pem::holds_key(text)) {
        return Err(unusable(pem::HOLDS_KEY));
    }
    let domain = domain(&asked.domain)?;
    match asked.direction {
        Direction::Incoming => incoming(api, domain, asked).await,
        Direction::Outgoing => outgoing(api, domain, asked).await,
    }
}

async fn incoming(api: &Api, domain: Domain, asked: &Explain) -> Result<Explained, Problem> {
    let der = asked.certificate.as_deref().map(pem::leaf).transpose().map_err(|why| unusable(&why))?;
    if asked.anonymous && der.is_some() {
        return Err(unusable("a caller who is anonymous shows no certificate"));
    }
    let peer = match &der {
        Some(der) => Some(Peer::new(Some(der), asked.trusted.unwrap_or(true))),
        None => asked.anonymous.then_some(Peer::Anonymous),
    };
    let origin = asked.origin.as_deref().unwrap_or(domain.as_str()).as_bytes().to_owned();
    let handshake = der.as_deref().map_or(Handshake::Fit, Handshake::of);
    let facts = Facts {
        peer: peer.as_ref(),
        handshake: asked.trusted.is_none().then_some(&handshake),
        origin_header: Some(&origin),
        now: now(),
    };
    // Who claims another domain is judged by that one.
    let domain = facts.claimed().unwrap_or(domain);
    let verdict = api.verdicts.verdict(domain.clone(), Asker::Ours).await;
    let account = facts.account(Some(&verdict));
    let body = account::body(&account, |refusal| refusal.to_json(None));
    let found = Found {
        verdict,
        certificate: der.filter(|_| asked.trusted != Some(false)),
        handshake: handshake.clone(),
    };
    Ok(found.explained(api, domain, Direction::Incoming, &account, body, Some(&origin)).await)
}

async fn outgoing(api: &Api, domain: Domain, asked: &Explain) -> Result<Explained, Problem> {
    if asked.certificate.is_some()
        || asked.anonymous
        || asked.trusted.is_some()
        || asked.origin.is_some()
    {
        return Err(unusable("a call of our own has no certificate and no origin to explain"));
    }
    let call = RemoteCall::parse(b"POST", format!("/rpc/{domain}/{CALL}").as_bytes());
    let call = call.map_err(|refusal| unusable(&refusal.to_string()))?;
    let verdict = api.verdicts.verdict(domain.clone(), Asker::Ours).await;
    let account = Account::of_call(&call, Some(&verdict));
    let body = account::body(&account, |refusal| call.refusal_json(refusal, None));
    let found = Found { verdict, certificate: None, handshake: Handshake::Fit };
    Ok(found.explained(api, domain, Direction::Outgoing, &account, body, None).await)
}

/// What a decision rests on.
struct Found {
    verdict: Verdict,
    certificate: Option<Vec<u8>>,
    handshake: Handshake,
}

impl Found {
    async fn explained(
        self,
        api: &Api,
        domain: Domain,
        direction: Direction,
        account: &Account,
        body: Option<serde_json::Value>,
        origin: Option<&[u8]>,
    ) -> Explained {
        let now = Instant::now();
        let mut discovery = discovery(api, &domain).await;
        let entry = api.list.entry(&domain).map(|entry| super::domains::listed(domain.clone(), &entry));
        let is_to_be_proven = |entry: &ListedDomain| entry.terms.dnssec == Proof::Require;
        if let Some(found) = discovery.as_mut().filter(|_| entry.as_ref().is_some_and(is_to_be_proven)) {
            "require".clone_into(&mut found.dnssec);
        }
        let seen = Seen {
            domain,
            direction,
            strategy: api.list.strategy().0,
            entry,
            discovery,
            certificate: self.certificate.as_deref(),
            handshake: &self.handshake,
            verdict: &self.verdict,
            told: api.verdicts.told(&self.verdict.domain),
            workers: api.partners.workers(now),
            is_shared: api.verdicts.age().is_some(),
            servers: api.verdicts.servers(),
            list_file: api.list_file.as_ref().map(|it| it.report().path.display().to_string()),
            origin,
            at: now,
        };
        seen.explain(account, body)
    }
}

/// What DNS said of a domain that may federate.
async fn discovery(api: &Api, domain: &Domain) -> Option<DiscoveryBody> {
    let known = api.verdicts.found(domain).await?;
    let now = Instant::now();
    let reaches = api.targets.reach(&known.targets).await;
    Some(DiscoveryBody {
        question: format!("_wire-server-federator._tcp.{domain}"),
        servers: api.verdicts.servers().to_owned(),
        asked_at: moment::of(known.found_at, now),
        tried_at: moment::of(known.tried_at, now),
        stands_until: moment::of(known.expires_at, now),
        ttl_s: known.expires_at.saturating_duration_since(now).as_secs(),
        dnssec: api.dnssec.clone(),
        proven: known.is_proven,
        hosts: account::hosts(&known.outcome),
        trouble: known.trouble.as_ref().map(|failure| failure.message.clone()),
        targets: reaches.into_iter().map(TargetBody::from).collect(),
        passed_over: known.passed_over.clone(),
    })
}

fn domain(text: &str) -> Result<Domain, Problem> {
    spelling::domain(text).map_err(|misspelt| unusable(&misspelt.of(text)))
}

fn unusable(detail: &str) -> Problem {
    Problem::new(Kind::UnprocessableContent, detail)
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

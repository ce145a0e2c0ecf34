//! The verdict API: what the filters in Envoy ask.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use fedgate_policy::{Answer, Asker, Outcome, RequestId, Strategy};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{DomainName, Query};
use super::problem::Problem;
use super::{Api, MAX_WAIT, number};
use crate::auth::Caller;
use crate::contract::{DomainText, FailureSchema, VerdictSchema, strategy_schema};
use crate::listener::Peer;

/// The verdict API's guarded routes, but for those that wait.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(verdict))
}

/// The guarded route that may wait for [`MAX_WAIT`].
pub(super) fn waiting() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(feed))
}

/// What the control plane says of one backend domain, and who it is.
#[derive(utoipa::ToSchema)]
#[schema(as = Answer)]
#[allow(dead_code, reason = "documents the JSON of the policy's Answer, and a test holds it to it")]
struct AnswerSchema {
    /// The backend domain.
    #[schema(example = "a.com")]
    domain: String,
    /// The infrastructure domains that may speak for it: 1 to 64, in alphabetical order.
    #[schema(nullable = false, example = json!(["federator.infra.a.com"]))]
    hosts: Option<Vec<String>>,
    /// Why none may.
    #[schema(nullable = false)]
    failure: Option<FailureSchema>,
    /// For how long this holds, in milliseconds from now.
    #[schema(example = 599_000)]
    ttl_ms: u64,
    /// Whether what discovery and names would refuse is only told, and passes; absent where it is not.
    #[schema(nullable = false)]
    shadow: Option<bool>,
    /// As in a page of the feed.
    #[schema(required, example = "3f0c9a5be81d7264")]
    store: Option<String>,
    /// As in a page of the feed.
    #[schema(required, example = "d7ad3ed29f31d1c5")]
    control_plane: Option<String>,
    /// As in a page of the feed.
    age_ms: Option<u64>,
}

/// A page of the feed.
#[derive(utoipa::ToSchema)]
#[schema(as = FeedPage)]
#[allow(dead_code, reason = "documents the JSON of the policy's FeedPage, and a test holds it to it")]
struct FeedPageSchema {
    /// What to send to get the next page. It means nothing to anybody but us.
    #[schema(format = "opaque")]
    cursor: String,
    /// What the verdicts rest on: settings of ours, which you know again, and no more.
    #[schema(required, example = "b5bb9d8014a0f9b1")]
    basis: Option<String>,
    /// The store that the list is kept in, which is named when it is made.
    #[schema(required, example = "3f0c9a5be81d7264")]
    store: Option<String>,
    /// The control plane, which is named anew with each start. Where two names are told in turn, two control
    /// planes answer, and know nothing of each other.
    #[schema(required, example = "d7ad3ed29f31d1c5")]
    control_plane: Option<String>,
    /// How long ago nothing was newer than what is told, in milliseconds; where several control planes share the
    /// store, which then name themselves by it alone.
    age_ms: Option<u64>,
    /// This page begins a whole table: what you knew before ends once `more` is false, but for verdicts
    /// on the same basis, where the table says nothing of their domain but that it is listed.
    reset: bool,
    /// Another page is ready now.
    more: bool,
    /// What being listed means.
    #[schema(schema_with = strategy_schema)]
    strategy: Strategy,
    /// Listed domains. Where `ttl_ms` is 0, nothing is known of them now: what you know holds until its
    /// end, and then look them up.
    verdicts: Vec<VerdictSchema>,
    /// Domains that are no longer listed.
    #[schema(example = json!(["c.com"]))]
    removed: Vec<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FeedQuery {
    /// That of the page before. Without it, or with one that is not known any more, the table begins
    /// anew.
    #[serde(default)]
    #[param(required = false, format = "opaque")]
    cursor: String,
    /// How many seconds to wait for a change where there is none: 0 to 60, 0 by default.
    #[serde(default)]
    #[param(minimum = 0, maximum = 60, required = false)]
    wait: u64,
}

/// What has changed of the listed domains' verdicts, page by page.
#[utoipa::path(
    get, path = "/v1/verdicts", tag = "verdicts", params(FeedQuery),
    responses(
        (status = 200, body = FeedPageSchema),
    ),
)]
async fn feed(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    peer: Option<Extension<Peer>>,
    Query(query): Query<FeedQuery>,
) -> Result<impl IntoResponse, Problem> {
    let wait = Duration::from_secs(query.wait);
    if wait > MAX_WAIT {
        let detail = format!("wait is 0 to {} seconds, not {}", MAX_WAIT.as_secs(), query.wait);
        return Err(Problem::bad_request(detail));
    }
    let address = peer.map(|Extension(peer)| peer.address());
    let _visit = api.partners.polls.enter(&caller.0, address, Instant::now());
    let page = tokio::select! {
        page = api.verdicts.changes(&query.cursor, wait) => page,
        refused = api.guard.revoked(&caller) => return Err(refused.into()),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)))
}

/// The verdict on a domain, looked up in DNS now if it must be.
#[utoipa::path(
    get, path = "/v1/verdicts/{domain}", tag = "verdicts",
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses(
        (status = 200, body = AnswerSchema),
    ),
)]
async fn verdict(
    State(api): State<Api>,
    DomainName(domain): DomainName,
    headers: HeaderMap,
) -> Json<Answer> {
    // The number of the request that a filter has to decide.
    let request_id = number::given(&headers);
    let asker = headers.get("x-fedgate-asker").and_then(|value| value.to_str().ok());
    let Ok(asker) = asker.unwrap_or_default().parse::<Asker>();
    let verdict = api.verdicts.verdict(domain, asker).await;
    let outcome = match &verdict.outcome {
        Outcome::Hosts(_) => "hosts",
        Outcome::Failure(failure) => failure.label.name(),
    };
    api.telemetry.answered(outcome);
    tracing::info!(domain = %verdict.domain, outcome, request_id = request_id.as_ref().map(RequestId::as_str), "verdict");
    let age_ms = api.verdicts.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Json(Answer { verdict, speaker: api.verdicts.speaker().clone(), age_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedgate_policy::{Failure, FailureLabel, FeedPage, Speaker, Verdict};
    use serde::Serialize;
    use serde_json::json;

    /// Whether JSON has no member that its description has not, and the other way round for what it has to have.
    fn assert_described<S: utoipa::PartialSchema>(sent: &impl Serialize) {
        let (sent, schema) = (json!(sent), json!(S::schema()));
        let described = schema["properties"].as_object().unwrap();
        let sent = sent.as_object().unwrap();
        assert!(sent.keys().all(|key| described.contains_key(key)), "{sent:?}, {described:?}");
        let required = schema["required"].as_array().unwrap();
        assert!(required.iter().all(|key| sent.contains_key(key.as_str().unwrap())), "{sent:?}");
    }

    #[test]
    fn the_documented_verdicts_and_pages_are_those_that_are_sent() {
        let hosts = Outcome::Hosts(vec!["fed.a.com".parse().unwrap()]);
        let failure = Failure { label: FailureLabel::InvalidDomain, message: String::new() };
        assert_described::<FailureSchema>(&failure);
        for outcome in [hosts, Outcome::Failure(failure)] {
            let verdict = Verdict { domain: "a.com".parse().unwrap(), outcome, ttl_ms: 1, shadow: true };
            assert_described::<VerdictSchema>(&verdict);
            let names = (Some("s".to_owned()), Some("p".to_owned()));
            let speaker = Speaker { store: names.0.clone(), control_plane: names.1.clone() };
            assert_described::<AnswerSchema>(&Answer {
                verdict: verdict.clone(),
                speaker,
                age_ms: Some(1),
            });
            let page = FeedPage {
                cursor: "x".to_owned(),
                basis: Some("y".to_owned()),
                store: names.0,
                control_plane: names.1,
                age_ms: Some(1),
                reset: true,
                more: false,
                strategy: Strategy::AllowAll,
                verdicts: vec![verdict],
                removed: vec!["b.com".parse().unwrap()],
            };
            assert_described::<FeedPageSchema>(&page);
        }
    }
}

//! The verdict API: what the filters in Envoy ask.

use axum::extract::State;
use fedgate_policy::Verdict;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::DomainName;
use super::problem::Details;

/// The verdict API's guarded routes.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(verdict))
}

/// What the control plane says of one backend domain: either `hosts`, or a `failure`.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Verdict)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "documents the JSON of the policy's Verdict, and a test holds it to it")]
pub(super) struct VerdictSchema {
    /// The backend domain.
    #[schema(example = "a.com")]
    domain: String,
    /// The infrastructure domains that may speak for it: 1 to 64, in alphabetical order.
    #[schema(example = json!(["federator.infra.a.com"]))]
    hosts: Option<Vec<String>>,
    /// Why none may.
    failure: Option<FailureSchema>,
    /// For how long this holds, in milliseconds from now.
    #[schema(example = 599_000)]
    ttl_ms: u64,
}

/// Why nobody may speak for a backend domain.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = Failure)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "documents the JSON of the policy's Failure")]
pub(super) struct FailureSchema {
    /// `federation-denied`, `invalid-domain` or `discovery-failure`.
    #[schema(example = "invalid-domain")]
    label: String,
    /// One sentence for whoever has to mend it.
    #[schema(example = "srv record not found: _wire-server-federator._tcp.a.com")]
    message: String,
}

/// The verdict on a domain, looked up in DNS now if it must be.
#[utoipa::path(
    get, path = "/v1/verdicts/{domain}", tag = "verdicts",
    params(("domain" = String, Path, description = "a backend domain")),
    responses(
        (status = 200, body = VerdictSchema),
        (status = 400, body = Details, content_type = "application/problem+json", description = "not a backend domain"),
        (status = 401, body = Details, content_type = "application/problem+json"),
        (status = 403, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn verdict(State(api): State<Api>, DomainName(domain): DomainName) -> axum::Json<Verdict> {
    axum::Json(api.verdicts.verdict(domain).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedgate_policy::{Failure, FailureLabel, Outcome};

    #[test]
    fn the_documented_verdict_is_the_one_that_is_sent() {
        let hosts = Outcome::Hosts(vec!["fed.a.com".parse().unwrap()]);
        let failure = Failure { label: FailureLabel::InvalidDomain, message: String::new() };
        for outcome in [hosts, Outcome::Failure(failure)] {
            let verdict = Verdict { domain: "a.com".parse().unwrap(), outcome, ttl_ms: 1 };
            let json = serde_json::to_string(&verdict).unwrap();
            serde_json::from_str::<VerdictSchema>(&json).unwrap();
        }
    }
}

//! The admin API: strategy and domains.

use std::time::{Instant, SystemTime};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use fedgate_allow_list::{Author, Effect, Entry, Terms, WriteError, terms};
use fedgate_policy::{Domain, Strategy, Verdict};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{self, DomainName, OptionalJson, Query, When, entity_tag};
use super::lookups::{Lookups, Refreshed, StateOfLookups};
use super::problem::{Details, Problem};
use super::verdicts::{VerdictSchema, strategy_schema};
use crate::auth::Caller;
use crate::reload::Reloaded;

/// How many domains a page holds, unless the caller says otherwise; and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// The admin API's guarded routes.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(strategy, set_strategy))
        .routes(routes!(domains))
        .routes(routes!(domain, put_domain, delete_domain))
        .routes(routes!(refresh))
        .routes(routes!(reload))
}

/// Which backend domains are allowed.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct StrategyBody {
    #[schema(schema_with = strategy_schema)]
    strategy: Strategy,
}

/// A listed domain.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ListedDomain {
    #[schema(value_type = String, example = "a.com")]
    domain: Domain,
    #[serde(flatten)]
    terms: Terms,
    /// Whether `expires_at` has come: the entry counts as absent.
    expired: bool,
    /// RFC 3339.
    #[schema(example = "2030-01-31T12:00:00.000Z")]
    created_at: String,
    /// The name of a token, or `brig`, or `system`; empty where that was not written down.
    created_by: String,
    /// RFC 3339.
    updated_at: String,
    /// As `created_by`.
    updated_by: String,
}

/// A listed domain in the list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DomainInList {
    #[serde(flatten)]
    listed: ListedDomain,
    #[serde(flatten)]
    lookups: StateOfLookups,
}

/// A listed domain, and what is known of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ShownDomain {
    #[serde(flatten)]
    listed: ListedDomain,
    #[serde(flatten)]
    lookups: Lookups,
    /// The verdict as far as it is known; null where the domain has not been looked up.
    #[schema(value_type = Option<VerdictSchema>)]
    verdict: Option<Verdict>,
}

/// A page of the list, in alphabetical order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DomainPage {
    domains: Vec<DomainInList>,
    /// What to send as `after` to get the next page; null where there is none.
    #[schema(value_type = Option<String>)]
    next: Option<Domain>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// The domain behind which the page begins.
    #[param(value_type = Option<String>)]
    after: Option<Domain>,
    /// How many domains: 1 to 1000, 100 by default.
    limit: Option<usize>,
}

/// The strategy.
#[utoipa::path(get, path = "/v1/strategy", tag = "admin", responses((status = 200, body = StrategyBody)))]
async fn strategy(State(api): State<Api>) -> impl IntoResponse {
    let (strategy, revision) = api.list.strategy();
    ([entity_tag(revision)], Json(StrategyBody { strategy }))
}

/// Sets the strategy.
#[utoipa::path(
    put, path = "/v1/strategy", tag = "admin", request_body = StrategyBody,
    responses(
        (status = 200, body = StrategyBody),
        (status = 412, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn set_strategy(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    When(condition): When,
    extract::Json(StrategyBody { strategy }): extract::Json<StrategyBody>,
) -> Result<impl IntoResponse, Problem> {
    let (revision, effect) = api.list.set_strategy(strategy, condition, author(&caller)).await?;
    tracing::info!(by = %caller.0, strategy = strategy.name(), ?effect, "strategy set");
    Ok(([entity_tag(revision)], Json(StrategyBody { strategy })))
}

/// The listed domains, page by page.
#[utoipa::path(
    get, path = "/v1/domains", tag = "admin", params(PageQuery),
    responses(
        (status = 200, body = DomainPage),
        (status = 400, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn domains(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<DomainPage>, Problem> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is 1 to {MAX_PAGE}, not {limit}")));
    }
    let (page, more) = api.list.page(query.after.as_ref(), limit, |_, _| true);
    let next = page.last().filter(|_| more).map(|(domain, _)| domain.clone());
    let mut domains = Vec::with_capacity(page.len());
    for (domain, entry) in page {
        let standing = api.verdicts.standing(&domain).await;
        let lookups = StateOfLookups::new(&standing, Instant::now());
        domains.push(DomainInList { listed: ListedDomain::new(domain, &entry), lookups });
    }
    Ok(Json(DomainPage { domains, next }))
}

/// One listed domain, with its verdict as far as it is known.
#[utoipa::path(
    get, path = "/v1/domains/{domain}", tag = "admin",
    params(("domain" = String, Path, description = "a backend domain")),
    responses(
        (status = 200, body = ShownDomain),
        (status = 404, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn domain(State(api): State<Api>, DomainName(domain): DomainName) -> Result<Response, Problem> {
    let Some(entry) = api.list.entry(&domain) else {
        return Err(WriteError::NotListed(domain).into());
    };
    let tag = entity_tag(entry.revision);
    let verdict = api.verdicts.known(domain.clone()).await;
    let standing = api.verdicts.standing(&domain).await;
    let lookups = Lookups::new(&standing, &api.targets, Instant::now()).await;
    let shown = ShownDomain { listed: ListedDomain::new(domain, &entry), lookups, verdict };
    Ok(([tag], Json(shown)).into_response())
}

/// Lists a domain, or changes its terms; what is left out stays as it is. The same request twice changes nothing.
#[utoipa::path(
    put, path = "/v1/domains/{domain}", tag = "admin", request_body = Option<terms::Change>,
    params(("domain" = String, Path, description = "a backend domain")),
    responses(
        (status = 201, body = ListedDomain, description = "listed now"),
        (status = 200, body = ListedDomain, description = "was listed"),
        (status = 412, body = Details, content_type = "application/problem+json"),
        (status = 422, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn put_domain(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    DomainName(domain): DomainName,
    When(condition): When,
    OptionalJson(change): OptionalJson<terms::Change>,
) -> Result<Response, Problem> {
    let put = api.list.put(domain.clone(), change, condition, author(&caller));
    let (entry, effect) = put.await?;
    tracing::info!(by = %caller.0, %domain, ?effect, "domain put");
    let status = match effect {
        Effect::Created => StatusCode::CREATED,
        Effect::Changed | Effect::Same | Effect::Removed => StatusCode::OK,
    };
    let tag = entity_tag(entry.revision);
    Ok((status, [tag], Json(ListedDomain::new(domain, &entry))).into_response())
}

/// Takes a domain off the list.
#[utoipa::path(
    delete, path = "/v1/domains/{domain}", tag = "admin",
    params(("domain" = String, Path, description = "a backend domain")),
    responses(
        (status = 204),
        (status = 404, body = Details, content_type = "application/problem+json"),
        (status = 412, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn delete_domain(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    DomainName(domain): DomainName,
    When(condition): When,
) -> Result<StatusCode, Problem> {
    api.list.remove(domain.clone(), condition, author(&caller)).await?;
    tracing::info!(by = %caller.0, %domain, "domain removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Looks a domain up in DNS anew, and says what that lookup came to.
#[utoipa::path(
    post, path = "/v1/domains/{domain}/refresh", tag = "admin",
    params(("domain" = String, Path, description = "a backend domain")),
    responses(
        (status = 200, body = Refreshed, description = "looked up; `answered` says whether DNS had an answer"),
        (status = 404, body = Details, content_type = "application/problem+json", description = "not allowed, so not looked up"),
    ),
)]
async fn refresh(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    DomainName(domain): DomainName,
) -> Result<impl IntoResponse, Problem> {
    let Some(attempt) = api.verdicts.refresh(&domain).await else {
        let detail = format!("{domain} is not allowed, so it is not looked up");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    tracing::info!(by = %caller.0, %domain, answered = attempt.answered, "domain refreshed");
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Refreshed::new(attempt, Instant::now()))))
}

/// Reads the configuration anew. If anything is wrong with it, all of it stays as it was.
#[utoipa::path(
    post, path = "/v1/reload", tag = "admin",
    responses(
        (status = 200, body = Reloaded),
        (status = 422, body = Details, content_type = "application/problem+json", description = "it cannot be used; `errors` has each error"),
    ),
)]
async fn reload(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Reloaded>, Problem> {
    let read = api.reload.run(&caller.0).await;
    read.map(Json).map_err(|errors| {
        let detail = "the configuration cannot be used, and the one before stays";
        Problem::unprocessable(detail, errors.list().to_vec())
    })
}

/// Whoever calls, now.
fn author(caller: &Caller) -> Author {
    Author { by: caller.0.clone(), at: SystemTime::now(), request_id: None }
}

// === impl ListedDomain ===

impl ListedDomain {
    fn new(domain: Domain, entry: &Entry) -> Self {
        Self {
            domain,
            terms: Terms::clone(&entry.terms),
            expired: entry.lapsed,
            created_at: humantime::format_rfc3339_millis(entry.created.at).to_string(),
            created_by: entry.created.by.to_string(),
            updated_at: humantime::format_rfc3339_millis(entry.updated.at).to_string(),
            updated_by: entry.updated.by.to_string(),
        }
    }
}

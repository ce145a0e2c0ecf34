//! The admin API: strategy and domains.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::{Effect, Entry, Terms, WriteError, terms};
use fedgate_policy::Domain;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{self, By, DomainName, OptionalJson, Query, When, entity_tag};
use super::problem::Problem;
use crate::contract::{
    Details, DomainInList, DomainPage, Kind, ListedDomain, Lookups, Refreshed, Reloaded, SetStrategy,
    ShownDomain, StateOfLookups, StrategyBody,
};

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
    put, path = "/v1/strategy", tag = "admin", request_body = SetStrategy,
    responses(
        (status = 200, body = StrategyBody),
        (status = 412, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn set_strategy(
    State(api): State<Api>,
    By(author): By,
    When(condition): When,
    extract::Json(SetStrategy { strategy }): extract::Json<SetStrategy>,
) -> Result<impl IntoResponse, Problem> {
    let (revision, effect) = api.list.set_strategy(strategy, condition, author.clone()).await?;
    tracing::info!(by = %author.by, request_id = author.request_id.as_deref(), strategy = strategy.name(), ?effect, "strategy set");
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
        domains.push(DomainInList { listed: listed(domain, &entry), lookups });
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
    let shown = ShownDomain { listed: listed(domain, &entry), lookups, verdict };
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
    By(author): By,
    DomainName(domain): DomainName,
    When(condition): When,
    OptionalJson(change): OptionalJson<terms::Change>,
) -> Result<Response, Problem> {
    let put = api.list.put(domain.clone(), change, condition, author.clone());
    let (entry, effect) = put.await?;
    tracing::info!(by = %author.by, request_id = author.request_id.as_deref(), %domain, ?effect, "domain put");
    let status = match effect {
        Effect::Created => StatusCode::CREATED,
        Effect::Changed | Effect::Same | Effect::Removed => StatusCode::OK,
    };
    let tag = entity_tag(entry.revision);
    Ok((status, [tag], Json(listed(domain, &entry))).into_response())
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
    By(author): By,
    DomainName(domain): DomainName,
    When(condition): When,
) -> Result<StatusCode, Problem> {
    api.list.remove(domain.clone(), condition, author.clone()).await?;
    tracing::info!(by = %author.by, request_id = author.request_id.as_deref(), %domain, "domain removed");
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
    By(author): By,
    DomainName(domain): DomainName,
) -> Result<impl IntoResponse, Problem> {
    let Some(attempt) = api.verdicts.refresh(&domain).await else {
        let detail = format!("{domain} is not allowed, so it is not looked up");
        return Err(Problem::new(Kind::NotAllowed, detail));
    };
    tracing::info!(by = %author.by, request_id = author.request_id.as_deref(), %domain, answered = attempt.answered, "domain refreshed");
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
async fn reload(State(api): State<Api>, By(author): By) -> Result<Json<Reloaded>, Problem> {
    let read = api.reload.run(&author.by).await;
    read.map(Json).map_err(|errors| {
        let detail = "the configuration cannot be used, and the one before stays";
        Problem::new(Kind::InvalidConfiguration, detail).with_errors(errors.list().to_vec())
    })
}

fn listed(domain: Domain, entry: &Entry) -> ListedDomain {
    ListedDomain {
        domain,
        terms: Terms::clone(&entry.terms),
        expired: entry.lapsed,
        created_at: humantime::format_rfc3339_millis(entry.created.at).to_string(),
        created_by: entry.created.by.to_string(),
        updated_at: humantime::format_rfc3339_millis(entry.updated.at).to_string(),
        updated_by: entry.updated.by.to_string(),
    }
}

//! The listed domains, one by one.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::{Effect, Entry, Terms, Write, WriteError, terms};
use fedgate_policy::Domain;

use super::Api;
use super::extract::{By, DomainName, DryRun, OptionalJson, Query, When, entity_tag};
use super::problem::Problem;
use crate::contract::{
    Details, DomainText, Kind, ListedDomain, Lookups, Outcome, PutAnswer, Refreshed, ShownDomain,
};
use crate::verdicts::Attempt;

/// One listed domain, with its verdict as far as it is known.
#[utoipa::path(
    get, path = "/v1/domains/{domain}", tag = "domains",
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses(
        (status = 200, body = ShownDomain, headers(("ETag" = String, description = "its revision"))),
        (status = 404, body = Details, content_type = "application/problem+json", description = "it is not listed"),
    ),
)]
pub(super) async fn domain(
    State(api): State<Api>,
    DomainName(domain): DomainName,
) -> Result<Response, Problem> {
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

/// Lists a domain, or changes its terms.
///
/// What is left out stays as it is. The same request twice changes nothing. `If-Match` with the domain's `ETag`,
/// `If-Match: *` and `If-None-Match: *` are honoured.
#[utoipa::path(
    put, path = "/v1/domains/{domain}", tag = "domains", request_body = Option<terms::Change>,
    params(("domain" = DomainText, Path, description = "a backend domain"), DryRun),
    responses(
        (status = 201, body = ListedDomain, description = "listed now",
            headers(("ETag" = String, description = "its revision"))),
        (status = 200, body = PutAnswer, description = "was listed; or what would change, for a dry run"),
    ),
)]
pub(super) async fn put_domain(
    State(api): State<Api>,
    By(author): By,
    DomainName(domain): DomainName,
    when: When,
    Query(DryRun { dry_run }): Query<DryRun>,
    OptionalJson(change): OptionalJson<terms::Change>,
) -> Result<Response, Problem> {
    let (condition, explain) = when.demand();
    if dry_run {
        let write = Write::Put(domain, change);
        let outcome = api.list.apply(write, dry_run, condition, author).await.map_err(explain)?;
        return Ok(Json(PutAnswer::DryRun(Outcome::new(outcome, dry_run))).into_response());
    }
    let put = api.list.put(domain.clone(), change, condition, author.clone());
    let (entry, effect) = put.await.map_err(explain)?;
    let (by, request_id) = (&author.by, author.request_id.as_deref());
    tracing::info!(%by, request_id, %domain, ?effect, "domain put");
    let status = match effect {
        Effect::Created => StatusCode::CREATED,
        Effect::Changed | Effect::Same | Effect::Removed => StatusCode::OK,
    };
    let tag = entity_tag(entry.revision);
    Ok((status, [tag], Json(PutAnswer::Done(listed(domain, &entry)))).into_response())
}

/// Takes a domain off the list.
///
/// `If-Match` is honoured.
#[utoipa::path(
    delete, path = "/v1/domains/{domain}", tag = "domains",
    params(("domain" = DomainText, Path, description = "a backend domain"), DryRun),
    responses(
        (status = 204, description = "it is not listed any more"),
        (status = 200, body = Outcome, description = "what would change, for a dry run"),
        (status = 404, body = Details, content_type = "application/problem+json", description = "it is not listed"),
    ),
)]
pub(super) async fn delete_domain(
    State(api): State<Api>,
    By(author): By,
    DomainName(domain): DomainName,
    when: When,
    Query(DryRun { dry_run }): Query<DryRun>,
) -> Result<Response, Problem> {
    let (condition, explain) = when.demand();
    let write = Write::Remove(domain.clone());
    let outcome = api.list.apply(write, dry_run, condition, author.clone()).await.map_err(explain)?;
    if dry_run {
        return Ok(Json(Outcome::new(outcome, dry_run)).into_response());
    }
    let (by, request_id) = (&author.by, author.request_id.as_deref());
    tracing::info!(%by, request_id, %domain, "domain removed");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Looks a domain up in DNS anew, and says what that lookup came to.
#[utoipa::path(
    post, path = "/v1/domains/{domain}/refresh", tag = "domains",
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses(
        (status = 200, body = Refreshed, description = "looked up; `answered` says whether DNS had an answer"),
        (status = 404, body = Details, content_type = "application/problem+json", description = "not allowed, so not looked up"),
    ),
)]
pub(super) async fn refresh(
    State(api): State<Api>,
    By(author): By,
    DomainName(domain): DomainName,
) -> Result<impl IntoResponse, Problem> {
    let attempt = look_up(&api, &domain).await?;
    let (by, request_id) = (&author.by, author.request_id.as_deref());
    tracing::info!(%by, request_id, %domain, answered = attempt.answered, "domain refreshed");
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Refreshed::new(attempt, Instant::now()))))
}

/// What a new lookup comes to, if the domain is allowed.
pub(super) async fn look_up(api: &Api, domain: &Domain) -> Result<Attempt, Problem> {
    api.verdicts.refresh(domain).await.ok_or_else(|| {
        Problem::new(Kind::NotAllowed, format!("{domain} is not allowed, so it is not looked up"))
    })
}

/// An entry as it is shown.
pub(super) fn listed(domain: Domain, entry: &Entry) -> ListedDomain {
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

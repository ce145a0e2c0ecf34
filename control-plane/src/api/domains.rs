//! The listed domains, one by one.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::{Author, Effect, Entry, Terms, Write, WriteError, terms};
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
    if dry_run {
        let outcome = foresee(&api, Write::Put(domain, change), when, author).await?;
        return Ok(Json(PutAnswer::DryRun(outcome)).into_response());
    }
    let (entry, effect) = put(&api, domain.clone(), change, when, author).await?;
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
    if dry_run {
        return Ok(Json(foresee(&api, Write::Remove(domain), when, author).await?).into_response());
    }
    remove(&api, domain, when, author).await?;
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
    let refreshed = look_up_anew(&api, &domain, &author).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(refreshed)))
}

/// What a write would come to.
pub(crate) async fn foresee(
    api: &Api,
    write: Write,
    when: When,
    author: Author,
) -> Result<Outcome, Problem> {
    let (condition, explain) = when.demand();
    let outcome = api.list.apply(write, true, condition, author).await.map_err(explain)?;
    Ok(Outcome::new(outcome, true))
}

/// Lists a domain, or changes its terms.
pub(crate) async fn put(
    api: &Api,
    domain: Domain,
    change: terms::Change,
    when: When,
    author: Author,
) -> Result<(Entry, Effect), Problem> {
    let (condition, explain) = when.demand();
    let put = api.list.put(domain.clone(), change, condition, author.clone());
    let (entry, effect) = put.await.map_err(explain)?;
    let (by, request_id) = (&author.by, author.request_id.as_deref());
    tracing::info!(%by, request_id, %domain, ?effect, "domain put");
    Ok((entry, effect))
}

/// Takes a domain off the list.
pub(crate) async fn remove(
    api: &Api,
    domain: Domain,
    when: When,
    author: Author,
) -> Result<(), Problem> {
    let (condition, explain) = when.demand();
    let write = Write::Remove(domain.clone());
    api.list.apply(write, false, condition, author.clone()).await.map_err(explain)?;
    let (by, request_id) = (&author.by, author.request_id.as_deref());
    tracing::info!(%by, request_id, %domain, "domain removed");
    Ok(())
}

/// Looks a domain up in DNS anew.
pub(crate) async fn look_up_anew(
    api: &Api,
    domain: &Domain,
    author: &Author,
) -> Result<Refreshed, Problem> {
    let attempt = look_up(api, domain).await?;
    let (by, request_id) = (&author.by, author.request_id.as_deref());
    tracing::info!(%by, request_id, %domain, answered = attempt.answered, "domain refreshed");
    Ok(Refreshed::new(attempt, Instant::now()))
}

/// What a new lookup comes to, if the domain is allowed.
pub(super) async fn look_up(api: &Api, domain: &Domain) -> Result<Attempt, Problem> {
    api.verdicts.refresh(domain).await.ok_or_else(|| {
        Problem::new(Kind::NotAllowed, format!("{domain} is not allowed, so it is not looked up"))
    })
}

/// An entry as it is shown.
pub(crate) fn listed(domain: Domain, entry: &Entry) -> ListedDomain {
    ListedDomain {
        domain,
        terms: Terms::clone(&entry.terms),
        expired: entry.lapsed,
        created_at: humantime::format_rfc3339_millis(entry.created.at).to_string(),
        created_by: entry.created.by.to_string(),
        updated_at: humantime::format_rfc3339_millis(entry.updated.at).to_string(),
        updated_by: entry.updated.by.to_string(),
        owner: entry.owner(),
    }
}

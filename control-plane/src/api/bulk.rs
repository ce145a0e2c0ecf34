//! Many domains in one write: all of them, or none.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use fedgate_allow_list::{self as list, Author, Terms, Write, terms};
use serde::Deserialize;

use super::Api;
use super::extract::{By, LargeJson, Query, When, entity_tag};
use super::problem::Problem;
use crate::contract::{Access, ChangedDomain, ChangedStrategy, Outcome, PutDomain, PutDomains};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BulkQuery {
    /// Whether to take off the list what is not named; false by default.
    #[serde(default)]
    #[param(required = false)]
    prune: bool,
    /// Whether to say only what would change, and to write nothing.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Lists many domains, or changes their terms: all of them, or none.
///
/// What is left out of a domain's terms stays as it is, and so does the strategy. `If-Match` with the `ETag` of the list is honoured.
#[utoipa::path(
    put, path = "/v1/domains", tag = "domains", request_body = PutDomains, params(BulkQuery),
    responses((status = 200, body = Outcome, description = "what has changed; or would, for a dry run",
        headers(("ETag" = String, description = "the list's revision since then")))),
)]
pub(super) async fn put_domains(
    State(api): State<Api>,
    By(author): By,
    when: When,
    Query(BulkQuery { prune, dry_run }): Query<BulkQuery>,
    LargeJson(PutDomains { domains, strategy }): LargeJson<PutDomains>,
) -> Result<impl IntoResponse, Problem> {
    let (outcome, revision) =
        put_many(&api, PutDomains { domains, strategy }, prune, dry_run, when, author).await?;
    Ok(([entity_tag(revision)], Json(outcome)))
}

/// Lists many domains, or says what that would come to; and the revision that the list has since then.
pub(crate) async fn put_many(
    api: &Api,
    PutDomains { domains, strategy }: PutDomains,
    prune: bool,
    dry_run: bool,
    when: When,
    author: Author,
) -> Result<(Outcome, i64), Problem> {
    let (condition, explain) = when.demand();
    let wanted = domains.into_iter().map(|PutDomain { domain, change }| (domain, change)).collect();
    let write = Write::PutAll { wanted, prune, strategy };
    let outcome = api.list.apply(write, dry_run, condition, author.clone()).await.map_err(explain)?;
    if !dry_run {
        tracing::info!(
            by = %author.by, request_id = author.request_id.as_deref(), added = outcome.added.len(),
            changed = outcome.changed.len(), removed = outcome.removed.len(), "domains put"
        );
    }
    let revision = if dry_run { outcome.base } else { outcome.revision };
    Ok((Outcome::new(outcome, dry_run), revision))
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn new(outcome: list::Outcome, dry_run: bool) -> Self {
        let names = |of: Vec<(_, _)>| of.into_iter().map(|(domain, _)| domain).collect();
        Self {
            dry_run,
            added: names(outcome.added),
            changed: outcome
                .changed
                .into_iter()
                .map(|(domain, before, after)| ChangedDomain {
                    domain,
                    before: differing(&before, &after),
                    after: differing(&after, &before),
                })
                .collect(),
            removed: names(outcome.removed),
            unchanged: outcome.unchanged,
            strategy: outcome.strategy.map(|(before, after)| ChangedStrategy { before, after }),
            gain_access: access(outcome.gained, "every domain that is not listed gains access"),
            lose_access: access(outcome.lost, "every domain that is not listed loses access"),
        }
    }
}

fn access(of: list::Access, unlisted: &str) -> Access {
    let detail = of.unlisted.then(|| unlisted.to_owned());
    Access { count: of.count, domains: of.domains, unlisted: of.unlisted, detail }
}

/// What of these terms is other than in those.
fn differing(terms: &Terms, other: &Terms) -> terms::Change {
    let it = terms.clone();
    terms::Change {
        action: (it.action != other.action).then_some(it.action),
        note: (it.note != other.note).then_some(it.note),
        expires_at: (it.expires_at != other.expires_at).then_some(it.expires_at),
        pinned_hosts: (it.pinned_hosts != other.pinned_hosts).then_some(it.pinned_hosts),
        dnssec: (it.dnssec != other.dnssec).then_some(it.dnssec),
        mode: (it.mode != other.mode).then_some(it.mode),
        search_policy: (it.search_policy != other.search_policy).then_some(it.search_policy),
        restriction: (it.restriction != other.restriction).then_some(it.restriction),
    }
}

//! Wire's own API of the list, as brig has it, for scripts that know that: `/i/federation/remotes`. It reads and
//! writes our list; brig's hears of it as of every change.
//!
//! What brig does not know is not shown: entries that block, or have come to their end, are no remotes here. Ours
//! alone is `DELETE` of a domain.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::terms::{Action, Change, Restriction};
use fedgate_allow_list::{Author, Condition, Entry, WriteError};
use fedgate_policy::Domain;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{self, By, DomainName, Nameless};
use super::problem::Problem;
use super::{Api, guard};
use crate::auth::Guard;
use crate::contract::{DomainText, Kind, Policy, Remote, Remotes};
use crate::listener::Listener;

/// Seconds after which Wire's services ask for the list again.
const UPDATE_INTERVAL: u32 = 10;
/// Who changes the list where nobody has to show a token.
const ANYBODY: &str = "wire-api";
/// How often a change of teams is begun anew because somebody else was faster.
const TRIES: u32 = 16;

/// The guarded routes.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(remotes, add))
        .routes(routes!(change, remove))
        .routes(routes!(teams, add_team))
        .routes(routes!(remove_team))
}

/// Lets pass who has a token for it, and where it is `open`, who shows none.
pub(super) async fn authorize(
    State((guard, open)): State<(Guard, bool)>,
    mut request: Request,
    next: Next,
) -> Response {
    if open && !request.headers().contains_key(header::AUTHORIZATION) {
        request.extensions_mut().insert(Nameless(ANYBODY));
        return next.run(request).await;
    }
    guard::authorize(State((guard, Listener::Wire)), request, next).await.into_response()
}

/// A team of another backend.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RemoteTeam)]
struct Team {
    #[schema(value_type = String, format = Uuid)]
    team_id: Uuid,
}

/// An error as Wire's services write it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Error)]
pub(super) struct WireError {
    code: u16,
    label: &'static str,
    message: String,
}

/// Why a request is not done.
enum Refusal {
    /// For a reason that brig has too, in the way that it says so.
    Brig(String),
    /// For another.
    Problem(Problem),
}

/// All remotes, and the strategy.
#[utoipa::path(
    get, path = "/i/federation/remotes", tag = "wire",
    responses((status = 200, body = Remotes), (status = 401, body = WireError), (status = 403, body = WireError)),
)]
async fn remotes(State(api): State<Api>) -> Json<Remotes> {
    let (remotes, strategy) = api.list.look(|state| {
        let allowed = state.domains.iter().filter(|(_, entry)| entry.allows());
        let row = |(domain, entry): (&Domain, &Entry)| Remote {
            domain: domain.clone(),
            policy: Policy::of(&entry.terms),
        };
        (allowed.map(row).collect(), state.strategy)
    });
    let strategy = strategy.name().to_owned();
    Json(Remotes { remotes, strategy, update_interval: UPDATE_INTERVAL })
}

/// Lists a domain, or says anew on what terms it is.
#[utoipa::path(
    post, path = "/i/federation/remotes", tag = "wire", request_body = Remote,
    responses(
        (status = 200, description = "done, or it was so"),
        (status = 400, body = WireError),
        (status = 533, body = WireError, description = "our list blocks the domain"),
    ),
)]
async fn add(
    State(api): State<Api>,
    By(author): By,
    extract::Json(Remote { domain, policy }): extract::Json<Remote>,
) -> Result<impl IntoResponse, Refusal> {
    let present = api.list.entry(&domain);
    if present.as_ref().is_some_and(|entry| entry.terms.action == Action::Block) {
        return Err(Refusal::Brig(format!(
            "{domain} is blocked on Fedgate's list; `fedgate domain` shows why, and lifts it"
        )));
    }
    // Listed anew: an end that has come counts no more.
    let has_ended = present.is_some_and(|entry| entry.lapsed);
    let change = Change { expires_at: has_ended.then_some(None), ..policy.change() };
    let (_, effect) = api.list.put(domain.clone(), change, Condition::None, author.clone()).await?;
    tracing::info!(by = %author.by, request_id = author.request_id.as_deref(), %domain, ?effect, "domain put");
    Ok(done())
}

/// Says on what terms a listed domain is so.
#[utoipa::path(
    put, path = "/i/federation/remotes/{domain}", tag = "wire", request_body = Remote,
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses(
        (status = 200, description = "done, or it was so"),
        (status = 400, body = WireError),
        (status = 533, body = WireError, description = "it is no remote, or the body is about another domain"),
    ),
)]
async fn change(
    State(api): State<Api>,
    By(author): By,
    DomainName(domain): DomainName,
    extract::Json(row): extract::Json<Remote>,
) -> Result<impl IntoResponse, Refusal> {
    if row.domain != domain {
        let message = format!("the path is about {domain}, and the body about {}", row.domain);
        return Err(Refusal::Brig(message));
    }
    edit(&api, &domain, &author, |_| Ok(Some(row.policy.change()))).await?;
    Ok(done())
}

/// Takes a domain off the list. Brig has no such operation; this is ours.
#[utoipa::path(
    delete, path = "/i/federation/remotes/{domain}", tag = "wire",
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses(
        (status = 200, description = "it is no remote any more"),
        (status = 400, body = WireError),
        (status = 404, body = WireError, description = "it is none"),
    ),
)]
async fn remove(
    State(api): State<Api>,
    By(author): By,
    DomainName(domain): DomainName,
) -> Result<impl IntoResponse, Refusal> {
    for _ in 0..TRIES {
        let present = api.list.entry(&domain).filter(Entry::allows);
        let Some(Entry { revision, .. }) = present else {
            return Err(Refusal::Problem(WriteError::NotListed(domain).into()));
        };
        let at = Condition::Revision(vec![revision]);
        match api.list.remove(domain.clone(), at, author.clone()).await {
            Err(WriteError::Precondition) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => {
                tracing::info!(by = %author.by, request_id = author.request_id.as_deref(), %domain, "domain removed");
                return Ok(done());
            }
        }
    }
    Err(WriteError::Precondition.into())
}

/// The teams to which a domain is restricted; none where it is not.
#[utoipa::path(
    get, path = "/i/federation/remotes/{domain}/teams", tag = "wire",
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses((status = 200, body = Vec<Team>), (status = 400, body = WireError)),
)]
async fn teams(State(api): State<Api>, DomainName(domain): DomainName) -> Json<Vec<Team>> {
    let entry = api.list.entry(&domain).filter(Entry::allows);
    let teams = entry.map(|entry| entry.terms.restriction.clone());
    Json(match teams {
        Some(Restriction::RestrictByTeam(teams)) => {
            teams.into_iter().map(|team_id| Team { team_id }).collect()
        }
        Some(Restriction::AllowAll) | None => Vec::new(),
    })
}

/// Adds a team to those that a domain is restricted to.
#[utoipa::path(
    post, path = "/i/federation/remotes/{domain}/teams", tag = "wire", request_body = Team,
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses(
        (status = 200, description = "done, or it was so"),
        (status = 400, body = WireError),
        (status = 533, body = WireError, description = "it is no remote, or not restricted by team"),
    ),
)]
async fn add_team(
    State(api): State<Api>,
    By(author): By,
    DomainName(domain): DomainName,
    extract::Json(Team { team_id }): extract::Json<Team>,
) -> Result<impl IntoResponse, Refusal> {
    let add = |restriction: &Restriction| match restriction {
        Restriction::AllowAll => Err(Refusal::Brig(format!(
            "{domain} is not restricted by team: set its restriction to restrict_by_team first"
        ))),
        Restriction::RestrictByTeam(teams) => {
            Ok(Some(restricted(teams.iter().copied().chain([team_id]).collect())))
        }
    };
    edit(&api, &domain, &author, add).await?;
    Ok(done())
}

/// Takes a team from those that a domain is restricted to.
#[utoipa::path(
    delete, path = "/i/federation/remotes/{domain}/teams/{team_id}", tag = "wire",
    params(
        ("domain" = DomainText, Path, description = "a backend domain"),
        ("team_id" = String, Path, format = Uuid, description = "a team of that backend"),
    ),
    responses(
        (status = 200, description = "done, or it was so"),
        (status = 400, body = WireError),
    ),
)]
async fn remove_team(
    State(api): State<Api>,
    By(author): By,
    Path((domain, team_id)): Path<(String, String)>,
) -> Result<impl IntoResponse, Refusal> {
    let wrong = |what: &str| Refusal::Problem(Problem::bad_request(format!("the path has no {what}")));
    let domain: Domain = domain.parse().map_err(|_| wrong("backend domain"))?;
    let team_id: Uuid = team_id.parse().map_err(|_| wrong("team's UUID"))?;
    let remove = |restriction: &Restriction| match restriction {
        Restriction::AllowAll => Ok(None),
        Restriction::RestrictByTeam(teams) => {
            Ok(Some(restricted(teams.iter().copied().filter(|team| *team != team_id).collect())))
        }
    };
    match edit(&api, &domain, &author, remove).await {
        // Of what is no remote there is nothing to take away.
        Ok(()) | Err(Refusal::Brig(_)) => Ok(done()),
        Err(refusal @ Refusal::Problem(_)) => Err(refusal),
    }
}

/// Changes the terms of a remote, if it is one; begins anew where somebody else was faster.
async fn edit(
    api: &Api,
    domain: &Domain,
    author: &Author,
    decide: impl Fn(&Restriction) -> Result<Option<Change>, Refusal>,
) -> Result<(), Refusal> {
    for _ in 0..TRIES {
        let Some(entry) = api.list.entry(domain).filter(Entry::allows) else {
            return Err(Refusal::Brig(format!("{domain} is no remote: add it with POST first")));
        };
        let Some(change) = decide(&entry.terms.restriction)? else { return Ok(()) };
        let at = Condition::Revision(vec![entry.revision]);
        match api.list.put(domain.clone(), change, at, author.clone()).await {
            Err(WriteError::Precondition) => {}
            Err(error) => return Err(error.into()),
            Ok((_, effect)) => {
                tracing::info!(by = %author.by, request_id = author.request_id.as_deref(), %domain, ?effect, "domain put");
                return Ok(());
            }
        }
    }
    Err(WriteError::Precondition.into())
}

fn restricted(teams: BTreeSet<Uuid>) -> Change {
    Change { restriction: Some(Restriction::RestrictByTeam(teams)), ..Change::default() }
}

/// As brig says "done": with nothing, in JSON.
fn done() -> impl IntoResponse {
    Json(json!([]))
}

// === impl Refusal ===

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        if matches!(error, WriteError::Precondition) {
            let detail = "others change this domain all the time: try again";
            return Self::Problem(Problem::new(Kind::Conflict, detail));
        }
        Self::Problem(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Brig(message) => {
                let error = WireError { code: 533, label: "federation-unexpected-wai-error", message };
                let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::BAD_GATEWAY);
                (status, Json(error)).into_response()
            }
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;

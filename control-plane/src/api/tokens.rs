//! The admin API: tokens.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use fedgate_allow_list::{Author, Moment};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{self, By, Query};
use super::problem::Problem;
use crate::auth::{Accepted, IssueError, Source, Wanted};
use crate::contract::{Details, Kind, MadeToken, MakeToken, TokenBody, TokenPage, TokenSource};

/// How many tokens a page holds, unless the caller says otherwise; and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// The guarded routes of tokens.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(tokens, make_token)).routes(routes!(revoke_token))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// The name behind which the page begins.
    #[serde(default)]
    #[param(required = false)]
    after: String,
    /// How many tokens: 1 to 1000, 100 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RevokeQuery {
    /// Even if nobody is left who may make another one, until the next start.
    #[serde(default)]
    #[param(required = false)]
    force: bool,
}

/// All tokens, of the configuration and of the store, page by page. None can be called with by what is told.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens", params(PageQuery),
    responses(
        (status = 200, body = TokenPage),
    ),
)]
async fn tokens(
    State(api): State<Api>,
    Query(PageQuery { after, limit }): Query<PageQuery>,
) -> Result<Json<TokenPage>, Problem> {
    page(&api, &after, limit).map(Json)
}

/// The tokens behind one, in alphabetical order.
pub(crate) fn page(api: &Api, after: &str, limit: Option<usize>) -> Result<TokenPage, Problem> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is 1 to {MAX_PAGE}, not {limit}")));
    }
    let all = api.issuer.tokens().all();
    let mut rest: Vec<_> = all.iter().filter(|it| *it.token.name > *after).collect();
    rest.sort_unstable_by(|one, other| one.token.name.cmp(&other.token.name));
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|it| it.token.name.to_string());
    let now = SystemTime::now();
    Ok(TokenPage { tokens: rest.into_iter().map(|it| body(it, now)).collect(), next })
}

/// Makes a token, which is accepted from now on. Its secret is told this once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", request_body = MakeToken,
    responses(
        (status = 201, body = MadeToken, description = "made; nobody can have the secret again"),
        (status = 409, body = Details, content_type = "application/problem+json", description = "there is one of this name, or there are too many, or its end is over"),
    ),
)]
async fn make_token(
    State(api): State<Api>,
    By(author): By,
    extract::Json(wanted): extract::Json<MakeToken>,
) -> Result<impl IntoResponse, Problem> {
    let made = make(&api, wanted, author).await?;
    let unkept = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, unkept, Json(made)))
}

/// Makes a token.
pub(crate) async fn make(
    api: &Api,
    MakeToken { name, role, expires_at }: MakeToken,
    author: Author,
) -> Result<MadeToken, Problem> {
    let (by, request_id, now) = (author.by.clone(), author.request_id.clone(), author.at);
    let (token, made) = api.issuer.make(Wanted { name, role, expires_at }, author).await?;
    let made = body(&made, now);
    tracing::info!(%by, request_id = request_id.as_deref(), token = made.name, role = role.name(), "token made");
    Ok(MadeToken { made, token })
}

/// Revokes a token: it is refused from now on, and what is held open with it ends.
#[utoipa::path(
    delete, path = "/v1/tokens/{name}", tag = "tokens",
    params(("name" = String, Path, description = "a token's name"), RevokeQuery),
    responses(
        (status = 204),
        (status = 404, body = Details, content_type = "application/problem+json"),
        (status = 409, body = Details, content_type = "application/problem+json", description = "it is one of the configuration, or the last of role admin"),
    ),
)]
async fn revoke_token(
    State(api): State<Api>,
    By(author): By,
    name: Result<Path<String>, PathRejection>,
    Query(RevokeQuery { force }): Query<RevokeQuery>,
) -> Result<StatusCode, Problem> {
    let Path(name) = name.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    revoke(&api, &name, force, author).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes a token.
pub(crate) async fn revoke(api: &Api, name: &str, force: bool, author: Author) -> Result<(), Problem> {
    let (by, request_id) = (author.by.clone(), author.request_id.clone());
    api.issuer.revoke(name, force, author).await?;
    tracing::info!(%by, request_id = request_id.as_deref(), token = name, "token revoked");
    Ok(())
}

fn body(accepted: &Arc<Accepted>, now: SystemTime) -> TokenBody {
    let (source, created_at, created_by) = match &accepted.source {
        Source::Configuration => (TokenSource::Configuration, None, None),
        Source::Store { at, by, .. } => (TokenSource::Store, Some(*at), Some(by.to_string())),
    };
    TokenBody {
        name: accepted.token.name.to_string(),
        role: accepted.token.role,
        source,
        created_at: created_at.map(Moment::of),
        created_by,
        expires_at: accepted.expires_at().map(Moment::of),
        expired: accepted.has_expired(now),
        last_used_at: accepted.last_used_at().map(Moment::of),
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        let kind = match error {
            IssueError::Write(error) => return error.into(),
            IssueError::Name(_) => Kind::UnprocessableContent,
            IssueError::Over(_)
            | IssueError::Configured(_)
            | IssueError::NotOurs(_)
            | IssueError::LastAdmin(_)
            | IssueError::TooMany => Kind::Conflict,
            IssueError::Random(_) => Kind::NotReady,
        };
        Self::new(kind, error.to_string())
    }
}

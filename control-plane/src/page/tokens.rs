//! Tokens: who may call, made and revoked. A secret is shown once.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form as Sent};
use fedgate_allow_list::Role;
use serde::Deserialize;

use super::frame::{Frame, Section, done, html, html_with, link};
use super::session::{Told, Visitor};
use super::{Pages, form};
use crate::api::extract::By;
use crate::api::problem::Problem;
use crate::api::tokens as api;
use crate::contract::{Kind, MakeToken, TokenBody, TokenSource};

/// Rows of a page.
const ROWS: usize = 100;

#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    after: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Making {
    name: String,
    role: String,
    expires_at: String,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    frame: Frame,
    rows: Vec<Row>,
    next: Option<String>,
    making: Making,
    errors: Vec<String>,
    roles: [(&'static str, &'static str, bool); 3],
}

struct Row {
    name: String,
    role: &'static str,
    is_ours: bool,
    made: String,
    by: String,
    expires: Option<String>,
    expired: bool,
    used: Option<String>,
}

#[derive(Template)]
#[template(path = "revoke.html")]
struct Revoke {
    frame: Frame,
    name: String,
    error: Option<String>,
    is_own: bool,
}

/// The screen.
pub(super) async fn tokens(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(Wanted { after }): Query<Wanted>,
) -> Result<Response, Problem> {
    shown(&pages, &visitor, &after, Making::default(), Vec::new())
}

/// Makes one.
pub(super) async fn make(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Sent(making): Sent<Making>,
) -> Result<Response, Problem> {
    let wanted = match (making.role.parse::<Role>(), form::moment(&making.expires_at)) {
        (Ok(role), Ok(expires_at)) => {
            Ok(MakeToken { name: making.name.trim().to_owned(), role, expires_at })
        }
        (role, at) => {
            let role = role.err().map(|_| "choose a role".to_owned());
            Err(role.into_iter().chain(at.err()).collect())
        }
    };
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(errors) => return shown(&pages, &visitor, "", making, errors),
    };
    match api::make(&pages.api, wanted, author).await {
        Ok(made) => {
            let text =
                format!("The token '{}' is made. This is its secret, shown this once:", made.made.name);
            pages.sessions.tell(visitor.key, Told { text, secret: Some(made.token) });
            Ok(Redirect::to("/page/tokens").into_response())
        }
        Err(problem) if [Kind::Conflict, Kind::UnprocessableContent].contains(&problem.kind()) => {
            shown(&pages, &visitor, "", making, vec![problem.detail().to_owned()])
        }
        Err(problem) => Err(problem),
    }
}

/// Says what revoking one will do.
pub(super) async fn ask(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Response {
    html(&revoking(&pages, &visitor, name, None))
}

/// Revokes one.
pub(super) async fn revoke(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    match api::revoke(&pages.api, &name, false, author).await {
        Ok(()) => Ok(done(&pages, &visitor, "/page/tokens", format!("The token '{name}' is revoked."))),
        Err(problem) if problem.kind() == Kind::Conflict => {
            let error = Some(problem.detail().to_owned());
            Ok(html_with(StatusCode::CONFLICT, &revoking(&pages, &visitor, name, error)))
        }
        Err(problem) => Err(problem),
    }
}

fn revoking(pages: &Pages, visitor: &Visitor, name: String, error: Option<String>) -> Revoke {
    let frame = Frame::new(pages, visitor, Section::Tokens, format!("Revoke the token {name}"));
    Revoke { frame, is_own: *visitor.caller.0 == *name, name, error }
}

fn shown(
    pages: &Pages,
    visitor: &Visitor,
    after: &str,
    making: Making,
    errors: Vec<String>,
) -> Result<Response, Problem> {
    let page = api::page(&pages.api, after, Some(ROWS))?;
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let roles = [
        ("viewer", "viewer: sees all of this, and changes nothing"),
        ("admin", "admin: may change everything"),
        ("filter", "filter: of an Envoy"),
    ];
    let chosen = if making.role.is_empty() { "viewer" } else { &making.role };
    let roles = roles.map(|(role, text)| (role, text, role == chosen));
    let screen = Tokens {
        frame: Frame::new(pages, visitor, Section::Tokens, "Tokens"),
        rows: page.tokens.into_iter().map(Row::of).collect(),
        next: page.next.map(|next| link("/page/tokens", &[("after", next)])),
        making,
        errors,
        roles,
    };
    Ok(html_with(status, &screen))
}

// === impl Row ===

impl Row {
    fn of(it: TokenBody) -> Self {
        Self {
            name: it.name,
            role: it.role.name(),
            is_ours: it.source == TokenSource::Store,
            made: it.created_at.map(|at| at.to_string()).unwrap_or_default(),
            by: it.created_by.unwrap_or_default(),
            expires: it.expires_at.map(|at| at.to_string()),
            expired: it.expired,
            used: it.last_used_at.map(|at| at.to_string()),
        }
    }
}

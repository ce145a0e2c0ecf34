//! An entry: its form, and what comes of it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Form as Sent};
use fedgate_allow_list::terms::Change;
use fedgate_allow_list::{Author, Terms, WriteError};
use fedgate_policy::Domain;

use super::Pages;
use super::conflict;
use super::form::{Form, Wrong};
use super::frame::{Frame, Section, done, html_with};
use super::session::Visitor;
use crate::api::domains::put;
use crate::api::extract::{By, DomainName, When};
use crate::api::problem::Problem;
use crate::contract::Kind;

#[derive(Template)]
#[template(path = "entry.html")]
struct Screen {
    frame: Frame,
    domain: String,
    form: Form,
    wrong: Vec<Wrong>,
}

/// The form.
pub(super) async fn form(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    DomainName(domain): DomainName,
) -> Result<Response, Problem> {
    let Some(entry) = pages.api.list.entry(&domain) else {
        return Err(WriteError::NotListed(domain).into());
    };
    let form = Form::of(&entry.terms, Some(entry.revision));
    Ok(shown(&pages, &visitor, &domain, form, Vec::new()))
}

/// Takes the form.
pub(super) async fn change(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    DomainName(domain): DomainName,
    Sent(form): Sent<Form>,
) -> Result<Response, Problem> {
    let before = pages.api.list.entry(&domain);
    let before = before.map(|it| Terms::clone(&it.terms)).unwrap_or_default();
    let change = match form.read(&before) {
        Ok(change) => change,
        Err(wrong) => return Ok(shown(&pages, &visitor, &domain, form, wrong)),
    };
    let to = format!("/page/partners/{domain}");
    let text = format!("The entry of {domain} is written.");
    write(&pages, &visitor, domain, form, change, author, (&to, text)).await
}

/// Writes what the form asks for, on what it rests on. Then it goes on to a place, and says so there; or shows both
/// versions, where somebody else has written the entry meanwhile.
pub(super) async fn write(
    pages: &Pages,
    visitor: &Visitor,
    domain: Domain,
    form: Form,
    change: Change,
    author: Author,
    (to, text): (&str, String),
) -> Result<Response, Problem> {
    let when = When::demanding(form.condition());
    match put(&pages.api, domain.clone(), change, when, author).await {
        Ok(_) => Ok(done(pages, visitor, to, text)),
        Err(problem) if problem.kind() == Kind::PreconditionFailed => {
            Ok(conflict::shown(pages, visitor, &domain, form))
        }
        Err(problem) => Err(problem),
    }
}

fn shown(pages: &Pages, visitor: &Visitor, domain: &Domain, form: Form, wrong: Vec<Wrong>) -> Response {
    let frame = Frame::new(pages, visitor, Section::Partners, format!("Entry of {domain}"));
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    html_with(status, &Screen { frame, domain: domain.to_string(), form, wrong })
}

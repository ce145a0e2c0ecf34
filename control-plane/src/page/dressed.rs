//! What every answer of the page has around it: headers, and problems as pages.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Pages;
use super::frame::{Frame, Section, html_with};
use super::session::Visitor;
use crate::api::problem::Problem;
use crate::contract::Kind;

/// Where nothing is.
pub(super) const NOWHERE: &str = "there is no such page";

/// Nothing but our own style, script, icon and forms; no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

#[derive(Template)]
#[template(path = "problem.html")]
struct Told {
    frame: Frame,
    detail: String,
    errors: Vec<String>,
    status: u16,
}

/// Dresses an answer.
pub(super) async fn dress(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| misread(&response));
    if let Some(problem) = problem {
        let visitor = response.extensions().get::<Visitor>().cloned();
        response = shown(&pages, &problem, visitor.as_ref());
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    for (name, value) in [
        (header::X_FRAME_OPTIONS, "DENY"),
        // What is sent to others is nothing; and our own forms can say that they are ours.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    let unkept = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(unkept);
    response
}

/// What the framework says of a request that it cannot read, in words of ours.
fn misread(response: &Response) -> Option<Problem> {
    let kind = response.headers().get(header::CONTENT_TYPE)?;
    if !response.status().is_client_error() || !kind.as_bytes().starts_with(b"text/plain") {
        return None;
    }
    let kind = match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Kind::ContentTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
        _ => Kind::BadRequest,
    };
    Some(Problem::new(kind, "the address, or the form, is not one that this page makes"))
}

/// A problem, for people.
fn shown(pages: &Pages, problem: &Problem, visitor: Option<&Visitor>) -> Response {
    let kind = problem.kind();
    let title = kind.title();
    let frame = visitor
        .map_or_else(|| Frame::bare(title), |visitor| Frame::new(pages, visitor, Section::None, title));
    let (detail, errors) = (problem.detail().to_owned(), problem.errors().to_vec());
    let status = kind.status();
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = html_with(code, &Told { frame, detail, errors, status });
    response.headers_mut().extend(problem.header().cloned());
    // A browser would ask for a password.
    response.headers_mut().remove(header::WWW_AUTHENTICATE);
    response
}

/// There is no such page.
pub(super) async fn nowhere() -> impl IntoResponse {
    Problem::new(Kind::NoSuchResource, NOWHERE)
}

/// A request that no page of ours makes.
pub(super) async fn no_such_method() -> impl IntoResponse {
    Problem::new(Kind::MethodNotAllowed, "this page does not know this method: nothing was done")
}

//! The way in: a token, shown once in a form; a session from then on; the role, before every screen.

use std::time::Instant;

use askama::Template;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::frame::{AGAIN, Frame, html, html_with};
use super::session::Visitor;
use super::{Pages, origin};
use crate::api::extract::read_whole;
use crate::api::problem::Problem;
use crate::auth::Role;
use crate::contract::Kind;
use crate::listener::Peer;

/// What the script says with its requests.
const SCRIPT: &str = "fedgate-live";
/// The longest form, in octets: a list to import is the longest.
pub(super) const FORM: usize = 16 << 20;
/// And the time for it.
const TIME: std::time::Duration = std::time::Duration::from_secs(25);

/// Passes on the requests of those who are logged in, and may make them.
pub(super) async fn enter(
    State(pages): State<Pages>,
    request: Request,
    next: Next,
) -> Result<Response, Response> {
    let headers = request.headers();
    let by_itself = comes_by_itself(&request);
    let cookies = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(visitor) = pages.sessions.find(cookies, by_itself, Instant::now()) else {
        return Err(outside(&request, None));
    };
    let is_reading = [Method::GET, Method::HEAD].contains(request.method());
    // Whoever may read may also leave, and ask what changes nothing.
    let changes_nothing = ["/page/logout", "/page/explain"].contains(&request.uri().path());
    let roles: &[Role] =
        if is_reading || changes_nothing { &[Role::Viewer, Role::Admin] } else { &[Role::Admin] };
    let peer = request.extensions().get::<Peer>().cloned();
    let admitted = pages.api.guard.admit_again(&visitor.caller, roles, peer.as_ref()).await;
    if let Err(refused) = admitted {
        let problem = Problem::from(refused);
        if problem.kind() != Kind::Unauthorized {
            let mut response = problem.into_response();
            response.extensions_mut().insert(visitor);
            return Err(response);
        }
        pages.sessions.end(visitor.key);
        return Err(outside(&request, Some("ended")));
    }
    let mut request = if is_reading { request } else { sealed(request, &visitor).await? };
    request.extensions_mut().insert(visitor.caller.clone());
    request.extensions_mut().insert(visitor.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(visitor);
    Ok(response)
}

/// Whether it is an open page that asks, which is no use of the session: by the script, or by loading itself again.
fn comes_by_itself(request: &Request) -> bool {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    request.headers().contains_key(SCRIPT)
        || path == "/page/live"
        || query.split('&').any(|it| it == AGAIN)
}

/// A form that our own page sent, in this session.
async fn sealed(request: Request, visitor: &Visitor) -> Result<Request, Response> {
    let refuse = |problem: Problem| {
        let mut response = problem.into_response();
        response.extensions_mut().insert(visitor.clone());
        response
    };
    if !origin::is_same(request.headers()) {
        return Err(refuse(elsewhere()));
    }
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(TIME, read_whole(body, FORM)).await;
    let late = |_| Problem::new(Kind::RequestTimeout, "the form was not here in time");
    let body = body.map_err(late).and_then(|read| read).map_err(refuse)?;
    let seal = form_value(&body, "seal");
    if !bool::from(seal.as_bytes().ct_eq(visitor.seal.as_bytes())) {
        return Err(refuse(Problem::new(
            Kind::Forbidden,
            "this form is of another session, or none of ours: go back, load the page again, and send it anew",
        )));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn elsewhere() -> Problem {
    Problem::new(Kind::Forbidden, "this form was not sent by a page of ours: nothing was done")
}

/// A member of a form, as it is written there: ours are such that they need no escapes.
fn form_value(body: &[u8], name: &str) -> String {
    let pairs = body.split(|octet| *octet == b'&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    String::from_utf8_lossy(values.next().unwrap_or_default()).into_owned()
}

/// Who is not logged in is sent to the form. A browser that follows a link from elsewhere leaves our cookie away:
/// it is had ask again, by ourselves.
fn outside(request: &Request, why: Option<&str>) -> Response {
    let headers = request.headers();
    let path = request.uri().path_and_query().map_or("/page/", |it| it.as_str());
    if headers.contains_key(SCRIPT) || path.starts_with("/page/live") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let is_reading = request.method() == Method::GET;
    if is_reading && why.is_none() && origin::is_from_elsewhere(headers) {
        return html(&Again { frame: Frame::bare("One moment"), to: path.to_owned() });
    }
    let mut query = vec![];
    if is_reading && path != "/page/" {
        query.push(("to", path.to_owned()));
    }
    query.extend(why.map(|why| ("why", why.to_owned())));
    Redirect::to(&super::frame::link("/page/login", &query)).into_response()
}

#[derive(Template)]
#[template(path = "again.html")]
struct Again {
    frame: Frame,
    to: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    to: String,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    token: String,
    #[serde(default)]
    to: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    frame: Frame,
    to: String,
    has_ended: bool,
    error: Option<String>,
}

/// The form.
pub(super) async fn form(Query(Wish { to, why }): Query<Wish>) -> Response {
    let frame = Frame::bare("Log in");
    html(&Login { frame, to: inside(&to), has_ended: why == "ended", error: None })
}

/// Takes a token, by the same guard as a call of the API.
pub(super) async fn log_in(
    State(pages): State<Pages>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Form(Shown { token, to }): Form<Shown>,
) -> Result<Response, Problem> {
    if !origin::is_same(&headers) {
        return Err(elsewhere());
    }
    let mut shown = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer {}", token.trim())) {
        shown.insert(header::AUTHORIZATION, value);
    }
    let roles = &[Role::Viewer, Role::Admin];
    let peer = peer.map(|Extension(peer)| peer);
    match pages.api.guard.admit(&shown, roles, peer.as_ref()).await {
        Ok(caller) => {
            tracing::info!(by = %caller.0, "logged in to the page");
            let cookie = pages.sessions.begin(caller, Instant::now());
            let cookie = cookie.map_err(|error| Problem::new(Kind::NotReady, error.to_string()))?;
            Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&inside(&to))).into_response())
        }
        Err(refused) => {
            let is_empty = token.trim().is_empty();
            let error = if is_empty { "type or paste a token".to_owned() } else { refused.to_string() };
            let (frame, to) = (Frame::bare("Log in"), inside(&to));
            let login = Login { frame, to, has_ended: false, error: Some(error) };
            Ok(html_with(StatusCode::UNPROCESSABLE_ENTITY, &login))
        }
    }
}

/// Ends the session.
pub(super) async fn log_out(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
) -> impl IntoResponse {
    tracing::info!(by = %visitor.caller.0, "logged out of the page");
    ([(header::SET_COOKIE, pages.sessions.end(visitor.key))], Redirect::to("/page/login"))
}

/// A place of our own to go on to; anything else is the home page.
fn inside(to: &str) -> String {
    let is_ours = to.starts_with("/page/") && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_ours { to.to_owned() } else { "/page/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_log_in_one_gets_to_no_place_but_ours() {
        for (to, expected) in [
            ("/page/partners?state=ok", "/page/partners?state=ok"),
            ("", "/page/"),
            ("//evil.example/page/", "/page/"),
            ("https://evil.example/page/", "/page/"),
            ("/\\evil.example", "/page/"),
            ("/page/\r\nset-cookie: a", "/page/"),
            ("/v1/domains", "/page/"),
        ] {
            assert_eq!(inside(to), expected, "{to}");
        }
    }

    #[test]
    fn only_an_open_page_comes_by_itself() {
        for (uri, expected) in [
            ("/page/", false),
            ("/page/live", true),
            ("/page/add/watch?domain=a.com", false),
            ("/page/add/watch?domain=a.com&again=1", true),
            ("/page/checks/7?again=1", true),
            ("/page/partners?text=again=1", false),
        ] {
            let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
            assert_eq!(comes_by_itself(&request), expected, "{uri}");
        }
        let request = Request::builder().uri("/page/").header(SCRIPT, "1").body(Body::empty()).unwrap();
        assert!(comes_by_itself(&request));
    }

    #[test]
    fn a_seal_is_the_whole_value_of_its_own_member() {
        for (body, expected) in
            [("seal=ab&x=1", "ab"), ("x=seal=ab", ""), ("xseal=ab", ""), ("a=1&seal=ab", "ab"), ("", "")]
        {
            assert_eq!(form_value(body.as_bytes(), "seal"), expected, "{body}");
        }
    }
}

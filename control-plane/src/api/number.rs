//! The number of a request: its own, or one that we make up. Whoever asks why finds by it the answer, the line of
//! the log and the record of the audit.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use fedgate_policy::RequestId;

use super::problem::Problem;
use crate::listener::Listener;

/// Carries it, to us and back.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The number of a request.
#[derive(Clone, Debug)]
pub(crate) struct Number(pub(crate) Arc<str>);

/// The number that a request brings along, if it does: its beginning, as it can be logged.
pub(super) fn given(headers: &HeaderMap) -> Option<RequestId> {
    headers.get(HEADER).and_then(|value| RequestId::of(value.as_bytes()))
}

/// Numbers a request, and says its number in the answer; filters, who have to wait for it, get theirs back with
/// problems only.
pub(super) async fn number(
    State(listener): State<Listener>,
    mut request: Request,
    next: Next,
) -> Response {
    let number = given(request.headers()).map(|it| it.as_str().to_owned());
    let number = match listener {
        Listener::Admin | Listener::Wire => Some(number.unwrap_or_else(made_up)),
        Listener::Verdicts | Listener::Xds => number,
    };
    if let Some(number) = &number {
        request.extensions_mut().insert(Number(number.as_str().into()));
    }
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allow = response.headers_mut().remove(axum::http::header::ALLOW);
        response = match listener {
            Listener::Wire => problem.answer_as_wire(),
            Listener::Admin | Listener::Verdicts | Listener::Xds => problem.answer(number.clone()),
        };
        response.headers_mut().extend(allow.map(|allow| (axum::http::header::ALLOW, allow)));
    }
    let number = number.filter(|_| [Listener::Admin, Listener::Wire].contains(&listener));
    if let Some(value) = number.and_then(|number| HeaderValue::from_str(&number).ok()) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// Told from all others, as far as the system has random numbers to give.
fn made_up() -> String {
    let [high, low] = [(); 2].map(|()| getrandom::u64().unwrap_or_default());
    format!("{high:016x}{low:016x}")
}

//! Calls as spans: those that the guard has let in by a token, so that no stranger makes any, and nobody fills the
//! queue who needs none (`wire_list.open`).

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::number::Number;
use crate::auth::Caller;
use crate::listener::Listener;
use crate::traces::{Span, number, text};

/// Does a call as a span.
pub(crate) async fn trace(State(listener): State<Listener>, request: Request, next: Next) -> Response {
    let (method, extensions) = (request.method(), request.extensions());
    let Some(caller) = extensions.get::<Caller>() else { return next.run(request).await };
    let route = extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let span = Span::serve(request.headers(), format!("{method} {route}"), || {
        let mut about = vec![
            text("http.request.method", method),
            text("http.route", route),
            // Without its query, which is anybody's text.
            text("url.path", request.uri().path()),
            text("fedgate.listener", listener.name()),
        ];
        about.extend(extensions.get::<Number>().map(|it| text("fedgate.request_id", &it.0)));
        about.push(text("fedgate.by", &caller.0));
        about
    });
    let response = span.around(next.run(request)).await;
    let status = response.status();
    span.tell(number("http.response.status_code", status.as_u16()));
    if status.is_server_error() {
        span.fail(status);
    }
    response
}

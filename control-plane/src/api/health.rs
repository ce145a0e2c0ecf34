//! Whether we live, and whether we are of use: the same on both listeners, and open to all.

use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::{Details, Problem};
use crate::moment;

/// The open routes.
pub(super) fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Answers as long as the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = str)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers whether the store is readable and discovery is running. Where DNS as a whole fails, a second
/// line says so, and since when; that is no reason to take us out of service: what was found before
/// still stands, and nobody else would know more.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, body = str),
        (status = 503, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn readyz(State(api): State<Api>) -> Result<String, Problem> {
    let unready = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    api.list.check().await.map_err(|error| unready(error.to_string()))?;
    if api.refresher.is_finished() {
        return Err(unready("the task that keeps verdicts fresh has ended: restart fedgate".to_owned()));
    }
    Ok(api.verdicts.watch().dns().map_or_else(
        || "ok\n".to_owned(),
        |dns| {
            let since = moment::of(dns.since, Instant::now());
            format!("ok\ndns: failing since {since}: {}\n", dns.cause)
        },
    ))
}

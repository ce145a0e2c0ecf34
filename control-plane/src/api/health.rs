//! Whether we live, and whether we are of use: the same on both listeners, and open to all.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::{Details, Problem};

/// The open routes.
pub(super) fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Answers as long as the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = str)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers whether the store is readable and discovery is running.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, body = str),
        (status = 503, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    let unready = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    api.list.check().await.map_err(|error| unready(error.to_string()))?;
    if api.refresher.is_finished() {
        return Err(unready("the task that keeps verdicts fresh has ended: restart fedgate".to_owned()));
    }
    Ok("ok\n")
}

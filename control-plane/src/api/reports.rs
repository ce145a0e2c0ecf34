//! The verdict API: what filters report of the requests and calls that they saw.

use std::time::Instant;

use axum::extract::State;
use axum::{Extension, Json};
use fedgate_policy::report::{Report, Taken};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::ReportJson;
use super::problem::Problem;
use crate::auth::Caller;
use crate::contract::{Kind, ReportSchema, TakenSchema};
use crate::listener::Peer;

/// The guarded route.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(report))
}

/// Takes a worker's report: all of it, or nothing. It is told on the side: one that is lost is a count that is lost.
#[utoipa::path(
    post, path = "/v1/reports", tag = "verdicts", request_body = ReportSchema,
    responses((status = 200, body = TakenSchema, description = "it counts")),
)]
async fn report(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    peer: Option<Extension<Peer>>,
    ReportJson(report): ReportJson<Report>,
) -> Result<Json<Taken>, Problem> {
    let address = peer.map(|Extension(peer)| peer.address().ip());
    let taken = api.partners.take(report, &caller.0, address, Instant::now());
    let refused = |error: crate::partners::Unreadable| {
        tracing::debug!(by = %caller.0, %error, "a report is refused");
        Problem::new(Kind::UnprocessableContent, format!("the report does not count: {error}"))
    };
    taken.map(|()| Json(api.verdicts.speaker().clone().into())).map_err(refused)
}

//! The admin API: its routes, the strategy, and the configuration.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::{Author, Write};
use fedgate_policy::Strategy;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{self, By, DryRun, Query, When, entity_tag};
use super::problem::Problem;
use super::{Api, bulk, domains, page};
use crate::contract::{
    ConfigurationBody, Details, KeyBody, Kind, Outcome, Reloaded, SetStrategy, StrategyAnswer,
    StrategyBody,
};
use crate::startup;

/// The admin API's guarded routes.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(strategy, set_strategy))
        .routes(routes!(page::domains, bulk::put_domains))
        .routes(routes!(domains::domain, domains::put_domain, domains::delete_domain))
        .routes(routes!(domains::refresh))
        .routes(routes!(configuration))
        .routes(routes!(reload))
}

/// The strategy.
#[utoipa::path(
    get, path = "/v1/strategy", tag = "strategy",
    responses((status = 200, body = StrategyBody, headers(("ETag" = String, description = "its revision")))),
)]
async fn strategy(State(api): State<Api>) -> impl IntoResponse {
    let (strategy, revision) = api.list.strategy();
    ([entity_tag(revision)], Json(StrategyBody { strategy }))
}

/// Sets the strategy.
///
/// `If-Match` with its `ETag` is honoured.
#[utoipa::path(
    put, path = "/v1/strategy", tag = "strategy", request_body = SetStrategy, params(DryRun),
    responses((status = 200, body = StrategyAnswer, description = "it is set; or what would change, for a dry run")),
)]
async fn set_strategy(
    State(api): State<Api>,
    By(author): By,
    when: When,
    Query(DryRun { dry_run }): Query<DryRun>,
    extract::Json(SetStrategy { strategy }): extract::Json<SetStrategy>,
) -> Result<Response, Problem> {
    if dry_run {
        let (condition, explain) = when.demand();
        let write = Write::SetStrategy(strategy);
        let outcome = api.list.apply(write, dry_run, condition, author).await.map_err(explain)?;
        return Ok(
            Json(StrategyAnswer::DryRun(Box::new(Outcome::new(outcome, dry_run)))).into_response()
        );
    }
    let revision = change_strategy(&api, strategy, when, author).await?;
    Ok(([entity_tag(revision)], Json(StrategyAnswer::Done(StrategyBody { strategy }))).into_response())
}

/// Sets the strategy; the revision at which it was set.
pub(crate) async fn change_strategy(
    api: &Api,
    strategy: Strategy,
    when: When,
    author: Author,
) -> Result<i64, Problem> {
    let (condition, explain) = when.demand();
    let set = api.list.set_strategy(strategy, condition, author.clone());
    let (revision, effect) = set.await.map_err(explain)?;
    let (by, request_id) = (&author.by, author.request_id.as_deref());
    tracing::info!(%by, request_id, strategy = strategy.name(), ?effect, "strategy set");
    Ok(revision)
}

/// The configuration that counts, key by key, without secrets.
#[utoipa::path(
    get, path = "/v1/configuration", tag = "configuration",
    responses((status = 200, body = ConfigurationBody)),
)]
async fn configuration(State(api): State<Api>) -> Json<ConfigurationBody> {
    let keys = api.reload.told().await;
    let keys = keys.into_iter().map(|(key, value)| KeyBody { key: key.to_owned(), value });
    Json(ConfigurationBody { version: startup::VERSION.to_owned(), keys: keys.collect() })
}

/// Reads the configuration anew. If anything is wrong with it, all of it stays as it was.
#[utoipa::path(
    post, path = "/v1/reload", tag = "configuration",
    responses(
        (status = 200, body = Reloaded),
        (status = 422, body = Details, content_type = "application/problem+json", description = "it cannot be used; `errors` has each error"),
    ),
)]
async fn reload(State(api): State<Api>, By(author): By) -> Result<Json<Reloaded>, Problem> {
    let read = api.reload.run(&author.by).await;
    read.map(Json).map_err(|errors| {
        let detail = "the configuration cannot be used, and the one before stays";
        Problem::new(Kind::InvalidConfiguration, detail).with_errors(errors.list().to_vec())
    })
}

//! The admin API: the audit.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use fedgate_allow_list::audit::{Order, Query as Records};
use fedgate_allow_list::schema::MomentText;
use fedgate_allow_list::{Deed, Moment, Record, StoreError};
use fedgate_policy::Domain;
use futures_util::stream;
use serde::{Deserialize, Deserializer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::Query;
use super::problem::Problem;
use crate::auth::Caller;
use crate::contract::{AuditPage, Details, DomainText, RecordBody};

/// How many records a page holds, unless the caller says otherwise; and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// The guarded route of the audit.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// Which records, and how.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Those with a number above this one.
    #[param(nullable = false)]
    pub(crate) after: Option<i64>,
    /// Those with a number below this one.
    #[param(nullable = false)]
    pub(crate) before: Option<i64>,
    /// The newest first, or the oldest.
    #[serde(default)]
    #[param(inline, required = false)]
    pub(crate) order: Order,
    /// How many records: 1 to 1000, 100 by default; as JSON lines, all of them by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    pub(crate) limit: Option<usize>,
    /// Those about this domain.
    #[param(value_type = Option<DomainText>, nullable = false)]
    pub(crate) domain: Option<Domain>,
    /// Those by this author: a token's name, or `brig`, or `system`.
    #[param(nullable = false)]
    pub(crate) by: Option<String>,
    /// Those of these kinds, separated by commas.
    #[serde(default, deserialize_with = "deeds")]
    #[param(value_type = Vec<Deed>, style = Form, explode = false, required = false, min_items = 1)]
    pub(crate) action: Vec<Deed>,
    /// Those from then on (RFC 3339).
    #[param(value_type = Option<MomentText>, nullable = false)]
    pub(crate) since: Option<Moment>,
    /// Those before then (RFC 3339).
    #[param(value_type = Option<MomentText>, nullable = false)]
    pub(crate) until: Option<Moment>,
    /// A page, or JSON lines.
    #[serde(default)]
    #[param(inline, required = false)]
    pub(crate) format: Format,
}

/// How records are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A page, which says where the next one begins.
    #[default]
    Json,
    /// Each on a line of its own (`application/jsonl`), all of them.
    Jsonl,
}

/// What was done to the list and its tokens, by whom and when, and who was refused.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses(
        (status = 200, content((AuditPage = "application/json"), (RecordBody = "application/jsonl"))),
        (status = 503, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn audit(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Problem> {
    if let Some(limit) = query.limit.filter(|limit| !(1..=MAX_PAGE).contains(limit)) {
        return Err(Problem::bad_request(format!("limit is 1 to {MAX_PAGE}, not {limit}")));
    }
    match query.format {
        Format::Json => Ok(Json(page(&api, query).await?).into_response()),
        Format::Jsonl => {
            let lines = HeaderValue::from_static("application/jsonl");
            Ok(([(header::CONTENT_TYPE, lines)], lines_of(api, caller, query)).into_response())
        }
    }
}

pub(crate) async fn page(api: &Api, query: AuditQuery) -> Result<AuditPage, Problem> {
    let limit = query.limit.unwrap_or(PAGE);
    // One more than that shows whether there are more.
    let records = query.records(limit.saturating_add(1));
    let found = api.list.audit(records).await.map_err(|error| Problem::from_store(&error))?;
    let more = found.len() > limit;
    let records: Vec<_> = found.into_iter().take(limit).map(body).collect();
    let next = records.last().filter(|_| more).map(|record| record.id);
    Ok(AuditPage { records, next })
}

/// All records, read piece by piece as they are taken. It breaks off where the store fails, and where the caller's token
/// counts no more.
pub(crate) fn lines_of(api: Api, caller: Caller, query: AuditQuery) -> Body {
    let pieces = stream::try_unfold(Some(query), move |query| {
        let (api, caller) = (api.clone(), caller.clone());
        async move {
            let Some(query) = query else { return Ok(None) };
            if let Some(refused) = api.guard.refuses(&caller) {
                return Err(io::Error::other(refused.to_string()));
            }
            let (lines, rest) = piece(&api, query).await.map_err(io::Error::other)?;
            Ok(Some((lines, rest)))
        }
    });
    Body::from_stream(pieces)
}

/// The next lines, and what is to be asked for the others.
async fn piece(api: &Api, mut query: AuditQuery) -> Result<(Bytes, Option<AuditQuery>), StoreError> {
    let wanted = query.limit.unwrap_or(MAX_PAGE);
    let found = api.list.audit(query.records(wanted)).await?;
    let is_end = query.limit.is_some() || found.len() < wanted;
    match (query.order, found.last().map(|(id, _)| *id)) {
        (Order::Newest, Some(last)) => query.before = Some(last),
        (Order::Oldest, Some(last)) => query.after = Some(last),
        (_, None) => {}
    }
    let mut lines = Vec::new();
    for record in found.into_iter().map(body) {
        serde_json::to_writer(&mut lines, &record)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        lines.push(b'\n');
    }
    Ok((lines.into(), Some(query).filter(|_| !is_end)))
}

fn body((id, record): (i64, Record)) -> RecordBody {
    let Record { revision, at, by, deed, domain, before, after, request_id } = record;
    RecordBody {
        id,
        revision,
        at: Moment::of(at),
        by: by.to_string(),
        action: deed,
        domain,
        before,
        after,
        request_id: request_id.map(|id| id.to_string()),
    }
}

/// A list of kinds, separated by commas.
fn deeds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Deed>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let named = text.split(',').map(|name| {
        name.parse().map_err(|error| {
            let all = Deed::ALL.map(Deed::name).join(", ");
            serde::de::Error::custom(format!("'{name}' {error}, which are {all}"))
        })
    });
    named.collect()
}

// === impl AuditQuery ===

impl AuditQuery {
    fn records(&self, limit: usize) -> Records {
        Records {
            domain: self.domain.clone(),
            by: self.by.clone(),
            deeds: self.action.clone(),
            since: self.since.map(|at| at.0),
            until: self.until.map(|at| at.0),
            after: self.after,
            before: self.before,
            order: self.order,
            limit,
        }
    }
}

//! The audit: who did what, when; filtered, page by page, and as a file.

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::Deed;
use serde::Deserialize;

use super::frame::{Frame, Section, html_with, link};
use super::session::Visitor;
use super::{Pages, form};
use crate::api::audit::{AuditQuery, lines_of, page};
use crate::api::problem::Problem;
use crate::auth::Caller;
use crate::contract::RecordBody;
use crate::{deeds, spelling};

/// Rows of a page.
const ROWS: usize = 50;

/// Which records.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    domain: String,
    by: String,
    action: String,
    since: String,
    until: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    wanted: Wanted,
    errors: Vec<String>,
    actions: Vec<Choice>,
    rows: Vec<Row>,
    next: Option<String>,
    export: String,
}

struct Choice {
    name: &'static str,
    is_chosen: bool,
}

/// A record.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) at: String,
    pub(super) by: String,
    pub(super) action: &'static str,
    pub(super) domain: Option<String>,
    pub(super) what: String,
    pub(super) request: String,
}

/// The screen.
pub(super) async fn audit(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let (query, errors) = wanted.read();
    let query = AuditQuery { limit: Some(ROWS), before: wanted.before, ..query };
    let found = if errors.is_empty() { Some(page(&pages.api, query).await?) } else { None };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let next = found.as_ref().and_then(|it| it.next);
    let screen = Audit {
        frame: Frame::new(&pages, &visitor, Section::Audit, "Audit"),
        errors,
        actions: Deed::ALL
            .map(|it| Choice { name: it.name(), is_chosen: it.name() == wanted.action })
            .into(),
        rows: found.iter().flat_map(|it| &it.records).map(Row::of).collect(),
        next: next.map(|next| wanted.link("/page/audit", Some(next))),
        export: wanted.link("/page/audit.jsonl", None),
        wanted,
    };
    Ok(html_with(status, &screen))
}

/// All records of the filter, as JSON lines.
pub(super) async fn export(
    State(pages): State<Pages>,
    Extension(caller): Extension<Caller>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let (query, errors) = wanted.read();
    if let Some(error) = errors.first() {
        return Err(Problem::bad_request(error.clone()));
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit.jsonl\"")),
    ];
    Ok((headers, lines_of(pages.api.clone(), caller, query)).into_response())
}

// === impl Wanted ===

impl Wanted {
    /// What is asked for, and all that is wrong with it.
    fn read(&self) -> (AuditQuery, Vec<String>) {
        let mut errors = Vec::new();
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut query = AuditQuery { by: text(&self.by), ..AuditQuery::default() };
        if let Some(domain) = text(&self.domain) {
            match spelling::domain(&domain) {
                Ok(domain) => query.domain = Some(domain),
                Err(misspelt) => {
                    errors.push(format!("'{domain}' is not a backend domain: it {misspelt}"));
                }
            }
        }
        if let Some(action) = text(&self.action) {
            match action.parse() {
                Ok(deed) => query.action = vec![deed],
                Err(error) => errors.push(format!("'{action}' {error}")),
            }
        }
        for (text, to) in [(&self.since, &mut query.since), (&self.until, &mut query.until)] {
            match form::moment(text) {
                Ok(at) => *to = at,
                Err(error) => errors.push(error),
            }
        }
        (query, errors)
    }

    fn link(&self, path: &str, before: Option<i64>) -> String {
        let Self { domain, by, action, since, until, .. } = self.clone();
        let before = before.map(|it| it.to_string()).unwrap_or_default();
        let query = [
            ("domain", domain),
            ("by", by),
            ("action", action),
            ("since", since),
            ("until", until),
            ("before", before),
        ];
        link(path, &query)
    }
}

// === impl Row ===

impl Row {
    /// A record, for people.
    pub(super) fn of(record: &RecordBody) -> Self {
        Self {
            id: record.id,
            at: humantime::format_rfc3339_seconds(record.at.0).to_string(),
            by: record.by.clone(),
            action: record.action.name(),
            domain: record.domain.as_ref().map(ToString::to_string),
            what: deeds::what(record),
            request: record.request_id.clone().unwrap_or_default(),
        }
    }
}

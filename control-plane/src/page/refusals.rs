//! Refusals: who knocked, why, how often, with which certificate.

use std::time::Instant;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::Pages;
use super::frame::{Frame, Section, html, link};
use super::session::Visitor;
use crate::moment;
use crate::partners::Side;

/// Rows of a page.
const ROWS: usize = 50;

#[derive(Clone, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    text: String,
    #[serde(default)]
    page: Option<usize>,
}

#[derive(Template)]
#[template(path = "refusals.html")]
struct Refusals {
    frame: Frame,
    text: String,
    rows: Vec<Row>,
    found: usize,
    before: Option<String>,
    after: Option<String>,
}

struct Row {
    domain: String,
    label: &'static str,
    /// The heading of docs/errors.md.
    heading: &'static str,
    is_ours: bool,
    count: u64,
    since: String,
    last: String,
    certificate: Option<String>,
    not_after: String,
    upstream: Option<String>,
    is_listed: bool,
    explain: String,
    add: String,
}

/// The screen.
pub(super) async fn refusals(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let now = Instant::now();
    let text = wanted.text.trim().to_lowercase();
    let mut all = pages.api.partners.refusals();
    all.retain(|(domain, _, label, end)| {
        let names = end.certificate.as_ref().map(|it| it.names.to_lowercase()).unwrap_or_default();
        text.is_empty()
            || domain.as_str().contains(&text)
            || label.name().contains(&text)
            || names.contains(&text)
    });
    let number = wanted.page.unwrap_or(1).max(1);
    let first = number.saturating_sub(1).saturating_mul(ROWS);
    let found = all.len();
    let rows = all.into_iter().skip(first).take(ROWS);
    let rows = rows.map(|(domain, side, label, end)| Row {
        label: label.name(),
        heading: label.word(),
        is_ours: side == Side::Ingress,
        count: end.count,
        since: moment::of(end.since, now),
        last: moment::of(end.last, now),
        certificate: end.certificate.as_ref().map(|it| it.names.clone()),
        not_after: end.certificate.as_ref().map(|it| it.not_after.to_string()).unwrap_or_default(),
        upstream: end.upstream.map(|it| it.to_string()),
        is_listed: pages.api.list.entry(&domain).is_some(),
        explain: link("/page/explain", &[("domain", domain.to_string())]),
        add: link("/page/add", &[("domain", domain.to_string())]),
        domain: domain.to_string(),
    });
    let to = |number: usize| {
        link("/page/refusals", &[("text", wanted.text.clone()), ("page", number.to_string())])
    };
    html(&Refusals {
        frame: Frame::new(&pages, &visitor, Section::Refusals, "Refusals").live(),
        text: wanted.text.clone(),
        rows: rows.collect(),
        found,
        before: (number > 1).then(|| to(number.saturating_sub(1))),
        after: (first.saturating_add(ROWS) < found).then(|| to(number.saturating_add(1))),
    })
}

//! Home: how we stand, what is in trouble first.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::Pages;
use super::frame::{Frame, Section, html, link};
use super::session::Visitor;
use crate::api::brig;
use crate::api::problem::Problem;
use crate::contract::{BrigStatus, PARTNER_STATES, StatusBody, StatusFinding, StatusOfEnd};

/// Rows of each part, so that the page stays small.
const MANY: usize = 25;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    status: Arc<StatusBody>,
    findings: Vec<Finding>,
    /// Findings that have no row.
    more: usize,
    states: Vec<Count>,
    ends: Vec<End>,
    brig: Option<BrigStatus>,
}

struct Finding {
    is_trouble: bool,
    text: String,
    next: String,
    to: String,
    does: &'static str,
}

/// How many partners are in a state.
pub(super) struct Count {
    pub(super) state: &'static str,
    pub(super) count: usize,
}

struct End {
    what: &'static str,
    name: String,
    to: Option<String>,
    at: String,
    ended: bool,
}

/// The screen.
pub(super) async fn home(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, Problem> {
    let status = pages.live.status(&pages.api).await?;
    let findings: Vec<_> = status.findings.iter().take(MANY).map(finding).collect();
    Ok(html(&Home {
        frame: Frame::new(&pages, &visitor, Section::Home, "How we stand").live(),
        more: status.findings.len().saturating_sub(findings.len()),
        findings,
        states: states(&status),
        ends: status.ends.iter().take(MANY).map(end).collect(),
        brig: status.brig.is_some().then(|| brig::standing(&pages.api)),
        status,
    }))
}

/// All states, worst first.
pub(super) fn states(status: &StatusBody) -> Vec<Count> {
    let count = |state| status.partners.get(state).copied().unwrap_or_default();
    PARTNER_STATES.into_iter().map(|state| Count { state, count: count(state) }).collect()
}

/// A finding, and where to go on with it.
fn finding(it: &StatusFinding) -> Finding {
    let domain = it.domain.as_ref().map(ToString::to_string).unwrap_or_default();
    let partner = || format!("/page/partners/{domain}");
    let (to, does) = match (&*it.code, domain.is_empty()) {
        ("entry-ends" | "entry-ended", false) => (format!("{}/edit", partner()), "Set another end"),
        ("partner-refused" | "partner-would-be-refused", false) => {
            (link("/page/explain", &[("domain", domain)]), "Explain")
        }
        (_, false) => (partner(), "Look at it"),
        ("dns-failing", true) => {
            (link("/page/partners", &[("state", "discovery-failing".to_owned())]), "Who fails")
        }
        ("token-ends" | "token-ended", true) => ("/page/tokens".to_owned(), "Make another one"),
        ("list-file-unusable", true) => ("/page/list".to_owned(), "See the list"),
        ("brig-drift", true) => ("#brig".to_owned(), "See the drift"),
        ("no-envoy" | "envoy-silent" | "envoy-behind", true) => ("#envoys".to_owned(), "See the Envoys"),
        ("strategy", true) => ("/page/list".to_owned(), "See the strategy"),
        ("calls-refused", true) => {
            (link("/page/audit", &[("action", "calls-refused".to_owned())]), "See the audit")
        }
        ("store-not-writable", true) => ("/page/docs/nights#10-the-disk-is-full".to_owned(), "Read on"),
        ("calls-fail-at-tls", true) => {
            ("/page/docs/nights#3-our-own-certificate-is-refused".to_owned(), "Read on")
        }
        (_, true) => ("/page/docs/configuration#tls".to_owned(), "Read on"),
    };
    let is_trouble = it.severity == "trouble";
    Finding { is_trouble, text: it.text.clone(), next: it.next.clone(), to, does }
}

fn end(StatusOfEnd { kind, name, at, ended }: &StatusOfEnd) -> End {
    let (what, to) = match &**kind {
        "partner-certificate" => ("partner's certificate", Some(format!("/page/partners/{name}"))),
        "entry" => ("entry", Some(format!("/page/partners/{name}/edit"))),
        "token" => ("token", Some("/page/tokens".to_owned())),
        _ => ("listener's certificate", None),
    };
    End { what, name: name.clone(), to, at: at.clone(), ended: *ended }
}

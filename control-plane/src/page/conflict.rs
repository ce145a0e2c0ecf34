//! Two people change the same entry: both versions, and a choice.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use fedgate_allow_list::Entry;
use fedgate_policy::Domain;

use super::Pages;
use super::form::Form;
use super::frame::{Frame, Section, html_with};
use super::session::Visitor;

#[derive(Template)]
#[template(path = "conflict.html")]
struct Conflict {
    frame: Frame,
    domain: String,
    /// Who has changed it meanwhile, and when; none where it is not on the list any more.
    theirs: Option<(String, String)>,
    rows: Vec<Row>,
    /// What was sent, to be sent again on what is there now.
    form: Form,
}

struct Row {
    name: &'static str,
    theirs: String,
    ours: String,
    differs: bool,
}

/// The screen.
pub(super) fn shown(pages: &Pages, visitor: &Visitor, domain: &Domain, sent: Form) -> Response {
    let entry = pages.api.list.entry(domain);
    let title = format!("{domain} has changed meanwhile");
    let screen = Conflict {
        frame: Frame::new(pages, visitor, Section::Partners, title),
        domain: domain.to_string(),
        theirs: entry.as_ref().map(|it| {
            let at = humantime::format_rfc3339_seconds(it.updated.at).to_string();
            (it.updated.by.to_string(), at)
        }),
        rows: rows(entry.as_ref(), &sent),
        form: Form {
            revision: entry.as_ref().map(|it| it.revision.to_string()).unwrap_or_default(),
            ..sent
        },
    };
    html_with(StatusCode::PRECONDITION_FAILED, &screen)
}

fn rows(entry: Option<&Entry>, sent: &Form) -> Vec<Row> {
    let there = entry.map(|it| Form::of(&it.terms, None)).unwrap_or_default();
    let row = |name, theirs: &str, ours: &str| {
        let (theirs, ours) =
            (theirs.replace('\n', ", "), ours.trim().replace("\r\n", ", ").replace('\n', ", "));
        Row { name, differs: theirs != ours, theirs, ours }
    };
    vec![
        row("Action", &there.action, &sent.action),
        row("Note", &there.note, &sent.note),
        row("Expires", &there.expires_at, &sent.expires_at),
        row("Pinned hosts", &there.pinned_hosts, &sent.pinned_hosts),
        row("DNSSEC", &there.dnssec, &sent.dnssec),
        row("Mode", &there.mode, &sent.mode),
        row("Whom they find", &there.search_policy, &sent.search_policy),
        row("Their teams", &there.restriction, &sent.restriction),
        row("Teams", &there.teams, &sent.teams),
    ]
}

//! Many domains at once: a text, what it would change, and then that, or nothing if the list has changed meanwhile.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Form as Sent};
use fedgate_allow_list::Condition;
use fedgate_allow_list::terms::Change;
use serde::Deserialize;

use super::Pages;
use super::frame::{Frame, Section, done, html, html_with};
use super::session::Visitor;
use crate::api::bulk::put_many;
use crate::api::extract::{By, When};
use crate::api::problem::Problem;
use crate::contract::{ChangedDomain, Kind, Outcome, PutDomain, PutDomains};
use crate::portable::{self, Format};
use crate::spelling;

/// The most domains of each kind that are named.
const NAMED: usize = 200;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Draft {
    text: String,
    /// Whether what is not named goes.
    prune: String,
    /// The list's, as it was compared with.
    revision: String,
}

#[derive(Template)]
#[template(path = "import.html")]
struct Form {
    frame: Frame,
    text: String,
    prune: bool,
    errors: Vec<String>,
}

#[derive(Template)]
#[template(path = "import_preview.html")]
#[allow(clippy::struct_excessive_bools, reason = "each is what the page says or not")]
struct Preview {
    frame: Frame,
    text: String,
    prune: bool,
    revision: i64,
    outcome: Outcome,
    changed: Vec<Changed>,
    added: Vec<String>,
    removed: Vec<String>,
    /// Whether that lets everybody in.
    is_open: bool,
    is_same: bool,
    is_late: bool,
}

struct Changed {
    domain: String,
    before: String,
    after: String,
}

/// The form.
pub(super) async fn form(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let frame = Frame::new(&pages, &visitor, Section::List, "Import");
    html(&Form { frame, text: String::new(), prune: false, errors: Vec::new() })
}

/// What it would change.
pub(super) async fn preview(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Sent(sent): Sent<Draft>,
) -> Result<Response, Problem> {
    previewed(&pages, &visitor, author, sent, false).await
}

/// Changes it, if the list is as it was.
pub(super) async fn apply(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Sent(sent): Sent<Draft>,
) -> Result<Response, Problem> {
    let Ok(wanted) = parsed(&sent.text).await else {
        return previewed(&pages, &visitor, author, sent, false).await;
    };
    if wanted.strategy.is_some_and(|it| it.name() == "allowAll") {
        return Err(Problem::bad_request(OPEN));
    }
    let when = When::demanding(Condition::Revision(sent.revision.parse().into_iter().collect()));
    let prune = !sent.prune.is_empty();
    match put_many(&pages.api, wanted, prune, false, when, author.clone()).await {
        Ok((outcome, _)) => {
            let Outcome { added, changed, removed, .. } = outcome;
            let text = format!(
                "The list is changed: {} added, {} changed, {} removed.",
                added.len(),
                changed.len(),
                removed.len()
            );
            Ok(done(&pages, &visitor, "/page/partners", text))
        }
        Err(problem) if problem.kind() == Kind::PreconditionFailed => {
            previewed(&pages, &visitor, author, sent, true).await
        }
        Err(problem) => Err(problem),
    }
}

/// Problems that are mended in the text.
const OF_THE_TEXT: [Kind; 3] = [Kind::Conflict, Kind::OwnedByFile, Kind::UnprocessableContent];
const OPEN: &str = "this text sets the strategy allowAll, which is set by itself: take that line out, and import the rest";

async fn previewed(
    pages: &Pages,
    visitor: &Visitor,
    author: fedgate_allow_list::Author,
    Draft { text, prune, .. }: Draft,
    is_late: bool,
) -> Result<Response, Problem> {
    let prune = !prune.is_empty();
    let wanted = match parsed(&text).await {
        Ok(wanted) => wanted,
        Err(errors) => return Ok(wrong(pages, visitor, text, prune, errors)),
    };
    let is_open = wanted.strategy.is_some_and(|it| it.name() == "allowAll");
    let when = When::demanding(Condition::None);
    let (outcome, revision) = match put_many(&pages.api, wanted, prune, true, when, author).await {
        Ok(foreseen) => foreseen,
        Err(problem) if OF_THE_TEXT.contains(&problem.kind()) => {
            return Ok(wrong(pages, visitor, text, prune, vec![problem.detail().to_owned()]));
        }
        Err(problem) => return Err(problem),
    };
    let names = |of: &[fedgate_policy::Domain]| of.iter().take(NAMED).map(ToString::to_string).collect();
    let is_same = outcome.added.is_empty()
        && outcome.changed.is_empty()
        && outcome.removed.is_empty()
        && outcome.strategy.is_none();
    let status = if is_late { StatusCode::PRECONDITION_FAILED } else { StatusCode::OK };
    let screen = Preview {
        frame: Frame::new(pages, visitor, Section::List, "What this would change"),
        text,
        prune,
        revision,
        changed: outcome.changed.iter().take(NAMED).map(Changed::of).collect(),
        added: names(&outcome.added),
        removed: names(&outcome.removed),
        outcome,
        is_open,
        is_same,
        is_late,
    };
    Ok(html_with(status, &screen))
}

fn wrong(pages: &Pages, visitor: &Visitor, text: String, prune: bool, errors: Vec<String>) -> Response {
    let frame = Frame::new(pages, visitor, Section::List, "Import");
    html_with(StatusCode::UNPROCESSABLE_ENTITY, &Form { frame, text, prune, errors })
}

/// Reads a text, which takes its time, for which no thread is to be kept from others.
async fn parsed(text: &str) -> Result<PutDomains, Vec<String>> {
    let text = text.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&text)).await;
    read.unwrap_or_else(|error| Err(vec![error.to_string()]))
}

/// Reads what `fedgate store export` writes, in both of its forms, or domains alone, each on a line of its own.
fn read(text: &str) -> Result<PutDomains, Vec<String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.clone().next().unwrap_or_default();
    if first.is_empty() {
        return Err(vec!["there is nothing in it".to_owned()]);
    }
    if !first.starts_with(['{', '[']) && !first.contains('=') {
        let (mut domains, mut errors) = (Vec::new(), Vec::new());
        for line in lines {
            match spelling::domain(line) {
                Ok(domain) => domains.push(PutDomain { domain, change: Change::default() }),
                Err(misspelt) => errors.push(format!("'{line}' is not a backend domain: it {misspelt}")),
            }
        }
        return if errors.is_empty() { Ok(PutDomains { domains, strategy: None }) } else { Err(errors) };
    }
    let format = if first.starts_with('{') { Format::Jsonl } else { Format::Toml };
    let list = portable::read(text, format)?;
    let domains =
        list.domains.into_iter().map(|(domain, terms)| PutDomain { domain, change: terms.into() });
    Ok(PutDomains { domains: domains.collect(), strategy: list.strategy })
}

// === impl Changed ===

impl Changed {
    fn of(it: &ChangedDomain) -> Self {
        let text = |change: &Change| serde_json::json!(change).to_string();
        Self { domain: it.domain.to_string(), before: text(&it.before), after: text(&it.after) }
    }
}

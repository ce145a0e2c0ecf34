//! Explain: what would become of a request, and why. The form is its own link.

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::Pages;
use super::frame::{Frame, Section, html_with};
use super::session::Visitor;
use crate::api::explain::account_of;
use crate::contract::{Direction, Explain, Explained, Judged, StepBody, StepState};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    domain: String,
    /// `incoming` or `outgoing`.
    direction: String,
    certificate: String,
    /// Whether the caller shows none.
    anonymous: String,
    origin: String,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Screen {
    frame: Frame,
    asked: Asked,
    error: Option<String>,
    answer: Option<Answer>,
}

struct Answer {
    explained: Explained,
    steps: Vec<Step>,
    outcome: &'static str,
    class: &'static str,
    body: String,
    /// Where the documents are read.
    see: Option<String>,
}

struct Step {
    mark: &'static str,
    class: &'static str,
    body: StepBody,
}

/// The screen.
pub(super) async fn explain(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Response {
    let (mut error, mut answer) = (None, None);
    let domain = asked.domain.trim();
    if !domain.is_empty() {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let is_outgoing = asked.direction == "outgoing";
        let question = Explain {
            domain: domain.to_owned(),
            direction: if is_outgoing { Direction::Outgoing } else { Direction::Incoming },
            certificate: some(&asked.certificate),
            anonymous: !asked.anonymous.is_empty(),
            trusted: None,
            origin: some(&asked.origin),
        };
        match account_of(&pages.api, &question).await {
            Ok(explained) => answer = Some(Answer::of(explained)),
            Err(problem) => error = Some(problem.detail().to_owned()),
        }
    }
    let title = if domain.is_empty() { "Explain".to_owned() } else { format!("Explain: {domain}") };
    let frame = Frame::new(&pages, &visitor, Section::Explain, title);
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    html_with(status, &Screen { frame, asked, error, answer })
}

// === impl Answer ===

impl Answer {
    fn of(mut explained: Explained) -> Self {
        let decision = &explained.decision;
        let (outcome, class) = match (decision.outcome, decision.spared) {
            (Judged::Permit, false) => ("It passes.", "good"),
            (Judged::Permit, true) => ("It passes, in shadow; else it would be refused.", "warning"),
            (Judged::Refusal, _) => ("It is refused.", "trouble"),
            (Judged::Open, false) => ("The certificate decides, and none was given.", "warning"),
            (Judged::Open, true) => {
                ("The certificate decides, and none was given; in shadow.", "warning")
            }
        };
        let body = decision.body.as_ref().map(|body| format!("{body:#}")).unwrap_or_default();
        let see = decision
            .see
            .as_ref()
            .map(|see| see.replacen("docs/", "/page/docs/", 1).replacen(".md", "", 1));
        let steps = std::mem::take(&mut explained.steps).into_iter().map(Step::of).collect();
        Self { explained, steps, outcome, class, body, see }
    }
}

impl Step {
    fn of(body: StepBody) -> Self {
        let (mark, class) = match body.state {
            StepState::Ok => ("ok", "good"),
            StepState::No => ("no", "trouble"),
            StepState::Shadow => ("shadow", "warning"),
            StepState::NotLookedAt => ("not looked at", "quiet"),
        };
        Self { mark, class, body }
    }
}

//! Explain: what would become of a request, and why. A question without a certificate is its own link; a certificate is
//! sent with the form, and never stands in an address.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use super::Pages;
use super::frame::{Frame, Section, html_with, link};
use super::session::Visitor;
use crate::api::explain::account_of;
use crate::contract::{Direction, Explain, Explained, Judged, StepBody, StepState};
use crate::pem;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    certificate: String,
    #[serde(flatten)]
    asked: Asked,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    domain: String,
    /// `incoming` or `outgoing`.
    direction: String,
    /// Whether the caller shows no certificate.
    anonymous: String,
    origin: String,
    /// Whether there is no such header.
    unclaimed: String,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Screen {
    frame: Frame,
    asked: Asked,
    certificate: String,
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

/// The screen, for a question without a certificate.
pub(super) async fn explain(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Response {
    answer(&pages, &visitor, asked, String::new()).await
}

/// Answers the form; a question without a certificate goes on to its own address.
pub(super) async fn ask(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Form(Sent { certificate, asked }): Form<Sent>,
) -> Response {
    let texts = [&asked.domain, &asked.direction, &asked.origin];
    if certificate.trim().is_empty() && !texts.iter().any(|text| pem::holds_key(text)) {
        return Redirect::to(&asked.link()).into_response();
    }
    answer(&pages, &visitor, asked, certificate).await
}

async fn answer(
    pages: &Pages,
    visitor: &Visitor,
    mut asked: Asked,
    mut certificate: String,
) -> Response {
    let (mut error, mut answer) = (None, None);
    let domain = asked.domain.trim();
    if !domain.is_empty() {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let is_outgoing = asked.direction == "outgoing";
        let question = Explain {
            domain: domain.to_owned(),
            direction: if is_outgoing { Direction::Outgoing } else { Direction::Incoming },
            certificate: some(&certificate),
            anonymous: !asked.anonymous.is_empty(),
            trusted: None,
            origin: if asked.unclaimed.is_empty() { some(&asked.origin) } else { Some(String::new()) },
        };
        match account_of(&pages.api, &question).await {
            Ok(explained) => answer = Some(Answer::of(explained)),
            Err(problem) => error = Some(problem.detail().to_owned()),
        }
    }
    // Nobody's key is sent back.
    for text in [&mut asked.domain, &mut asked.origin, &mut certificate] {
        if pem::holds_key(text) {
            text.clear();
        }
    }
    let domain = asked.domain.trim();
    let title = if domain.is_empty() { "Explain".to_owned() } else { format!("Explain: {domain}") };
    let frame = Frame::new(pages, visitor, Section::Explain, title);
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    html_with(status, &Screen { frame, asked, certificate, error, answer })
}

// === impl Asked ===

impl Asked {
    /// Where this question has its answer.
    fn link(&self) -> String {
        let Self { domain, direction, anonymous, origin, unclaimed } = self;
        let all = [
            ("domain", domain),
            ("direction", direction),
            ("anonymous", anonymous),
            ("origin", origin),
            ("unclaimed", unclaimed),
        ];
        let given = all.into_iter().filter(|(_, text)| !text.is_empty());
        let given: Vec<_> = given.map(|(name, text)| (name, text.clone())).collect();
        link("/page/explain", &given)
    }
}

// === impl Answer ===

impl Answer {
    fn of(mut explained: Explained) -> Self {
        let decision = &explained.decision;
        let (outcome, class) = match (decision.outcome, decision.spared) {
            (Judged::Permit, _) if decision.unreachable => {
                ("It may be made, but no target can be reached.", "trouble")
            }
            (Judged::Permit, false) => ("It passes.", "good"),
            (Judged::NoRequest, _) => ("There is no request.", "trouble"),
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

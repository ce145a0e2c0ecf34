//! The list as a whole: its strategy, and the ways to change much of it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Form as Sent};
use fedgate_allow_list::{Condition, Write};
use fedgate_policy::Strategy;
use serde::Deserialize;

use super::Pages;
use super::frame::{Frame, Section, done, html, html_with};
use super::session::Visitor;
use crate::api::admin::change_strategy;
use crate::api::domains::foresee;
use crate::api::extract::{By, When};
use crate::api::problem::Problem;
use crate::contract::{Outcome, StatusOfList};

/// What has to be typed before everybody may federate.
const CONFIRMATION: &str = "allowAll";

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Chosen {
    strategy: String,
    revision: String,
    confirm: String,
    /// Whether that was asked for already.
    asked: String,
}

#[derive(Template)]
#[template(path = "list.html")]
struct Screen {
    frame: Frame,
    entries: StatusOfList,
    revision: i64,
    choices: [Choice; 3],
}

struct Choice {
    value: &'static str,
    text: &'static str,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "strategy.html")]
struct Confirm {
    frame: Frame,
    strategy: &'static str,
    revision: String,
    outcome: Outcome,
    /// Whether it has to be typed.
    is_open: bool,
    is_wrong: bool,
}

/// The screen.
pub(super) async fn list(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let (strategy, revision) = pages.api.list.strategy();
    let choices = [
        ("allowDynamic", "whom the list allows may federate"),
        ("allowNone", "nobody may federate"),
        (
            "allowAll",
            "whoever has a trusted certificate may federate, but for those that an entry blocks",
        ),
    ];
    html(&Screen {
        frame: Frame::new(&pages, &visitor, Section::List, "List"),
        entries: crate::api::status::list(&pages.api),
        revision,
        choices: choices.map(|(value, text)| Choice {
            value,
            text,
            is_chosen: value == strategy.name(),
        }),
    })
}

/// Says what another strategy comes to; then sets it. The one that opens the border has to be typed.
pub(super) async fn set_strategy(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Sent(Chosen { strategy, revision, confirm, asked }): Sent<Chosen>,
) -> Result<Response, Problem> {
    let named = serde_json::from_value::<Strategy>(serde_json::Value::String(strategy));
    let strategy = named.map_err(|_| Problem::bad_request("choose a strategy"))?;
    let is_open = strategy.name() == CONFIRMATION;
    let is_confirmed = !is_open || confirm.trim() == CONFIRMATION;
    let when = || When::demanding(Condition::Revision(revision.parse().into_iter().collect()));
    if asked.is_empty() || !is_confirmed {
        let outcome = foresee(&pages.api, Write::SetStrategy(strategy), when(), author).await?;
        let is_wrong = !asked.is_empty();
        let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let frame = Frame::new(&pages, &visitor, Section::List, format!("Set {}", strategy.name()));
        let strategy = strategy.name();
        return Ok(html_with(
            status,
            &Confirm { frame, strategy, revision, outcome, is_open, is_wrong },
        ));
    }
    change_strategy(&pages.api, strategy, when(), author).await?;
    let text = format!("The strategy is {}.", strategy.name());
    Ok(done(&pages, &visitor, "/page/list", text))
}

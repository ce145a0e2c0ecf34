//! Partners: all entries of the list, searched, filtered, sorted, page by page.

use std::cmp::Reverse;
use std::time::Instant;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use fedgate_allow_list::{Entry, Owner};
use fedgate_policy::Domain;
use serde::Deserialize;

use super::Pages;
use super::frame::{Frame, Section, html, link};
use super::home::{Count, states};
use super::session::Visitor;
use crate::api::Api;
use crate::api::partners::Partner;
use crate::api::problem::Problem;
use crate::contract::{PARTNER_STATES, PartnerInList};
use crate::partners::Seen;

/// Rows of a page.
const ROWS: usize = 50;
/// How many are looked at before others get their turn.
const STRETCH: usize = 1000;
/// Of entries that allow nothing.
const BLOCKED: &str = "blocked";
const EXPIRED: &str = "expired";

/// Which, and in which order.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    text: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    page: Option<usize>,
}

#[derive(Template)]
#[template(path = "partners.html")]
struct Partners {
    frame: Frame,
    wanted: Wanted,
    rows: Vec<Row>,
    states: Vec<Tab>,
    found: usize,
    first: usize,
    before: Option<String>,
    after: Option<String>,
    number: usize,
    pages: usize,
}

struct Tab {
    name: &'static str,
    count: usize,
    to: String,
    is_here: bool,
}

struct Row {
    told: PartnerInList,
    state: String,
    note: String,
    is_of_file: bool,
}

/// The screen.
pub(super) async fn partners(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let status = pages.live.status(&pages.api).await?;
    let tabs = tabs(&wanted, states(&status), status.list.blocked, status.list.expired);
    let found = find(&pages.api, &wanted).await;
    let count = found.len().div_ceil(ROWS).max(1);
    let number = wanted.page.unwrap_or(1).clamp(1, count);
    let first = (number.saturating_sub(1)).saturating_mul(ROWS);
    let mut rows = Vec::new();
    for domain in found.iter().skip(first).take(ROWS) {
        let entry = pages.api.list.entry(domain);
        let is_of_file = entry.as_ref().is_some_and(|entry| entry.owner() == Owner::File);
        let note = entry.as_ref().map(|entry| entry.terms.note.clone()).unwrap_or_default();
        let partner = Partner::of(&pages.api, domain.clone(), entry).await;
        let state = state(&partner).to_owned();
        rows.push(Row { told: partner.told(), state, note, is_of_file });
    }
    let to = |number: usize| wanted.link(&wanted.state, Some(number));
    Ok(html(&Partners {
        frame: Frame::new(&pages, &visitor, Section::Partners, "Partners").live(),
        rows,
        states: tabs,
        found: found.len(),
        first: if found.is_empty() { 0 } else { first.saturating_add(1) },
        before: (number > 1).then(|| to(number.saturating_sub(1))),
        after: (number < count).then(|| to(number.saturating_add(1))),
        number,
        pages: count,
        wanted,
    }))
}

/// In a word.
pub(super) fn state(partner: &Partner) -> &'static str {
    match &partner.entry {
        Some(entry) if entry.lapsed => EXPIRED,
        Some(entry) if entry.allows() => partner.judged().state.name(),
        Some(_) => BLOCKED,
        None => crate::contract::NOT_LISTED,
    }
}

/// Those that are wanted, in their order. Who is in which state is asked only where that matters.
async fn find(api: &Api, wanted: &Wanted) -> Vec<Domain> {
    let text = wanted.text.trim().to_lowercase();
    let has_text = |domain: &Domain, entry: &Entry| {
        text.is_empty()
            || domain.as_str().contains(&text)
            || entry.terms.note.to_lowercase().contains(&text)
    };
    let matters = !wanted.state.is_empty() || wanted.sort == "trouble" || wanted.sort == "last";
    let mut found: Vec<(Domain, usize, Option<Reverse<Instant>>)> = Vec::new();
    let (mut after, mut more) = (None, true);
    while more {
        let entries;
        (entries, more) = api.list.page(after.as_ref(), STRETCH, has_text);
        after = entries.last().map(|(domain, _)| domain.clone());
        for (domain, entry) in entries {
            if !matters {
                found.push((domain, 0, None));
                continue;
            }
            let partner = Partner::of(api, domain, Some(entry)).await;
            let state = state(&partner);
            if wanted.state.is_empty() || wanted.state == state {
                let rank = PARTNER_STATES.iter().position(|it| *it == state);
                let last = partner.seen.as_deref().and_then(Seen::last).map(Reverse);
                found.push((partner.domain, rank.unwrap_or(PARTNER_STATES.len()), last));
            }
        }
        tokio::task::yield_now().await;
    }
    match &*wanted.sort {
        "trouble" => found.sort_by_key(|(_, rank, _)| *rank),
        // Who was never seen comes last.
        "last" => found.sort_by_key(|(_, _, last)| (last.is_none(), *last)),
        _ => {}
    }
    found.into_iter().map(|(domain, ..)| domain).collect()
}

fn tabs(wanted: &Wanted, states: Vec<Count>, blocked: usize, expired: usize) -> Vec<Tab> {
    let others = [(BLOCKED, blocked), (EXPIRED, expired)];
    let others = others.map(|(state, count)| Count { state, count });
    let all = states.iter().chain(&others).fold(0_usize, |sum, it| sum.saturating_add(it.count));
    let tab = |name, state: &str, count| Tab {
        name,
        count,
        to: wanted.link(state, None),
        is_here: wanted.state == state,
    };
    let mut tabs = vec![tab("all", "", all)];
    tabs.extend(states.into_iter().chain(others).map(|it| tab(it.state, it.state, it.count)));
    tabs
}

// === impl Wanted ===

impl Wanted {
    fn link(&self, state: &str, page: Option<usize>) -> String {
        let page = page.filter(|page| *page > 1).map(|page| page.to_string()).unwrap_or_default();
        let query = [
            ("text", self.text.clone()),
            ("state", state.to_owned()),
            ("sort", self.sort.clone()),
            ("page", page),
        ];
        link("/page/partners", &query)
    }

    fn sorts_by(&self, sort: &str) -> bool {
        self.sort == sort
    }
}

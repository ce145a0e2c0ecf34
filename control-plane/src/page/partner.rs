//! One partner: all that is known of how we stand with it, and what can be done.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use fedgate_allow_list::Owner;
use fedgate_policy::{Outcome, Verdict};

use super::chart::Chart;
use super::frame::{Frame, Section, html_with};
use super::session::Visitor;
use super::{Pages, audit, partners};
use crate::api::audit::{AuditQuery, page as records};
use crate::api::extract::DomainName;
use crate::api::partners::{Partner, shown};
use crate::api::problem::Problem;
use crate::contract::{Kind, ListedDomain, PartnerInList, ShownPartner};

/// Records of the audit that are shown.
const RECORDS: usize = 10;

#[derive(Template)]
#[template(path = "partner.html")]
struct Screen {
    frame: Frame,
    domain: String,
    state: &'static str,
    /// None where nothing is known.
    shown: Option<ShownPartner>,
    verdict: Option<Said>,
    /// What the entry says, name by name.
    terms: Vec<(&'static str, String)>,
    chart: Chart,
    records: Vec<audit::Row>,
}

/// A verdict, for people.
struct Said {
    text: String,
    hosts: Vec<String>,
    left: String,
    shadow: bool,
}

/// The screen.
pub(super) async fn partner(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    DomainName(domain): DomainName,
) -> Result<Response, Problem> {
    let api = &pages.api;
    let shown = match shown(api, domain.clone()).await {
        Ok(shown) => Some(shown),
        Err(problem) if problem.kind() == Kind::NotListed => None,
        Err(problem) => return Err(problem),
    };
    let partner = Partner::of(api, domain.clone(), api.list.entry(&domain)).await;
    let query =
        AuditQuery { domain: Some(domain.clone()), limit: Some(RECORDS), ..AuditQuery::default() };
    let records = records(api, query).await?.records.iter().map(audit::Row::of).collect();
    let status = if shown.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let entry = shown.as_ref().and_then(|it| it.entry.as_ref());
    let screen = Screen {
        frame: Frame::new(&pages, &visitor, Section::Partners, domain.as_str()).live(),
        state: partners::state(&partner),
        verdict: shown.as_ref().and_then(|it| it.verdict.as_ref()).map(said),
        terms: entry.map(terms).unwrap_or_default(),
        chart: Chart::of(partner.seen.as_deref(), partner.now),
        records,
        domain: domain.to_string(),
        shown,
    };
    Ok(html_with(status, &screen))
}

/// What an entry says, where that is not what an entry says by itself.
fn terms(entry: &ListedDomain) -> Vec<(&'static str, String)> {
    use fedgate_allow_list::terms::{Action, Mode, Proof, Restriction, SearchPolicy};
    let terms = &entry.terms;
    let mut said = vec![(
        "Action",
        match terms.action {
            Action::Allow => "allow".to_owned(),
            Action::Block => "block, under every strategy".to_owned(),
        },
    )];
    if !terms.note.is_empty() {
        said.push(("Note", terms.note.clone()));
    }
    if !terms.pinned_hosts.is_empty() {
        let hosts: Vec<_> = terms.pinned_hosts.iter().map(ToString::to_string).collect();
        said.push(("Pinned to", hosts.join(", ")));
    }
    if terms.dnssec == Proof::Require {
        said.push(("DNSSEC", "required".to_owned()));
    }
    if terms.mode == Mode::Shadow {
        said.push(("Mode", "shadow: what would be refused is told, and passes".to_owned()));
    }
    match terms.search_policy {
        SearchPolicy::ExactHandleSearch => {}
        SearchPolicy::NoSearch => said.push(("Search", "their users find nobody".to_owned())),
        SearchPolicy::FullSearch => said.push(("Search", "their users find everybody".to_owned())),
    }
    if let Restriction::RestrictByTeam(some) = &terms.restriction {
        let some: Vec<_> = some.iter().map(ToString::to_string).collect();
        let only = if some.is_empty() { "none of theirs".to_owned() } else { some.join(", ") };
        said.push(("Teams", only));
    }
    said
}

fn said(verdict: &Verdict) -> Said {
    let left = std::time::Duration::from_secs(verdict.ttl_ms / 1000);
    let (text, hosts) = match &verdict.outcome {
        Outcome::Hosts(hosts) => {
            ("these hosts speak for it".to_owned(), hosts.iter().map(ToString::to_string).collect())
        }
        Outcome::Failure(failure) => (failure.message.clone(), Vec::new()),
    };
    let left = humantime::format_duration(left).to_string();
    Said { text, hosts, left, shadow: verdict.shadow }
}

// === impl Screen ===

impl Screen {
    fn told(&self) -> Option<&PartnerInList> {
        self.shown.as_ref().map(|it| &it.partner)
    }

    fn entry(&self) -> Option<&ListedDomain> {
        self.shown.as_ref()?.entry.as_ref()
    }

    /// Whether the list's file alone changes its entry.
    fn is_of_file(&self) -> bool {
        self.entry().is_some_and(|it| it.owner == Owner::File)
    }

    /// Whether an entry blocks it.
    fn is_blocked(&self) -> bool {
        self.entry().is_some_and(|it| it.terms.action == fedgate_allow_list::terms::Action::Block)
    }
}

//! What can be done with a partner at once: each says what will happen before it does.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Extension, Form as Sent};
use fedgate_allow_list::terms::{Action, Change, Mode};
use fedgate_allow_list::{Condition, Write, WriteError};
use fedgate_policy::Domain;
use serde::Deserialize;

use super::frame::{Frame, Section, done, html};
use super::session::Visitor;
use super::{Pages, dressed};
use crate::api::domains::{foresee, look_up_anew, put, remove};
use crate::api::extract::{By, When};
use crate::api::partners::try_anew;
use crate::api::problem::Problem;
use crate::contract::{Kind, Outcome, Refreshed};
use crate::spelling;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Deed {
    Refresh,
    Retry,
    Block,
    Allow,
    Remove,
}

#[derive(Template)]
#[template(path = "deed.html")]
struct Screen {
    frame: Frame,
    domain: String,
    deed: &'static str,
    /// The words of the button.
    does: &'static str,
    what: &'static str,
    revision: String,
    outcome: Option<Outcome>,
    is_grave: bool,
}

#[derive(Deserialize)]
pub(super) struct Seen {
    #[serde(default)]
    revision: String,
}

/// Says what will happen.
pub(super) async fn ask(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Path((domain, deed)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (domain, deed) = (named(&domain)?, known(&deed)?);
    let entry = pages.api.list.entry(&domain);
    let outcome = match (deed.write(&domain), &entry) {
        (None, _) => None,
        (Some(_), None) => return Err(WriteError::NotListed(domain).into()),
        (Some(write), Some(_)) => {
            Some(foresee(&pages.api, write, When::demanding(Condition::None), author).await?)
        }
    };
    let (name, does, what) = deed.words();
    Ok(html(&Screen {
        frame: Frame::new(&pages, &visitor, Section::Partners, format!("{does}: {domain}")),
        domain: domain.to_string(),
        deed: name,
        does,
        what,
        revision: entry.map(|it| it.revision.to_string()).unwrap_or_default(),
        outcome,
        is_grave: [Deed::Block, Deed::Remove].contains(&deed),
    }))
}

/// Does it, on what was seen.
pub(super) async fn act(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Path((domain, deed)): Path<(String, String)>,
    Sent(Seen { revision }): Sent<Seen>,
) -> Result<Response, Problem> {
    let (domain, deed, api) = (named(&domain)?, known(&deed)?, &pages.api);
    let when = || When::demanding(Condition::Revision(revision.parse().into_iter().collect()));
    let partner = format!("/page/partners/{domain}");
    let text = match deed {
        Deed::Refresh => told(&domain, &look_up_anew(api, &domain, &author).await?),
        Deed::Retry => {
            let retried = try_anew(api, &domain, &author).await?;
            let again = retried.forgotten.join(", ");
            let again = if again.is_empty() { again } else { format!(" Tried again: {again}.") };
            format!("{}{again}", told(&domain, &retried.lookup))
        }
        Deed::Block => {
            put(api, domain.clone(), to(Action::Block), when(), author).await?;
            format!("{domain} is blocked.")
        }
        Deed::Allow => {
            put(api, domain.clone(), to(Action::Allow), when(), author).await?;
            format!("{domain} is allowed again.")
        }
        Deed::Remove => {
            remove(api, domain.clone(), when(), author).await?;
            let text = format!("{domain} is off the list.");
            return Ok(done(&pages, &visitor, "/page/partners", text));
        }
    };
    Ok(done(&pages, &visitor, &partner, text))
}

/// The change of an entry's action, and of nothing else.
/// An entry that blocks is never in shadow mode, in which nothing is refused.
fn to(action: Action) -> Change {
    let mode = (action == Action::Block).then_some(Mode::Enforce);
    Change { action: Some(action), mode, ..Change::default() }
}

fn told(domain: &Domain, lookup: &Refreshed) -> String {
    use fedgate_policy::Outcome;
    match &lookup.attempt.outcome {
        Outcome::Hosts(hosts) => {
            let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
            format!("{domain} was looked up: {} speaks for it.", hosts.join(", "))
        }
        Outcome::Failure(failure) => format!("{domain} was looked up: {}.", failure.message),
    }
}

fn named(text: &str) -> Result<Domain, Problem> {
    spelling::domain(text).map_err(|misspelt| Problem::bad_request(misspelt.of(text)))
}

fn known(text: &str) -> Result<Deed, Problem> {
    let deed = serde_json::from_value(serde_json::Value::String(text.to_owned()));
    deed.map_err(|_| Problem::new(Kind::NoSuchResource, dressed::NOWHERE))
}

// === impl Deed ===

impl Deed {
    /// What it writes, if it writes.
    fn write(self, domain: &Domain) -> Option<Write> {
        match self {
            Self::Refresh | Self::Retry => None,
            Self::Block => Some(Write::Put(domain.clone(), to(Action::Block))),
            Self::Allow => Some(Write::Put(domain.clone(), to(Action::Allow))),
            Self::Remove => Some(Write::Remove(domain.clone())),
        }
    }

    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Refresh => (
                "refresh",
                "Look up now",
                "Its DNS records are looked up anew. What is found counts at once; what fails changes nothing.",
            ),
            Self::Retry => (
                "retry",
                "Try anew",
                "Its DNS records and the addresses of its targets are looked up anew, and addresses at which nobody \
                 had opened are tried first again.",
            ),
            Self::Block => (
                "block",
                "Block",
                "Its requests and our calls to it are refused, whatever the strategy is, within seconds. The entry \
                 stays, with all that it says but for shadow mode, so that it can be allowed again.",
            ),
            Self::Allow => (
                "allow",
                "Allow again",
                "Its requests pass again that prove who they are, and so do our calls to it.",
            ),
            Self::Remove => (
                "remove",
                "Remove",
                "The entry is taken off the list, with its note and all that it says. The audit keeps it.",
            ),
        }
    }
}

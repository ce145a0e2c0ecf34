//! Adding a partner, step by step. What was chosen stands in the address and in forms; nothing is kept here until the
//! entry is written.

use std::fmt::Write as _;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form as Sent};
use fedgate_allow_list::Terms;
use fedgate_policy::{Domain, Outcome};
use serde::Deserialize;

use super::form::{Form, Wrong};
use super::frame::{Frame, Section, html, html_with, link};
use super::session::Visitor;
use super::{Pages, check, entry};
use crate::api::extract::By;
use crate::api::partners::shown;
use crate::api::problem::Problem;
use crate::auth::Role;
use crate::contract::ShownPartner;
use crate::spelling;

/// Which partner, and what was found.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Step {
    domain: String,
    check: String,
    /// Our own domain, where the configuration does not say it.
    own: String,
}

#[derive(Template)]
#[template(path = "add.html")]
struct Start {
    frame: Frame,
    domain: String,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "add_look.html")]
struct Look {
    frame: Frame,
    domain: String,
    shown: Option<check::Shown>,
    is_listed: bool,
    next: String,
}

#[derive(Template)]
#[template(path = "add_terms.html")]
struct TermsOf {
    frame: Frame,
    domain: String,
    form: Form,
    wrong: Vec<Wrong>,
}

#[derive(Template)]
#[template(path = "add_send.html")]
struct Send {
    frame: Frame,
    domain: String,
    own: String,
    error: Option<String>,
    text: Option<String>,
    next: String,
}

#[derive(Template)]
#[template(path = "add_watch.html")]
struct Watch {
    frame: Frame,
    domain: String,
    shown: Option<ShownPartner>,
}

/// Step 1: the domain.
pub(super) async fn start(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(step): Query<Step>,
) -> Response {
    html(&Start { frame: frame(&pages, &visitor), domain: step.domain, error: None })
}

/// Begins to look at what DNS and their servers say.
pub(super) async fn begin(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Sent(step): Sent<Step>,
) -> Result<Response, Problem> {
    let domain = match spelling::domain(step.domain.trim()) {
        Ok(domain) => domain,
        Err(misspelt) => {
            let (frame, error) = (frame(&pages, &visitor), Some(misspelt.of(&step.domain)));
            let form = Start { frame, domain: step.domain, error };
            return Ok(html_with(StatusCode::UNPROCESSABLE_ENTITY, &form));
        }
    };
    let check = check::start(&pages, domain.clone(), author.by)?;
    let query = [("domain", domain.to_string()), ("check", check)];
    Ok(Redirect::to(&link("/page/add/look", &query)).into_response())
}

/// Step 2: what is found.
pub(super) async fn look(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(step): Query<Step>,
) -> Result<Response, Problem> {
    let domain = named(&step.domain)?;
    let job = pages.jobs.find(&step.check).filter(|job| job.domain == domain);
    let shown = job.map(|job| job.shown());
    let frame = frame(&pages, &visitor);
    let is_under_way = shown.as_ref().is_some_and(|it| it.ended.is_none());
    let query = [("domain", domain.to_string()), ("check", step.check)];
    Ok(html(&Look {
        frame: if is_under_way { frame.again(2, &link("/page/add/look", &query)) } else { frame },
        is_listed: pages.api.list.entry(&domain).is_some(),
        next: link("/page/add/terms", &query),
        domain: domain.to_string(),
        shown,
    }))
}

/// Step 3: on what terms.
pub(super) async fn terms(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(step): Query<Step>,
) -> Result<Response, Problem> {
    let domain = named(&step.domain)?;
    if pages.api.list.entry(&domain).is_some() {
        return Ok(Redirect::to(&format!("/page/partners/{domain}/edit")).into_response());
    }
    let form = Form::of(&Terms::default(), None);
    let (frame, domain) = (frame(&pages, &visitor), domain.to_string());
    Ok(html(&TermsOf { frame, domain, form, wrong: Vec::new() }))
}

/// Writes the entry, which is to be new.
pub(super) async fn write(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Query(step): Query<Step>,
    Sent(form): Sent<Form>,
) -> Result<Response, Problem> {
    let domain = named(&step.domain)?;
    let change = match form.read(&Terms::default()) {
        Ok(change) => change,
        Err(wrong) => {
            let (frame, domain) = (frame(&pages, &visitor), domain.to_string());
            let terms = TermsOf { frame, domain, form, wrong };
            return Ok(html_with(StatusCode::UNPROCESSABLE_ENTITY, &terms));
        }
    };
    let to = link("/page/add/send", &[("domain", domain.to_string())]);
    let text = format!("{domain} is on the list.");
    entry::write(&pages, &visitor, domain, form, change, author, (&to, text)).await
}

/// Step 4: what to send the other side.
pub(super) async fn send(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(step): Query<Step>,
) -> Result<Response, Problem> {
    let domain = named(&step.domain)?;
    let settings = &pages.tester.settings;
    let (mut own, mut error) = (settings.own_domain.clone(), None);
    // Whoever may only read has nothing looked up that the configuration does not name.
    if !step.own.trim().is_empty() && visitor.caller.role() == Role::Admin {
        match spelling::domain(step.own.trim()) {
            Ok(domain) => own = Some(domain),
            Err(misspelt) => error = Some(misspelt.of(&step.own)),
        }
    }
    let text = match &own {
        Some(own) if error.is_none() => {
            let ca = settings.own_ca.as_ref().map(|it| it.content.as_str());
            Some(letter(&domain, own, &pages.tester.dns.hosts(own).await, ca))
        }
        _ => None,
    };
    let own = own.map(|own| own.to_string()).unwrap_or(step.own);
    let next = link("/page/add/watch", &[("domain", domain.to_string())]);
    let (frame, domain) = (frame(&pages, &visitor), domain.to_string());
    Ok(html(&Send { frame, domain, own, error, text, next }))
}

/// Step 5: the first request.
pub(super) async fn watch(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Query(step): Query<Step>,
) -> Result<Response, Problem> {
    let domain = named(&step.domain)?;
    let shown = shown(&pages.api, domain.clone()).await.ok();
    let has_come = shown.as_ref().is_some_and(|it| it.partner.last_request.is_some());
    let frame = frame(&pages, &visitor);
    let here = link("/page/add/watch", &[("domain", domain.to_string())]);
    let frame = if has_come { frame.live() } else { frame.again(5, &here) };
    Ok(html(&Watch { frame, domain: domain.to_string(), shown }))
}

/// What the other side needs of us.
fn letter(
    domain: &Domain,
    own: &Domain,
    found: &fedgate_discovery::Discovered,
    ca: Option<&str>,
) -> String {
    let mut text = format!("Our backend domain: {own}\n\n");
    match &found.outcome {
        Outcome::Hosts(hosts) => {
            text.push_str("In DNS, where your Fedgate or federator looks for us:\n");
            for it in &found.targets {
                let line = format!(
                    "  _wire-server-federator._tcp.{own}. IN SRV {} {} {} {}.\n",
                    it.priority, it.weight, it.port, it.host
                );
                text.push_str(&line);
            }
            text.push_str("\nOur infrastructure domain, which our certificates carry:\n");
            for host in hosts {
                // Writing to a string does not fail, here and below.
                let _ = writeln!(text, "  {host}");
            }
        }
        Outcome::Failure(failure) => {
            let _ = writeln!(text, "NOT READY: our own SRV record is not found: {}", failure.message);
        }
    }
    let _ = write!(
        text,
        "\nPlease allow {own} on your side; with Fedgate:\n  fedgate domain add {own}\n\n\
         We have allowed {domain}. Your SRV record is to name the host that your certificates carry:\n  \
         _wire-server-federator._tcp.{domain}. IN SRV 0 10 443 <your infrastructure domain>.\n"
    );
    match ca {
        Some(pem) => {
            let _ = write!(text, "\nThe authority of our certificates, for you to trust:\n{pem}");
        }
        None => text.push_str("\nThe authority of our certificates: <its certificate, in PEM>\n"),
    }
    text
}

fn frame(pages: &Pages, visitor: &Visitor) -> Frame {
    Frame::new(pages, visitor, Section::Partners, "Add a partner")
}

fn named(text: &str) -> Result<Domain, Problem> {
    spelling::domain(text.trim()).map_err(|misspelt| Problem::bad_request(misspelt.of(text)))
}

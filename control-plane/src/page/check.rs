//! Check: the tester, run here as `fedgate check` runs it, a few at a time. What came out is kept for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form as Sent};
use fedgate_check::certificate::NO_BUNDLE;
use fedgate_check::certificate::RevocationLists;
use fedgate_check::{Check, Finding, Ledger, Outcome, Progress, Severity, peer};
use fedgate_policy::{Domain, UnixTime};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::frame::{Frame, Section, html, html_with, link};
use super::session::Visitor;
use super::{Pages, Settings};
use crate::api::extract::By;
use crate::api::problem::Problem;
use crate::auth::random;
use crate::config::{Config, ConfigErrors};
use crate::contract::Kind;
use crate::spelling;

/// How many run at the same time, and how many there are at most, those that wait and those that are kept.
const AT_ONCE: usize = 3;
const MOST: usize = 50;
/// For how long one step may take, and all of it.
const STEP: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(120);
/// For how long what came out is kept.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// With what is tested.
pub(crate) struct Tester {
    pub(super) settings: Settings,
    pub(super) dns: peer::Dns,
}

/// The runs.
pub(super) struct Jobs {
    all: Mutex<VecDeque<Arc<Job>>>,
    room: Arc<Semaphore>,
}

/// A run.
pub(super) struct Job {
    id: String,
    pub(super) domain: Domain,
    by: Arc<str>,
    begun: Instant,
    at: SystemTime,
    state: Mutex<Progressed>,
}

/// How far it has come.
#[derive(Clone, Default)]
struct Progressed {
    now: Option<String>,
    checks: Vec<Check>,
    ended: Option<&'static str>,
}

/// What came out, for a template.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) rows: Vec<Row>,
    pub(super) now: Option<String>,
    /// Empty where it ended as it should.
    pub(super) ended: Option<&'static str>,
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) passed: usize,
    pub(super) not_looked_at: usize,
}

/// One thing that was looked at.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) section: String,
    pub(super) claim: String,
    pub(super) mark: &'static str,
    pub(super) class: &'static str,
    pub(super) seen: String,
    pub(super) more: Option<More>,
}

/// More of a finding.
#[derive(Clone)]
pub(super) struct More {
    pub(super) code: &'static str,
    pub(super) expected: &'static str,
    pub(super) cure: &'static str,
}

#[derive(Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    domain: String,
}

#[derive(Template)]
#[template(path = "checks.html")]
struct Form {
    frame: Frame,
    domain: String,
    error: Option<String>,
    jobs: Vec<Listed>,
    has_trust: bool,
}

struct Listed {
    id: String,
    domain: String,
    by: String,
    at: String,
    shown: Shown,
}

#[derive(Template)]
#[template(path = "check.html")]
struct Report {
    frame: Frame,
    domain: String,
    by: String,
    at: String,
    shown: Shown,
}

/// The form, and what was looked at lately.
pub(super) async fn form(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    axum::extract::Query(asked): axum::extract::Query<Asked>,
) -> Response {
    html(&of_form(&pages, &visitor, asked.domain, None))
}

/// Begins a run.
pub(super) async fn begin(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    By(author): By,
    Sent(Asked { domain: text }): Sent<Asked>,
) -> Result<Response, Problem> {
    let domain = match spelling::domain(text.trim()) {
        Ok(domain) => domain,
        Err(misspelt) => {
            let error = Some(misspelt.of(&text));
            let form = of_form(&pages, &visitor, text, error);
            return Ok(html_with(StatusCode::UNPROCESSABLE_ENTITY, &form));
        }
    };
    let id = start(&pages, domain, author.by)?;
    Ok(Redirect::to(&format!("/page/checks/{id}")).into_response())
}

/// What came out, as far as it has.
pub(super) async fn report(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let Some(job) = pages.jobs.find(&id) else {
        return Err(Problem::new(Kind::NoSuchResource, "this check is not kept any more: run it again"));
    };
    let shown = job.shown();
    let frame = Frame::new(&pages, &visitor, Section::Check, format!("Check of {}", job.domain));
    let frame =
        if shown.ended.is_none() { frame.again(2, &format!("/page/checks/{id}")) } else { frame };
    let (domain, by, at) = (job.domain.to_string(), job.by.to_string(), job.at());
    Ok(html(&Report { frame, domain, by, at, shown }))
}

fn of_form(pages: &Pages, visitor: &Visitor, domain: String, error: Option<String>) -> Form {
    let jobs = pages.jobs.all().into_iter().rev().take(20).map(|job| Listed {
        id: job.id.clone(),
        domain: job.domain.to_string(),
        by: job.by.to_string(),
        at: job.at(),
        shown: job.shown(),
    });
    Form {
        frame: Frame::new(pages, visitor, Section::Check, "Check"),
        domain,
        error,
        jobs: jobs.collect(),
        has_trust: pages.tester.settings.trust.is_some(),
    }
}

/// Begins a run; its id.
pub(super) fn start(pages: &Pages, domain: Domain, by: Arc<str>) -> Result<String, Problem> {
    let id = random().map_err(|error| Problem::new(Kind::NotReady, error.to_string()))?;
    let (begun, at, state) = (Instant::now(), SystemTime::now(), Mutex::default());
    tracing::info!(%by, %domain, "a check is begun from the page");
    let job = Arc::new(Job { id: id.clone(), domain, by, begun, at, state });
    if !pages.jobs.take(job.clone(), Instant::now()) {
        let detail = "too many checks are waiting: wait until some have ended";
        return Err(Problem::new(Kind::TooManyRequests, detail));
    }
    let (tester, room) = (pages.tester.clone(), pages.jobs.room.clone());
    tokio::spawn(async move {
        // It is never closed.
        let Ok(_place) = room.acquire().await else { return };
        let running = job.clone();
        let run = async move { tokio::time::timeout(WHOLE, tester.run(&running)).await };
        // A task of its own, so that a check ends however it ends.
        let ended = match tokio::spawn(run).await {
            Ok(Ok(())) => "",
            Ok(Err(_)) => "it took too long: the rest was not looked at",
            Err(_) => "it broke off, and the log says why: the rest was not looked at",
        };
        let mut state = job.state();
        state.now = None;
        state.ended = Some(ended);
    });
    Ok(id)
}

// === impl Tester ===

impl Tester {
    /// By the servers and settings of discovery; none where there is to be no page.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, ConfigErrors> {
        let Some(settings) = config.page.clone() else { return Ok(None) };
        let dns =
            peer::Dns::new(&config.servers, STEP, config.private_addresses, &config.dnssec.anchors);
        let dns = dns.map_err(|error| ConfigErrors::one(error.to_string()))?;
        Ok(Some(Self { settings, dns }))
    }

    async fn run(&self, job: &Job) {
        let mut tell = |progress: Progress<'_>| {
            let mut state = job.state();
            match progress {
                Progress::Begins(section, claim) => state.now = Some(format!("{section}: {claim}?")),
                Progress::Ended(check) => {
                    state.now = None;
                    state.checks.push(check.clone());
                }
            }
        };
        let mut ledger = Ledger::new(&mut tell);
        let lists = RevocationLists::default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let question = peer::Question {
            domain: &job.domain,
            own_domain: self.settings.own_domain.as_ref(),
            // That is Envoy's, and we have no key of it.
            identity: None,
            trust: self.settings.trust.as_ref().map(|it| &*it.content).ok_or(NO_BUNDLE),
            lists: &lists,
            patience: STEP,
            now: UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
        };
        peer::look(&mut ledger, &self.dns, &question).await;
    }
}

// === impl Jobs ===

impl Default for Jobs {
    fn default() -> Self {
        Self { all: Mutex::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Jobs {
    /// Whether there is room for one more; those that have ended give way.
    fn take(&self, job: Arc<Job>, now: Instant) -> bool {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|it| !it.has_ended() || now.saturating_duration_since(it.begun) < KEPT);
        if all.len() >= MOST {
            let Some(place) = all.iter().position(|it| it.has_ended()) else { return false };
            all.remove(place);
        }
        all.push_back(job);
        true
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Job>> {
        self.all().into_iter().find(|it| it.id == id)
    }

    fn all(&self) -> Vec<Arc<Job>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

// === impl Job ===

impl Job {
    fn state(&self) -> MutexGuard<'_, Progressed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.state().ended.is_some()
    }

    fn at(&self) -> String {
        humantime::format_rfc3339_seconds(self.at).to_string()
    }

    pub(super) fn shown(&self) -> Shown {
        let Progressed { now, checks, ended } = self.state().clone();
        let rows: Vec<_> = checks.iter().flat_map(rows).collect();
        let count = |mark: &str| rows.iter().filter(|row| row.mark == mark).count();
        Shown {
            errors: count("error"),
            warnings: count("warning"),
            passed: count("ok"),
            not_looked_at: count("not looked at"),
            rows,
            now,
            ended,
        }
    }
}

fn rows(check: &Check) -> Vec<Row> {
    let row = |mark, class, seen: &str, more| Row {
        section: check.section.clone(),
        claim: check.claim.clone(),
        mark,
        class,
        seen: seen.to_owned(),
        more,
    };
    match &check.outcome {
        Outcome::Passed { seen } => vec![row("ok", "good", seen, None)],
        Outcome::NotLookedAt { because } => {
            vec![row("not looked at", "quiet", &format!("because {because}"), None)]
        }
        Outcome::Found { findings } => findings
            .iter()
            .map(|Finding { code, seen }| {
                let class = match code.severity {
                    Severity::Info => "quiet",
                    Severity::Warning => "warning",
                    Severity::Error => "trouble",
                };
                let more = More { code: code.name, expected: code.expected, cure: code.cure };
                row(code.severity.name(), class, seen, Some(more))
            })
            .collect(),
    }
}

// === impl Shown ===

impl Shown {
    /// How many of what, in a line.
    pub(super) fn summary(&self) -> String {
        let Self { errors, warnings, passed, not_looked_at, .. } = self;
        format!("{errors} errors, {warnings} warnings; {passed} passed, {not_looked_at} not looked at")
    }
}

// === impl Listed ===

impl Listed {
    fn to(&self) -> String {
        link(&format!("/page/checks/{}", self.id), &[])
    }
}

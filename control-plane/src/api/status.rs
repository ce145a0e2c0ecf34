//! The admin API: how it stands with all of it, gathered when it is asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use fedgate_allow_list::terms::{Action, Mode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::findings::findings;
use super::partners::{Partner, seconds_now, walk};
use super::problem::Problem;
use crate::contract::{
    Conflict, EnvoyStream, FilterOfEnvoy, Knock, PartnerInList, RefusedCalls, StatusBody, StatusOfBrig,
    StatusOfDns, StatusOfEnd, StatusOfEnvoys, StatusOfFile, StatusOfList, StatusOfStore,
};
use crate::list_file::ListFile;
use crate::partners::{Home, Seen, Severity, Side, State as Standing, Worker};
use crate::{moment, startup};

/// How soon an end has to be, to be told.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most that are told of each: Envoys and ends; partners in trouble, of each state; knocks and refused calls.
const MANY: usize = 100;
const SOME: usize = 20;

/// The guarded route.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(overview))
}

/// How it stands with all of it: what needs somebody, worst first, and what that rests on. Whether the store can be
/// written to is tried.
#[utoipa::path(
    get, path = "/v1/status", tag = "partners",
    responses((status = 200, body = StatusBody)),
)]
async fn overview(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(gather(&api).await?)))
}

/// How it stands with all of it.
pub(crate) async fn gather(api: &Api) -> Result<StatusBody, Problem> {
    let now = Instant::now();
    let mut survey = Survey::default();
    walk(api, None, |of| {
        survey.add(of);
        true
    })
    .await;
    let Survey { counts, troubled, certificates } = survey;
    let dns = api.verdicts.dns();
    let mut status = StatusBody {
        version: startup::VERSION.to_owned(),
        started_at: moment::of(api.started, now),
        findings: Vec::new(),
        store: store(api).await?,
        list: list(api),
        dns: StatusOfDns {
            failing_since: dns.as_ref().map(|dns| moment::of(dns.since, now)),
            cause: dns.map(|dns| dns.cause),
        },
        envoys: envoys(api, now),
        partners: counts.into_iter().map(|(state, count)| (state.name().to_owned(), count)).collect(),
        knocking: knocking(api, now),
        ends: ends(api, certificates),
        refused_calls: refused_calls(api, now),
        brig: brig(api),
    };
    let troubled: Vec<_> = troubled.into_values().flatten().collect();
    status.findings = findings(&status, &troubled);
    Ok(status)
}

/// What is seen on a walk along all partners.
#[derive(Default)]
struct Survey {
    counts: BTreeMap<Standing, usize>,
    /// Some of each state, the worst first.
    troubled: BTreeMap<(Severity, Standing), Vec<PartnerInList>>,
    /// Whose certificate ends soon, and when.
    certificates: Vec<(i64, String)>,
}

impl Survey {
    /// Words are made for those alone that are told of: there may be very many others.
    fn add(&mut self, of: &Partner) {
        let judged = of.judged();
        let state = judged.state;
        let count = self.counts.entry(state).or_default();
        *count = count.saturating_add(1);
        let certificate = of.seen.as_ref().and_then(|seen| seen.certificate.as_ref());
        if let Some((certificate, _)) = certificate.filter(|(it, _)| is_soon(it.not_after.0)) {
            self.certificates.push((certificate.not_after.0, of.domain.to_string()));
        }
        let Some(severity) = judged.severity() else { return };
        let some = self.troubled.entry((severity, state)).or_default();
        if some.len() < MANY {
            some.push(of.told());
        }
    }
}

async fn store(api: &Api) -> Result<StatusOfStore, Problem> {
    let health = api.list.health().await.map_err(|error| Problem::from_store(&error))?;
    Ok(StatusOfStore {
        place: health.place,
        octets: health.octets,
        schema: health.schema,
        writable: health.trouble.is_none(),
        cause: health.trouble.map(|error| error.to_string()),
    })
}

pub(crate) fn list(api: &Api) -> StatusOfList {
    api.list.look(|state| {
        let count = |is_it: &dyn Fn(Action, Mode, bool) -> bool| {
            let entries = state.domains.values();
            entries.filter(|it| is_it(it.terms.action, it.terms.mode, it.lapsed)).count()
        };
        StatusOfList {
            strategy: state.strategy.name().to_owned(),
            revision: state.revision,
            allowed: count(&|action, _, lapsed| action == Action::Allow && !lapsed),
            shadowed: count(&|action, mode, lapsed| {
                action == Action::Allow && mode == Mode::Shadow && !lapsed
            }),
            blocked: count(&|action, _, lapsed| action == Action::Block && !lapsed),
            expired: count(&|_, _, lapsed| lapsed),
            file: api.list_file.as_ref().map(file),
        }
    })
}

fn file(file: &ListFile) -> StatusOfFile {
    let report = file.report();
    let (failing_since, cause) = report.failing.unzip();
    let conflict_count = report.conflicts.len();
    let told = report.conflicts.into_iter().take(SOME);
    StatusOfFile {
        path: report.path.display().to_string(),
        entries: report.entries,
        conflicts: told.map(|(domain, by)| Conflict { domain, by: by.to_string() }).collect(),
        conflict_count,
        failing_since: failing_since.map(|at| humantime::format_rfc3339_seconds(at).to_string()),
        cause,
    }
}

fn envoys(api: &Api, now: Instant) -> StatusOfEnvoys {
    let streams = api.partners.streams.all();
    let stream_count = streams.len();
    let streams = streams.into_iter().take(MANY).map(|it| EnvoyStream {
        by: it.by.to_string(),
        address: it.address.map(|it| it.to_string()),
        node: it.says.map(|it| it.to_string()),
        since: moment::of(it.since, now),
    });
    let mut homes: BTreeMap<Home, Vec<Worker>> = BTreeMap::new();
    for (home, worker) in api.partners.workers(now) {
        homes.entry(home).or_default().push(worker);
    }
    let mut filters: Vec<_> =
        homes.into_iter().map(|(home, workers)| filter_of(&home, &workers, now)).collect();
    filters.sort_by_key(|it| std::cmp::Reverse(it.silent.saturating_add(it.behind)));
    filters.truncate(MANY);
    StatusOfEnvoys {
        streams: streams.collect(),
        stream_count,
        connected: stream_count > 0 || api.partners.polls.is_attended(now),
        polls: api.partners.polls.count(),
        filters,
    }
}

fn filter_of(home: &Home, workers: &[Worker], now: Instant) -> FilterOfEnvoy {
    let mut versions: Vec<_> = workers.iter().map(|it| it.version.clone()).collect();
    versions.sort_unstable();
    versions.dedup();
    let speaking = || workers.iter().filter(|it| !it.is_silent(now));
    let ages: Option<Vec<_>> = workers.iter().map(Worker::age).collect();
    let age = ages.and_then(|ages| ages.into_iter().max());
    FilterOfEnvoy {
        by: home.by.to_string(),
        address: home.address.map(|it| it.to_string()),
        role: home.side.name().to_owned(),
        versions,
        workers: workers.len(),
        silent: workers.len().saturating_sub(speaking().count()),
        behind: speaking().filter(|it| it.is_behind(now)).count(),
        last: moment::of(workers.iter().map(|it| it.last).min().unwrap_or(now), now),
        age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn knocking(api: &Api, now: Instant) -> Vec<Knock> {
    let refused = |seen: &Seen| {
        let ends = seen
            .ends
            .iter()
            .filter(|((side, label), _)| *side == Side::Ingress && label.name() == "federation-denied");
        ends.map(|(_, end)| end.clone()).next()
    };
    let all = api.partners.strangers().into_iter();
    let knocks = all.filter_map(|(domain, seen)| Some((domain, refused(&seen)?)));
    knocks
        .take(SOME)
        .map(|(domain, end)| Knock {
            listed: api.list.entry(&domain).is_some(),
            domain,
            count: end.count,
            last: moment::of(end.last, now),
            presented: end.certificate.map(|it| it.names.clone()),
        })
        .collect()
}

fn ends(api: &Api, certificates: Vec<(i64, String)>) -> Vec<StatusOfEnd> {
    let mut ends: Vec<_> =
        certificates.into_iter().map(|(at, name)| (at, "partner-certificate", name)).collect();
    api.list.look(|state| {
        for (domain, entry) in state.domains.iter().filter(|(_, entry)| !entry.lapsed) {
            let at = entry.terms.expires_at.map(|at| seconds(at.0));
            ends.extend(at.map(|at| (at, "entry", domain.to_string())));
        }
    });
    for token in api.guard.tokens().all().iter() {
        let at = token.expires_at().map(seconds);
        ends.extend(at.map(|at| (at, "token", token.token.name.to_string())));
    }
    let listeners = api.certificates.ends().into_iter();
    ends.extend(listeners.map(|(_, file, at)| (at.0, "listener-certificate", file)));
    ends.retain(|(at, ..)| is_soon(*at));
    ends.sort_unstable();
    ends.truncate(MANY);
    let told = |(at, kind, name): (i64, &str, String)| StatusOfEnd {
        kind: kind.to_owned(),
        name,
        at: fedgate_policy::UnixTime(at).to_string(),
        ended: at < seconds_now(),
    };
    ends.into_iter().map(told).collect()
}

fn refused_calls(api: &Api, now: Instant) -> Vec<RefusedCalls> {
    let recent = api.guard.failures().recent(now).into_iter().take(SOME);
    recent
        .map(|it| RefusedCalls {
            network: it.network.to_string(),
            listener: it.listener.name().to_owned(),
            reason: it.reason,
            times: it.times,
            last: moment::of(it.last, now),
        })
        .collect()
}

fn brig(api: &Api) -> Option<StatusOfBrig> {
    let report = api.brig.as_ref()?.report();
    let in_step = report.is_in_step();
    let (failing_since, cause) = report.failing.unzip();
    Some(StatusOfBrig {
        mode: report.mode.name().to_owned(),
        in_step,
        differing: report.drift.len(),
        failing_since: failing_since.map(|at| humantime::format_rfc3339_seconds(at).to_string()),
        cause,
    })
}

fn is_soon(at: i64) -> bool {
    let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
    at < seconds_now().saturating_add(soon)
}

fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

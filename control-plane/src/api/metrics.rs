//! What monitoring reads: gathered when it asks, from what is there.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use fedgate_allow_list::Role;
use fedgate_allow_list::terms::Action;
use fedgate_policy::Strategy;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::partners::walk;
use crate::auth::{Accepted, Source};
use crate::brig::{Kind as Differs, Report};
use crate::listener::Listener;
use crate::partners::{Sense, Severity, Side, Totals};
use crate::telemetry::{self, Facts, Format};
use crate::{moment, startup};

/// The guarded route.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// The metrics, in Prometheus' text format; as OpenMetrics, if `Accept` names that.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = str)))]
async fn metrics(
    State(api): State<Api>,
    headers: HeaderMap,
) -> ([(HeaderName, &'static str); 1], String) {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept);
    let page = telemetry::page(&api.telemetry, facts(&api).await, format);
    ([(header::CONTENT_TYPE, format.content_type())], page)
}

async fn facts(api: &Api) -> Facts {
    let partners = partners(api).await;
    let (entries, strategy, revision) = api.list.look(|state| {
        let entries = state.domains.values().map(|it| (action(it.terms.action), it.lapsed));
        let all = [Action::Allow, Action::Block].map(action);
        let all = all.into_iter().flat_map(|action| [false, true].map(|lapsed| (action, lapsed)));
        (tally(all, entries), state.strategy, state.revision)
    });
    let (now, tokens) = (SystemTime::now(), api.guard.tokens().all());
    let tokens =
        tokens.iter().filter(|it| !it.has_expired(now)).map(|it| (it.token.role.name(), source(it)));
    let roles = Role::ALL.into_iter().map(Role::name);
    let all = roles.flat_map(|role| ["configuration", "store"].map(|source| (role, source)));
    let (cache, feed) = api.verdicts.facts().await;
    let listener = |it: Listener| it.name();
    let connections = Listener::ALL.map(|it| (listener(it), api.crowds.of(it).facts()));
    let end = |it| Some((listener(it), api.certificates.of(it)?.end()?.0));
    Facts {
        version: startup::VERSION,
        entries,
        strategies: Strategy::ALL.into_iter().map(|it| (it.name(), it == strategy)).collect(),
        revision,
        dns_failing: api.verdicts.dns().map(|dns| moment::wall(dns.since, Instant::now())),
        refused: api.guard.failures().count(),
        limited: api.rates.refused(),
        tokens: tally(all, tokens),
        cache,
        feed,
        xds: api.targets.facts(),
        connections: connections.into(),
        certificates: Listener::ALL.into_iter().filter_map(end).collect(),
        partners,
        brig: api.brig.as_ref().map(|brig| stands(&brig.report())),
        list_file: api.list_file.as_ref().map(|file| {
            let report = file.report();
            telemetry::ListFile { is_up: report.failing.is_none(), conflicts: report.conflicts.len() }
        }),
    }
}

async fn partners(api: &Api) -> telemetry::Partners {
    let Totals { reports, ends, .. } = api.partners.totals();
    let mut told = telemetry::Partners { reports, ..telemetry::Partners::default() };
    for ((side, label), count) in ends {
        let is_refusal = label.sense() == Sense::Refused || label.sense() == Sense::Aside;
        let of = match (label.sense(), side) {
            // What passes in shadow is no refusal.
            (Sense::Passed | Sense::Spared, _) => continue,
            (_, Side::Egress) if !is_refusal => &mut told.failed_calls,
            (_, Side::Ingress | Side::Egress) => &mut told.refusals,
        };
        let sum = of.entry(label.name()).or_default();
        *sum = sum.saturating_add(count);
    }
    walk(api, None, |of| {
        let certificate = of.seen.as_ref().and_then(|seen| seen.certificate.as_ref());
        let (certificate, judged) = (certificate.map(|(it, _)| it.not_after.0), of.judged());
        told.listed.push(telemetry::Partner {
            domain: of.domain.as_str().to_owned(),
            state: judged.state.name(),
            is_trouble: judged.severity() == Some(Severity::Trouble),
            certificate,
        });
        true
    })
    .await;
    let now = Instant::now();
    for (home, worker) in api.partners.workers(now) {
        let age =
            now.saturating_duration_since(worker.last).saturating_add(worker.age().unwrap_or_default());
        told.feed_age = told.feed_age.max(Some(age.as_secs()));
        let count = told.workers.entry((home.side.name(), worker.version)).or_default();
        *count = count.saturating_add(1);
    }
    told
}

fn stands(report: &Report) -> telemetry::Brig {
    let kinds = report.drift.iter().map(|it| it.kind.name());
    let mut drift = tally(Differs::ALL.map(Differs::name), kinds);
    drift.insert("strange", report.strange.len());
    let (ours, brigs) = &report.strategies;
    telemetry::Brig {
        mode: report.mode.name(),
        is_up: report.failing.is_none() && report.last_success.is_some(),
        is_in_step: report.is_in_step(),
        last_success: report.last_success,
        rows: report.rows,
        drift,
        still_listed: report.still_listed.len(),
        doubted: report.doubt.map_or(0, |(gone, _)| gone),
        strategy_differs: brigs.as_deref().is_some_and(|brigs| brigs != *ours),
    }
}

/// How often each was seen; also those that were not.
fn tally<K: Ord>(
    all: impl IntoIterator<Item = K>,
    seen: impl IntoIterator<Item = K>,
) -> BTreeMap<K, usize> {
    let mut tally: BTreeMap<_, usize> = all.into_iter().map(|it| (it, 0)).collect();
    for it in seen {
        let count = tally.entry(it).or_default();
        *count = count.saturating_add(1);
    }
    tally
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Block => "block",
    }
}

fn source(token: &Accepted) -> &'static str {
    match token.source {
        Source::Configuration => "configuration",
        Source::Store { .. } => "store",
    }
}

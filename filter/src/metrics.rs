//! What a worker counts, in Envoy's statistics: `wasmcustom.fedgate_…`.
//!
//! Names are fixed; nothing that a request says becomes part of one. Counts are gathered and handed
//! over on a tick, so that a request pays for no hostcall.

use std::cell::Cell;

use fedgate_policy::{Refusal, RemoteFailure};

use crate::host::{self, Metric, Now};
use crate::table::{Freshness, Table};

/// Every refusal's label, and every failure's of a call that went out.
const LABELS: [&str; 16] = [
    "no-client-certificate",
    "untrusted-certificate",
    "certificate-parse-error",
    "certificate-expired",
    "no-origin-domain",
    "domain-parse-error",
    "federation-denied",
    "invalid-domain",
    "discovery-failure",
    "authentication-failure",
    "verdict-unavailable",
    "invalid-endpoint",
    "federation-connection-refused",
    "federation-tls-error",
    "federation-http2-error",
    "federation-remote-error",
];

/// What is counted besides refusals.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    /// Requests permitted.
    Permits,
    /// Questions about single domains.
    Lookups,
    /// Pages of the feed.
    FeedPages,
    /// Polls of the feed that brought no page.
    FeedFailures,
    /// Whole tables that the feed began.
    FeedResets,
    /// Answers of one control plane after those of another, with which it takes turns.
    DisputedAnswers,
}

/// A worker's counts, and the gauges of its table.
pub(crate) struct Metrics {
    permits: Gathered,
    lookups: Gathered,
    feed_pages: Gathered,
    feed_failures: Gathered,
    feed_resets: Gathered,
    disputed_answers: Gathered,
    refusals: [(&'static str, Gathered); LABELS.len()],
    feed_state: Option<Metric>,
    feed_age_ms: Option<Metric>,
    table_domains: Option<Metric>,
}

struct Gathered {
    metric: Option<Metric>,
    count: Cell<u32>,
}

// === impl Metrics ===

impl Metrics {
    /// Makes all metrics known to Envoy.
    pub(crate) fn define() -> Self {
        Self {
            permits: Gathered::new("fedgate_permits"),
            lookups: Gathered::new("fedgate_lookups"),
            feed_pages: Gathered::new("fedgate_feed_pages"),
            feed_failures: Gathered::new("fedgate_feed_failures"),
            feed_resets: Gathered::new("fedgate_feed_resets"),
            disputed_answers: Gathered::new("fedgate_disputed_answers"),
            refusals: LABELS.map(|label| {
                (label, Gathered::new(&format!("fedgate_refusals_{}", label.replace('-', "_"))))
            }),
            feed_state: host::gauge("fedgate_feed_state"),
            feed_age_ms: host::gauge("fedgate_feed_age_ms"),
            table_domains: host::gauge("fedgate_table_domains"),
        }
    }

    /// Counts one.
    pub(crate) fn count(&self, counter: Counter) {
        match counter {
            Counter::Permits => &self.permits,
            Counter::Lookups => &self.lookups,
            Counter::FeedPages => &self.feed_pages,
            Counter::FeedFailures => &self.feed_failures,
            Counter::FeedResets => &self.feed_resets,
            Counter::DisputedAnswers => &self.disputed_answers,
        }
        .add();
    }

    /// Counts a refusal by its label.
    pub(crate) fn count_refusal(&self, refusal: &Refusal) {
        self.count_label(refusal.label());
    }

    /// Counts a call that went out and failed, by its label.
    pub(crate) fn count_failure(&self, failure: &RemoteFailure) {
        self.count_label(failure.label());
    }

    fn count_label(&self, label: &str) {
        if let Some((_, gathered)) = self.refusals.iter().find(|(known, _)| *known == label) {
            gathered.add();
        }
    }

    /// Hands over what was gathered, and how the table stands at `now`.
    pub(crate) fn flush(&self, table: &Table, now: Now) {
        let millis = u64::try_from(table.age(now).as_millis());
        host::record(self.feed_state, number(table.freshness(now)));
        host::record(self.feed_age_ms, millis.unwrap_or(u64::MAX));
        host::record(self.table_domains, u64::try_from(table.len()).unwrap_or(u64::MAX));
        let counts = [&self.permits, &self.lookups, &self.feed_pages, &self.feed_failures];
        let of_speakers = [&self.feed_resets, &self.disputed_answers];
        let counts = counts.into_iter().chain(of_speakers);
        for gathered in counts.chain(self.refusals.iter().map(|(_, gathered)| gathered)) {
            host::increment(gathered.metric, gathered.count.take());
        }
    }
}

/// A state's number, which dashboards and alerts are built on.
fn number(freshness: Freshness) -> u64 {
    match freshness {
        Freshness::Warming => 0,
        Freshness::Fresh => 1,
        Freshness::Stale => 2,
        Freshness::TooStale => 3,
    }
}

// === impl Gathered ===

impl Gathered {
    fn new(name: &str) -> Self {
        Self { metric: host::counter(name), count: Cell::new(0) }
    }

    fn add(&self) {
        self.count.set(self.count.get().saturating_add(1));
    }
}

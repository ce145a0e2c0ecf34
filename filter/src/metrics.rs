//! What a worker counts, in Envoy's statistics: `wasmcustom.fedgate.ROLE.…`.
//!
//! Names are fixed, but for those of listed domains; nothing that a request says becomes part of one. Counts
//! are gathered and handed over on a tick, so that a request pays for no hostcall.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fedgate_policy::{Domain, Refusal, RemoteFailure};

use crate::board::Board;
use crate::connection::Connection;
use crate::host::{self, Metric, Now, WallClock};
use crate::partners::{Partner, Partners};
use crate::table::Table;

/// To what a request or a call comes: the kind, and the label where there is one.
const ENDS: [(&str, &str); 17] = [
    ("permits", ""),
    ("refusals", "no-client-certificate"),
    ("refusals", "untrusted-certificate"),
    ("refusals", "certificate-parse-error"),
    ("refusals", "certificate-expired"),
    ("refusals", "no-origin-domain"),
    ("refusals", "domain-parse-error"),
    ("refusals", "federation-denied"),
    ("refusals", "invalid-domain"),
    ("refusals", "discovery-failure"),
    ("refusals", "authentication-failure"),
    ("refusals", "verdict-unavailable"),
    ("refusals", "invalid-endpoint"),
    ("failures", "federation-connection-refused"),
    ("failures", "federation-tls-error"),
    ("failures", "federation-http2-error"),
    ("failures", "federation-remote-error"),
];

/// The label of a refusal that reads so.
pub(crate) fn label_of_refusal(text: &str) -> Option<&'static str> {
    ENDS.iter().find(|(kind, label)| *kind == "refusals" && *label == text).map(|(_, label)| *label)
}

/// What is counted besides.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
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
    role: &'static str,
    ends: [Gathered; ENDS.len()],
    lookups: Gathered,
    feed_pages: Gathered,
    feed_failures: Gathered,
    feed_resets: Gathered,
    disputed_answers: Gathered,
    partners: RefCell<Partners>,
    board: Board,
}

struct Gathered {
    metric: Option<Metric>,
    count: Cell<u32>,
}

// === impl Metrics ===

impl Metrics {
    /// Makes all metrics of a role known to Envoy, but for those of single domains.
    pub(crate) fn define(role: &'static str) -> Self {
        let counter = |name| Gathered::new(&name_of(role, "", (name, ""), ""));
        Self {
            role,
            ends: ENDS.map(|end| Gathered::new(&name_of(role, "", end, ""))),
            lookups: counter("lookups"),
            feed_pages: counter("feed_pages"),
            feed_failures: counter("feed_failures"),
            feed_resets: counter("feed_resets"),
            disputed_answers: counter("disputed_answers"),
            partners: RefCell::new(Partners::new()),
            board: Board::new(role),
        }
    }

    /// Counts one.
    pub(crate) fn count(&self, counter: Counter) {
        match counter {
            Counter::Lookups => &self.lookups,
            Counter::FeedPages => &self.feed_pages,
            Counter::FeedFailures => &self.feed_failures,
            Counter::FeedResets => &self.feed_resets,
            Counter::DisputedAnswers => &self.disputed_answers,
        }
        .add();
    }

    /// Counts a permit.
    pub(crate) fn count_permit(&self, partner: Partner) {
        self.count_end(0, partner);
    }

    /// Notes for the next report that one passed.
    pub(crate) fn pass(&self, partner: Partner, peer: Option<&Rc<Connection>>) {
        self.partners.borrow_mut().pass(partner, peer);
    }

    /// Hands over what passed, as [`Partners::take_passed`].
    pub(crate) fn take_passed(&self, hand_over: impl FnMut(Option<&Domain>, u32, Option<&Connection>)) {
        self.partners.borrow_mut().take_passed(hand_over);
    }

    /// Counts a refusal by its label.
    pub(crate) fn count_refusal(&self, refusal: &Refusal, partner: Partner) {
        self.count_label(refusal.label(), partner);
    }

    /// Counts a call that went out and failed, by its label.
    pub(crate) fn count_failure(&self, failure: &RemoteFailure, partner: Partner) {
        self.count_label(failure.label(), partner);
    }

    /// The place of a listed domain among the counts, which is noted with the domain.
    pub(crate) fn partner(&self, noted: &Cell<Partner>, domain: &Domain) -> Partner {
        if noted.get() == Partner::NONE {
            noted.set(self.partners.borrow_mut().place(domain));
        }
        noted.get()
    }

    fn count_label(&self, label: &str, partner: Partner) {
        if let Some(end) = ENDS.iter().position(|(_, known)| *known == label) {
            self.count_end(end, partner);
        }
    }

    fn count_end(&self, end: usize, partner: Partner) {
        if let Some(gathered) = self.ends.get(end) {
            gathered.add();
        }
        if let Ok(end) = u8::try_from(end) {
            self.partners.borrow_mut().count(partner, end);
        }
    }

    /// Hands over what was gathered, and how the table stands at `now`.
    pub(crate) fn flush(&self, table: &Table, now: Now, wall: WallClock) {
        let Self { lookups, feed_pages, feed_failures, feed_resets, disputed_answers, .. } = self;
        let counts = [lookups, feed_pages, feed_failures, feed_resets, disputed_answers];
        for gathered in counts.into_iter().chain(&self.ends) {
            host::increment(gathered.metric, gathered.count.take());
        }
        self.partners.borrow_mut().take(|domain, end, metric, count| {
            let end = ENDS.get(usize::from(end)).copied().unwrap_or_default();
            let define = || host::counter(&name_of(self.role, "partner_", end, domain));
            *metric = metric.take().or_else(define);
            host::increment(*metric, count);
        });
        self.board.tell(table, now, wall);
    }
}

/// A name from which Envoy's `stats_tags` take the role, and label and domain where there are such. The domain
/// comes last: it has dots in it.
fn name_of(role: &str, prefix: &str, (kind, label): (&str, &str), domain: &str) -> String {
    let mut name = format!("fedgate.{role}.{prefix}{kind}");
    for (tag, value) in [(".label.", label), (".domain.", domain)] {
        if !value.is_empty() {
            name.push_str(tag);
            name.push_str(value);
        }
    }
    name
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_documented() {
        let [permits, refusals] = [ENDS[0], ENDS[10]];
        for (name, expected) in [
            (name_of("ingress", "", permits, ""), "fedgate.ingress.permits"),
            (
                name_of("egress", "partner_", permits, "a.com"),
                "fedgate.egress.partner_permits.domain.a.com",
            ),
            (
                name_of("ingress", "", refusals, ""),
                "fedgate.ingress.refusals.label.authentication-failure",
            ),
            (
                name_of("ingress", "partner_", refusals, "a-b.label.com"),
                "fedgate.ingress.partner_refusals.label.authentication-failure.domain.a-b.label.com",
            ),
        ] {
            assert_eq!(name, expected);
        }
    }
}

//! What is counted and timed as it happens.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The longest times that are told apart, in seconds: of calls of the APIs.
const CALL: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Of questions to DNS.
const LOOKUP: [f64; 10] = [0.002, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];
/// Of the store.
const STORE: [f64; 7] = [0.0005, 0.002, 0.01, 0.05, 0.25, 1.0, 5.0];

/// Is told what happens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telemetry(Arc<Events>);

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Times<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;
type Counts<const N: usize> = Family<Labels<N>, Counter>;

#[derive(Debug)]
struct Events {
    started_at: SystemTime,
    calls: Times<4>,
    call_errors: Counts<1>,
    verdicts: Counts<1>,
    lookups: Times<2>,
    store: Times<1>,
    store_failures: Counts<1>,
    audit_records: Counter,
    spans: Counts<1>,
}

/// What DNS is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The infrastructure domains of a backend domain.
    Srv,
    /// The addresses of a host, of IPv4.
    A,
    /// Of IPv6.
    Aaaa,
}

/// What a question to DNS comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// What was asked for.
    Found,
    /// The answer that there is none, or none that can be used.
    None,
    /// No answer, or none that counts.
    Failed,
}

/// What becomes of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanEnd {
    /// The collector has it.
    Sent,
    /// The collector took the request, and did not want this one.
    Rejected,
    /// The collector did not take the request.
    Failed,
    /// There was no room for it to wait.
    Dropped,
}

/// What the store is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Keep changes.
    Write,
    /// Give records.
    Read,
    /// Put itself in order: old records, uses of tokens.
    Upkeep,
    /// Copy itself.
    Backup,
    /// Say whether it can be read.
    Check,
}

// === impl Telemetry ===

impl Telemetry {
    /// A call of an API was answered: at the listener, by the route's template, so late, with this status.
    pub(crate) fn called(
        &self,
        listener: &'static str,
        method: &'static str,
        route: Option<&str>,
        status: u16,
        took: Duration,
    ) {
        let route = route.map_or(Cow::Borrowed("none"), |route| Cow::Owned(route.to_owned()));
        let class = match status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        let labels = [
            ("listener", listener.into()),
            ("method", method.into()),
            ("route", route),
            ("status", class.into()),
        ];
        self.0.calls.get_or_create(&labels).observe(took.as_secs_f64());
        if status >= 500 {
            self.0.call_errors.get_or_create(&[("listener", listener.into())]).inc();
        }
    }

    /// Calls may come at this listener: its count of errors is there before the first of them.
    pub(crate) fn listens(&self, listener: &'static str) {
        let _ = self.0.call_errors.get_or_create(&[("listener", listener.into())]);
    }

    /// A filter was told this of a domain that it asked about: `hosts`, or the label of a failure.
    pub(crate) fn answered(&self, outcome: &'static str) {
        self.0.verdicts.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// DNS was asked.
    pub(crate) fn looked_up(&self, kind: Kind, outcome: Lookup, took: Duration) {
        let labels = [("kind", kind.name().into()), ("outcome", outcome.name().into())];
        self.0.lookups.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The store did something, or did not.
    pub(crate) fn stored(&self, operation: Operation, is_done: bool, took: Duration) {
        let labels = [("operation", operation.name().into())];
        self.0.store.get_or_create(&labels).observe(took.as_secs_f64());
        if !is_done {
            self.0.store_failures.get_or_create(&labels).inc();
        }
    }

    /// So many records were added to the audit.
    pub(crate) fn recorded(&self, records: usize) {
        self.0.audit_records.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
    }

    /// This became of so many spans.
    pub(crate) fn traced(&self, end: SpanEnd, spans: u64) {
        self.0.spans.get_or_create(&[("outcome", end.name().into())]).inc_by(spans);
    }

    /// When it began, and the process with it.
    pub(super) fn started_at(&self) -> SystemTime {
        self.0.started_at
    }

    /// Under their names.
    pub(super) fn register(&self, registry: &mut Registry) {
        let Events {
            calls,
            call_errors,
            verdicts,
            lookups,
            store,
            store_failures,
            audit_records,
            spans,
            ..
        } = &*self.0;
        registry.register(
            "http_request_duration_seconds",
            "Calls of the APIs, but for waiting polls of the feed, by the template of their route",
            calls.clone(),
        );
        registry.register(
            "http_errors",
            "Calls of the APIs that were answered with 5xx",
            call_errors.clone(),
        );
        registry.register(
            "verdicts",
            "What filters were told of domains that they asked about",
            verdicts.clone(),
        );
        registry.register(
            "lookup_duration_seconds",
            "Questions to DNS, each with all servers and aliases that it took",
            lookups.clone(),
        );
        registry.register("store_duration_seconds", "What the store was to do", store.clone());
        registry.register("store_failures", "What the store did not do", store_failures.clone());
        registry.register(
            "audit_records",
            "Records that were added to the audit",
            audit_records.clone(),
        );
        registry.register("trace_spans", "What became of spans that were sampled", spans.clone());
    }
}

impl Default for Events {
    fn default() -> Self {
        // A count that is born with its first failure shows no rise to whoever watches: so these are there from the start.
        let store_failures = Counts::default();
        for operation in Operation::ALL {
            let _ = store_failures.get_or_create(&[("operation", operation.name().into())]);
        }
        let spans = Counts::default();
        for end in SpanEnd::ALL {
            let _ = spans.get_or_create(&[("outcome", end.name().into())]);
        }
        Self {
            started_at: SystemTime::now(),
            calls: Family::new_with_constructor(|| Histogram::new(CALL)),
            call_errors: Family::default(),
            verdicts: Family::default(),
            lookups: Family::new_with_constructor(|| Histogram::new(LOOKUP)),
            store: Family::new_with_constructor(|| Histogram::new(STORE)),
            store_failures,
            audit_records: Counter::default(),
            spans,
        }
    }
}

// === impl Kind, Lookup, SpanEnd, Operation ===

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Srv => "srv",
            Self::A => "a",
            Self::Aaaa => "aaaa",
        }
    }
}

impl Lookup {
    fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::None => "none",
            Self::Failed => "failed",
        }
    }
}

impl SpanEnd {
    const ALL: [Self; 4] = [Self::Sent, Self::Rejected, Self::Failed, Self::Dropped];

    fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Operation {
    const ALL: [Self; 5] = [Self::Write, Self::Read, Self::Upkeep, Self::Backup, Self::Check];

    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Upkeep => "upkeep",
            Self::Backup => "backup",
            Self::Check => "check",
        }
    }
}

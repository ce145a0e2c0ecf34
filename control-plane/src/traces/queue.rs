//! Spans that wait for their turn, counted: as many as fit wait, what comes beyond them is lost, and none is lost
//! without a word.
//!
//! ```text
//!  span ends ─► is there room? ─► batch ─► exporter ─► sent, rejected, failed
//!                     └─► no: dropped
//! ```
//!
//! The SDK's own queue has as many places, and never finds itself full. What it would count is not told to anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::telemetry::{SpanEnd, Telemetry};

/// The way to a collector, and who waits there.
#[derive(Debug)]
pub(super) struct Queue(Arc<Places>, BatchSpanProcessor);

/// An exporter that says what became of spans.
#[derive(Debug)]
struct Exporter<E> {
    inner: E,
    places: Arc<Places>,
    rejected: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Places {
    /// How many there are.
    all: usize,
    taken: AtomicUsize,
    is_full: AtomicBool,
    telemetry: Telemetry,
}

// === impl Queue ===

impl Queue {
    /// So many places before `exporter`, which notes in `rejected` how many spans of a batch were not wanted.
    pub(super) fn new(
        exporter: impl SpanExporter + 'static,
        all: usize,
        rejected: Arc<AtomicU64>,
        telemetry: Telemetry,
    ) -> Self {
        let taken = AtomicUsize::new(0);
        let places = Arc::new(Places { all, taken, is_full: AtomicBool::new(false), telemetry });
        let exporter = Exporter { inner: exporter, places: places.clone(), rejected };
        let config = BatchConfigBuilder::default().with_max_queue_size(all).build();
        Self(places, BatchSpanProcessor::builder(exporter).with_batch_config(config).build())
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.1.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.0.enter() {
            self.1.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.1.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.1.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.1.set_resource(resource);
    }
}

// === impl Exporter ===

impl<E: SpanExporter> SpanExporter for Exporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.places.leave(count);
        let ended = self.inner.export(batch).await;
        let (count, telemetry) = (u64::try_from(count).unwrap_or(u64::MAX), &self.places.telemetry);
        let rejected = self.rejected.swap(0, Ordering::Relaxed).min(count);
        match &ended {
            Ok(()) => {
                telemetry.traced(SpanEnd::Sent, count.saturating_sub(rejected));
                telemetry.traced(SpanEnd::Rejected, rejected);
            }
            Err(_) => telemetry.traced(SpanEnd::Failed, count),
        }
        ended
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

// === impl Places ===

impl Places {
    /// Takes one, if there is one.
    fn enter(&self) -> bool {
        let more = |taken| (taken < self.all).then(|| taken + 1);
        let has_one = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if !has_one {
            self.telemetry.traced(SpanEnd::Dropped, 1);
            if !self.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    waiting = self.all,
                    "traces come faster than the collector takes them: what does not fit into the queue is lost (OTEL_BSP_MAX_QUEUE_SIZE)"
                );
            }
        }
        has_one
    }

    /// A batch has its turn.
    fn leave(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
        if self.is_full.swap(false, Ordering::Relaxed) {
            tracing::info!("traces fit into the queue again");
        }
    }
}

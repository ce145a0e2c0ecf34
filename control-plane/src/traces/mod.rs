//! Traces: what took how long, and what of it belongs together, for whoever collects them over OTLP.
//!
//! ```text
//!  call of an API, whose `traceparent` goes on ─┬─► lookup in DNS ──────────┐
//!  round with brig, which gets ours ────────────┴─► write into the store ───┴─► queue ─► collector
//! ```
//!
//! A span is made on purpose, and says what is written here: it is no line of the log, and nothing gets into it by
//! the way. Tokens, notes, bodies and queries of URLs do not. Without a collector there are no spans.

mod export;
mod lookups;
mod queue;
mod variables;
mod writes;

use std::borrow::Cow;
use std::future::Future;
use std::sync::OnceLock;

use axum::http::HeaderMap;
use opentelemetry::context::FutureExt;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;

use crate::plain::Plain;

pub(crate) use export::Traces;
pub(crate) use lookups::{addresses, discovery};
pub(crate) use opentelemetry::trace::SpanKind;
pub(crate) use variables::read as read_variables;
pub(crate) use writes::write;

/// The longest text of an attribute, in characters.
const MAX_TEXT: usize = 300;

/// Makes spans, where they are collected.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// A piece of work, which ends when this is dropped.
#[must_use = "it ends when it is dropped"]
pub(crate) struct Span(Option<Context>);

/// For another task: what it does belongs to the trace that is under way here.
pub(crate) fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    work.with_current_context()
}

/// An attribute. Its text has no character that is not seen, and is cut where it is too long.
pub(crate) fn text(key: &'static str, text: impl std::fmt::Display) -> KeyValue {
    KeyValue::new(key, legible(text))
}

/// An attribute that is a number.
pub(crate) fn number(key: &'static str, number: impl TryInto<i64>) -> KeyValue {
    KeyValue::new(key, number.try_into().unwrap_or(i64::MAX))
}

/// For a request to another service: the trace that is under way here is to go on there.
pub(crate) fn onward() -> HeaderMap {
    let mut headers = HeaderMap::new();
    TraceContextPropagator::new().inject_context(&Context::current(), &mut HeaderInjector(&mut headers));
    headers
}

// === impl Span ===

impl Span {
    /// A piece of the work that is under way here.
    pub(crate) fn begin(
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        about: impl FnOnce() -> Vec<KeyValue>,
    ) -> Self {
        Self::begin_in(&Context::current(), name, kind, about)
    }

    /// A piece of the caller's work, if the headers of its request name that.
    pub(crate) fn serve(
        headers: &HeaderMap,
        name: impl Into<Cow<'static, str>>,
        about: impl FnOnce() -> Vec<KeyValue>,
    ) -> Self {
        let caller = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        Self::begin_in(&caller, name, SpanKind::Server, about)
    }

    fn begin_in(
        parent: &Context,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        about: impl FnOnce() -> Vec<KeyValue>,
    ) -> Self {
        Self(TRACER.get().map(|tracer| {
            let span = tracer.span_builder(name).with_kind(kind).with_attributes(about());
            parent.with_span(tracer.build_with_context(span, parent))
        }))
    }

    /// Does `work` as what the span is about.
    pub(crate) async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        work.with_context(self.0.clone().unwrap_or_default()).await
    }

    /// Says more of it.
    pub(crate) fn tell(&self, attribute: KeyValue) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(attribute);
        }
    }

    /// It came to nothing.
    pub(crate) fn fail(&self, cause: impl std::fmt::Display) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(legible(cause)));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            // Others may hold the context for longer.
            context.span().end();
        }
    }
}

fn legible(text: impl std::fmt::Display) -> String {
    Plain(text).to_string().chars().take(MAX_TEXT).collect()
}

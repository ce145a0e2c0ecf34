//! The control plane's metrics: their names, labels and help texts, here alone.
//!
//! ```text
//!  what happens ── told as it does ──► events ─┐
//!  what is ─────── gathered when asked ► facts ┼─► text, for whoever scrapes
//!  this process ── as the system has it ───────┘
//! ```
//!
//! It knows no other part. Labels are words of ours, a few for each, and domains that the operator has listed; nothing
//! else from the network is among them. Each metric stands in docs/monitoring.md, and a test holds that page to them.

mod events;
mod facts;
mod partners;
mod process;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

pub(crate) use events::{Kind, Lookup, Operation, SpanEnd, Telemetry};
pub(crate) use facts::{Brig, Cache, Connections, Facts, Feed, ListFile, Xds};
pub(crate) use partners::{Partner, Partners};

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

/// All metrics.
pub(crate) fn page(events: &Telemetry, facts: Facts, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(process::Process::read(events.started_at())));
    let ours = registry.sub_registry_with_prefix("fedgate");
    events.register(ours);
    ours.register_collector(Box::new(facts));
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = match format {
        Format::Prometheus => prometheus_text::encode(&mut page, &registry),
        Format::OpenMetrics => text::encode(&mut page, &registry),
    };
    page
}

// === impl Format ===

impl Format {
    /// The one that the header `Accept` would rather have (RFC 9110, section 12.5.1): OpenMetrics where it is named, and
    /// weighs as much as the other at least, as Prometheus has it.
    pub(crate) fn accepted(accept: Option<&str>) -> Self {
        let accept = accept.unwrap_or_default();
        let weight = |names: &[&str]| names.iter().find_map(|name| weight(accept, name));
        let open = weight(&["application/openmetrics-text"]).unwrap_or(0.0);
        let plain = weight(&["text/plain", "text/*", "*/*"]).unwrap_or(0.0);
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The type of the text.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// How much a type weighs in `Accept`, from 0 to 1: the most, if it is there several times; none if it is not.
fn weight(accept: &str, name: &str) -> Option<f64> {
    let weights = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next()?.eq_ignore_ascii_case(name);
        let told =
            parts.filter_map(|part| part.split_once('=')).find(|(key, _)| key.eq_ignore_ascii_case("q"));
        // What is no weight is no wish.
        is_it.then(|| told.map_or(1.0, |(_, weight)| weight.parse().unwrap_or(0.0)))
    });
    weights.reduce(f64::max)
}

#[cfg(test)]
mod tests;

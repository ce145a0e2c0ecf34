//! How we stand with partners, and what filters report.
//!
//! A domain is a label only where the operator has listed it, and of so many at most; a version is what a filter says
//! that has shown a token, and few are told apart.

use std::collections::BTreeMap;
use std::fmt;

use super::facts::{NONE, Page, whole};

/// The most domains that are told apart.
const DOMAINS: usize = 1000;
/// The most versions.
const VERSIONS: usize = 20;
/// Stands for all that are not; no domain has this name.
const OTHER: &str = "other";

/// What there is to tell.
#[derive(Debug, Default)]
pub(crate) struct Partners {
    /// Each listed domain.
    pub(crate) listed: Vec<Partner>,
    /// Since the start, as the following.
    pub(crate) reports: u64,
    /// Requests that were refused, by label; of all domains.
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    /// Calls that failed, by label.
    pub(crate) failed_calls: BTreeMap<&'static str, u64>,
    /// Workers that report, by role and version.
    pub(crate) workers: BTreeMap<(&'static str, String), usize>,
    /// How old what a worker knows is, of the one that is worst, in seconds.
    pub(crate) feed_age: Option<u64>,
}

/// How we stand with one.
#[derive(Debug)]
pub(crate) struct Partner {
    pub(crate) domain: String,
    pub(crate) state: &'static str,
    /// Whether that is trouble.
    pub(crate) is_trouble: bool,
    /// When the certificate ends that it presented last, in seconds since 1970.
    pub(crate) certificate: Option<i64>,
}

// === impl Partners ===

impl Partners {
    pub(super) fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        // Who is in trouble is told by name, then whose certificate ends first.
        let mut listed: Vec<_> = self.listed.iter().collect();
        listed.sort_by_key(|it| (!it.is_trouble, it.certificate.unwrap_or(i64::MAX), &it.domain));
        let (named, others) = listed.split_at(listed.len().min(DOMAINS));
        let mut counts: BTreeMap<_, i64> = BTreeMap::new();
        for other in others {
            let count = counts.entry(other.state).or_default();
            *count = count.saturating_add(1);
        }
        let states = named.iter().map(|it| (it.domain.as_str(), it.state, 1));
        let states = states.chain(counts.into_iter().map(|(state, count)| (OTHER, state, count)));
        let states =
            states.map(|(domain, state, count)| ([("domain", domain), ("state", state)], count));
        let help = "1 for the state of a listed domain; beyond a thousand, how many are in it";
        page.gauge("partner_state", help, states)?;
        let ends =
            named.iter().filter_map(|it| Some(([("domain", it.domain.as_str())], it.certificate?)));
        let help = "When the client certificate ends that a listed domain presented last";
        page.gauge("partner_certificate_not_after_timestamp_seconds", help, ends)?;
        page.counter("reports", "Reports of filters", self.reports)?;
        let help = "Requests that filters refused, by label";
        page.counters("reported_refusals", help, by_label(&self.refusals))?;
        let help = "Calls that failed, as filters report, by label";
        page.counters("reported_failed_calls", help, by_label(&self.failed_calls))?;
        let workers = self.workers.iter().take(VERSIONS).map(|((role, version), count)| {
            ([("role", (*role).to_owned()), ("version", version.clone())], whole(*count))
        });
        page.gauge("filter_workers", "Workers of filters that report, by role and version", workers)?;
        let help = "How old what a worker of a filter knows is, of the worst; without a value where none reports";
        let age = self.feed_age.map(|age| i64::try_from(age).unwrap_or(i64::MAX));
        page.gauge("filter_feed_age_seconds", help, age.map(|age| (NONE, age)))
    }
}

fn by_label(
    counts: &BTreeMap<&'static str, u64>,
) -> impl Iterator<Item = ([(&'static str, &'static str); 1], u64)> {
    counts.iter().map(|(label, count)| ([("label", *label)], *count))
}

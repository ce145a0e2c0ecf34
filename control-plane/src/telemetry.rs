//! The control plane's metrics: their names, labels and help texts, here and in `telemetry/` alone.
//!
//! It knows no other part: whoever answers `/metrics` brings the facts of that moment. Labels are words of ours, a few
//! for each; of what others say only listed domains and versions of filters are among them, and of these so many.

mod partners;

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub(crate) use partners::Partners;
/// The type of the text.
pub(crate) use prometheus_text::CONTENT_TYPE;

/// What there is to tell.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Ours.
    pub(crate) version: &'static str,
    /// By action, and by whether they have come to their end.
    pub(crate) entries: BTreeMap<(&'static str, bool), usize>,
    /// All that there are, and whether it is this one.
    pub(crate) strategies: BTreeMap<&'static str, bool>,
    /// The list's.
    pub(crate) revision: i64,
    /// Since when DNS as a whole fails, if it does.
    pub(crate) dns_failing: Option<SystemTime>,
    /// Calls without a right token.
    pub(crate) refused: u64,
    /// Calls of tokens that call too often.
    pub(crate) limited: u64,
    /// That count, by role and source.
    pub(crate) tokens: BTreeMap<(&'static str, &'static str), usize>,
    /// How we stand with partners, as filters report.
    pub(crate) partners: Partners,
    /// Where it is configured.
    pub(crate) brig: Option<Brig>,
}

/// How it stands with brig.
#[derive(Debug)]
pub(crate) struct Brig {
    pub(crate) mode: &'static str,
    /// Whether the last round went well.
    pub(crate) is_up: bool,
    /// Whether both lists say the same, as far as anybody knows.
    pub(crate) is_in_step: bool,
    /// When a round went well last.
    pub(crate) last_success: Option<SystemTime>,
    /// Of brig's.
    pub(crate) rows: usize,
    /// By kind.
    pub(crate) drift: BTreeMap<&'static str, usize>,
    /// Closed rows of domains that are off our list.
    pub(crate) still_listed: usize,
    /// Rows that are gone, which is not believed.
    pub(crate) doubted: usize,
    /// Whether brig's strategy is known, and is not ours.
    pub(crate) strategy_differs: bool,
}

/// Prometheus' text format, version 0.0.4.
pub(crate) fn text(facts: Facts) -> String {
    let mut registry = Registry::with_prefix("fedgate");
    registry.register_collector(Box::new(facts));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

// === impl Facts ===

impl Collector for Facts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.build(self.version)?;
        let entries = self.entries.iter().map(|((action, expired), count)| {
            let expired = if *expired { "true" } else { "false" };
            ([("action", *action), ("expired", expired)], whole(*count))
        });
        page.gauge(
            "entries",
            "Entries of the allow list, by action and by whether they have expired",
            entries,
        )?;
        let strategies =
            self.strategies.iter().map(|(name, is)| ([("strategy", *name)], i64::from(*is)));
        page.gauge("strategy", "1 for the strategy in force, 0 for the others", strategies)?;
        page.one("list_revision", "Revision of the allow list", self.revision)?;
        page.one(
            "dns_failing",
            "1 while DNS as a whole does not answer, else 0",
            self.dns_failing.is_some(),
        )?;
        page.gauge(
            "dns_failing_since_timestamp_seconds",
            "Since when DNS as a whole does not answer; without a value while it does",
            self.dns_failing.map(|since| ([], seconds(since))),
        )?;
        page.counter("refused_calls", "Calls without a right token, on all listeners", self.refused)?;
        page.counter(
            "rate_limited_calls",
            "Calls of tokens that call the admin API too often",
            self.limited,
        )?;
        let tokens = self
            .tokens
            .iter()
            .map(|((role, source), count)| ([("role", *role), ("source", *source)], whole(*count)));
        page.gauge("tokens", "Tokens that are accepted, by role and by where they are kept", tokens)?;
        self.partners.encode(&mut page)?;
        self.brig.as_ref().map_or(Ok(()), |brig| brig.encode(&mut page))
    }
}

// === impl Brig ===

impl Brig {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let mode = [([("mode", self.mode)], 1)];
        page.gauge("brig_mode", "1 for the mode in which our list and brig's are kept in step", mode)?;
        page.one("brig_up", "1 if the last round with brig went well, else 0", self.is_up)?;
        page.one("brig_in_step", "1 if both lists are known to say the same, else 0", self.is_in_step)?;
        page.one(
            "brig_last_success_timestamp_seconds",
            "When a round with brig went well last; 0: never since the start",
            self.last_success.map_or(0, seconds),
        )?;
        page.one("brig_rows", "Rows of brig's list", whole(self.rows))?;
        let drift = self.drift.iter().map(|(kind, count)| ([("kind", *kind)], whole(*count)));
        page.gauge("brig_drift_rows", "Domains that stand otherwise in brig's list, by kind", drift)?;
        page.one(
            "brig_still_listed_rows",
            "Closed rows of domains that are off our list, which is no drift: brig knows no removal",
            whole(self.still_listed),
        )?;
        page.one(
            "brig_doubted_rows",
            "Mode follow: rows that are gone from brig's list, and not believed to be removed",
            whole(self.doubted),
        )?;
        let help = "1 if brig's strategy is another than ours, else 0";
        page.one("brig_strategy_differs", help, self.strategy_differs)
    }
}

/// The page that is written.
struct Page<'a>(DescriptorEncoder<'a>);

// === impl Page ===

impl Page<'_> {
    /// One metric, by its labels.
    fn gauge<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'static str); N], i64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| {
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)
        })
    }

    /// One value, without labels.
    fn one(&mut self, name: &str, help: &str, value: impl Into<i64>) -> fmt::Result {
        self.gauge(name, help, [([], value.into())])
    }

    /// A count since the start, which gets the suffix `_total`.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }

    fn build(&mut self, version: &'static str) -> fmt::Result {
        let help = "The version of the control plane";
        let metric = self.0.encode_descriptor("build", help, None, MetricType::Info)?;
        Info::new([("version", version)]).encode(metric)
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Seconds since 1970; 0 before.
fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    fn facts(brig: Option<Brig>, dns_failing: Option<SystemTime>) -> Facts {
        Facts {
            version: "1.2.3",
            entries: [(("allow", false), 7), (("block", true), 0)].into(),
            strategies: [("allowAll", false), ("allowDynamic", true)].into(),
            revision: 18,
            dns_failing,
            refused: 3,
            limited: u64::MAX,
            tokens: [(("viewer", "store"), 2)].into(),
            partners: Partners {
                states: (0..1002).map(|n| (format!("d{n}.com"), "ok")).collect(),
                certificates: [("d0.com".to_owned(), 1_900_000_000)].into(),
                reports: 5,
                refusals: [("federation-denied", 6)].into(),
                failed_calls: [("federation-tls-error", 7)].into(),
                workers: [(("ingress", "0.1.0".to_owned()), 8)].into(),
                feed_age: Some(9),
            },
            brig,
        }
    }

    fn brig(last_success: Option<SystemTime>) -> Brig {
        Brig {
            mode: "push",
            is_up: last_success.is_some(),
            is_in_step: false,
            last_success,
            rows: 214,
            drift: [("missing", 0), ("not-ours", 2)].into(),
            still_listed: 1,
            doubted: 0,
            strategy_differs: true,
        }
    }

    fn is_name(text: &str) -> bool {
        let mut letters = text.chars();
        letters.next().is_some_and(|it| it.is_ascii_lowercase())
            && letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
    }

    /// Reads a page by the grammar of the format, and by Prometheus' conventions; returns the samples' values.
    fn read(page: &str) -> BTreeMap<String, i128> {
        let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
        let mut family = String::new();
        assert!(page.ends_with('\n') && !page.contains("\n\n"));
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            if let Some(told) = line.strip_prefix("# HELP ") {
                let (name, help) = told.split_once(' ').unwrap();
                assert!(is_name(name) && name.starts_with("fedgate_") && !help.is_empty(), "{line}");
                assert!(families.insert(name.to_owned()), "told twice: {line}");
                let told = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
                let (same, its_kind) = told.split_once(' ').unwrap();
                assert_eq!(same, name);
                assert!(["counter", "gauge"].contains(&its_kind), "{told}");
                assert_eq!(its_kind == "counter", name.ends_with("_total"), "{told}");
                name.clone_into(&mut family);
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            assert_eq!(name, family, "{line}");
            let labels = labels.strip_suffix('}').unwrap();
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (name, value) = label.split_once('=').unwrap();
                let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                assert!(is_name(name) && !value.contains(['"', '\\']), "{line}");
            }
            let value = value.parse::<i128>().unwrap();
            assert!(value >= 0, "{line}");
            assert!(samples.insert(sample.to_owned(), value).is_none(), "told twice: {line}");
        }
        samples
    }

    #[test]
    fn the_page_is_in_prometheus_format_and_says_what_is() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_900_000_000_900);
        let samples = read(&text(facts(Some(brig(Some(at))), Some(at))));
        for (sample, value) in [
            (r#"fedgate_build_info{version="1.2.3"}"#, 1),
            (r#"fedgate_entries{action="allow",expired="false"}"#, 7),
            (r#"fedgate_entries{action="block",expired="true"}"#, 0),
            (r#"fedgate_strategy{strategy="allowDynamic"}"#, 1),
            (r#"fedgate_strategy{strategy="allowAll"}"#, 0),
            ("fedgate_list_revision", 18),
            ("fedgate_dns_failing", 1),
            ("fedgate_dns_failing_since_timestamp_seconds", 1_900_000_000),
            ("fedgate_refused_calls_total", 3),
            ("fedgate_rate_limited_calls_total", u64::MAX.into()),
            (r#"fedgate_tokens{role="viewer",source="store"}"#, 2),
            (r#"fedgate_brig_mode{mode="push"}"#, 1),
            (r#"fedgate_partner_state{domain="d999.com",state="ok"}"#, 1),
            (r#"fedgate_partner_state{domain="other",state="ok"}"#, 2),
            (
                r#"fedgate_partner_certificate_not_after_timestamp_seconds{domain="d0.com"}"#,
                1_900_000_000,
            ),
            ("fedgate_reports_total", 5),
            (r#"fedgate_reported_refusals_total{label="federation-denied"}"#, 6),
            (r#"fedgate_reported_failed_calls_total{label="federation-tls-error"}"#, 7),
            (r#"fedgate_filter_workers{role="ingress",version="0.1.0"}"#, 8),
            ("fedgate_filter_feed_age_seconds", 9),
            ("fedgate_brig_up", 1),
            ("fedgate_brig_in_step", 0),
            ("fedgate_brig_last_success_timestamp_seconds", 1_900_000_000),
            ("fedgate_brig_rows", 214),
            (r#"fedgate_brig_drift_rows{kind="missing"}"#, 0),
            (r#"fedgate_brig_drift_rows{kind="not-ours"}"#, 2),
            ("fedgate_brig_still_listed_rows", 1),
            ("fedgate_brig_doubted_rows", 0),
            ("fedgate_brig_strategy_differs", 1),
        ] {
            assert_eq!(samples.get(sample), Some(&value), "{sample} in {samples:#?}");
        }
        assert_eq!(samples.len(), 21 + 1001 + 6);
    }

    #[test]
    fn what_there_is_not_has_no_value() {
        let without = read(&text(facts(None, None)));
        assert_eq!(without.get("fedgate_dns_failing"), Some(&0));
        assert!(!without.contains_key("fedgate_dns_failing_since_timestamp_seconds"));
        assert!(!without.keys().any(|sample| sample.contains("brig")), "{without:#?}");
        // So that an alert on its age is raised, too, where brig never answered.
        let never = read(&text(facts(Some(brig(None)), None)));
        assert_eq!(never.get("fedgate_brig_last_success_timestamp_seconds"), Some(&0));
        assert_eq!(never.get("fedgate_brig_up"), Some(&0));
    }
}

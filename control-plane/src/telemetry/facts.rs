//! What is gathered at the moment when somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;

use super::partners::Partners;

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
    /// What discovery has found.
    pub(crate) cache: Cache,
    /// To filters.
    pub(crate) feed: Feed,
    /// To Envoys.
    pub(crate) xds: Xds,
    /// By listener.
    pub(crate) connections: BTreeMap<&'static str, Connections>,
    /// The last second of the certificates of those that speak TLS, since 1970, by listener.
    pub(crate) certificates: BTreeMap<&'static str, i64>,
    /// How we stand with partners, as filters report.
    pub(crate) partners: Partners,
    /// Where it is configured.
    pub(crate) brig: Option<Brig>,
    /// Where there is one.
    pub(crate) list_file: Option<ListFile>,
}

/// How it stands with the file that the list is kept in step with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListFile {
    /// Whether it can be used.
    pub(crate) is_up: bool,
    /// Entries of others who say something else.
    pub(crate) conflicts: usize,
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

/// What was found, and is kept until its end.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Listed domains of which something is known.
    pub(crate) listed: u64,
    /// Other domains of which something is known.
    pub(crate) unlisted: u64,
    /// What those take, roughly, in octets.
    pub(crate) unlisted_octets: u64,
    /// Questions that were answered by what is kept.
    pub(crate) hits: u64,
    /// Those that were not.
    pub(crate) misses: u64,
    /// Other domains that gave way to others of their kind.
    pub(crate) evicted: u64,
}

/// How filters are told.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// Who waits for news.
    pub(crate) watchers: usize,
    /// Pages that were told.
    pub(crate) pages: u64,
    /// Whole tables that were begun.
    pub(crate) resets: u64,
}

/// How Envoys are told.
#[derive(Debug, Default)]
pub(crate) struct Xds {
    /// Open now.
    pub(crate) streams: usize,
    /// Domains that some Envoy has asked for.
    pub(crate) clusters: usize,
    /// What Envoys would not have.
    pub(crate) rejected: u64,
}

/// The connections of a listener.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connections {
    /// Of peers that have shown a right token.
    pub(crate) known: usize,
    /// Of others.
    pub(crate) strangers: usize,
    /// Strangers that gave way to others.
    pub(crate) displaced: u64,
    /// Turned away, because all places were taken by peers that are known.
    pub(crate) turned_away: u64,
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
            self.dns_failing.map(|since| (NONE, seconds(since))),
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
        self.cache.encode(&mut page)?;
        self.feed.encode(&mut page)?;
        self.xds.encode(&mut page)?;
        self.doors(&mut page)?;
        self.partners.encode(&mut page)?;
        if let Some(file) = &self.list_file {
            file.encode(&mut page)?;
        }
        self.brig.as_ref().map_or(Ok(()), |brig| brig.encode(&mut page))
    }
}

impl Facts {
    fn doors(&self, page: &mut Page<'_>) -> fmt::Result {
        let each = || self.connections.iter().map(|(listener, it)| (*listener, it));
        let open = each().flat_map(|(listener, it)| {
            [("known", it.known), ("stranger", it.strangers)]
                .map(|(peer, count)| ([("listener", listener), ("peer", peer)], whole(count)))
        });
        page.gauge(
            "connections",
            "Open connections, by whether their peer has shown a right token",
            open,
        )?;
        let displaced = each().map(|(listener, it)| ([("listener", listener)], it.displaced));
        let help = "Connections without a right token that gave way to others";
        page.counters("displaced_connections", help, displaced)?;
        let away = each().map(|(listener, it)| ([("listener", listener)], it.turned_away));
        let help = "Connections that were turned away, because all places were taken by peers with a right token";
        page.counters("turned_away_connections", help, away)?;
        let ends = self.certificates.iter().map(|(listener, end)| ([("listener", *listener)], *end));
        let help = "The end of the certificate of a listener that speaks TLS";
        page.gauge("listener_certificate_not_after_timestamp_seconds", help, ends)
    }
}

// === impl Cache, Feed, Xds ===

impl Cache {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let entries = [("true", self.listed), ("false", self.unlisted)]
            .map(|(listed, count)| ([("listed", listed)], i64::try_from(count).unwrap_or(i64::MAX)));
        page.gauge(
            "cache_entries",
            "Domains of which an answer of DNS is kept, by whether they are listed",
            entries,
        )?;
        let octets = i64::try_from(self.unlisted_octets).unwrap_or(i64::MAX);
        page.one("cache_unlisted_bytes", "What the answers on unlisted domains take, roughly", octets)?;
        let answers = [("hit", self.hits), ("miss", self.misses)]
            .map(|(result, count)| ([("result", result)], count));
        page.counters(
            "cache_questions",
            "Questions about domains, by whether a kept answer was enough",
            answers,
        )?;
        page.counter(
            "cache_evictions",
            "Answers on unlisted domains that gave way to others",
            self.evicted,
        )
    }
}

impl Feed {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        page.one("feed_watchers", "Workers of filters that wait for news", whole(self.watchers))?;
        page.counter("feed_pages", "Pages that filters were told", self.pages)?;
        page.counter("feed_resets", "Whole tables that filters began to be told", self.resets)
    }
}

impl Xds {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        page.one("xds_streams", "Envoys that are connected", whole(self.streams))?;
        page.one("xds_clusters", "Domains that some Envoy has asked for", whole(self.clusters))?;
        page.counter("xds_rejections", "Resources that an Envoy would not have", self.rejected)
    }
}

// === impl ListFile ===

impl ListFile {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        page.one("list_file_up", "1 if the list is kept in step with its file, else 0", self.is_up)?;
        let help = "Domains of the list's file that somebody else has listed otherwise";
        page.one("list_file_conflicts", help, whole(self.conflicts))
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

/// No labels.
pub(super) const NONE: [(&str, &str); 0] = [];

/// The page that is written.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

// === impl Page ===

impl Page<'_> {
    /// One metric, by its labels.
    pub(super) fn gauge<V: EncodeLabelValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, V); N], i64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| {
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)
        })
    }

    /// One value, without labels.
    pub(super) fn one(&mut self, name: &str, help: &str, value: impl Into<i64>) -> fmt::Result {
        self.gauge(name, help, [(NONE, value.into())])
    }

    /// Counts since the start, by their labels; they get the suffix `_total`.
    pub(super) fn counters<V: EncodeLabelValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, V); N], u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.into_iter().try_for_each(|(labels, value)| {
            ConstCounter::new(value).encode(metric.encode_family(&labels)?)
        })
    }

    /// One count, without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(NONE, value)])
    }

    fn build(&mut self, version: &'static str) -> fmt::Result {
        let help = "The version of the control plane";
        let metric = self.0.encode_descriptor("build", help, None, MetricType::Info)?;
        Info::new([("version", version)]).encode(metric)
    }
}

pub(super) fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Seconds since 1970; 0 before.
pub(super) fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

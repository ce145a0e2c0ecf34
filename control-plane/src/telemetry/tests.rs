use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::*;

/// The page on all metrics.
const DOCS: &str = include_str!("../../../docs/monitoring.md");

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
        cache: Cache { listed: 5, unlisted: 1, unlisted_octets: 460, hits: 9, misses: 8, evicted: 0 },
        feed: Feed { watchers: 4, pages: 11, resets: 2 },
        xds: Xds { streams: 1, clusters: 3, rejected: 0 },
        connections: [("admin", Connections { known: 1, strangers: 2, displaced: 3, turned_away: 4 })]
            .into(),
        certificates: [("admin", 1_900_000_000)].into(),
        partners: Partners {
            listed: (0..1002).map(partner).collect(),
            reports: 5,
            refusals: [("federation-denied", 6)].into(),
            failed_calls: [("federation-tls-error", 7)].into(),
            workers: [(("ingress", "0.1.0".to_owned()), 8)].into(),
            feed_age: Some(9),
        },
        brig,
        list_file: Some(ListFile { is_up: false, conflicts: 2 }),
    }
}

/// Of many: the last two are in trouble, and the one before shows a certificate.
fn partner(number: usize) -> Partner {
    let is_trouble = number >= 1000;
    Partner {
        domain: format!("d{number}.com"),
        state: if is_trouble { "refused" } else { "ok" },
        is_trouble,
        certificate: (number >= 999).then_some(1_900_000_000),
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

/// Telemetry that was told something of each kind.
fn told() -> Telemetry {
    let telemetry = Telemetry::default();
    telemetry.listens("admin");
    telemetry.called("admin", "GET", Some("/v1/domains/{domain}"), 404, Duration::from_millis(3));
    telemetry.called("admin", "other", None, 405, Duration::from_millis(3));
    telemetry.answered("hosts");
    telemetry.looked_up(Kind::Srv, Lookup::Found, Duration::from_millis(30));
    telemetry.looked_up(Kind::Aaaa, Lookup::Failed, Duration::from_secs(3));
    telemetry.stored(Operation::Write, true, Duration::from_millis(1));
    telemetry.stored(Operation::Write, false, Duration::from_millis(1));
    telemetry.recorded(2);
    telemetry.traced(SpanEnd::Dropped, 3);
    telemetry
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|it| it.is_ascii_lowercase())
        && letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
}

/// The families of a page, each with its kind; and the values of its samples. Read by the grammar of the format, and by
/// Prometheus' conventions.
fn read(page: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeMap::new());
    let (mut family, mut kind) = (String::new(), String::new());
    assert!(page.ends_with('\n') && !page.contains("\n\n"));
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(told) = line.strip_prefix("# HELP ") {
            let (name, help) = told.split_once(' ').unwrap();
            let is_ours = name.starts_with("fedgate_") || name.starts_with("process_");
            assert!(is_name(name) && is_ours && !help.is_empty(), "{line}");
            let told = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let (same, its_kind) = told.split_once(' ').unwrap();
            assert_eq!(same, name);
            assert!(["counter", "gauge", "histogram"].contains(&its_kind), "{told}");
            assert_eq!(its_kind == "counter", name.ends_with("_total"), "{told}");
            assert!(
                families.insert(name.to_owned(), its_kind.to_owned()).is_none(),
                "told twice: {line}"
            );
            name.clone_into(&mut family);
            its_kind.clone_into(&mut kind);
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.iter().any(|suffix| name == format!("{family}{suffix}")), "{line}");
        let labels = labels.strip_suffix('}').unwrap();
        for label in labels.split("\",").filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once("=\"").unwrap();
            assert!(is_name(name) && !value.trim_end_matches('"').contains(['"', '\\']), "{line}");
        }
        let value = value.parse::<f64>().unwrap();
        assert!(value >= 0.0, "{line}");
        assert!(samples.insert(sample.to_owned(), value).is_none(), "told twice: {line}");
    }
    (families, samples)
}

#[test]
fn the_page_is_in_prometheus_format_and_says_what_is() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_900_000_000_900);
    let (_, samples) = read(&page(&told(), facts(Some(brig(Some(at))), Some(at)), Format::Prometheus));
    for (sample, value) in [
        (r#"fedgate_build_info{version="1.2.3"}"#, 1.0),
        (r#"fedgate_entries{action="allow",expired="false"}"#, 7.0),
        (r#"fedgate_entries{action="block",expired="true"}"#, 0.0),
        (r#"fedgate_strategy{strategy="allowDynamic"}"#, 1.0),
        (r#"fedgate_strategy{strategy="allowAll"}"#, 0.0),
        ("fedgate_list_revision", 18.0),
        ("fedgate_dns_failing", 1.0),
        ("fedgate_dns_failing_since_timestamp_seconds", 1_900_000_000.0),
        ("fedgate_refused_calls_total", 3.0),
        ("fedgate_rate_limited_calls_total", 18_446_744_073_709_551_615.0),
        (r#"fedgate_tokens{role="viewer",source="store"}"#, 2.0),
        (r#"fedgate_cache_entries{listed="true"}"#, 5.0),
        (r#"fedgate_cache_questions_total{result="miss"}"#, 8.0),
        ("fedgate_feed_watchers", 4.0),
        ("fedgate_feed_resets_total", 2.0),
        ("fedgate_xds_streams", 1.0),
        (r#"fedgate_connections{listener="admin",peer="stranger"}"#, 2.0),
        (r#"fedgate_turned_away_connections_total{listener="admin"}"#, 4.0),
        (
            r#"fedgate_listener_certificate_not_after_timestamp_seconds{listener="admin"}"#,
            1_900_000_000.0,
        ),
        (
            r#"fedgate_http_request_duration_seconds_count{listener="admin",method="GET",route="/v1/domains/{domain}",status="4xx"}"#,
            1.0,
        ),
        (r#"fedgate_verdicts_total{outcome="hosts"}"#, 1.0),
        (r#"fedgate_lookup_duration_seconds_bucket{kind="srv",outcome="found",le="0.05"}"#, 1.0),
        (r#"fedgate_lookup_duration_seconds_bucket{kind="srv",outcome="found",le="0.025"}"#, 0.0),
        (r#"fedgate_store_duration_seconds_count{operation="write"}"#, 2.0),
        (r#"fedgate_store_failures_total{operation="write"}"#, 1.0),
        ("fedgate_audit_records_total", 2.0),
        (r#"fedgate_trace_spans_total{outcome="dropped"}"#, 3.0),
        (r#"fedgate_trace_spans_total{outcome="sent"}"#, 0.0),
        (r#"fedgate_brig_mode{mode="push"}"#, 1.0),
        (r#"fedgate_partner_state{domain="d1001.com",state="refused"}"#, 1.0),
        (r#"fedgate_partner_state{domain="d999.com",state="ok"}"#, 1.0),
        (r#"fedgate_partner_state{domain="other",state="ok"}"#, 2.0),
        (
            r#"fedgate_partner_certificate_not_after_timestamp_seconds{domain="d1001.com"}"#,
            1_900_000_000.0,
        ),
        (
            r#"fedgate_partner_certificate_not_after_timestamp_seconds{domain="d999.com"}"#,
            1_900_000_000.0,
        ),
        ("fedgate_reports_total", 5.0),
        (r#"fedgate_reported_refusals_total{label="federation-denied"}"#, 6.0),
        (r#"fedgate_reported_failed_calls_total{label="federation-tls-error"}"#, 7.0),
        (r#"fedgate_filter_workers{role="ingress",version="0.1.0"}"#, 8.0),
        ("fedgate_filter_feed_age_seconds", 9.0),
        ("fedgate_brig_up", 1.0),
        ("fedgate_brig_in_step", 0.0),
        ("fedgate_brig_last_success_timestamp_seconds", 1_900_000_000.0),
        (r#"fedgate_brig_drift_rows{kind="not-ours"}"#, 2.0),
        ("fedgate_brig_still_listed_rows", 1.0),
        ("fedgate_brig_strategy_differs", 1.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample} in {samples:#?}");
    }
    let named = samples.keys().filter(|it| it.starts_with("fedgate_partner_state")).count();
    assert_eq!(named, 1001, "a thousand, and the rest");
    assert!(samples["process_resident_memory_bytes"] > 1_000_000.0);
    assert!(samples["process_open_fds"] > 0.0);
    assert!(samples["process_start_time_seconds"] > 1_700_000_000.0);
    assert!(samples.contains_key("process_cpu_seconds_total"));
}

#[test]
fn what_there_is_not_has_no_value() {
    let samples = |facts| read(&page(&Telemetry::default(), facts, Format::Prometheus)).1;
    let without = samples(facts(None, None));
    assert_eq!(without.get("fedgate_dns_failing"), Some(&0.0));
    assert!(!without.contains_key("fedgate_dns_failing_since_timestamp_seconds"));
    assert!(!without.keys().any(|sample| sample.contains("brig")), "{without:#?}");
    // So that an alert on its age is raised, too, where brig never answered.
    let never = samples(facts(Some(brig(None)), None));
    assert_eq!(never.get("fedgate_brig_last_success_timestamp_seconds"), Some(&0.0));
    assert_eq!(never.get("fedgate_brig_up"), Some(&0.0));
}

#[test]
fn counts_of_failures_are_there_before_the_first_so_that_it_is_seen() {
    let telemetry = Telemetry::default();
    telemetry.listens("wire");
    let (_, samples) = read(&page(&telemetry, facts(None, None), Format::Prometheus));
    for operation in ["write", "read", "upkeep", "backup", "check"] {
        let failures = format!(r#"fedgate_store_failures_total{{operation="{operation}"}}"#);
        assert_eq!(samples.get(&failures), Some(&0.0), "{failures}");
    }
    let errors = |telemetry: &Telemetry| {
        let (_, samples) = read(&page(telemetry, facts(None, None), Format::Prometheus));
        samples.get(r#"fedgate_http_errors_total{listener="wire"}"#).copied()
    };
    assert_eq!(errors(&telemetry), Some(0.0));
    for (status, count) in [(499, 0.0), (500, 1.0), (507, 2.0)] {
        telemetry.called("wire", "GET", None, status, Duration::ZERO);
        assert_eq!(errors(&telemetry), Some(count), "{status}");
    }
}

#[test]
fn open_metrics_is_for_those_who_would_rather_have_it() {
    let page = |accept| page(&told(), facts(None, None), Format::accepted(accept));
    for accept in [
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "text/plain;q=0.3 , Application/OpenMetrics-Text; Q=0.5",
        "application/openmetrics-text",
        "application/openmetrics-text;q=0.5,*/*;q=0.1",
    ] {
        assert!(page(Some(accept)).ends_with("\n# EOF\n"), "{accept}");
    }
    for accept in [
        None,
        Some(""),
        Some("*/*"),
        Some("text/plain;version=0.0.4"),
        Some("application/openmetrics-text;q=0"),
        Some("application/openmetrics-text;q=0,*/*"),
        Some("application/openmetrics-text;q=0.2,text/plain;q=0.9"),
        Some("text/plain,application/openmetrics-text;q=0.9"),
        Some("application/openmetrics-text;q=0.2,text/*;q=0.3"),
        Some("application/openmetrics-text;q=0.2,*/*;q=0.3"),
        Some("application/openmetrics-text;q=much"),
        Some("application/openmetrics-texts"),
    ] {
        assert!(!page(accept).contains("# EOF"), "{accept:?}");
    }
}

#[test]
fn the_docs_name_every_metric_and_no_other() {
    let at = SystemTime::now();
    let (families, _) = read(&page(&told(), facts(Some(brig(Some(at))), Some(at)), Format::Prometheus));
    let families: BTreeMap<_, _> =
        families.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    // `| `name{labels}` | kind | … |`
    let rows = DOCS.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.split(['{', '`']).next()?;
        let is_metric = name.starts_with("fedgate_") || name.starts_with("process_");
        is_metric.then_some((name, cells.next()?))
    });
    let documented: Vec<_> = rows.collect();
    let twice = documented.len() - documented.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(twice, 0, "a metric stands there twice");
    assert_eq!(documented.into_iter().collect::<BTreeMap<_, _>>(), families);
}

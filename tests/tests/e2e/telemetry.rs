//! What the control plane's own metrics tell, on a page that Prometheus' own tools find nothing wrong with.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use fedgate_tests::World;
use fedgate_tests::control_plane::{ControlPlane, FILTER_TOKEN, VIEWER_TOKEN};
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, http};

use crate::ask::metrics;
use crate::feed::informed;

/// The values of the page's samples.
fn samples(control_plane: &ControlPlane) -> BTreeMap<String, f64> {
    let (status, _, text) = metrics(control_plane, VIEWER_TOKEN, "*/*");
    assert_eq!(status, 200, "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let read = lines.map(|line| {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        (sample.to_owned(), value.parse().unwrap())
    });
    read.collect()
}

#[test]
fn what_happens_is_on_the_page_and_promtool_finds_nothing_wrong_with_it() {
    let builder = World::builder().records([srv("a.com", 3600, "infra.x.com.")]);
    let world = informed(builder.allow(&["a.com", "absent.com"]).egress().start(), 2);
    let control_plane = world.control_plane.as_ref().unwrap();
    let wrong = http().get(format!("{}/v1/domains", control_plane.url())).call().unwrap();
    assert_eq!(wrong.status(), 401);
    let url = format!("{}/v1/verdicts/unlisted.com", control_plane.verdicts_url());
    let asked =
        http().get(url).header("authorization", format!("Bearer {FILTER_TOKEN}")).call().unwrap();
    assert_eq!(asked.status(), 200);
    eventually("both domains are looked up", || {
        let samples = samples(control_plane);
        let count = |outcome: &str| {
            let name =
                format!(r#"fedgate_lookup_duration_seconds_count{{kind="srv",outcome="{outcome}"}}"#);
            samples.get(&name).copied().unwrap_or_default()
        };
        (count("found") >= 1.0 && count("none") >= 1.0).then_some(())
    });
    let samples = samples(control_plane);
    let call = |method: &str, route: &str, status: &str| {
        let labels = format!(r#"listener="admin",method="{method}",route="{route}",status="{status}""#);
        format!("fedgate_http_request_duration_seconds_count{{{labels}}}")
    };
    for (sample, least) in [
        (call("PUT", "/v1/domains/{domain}", "2xx"), 2.0),
        (call("GET", "/v1/domains", "4xx"), 1.0),
        (r#"fedgate_verdicts_total{outcome="federation-denied"}"#.to_owned(), 1.0),
        (r#"fedgate_store_duration_seconds_count{operation="write"}"#.to_owned(), 2.0),
        (r#"fedgate_cache_entries{listed="true"}"#.to_owned(), 1.0),
        (r#"fedgate_connections{listener="verdicts",peer="known"}"#.to_owned(), 1.0),
        ("fedgate_audit_records_total".to_owned(), 2.0),
        ("fedgate_feed_watchers".to_owned(), 1.0),
        ("fedgate_feed_resets_total".to_owned(), 1.0),
        ("fedgate_refused_calls_total".to_owned(), 1.0),
        ("fedgate_xds_streams".to_owned(), 1.0),
    ] {
        assert!(samples.get(&sample).is_some_and(|value| *value >= least), "{sample}: {samples:#?}");
    }
    assert_eq!(samples[r#"fedgate_store_failures_total{operation="write"}"#].to_string(), "0");

    let (_, kind, text) = metrics(control_plane, VIEWER_TOKEN, "*/*");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let mut promtool = Command::new("promtool");
    promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool, which scripts/setup installs");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");

    let (_, kind, text) =
        metrics(control_plane, VIEWER_TOKEN, "application/openmetrics-text; version=1.0.0");
    assert!(kind.starts_with("application/openmetrics-text") && text.ends_with("# EOF\n"), "{kind}");
    assert_eq!(metrics(control_plane, FILTER_TOKEN, "*/*").0, 403);
}

//! Traces, as a collector gets them over OTLP and HTTP: what is in them, what is not, and what becomes of us where
//! nobody takes them.

use std::collections::HashMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use fedgate_tests::World;
use fedgate_tests::address::Address;
use fedgate_tests::artifacts;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN, VIEWER_TOKEN};
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, http};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A trace that somebody else began, and his span in it.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// What is in no span.
const NOTE: &str = "note-that-is-nobody-elses-business";

/// A collector, which is a brig too.
struct Collector {
    url: String,
    seen: Shared,
    _runtime: Runtime,
}

type Shared = Arc<Mutex<Seen>>;

#[derive(Default)]
struct Seen {
    /// What it answers; 200 where it is 0.
    status: u16,
    /// How many spans of each request it does not want.
    rejected: i64,
    bodies: Vec<Bytes>,
    spans: Vec<Span>,
    /// Of the last request.
    headers: HeaderMap,
    /// With which brig was asked.
    traceparents: Vec<String>,
}

impl Collector {
    fn start() -> Self {
        let seen = Shared::default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(take))
            .route("/i/federation/remotes", get(rows))
            .with_state(seen.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, seen, _runtime: runtime }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Waits for a span.
    fn span(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        eventually(what, || self.seen().spans.iter().find(|span| is_it(span)).cloned())
    }
}

fn lock(seen: &Shared) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    let told = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut seen = lock(&seen);
    let scopes = told.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    seen.spans.extend(scopes.flat_map(|scope| scope.spans));
    seen.bodies.push(body);
    seen.headers = headers;
    let partial_success = (seen.rejected > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: seen.rejected,
        error_message: "words of its own".to_owned(),
    });
    let answer = ExportTraceServiceResponse { partial_success };
    (StatusCode::from_u16(seen.status).unwrap_or(StatusCode::OK), answer.encode_to_vec())
}

async fn rows(State(seen): State<Shared>, headers: HeaderMap) -> Json<serde_json::Value> {
    let traceparent = headers.get("traceparent").map(|it| it.to_str().unwrap().to_owned());
    lock(&seen).traceparents.extend(traceparent);
    Json(json!({"remotes": [], "strategy": "allowDynamic", "update_interval": 10}))
}

/// Has the control plane send ten times a second, with a key that the collector wants.
fn launcher() -> Vec<String> {
    let variables =
        ["OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20key"];
    ["env"].into_iter().chain(variables).map(str::to_owned).collect()
}

fn configuration(url: &str) -> String {
    format!("[telemetry]\notlp_endpoint = \"{url}\"\n")
}

/// A control plane alone, whose DNS does not answer.
fn alone(url: &str) -> (ControlPlane, Address, TempDir) {
    let (address, dir) = (Address::claim(), tempfile::tempdir().unwrap());
    let (dns, more) = ([address.dns()], configuration(url));
    (ControlPlane::launch(&launcher(), address.ip(), dir.path(), &dns, &more), address, dir)
}

fn put(control_plane: &ControlPlane, domain: &str) {
    let request = http().put(format!("{}/v1/domains/{domain}?dry_run=false", control_plane.url()));
    let answer = request
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .header("x-request-id", "change-42")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .send_json(json!({ "note": NOTE }))
        .unwrap();
    assert_eq!(answer.status(), 201);
}

/// Asks for a verdict as a filter does; whether there are hosts.
fn ask(control_plane: &ControlPlane, domain: &str) -> bool {
    let request = http().get(format!("{}/v1/verdicts/{domain}", control_plane.verdicts_url()));
    let request = request.header("authorization", format!("Bearer {FILTER_TOKEN}"));
    let mut answer = request.header("x-request-id", "ask-7").call().unwrap();
    answer.body_mut().read_json::<serde_json::Value>().unwrap()["hosts"].is_array()
}

/// The attributes, as text.
fn said(span: &Span) -> HashMap<&str, String> {
    let attributes = span.attributes.iter().map(|it| {
        let value = it.value.as_ref().and_then(|value| value.value.as_ref()).unwrap();
        let text = if let Value::StringValue(text) = value {
            text.clone()
        } else if let Value::IntValue(number) = value {
            number.to_string()
        } else {
            format!("{value:?}")
        };
        (it.key.as_str(), text)
    });
    attributes.collect()
}

#[track_caller]
fn assert_says(span: &Span, expected: &[(&str, &str)]) {
    let said = said(span);
    for (key, value) in expected {
        assert_eq!(said.get(key).map(String::as_str), Some(*value), "{key} of {span:?}");
    }
}

fn is_about(span: &Span, name: &str, domain: &str) -> bool {
    span.name == name && said(span).get("fedgate.domain").is_some_and(|it| it == domain)
}

#[test]
fn a_call_its_write_and_its_lookup_are_one_trace_and_hold_no_secret() {
    let collector = Collector::start();
    let brig = format!("[brig]\nurl = \"{}\"", collector.url);
    let builder = World::builder()
        .records(["a.com", "c.com", "d.com"].map(|domain| srv(domain, 3600, "infra.x.com.")))
        .records(["infra.x.com. 3600 A 127.0.0.1"])
        .launcher(launcher())
        .discovery(&(configuration(&collector.url) + &brig))
        .strategy("allowAll");
    let mut world = builder.egress().start();
    let refused = world.local().call("a.com", "get-user").unwrap();
    assert_eq!(refused.status, 521, "{refused:?}");
    let control_plane = world.control_plane();
    let stranger = format!("{}/v1/domains/stranger.com", control_plane.url());
    assert_eq!(http().get(stranger).call().unwrap().status(), 401);

    put(control_plane, "c.com");
    let call = collector.span("the call", |span| span.name == "PUT /v1/domains/{domain}");
    assert_eq!(
        (hex::encode(&call.trace_id), hex::encode(&call.parent_span_id)),
        (TRACE.into(), CALLER.into())
    );
    assert_says(
        &call,
        &[
            ("http.request.method", "PUT"),
            ("http.route", "/v1/domains/{domain}"),
            ("http.response.status_code", "201"),
            ("url.path", "/v1/domains/c.com"),
            ("fedgate.listener", "admin"),
            ("fedgate.request_id", "change-42"),
            ("fedgate.by", "admin"),
        ],
    );
    let write = collector.span("the write", |span| is_about(span, "write", "c.com"));
    assert_eq!((&write.trace_id, &write.parent_span_id), (&call.trace_id, &call.span_id));
    let written = [("fedgate.deed", "domain-added"), ("fedgate.request_id", "change-42")];
    assert_says(&write, &[written[0], written[1], ("fedgate.by", "admin"), ("fedgate.changes", "1")]);
    let ahead = collector.span("its lookup", |span| is_about(span, "lookup of a domain", "c.com"));
    assert_says(&ahead, &[("fedgate.outcome", "hosts"), ("fedgate.hosts", "1")]);

    assert!(ask(control_plane, "d.com") && !ask(control_plane, "absent.com"));
    for (domain, outcome) in [("d.com", "hosts"), ("absent.com", "invalid-domain")] {
        let lookup = collector.span("the lookup", |span| is_about(span, "lookup of a domain", domain));
        assert_says(&lookup, &[("fedgate.outcome", outcome)]);
        let call = collector.span("the question", |span| span.span_id == lookup.parent_span_id);
        assert_eq!(call.trace_id, lookup.trace_id);
        let path = format!("/v1/verdicts/{domain}");
        assert_says(&call, &[("fedgate.request_id", "ask-7"), ("url.path", &path)]);
    }

    let addresses = collector.span("addresses", |span| span.name == "lookup of addresses");
    assert_says(&addresses, &[("fedgate.host", "infra.x.com")]);
    let round = collector.span("a round", |span| span.name == "round with brig");
    assert_says(&round, &[("fedgate.brig.mode", "push")]);
    let going_on = format!("00-{}-{}-01", hex::encode(&round.trace_id), hex::encode(&round.span_id));
    let seen = collector.seen();
    assert!(seen.traceparents.contains(&going_on), "{going_on} in {:?}", seen.traceparents);
    assert_eq!(seen.headers["authorization"], "Bearer key");
    for span in &seen.spans {
        assert!(!said(span).values().any(|it| it.contains("stranger")), "{span:?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    let all: Vec<_> = seen.bodies.iter().flatten().copied().collect();
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains("service.name"));
    for secret in [NOTE, ADMIN_TOKEN, FILTER_TOKEN, "dry_run"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[test]
fn a_collector_that_takes_nothing_costs_one_line_of_the_log_and_no_call() {
    let collector = Collector::start();
    collector.seen().status = 500;
    let (control_plane, _address, _dir) = alone(&collector.url);
    let control_plane = &control_plane;
    let lines = |control_plane: &ControlPlane, text| control_plane.log().matches(text).count();
    for n in 0..4 {
        put(control_plane, &format!("d{n}.com"));
        eventually("it was sent", || (collector.seen().bodies.len() > n).then_some(()));
        collector.span("the call", |span| {
            said(span).values().any(|it| *it == format!("/v1/domains/d{n}.com"))
        });
    }
    eventually("it is told", || (lines(control_plane, "takes no traces") > 0).then_some(()));
    collector.seen().status = 200;
    put(control_plane, "well.com");
    eventually("its end too", || (lines(control_plane, "takes traces again") > 0).then_some(()));
    assert_eq!(lines(control_plane, "takes no traces"), 1, "{}", control_plane.log());
}

#[test]
fn a_collector_that_is_away_or_hangs_keeps_nobody_waiting_not_even_at_the_end() {
    // Its port is ours, and what comes there is never answered.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [hanging.local_addr().unwrap(), away] {
        let (mut control_plane, _address, _dir) = alone(&format!("http://{address}"));
        put(&control_plane, "c.com");
        eventually("it is told", || control_plane.log().contains("takes no traces").then_some(()));
        assert!(!ask(&control_plane, "c.com"), "DNS does not answer, and that is told");
        let started = Instant::now();
        control_plane.terminate();
        assert!(started.elapsed() < Duration::from_secs(8), "{address}: {:?}", started.elapsed());
    }
}

/// How many spans came to this, by the control plane's metrics.
fn came_to(control_plane: &ControlPlane, outcome: &str) -> u64 {
    let request = http().get(format!("{}/metrics", control_plane.url()));
    let mut answer = request.header("authorization", format!("Bearer {VIEWER_TOKEN}")).call().unwrap();
    let page = answer.body_mut().read_to_string().unwrap();
    let sample = format!("fedgate_trace_spans_total{{outcome=\"{outcome}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&sample)).unwrap().parse().unwrap()
}

#[test]
fn spans_that_a_collector_does_not_want_are_counted_and_told_once() {
    let collector = Collector::start();
    let (control_plane, _address, _dir) = alone(&collector.url);
    let control_plane = &control_plane;
    put(control_plane, "c.com");
    eventually("some are sent", || (came_to(control_plane, "sent") > 0).then_some(()));
    assert_eq!(came_to(control_plane, "rejected"), 0);
    collector.seen().rejected = 1;
    for n in 0..3 {
        put(control_plane, &format!("d{n}.com"));
        eventually("it is counted", || (came_to(control_plane, "rejected") > n).then_some(()));
    }
    collector.seen().rejected = 0;
    put(control_plane, "well.com");
    eventually("its end is told", || {
        control_plane.log().contains("wants all traces again").then_some(())
    });
    let log = control_plane.log();
    assert_eq!(log.matches("does not want all traces").count(), 1, "{log}");
    assert!(!log.contains("words of its own"), "{log}");
}

#[test]
fn spans_that_find_no_room_are_counted_and_told_once_and_come_again_when_there_is() {
    // Its port is ours, and what comes there waits.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hanging.local_addr().unwrap());
    let (address, dir) = (Address::claim(), tempfile::tempdir().unwrap());
    let launcher = [&launcher()[..], &["OTEL_BSP_MAX_QUEUE_SIZE=4".to_owned()]].concat();
    let control_plane = ControlPlane::launch(
        &launcher,
        address.ip(),
        dir.path(),
        &[address.dns()],
        &configuration(&url),
    );
    let mut number = 0;
    eventually("some find no room", || {
        number += 1;
        put(&control_plane, &format!("d{number}.com"));
        (came_to(&control_plane, "dropped") > 0).then_some(())
    });
    eventually("it is told", || {
        control_plane.log().contains("does not fit into the queue").then_some(())
    });
    eventually("others fail", || (came_to(&control_plane, "failed") > 0).then_some(()));
    drop(hanging);
    eventually("there is room again", || {
        control_plane.log().contains("traces fit into the queue again").then_some(())
    });
}

#[test]
fn whoever_calls_wires_api_without_a_token_makes_no_span() {
    let collector = Collector::start();
    let (address, dir) = (Address::claim(), tempfile::tempdir().unwrap());
    let wire = format!("{}:8603", address.ip());
    let more = format!("[wire_list]\nopen = true\n{}", configuration(&collector.url));
    let control_plane =
        ControlPlane::launch(&launcher(), address.ip(), dir.path(), &[address.dns()], &more);
    control_plane.configure("[listen]\n", &format!("[listen]\nwire = \"{wire}\"\n"));
    let mut control_plane = control_plane;
    control_plane.terminate();
    control_plane.restart();
    let call = |path: &str, token: Option<&str>| {
        let request = http().get(format!("http://{wire}/i/federation/remotes{path}"));
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        assert_eq!(request.call().unwrap().status(), 200);
    };
    call("/nameless.com/teams", None);
    call("/named.com/teams", Some(VIEWER_TOKEN));
    let path = |span: &Span| said(span).get("url.path").cloned().unwrap_or_default();
    collector.span("that of the one with a token", |span| path(span).contains("/named.com/teams"));
    let seen = collector.seen();
    assert!(!seen.spans.iter().any(|span| path(span).contains("nameless")), "{:?}", seen.spans);
}

#[test]
fn variables_that_cannot_be_used_are_refused_by_name_at_the_start_and_when_the_configuration_is_checked()
{
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fedgate.toml");
    std::fs::write(&file, configuration("http://127.0.0.1:9")).unwrap();
    for more in [&["--check-config"][..], &[]] {
        let told = Command::new(artifacts::fedgate())
            .args(["serve", "--config"])
            .arg(&file)
            .args(more)
            .current_dir(dir.path())
            .env("OTEL_TRACES_SAMPLER", "s3cret-sampler")
            .env("OTEL_EXPORTER_OTLP_HEADERS", "s3cret-key")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.code(), Some(2), "{text}");
        for name in ["OTEL_TRACES_SAMPLER: is none of", "OTEL_EXPORTER_OTLP_HEADERS: its part 1 "] {
            assert!(text.contains(name), "{text}");
        }
        assert!(!text.contains("s3cret"), "{text}");
    }
}

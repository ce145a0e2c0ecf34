//! The control plane in trouble: what is still decided, and what the peer is told.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use fedgate_tests::World;
use fedgate_tests::caller::Caller;
use fedgate_tests::control_plane::{
    ADMIN_TOKEN, ControlPlane, FILTER_TOKEN, VERDICTS_PORT, VIEWER_TOKEN,
};
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, http};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{Expect, check_http2, origin};

const UNAVAILABLE: Expect = Refuse(503, "verdict-unavailable");

/// The verdict on a domain, as the filter would be told.
pub(crate) fn verdict(world: &World, domain: &str) -> Value {
    let url = format!("{}/v1/verdicts/{domain}", world.control_plane.as_ref().unwrap().verdicts_url());
    let request = http().get(url).header("authorization", format!("Bearer {FILTER_TOKEN}"));
    request.call().unwrap().body_mut().read_json().unwrap()
}

/// A world in which nobody is listed, so that the control plane is asked about each domain: `a.com`,
/// `c.com` and, with a life of 5 seconds, `short.com`.
fn world() -> World {
    World::builder()
        .records([
            srv("a.com", 3600, "infra.x.com."),
            srv("c.com", 3600, "infra.x.com."),
            srv("short.com", 5, "infra.x.com."),
        ])
        .strategy("allowAll")
        .edit("\"timeout_ms\": 5000", "\"timeout_ms\": 500")
        .start()
}

fn heals(world: &World, caller: &Caller, domain: &str) {
    eventually("requests pass again", || {
        let answer = world.run(async { caller.call("healed", &[origin(domain)]).await });
        (answer.unwrap().status == 200).then_some(())
    });
}

#[test]
fn killed_it_leaves_valid_verdicts_in_force_and_nothing_else() {
    let mut world = world();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "warm", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &caller, "short", &[origin("short.com")], Permit("short.com"));
    world.control_plane().kill();
    check_http2(&world, &caller, "killed_warm", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &caller, "killed_cold", &[origin("c.com")], UNAVAILABLE);
    let wrong = world.caller(&world.identity(&["evil.example"]));
    check_http2(
        &world,
        &wrong,
        "killed_mismatch",
        &[origin("a.com")],
        Refuse(403, "authentication-failure"),
    );
    eventually("the short verdict's life ends", || {
        let answer = world.run(async { caller.call("ends", &[origin("short.com")]).await });
        (answer.unwrap().label() == "verdict-unavailable").then_some(())
    });
    check_http2(&world, &caller, "killed_later", &[origin("a.com")], Permit("a.com"));
    world.control_plane().restart();
    heals(&world, &caller, "c.com");
    world.envoy.assert_vm_alive();
}

#[test]
fn stopped_in_its_tracks_it_costs_a_time_out_and_heals() {
    let mut world = world();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "warm", &[origin("a.com")], Permit("a.com"));
    world.control_plane().freeze();
    check_http2(&world, &caller, "frozen_warm", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &caller, "frozen_cold", &[origin("c.com")], UNAVAILABLE);
    world.control_plane().thaw();
    heals(&world, &caller, "c.com");
}

#[test]
fn a_body_waits_with_its_headers_even_where_envoy_was_told_to_let_it_go() {
    let mut world = World::builder()
        .records([srv("c.com", 3600, "infra.x.com."), srv("d.com", 3600, "infra.y.com.")])
        .strategy("allowAll")
        .edit("\"timeout_ms\": 5000", "\"timeout_ms\": 500")
        .edit(
            "failure_policy: FAIL_RELOAD",
            "failure_policy: FAIL_RELOAD\n                allow_on_headers_stop_iteration: true",
        )
        .start();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    let mismatch = Refuse(403, "authentication-failure");
    check_http2(&world, &caller, "body_refused", &[origin("d.com")], mismatch);
    world.control_plane().freeze();
    check_http2(&world, &caller, "body_frozen", &[origin("c.com")], UNAVAILABLE);
    world.control_plane().thaw();
    heals(&world, &caller, "c.com");
}

#[test]
fn a_vm_that_crashes_costs_its_request_and_lets_nothing_pass() {
    let world = World::builder()
        .records([srv("a.com", 3600, "infra.x.com.")])
        .allow(&["a.com"])
        .edit("fedgate_filter.wasm", "fedgate_filter_that_panics.wasm")
        .start();
    let good = world.caller(&world.identity(&["infra.x.com"]));
    let evil = world.caller(&world.identity(&["evil.example"]));
    for round in 0..3 {
        let rpc = format!("crash-{round}");
        let headers = [origin("a.com"), ("x-fedgate-panic", &b"1"[..])];
        let answer = world.run(async { good.call(&rpc, &headers).await }).unwrap();
        assert_eq!(answer.status, 503, "{rpc}");
        assert!(!world.backend.saw(&rpc), "{rpc}");
        // A new VM, which knows nothing yet, comes at once or a moment later; never does one pass
        // that should not.
        let rpc = format!("evil-{round}");
        let answer = world.run(async { evil.call(&rpc, &[origin("a.com")]).await }).unwrap();
        assert!([403, 503].contains(&answer.status), "{rpc}: {}", answer.status);
        assert!(!world.backend.saw(&rpc), "{rpc}");
        heals(&world, &good, "a.com");
    }
}

#[test]
fn a_verdict_serves_no_longer_than_the_staleness_that_is_allowed() {
    let mut world = World::builder()
        .records([srv("a.com", 3600, "infra.x.com.")])
        .allow(&["a.com"])
        .edit("\"max_staleness_s\": 900", "\"max_staleness_s\": 2")
        .start();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "fresh", &[origin("a.com")], Permit("a.com"));
    world.control_plane().kill();
    eventually("the verdict is too old", || {
        let answer = world.run(async { caller.call("stale", &[origin("a.com")]).await });
        (answer.unwrap().label() == "verdict-unavailable").then_some(())
    });
}

#[test]
fn restarted_with_an_empty_database_it_allows_nobody() {
    let mut world = world();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "before", &[origin("short.com")], Permit("short.com"));
    world.control_plane().kill();
    world.control_plane().forget();
    world.control_plane().restart();
    check_http2(&world, &caller, "cold", &[origin("c.com")], Refuse(400, "federation-denied"));
    eventually("the short verdict's life ends", || {
        let answer = world.run(async { caller.call("ends", &[origin("short.com")]).await });
        (answer.unwrap().label() == "federation-denied").then_some(())
    });
}

#[test]
fn envoy_may_start_first() {
    let mut world =
        World::builder().records([srv("a.com", 60, "infra.x.com.")]).without_control_plane().start();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "too_early", &[origin("a.com")], UNAVAILABLE);
    let control_plane = ControlPlane::start(world.ip(), world.dir(), world.dns.address(), "");
    control_plane.add(&["a.com"]);
    world.control_plane = Some(control_plane);
    heals(&world, &caller, "a.com");
}

#[test]
fn a_wrong_token_is_told_in_envoys_log() {
    let world = World::builder()
        .records([srv("a.com", 60, "infra.x.com.")])
        .allow(&["a.com"])
        .edit("host_env_keys: [FEDGATE_TOKEN]", "key_values: {FEDGATE_TOKEN: not-the-token}")
        .start();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "wrong_token", &[origin("a.com")], UNAVAILABLE);
    eventually("the log names the cure", || {
        world.envoy.log().contains("refuses the filter's token (401)").then_some(())
    });
}

#[test]
fn each_role_may_do_only_its_own() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let (admin, verdicts) = (control_plane.url(), control_plane.verdicts_url());
    let status = |token: Option<&str>, method: &str, url: &str| -> u16 {
        let mut request = axum::http::Request::builder().method(method).uri(url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        http().run(request.body(()).unwrap()).unwrap().status().as_u16()
    };
    let domain = format!("{admin}/v1/domains/a.com");
    let verdict = format!("{verdicts}/v1/verdicts/a.com");
    for (token, put, list, lookup) in [
        (None, 401, 401, 401),
        (Some("wrong"), 401, 401, 401),
        (Some(VIEWER_TOKEN), 403, 200, 403),
        (Some(FILTER_TOKEN), 403, 403, 200),
        (Some(ADMIN_TOKEN), 201, 200, 403),
    ] {
        assert_eq!(status(token, "PUT", &domain), put, "{token:?}");
        assert_eq!(status(token, "GET", &format!("{admin}/v1/domains")), list, "{token:?}");
        assert_eq!(status(token, "GET", &verdict), lookup, "{token:?}");
    }
}

#[test]
fn a_stream_that_is_reset_while_it_waits_harms_nobody() {
    let mut world = world();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    world.control_plane().freeze();
    world.run(async {
        let connection = caller.http2().await.unwrap();
        for n in 0..50 {
            connection.call_and_reset(&format!("reset-{n}"), &[origin("c.com")]).await.unwrap();
        }
        // Sent after the resets on the same connection: when it is answered, they have been seen.
        connection.call("after-resets", &[origin("c.com")]).await.unwrap();
    });
    world.control_plane().thaw();
    heals(&world, &caller, "c.com");
    assert!((0..50).all(|n| !world.backend.saw(&format!("reset-{n}"))));
    world.envoy.assert_vm_alive();
}

/// Answers every lookup in the control plane's place.
fn impostor<R>(respond: impl Fn(&str) -> R + Clone + Send + Sync + 'static) -> World
where
    R: IntoResponse,
{
    let world = World::builder()
        .without_control_plane()
        .edit("\"timeout_ms\": 5000", "\"timeout_ms\": 500")
        .start();
    let handler = move |Path(domain): Path<String>| {
        let response = respond(&domain).into_response();
        async move { response }
    };
    let router = Router::new().route("/v1/verdicts/{domain}", axum::routing::get(handler));
    let address = SocketAddr::from((world.ip(), VERDICTS_PORT));
    let listener = world.run(tokio::net::TcpListener::bind(address)).unwrap();
    world.runtime().spawn(async move { axum::serve(listener, router).await });
    world
}

fn json(domain: &str) -> String {
    format!(r#"{{"domain":"{domain}","hosts":["infra.x.com"],"ttl_ms":60000}}"#)
}

fn check_impostor<R>(
    name: &str,
    expect: Expect,
    respond: impl Fn(&str) -> R + Clone + Send + Sync + 'static,
) where
    R: IntoResponse,
{
    let world = impostor(respond);
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, name, &[origin("a.com")], expect);
    world.envoy.assert_vm_alive();
}

const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

#[test]
fn an_impostor_with_a_good_answer_would_be_believed() {
    check_impostor("good_answer", Permit("a.com"), |domain| (JSON, json(domain)));
}

#[test]
fn an_error_status_is_no_verdict() {
    let answer = |domain: &str| (StatusCode::INTERNAL_SERVER_ERROR, JSON, json(domain));
    check_impostor("status_500", UNAVAILABLE, answer);
}

#[test]
fn garbage_is_no_verdict() {
    check_impostor("garbage", UNAVAILABLE, |_| (JSON, Bytes::from_static(b"\xff\xfe\x00{}")));
}

#[test]
fn truncated_json_is_no_verdict() {
    check_impostor("truncated", UNAVAILABLE, |domain| (JSON, json(domain)[..40].to_owned()));
}

#[test]
fn a_wrong_content_type_is_no_verdict() {
    let answer = |domain: &str| ([(header::CONTENT_TYPE, "text/html")], json(domain));
    check_impostor("content_type", UNAVAILABLE, answer);
}

#[test]
fn a_verdict_on_another_domain_is_none_on_this() {
    check_impostor("other_domain", UNAVAILABLE, |_| (JSON, json("other.com")));
}

#[test]
fn an_answer_of_a_megabyte_is_no_verdict() {
    let answer = |domain: &str| (JSON, json(domain) + &" ".repeat(1 << 20));
    check_impostor("megabyte", UNAVAILABLE, answer);
}

#[test]
fn json_nested_ten_thousand_deep_is_no_verdict() {
    check_impostor("nested", UNAVAILABLE, |_| (JSON, "[".repeat(10_000)));
}

#[test]
fn a_server_that_speaks_no_http_is_no_control_plane() {
    let world = World::builder()
        .without_control_plane()
        .edit("\"timeout_ms\": 5000", "\"timeout_ms\": 500")
        .start();
    let address = SocketAddr::from((world.ip(), VERDICTS_PORT));
    let listener = world.run(tokio::net::TcpListener::bind(address)).unwrap();
    world.runtime().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The peer may hang up first, which is as good.
            let _ = stream.write_all(b"SSH-2.0-whatever\r\n\xff\xff\xff").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "no_http", &[origin("a.com")], UNAVAILABLE);
    world.envoy.assert_vm_alive();
}

//! Wire as it is: what its own services and federators send, want back and cannot bear.

use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::any;
use fedgate_tests::backend::ASSET;
use fedgate_tests::caller::{Answer, Header};
use fedgate_tests::http2::Http2;
use fedgate_tests::process::{eventually, http};
use fedgate_tests::{World, WorldBuilder};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::claim::{origin, received};
use crate::egress::{announce, caller, peer};
use crate::shared;

/// `a.com` and `b.com`, each with both doors, which allow each other.
fn federation(a: WorldBuilder, b: WorldBuilder) -> (World, World) {
    let private = "allow_private_addresses = true\n";
    let a = a.backend("a.com").egress().discovery(private).start();
    let b = b.joins(&a).egress().discovery(private).start();
    // Names first, and then the lists, so that nothing is looked up before it is there.
    for world in [&a, &b] {
        world.announce(&a.dns);
    }
    for (world, other) in [(&a, "b.com"), (&b, "a.com")] {
        world.control_plane.as_ref().unwrap().add(&[other]);
    }
    (a, b)
}

fn plain() -> WorldBuilder {
    World::builder()
}

// === what a component gets ===

#[test]
fn a_component_gets_json_whatever_the_caller_says_of_it() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    for said in [&[][..], &["text/plain"], &["application/json"], &["text/plain", "image/png"]] {
        let types = said.iter().map(|value| ("content-type", value.as_bytes()));
        let headers: Vec<_> = [origin("a.com")].into_iter().chain(types).collect();
        let answer = world.run(caller.call("json", &headers)).unwrap();
        assert_eq!(answer.status, 200, "{said:?}");
        assert_eq!(received(&answer, "content-type"), ["application/json"], "{said:?}");
    }
}

#[test]
fn without_the_listeners_word_a_component_refuses_wires_call() {
    let line = "            - header: {key: Content-Type, value: application/json}\n              \
                append_action: OVERWRITE_IF_EXISTS_OR_ADD\n";
    let (a, _b) = federation(plain(), plain().edit(line, ""));
    let answer = a.local().call("b.com", "search-users").unwrap();
    assert_eq!((answer.status, &answer.json()["inner"]["code"]), (533, &json!(415)));
}

// === TLS ===

/// Calls between `a.com` and a `b.com` whose ingress speaks only these versions and groups of TLS.
#[track_caller]
fn assert_called_and_calls(lowest: &str, highest: &str, group: &str) {
    let says = |what: &str, version: &str| format!("tls_{what}_protocol_version: {version}");
    let b = plain()
        .edit(&says("minimum", "TLSv1_2"), &says("minimum", lowest))
        .edit(&says("maximum", "TLSv1_3"), &says("maximum", highest))
        .edit("[X25519MLKEM768, X25519, P-256, P-384]", &format!("[{group}]"));
    let (a, b) = federation(plain(), b);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let answer = from.local().call(to.domain(), "search-users").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

#[test]
fn a_peer_that_takes_only_what_wires_newer_ingress_takes_is_called_and_calls() {
    assert_called_and_calls("TLSv1_3", "TLSv1_3", "X25519MLKEM768");
}

#[test]
fn a_peer_of_older_days_is_called_and_calls() {
    assert_called_and_calls("TLSv1_2", "TLSv1_2", "P-384");
}

#[test]
fn a_connection_for_each_call_is_as_good_as_one_for_all() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    let other = world.caller(&world.identity(&["evil.example"]));
    for _ in 0..50 {
        let answer = world.run(caller.call("fresh", &[origin("a.com")])).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        let answer = world.run(other.call("fresh", &[origin("a.com")])).unwrap();
        assert_eq!(answer.label(), "authentication-failure");
    }
    world.envoy.assert_vm_alive();
}

// === errors of the other backend ===

/// A body whose pieces travel one by one, and after them trailers, if that is said.
fn body(pieces: &[&str], trailers: bool) -> Body {
    let fields = || [("x-secret".parse().unwrap(), "1".parse().unwrap())].into_iter().collect();
    let pieces = pieces.iter().map(|piece| Frame::data(Bytes::from((*piece).to_owned())));
    let frames: Vec<_> = pieces.chain(trailers.then(|| Frame::trailers(fields()))).collect();
    let slowly = stream::unfold(frames.into_iter(), |mut frames| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok::<_, Infallible>(frames.next()?), frames))
    });
    Body::new(StreamBody::new(slowly))
}

#[test]
fn what_the_other_backend_says_is_in_inner_and_nothing_else_of_it_is() {
    let object = json!({"code": 400, "label": "bad-request", "message": "in $:\n key \"x\""});
    let mut more = object.clone();
    more["data"] = json!({"secret": 1});
    more["inner"] = json!({"secret": 2});
    let text = more.to_string();
    let (half, other_half) = text.split_at(40);
    let unknown =
        |code: u16, message: &str| json!({"code": code, "label": "unknown-error", "message": message});
    let html = "<html><body>bad gateway</body></html>";
    let without_label = r#"{"code":404,"message":"no"}"#;
    let long = "x".repeat(300_000);
    let cut = format!("{}…", "x".repeat(1000));
    let rows = [
        (400, vec![text.as_str()], false, object.clone()),
        (400, vec![half, other_half], false, object.clone()),
        (400, vec![half, other_half], true, object),
        (500, vec![html], false, unknown(500, html)),
        (502, vec![], false, unknown(502, "")),
        (404, vec![without_label], false, unknown(404, without_label)),
        (503, vec![long.as_str(), long.as_str()], true, unknown(503, &cut)),
        (302, vec![""], false, unknown(302, "")),
    ];
    let mut router = Router::new();
    for (row, (status, pieces, trailers, _)) in rows.iter().enumerate() {
        let status = StatusCode::from_u16(*status).unwrap();
        let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        let trailers = *trailers;
        let answer = any(move || async move {
            (status, body(&pieces.iter().map(String::as_str).collect::<Vec<_>>(), trailers))
        });
        router = router.route(&format!("/federation/brig/row-{row}"), answer);
    }
    // An error of headers and trailers alone leaves no room for a body.
    let bare = any(|| async { (StatusCode::BAD_GATEWAY, body(&[], true)) });
    let world = caller().start();
    let _peer = peer(&world, router.route("/federation/brig/bare", bare));
    let answer = world.local().call("b.com", "bare").unwrap();
    assert_eq!((answer.status, answer.body.len(), answer.header("x-secret")), (533, 0, None));
    for (row, (status, _, _, inner)) in rows.iter().enumerate() {
        let answer = world.local().call("b.com", &format!("row-{row}"));
        let answer =
            answer.unwrap_or_else(|error| panic!("row {row}: {error:?}\n{}", world.envoy.log()));
        let told = answer.json();
        assert_eq!((answer.status, answer.label().as_str()), (533, "federation-remote-error"), "{row}");
        assert_eq!(&told["inner"], inner, "row {row}, {status}");
        assert!(answer.body.len() < 4096, "row {row}: {} octets", answer.body.len());
        assert!(answer.header("x-secret").is_none());
        let mut names: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["code", "data", "inner", "label", "message", "request_id"]);
    }
    world.envoy.assert_vm_alive();
}

// === one number ===

/// Whether a log has a line with this number.
fn tells(log: &str, number: &str) -> Option<()> {
    log.contains(number).then_some(())
}

#[test]
fn a_request_keeps_its_number_from_the_first_service_to_the_last() {
    // With no table, each request has the control plane asked.
    let asking = || plain().edit("\"max_staleness_s\": 900", "\"max_staleness_s\": 0");
    let (a, b) = federation(asking(), asking());
    let call = |rpc: &str, headers: &[Header<'_>]| {
        let path = format!("/rpc/b.com/brig/{rpc}");
        let connection =
            a.run(Http2::over(a.run(TcpStream::connect(a.envoy.egress())).unwrap(), "http://x"));
        let answer = a.run(connection.unwrap().request("POST", &path, headers)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        let [number] = <[String; 1]>::try_from(received(&answer, "request-id")).unwrap();
        for name in ["wire-origin-request-id", "x-request-id"] {
            assert_eq!(received(&answer, name), [number.as_str()], "{name}");
        }
        for world in [&a, &b] {
            assert_eq!(world.envoy.access_log(rpc)["request_id"], number);
            let log = || world.control_plane.as_ref().unwrap().log();
            eventually("the control plane's log has the number", || tells(&log(), &number));
        }
        number
    };
    assert_eq!(call("of-wire", &[("request-id", b"r1-of-wire")]), "r1-of-wire");
    assert_eq!(call("of-another", &[("x-request-id", b"r2-of-another")]), "r2-of-another");
    let both = [("x-request-id", &b"x"[..]), ("request-id", b"r3-of-wire")];
    assert_eq!(call("both", &both), "r3-of-wire");
    let long = "l".repeat(3000);
    assert_eq!(call("long", &[("request-id", long.as_bytes())]), long[..100]);
    assert!(call("without", &[]).len() > 16, "made up");
}

#[test]
fn a_refusal_has_the_number_of_its_request() {
    let (a, b) = federation(plain(), plain());
    a.control_plane.as_ref().unwrap().cli(&["domain", "remove", "b.com"]).unwrap();
    let number = ("request-id", &b"r1-denied"[..]);
    let refused = eventually("b.com is refused", || {
        let answer = a.local().request("POST", "/rpc/b.com/brig/denied", &[number]).unwrap();
        (answer.status == 400).then_some(answer)
    });
    assert_eq!(refused.json()["request_id"], "r1-denied");
    let caller = b.caller(&b.identity(&["evil.example"]));
    let number = ("wire-origin-request-id", &b"r2 \xff evil"[..]);
    let refused = b.run(caller.call("evil", &[origin("a.com"), number])).unwrap();
    assert_eq!(refused.json()["request_id"], "r2???evil");
    b.envoy.assert_vm_alive();
}

// === probes ===

fn status(world: &World) -> Answer {
    world.local().request("GET", "/i/status", &[]).unwrap()
}

#[test]
fn a_probe_is_told_whether_calls_can_be_decided() {
    let mut world = caller().edit("\"max_staleness_s\": 900", "\"max_staleness_s\": 1").start();
    let is = |world: &World, expected: u16| {
        eventually("the status changes", || (status(world).status == expected).then_some(()));
    };
    is(&world, 200);
    world.control_plane().kill();
    is(&world, 503);
    assert_eq!(status(&world).label(), "verdict-unavailable");
    world.control_plane().restart();
    is(&world, 200);
    world.envoy.tell("/healthcheck/fail");
    is(&world, 503);
    assert_eq!(world.local().request("POST", "/i/status", &[]).unwrap().status, 503);
    world.envoy.tell("/healthcheck/ok");
    is(&world, 200);
    assert!(!world.envoy.log().contains(r#""path":"/i/status""#), "probes fill no log");
    world.envoy.assert_vm_alive();
}

// === large bodies ===

#[test]
fn a_large_call_over_any_version_goes_to_the_next_target_where_the_first_is_dead() {
    for octets in [0, 100_000, 1_000_000, 5_000_000] {
        let world = caller().start();
        // Nobody listens at the first; the second takes connections, and says nothing.
        announce(&world, "dead.b.com", 1, 10, (world.ip(), 7008).into());
        let silent = world.run(TcpListener::bind((world.ip(), 7009))).unwrap();
        announce(&world, "silent.b.com", 2, 10, silent.local_addr().unwrap());
        let echo = |body: Bytes| async move { body.len().to_string() };
        let _peer = peer(&world, Router::new().fallback(any(echo)).layer(DefaultBodyLimit::disable()));
        let path = "/rpc/b.com/brig/large";
        let body = vec![b'x'; octets];
        let answer = http().post(format!("http://{}{path}", world.envoy.egress())).send(&body[..]);
        let mut answer = answer.unwrap();
        let told = answer.body_mut().read_to_string().unwrap();
        assert_eq!((answer.status().as_u16(), &*told), (200, &*octets.to_string()), "over HTTP/1.1");
        let local = world.local();
        let answer = local.read(local.open("POST", path, &[], body.into()).unwrap()).unwrap();
        let told = String::from_utf8_lossy(&answer.body);
        assert_eq!((answer.status, &*told), (200, &*octets.to_string()), "over HTTP/2");
        // (Envoys that begin anew with a call once its cluster has come log it twice.)
        let calls = |line: &str| serde_json::from_str::<Value>(line).ok()?["attempts"].as_u64();
        eventually("the log tells of three tries", || {
            world.envoy.log().lines().filter_map(calls).find(|tries| *tries >= 3)
        });
    }
}

#[test]
fn an_asset_of_100_mb_goes_through_both_envoys_and_is_kept_by_none() {
    let (a, b) = federation(plain(), plain());
    let local = a.local();
    let path = "/rpc/b.com/cargohold/stream-asset";
    assert_eq!(local.call("b.com", "warm").unwrap().status, 200);
    let before = [&a, &b].map(|world| resident(world.envoy.id()));
    let response = local.open("POST", path, &[], "{}".into()).unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut octets = local.next(&mut body).unwrap().unwrap().len();
    // The reader takes no more, so the peer's Envoy soon has nowhere to send to.
    let sent = || b.envoy.stat("http.federation_ingress.downstream_cx_tx_bytes_total");
    let (mut last, mut polls) = (None, 0);
    eventually("everything stands still", || {
        polls = if last == sent() { polls + 1 } else { 0 };
        last = sent();
        (polls > 20).then_some(())
    });
    assert!(last.is_some_and(|sent| sent < 16 << 20), "{last:?} octets came unasked for");
    while let Some(piece) = local.next(&mut body).unwrap() {
        octets += piece.len();
    }
    assert_eq!(octets, ASSET);
    for (world, before) in [&a, &b].into_iter().zip(before) {
        let grown = peak(world.envoy.id()).saturating_sub(before);
        assert!(grown <= 16 << 20, "the Envoy of {} grew by {grown} octets", world.domain());
    }
}

/// The memory that a process holds, in octets.
fn resident(id: u32) -> u64 {
    memory(id, "VmRSS:")
}

/// The most that it ever held.
fn peak(id: u32) -> u64 {
    memory(id, "VmHWM:")
}

fn memory(id: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

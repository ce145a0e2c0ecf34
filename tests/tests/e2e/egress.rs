//! Calls of our own services to other backends: what goes out, what comes back, and what does not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use fedgate_tests::caller::Answer;
use fedgate_tests::dns::{service, srv};
use fedgate_tests::peer::Peer;
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::process::eventually;
use fedgate_tests::{World, WorldBuilder};
use serde_json::{Value, json};

use super::listener::hostcalls;

/// The port of the one peer that most tests need.
const PORT: u16 = 7001;

/// `a.com`, which calls; its peers are on its own address.
pub(super) fn caller() -> WorldBuilder {
    World::builder().backend("a.com").egress().discovery("allow_private_addresses = true\n")
}

/// Puts `b.com` on the list, once it is announced: it is looked up at once, and what is not there stays
/// so for a while.
pub(super) fn list(world: &World) {
    world.control_plane.as_ref().unwrap().add(&["b.com"]);
}

/// Announces a target of `b.com`'s at an address.
pub(super) fn announce(world: &World, target: &str, priority: u16, weight: u16, at: SocketAddr) {
    world.dns.update(&[
        &format!("update add {} 5 SRV {priority} {weight} {} {target}.", service("b.com"), at.port()),
        &format!("update delete {target}. A"),
        &format!("update add {target}. 5 A {}", at.ip()),
    ]);
}

/// A peer at `infra.b.com`, announced.
pub(super) fn peer(world: &World, router: Router) -> Peer {
    let at = SocketAddr::from((world.ip(), PORT));
    let peer = Peer::serve(at, &world.identity(&["infra.b.com"]), world.authority.pem(), router);
    announce(world, "infra.b.com", 10, 10, at);
    list(world);
    peer
}

/// A peer that shows `identity`, and tells what it received.
fn echo(world: &World, identity: &Identity) -> Peer {
    let at = SocketAddr::from((world.ip(), PORT));
    let peer = Peer::echo(at, "infra.b.com", identity, world.authority.pem());
    announce(world, "infra.b.com", 10, 10, at);
    list(world);
    peer
}

fn header<'a>(received: &'a Value, name: &str) -> Option<&'a str> {
    let headers = received["headers"].as_array()?;
    headers.iter().find(|header| header[0] == name)?[1].as_str()
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, label: &str) {
    assert_eq!((answer.status, answer.label().as_str()), (status, label), "{}", answer.json());
    assert_eq!(answer.json()["code"], status);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn two_backends_call_each_other_through_both_gates() {
    let a = caller().start();
    let b = World::builder().joins(&a).egress().discovery("allow_private_addresses = true\n").start();
    a.announce(&a.dns);
    b.announce(&a.dns);
    list(&a);
    b.control_plane.as_ref().unwrap().add(&["a.com"]);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let answer = from.local().call(to.domain(), "search-users").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(answer.header("wire-remote-ip"), Some(to.ip().to_string().as_str()));
        let received = answer.json();
        assert_eq!(received["component"], "brig");
        assert_eq!(received["path"], "/federation/search-users");
        assert_eq!(header(&received, "wire-origin-domain"), Some(from.domain()));
        from.envoy.assert_vm_alive();
    }
}

#[test]
fn a_call_leaves_the_house_in_our_name_and_without_what_is_ours_alone() {
    let world = caller().start();
    let _peer = echo(&world, &world.identity(&["infra.b.com"]));
    let answer = world
        .local()
        .request(
            "POST",
            "/rpc/B.com/galley/on-message-sent",
            &[
                ("wire-origin-domain", b"evil.example"),
                ("Wire-Origin-Domain", b"a.com"),
                ("authorization", b"Bearer secret"),
                ("cookie", b"zuid=secret"),
                ("z-user", b"secret"),
                ("x-forwarded-for", b"10.0.0.1"),
                ("x-envoy-retry-on", b"5xx"),
                ("x-fedgate-cluster", b"federation/c.com"),
                ("x-fedgate-cluster", b"federation/d.com"),
                ("z-bytes", b"\xff\xfe"),
                ("z-user", b"another secret"),
                ("wire-origin-request-id", b"another's"),
                ("x-wire-api-version", b"v1"),
                ("request-id", b"request-1"),
            ],
        )
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    let received = answer.json();
    assert_eq!(received["path"], "/federation/galley/on-message-sent");
    assert_eq!((&received["host"], &received["version"]), (&json!("infra.b.com"), &json!("HTTP/2.0")));
    let mut names: Vec<_> = received["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| header[0].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "request-id",
            "wire-origin-domain",
            "wire-origin-request-id",
            "x-request-id",
            "x-wire-api-version"
        ]
    );
    assert_eq!(header(&received, "wire-origin-domain"), Some("a.com"));
}

#[test]
fn a_warm_call_costs_two_hostcalls_that_return_data() {
    let world = caller().envoy_args(&["--component-log-level", "wasm:trace"]).start();
    let _peer = echo(&world, &world.identity(&["infra.b.com"]));
    let call = |rpc| {
        let answer = world.local().call("b.com", rpc).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        world.envoy.access_log(rpc);
        world.envoy.log()
    };
    let before = call("cold").len();
    let after = &call("warm")[before..];
    assert_eq!(
        hostcalls(after, "proxy_on_request_headers"),
        [
            "clock_time_get",
            "proxy_get_header_map_pairs",
            "proxy_replace_header_map_value",
            "proxy_replace_header_map_value",
        ]
    );
    assert_eq!(hostcalls(after, "proxy_on_response_headers"), ["proxy_get_header_map_value"]);
}

#[test]
fn a_call_that_may_not_be_made_says_why() {
    let world = caller()
        .records([srv("closed.com", 60, "."), srv("unlisted.com", 60, "infra.unlisted.com.")])
        .allow(&["absent.com", "closed.com", "x.broken.example"])
        .start();
    let local = world.local();
    for (domain, status, label) in [
        ("unlisted.com", 400, "federation-denied"),
        ("absent.com", 422, "invalid-domain"),
        ("closed.com", 422, "invalid-domain"),
        ("x.broken.example", 400, "discovery-failure"),
    ] {
        let answer = local.call(domain, "search-users").unwrap();
        assert_error(&answer, status, label);
        assert_eq!(
            answer.json()["data"],
            json!({"type": "federation", "domain": domain, "path": "/federation/brig/search-users"})
        );
    }
    assert_eq!(world.dns.queries("unlisted.com"), 0);
    world.envoy.assert_vm_alive();
}

#[test]
fn what_is_no_call_is_an_invalid_endpoint() {
    let world = caller().start();
    let peer = echo(&world, &world.identity(&["infra.b.com"]));
    for (method, path) in [
        ("GET", "/rpc/b.com/brig/search-users"),
        ("PUT", "/rpc/b.com/brig/search-users"),
        ("POST", "/rpc/b.com/brig/search-users?query"),
        ("POST", "/rpc/b.com/gundeck/search-users"),
        ("POST", "/rpc/b.com/brig/../../search-users"),
        ("POST", "/rpc/b_c/brig/search-users"),
        ("POST", "/rpc/b.com/brig"),
        ("POST", "/federation/brig/search-users"),
        ("POST", "/rpc/b.com/brig/search-users/"),
        ("POST", "/"),
    ] {
        let cluster = ("x-fedgate-cluster", b"federation/b.com".as_slice());
        let answer = world.local().request(method, path, &[cluster]).unwrap();
        assert_error(&answer, 403, "invalid-endpoint");
    }
    assert_eq!(peer.calls(), 0);
    world.envoy.assert_vm_alive();
}

#[test]
fn a_backend_that_takes_no_connection_is_521() {
    let world = caller().start();
    announce(&world, "infra.b.com", 10, 10, (world.ip(), PORT).into());
    list(&world);
    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_error(&answer, 521, "federation-connection-refused");
    assert_eq!(answer.json()["data"]["domain"], "b.com");
    let target = format!("infra.b.com at {}:{PORT}", world.ip());
    assert!(answer.json()["message"].as_str().unwrap().contains(&target), "{}", answer.json());
    let entry = eventually("the access log names target and address", || {
        world
            .envoy
            .log()
            .lines()
            .find(|line| line.contains(r#""target":"infra.b.com""#))
            .map(str::to_owned)
    });
    assert!(entry.contains(&format!(r#""upstream_address":"{}:{PORT}""#, world.ip())), "{entry}");
    // (Envoys that begin anew with a call once its cluster has come log it twice.)
    eventually("the access log names the label", || {
        world.envoy.log().contains(r#""refusal":"federation-connection-refused""#).then_some(())
    });
    let refusals = "wasmcustom.fedgate.egress.failures.label.federation-connection-refused";
    eventually("it is counted", || world.envoy.stat(refusals).filter(|count| *count == 1));
}

#[test]
fn a_private_address_is_not_called_unless_that_is_allowed() {
    let world = World::builder().backend("a.com").egress().start();
    let peer = echo(&world, &world.identity(&["infra.b.com"]));
    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_error(&answer, 521, "federation-connection-refused");
    assert_eq!(peer.calls(), 0);
}

#[test]
fn a_server_that_does_not_prove_to_be_the_target_is_525() {
    let stranger = Authority::root("an authority of somebody else");
    for (what, identity) in
        [("another name", None), ("another authority", Some(stranger.issue(&Leaf::of(["infra.b.com"]))))]
    {
        let world = caller().start();
        let identity = identity.unwrap_or_else(|| world.identity(&["b.com", "infra.c.com"]));
        let peer = echo(&world, &identity);
        let answer = world.local().call("b.com", "search-users").unwrap();
        assert_error(&answer, 525, "federation-tls-error");
        assert_eq!(peer.calls(), 0, "{what}");
    }
}

#[test]
fn a_server_that_does_not_take_our_certificate_says_so_after_the_handshake() {
    let world = caller().start();
    let at = SocketAddr::from((world.ip(), PORT));
    let others = Authority::root("an authority of somebody else");
    let peer = Peer::echo(at, "infra.b.com", &world.identity(&["infra.b.com"]), others.pem());
    announce(&world, "infra.b.com", 10, 10, at);
    list(&world);
    let answer = world.local().call("b.com", "search-users").unwrap();
    // In TLS 1.3 our side of the handshake is over before theirs: Envoy sees a connection that ends.
    assert_error(&answer, 533, "federation-http2-error");
    assert!(answer.json()["message"].as_str().unwrap().contains("connection_termination"));
    assert_eq!(peer.calls(), 0);
}

#[test]
fn an_error_of_the_other_backend_is_533_and_repeats_what_it_said() {
    let world = caller().start();
    let refusal = r#"{"code":403,"label":"authentication-failure","message":"the names"}"#;
    let _peer = peer(
        &world,
        Router::new()
            .route(
                "/federation/brig/refused",
                any(move || async move { (StatusCode::FORBIDDEN, refusal) }),
            )
            .route("/federation/brig/empty", any(|| async { StatusCode::IM_A_TEAPOT }))
            .route(
                "/federation/brig/large",
                any(|| async { (StatusCode::BAD_GATEWAY, "x".repeat(3 << 20)) }),
            )
            .route("/federation/brig/moved", any(|| async { StatusCode::FOUND })),
    );
    for (rpc, said) in [
        ("refused", "answered with status 403: authentication-failure: the names"),
        ("empty", "answered with status 418: unknown-error"),
        ("large", "answered with status 502: unknown-error: xxx"),
        ("moved", "answered with status 302: unknown-error"),
        ("missing", "answered with status 404: unknown-error"),
    ] {
        let answer = world.local().call("b.com", rpc).unwrap();
        assert_error(&answer, 533, "federation-remote-error");
        assert!(answer.json()["message"].as_str().unwrap().contains(said), "{}", answer.json());
        assert_eq!(answer.json()["data"]["path"], format!("/federation/brig/{rpc}"));
        assert!(answer.body.len() < 2048);
    }
    world.envoy.assert_vm_alive();
}

#[test]
fn a_call_that_may_have_been_carried_out_is_never_repeated() {
    let world = caller().start();
    // The stream breaks off after the request has come, and before an answer.
    let peer = peer(
        &world,
        Router::new().fallback(any(|body: String| async move {
            assert!(body.len() > 2, "told to break");
        })),
    );
    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_error(&answer, 533, "federation-http2-error");
    assert_eq!(peer.calls(), 1);
}

#[test]
fn a_first_call_without_a_body_is_made_as_any_other() {
    let world = caller().start();
    let _peer = echo(&world, &world.identity(&["infra.b.com"]));
    let answer = world.local().call_without_body("b.com", "api-version").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.json()["path"], "/federation/brig/api-version");
}

#[test]
fn a_large_answer_comes_whole() {
    let world = caller().start();
    let _peer = peer(&world, Router::new().fallback(any(|| async { "x".repeat(5 << 20) })));
    let answer = world.local().call("b.com", "get-asset").unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 5 << 20));
}

#[test]
fn a_domain_that_is_removed_is_called_no_more_and_added_again_is() {
    let world = caller().start();
    let peer = echo(&world, &world.identity(&["infra.b.com"]));
    let control_plane = world.control_plane.as_ref().unwrap();
    for _ in 0..3 {
        eventually("b.com is called", || {
            (world.local().call("b.com", "search-users").unwrap().status == 200).then_some(())
        });
        control_plane.cli(&["domain", "remove", "b.com"]).unwrap();
        eventually("b.com is refused", || {
            let answer = world.local().call("b.com", "search-users").unwrap();
            (answer.label() == "federation-denied").then_some(())
        });
        eventually("the cluster is gone", || {
            let removed = world.envoy.stat("cluster_manager.active_clusters");
            (removed == Some(5)).then_some(())
        });
        let calls = peer.calls();
        world.local().call("b.com", "search-users").unwrap();
        assert_eq!(peer.calls(), calls);
        control_plane.add(&["b.com"]);
    }
}

#[test]
fn backends_that_were_called_can_be_called_while_the_control_plane_is_away() {
    let mut world = caller().start();
    let _peer = echo(&world, &world.identity(&["infra.b.com"]));
    assert_eq!(world.local().call("b.com", "search-users").unwrap().status, 200);
    world.control_plane().kill();
    assert_eq!(world.local().call("b.com", "search-users").unwrap().status, 200);
    eventually("the verdict has ended", || {
        let answer = world.local().call("b.com", "search-users").unwrap();
        (answer.label() == "verdict-unavailable" && answer.status == 503).then_some(())
    });
    world.control_plane().restart();
    eventually("it is called again", || {
        (world.local().call("b.com", "search-users").unwrap().status == 200).then_some(())
    });
}

#[test]
fn a_new_backend_is_called_soon_after_the_control_plane_was_away_for_long() {
    let mut world = caller().start();
    let at = SocketAddr::from((world.ip(), PORT));
    let identity = world.identity(&["infra.b.com"]);
    let _peer = Peer::echo(at, "infra.b.com", &identity, world.authority.pem());
    announce(&world, "infra.b.com", 10, 10, at);
    world.control_plane().terminate();
    eventually("Envoy has tried to reach it again and again", || {
        let failed = world.envoy.stat("cluster.fedgate_xds.upstream_cx_connect_fail");
        failed.filter(|failed| *failed >= 10)
    });
    world.control_plane().restart();
    let back = Instant::now();
    list(&world);
    eventually("b.com is called", || {
        (world.local().call("b.com", "search-users").unwrap().status == 200).then_some(())
    });
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

#[test]
fn a_rotated_trust_bundle_counts_for_the_next_connection() {
    let world = caller().start();
    let identity = world.identity(&["infra.b.com"]);
    let first = echo(&world, &identity);
    assert_eq!(world.local().call("b.com", "search-users").unwrap().status, 200);
    let other = Authority::root("another authority");
    world.envoy.rotate(&world.identity(&["infra.a.com"]), other.pem());
    drop(first);
    let _second = echo(&world, &identity);
    eventually("the old authority counts no more", || {
        let answer = world.local().call("b.com", "search-users").unwrap();
        (answer.label() == "federation-tls-error").then_some(())
    });
}

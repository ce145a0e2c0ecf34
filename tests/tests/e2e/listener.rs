//! The reference listener: routes, headers, certificates that rotate, and configurations it refuses.

use fedgate_tests::World;
use fedgate_tests::address::Address;
use fedgate_tests::caller::Caller;
use fedgate_tests::dns::srv;
use fedgate_tests::envoy::Envoy;
use fedgate_tests::pki::{Authority, Leaf};
use fedgate_tests::process::eventually;

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check, check_http2, origin, received};
use crate::shared;

#[test]
fn each_component_gets_its_own_procedures() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    for component in ["brig", "galley", "cargohold"] {
        let path = format!("/federation/{component}/some-procedure");
        let answer = world
            .run(async { caller.http2().await?.request("POST", &path, &[origin("a.com")]).await })
            .unwrap();
        assert_eq!(answer.status, 200, "{component}");
        assert_eq!(answer.json()["component"], component);
        assert_eq!(answer.json()["path"], "/federation/some-procedure");
    }
}

#[test]
fn what_is_no_procedure_is_an_invalid_endpoint() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    for (method, path) in [
        ("GET", "/federation/brig/get-user-by-handle"),
        ("PUT", "/federation/brig/get-user-by-handle"),
        ("POST", "/federation/brig/get-user-by-handle?x=1"),
        ("POST", "/federation/brig/"),
        ("POST", "/federation/brig/a/b"),
        ("POST", "/federation/brig/../../i/users"),
        ("POST", "/federation/brig/..;/i/users"),
        ("POST", "/federation/spar/get-user-by-handle"),
        ("POST", "/i/users"),
        ("POST", "/"),
    ] {
        let answer = world
            .run(async { caller.http2().await?.request(method, path, &[origin("a.com")]).await })
            .unwrap();
        assert_eq!(
            (answer.status, answer.label().as_str()),
            (403, "invalid-endpoint"),
            "{method} {path}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let path = "/federation/brig/x%2f..%2f..%2fi";
    let answer = world
        .run(async { caller.http2().await?.request("POST", path, &[origin("a.com")]).await })
        .unwrap();
    assert_eq!(answer.status, 400, "escaped slashes are rejected");
}

#[test]
fn a_stranger_learns_nothing_of_the_routes() {
    let world = shared();
    let answer = world
        .run(async { world.anonymous().http2().await?.request("GET", "/i/users", &[]).await })
        .unwrap();
    assert_eq!(answer.label(), "no-client-certificate");
}

#[test]
fn the_backend_sees_what_was_decided_and_no_identity_from_outside() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    let headers = [
        origin("A.com"),
        ("z-user", &b"1"[..]),
        ("z-connection", b"1"),
        ("authorization", b"Bearer x"),
        ("cookie", b"zuid=1"),
        ("wire-origin-ip", b"192.0.2.1"),
        ("request-id", b"forged"),
        ("x-forwarded-for", b"192.0.2.1"),
    ];
    let answer = world.run(async { caller.call("headers", &headers).await }).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(received(&answer, "wire-origin-domain"), ["a.com"]);
    assert_eq!(received(&answer, "wire-origin-ip"), ["127.0.0.1"]);
    assert_ne!(received(&answer, "request-id"), ["forged"]);
    for gone in ["z-user", "z-connection", "authorization", "cookie", "x-forwarded-client-cert"] {
        assert_eq!(received(&answer, gone), [""; 0], "{gone}");
    }
}

#[test]
fn the_access_log_tells_who_was_refused_and_why() {
    let world = shared();
    let caller = world.caller(&world.identity(&["evil.example"]));
    check(&world, &caller, "log_refusal", &[origin("a.com")], Refuse(403, "authentication-failure"));
    let entry = world.envoy.access_log("log-refusal-h2");
    assert_eq!(entry["origin_domain"], "a.com", "{entry}");
    assert_eq!(entry["refusal"], "authentication-failure", "{entry}");
    assert_eq!(entry["status"], 403, "{entry}");
    assert_eq!(entry["peer_certificate_sha256"].as_str().map(str::len), Some(64), "{entry}");

    let caller = world.caller(&world.identity(&["infra.a.com"]));
    check(&world, &caller, "log_permit", &[origin("A.COM")], Permit("a.com"));
    let entry = world.envoy.access_log("log-permit-h2");
    assert_eq!((&entry["origin_domain"], &entry["status"]), (&"a.com".into(), &200.into()), "{entry}");
    assert!(entry["refusal"].is_null(), "{entry}");
}

/// The hostcalls of a callback, in the order of their names, by a log with `wasm:trace`: what stands
/// between its call and its return, since the feed's ticks come in between.
pub(super) fn hostcalls<'a>(log: &'a str, callback: &str) -> Vec<&'a str> {
    let (calls, returns) = (format!("[host->vm] {callback}("), format!("[host<-vm] {callback} "));
    let mut hostcalls: Vec<_> = log
        .lines()
        .skip_while(|line| !line.contains(&calls))
        .take_while(|line| !line.contains(&returns))
        .filter_map(|line| line.split_once("[vm->host] ")?.1.split_once('.')?.1.split_once('('))
        .map(|(hostcall, _)| hostcall)
        .collect();
    hostcalls.sort_unstable();
    hostcalls
}

#[test]
fn a_warm_request_costs_two_hostcalls_that_return_data_and_the_time() {
    let world = World::builder()
        .records([srv("a.com", 60, "infra.a.com.")])
        .allow(&["a.com"])
        .envoy_args(&["--component-log-level", "wasm:trace"])
        .start();
    let connection = world.run(world.caller(&world.identity(&["infra.a.com"])).http2()).unwrap();
    let call = |rpc| {
        let answer = world.run(connection.call(rpc, &[origin("a.com")])).unwrap();
        assert_eq!(answer.status, 200);
        world.envoy.access_log(rpc);
        world.envoy.log()
    };
    let before = call("cold").len();
    let after = call("warm");
    assert_eq!(
        hostcalls(&after[before..], "proxy_on_request_headers"),
        ["clock_time_get", "proxy_get_property", "proxy_get_property", "proxy_remove_header_map_value",]
    );
}

#[test]
fn the_access_log_tells_why_a_handshake_failed() {
    let world = World::builder().start();
    let other = Authority::root("nobody trusts this");
    let caller = world.caller(&other.issue(&Leaf::of(["infra.a.com"])));
    world.run(async { caller.call("never", &[origin("a.com")]).await }).unwrap_err();
    eventually("the log names the cause", || {
        let log = world.envoy.log();
        log.lines()
            .any(|line| {
                line.contains("\"log\":\"connection\"") && line.contains("CERTIFICATE_VERIFY_FAILED")
            })
            .then_some(())
    });
}

#[test]
fn a_shadow_decides_and_logs_but_lets_everything_pass() {
    let world = World::builder()
        .records([srv("a.com", 60, "infra.a.com.")])
        .allow(&["a.com"])
        .edit("\"mode\": \"enforce\"", "\"mode\": \"shadow\"")
        .unexplained("what is refused passes")
        .start();
    let caller = world.caller(&world.identity(&["evil.example"]));
    let call = |rpc: &str, domain: &[u8]| {
        world.run(async { caller.call(rpc, &[("wire-origin-domain", domain)]).await }).unwrap()
    };
    for (rpc, domain, label) in [
        ("shadow-mismatch", &b"a.com"[..], "authentication-failure"),
        ("shadow-denied", b"unlisted.com", "federation-denied"),
        ("shadow-no-domain", b"A,B", "domain-parse-error"),
    ] {
        let answer = call(rpc, domain);
        assert_eq!(answer.status, 200, "{rpc}");
        assert_eq!(received(&answer, "wire-origin-domain"), [String::from_utf8_lossy(domain)], "{rpc}");
        assert_eq!(world.envoy.access_log(rpc)["refusal"], label);
    }
}

#[test]
fn rotated_certificates_count_from_the_next_connection_on() {
    let world = World::builder().records([srv("a.com", 60, "infra.a.com.")]).allow(&["a.com"]).start();
    let identity = world.identity(&["infra.a.com"]);
    check_http2(
        &world,
        &world.caller(&identity),
        "before_rotation",
        &[origin("a.com")],
        Permit("a.com"),
    );
    let open = world.run(world.caller(&identity).http2()).unwrap();

    let next = Authority::root("the next authority");
    world.envoy.rotate(&next.issue(&Leaf::of(["infra.b.com"])), next.pem());
    let next_caller = Caller::new(
        world.envoy.address(),
        "infra.b.com",
        next.pem(),
        Some(&next.issue(&Leaf::of(["infra.a.com"]))),
    )
    .explained_by(world.witness());
    eventually("the new certificate and trust are in force", || {
        let answer = world.run(async { next_caller.call("next", &[origin("a.com")]).await });
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
    let old = Caller::new(world.envoy.address(), "infra.b.com", next.pem(), Some(&identity))
        .explained_by(world.witness());
    let answer = world.run(async { old.call("old-authority", &[origin("a.com")]).await });
    assert!(answer.is_err(), "the old authority is no longer trusted: {answer:?}");
    let answer = world.run(open.call("open-connection", &[origin("a.com")])).unwrap();
    assert_eq!(answer.status, 200, "a connection that was open lives on");
}

#[test]
fn a_bad_configuration_is_refused_with_every_error_at_once() {
    let address = Address::claim();
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::root("an authority");
    let server = authority.issue(&Leaf::of(["infra.b.com"]));
    let edits = [
        ("\"role\": \"ingress\"", "\"role\": \"sideways\""),
        ("\"timeout_ms\": 5000", "\"timeout_ms\": -1"),
        ("\"mode\": \"enforce\"", "\"mode\": \"permissive\", \"colour\": \"red\""),
    ];
    let edits = edits.map(|(from, to)| (from.to_owned(), to.to_owned()));
    let output = Envoy::refusal(address.ip(), dir.path(), &server, authority.pem(), &edits);
    for error in [
        "role is \"sideways\"",
        "control_plane.timeout_ms is -1",
        "mode is \"permissive\"",
        "colour is not a known key",
    ] {
        assert!(output.contains(error), "{error} is missing:\n{output}");
    }
}

#[test]
fn a_token_that_is_not_set_is_a_bad_configuration() {
    let address = Address::claim();
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::root("an authority");
    let server = authority.issue(&Leaf::of(["infra.b.com"]));
    let edit = ("host_env_keys: [FEDGATE_TOKEN]".to_owned(), "host_env_keys: [PATH]".to_owned());
    let output = Envoy::refusal(address.ip(), dir.path(), &server, authority.pem(), &[edit]);
    assert!(output.contains("names FEDGATE_TOKEN, which is not set"), "{output}");
}

#[test]
fn the_strict_variant_ends_the_handshake_without_a_certificate() {
    let world = World::builder()
        .records([srv("a.com", 60, "infra.a.com.")])
        .allow(&["a.com"])
        .edit("require_client_certificate: false", "require_client_certificate: true")
        .start();
    check(&world, &world.anonymous(), "strict", &[origin("a.com")], crate::claim::Expect::Fail);
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    check(&world, &caller, "strict_good", &[origin("a.com")], Permit("a.com"));
}

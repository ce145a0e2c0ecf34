//! `Wire-Origin-Domain` in every shape that a peer with a good certificate can give it.

use crate::claim::Expect::{Fail, Permit, Refuse, Reject};
use crate::claim::{Expect, assert_expected, check, check_http1, check_http2, origin};
use crate::shared;

const NO_ORIGIN: Expect = Refuse(403, "no-origin-domain");
const NOT_A_DOMAIN: Expect = Refuse(403, "domain-parse-error");

/// One test for each shape, over HTTP/1.1 and HTTP/2.
macro_rules! origins {
    ($($name:ident: [$($header:literal => $value:expr),*] is $expect:expr;)*) => {$(
        #[test]
        fn $name() {
            let world = shared();
            let caller = world.caller(&world.identity(&["infra.a.com"]));
            check(&world, &caller, stringify!($name), &[$(($header, &$value[..])),*], $expect);
        }
    )*};
}

origins! {
    one_domain_passes: ["wire-origin-domain" => b"a.com"] is Permit("a.com");
    upper_case_is_the_same_domain: ["wire-origin-domain" => b"A.CoM"] is Permit("a.com");
    no_header: [] is NO_ORIGIN;
    an_empty_header: ["wire-origin-domain" => b""] is NO_ORIGIN;
    the_same_header_twice: ["wire-origin-domain" => b"a.com", "wire-origin-domain" => b"a.com"] is NOT_A_DOMAIN;
    two_headers_good_first: ["wire-origin-domain" => b"a.com", "wire-origin-domain" => b"evil.example"] is NOT_A_DOMAIN;
    two_headers_good_last: ["wire-origin-domain" => b"evil.example", "wire-origin-domain" => b"a.com"] is NOT_A_DOMAIN;
    a_second_header_that_is_empty: ["wire-origin-domain" => b"a.com", "wire-origin-domain" => b""] is NOT_A_DOMAIN;
    two_domains_in_one_header: ["wire-origin-domain" => b"a.com,evil.example"] is NOT_A_DOMAIN;
    two_domains_with_a_space: ["wire-origin-domain" => b"a.com, a.com"] is NOT_A_DOMAIN;
    a_port: ["wire-origin-domain" => b"a.com:443"] is NOT_A_DOMAIN;
    a_scheme: ["wire-origin-domain" => b"https://a.com"] is NOT_A_DOMAIN;
    a_path: ["wire-origin-domain" => b"a.com/x"] is NOT_A_DOMAIN;
    userinfo: ["wire-origin-domain" => b"user@a.com"] is NOT_A_DOMAIN;
    an_ipv4_address: ["wire-origin-domain" => b"192.0.2.1"] is NOT_A_DOMAIN;
    an_ipv6_address: ["wire-origin-domain" => b"[2001:db8::1]"] is NOT_A_DOMAIN;
    a_trailing_dot: ["wire-origin-domain" => b"a.com."] is NOT_A_DOMAIN;
    an_underscore: ["wire-origin-domain" => b"_a.com"] is NOT_A_DOMAIN;
    a_label_of_64: ["wire-origin-domain" => format!("{}.com", "a".repeat(64)).as_bytes()] is NOT_A_DOMAIN;
    a_name_of_254: ["wire-origin-domain" => format!("{}com", "abcd.".repeat(50) + "e").as_bytes()] is NOT_A_DOMAIN;
    a_single_label: ["wire-origin-domain" => b"com"] is NOT_A_DOMAIN;
    a_last_label_that_starts_with_a_digit: ["wire-origin-domain" => b"a.1com"] is NOT_A_DOMAIN;
    a_u_label: ["wire-origin-domain" => "m\u{fc}nchen.com".as_bytes()] is NOT_A_DOMAIN;
    a_full_width_dot: ["wire-origin-domain" => "a\u{3002}com".as_bytes()] is NOT_A_DOMAIN;
    a_wildcard: ["wire-origin-domain" => b"*.com"] is NOT_A_DOMAIN;
    a_tab_inside: ["wire-origin-domain" => b"a\t.com"] is NOT_A_DOMAIN;
    a_header_of_eight_kilobytes: ["wire-origin-domain" => [b'a'; 8192]] is NOT_A_DOMAIN;
    a_domain_in_percent_encoding: ["wire-origin-domain" => b"%61.com"] is NOT_A_DOMAIN;
}

#[test]
fn a_byte_0xff_in_any_header_is_answered_cleanly_and_the_vm_lives() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    let name = "a_byte_0xff";
    check(
        &world,
        &caller,
        &format!("{name}_in_origin"),
        &[("wire-origin-domain", b"a.com\xff")],
        NOT_A_DOMAIN,
    );
    let noise: &[u8] = b"\xff\xfe\x80";
    for header in [
        "x-noise",
        "x-request-id",
        "x-ssl-certificate",
        "x-forwarded-client-cert",
        "user-agent",
        "cookie",
    ] {
        let headers = [origin("a.com"), (header, noise)];
        check(&world, &caller, &format!("{name}_in_{header}"), &headers, Permit("a.com"));
    }
    world.envoy.assert_vm_alive();
}

#[test]
fn an_underscore_in_the_headers_name_ends_the_request() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    for (name, headers) in [
        ("underscore_alone", &[("wire_origin_domain", &b"a.com"[..])][..]),
        ("underscore_beside", &[origin("a.com"), ("wire_origin_domain", b"b.com")]),
    ] {
        check_http1(&world, &caller, name, headers, Reject(400));
        // Over HTTP/2 Envoy resets the stream instead of answering.
        check_http2(&world, &caller, name, headers, Fail);
    }
}

#[test]
fn only_spaces_are_no_domain() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    // HTTP/1.1 trims a field's value (RFC 9112 §5.1); HTTP/2 leaves that to us.
    check_http1(&world, &caller, "only_spaces", &[("wire-origin-domain", b"   ")], NO_ORIGIN);
    check_http2(&world, &caller, "only_spaces", &[("wire-origin-domain", b"   ")], NOT_A_DOMAIN);
}

#[test]
fn control_bytes_smuggle_nothing_over_http1() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    // A bare LF or CR, and NUL, are no header; CR LF begins another header, here a second origin.
    for (name, value, expect) in [
        ("http1_nul", &b"a.com\0"[..], Reject(400)),
        ("http1_cr", b"a.com\rx", Reject(400)),
        ("http1_crlf", b"evil.example\r\nwire-origin-domain: a.com", NOT_A_DOMAIN),
        // An old folded line (RFC 9112 §5.2) is one value to Envoy, and not one domain to us.
        ("http1_folding", b"evil.example,\r\n a.com", NOT_A_DOMAIN),
    ] {
        check_http1(&world, &caller, name, &[("wire-origin-domain", value)], expect);
    }
    world.envoy.assert_vm_alive();
}

#[test]
fn control_bytes_smuggle_nothing_over_http2() {
    const HEADERS: u8 = 1;
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    for (rpc, value) in [
        ("h2-raw-nul", &b"a.com\0"[..]),
        ("h2-raw-lf", b"a.com\nx-injected: 1"),
        ("h2-raw-crlf", b"a.com\r\nx-injected: 1"),
    ] {
        let frame = world
            .run(async { caller.raw_http2().await?.call(rpc, &[("wire-origin-domain", value)]).await });
        assert!(frame.is_err() || frame.as_ref().is_ok_and(|kind| *kind != HEADERS), "{rpc}: {frame:?}");
        assert!(!world.backend.saw(rpc), "{rpc}");
    }
    let frame =
        world.run(async { caller.raw_http2().await?.call("h2-raw-good", &[origin("a.com")]).await });
    assert_eq!(frame.map_err(|error| error.0), Ok(HEADERS), "the raw client can speak HTTP/2 at all");
    assert!(world.backend.saw("h2-raw-good"));
}

#[test]
fn a_header_named_in_connection_is_dropped_and_so_refused() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    // Envoy takes away what `Connection` names, before the filter sees it: no request can pass
    // the filter with an origin, and reach the backend without.
    let headers = [origin("a.com"), ("connection", &b"Wire-Origin-Domain"[..])];
    check_http1(&world, &caller, "named_in_connection", &headers, NO_ORIGIN);
}

#[test]
fn each_stream_of_a_connection_is_decided_by_its_own_origin() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.a.com", "two.several.com"]));
    world.run(async {
        let connection = caller.http2().await.unwrap();
        let mut streams = vec![];
        for round in 0..10 {
            for (domain, expect) in [
                ("a.com", Permit("a.com")),
                ("several.com", Permit("several.com")),
                ("cname.com", Refuse(403, "authentication-failure")),
                ("unlisted.com", Refuse(400, "federation-denied")),
                ("absent.com", Refuse(422, "invalid-domain")),
                ("not a domain", NOT_A_DOMAIN),
            ] {
                let (connection, rpc) =
                    (connection.clone(), format!("stream-{round}-{}", domain.replace([' ', '.'], "-")));
                streams.push((
                    rpc.clone(),
                    expect,
                    tokio::spawn(async move { connection.call(&rpc, &[origin(domain)]).await }),
                ));
            }
        }
        for (rpc, expect, stream) in streams {
            assert_expected(&world, &rpc, stream.await.unwrap(), expect);
        }
    });
}

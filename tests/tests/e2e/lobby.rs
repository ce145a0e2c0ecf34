//! Connections on which nothing is permitted: they leave soon, and never take the room of those who have
//! something to show.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use fedgate_tests::caller::{Caller, Http2};
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, is_ok};
use fedgate_tests::{World, WorldBuilder};

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check, check_http1, origin};
use crate::egress::caller;

const LOBBY: &str = r#""patience_s": 10, "places": 1000"#;
const LIMIT: &str = "federation_ingress.connection_limit: 10000";

/// A backend to which `infra.a.com` may speak for `a.com`.
fn world(lobby: &str) -> World {
    listing(World::builder()).edit(LOBBY, lobby).start()
}

fn listing(builder: WorldBuilder) -> WorldBuilder {
    builder.records([srv("a.com", 60, "infra.a.com.")]).allow(&["a.com"])
}

fn partner(world: &World) -> Caller {
    world.caller(&world.identity(&["infra.a.com"]))
}

/// Connections of strangers, each refused once, and idle then.
fn strangers(world: &World, number: usize) -> Vec<Http2> {
    let anonymous = world.anonymous();
    world.run(async {
        let mut strangers = vec![];
        for _ in 0..number {
            // Where there is no room, that is so.
            if let Ok(stranger) = anonymous.http2().await {
                let _ = stranger.call("stranger", &[origin("a.com")]).await;
                strangers.push(stranger);
            }
        }
        strangers
    })
}

fn active(world: &World) -> u64 {
    world.envoy.stat("http.federation_ingress.downstream_cx_active").unwrap_or_default()
}

#[test]
fn a_connection_on_which_nothing_is_permitted_is_closed_whatever_it_does() {
    let world = world(r#""patience_s": 2, "places": 1000"#);
    let known = world.run(partner(&world).http2()).unwrap();
    let call = |rpc| world.run(known.call(rpc, &[origin("a.com")])).unwrap().status;
    assert_eq!(call("first"), 200);

    let refused = world.caller(&world.identity(&["evil.example"]));
    let half_a_head = b"POST /federation/brig/x HTTP/1.1\r\nhost: infra.b.com\r\nx: ";
    let half_a_body =
        b"POST /federation/brig/x HTTP/1.1\r\nhost: infra.b.com\r\ncontent-length: 9\r\n\r\n{";
    let begun = Instant::now();
    let resetting = world.run(world.anonymous().http2()).unwrap();
    // Nothing is said at all, not even for a handshake.
    let silent = TcpStream::connect(world.envoy.address()).unwrap();
    world.run(async {
        let mut guests = vec![];
        for (caller, words) in [
            (world.anonymous(), &b""[..]),
            (world.anonymous(), half_a_head),
            (world.anonymous(), half_a_body),
            (world.anonymous(), b"\x16\x03\x01"),
            (partner(&world), b""),
            (partner(&world), half_a_head),
            (refused.clone(), half_a_head),
        ] {
            let mut guest = caller.http1().await.unwrap();
            guest.send(words).await.unwrap();
            guests.push(guest);
        }
        for caller in [world.anonymous(), refused.clone()] {
            let mut guest = caller.http1().await.unwrap();
            assert_eq!(guest.call("once", &[origin("a.com")]).await.unwrap().status, 403);
            guests.push(guest);
        }
        // Streams that are opened and reset, again and again.
        for _ in 0..50 {
            let _ = resetting.call_and_reset("reset", &[origin("a.com")]).await;
        }
        for guest in &mut guests {
            guest.ended().await.unwrap();
        }
    });
    eventually("all of them are gone", || (active(&world) == 1).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    drop((silent, resetting));
    assert_eq!(call("still"), 200, "a connection on which something was permitted stays");
    eventually("the log tells why", || {
        let log = world.envoy.log();
        log.contains(r#""closed":"nothing was permitted on it in time""#).then_some(())
    });
    world.envoy.assert_vm_alive();
}

#[test]
fn strangers_make_room_for_each_other_and_never_take_that_of_a_partner() {
    let world = listing(World::builder())
        .edit(LOBBY, r#""patience_s": 600, "places": 20"#)
        .edit(LIMIT, "federation_ingress.connection_limit: 200")
        .start();
    let known = world.run(partner(&world).http2()).unwrap();
    assert_eq!(world.run(known.call("known", &[origin("a.com")])).unwrap().status, 200);
    for round in 0..3 {
        let strangers = strangers(&world, 400);
        check(
            &world,
            &partner(&world),
            &format!("partner_{round}"),
            &[origin("a.com")],
            Permit("a.com"),
        );
        eventually("no more than so many of them stay", || (active(&world) <= 21).then_some(()));
        drop(strangers);
    }
    assert_eq!(world.run(known.call("known", &[origin("a.com")])).unwrap().status, 200);
    let shown_out = world.envoy.stat("wasmcustom.fedgate.lobby_evictions");
    assert!(shown_out.is_some_and(|number| number >= 100), "{shown_out:?}");
    world.envoy.assert_vm_alive();
}

#[test]
fn a_thousand_strangers_and_more_are_no_trouble_for_the_reference() {
    let world = listing(World::builder()).start();
    let strangers = strangers(&world, 1200);
    check(&world, &partner(&world), "among_many", &[origin("a.com")], Permit("a.com"));
    eventually("the oldest of them are gone", || {
        world.envoy.stat("wasmcustom.fedgate.lobby_evictions").filter(|number| *number > 0).or_else(
            || {
                // Or were late already.
                world.envoy.stat("wasmcustom.fedgate.lobby_timeouts").filter(|number| *number > 0)
            },
        )
    });
    drop(strangers);
    world.envoy.assert_vm_alive();
}

#[test]
fn an_ingress_that_is_full_is_nothing_to_egress_and_admin() {
    let world = caller()
        .records([srv("b.com", 60, "infra.b.com.")])
        .allow(&["b.com"])
        .edit(LOBBY, r#""patience_s": 600, "places": 1000"#)
        .edit(LIMIT, "federation_ingress.connection_limit: 5")
        // So few that each connection but those of the three would count.
        .edit("max_active_downstream_connections: 10000", "max_active_downstream_connections: 1")
        .start();
    let strangers = strangers(&world, 5);
    assert_eq!(strangers.len(), 5);
    world.run(world.anonymous().http1()).expect_err("the ingress is full");
    let answer = world.local().call("unlisted.com", "search-users").unwrap();
    assert_eq!((answer.status, answer.label().as_str()), (400, "federation-denied"));
    let connections: Vec<_> = (0..10).map(|_| world.run(world.local().connect()).unwrap()).collect();
    assert!(is_ok(&format!("http://{}:9901/ready", world.ip())));
    let refused = world.envoy.stat("listener.*8443.downstream_cx_overflow");
    assert!(refused.is_some_and(|number| number >= 1), "{refused:?}");
    drop(connections);
}

#[test]
fn a_shadow_shows_nobody_out_whom_it_lets_pass() {
    let world = listing(World::builder())
        .edit(LOBBY, r#""patience_s": 1, "places": 1000"#)
        .edit("\"mode\": \"enforce\"", "\"mode\": \"shadow\"")
        .unexplained("what is refused passes")
        .start();
    let (mut shadowed, mut silent) = world.run(async {
        let mut shadowed = world.anonymous().http1().await.unwrap();
        assert_eq!(shadowed.call("shadowed", &[origin("a.com")]).await.unwrap().status, 200);
        (shadowed, world.anonymous().http1().await.unwrap())
    });
    world.run(silent.ended()).unwrap();
    let answer = world.run(shadowed.call("shadowed-still", &[origin("a.com")])).unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn a_stranger_is_told_why_before_the_connection_ends() {
    let world = world(r#""patience_s": 1, "places": 1"#);
    let expect = Refuse(403, "no-client-certificate");
    check_http1(&world, &world.anonymous(), "told", &[origin("a.com")], expect);
}

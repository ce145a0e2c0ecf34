//! Questions to the control plane that take long, and questions that are too many.

use fedgate_tests::World;
use fedgate_tests::caller::Http2;
use fedgate_tests::dns::srv;
use fedgate_tests::process::eventually;
use fedgate_tests::world::WorldBuilder;

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{Expect, assert_expected, check_http2, origin};
use crate::feed::informed;
use crate::line::{ASK_THE_LINE, Line};

const MISMATCH: Expect = Refuse(403, "authentication-failure");
const UNAVAILABLE: Expect = Refuse(503, "verdict-unavailable");

/// A world with a line to the control plane: `a.com` is listed, others are looked up. All are served by
/// `infra.x.com`, but for `other.com`.
fn world(edit: impl FnOnce(WorldBuilder) -> WorldBuilder) -> (World, Line) {
    let (from, to) = ASK_THE_LINE;
    let builder = World::builder()
        .records(["a.com", "late.com"].map(|domain| srv(domain, 3600, "infra.x.com.")))
        .records([srv("other.com", 3600, "infra.y.com.")])
        .allow(&["a.com"])
        .strategy("allowAll")
        .edit(from, to);
    let world = edit(builder).start();
    let line = Line::lay(&world);
    (informed(world, 1), line)
}

fn connection(world: &World, certificate: &str) -> Http2 {
    world.run(world.caller(&world.identity(&[certificate])).http2()).unwrap()
}

fn stat(world: &World, name: &str) -> u64 {
    world.envoy.stat(name).unwrap_or(0)
}

#[test]
fn a_late_answer_is_waited_for_and_delays_no_warm_domain() {
    let (world, line) = world(|builder| builder.edit("\"timeout_ms\": 5000", "\"timeout_ms\": 20000"));
    let connection = connection(&world, "infra.x.com");
    line.hold();
    let late = [("late", "late.com", Permit("late.com")), ("late-other", "other.com", MISMATCH)].map(
        |(rpc, domain, expect)| {
            let connection = connection.clone();
            let call = async move { connection.call(rpc, &[origin(domain)]).await };
            (rpc, expect, world.runtime().spawn(call))
        },
    );
    eventually("both are asked about", || {
        (stat(&world, "http.federation_ingress.downstream_rq_active") == 2).then_some(())
    });
    for n in 0..50 {
        let rpc = format!("warm-{n}");
        let answer = world.run(connection.call(&rpc, &[origin("a.com")]));
        assert_expected(&world, &rpc, answer, Permit("a.com"));
    }
    assert!(late.iter().all(|(_, _, call)| !call.is_finished()), "these wait for their answers");
    assert!(!world.backend.saw("late"));
    line.flow();
    for (rpc, expect, call) in late {
        assert_expected(&world, rpc, world.run(call).unwrap(), expect);
    }
    world.envoy.assert_vm_alive();
}

#[test]
fn a_page_of_the_feed_that_comes_late_counts_when_it_comes() {
    let (world, line) = world(|builder| builder);
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    let failures = stat(&world, "wasmcustom.fedgate.ingress.feed_failures");
    line.hold();
    world.control_plane.as_ref().unwrap().cli(&["strategy", "set", "allowNone"]).unwrap();
    check_http2(
        &world,
        &caller.clone().unexplained("its control plane answers no poll"),
        "before_page",
        &[origin("a.com")],
        Permit("a.com"),
    );
    line.flow();
    let connection = connection(&world, "infra.x.com");
    eventually("the page counts", || {
        let answer = world.run(connection.call("after-page", &[origin("a.com")])).unwrap();
        (answer.label() == "federation-denied").then_some(())
    });
    let later = stat(&world, "wasmcustom.fedgate.ingress.feed_failures");
    assert_eq!(later, failures, "it was late, and not missing");
}

#[test]
fn an_answer_that_comes_too_late_opens_nothing_and_the_next_request_passes() {
    let (world, line) = world(|builder| builder.edit("\"timeout_ms\": 5000", "\"timeout_ms\": 300"));
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    line.hold();
    check_http2(&world, &caller, "too_late", &[origin("late.com")], UNAVAILABLE);
    check_http2(&world, &caller, "warm", &[origin("a.com")], Permit("a.com"));
    line.flow();
    eventually("requests pass again", || {
        let answer = world.run(async { caller.call("healed", &[origin("late.com")]).await });
        (answer.unwrap().status == 200).then_some(())
    });
    assert!(!world.backend.saw("too-late"), "what was refused stays so");
    world.envoy.assert_vm_alive();
}

#[test]
fn a_peers_flood_of_unknown_domains_is_bounded_and_delays_no_warm_domain() {
    const BOUND: u64 = 150;
    const STREAMS: u64 = 100;
    let (world, line) = world(|builder| builder.edit("\"timeout_ms\": 5000", "\"timeout_ms\": 19000"));
    line.hold();
    let mut calls = vec![];
    let peer = world.caller(&world.identity(&["infra.x.com"]));
    for n in 0..15 {
        let connection = world.run(peer.http2()).unwrap();
        for m in 0..STREAMS {
            let connection = connection.clone();
            calls.push(world.runtime().spawn(async move {
                connection.call("flood", &[origin(&format!("d{n}-{m}.com"))]).await
            }));
        }
    }
    eventually("what is beyond the bound is refused at once", || {
        let refused = stat(&world, "wasmcustom.fedgate.ingress.refusals.label.verdict-unavailable");
        (refused == 15 * STREAMS - BOUND).then_some(())
    });
    let warm = connection(&world, "infra.x.com");
    let answer = world.run(warm.call("warm", &[origin("a.com")]));
    assert_expected(&world, "warm", answer, Permit("a.com"));
    assert_eq!(stat(&world, "http.federation_ingress.downstream_rq_active"), BOUND, "these wait");

    line.flow();
    let mut refused_at_once = 0;
    for call in calls {
        // NXDOMAIN, or no place in time among the lookups that the control plane makes for a peer.
        match world.run(call).unwrap().unwrap().label().as_str() {
            "verdict-unavailable" => refused_at_once += 1,
            "invalid-domain" | "discovery-failure" => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused_at_once, 15 * STREAMS - BOUND);
    eventually("each is asked about once", || {
        (stat(&world, "wasmcustom.fedgate.ingress.lookups") == BOUND).then_some(())
    });
    let answer = world.run(warm.call("afterwards", &[origin("late.com")]));
    assert_expected(&world, "afterwards", answer, Permit("late.com"));
    assert!(!world.backend.saw("flood"));
    world.envoy.assert_vm_alive();
}

//! The wall clock of Envoy and the control plane is set, in both directions, and nothing is late or lives longer.

use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::caller::Http2;
use fedgate_tests::clock::WallClock;
use fedgate_tests::dns::srv;
use fedgate_tests::process::eventually;

use crate::feed::{delete, informed, label, time_until, told};
use crate::line::{ASK_THE_LINE, Line};

const HOUR: i64 = 3600;

fn world(clock: &WallClock, max_staleness_s: u32) -> (World, Line) {
    let (from, to) = ASK_THE_LINE;
    let world = World::builder()
        .records([srv("a.com", 3600, "infra.x.com."), srv("b.org", 3600, "infra.x.com.")])
        .allow(&["a.com", "b.org"])
        .edit(from, to)
        .edit("\"max_staleness_s\": 900", &format!("\"max_staleness_s\": {max_staleness_s}"))
        .clock(clock)
        .start();
    let line = Line::lay(&world);
    (informed(world, 2), line)
}

fn connection(world: &World) -> Http2 {
    world.run(world.caller(&world.identity(&["infra.x.com"])).http2()).unwrap()
}

fn polls(world: &World) -> u64 {
    let stat = |name| world.envoy.stat(&format!("wasmcustom.fedgate.ingress.feed_{name}")).unwrap_or(0);
    stat("pages") + stat("failures")
}

#[test]
fn a_clock_that_is_set_while_the_feed_fails_stops_no_poll_and_a_removal_counts_at_once() {
    let clock = WallClock::new();
    let (world, line) = world(&clock, 900);
    let connection = connection(&world);
    let control_plane = world.control_plane.as_ref().unwrap();
    for step in [-HOUR, HOUR, 0] {
        line.cut();
        eventually("the feed fails", || {
            (world.envoy.stat("wasmcustom.fedgate.ingress.feed_state") == Some(2)).then_some(())
        });
        clock.set(step);
        let before = polls(&world);
        eventually("polls go on", || (polls(&world) >= before + 4).then_some(()));
        assert_eq!(label(&world, &connection, "a.com"), "", "what was known holds, at {step} s");

        delete(control_plane, "b.org");
        line.flow();
        let time = time_until(&world, &connection, "b.org", "federation-denied");
        assert!(time < Duration::from_secs(2), "at {step} s it took {time:?}");
        // Nothing fails any more: the clock is set under a poll that waits.
        clock.set(-step);
        control_plane.add(&["b.org"]);
        time_until(&world, &connection, "b.org", "");
        delete(control_plane, "b.org");
        let time = time_until(&world, &connection, "b.org", "federation-denied");
        assert!(time < Duration::from_secs(1), "at {} s it took {time:?}", -step);
        control_plane.add(&["b.org"]);
        time_until(&world, &connection, "b.org", "");
    }
    eventually("the control plane says that its clock was set", || {
        control_plane.log().contains("the wall clock was set").then_some(())
    });
    world.envoy.assert_vm_alive();
}

#[test]
fn a_clock_that_is_set_back_prolongs_nothing() {
    let clock = WallClock::new();
    let (world, line) = world(&clock, 4);
    let connection = connection(&world);
    assert_eq!(label(&world, &connection, "a.com"), "");
    line.cut();
    let cut = Instant::now();
    clock.set(-HOUR);
    while label(&world, &connection, "a.com").is_empty() {
        assert!(cut.elapsed() < Duration::from_secs(6), "the table outlives max_staleness_s");
    }
    assert_eq!(label(&world, &connection, "a.com"), "verdict-unavailable");
    line.flow();
    time_until(&world, &connection, "a.com", "");
}

#[test]
fn a_clock_that_is_set_forward_refuses_nothing_for_it_but_certificates_that_have_expired_by_it() {
    let clock = WallClock::new();
    let (world, _line) = world(&clock, 900);
    let connection = connection(&world);
    assert_eq!(label(&world, &connection, "a.com"), "");
    clock.set(HOUR);
    for _ in 0..100 {
        assert_eq!(label(&world, &connection, "a.com"), "");
    }
    assert_eq!(told(&world, "warning", "the table is stale"), 0);
    // The certificate is valid for a day.
    clock.set(48 * HOUR);
    let time = time_until(&world, &connection, "a.com", "certificate-expired");
    assert!(time < Duration::from_secs(1), "it took {time:?}");
    clock.set(0);
    let time = time_until(&world, &connection, "a.com", "");
    assert!(time < Duration::from_secs(1), "it took {time:?}");
}

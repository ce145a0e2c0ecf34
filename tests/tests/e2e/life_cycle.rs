//! Envoy restarts, drains, and gets another configuration, while requests flow: each is decided
//! rightly, or its connection ends without an answer.

use fedgate_tests::World;
use fedgate_tests::dns::srv;
use fedgate_tests::process::eventually;
use fedgate_tests::world::WorldBuilder;

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{assert_expected, check_http2, origin};
use crate::feed::informed;
use crate::flow::Flow;
use crate::line::{ASK_THE_LINE, Line};

/// `a.com`, which is listed, and under `allowAll` `cold.com`: both are served by `infra.x.com`.
fn world() -> WorldBuilder {
    World::builder()
        .records(["a.com", "cold.com"].map(|domain| srv(domain, 3600, "infra.x.com.")))
        .allow(&["a.com"])
}

fn stat(world: &World, name: &str) -> u64 {
    world.envoy.stat(name).unwrap_or(0)
}

#[test]
fn through_a_hot_restart_every_request_is_decided_rightly() {
    let mut world =
        informed(world().hot_restart().envoy_args(&["--parent-shutdown-time-s", "4"]).start(), 1);
    let flow = Flow::start(&world);
    flow.goes_on();
    let mut before = world.envoy.hot_restart();
    flow.goes_on();
    before.wait();
    flow.goes_on();
    assert_eq!(flow.end(&world).new_lost, 0, "whoever comes anew finds one of them listening");

    // The next Envoy has a table of its own, and hears of changes.
    let world = informed(world, 1);
    world.control_plane.as_ref().unwrap().cli(&["domain", "remove", "a.com"]).unwrap();
    let world = informed(world, 0);
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "removed", &[origin("a.com")], Refuse(400, "federation-denied"));
    world.envoy.assert_vm_alive();
}

#[test]
fn a_listener_that_drains_decides_what_is_under_way() {
    let (from, to) = ASK_THE_LINE;
    let world = world().strategy("allowAll").edit(from, to).start();
    let line = Line::lay(&world);
    let world = informed(world, 1);
    let good = world.caller(&world.identity(&["infra.x.com"]));
    let evil = world.caller(&world.identity(&["evil.example"]));
    let open = world.run(good.http2()).unwrap();
    let flow = Flow::start(&world);
    flow.goes_on();

    line.hold();
    let paused = [
        ("paused-good", &good, Permit("cold.com")),
        ("paused-evil", &evil, Refuse(403, "authentication-failure")),
    ]
    .map(|(rpc, caller, expect)| {
        let connection = world.run(caller.http2()).unwrap();
        let call = async move { connection.call(rpc, &[origin("cold.com")]).await };
        (rpc, expect, world.runtime().spawn(call))
    });
    eventually("both wait for the verdict", || {
        (stat(&world, "cluster.fedgate_verdicts.upstream_rq_active") >= 2).then_some(())
    });
    world.envoy.tell("/drain_listeners?graceful");
    let answer = world.run(open.call("open", &[origin("a.com")]));
    assert_expected(&world, "open", answer, Permit("a.com"));
    eventually("the listener is closed", || world.run(good.http2()).err());
    assert!(paused.iter().all(|(_, _, call)| !call.is_finished()), "they wait still");
    line.flow();
    for (rpc, expect, call) in paused {
        assert_expected(&world, rpc, world.run(call).unwrap(), expect);
    }
    flow.end(&world);
    world.envoy.assert_vm_alive();
}

/// Replaces `max_staleness_s` in the listener's file. With 0 every request is looked up, which tells
/// whether this configuration decides.
fn set_staleness(world: &World, from: u32, to: u32) {
    let updates = stat(world, "listener_manager.lds.update_success");
    let [from, to] = [from, to].map(|seconds| format!("\"max_staleness_s\": {seconds}"));
    world.envoy.edit_listener(&from, &to);
    eventually("Envoy has taken the configuration", || {
        (stat(world, "listener_manager.lds.update_success") > updates).then_some(())
    });
}

fn every_request_is_looked_up(world: &World) {
    // A new table's first requests may be looked up too, but that ends.
    let enough = stat(world, "wasmcustom.fedgate.ingress.lookups") + 200;
    eventually("the last configuration decides", || {
        (stat(world, "wasmcustom.fedgate.ingress.lookups") >= enough).then_some(())
    });
}

#[test]
fn a_new_configuration_under_load_decides_every_request_rightly() {
    let world = informed(world().listener_from_file().start(), 1);
    let flow = Flow::start(&world);
    flow.goes_on();
    for (from, to) in [(900, 800), (800, 700), (700, 600), (600, 500), (500, 0)] {
        set_staleness(&world, from, to);
        flow.goes_on();
    }
    every_request_is_looked_up(&world);
    flow.goes_on();
    assert_eq!(flow.end(&world).new_lost, 0, "the port is open all the time");
    world.envoy.assert_vm_alive();
}

#[test]
fn a_bad_new_configuration_is_refused_and_the_one_before_goes_on() {
    let world = informed(world().listener_from_file().start(), 1);
    let flow = Flow::start(&world);
    flow.goes_on();
    let (good, bad) = ("\"mode\": \"enforce\"", "\"mode\": \"enforce\", \"colour\": \"red\"");
    world.envoy.edit_listener(good, bad);
    eventually("Envoy has refused it", || {
        (stat(&world, "listener_manager.lds.update_rejected") > 0).then_some(())
    });
    eventually("the log names the error", || {
        world.envoy.log().contains("colour is not a known key").then_some(())
    });
    flow.goes_on();
    let tally = flow.end(&world);
    assert_eq!((tally.kept_lost, tally.new_lost), (0, 0), "no connection ends");
    assert_eq!(stat(&world, "wasmcustom.fedgate.ingress.lookups"), 0, "the table before decides");

    let flow = Flow::start(&world);
    world.envoy.edit_listener(bad, good);
    set_staleness(&world, 900, 0);
    every_request_is_looked_up(&world);
    flow.goes_on();
    flow.end(&world);
    world.envoy.assert_vm_alive();
}

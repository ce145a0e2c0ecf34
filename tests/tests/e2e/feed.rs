//! The feed: what every worker knows before it is asked, and how soon it knows of a change.

use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::caller::Http2;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane};
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, http};

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{assert_expected, check_http2, origin};
use crate::line::{ASK_THE_LINE, Line};

/// How often Envoy's log has this in a line of this level.
pub(crate) fn told(world: &World, level: &str, words: &str) -> usize {
    let level = format!("[{level}]");
    world.envoy.log().lines().filter(|line| line.contains(&level) && line.contains(words)).count()
}

/// A world whose tables, the worker's and that of Envoy's main thread, are whole, with `domains` domains.
pub(crate) fn informed(world: World, domains: u64) -> World {
    eventually("both tables are fresh and whole", || {
        let stat = |name| world.envoy.stat(&format!("wasmcustom.fedgate.ingress.{name}"));
        (stat("feed_state") == Some(1) && stat("table_domains") == Some(domains)).then_some(())?;
        (told(&world, "info", "the table is fresh") >= 2).then_some(())
    });
    world
}

fn world() -> World {
    let records = [srv("a.com", 3600, "infra.x.com."), srv("b.org", 3600, "infra.x.com.")];
    informed(World::builder().records(records).allow(&["a.com", "b.org"]).start(), 2)
}

pub(crate) fn label(world: &World, connection: &Http2, domain: &str) -> String {
    world.run(connection.call("probe", &[origin(domain)])).unwrap().label()
}

/// Calls on an open connection until the label comes; for how long it did not.
pub(crate) fn time_until(world: &World, connection: &Http2, domain: &str, expected: &str) -> Duration {
    let started = Instant::now();
    while label(world, connection, domain) != expected {
        assert!(started.elapsed() < Duration::from_secs(10), "{domain} never got {expected:?}");
    }
    started.elapsed()
}

pub(crate) fn delete(control_plane: &ControlPlane, domain: &str) {
    let url = format!("{}/v1/domains/{domain}", control_plane.url());
    let request = http().delete(url).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    assert_eq!(request.call().unwrap().status(), 204);
}

#[test]
fn listed_and_unlisted_domains_are_decided_without_a_question() {
    let world = world();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    let queries = world.dns.queries("a.com");
    world.run(async {
        let connection = caller.http2().await.unwrap();
        for n in 0..1000 {
            let answer = connection.call(&format!("warm-{n}"), &[origin("a.com")]).await;
            assert_expected(&world, &format!("warm-{n}"), answer, Permit("a.com"));
        }
        let answer = connection.call("unlisted", &[origin("unlisted.com")]).await;
        assert_expected(&world, "unlisted", answer, Refuse(400, "federation-denied"));
    });
    eventually("the metrics tell of all requests", || {
        let stat = |name| world.envoy.stat(&format!("wasmcustom.fedgate.ingress.{name}"));
        (stat("permits") == Some(1000) && stat("refusals.label.federation-denied") == Some(1))
            .then_some(())
    });
    assert_eq!(
        world.envoy.stat("wasmcustom.fedgate.ingress.lookups").unwrap_or(0),
        0,
        "nobody was asked"
    );
    assert_eq!(world.dns.queries("a.com"), queries);
    assert_eq!(world.dns.queries("unlisted.com"), 0);
}

#[test]
fn a_removed_domain_is_refused_at_once_on_an_open_connection() {
    let world = world();
    let connection = world.run(world.caller(&world.identity(&["infra.x.com"])).http2()).unwrap();
    assert_eq!(label(&world, &connection, "a.com"), "");
    delete(world.control_plane.as_ref().unwrap(), "a.com");
    let time = time_until(&world, &connection, "a.com", "federation-denied");
    assert!(time < Duration::from_secs(1), "it took {time:?}");
    assert_eq!(label(&world, &connection, "b.org"), "");
}

#[test]
fn a_strategy_is_in_force_at_once_on_an_open_connection() {
    let world = world();
    let connection = world.run(world.caller(&world.identity(&["infra.x.com"])).http2()).unwrap();
    for (strategy, expected) in [("allowNone", "federation-denied"), ("allowDynamic", "")] {
        world.control_plane.as_ref().unwrap().cli(&["strategy", "set", strategy]).unwrap();
        let time = time_until(&world, &connection, "a.com", expected);
        assert!(time < Duration::from_secs(1), "{strategy} took {time:?}");
    }
}

#[test]
fn a_record_that_the_control_plane_has_anew_counts_at_once() {
    let world = world();
    let new = world.run(world.caller(&world.identity(&["new.x.com"])).http2()).unwrap();
    let old = world.run(world.caller(&world.identity(&["infra.x.com"])).http2()).unwrap();
    assert_eq!(label(&world, &new, "a.com"), "authentication-failure");
    world.dns.set_srv("a.com", 3600, "new.x.com.");
    world.control_plane.as_ref().unwrap().cli(&["domain", "refresh", "a.com"]).unwrap();
    let time = time_until(&world, &new, "a.com", "");
    assert!(time < Duration::from_secs(1), "it took {time:?}");
    assert_eq!(label(&world, &old, "a.com"), "authentication-failure");
}

#[test]
fn a_killed_control_plane_is_heard_again_within_two_seconds_of_its_return() {
    let mut world = world();
    let connection = world.run(world.caller(&world.identity(&["infra.x.com"])).http2()).unwrap();
    world.control_plane().kill();
    assert_eq!(label(&world, &connection, "a.com"), "");
    assert_eq!(label(&world, &connection, "unlisted.com"), "federation-denied");
    world.control_plane().restart();
    delete(world.control_plane(), "a.com");
    let time = time_until(&world, &connection, "a.com", "federation-denied");
    assert!(time < Duration::from_secs(2), "it took {time:?}");
}

#[test]
fn an_empty_control_plane_has_everything_refused_within_two_seconds() {
    let mut world = world();
    let connection = world.run(world.caller(&world.identity(&["infra.x.com"])).http2()).unwrap();
    world.control_plane().kill();
    world.control_plane().forget();
    world.control_plane().restart();
    let time = time_until(&world, &connection, "a.com", "federation-denied");
    assert!(time < Duration::from_secs(2), "it took {time:?}");
    assert_eq!(label(&world, &connection, "b.org"), "federation-denied");
}

#[test]
fn without_a_word_for_too_long_the_table_decides_nothing() {
    let world = World::builder()
        .records([srv("a.com", 3600, "infra.x.com.")])
        .allow(&["a.com"])
        .edit("\"max_staleness_s\": 900", "\"max_staleness_s\": 3")
        .start();
    let mut world = informed(world, 1);
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    world.control_plane().kill();
    check_http2(&world, &caller, "stale", &[origin("a.com")], Permit("a.com"));
    let connection = world.run(caller.http2()).unwrap();
    time_until(&world, &connection, "a.com", "verdict-unavailable");
    assert_eq!(label(&world, &connection, "unlisted.com"), "verdict-unavailable");
    eventually("the metrics tell", || {
        (world.envoy.stat("wasmcustom.fedgate.ingress.feed_state") == Some(3)).then_some(())
    });
    world.control_plane().restart();
    let time = time_until(&world, &connection, "a.com", "");
    assert!(time < Duration::from_secs(2), "it took {time:?}");
}

#[test]
fn fresh_stale_and_too_stale_are_told_in_metrics_and_log() {
    let (from, to) = ASK_THE_LINE;
    let world = World::builder()
        .records([srv("a.com", 3600, "infra.x.com.")])
        .allow(&["a.com"])
        .edit(from, to)
        .edit("\"max_staleness_s\": 900", "\"max_staleness_s\": 12")
        .start();
    // Each change is told once by each of the two tables, whose gauge is one.
    let becomes = |state: u64, level: &str, words: &str, times: usize| {
        eventually(&format!("both tables are in state {state}: {words}"), || {
            let told = told(&world, level, words);
            assert!(told <= times, "{words:?} stands {told} times in the log");
            let stat = world.envoy.stat("wasmcustom.fedgate.ingress.feed_state");
            (told == times && stat == Some(state)).then_some(())
        });
    };
    let connection = world.run(world.caller(&world.identity(&["infra.x.com"])).http2()).unwrap();
    assert_eq!(world.envoy.stat("wasmcustom.fedgate.ingress.feed_state"), Some(0));

    let line = Line::lay(&world);
    becomes(1, "info", "the table is fresh: 1 listed domains", 2);

    line.cut();
    becomes(2, "warning", "the table is stale: the control plane was last heard", 2);
    assert_eq!(label(&world, &connection, "a.com"), "");
    assert_eq!(label(&world, &connection, "unlisted.com"), "federation-denied");

    becomes(3, "error", "the table is too stale: the control plane was not heard for more than 12 s", 2);
    assert_eq!(label(&world, &connection, "a.com"), "verdict-unavailable");

    // Nothing has changed meanwhile, but this answer is not held back (6 s) until something does.
    let mended = Instant::now();
    line.flow();
    becomes(1, "info", "the table is fresh: 1 listed domains", 4);
    assert!(mended.elapsed() < Duration::from_secs(3), "it took {:?}", mended.elapsed());
    assert_eq!(label(&world, &connection, "a.com"), "");
    assert_eq!(label(&world, &connection, "unlisted.com"), "federation-denied");
}

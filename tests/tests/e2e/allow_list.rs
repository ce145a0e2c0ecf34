//! Who is allowed, as operators say it, and how soon the border knows.

use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::caller::Caller;
use fedgate_tests::dns::srv;
use fedgate_tests::process::eventually;

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check_http2, origin};

fn label(world: &World, caller: &Caller, domain: &str) -> String {
    world.run(async { caller.call("probe", &[origin(domain)]).await }).unwrap().label()
}

#[test]
fn an_added_domain_passes_and_a_removed_one_is_refused_within_a_second() {
    let mut world = World::builder().records([srv("a.com", 5, "infra.a.com.")]).start();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    check_http2(&world, &caller, "before_add", &[origin("a.com")], Refuse(400, "federation-denied"));

    world.control_plane().add(&["a.com"]);
    let added = Instant::now();
    eventually("requests pass", || label(&world, &caller, "a.com").is_empty().then_some(()));
    assert!(added.elapsed() < Duration::from_secs(1), "it took {:?}", added.elapsed());

    world.control_plane().cli(&["domain", "remove", "a.com"]).unwrap();
    let removed = Instant::now();
    eventually("requests are refused", || {
        (label(&world, &caller, "a.com") == "federation-denied").then_some(())
    });
    assert!(removed.elapsed() < Duration::from_secs(1), "it took {:?}", removed.elapsed());
}

#[test]
fn a_strategy_decides_for_listed_and_unlisted_domains() {
    let records = [srv("listed.com", 1, "infra.x.com."), srv("other.com", 1, "infra.x.com.")];
    let world =
        World::builder().records(records).discovery("min_ttl = \"1s\"").allow(&["listed.com"]).start();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    let control_plane = world.control_plane.as_ref().unwrap();
    for (strategy, listed, other) in [
        ("allowDynamic", "", "federation-denied"),
        ("allowAll", "", ""),
        ("allowNone", "federation-denied", "federation-denied"),
        ("allowDynamic", "", "federation-denied"),
    ] {
        control_plane.cli(&["strategy", "set", strategy]).unwrap();
        assert!(control_plane.cli(&["strategy", "get"]).unwrap().contains(strategy));
        for (domain, expected) in [("listed.com", listed), ("other.com", other)] {
            eventually(&format!("{domain} under {strategy} is {expected:?}"), || {
                (label(&world, &caller, domain) == expected).then_some(())
            });
        }
    }
}

#[test]
fn a_new_control_plane_allows_nobody() {
    let world = World::builder().records([srv("a.com", 60, "infra.a.com.")]).start();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    check_http2(&world, &caller, "nobody", &[origin("a.com")], Refuse(400, "federation-denied"));
}

#[test]
fn a_refresh_finds_a_changed_record_before_its_ttl_ends() {
    let world = World::builder().records([srv("a.com", 3600, "old.a.com.")]).allow(&["a.com"]).start();
    let caller = world.caller(&world.identity(&["new.a.com"]));
    world.dns.set_srv("a.com", 3600, "new.a.com.");
    let control_plane = world.control_plane.as_ref().unwrap();
    control_plane.cli(&["domain", "refresh", "a.com"]).unwrap();
    check_http2(&world, &caller, "refreshed", &[origin("a.com")], Permit("a.com"));
}

#[test]
fn the_command_line_names_what_is_wrong_and_how_to_cure_it() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    for (args, code, words) in [
        (&["domain", "add", "not a domain"][..], "", "domain"),
        (&["domain", "remove", "absent.com"], "exit status: 1", "absent.com"),
        (&["domain", "show", "absent.com"], "exit status: 1", "absent.com"),
        (&["strategy", "set", "allowSome"], "exit status: 2", "allowDynamic"),
        (&["domain", "add"], "exit status: 2", "Usage"),
    ] {
        let error = control_plane.cli(args).unwrap_err();
        assert!(error.contains(code) && error.contains(words), "{args:?}: {error}");
    }
    let list = || control_plane.cli(&["domain", "list", "--json"]).unwrap();
    assert!(!list().contains("a.com"));
    control_plane.add(&["a.com"]);
    control_plane.add(&["a.com"]);
    assert_eq!(list().matches("a.com").count(), 1, "adding twice is adding once");
}

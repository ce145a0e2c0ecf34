//! DNS in all the shapes that BIND gives it, as far as it decides who may speak for a backend domain.
//! What no honest server does is in [`answers`](crate::answers).

use std::time::{Duration, Instant};

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{Expect, check, check_http2, origin};
use crate::shared;
use fedgate_tests::World;
use fedgate_tests::dns::{service, srv};
use fedgate_tests::process::eventually;

const MISMATCH: Expect = Refuse(403, "authentication-failure");
const NO_SRV: Expect = Refuse(422, "invalid-domain");
const DNS_FAILURE: Expect = Refuse(400, "discovery-failure");

/// The records of the shared world.
pub(crate) fn records() -> Vec<String> {
    let mut records = vec![
        srv("a.com", 60, "infra.a.com."),
        srv("deep.com", 60, "x.y.infra.deep.com."),
        srv("upper.com", 60, "INFRA.Upper.COM."),
        srv("several.com", 60, "one.several.com."),
        format!("{} 60 IN SRV 20 0 443 two.several.com.", service("several.com")),
        format!("{} 60 IN SRV 10 90 8443 three.several.com.", service("several.com")),
        srv("dot.com", 60, "."),
        srv("dotplus.com", 60, "."),
        srv("dotplus.com", 60, "infra.dotplus.com."),
        format!("{} 60 IN TXT \"no federator here\"", service("nodata.com")),
        format!("{} 60 IN CNAME {}", service("cname.com"), service("target.org")),
        srv("target.org", 60, "infra.cname.com."),
        format!("{} 60 IN CNAME {}", service("loop.com"), service("loop.org")),
        format!("{} 60 IN CNAME {}", service("loop.org"), service("loop.com")),
        srv("address.com", 60, "192.0.2.1."),
        srv("underscore.com", 60, "_infra.underscore.com."),
        srv("underscore.com", 60, "infra.underscore.com."),
        srv("alias.com", 60, "infra.alias.com."),
        "infra.alias.com. 60 IN CNAME elsewhere.example.".to_owned(),
        srv("ttl0.com", 0, "infra.ttl0.com."),
        srv("ttl1.com", 1, "infra.ttl1.com."),
        srv("ttl86400.com", 86_400, "infra.ttl86400.com."),
        srv("unlisted.com", 60, "infra.unlisted.com."),
        srv("crowd.com", 60, "infra.crowd.com."),
        // Delegated to a server that is nowhere; ours is not responsible, and does not ask on.
        "lame.example. 60 IN NS ns.lame.example.".to_owned(),
    ];
    // Twelve aliases in a row.
    records.extend((0..12).map(|n| {
        format!(
            "{} 60 IN CNAME {}",
            service(&format!("far{n}.com")),
            service(&format!("far{}.com", n + 1))
        )
    }));
    records.push(srv("far12.com", 60, "infra.far.com."));
    // More than UDP carries, and more than are kept.
    records.extend(
        (0..70).map(|n| srv("many.com", 60, &format!("t{n:02}.a-name-of-some-length.many.com."))),
    );
    records
}

/// The allow list of the shared world.
pub(crate) fn allowed() -> Vec<&'static str> {
    vec![
        "a.com",
        "deep.com",
        "upper.com",
        "several.com",
        "dot.com",
        "dotplus.com",
        "nodata.com",
        "cname.com",
        "loop.com",
        "far0.com",
        "address.com",
        "underscore.com",
        "alias.com",
        "ttl0.com",
        "ttl1.com",
        "ttl86400.com",
        "many.com",
        "absent.com",
        "x.broken.example",
        "refused.invalid",
        "x.lame.example",
        "crowd.com",
    ]
}

/// One test for each domain of the shared world: its peer shows a certificate for `host`.
macro_rules! domains {
    ($($name:ident: $domain:literal served by $host:literal is $expect:expr;)*) => {$(
        #[test]
        fn $name() {
            let world = shared();
            let caller = world.caller(&world.identity(&[$host]));
            check(&world, &caller, stringify!($name), &[origin($domain)], $expect);
        }
    )*};
}

domains! {
    one_target: "a.com" served by "infra.a.com" is Permit("a.com");
    a_target_in_upper_case: "upper.com" served by "infra.upper.com" is Permit("upper.com");
    any_of_several_targets_first: "several.com" served by "one.several.com" is Permit("several.com");
    any_of_several_targets_of_another_priority: "several.com" served by "two.several.com" is Permit("several.com");
    any_of_several_targets_of_another_port: "several.com" served by "three.several.com" is Permit("several.com");
    none_of_several_targets: "several.com" served by "four.several.com" is MISMATCH;
    the_target_dot_alone_means_no_service: "dot.com" served by "dot.com" is NO_SRV;
    the_target_dot_beside_another_is_passed_over: "dotplus.com" served by "infra.dotplus.com" is Permit("dotplus.com");
    nxdomain: "absent.com" served by "infra.absent.com" is NO_SRV;
    nodata: "nodata.com" served by "infra.nodata.com" is NO_SRV;
    servfail: "x.broken.example" served by "infra.x.broken.example" is DNS_FAILURE;
    refused: "refused.invalid" served by "infra.refused.invalid" is DNS_FAILURE;
    a_lame_server: "x.lame.example" served by "infra.x.lame.example" is DNS_FAILURE;
    an_alias_of_the_service_is_followed: "cname.com" served by "infra.cname.com" is Permit("cname.com");
    aliases_in_a_loop: "loop.com" served by "infra.loop.com" is DNS_FAILURE;
    too_many_aliases_in_a_row: "far0.com" served by "infra.far.com" is DNS_FAILURE;
    a_target_that_is_an_address: "address.com" served by "192.0.2.1" is DNS_FAILURE;
    a_target_with_an_underscore_is_passed_over: "underscore.com" served by "infra.underscore.com" is Permit("underscore.com");
    a_target_that_is_an_alias_counts_by_its_own_name: "alias.com" served by "infra.alias.com" is Permit("alias.com");
    the_name_behind_a_targets_alias_does_not_count: "alias.com" served by "elsewhere.example" is MISMATCH;
    a_ttl_of_0: "ttl0.com" served by "infra.ttl0.com" is Permit("ttl0.com");
    a_ttl_of_1: "ttl1.com" served by "infra.ttl1.com" is Permit("ttl1.com");
    a_ttl_of_a_day: "ttl86400.com" served by "infra.ttl86400.com" is Permit("ttl86400.com");
    of_too_many_records_the_same_ones_are_kept_first: "many.com" served by "t00.a-name-of-some-length.many.com" is Permit("many.com");
    of_too_many_records_the_same_ones_are_kept_last: "many.com" served by "t63.a-name-of-some-length.many.com" is Permit("many.com");
    of_too_many_records_the_same_ones_are_left_out: "many.com" served by "t64.a-name-of-some-length.many.com" is MISMATCH;
}

#[test]
fn an_answer_too_large_for_udp_comes_by_tcp() {
    let world = shared();
    let caller = world.caller(&world.identity(&["t01.a-name-of-some-length.many.com"]));
    check_http2(&world, &caller, "large_answer", &[origin("many.com")], Permit("many.com"));
    assert!(world.dns.tcp_queries("many.com") > 0);
}

#[test]
fn a_domain_that_is_not_allowed_is_never_looked_up() {
    let world = shared();
    let caller = world.caller(&world.identity(&["infra.unlisted.com"]));
    let denied = Refuse(400, "federation-denied");
    check(&world, &caller, "never_looked_up", &[origin("unlisted.com")], denied);
    check(
        &world,
        &world.anonymous(),
        "anonymous_listed",
        &[origin("a.com")],
        Refuse(403, "no-client-certificate"),
    );
    // A query that comes after shows that BIND's log would tell of one before.
    let caller = world.caller(&world.identity(&["infra.crowd.com"]));
    check_http2(&world, &caller, "looked_up", &[origin("crowd.com")], Permit("crowd.com"));
    eventually("BIND tells of the other query", || (world.dns.queries("crowd.com") > 0).then_some(()));
    assert_eq!(world.dns.queries("unlisted.com"), 0);
}

#[test]
fn a_thousand_first_requests_make_one_query() {
    // allowAll: nothing is asked ahead of the requests.
    let records = [srv("crowd.org", 60, "infra.crowd.org.")];
    let world = World::builder().records(records).strategy("allowAll").start();
    let caller = world.caller(&world.identity(&["infra.crowd.org"]));
    let statuses = world.run(async {
        let mut connections = vec![];
        for _ in 0..10 {
            connections.push(caller.http2().await.unwrap());
        }
        let requests: Vec<_> = (0..1000)
            .map(|n| {
                let connection = connections[n % 10].clone();
                tokio::spawn(async move {
                    connection
                        .call(&format!("crowd-{n}"), &[origin("crowd.org")])
                        .await
                        .map(|a| a.status)
                })
            })
            .collect();
        let mut statuses = vec![];
        for request in requests {
            statuses.push(request.await.unwrap().unwrap());
        }
        statuses
    });
    let refused: Vec<_> = statuses.iter().filter(|status| **status != 200).collect();
    assert!(refused.is_empty(), "{} of 1000 were refused: {refused:?}", refused.len());
    assert_eq!(world.dns.queries("crowd.org"), 1);
}

#[test]
fn a_changed_record_counts_within_its_ttl_and_a_second() {
    let world = World::builder().records([srv("a.com", 5, "old.a.com.")]).allow(&["a.com"]).start();
    let old = world.caller(&world.identity(&["old.a.com"]));
    let new = world.caller(&world.identity(&["new.a.com"]));
    check_http2(&world, &old, "old_before", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &new, "new_before", &[origin("a.com")], MISMATCH);

    let changed = Instant::now();
    world.dns.set_srv("a.com", 5, "new.a.com.");
    eventually("the old name is refused", || {
        let answer = world.run(async { old.call("old-after", &[origin("a.com")]).await });
        (answer.unwrap().label() == "authentication-failure").then_some(())
    });
    check_http2(&world, &new, "new_after", &[origin("a.com")], Permit("a.com"));
    assert!(changed.elapsed() <= Duration::from_secs(6), "it took {:?}", changed.elapsed());
}

#[test]
fn a_domain_that_gets_its_record_is_found_when_the_negative_answer_ends() {
    // The zones' SOA lets a negative answer live for 5 seconds.
    let world = World::builder().allow(&["late.com"]).start();
    let caller = world.caller(&world.identity(&["infra.late.com"]));
    check_http2(&world, &caller, "before_record", &[origin("late.com")], NO_SRV);
    let queries = world.dns.queries("late.com");
    check_http2(&world, &caller, "cached_absence", &[origin("late.com")], NO_SRV);
    assert_eq!(world.dns.queries("late.com"), queries, "a negative answer is kept");
    let changed = Instant::now();
    world.dns.set_srv("late.com", 60, "infra.late.com.");
    eventually("the record is found", || {
        let answer = world.run(async { caller.call("late", &[origin("late.com")]).await });
        (answer.unwrap().status == 200).then_some(())
    });
    assert!(changed.elapsed() <= Duration::from_secs(6), "it took {:?}", changed.elapsed());
}

#[test]
fn bind_that_is_away_is_a_discovery_failure_and_is_forgotten_when_it_is_back() {
    let mut world = World::builder()
        .records([srv("a.com", 60, "infra.a.com."), srv("b.org", 60, "infra.b.org.")])
        .discovery("timeout = \"1s\"")
        .allow(&["a.com"])
        .start();
    let caller = world.caller(&world.identity(&["infra.a.com", "infra.b.org"]));
    check_http2(&world, &caller, "warm", &[origin("a.com")], Permit("a.com"));
    world.dns.stop();
    world.control_plane().add(&["b.org"]);
    check_http2(&world, &caller, "warm_without_bind", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &caller, "cold_without_bind", &[origin("b.org")], DNS_FAILURE);
    let back = Instant::now();
    world.dns.restart();
    eventually("a request passes again", || {
        let answer = world.run(async { caller.call("back", &[origin("b.org")]).await });
        (answer.unwrap().status == 200).then_some(())
    });
    assert!(back.elapsed() <= Duration::from_secs(6), "it took {:?}", back.elapsed());
}

#[test]
fn bind_that_does_not_answer_is_a_discovery_failure_and_no_hang() {
    let world = World::builder()
        .records([srv("slow.com", 60, "infra.slow.com.")])
        .discovery("timeout = \"1s\"")
        .start();
    world.dns.freeze();
    world.control_plane.as_ref().unwrap().add(&["slow.com"]);
    let caller = world.caller(&world.identity(&["infra.slow.com"]));
    check_http2(&world, &caller, "frozen", &[origin("slow.com")], DNS_FAILURE);
    world.dns.thaw();
    eventually("a request passes again", || {
        let answer = world.run(async { caller.call("thawed", &[origin("slow.com")]).await });
        (answer.unwrap().status == 200).then_some(())
    });
}

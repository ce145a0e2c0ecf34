//! What Envoy's statistics tell of requests and calls: by role, by label, and by partner.

use fedgate_tests::World;
use fedgate_tests::dns::srv;
use fedgate_tests::process::eventually;

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check_http2, origin};
use crate::feed::informed;

/// What Prometheus would read: the lines of a metric, with what is in their braces sorted.
fn read(world: &World, metric: &str) -> Vec<String> {
    let text = world.envoy.ask("/stats/prometheus").unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{'));
    let mut found: Vec<String> = lines
        .map(|line| {
            let (labels, value) = line.rsplit_once("} ").unwrap();
            let mut labels: Vec<_> = labels.split(',').collect();
            labels.sort_unstable();
            format!("{} {value}", labels.join(","))
        })
        .collect();
    found.sort_unstable();
    found
}

#[track_caller]
fn assert_reads(world: &World, metric: &str, expected: &[&str]) {
    eventually(&format!("{metric} is {expected:?}: {:?}", read(world, metric)), || {
        (read(world, metric) == expected).then_some(())
    });
}

#[test]
fn each_role_and_each_listed_domain_is_counted_by_itself() {
    let records = ["a.com", "x-1.label.a.com"].map(|domain| srv(domain, 3600, "infra.x.com."));
    let builder = World::builder().records(records).allow(&["a.com", "x-1.label.a.com", "absent.com"]);
    let mut world = informed(builder.egress().start(), 3);
    let good = world.caller(&world.identity(&["infra.x.com"]));
    let other = world.caller(&world.identity(&["infra.other.com"]));
    check_http2(&world, &good, "first", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &good, "second", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &good, "deep", &[origin("x-1.label.a.com")], Permit("x-1.label.a.com"));
    let mismatch = Refuse(403, "authentication-failure");
    check_http2(&world, &other, "other", &[origin("a.com")], mismatch);
    check_http2(&world, &good, "unlisted", &[origin("unlisted.com")], Refuse(400, "federation-denied"));
    assert_eq!(world.local().call("a.com", "get-user").unwrap().status, 521);
    assert_eq!(world.local().call("absent.com", "get-user").unwrap().status, 422);

    assert_reads(
        &world,
        "fedgate_partner_permits",
        &[
            r#"domain="a.com",role="egress" 1"#,
            r#"domain="a.com",role="ingress" 2"#,
            r#"domain="x-1.label.a.com",role="ingress" 1"#,
        ],
    );
    assert_reads(
        &world,
        "fedgate_partner_refusals",
        &[
            r#"domain="a.com",label="authentication-failure",role="ingress" 1"#,
            r#"domain="absent.com",label="invalid-domain",role="egress" 1"#,
        ],
    );
    let refused = r#"domain="a.com",label="federation-connection-refused",role="egress" 1"#;
    assert_reads(&world, "fedgate_partner_failures", &[refused]);
    assert_reads(&world, "fedgate_permits", &[r#"role="egress" 1"#, r#"role="ingress" 3"#]);
    assert_reads(&world, "fedgate_feed_state", &[r#"role="egress" 1"#, r#"role="ingress" 1"#]);
    assert_reads(&world, "fedgate_table_domains", &[r#"role="egress" 3"#, r#"role="ingress" 3"#]);
    let all = world.envoy.ask("/stats").unwrap();
    assert!(!all.contains("unlisted.com"), "what anybody says is in no name");

    world.control_plane().cli(&["domain", "remove", "a.com"]).unwrap();
    let denied = Refuse(400, "federation-denied");
    eventually("the removal counts", || {
        (world.envoy.stat("wasmcustom.fedgate.ingress.table_domains") == Some(2)).then_some(())
    });
    check_http2(&world, &good, "removed", &[origin("a.com")], denied);
    let label = "wasmcustom.fedgate.ingress.refusals.label.federation-denied";
    eventually("it is counted", || (world.envoy.stat(label) == Some(2)).then_some(()));
    let refusals = read(&world, "fedgate_partner_refusals");
    assert_eq!(refusals.len(), 2, "no more for a domain that is not listed: {refusals:?}");
}

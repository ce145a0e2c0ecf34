//! One partner who takes what there is, and what is left for the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fedgate_tests::World;
use fedgate_tests::caller::{Caller, Http2};
use fedgate_tests::dns::service;
use fedgate_tests::pki::Leaf;
use fedgate_tests::process::eventually;
use fedgate_tests::scripted::{Scripted, say};

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{assert_expected, check_http2, origin};

/// Made-up domains in a second.
const RATE: usize = 300;
const REFUSED: &str = "wasmcustom.fedgate.ingress.refusals.label.verdict-unavailable";

/// A server that is silent, but of these domains: each is served by `infra.` and its own name.
fn silent_but_of(domains: &'static [&'static str]) -> Scripted {
    Scripted::start(move |asked| {
        let name = asked.message.queries.first().expect("a question").name().to_ascii();
        let domain = domains.iter().find(|domain| name == service(domain));
        domain.map_or(vec![], |domain| say(&asked.srv(&name, &format!("infra.{domain}."))))
    })
}

/// A partner who claims to speak for one domain after the other, in the name of one certificate.
struct Flood {
    caller: Caller,
    ends: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Flood {
    fn begin(world: &World) -> Self {
        let caller = world.caller(&world.identity(&["infra.flood.com"]));
        let connections: Vec<Http2> =
            (0..15).map(|_| world.run(caller.http2()).expect("a connection")).collect();
        let flood = Self { caller, ends: Arc::default(), refused: Arc::default() };
        let (ends, refused) = (flood.ends.clone(), flood.refused.clone());
        world.runtime().spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            for number in 0_usize.. {
                if number.is_multiple_of(RATE / 10) {
                    tick.tick().await;
                }
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (connection, refused) = (connections[number % 15].clone(), refused.clone());
                tokio::spawn(async move {
                    let domain = format!("d{number}.flood.com");
                    let answer = connection.call("flood", &[origin(&domain)]).await;
                    if answer.is_ok_and(|answer| {
                        String::from_utf8_lossy(&answer.body)
                            .contains("this caller has too many questions")
                    }) {
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        flood
    }

    fn is_refused(&self) -> Option<()> {
        (self.refused.load(Ordering::SeqCst) > 0).then_some(())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
    }
}

#[test]
fn who_makes_up_domains_whose_dns_is_silent_shuts_out_only_himself() {
    let dns = silent_but_of(&["new.com", "wanted.com", "listed.com", "called.com"]);
    let mut world = World::builder().strategy("allowAll").egress().ask(dns.address()).start();
    let flood = Flood::begin(&world);
    eventually("what is beyond the share is refused, and says so", || flood.is_refused());

    let partner = world.caller(&world.identity(&["infra.new.com"]));
    check_http2(&world, &partner, "a_new_domain", &[origin("new.com")], Permit("new.com"));

    // Who floods asks for another's domain first.
    let wanted = world.caller(&world.identity(&["infra.wanted.com"]));
    world.run(async {
        let _ = flood.caller.call("wanted-by-another", &[origin("wanted.com")]).await;
    });
    check_http2(&world, &wanted, "wanted", &[origin("wanted.com")], Permit("wanted.com"));

    world.control_plane().add(&["listed.com"]);
    let listed = world.caller(&world.identity(&["infra.listed.com"]));
    check_http2(&world, &listed, "listed", &[origin("listed.com")], Permit("listed.com"));

    // Its target has no address, since DNS is silent of that; but it is discovered.
    let called = world.local().call("called.com", "get-user").unwrap();
    assert_eq!((called.status, called.label().as_str()), (521, "federation-connection-refused"));

    assert!(world.envoy.stat(REFUSED).unwrap_or(0) > 0, "the flood goes on");
    assert!(!world.backend.saw("flood"));
    world.envoy.assert_vm_alive();
}

/// What Envoy takes of memory, in octets.
fn resident(world: &World) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.envoy.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn certificates_with_many_names_are_not_remembered_without_bound() {
    const MOST: usize = 64 << 20;
    let world = World::builder().strategy("allowNone").start();
    let name = |n: usize| format!("{n:04}.co");
    let beyond = world.authority.issue(&Leaf::of((0..9500).map(name)));
    let expect = Refuse(403, "certificate-parse-error");
    let one = |number: usize| {
        let rpc = format!("many-names-{number}");
        let answer = world.run(async { world.caller(&beyond).call(&rpc, &[origin("a.com")]).await });
        if number == 0 {
            let body = String::from_utf8_lossy(&answer.as_ref().unwrap().body).into_owned();
            assert!(body.contains("presents 9500 names, more than 4096"), "{body}");
        }
        assert_expected(&world, &rpc, answer, expect);
    };
    (0..100).for_each(one);
    let before = resident(&world);
    (100..1100).for_each(one);
    let grown = resident(&world).saturating_sub(before);
    assert!(grown < MOST, "one certificate on 1,100 connections: {} MiB", grown >> 20);

    // Each of these could be read, and kept: together some 50 MiB.
    let before = resident(&world);
    for number in 0..300 {
        let host = |n: usize| format!("h{n}.c{number}.example");
        let identity = world.authority.issue(&Leaf::of((0..3000).map(host)));
        let rpc = format!("many-certificates-{number}");
        let answer = world.run(async { world.caller(&identity).call(&rpc, &[origin("a.com")]).await });
        assert_expected(&world, &rpc, answer, Refuse(400, "federation-denied"));
    }
    let grown = resident(&world).saturating_sub(before);
    assert!(grown < MOST, "300 certificates: {} MiB", grown >> 20);
    world.envoy.assert_vm_alive();
}

//! Ten nights on which somebody is paged: a fault is played, and the first screen of `fedgate status` names it. What to
//! do then is in docs/nights.md.

use std::net::SocketAddr;

use axum::Router;
use fedgate_tests::World;
use fedgate_tests::caller::Answer;
use fedgate_tests::disk::Disk;
use fedgate_tests::dns::{service, srv};
use fedgate_tests::peer::Peer;
use fedgate_tests::pki::{Authority, Leaf};
use fedgate_tests::process::eventually;

use crate::claim::origin;
use crate::egress::{announce, caller, list};

/// The rows of a terminal, without the one of the prompt.
const SCREEN: usize = 23;
const COLUMNS: usize = 80;
/// The name of a partner, as long as such names are.
const PARTNER: &str = "wire.example-partner.org";

/// What `fedgate status` shows on a terminal without scrolling: a finding, or a line of the head, in each.
fn screen(world: &World) -> String {
    let shown = world.control_plane.as_ref().unwrap().on_terminal(&["status"]);
    assert!(shown.starts_with("fedgate "), "{shown}");
    for row in shown.lines() {
        assert!(row.chars().count() <= COLUMNS, "{row}");
    }
    let rows: Vec<_> = shown.lines().take(SCREEN).collect();
    // A row that stands in goes on with the one before it.
    rows.join("\n").replace("\n  ", " ")
}

/// Waits until one line of the first screen has all these words.
#[track_caller]
fn assert_named(world: &World, words: &[&str]) {
    let mut last = String::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("the fault is named", || {
            last = screen(world);
            last.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        });
    }));
    assert!(found.is_ok(), "no line has all of {words:?}:\n{last}");
}

/// Nothing is wrong yet: else a test would find what was there before.
#[track_caller]
fn assert_quiet(world: &World, words: &[&str]) {
    let screen = screen(world);
    let line = screen.lines().find(|line| words.iter().all(|word| line.contains(word)));
    assert_eq!(line, None, "{screen}");
}

/// The partner calls the world with this certificate.
fn call(world: &World, leaf: &Leaf) -> Answer {
    let caller = world.caller(&world.authority.issue(leaf));
    world.run(caller.call("api-version", &[origin(PARTNER)])).unwrap()
}

/// A world in which it is one.
fn with_partner() -> World {
    World::builder().records([srv(PARTNER, 600, "infra.a.com.")]).allow(&[PARTNER]).start()
}

#[test]
fn night_1_a_partners_certificate_has_expired() {
    let world = with_partner();
    let leaf = Leaf { not_after: 20, ..Leaf::of(["infra.a.com"]) };
    assert_eq!(call(&world, &leaf).status, 200);
    assert_quiet(&world, &[PARTNER, "ended"]);
    assert_named(&world, &[PARTNER, "certificate", "ended"]);
}

#[test]
fn night_2_a_partners_certificate_lacks_its_infrastructure_domain() {
    let world = with_partner();
    assert_eq!(call(&world, &Leaf::of(["other.a.com"])).label(), "authentication-failure");
    assert_named(&world, &[PARTNER, "authentication-failure", "other.a.com"]);
}

#[test]
fn night_3_our_own_certificate_is_refused_by_a_partner() {
    let world = caller().start();
    let at = SocketAddr::from((world.ip(), 7001));
    let others = Authority::root("an authority that did not issue our certificate");
    let _peer = Peer::echo(at, "infra.b.com", &world.identity(&["infra.b.com"]), others.pem());
    announce(&world, "infra.b.com", 10, 10, at);
    list(&world);
    // With TLS 1.3 the handshake is over for the client before its certificate is looked at.
    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_eq!(answer.label(), "federation-http2-error");
    assert_named(&world, &["b.com", "federation-http2-error", "refuse our certificate"]);
}

#[test]
fn night_4_a_partners_srv_record_is_gone() {
    let world = with_partner();
    assert_eq!(call(&world, &Leaf::of(["infra.a.com"])).status, 200);
    world.dns.update(&[&format!("update delete {} SRV", service(PARTNER))]);
    let _ = world.control_plane.as_ref().unwrap().cli(&["domain", "refresh", PARTNER]);
    assert_named(&world, &[PARTNER, "srv record not found"]);
}

#[test]
fn night_5_dns_as_a_whole_is_away() {
    let mut world = with_partner();
    assert_quiet(&world, &["DNS", "failing"]);
    world.dns.stop();
    world.control_plane.as_ref().unwrap().add(&["new.com"]);
    assert_named(&world, &["DNS", "failing"]);
}

#[test]
fn night_6_somebody_knocks_who_is_not_on_our_list() {
    let world = World::builder().records([srv(PARTNER, 600, "infra.a.com.")]).start();
    assert_eq!(call(&world, &Leaf::of(["infra.a.com"])).label(), "federation-denied");
    assert_named(&world, &[PARTNER, "not on our list"]);
    // And from there to an entry in one command.
    assert_named(&world, &["→ fedgate domain add wire.example-partner.org"]);
    world.control_plane.as_ref().unwrap().cli(&["domain", "add", PARTNER]).unwrap();
    eventually("it may call", || (call(&world, &Leaf::of(["infra.a.com"])).status == 200).then_some(()));
    eventually("it is over", || (!screen(&world).contains("not on our list")).then_some(()));
}

#[test]
fn night_7_we_are_not_on_a_partners_list() {
    let a = caller().start();
    let b = World::builder().joins(&a).egress().discovery("allow_private_addresses = true\n").start();
    a.announce(&a.dns);
    b.announce(&a.dns);
    list(&a);
    let answer = a.local().call("b.com", "search-users").unwrap();
    assert_eq!(answer.label(), "federation-remote-error");
    assert_named(&a, &["b.com", "federation-denied"]);
}

#[test]
fn night_8_a_partners_ingress_is_down() {
    let world = caller().start();
    let at = SocketAddr::from((world.ip(), 7001));
    announce(&world, "infra.b.com", 10, 10, at);
    list(&world);
    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_eq!(answer.label(), "federation-connection-refused");
    assert_named(&world, &["b.com", "federation-connection-refused"]);
    // It is over once they answer.
    let _peer = Peer::serve(at, &world.identity(&["infra.b.com"]), world.authority.pem(), Router::new());
    eventually("a call is answered", || {
        let answer = world.local().call("b.com", "search-users").unwrap();
        (answer.label() != "federation-connection-refused").then_some(())
    });
    eventually("it is over", || (!screen(&world).contains("b.com unreachable")).then_some(()));
}

#[test]
fn night_9_no_envoy_is_connected() {
    const GONE: [&str; 2] = ["no Envoy is connected", "→ fedgate audit --action calls-refused"];
    let mut world = with_partner();
    eventually("the Envoy waits for news", || {
        (!screen(&world).contains("envoys      0 xDS streams, 0")).then_some(())
    });
    assert_quiet(&world, &GONE);
    world.envoy.terminate();
    world.envoy.wait();
    assert_named(&world, &GONE);
}

#[test]
fn night_10_the_disk_is_full() {
    let disk = match Disk::mount(1) {
        Ok(disk) => disk,
        Err(reason) => {
            // Past the harness, which keeps for itself what a test prints that passes.
            use std::io::Write;
            let words = format!("SKIPPED night_10…: no disk can be mounted here: {reason}\n");
            std::io::stderr().write_all(words.as_bytes()).unwrap();
            return;
        }
    };
    let world = World::builder().launcher(disk.launcher()).start();
    assert_quiet(&world, &["disk is full"]);
    disk.fill();
    // The store's files may have some room in them still.
    let control_plane = world.control_plane.as_ref().unwrap();
    (0..10_000)
        .find(|n| control_plane.cli(&["domain", "add", &format!("d{n}.com")]).is_err())
        .expect("a disk that is full");
    assert_named(&world, &["store", "disk is full"]);
}

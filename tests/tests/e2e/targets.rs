//! The targets of SRV records, as RFC 2782 has them: priorities, weights, addresses, and their changes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use fedgate_tests::World;
use fedgate_tests::address::Address;
use fedgate_tests::local::Local;
use fedgate_tests::peer::Peer;
use fedgate_tests::process::eventually;
use futures_util::stream;
use tokio::sync::broadcast;

use super::egress::{announce, caller, list};

/// A target of `b.com`, announced, with a peer that answers there by its name.
struct Target {
    name: &'static str,
    at: SocketAddr,
    peer: Option<Peer>,
}

impl Target {
    fn start(world: &World, name: &'static str, port: u16, priority: u16, weight: u16) -> Self {
        let at = SocketAddr::from((world.ip(), port));
        announce(world, name, priority, weight, at);
        let mut target = Self { name, at, peer: None };
        target.revive(world);
        target
    }

    fn revive(&mut self, world: &World) {
        let identity = world.identity(&[self.name]);
        self.peer = Some(Peer::echo(self.at, self.name, &identity, world.authority.pem()));
    }

    fn calls(&self) -> usize {
        self.peer.as_ref().map_or(0, Peer::calls)
    }
}

/// The name of the target that answered.
#[track_caller]
fn answers(local: &Local) -> String {
    let answer = local.call("b.com", "search-users").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["peer"].as_str().unwrap().to_owned()
}

#[test]
fn targets_of_one_priority_share_calls_by_their_weights() {
    let world = caller().start();
    let one = Target::start(&world, "one.b.com", 7001, 10, 10);
    let three = Target::start(&world, "three.b.com", 7002, 10, 30);
    let later = Target::start(&world, "later.b.com", 7003, 20, 10);
    list(&world);
    thread::scope(|scope| {
        for _ in 0..4 {
            let local = world.local().unexplained("more calls than may be asked about");
            scope.spawn(move || (0..1000).for_each(|_| drop(answers(&local))));
        }
    });
    assert_eq!(one.calls() + three.calls(), 4000);
    assert!((900..=1100).contains(&one.calls()), "{} of 4000", one.calls());
    assert_eq!(later.calls(), 0);
}

#[test]
fn no_caller_sees_an_error_that_a_healthy_target_could_have_answered() {
    let world = caller().start();
    let mut one = Target::start(&world, "one.b.com", 7001, 10, 10);
    let mut two = Target::start(&world, "two.b.com", 7002, 10, 30);
    let _later = Target::start(&world, "later.b.com", 7003, 20, 10);
    list(&world);
    let local = world.local();
    let seen = |calls: usize| -> BTreeMap<String, usize> {
        (0..calls).fold(BTreeMap::new(), |mut seen, _| {
            *seen.entry(answers(&local)).or_default() += 1;
            seen
        })
    };
    assert!(!seen(100).contains_key("later.b.com"));
    one.peer = None;
    assert_eq!(seen(100).keys().collect::<Vec<_>>(), ["two.b.com"]);
    two.peer = None;
    assert_eq!(seen(100).keys().collect::<Vec<_>>(), ["later.b.com"]);
    one.revive(&world);
    two.revive(&world);
    eventually("the first priority is used again", || {
        (!seen(20).contains_key("later.b.com")).then_some(())
    });
    eventually("both of its targets are", || {
        seen(10);
        (one.calls() > 0 && two.calls() > 0).then_some(())
    });
}

#[test]
fn a_target_that_cannot_prove_its_name_is_passed_over() {
    let world = caller().start();
    let at = SocketAddr::from((world.ip(), 7001));
    announce(&world, "false.b.com", 10, 10, at);
    let stranger =
        Peer::echo(at, "false.b.com", &world.identity(&["true.b.com"]), world.authority.pem());
    let _true = Target::start(&world, "true.b.com", 7002, 20, 10);
    list(&world);
    for _ in 0..20 {
        assert_eq!(answers(&world.local()), "true.b.com");
    }
    assert_eq!(stranger.calls(), 0);
}

#[test]
fn a_new_address_is_called_within_its_ttl_and_an_open_stream_lives_on() {
    let world = caller().start();
    let elsewhere = Address::claim();
    let identity = world.identity(&["infra.b.com"]);
    let (more, _) = broadcast::channel::<&'static str>(4);
    let source = more.clone();
    let streaming = Router::new().fallback(any(move || {
        let pieces = stream::unfold(source.subscribe(), |mut pieces| async {
            let piece: &str = pieces.recv().await.ok().filter(|piece: &&str| !piece.is_empty())?;
            Some((Ok::<_, Infallible>(piece), pieces))
        });
        async { Body::from_stream(pieces) }
    }));
    let old = SocketAddr::from((world.ip(), 7001));
    let new = SocketAddr::from((elsewhere.ip(), 7001));
    let _old = Peer::serve(old, &identity, world.authority.pem(), streaming);
    let _new = Peer::echo(new, "new", &identity, world.authority.pem());
    announce(&world, "infra.b.com", 10, 10, old);
    list(&world);

    let (told, heard) = mpsc::channel();
    let local = world.local();
    let reader = thread::spawn(move || {
        let path = "/rpc/b.com/cargohold/get-asset";
        let response = local.open("POST", path, &[], "{}".into()).unwrap();
        told.send(()).unwrap();
        String::from_utf8(local.read(response).unwrap().body).unwrap()
    });
    heard.recv().unwrap();
    more.send("before ").unwrap();
    world
        .dns
        .update(&["update delete infra.b.com. A", &format!("update add infra.b.com. 5 A {}", new.ip())]);
    let changed = Instant::now();
    loop {
        let local = world.local();
        let path = "/rpc/b.com/brig/search-users";
        let answer = local.open("POST", path, &[], "{}".into()).unwrap();
        let from = answer.headers()["wire-remote-ip"].to_str().unwrap().to_owned();
        drop(answer);
        if from == new.ip().to_string() {
            break;
        }
        assert!(changed.elapsed() < Duration::from_secs(7), "calls still go to {from}");
    }
    assert!(changed.elapsed() < Duration::from_secs(6), "{:?}", changed.elapsed());
    more.send("after").unwrap();
    more.send("").unwrap();
    assert_eq!(reader.join().unwrap(), "before after");
}

#[test]
fn calls_that_come_at_once_find_the_one_priority_that_is_left() {
    let world = caller().start();
    let at = |port| SocketAddr::from((world.ip(), port));
    for round in 0..3 {
        announce(&world, &format!("dead{round}.b.com"), 10 + round, 10, at(7001 + round));
    }
    let _last = Target::start(&world, "last.b.com", 7009, 50, 10);
    list(&world);
    thread::scope(|scope| {
        for _ in 0..20 {
            let local = world.local().unexplained("more calls than may be asked about");
            scope.spawn(move || (0..50).for_each(|_| assert_eq!(answers(&local), "last.b.com")));
        }
    });
}

//! The terms on which a domain is listed, at both doors: what an operator says counts at once, and an end at its
//! second.

use std::time::{Duration, SystemTime};

use fedgate_tests::World;
use fedgate_tests::caller::Caller;
use fedgate_tests::clock::WallClock;
use fedgate_tests::control_plane::ADMIN_TOKEN;
use fedgate_tests::dns::srv;
use fedgate_tests::peer::Peer;
use fedgate_tests::process::{eventually, http};
use fedgate_tests::signing::{Anchor, Signing};
use serde_json::{Value, json};

use crate::claim::origin;
use crate::egress::{caller, peer};

/// How soon a change of the list counts.
const SOON: Duration = Duration::from_secs(1);

/// A backend that federates with `b.com`, whose federator is `infra.b.com`.
struct Scene {
    world: World,
    _peer: Peer,
    partner: Caller,
}

impl Scene {
    fn new() -> Self {
        let world = caller().start();
        let routes = axum::Router::new().fallback(async || axum::Json(json!({})));
        let peer = peer(&world, routes);
        let partner = world.caller(&world.identity(&["infra.b.com"]));
        let scene = Self { world, _peer: peer, partner };
        scene.until("permitted", "permitted");
        scene
    }

    /// What becomes of a request from `b.com`.
    fn incoming(&self) -> String {
        self.from(&self.partner)
    }

    fn from(&self, caller: &Caller) -> String {
        let answer = self.world.run(caller.call("incoming", &[origin("b.com")])).unwrap();
        if answer.status == 200 { "permitted".to_owned() } else { answer.label() }
    }

    /// What becomes of a call to it.
    fn outgoing(&self) -> String {
        let answer = self.world.local().call("b.com", "outgoing").unwrap();
        if answer.status == 200 { "permitted".to_owned() } else { answer.label() }
    }

    #[track_caller]
    fn until(&self, incoming: &str, outgoing: &str) {
        let described = format!("{incoming} and {outgoing}");
        eventually(&described, || (self.incoming() == incoming).then_some(()));
        eventually(&described, || (self.outgoing() == outgoing).then_some(()));
    }

    /// Whether requests and calls come to this, soon enough, and stay so.
    #[track_caller]
    fn soon(&self, incoming: &str, outgoing: &str) {
        let changed = SystemTime::now();
        self.until(incoming, outgoing);
        assert!(changed.elapsed().unwrap() < SOON, "after {:?}", changed.elapsed());
        assert_eq!((self.incoming().as_str(), self.outgoing().as_str()), (incoming, outgoing));
    }

    fn put(&self, terms: &Value) {
        assert_eq!(put(&self.world, "b.com", terms), 200, "{terms}");
    }

    fn strategy(&self, strategy: &str) {
        self.world.control_plane.as_ref().unwrap().cli(&["strategy", "set", strategy]).unwrap();
    }
}

fn put(world: &World, domain: &str, terms: &Value) -> u16 {
    let url = format!("{}/v1/domains/{domain}", world.control_plane.as_ref().unwrap().url());
    let request = http().put(url).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    request.send_json(terms).unwrap().status().as_u16()
}

fn rfc_3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

#[test]
fn a_block_wins_under_every_strategy_and_until_it_is_lifted() {
    let scene = Scene::new();
    scene.put(&json!({"action": "block"}));
    scene.soon("federation-denied", "federation-denied");
    scene.strategy("allowAll");
    eventually("the strategy is known", || {
        let unlisted = scene.world.run(scene.partner.call("unlisted", &[origin("c.com")])).unwrap();
        (unlisted.label() != "federation-denied").then_some(())
    });
    assert_eq!(scene.incoming(), "federation-denied");
    assert_eq!(scene.outgoing(), "federation-denied");
    let answer = scene.world.run(scene.partner.call("why", &[origin("b.com")])).unwrap();
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "origin domain [b.com] is blocked by the federation allow list");
    let answer = scene.world.local().call("b.com", "why").unwrap();
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "target domain [b.com] is blocked by the federation allow list");
    scene.put(&json!({"action": "allow"}));
    scene.until("permitted", "permitted");
}

#[test]
fn an_entry_ends_at_its_second_in_both_directions_by_itself() {
    let scene = Scene::new();
    let end = SystemTime::now() + Duration::from_secs(3);
    scene.put(&json!({"expires_at": rfc_3339(end)}));
    assert_eq!((scene.incoming().as_str(), scene.outgoing().as_str()), ("permitted", "permitted"));
    let mut refused = [None; 2];
    while refused.iter().any(Option::is_none) {
        assert!(end.elapsed().unwrap_or_default() < SOON, "it did not end: {refused:?}");
        for (result, refused) in [scene.incoming(), scene.outgoing()].into_iter().zip(&mut refused) {
            if result != "permitted" {
                assert_eq!(result, "federation-denied");
                refused.get_or_insert_with(SystemTime::now);
            }
        }
    }
    for refused in refused.into_iter().flatten() {
        // Told by the answer's time: what was asked before the end may be answered after it.
        assert!(refused + Duration::from_millis(20) >= end, "too early: {refused:?}");
    }
    let shown = scene.world.control_plane.as_ref().unwrap().cli(&["--json", "domain", "show", "b.com"]);
    let shown: Value = serde_json::from_str(&shown.unwrap()).unwrap();
    assert_eq!(shown["expired"], true, "{shown}");
    scene.put(&json!({"expires_at": null}));
    scene.until("permitted", "permitted");
}

#[test]
fn an_entry_ends_at_its_second_even_while_the_control_plane_is_away() {
    let mut scene = Scene::new();
    let end = SystemTime::now() + Duration::from_secs(3);
    scene.put(&json!({"expires_at": rfc_3339(end)}));
    // The filters have heard of it: the verdict that they hold ends then.
    scene.until("permitted", "permitted");
    scene.world.control_plane().kill();
    let mut last = SystemTime::now();
    while scene.incoming() == "permitted" {
        last = SystemTime::now();
        assert!(end.elapsed().unwrap_or_default() < SOON, "it did not end");
    }
    assert!(last < end + Duration::from_millis(100), "{last:?} {end:?}");
    assert_eq!(scene.incoming(), "verdict-unavailable");
    scene.world.control_plane().restart();
    scene.until("federation-denied", "federation-denied");
}

#[test]
fn an_end_comes_with_the_wall_clock_wherever_that_is_set_and_does_not_go_with_it() {
    let clock = WallClock::new();
    let world = caller().records([srv("c.com", 60, "infra.c.com.")]).clock(&clock).start();
    let partner = world.caller(&world.identity(&["infra.c.com"]));
    let label = || world.run(partner.call("clock", &[origin("c.com")])).unwrap().label();
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    assert_eq!(put(&world, "c.com", &json!({"expires_at": rfc_3339(in_an_hour)})), 201);
    eventually("permitted", || label().is_empty().then_some(()));
    clock.set(3700);
    let set = SystemTime::now();
    eventually("ended", || (label() == "federation-denied").then_some(()));
    assert!(set.elapsed().unwrap() < 2 * SOON, "{:?}", set.elapsed());
    clock.set(0);
    for _ in 0..20 {
        assert_eq!(label(), "federation-denied", "what has ended does not come back");
    }
}

#[test]
fn a_domain_that_is_pinned_elsewhere_is_refused_with_both_sides_named() {
    let scene = Scene::new();
    scene.put(&json!({"pinned_hosts": ["other.b.com"]}));
    scene.soon("discovery-failure", "discovery-failure");
    let answer = scene.world.run(scene.partner.call("why", &[origin("b.com")])).unwrap();
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "DNS names [infra.b.com], and our entry pins the domain to [other.b.com]");
    scene.put(&json!({"pinned_hosts": ["infra.b.com", "other.b.com"]}));
    scene.until("permitted", "permitted");
    let impostor = scene.world.caller(&scene.world.identity(&["other.b.com"]));
    assert_eq!(scene.from(&impostor), "authentication-failure", "pinned, and not discovered");
}

#[test]
fn in_shadow_what_names_or_pins_would_refuse_passes_and_is_told_and_nothing_else_does() {
    let scene = Scene::new();
    let stranger = scene.world.caller(&scene.world.identity(&["fed.elsewhere.com"]));
    assert_eq!(scene.from(&stranger), "authentication-failure");
    scene.put(&json!({"mode": "shadow"}));
    eventually("shadow", || (scene.from(&stranger) == "permitted").then_some(()));
    let answer = scene.world.run(stranger.call("spared", &[origin("B.com")])).unwrap();
    let headers = answer.json()["headers"].to_string();
    assert!(headers.contains(r#"["wire-origin-domain","b.com"]"#), "normalised as ever: {headers}");
    let line = scene.world.envoy.access_log("spared");
    assert_eq!(
        (&line["refusal"], &line["origin_domain"]),
        (&"authentication-failure".into(), &"b.com".into())
    );
    assert!(scene.world.envoy.log().contains("shadow: would refuse with authentication-failure"));
    scene.put(&json!({"pinned_hosts": ["other.b.com"]}));
    assert_eq!((scene.incoming().as_str(), scene.outgoing().as_str()), ("permitted", "permitted"));
    eventually("told", || {
        scene.incoming();
        scene.outgoing();
        let stat = |role: &str| format!("wasmcustom.fedgate.{role}.refusals.label.discovery-failure");
        let told = |role| scene.world.envoy.stat(&stat(role)).unwrap_or(0) > 0;
        (told("ingress") && told("egress")).then_some(())
    });
    assert_eq!(scene.from(&scene.world.anonymous()), "no-client-certificate");
    let answer = scene.world.run(stranger.call("other", &[origin("c.com")])).unwrap();
    assert_eq!(answer.label(), "federation-denied");
    let refused = put(&scene.world, "b.com", &json!({"action": "block"}));
    assert_eq!(refused, 409, "a block is no block in shadow");
    scene.strategy("allowNone");
    scene.until("federation-denied", "federation-denied");
}

#[test]
fn an_entry_may_demand_proof_that_others_need_not_have() {
    let world = World::builder()
        .records([srv("a.nsec", 60, "infra.nsec."), srv("b.unsigned", 60, "infra.unsigned.")])
        .signed(&[("nsec", Signing::Nsec), ("unsigned", Signing::Unsigned)], Anchor::Dnskey)
        .discovery("dnssec = \"off\"")
        .allow(&["a.nsec", "b.unsigned"])
        .start();
    let caller = world.caller(&world.identity(&["infra.nsec", "infra.unsigned"]));
    let label = |domain: &str| world.run(caller.call("proof", &[origin(domain)])).unwrap().label();
    for domain in ["a.nsec", "b.unsigned"] {
        eventually("without proof", || label(domain).is_empty().then_some(()));
    }
    for domain in ["a.nsec", "b.unsigned"] {
        assert_eq!(put(&world, domain, &json!({"dnssec": "require"})), 200);
    }
    eventually("refused", || (label("b.unsigned") == "discovery-failure").then_some(()));
    eventually("proven", || label("a.nsec").is_empty().then_some(()));
    for _ in 0..10 {
        assert_eq!((label("a.nsec").as_str(), label("b.unsigned").as_str()), ("", "discovery-failure"));
    }
    let answer = world.run(caller.call("why", &[origin("b.unsigned")])).unwrap();
    assert!(answer.json()["message"].to_string().contains("DNS error"), "{}", answer.json());
    assert_eq!(put(&world, "b.unsigned", &json!({"dnssec": "inherit"})), 200);
    eventually("without proof again", || label("b.unsigned").is_empty().then_some(()));
}

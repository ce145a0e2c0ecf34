//! Trouble of discovery, as operators see it: in the log, on the command line, and at `readyz`.

use fedgate_tests::World;
use fedgate_tests::control_plane::ControlPlane;
use fedgate_tests::dns::{service, srv};
use fedgate_tests::process::{eventually, http};
use serde_json::Value;

/// How often a line of the log has this in it.
fn times(control_plane: &ControlPlane, text: &str) -> usize {
    control_plane.log().lines().filter(|line| line.contains(text)).count()
}

fn readyz(control_plane: &ControlPlane) -> (u16, String) {
    let mut answer = http().get(format!("{}/readyz", control_plane.url())).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

fn json(control_plane: &ControlPlane, args: &[&str]) -> Value {
    let text = control_plane.cli(&[args, &["--json"]].concat()).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The line of the list that is about a domain.
fn listed(control_plane: &ControlPlane, domain: &str) -> String {
    let list = control_plane.cli(&["domain", "list"]).unwrap();
    list.lines().find(|line| line.starts_with(domain)).unwrap().to_owned()
}

const FAILS: &str = "DNS fails: no lookup is answered";
const ANSWERS: &str = "DNS answers again";
const DOMAIN_FAILS: &str = "lookups of this domain fail";

#[test]
fn that_all_dns_fails_is_said_once_and_once_that_it_is_over() {
    let mut world = World::builder()
        .records([srv("a.com", 2, "infra.a.com."), srv("c.com", 3600, "infra.c.com.")])
        .discovery("timeout = \"200ms\"\nmin_ttl = \"1s\"\n")
        .allow(&["a.com", "c.com", "absent.com"])
        .start();
    let dns = world.dns.address();
    let control_plane = world.control_plane.take().unwrap();
    eventually("both are known", || {
        let state = |domain| listed(&control_plane, domain).contains(" ok");
        (state("a.com") && state("c.com")).then_some(())
    });
    assert_eq!(readyz(&control_plane), (200, "ok\n".to_owned()));

    world.dns.freeze();
    eventually("the log says that DNS fails", || (times(&control_plane, FAILS) == 1).then_some(()));
    let (status, body) = readyz(&control_plane);
    assert_eq!(status, 200, "what was found still stands, and nobody else would know more");
    assert!(body.starts_with("ok\ndns: failing since 20"), "{body}");

    // What has not ended stands, and a refresh does not pass it off as found now.
    let error = control_plane.cli(&["domain", "refresh", "c.com"]).unwrap_err();
    assert!(error.contains("exit status: 1"), "{error}");
    assert!(error.contains("c.com: the lookup failed: DNS error: "), "{error}");
    assert!(error.contains("what was found before stands until 20"), "{error}");
    assert!(error.contains("infra.c.com"), "{error}");
    let error = control_plane.cli(&["domain", "refresh", "c.com", "--json"]).unwrap_err();
    let told =
        serde_json::Deserializer::from_str(&error[error.find('{').unwrap()..]).into_iter::<Value>();
    let [refreshed, problem] = &told.map(Result::unwrap).collect::<Vec<_>>()[..] else {
        panic!("{error}")
    };
    assert_eq!(problem["type"], "fedgate:lookup");
    assert_eq!((&refreshed["answered"], refreshed.get("hosts")), (&false.into(), None));
    assert_eq!(refreshed["stands"]["hosts"][0], "infra.c.com");
    assert!(listed(&control_plane, "c.com").contains(" stale until 20"));
    eventually("the short answer's life ends", || {
        listed(&control_plane, "a.com").contains(" failing since 20").then_some(())
    });
    let error = control_plane.cli(&["domain", "refresh", "a.com"]).unwrap_err();
    assert!(error.contains("nothing stands that was found before"), "{error}");
    let shown = control_plane.cli(&["domain", "show", "c.com"]).unwrap();
    for part in
        ["state       stale until 20", ", failing since 20", "cause       DNS error: ", "answered    20"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = json(&control_plane, &["domain", "show", "a.com"]);
    assert_eq!((&shown["state"], &shown["targets"]), (&"failing".into(), &Value::Array(vec![])));
    for key in ["failing_since", "last_success", "last_try", "next_try", "cause"] {
        assert!(shown[key].is_string(), "{key}: {shown}");
    }

    world.dns.thaw();
    eventually("the log says that DNS answers", || (times(&control_plane, ANSWERS) == 1).then_some(()));
    assert_eq!(readyz(&control_plane), (200, "ok\n".to_owned()));
    let found = control_plane.cli(&["domain", "refresh", "a.com"]).unwrap();
    assert!(found.starts_with("discovered  infra.a.com (for "), "{found}");
    assert!(listed(&control_plane, "a.com").contains(" ok"));
    eventually("all are known again", || {
        listed(&control_plane, "absent.com").contains(" no federator").then_some(())
    });
    assert_eq!((times(&control_plane, FAILS), times(&control_plane, ANSWERS)), (1, 1));
    assert_eq!(times(&control_plane, DOMAIN_FAILS), 0, "it was not the domains' own");
    let line = control_plane.log().lines().find(|line| line.contains(FAILS)).unwrap().to_owned();
    assert!(line.contains(&dns.to_string()) && line.contains("cause="), "{line}");
}

#[test]
fn with_nobody_else_to_ask_a_domains_trouble_is_that_of_dns() {
    let mut world = World::builder()
        .records([srv("a.com", 1, "infra.a.com.")])
        .discovery("timeout = \"200ms\"\nmin_ttl = \"1s\"\n")
        .allow(&["a.com"])
        .start();
    world.dns.stop();
    let control_plane = world.control_plane.take().unwrap();
    eventually("the log says that DNS fails", || (times(&control_plane, FAILS) == 1).then_some(()));
    world.dns.restart();
    eventually("the log says that DNS answers", || (times(&control_plane, ANSWERS) == 1).then_some(()));
    assert_eq!((times(&control_plane, FAILS), times(&control_plane, DOMAIN_FAILS)), (1, 0));
}

#[test]
fn the_trouble_of_one_domain_is_its_own() {
    let mut world = World::builder()
        .records([srv("a.com", 3600, "infra.a.com.")])
        .discovery("timeout = \"500ms\"\nmin_ttl = \"1s\"\n")
        .allow(&["a.com", "x.broken.example"])
        .start();
    let control_plane = world.control_plane.take().unwrap();
    eventually("the log says so", || (times(&control_plane, DOMAIN_FAILS) == 1).then_some(()));
    let line = control_plane.log().lines().find(|line| line.contains(DOMAIN_FAILS)).unwrap().to_owned();
    assert!(line.contains("domain=x.broken.example") && line.contains("SERVFAIL"), "{line}");
    assert!(listed(&control_plane, "x.broken.example").contains(" failing since 20"));
    assert_eq!((readyz(&control_plane).1, times(&control_plane, FAILS)), ("ok\n".to_owned(), 0));
    let shown = json(&control_plane, &["domain", "show", "x.broken.example"]);
    assert!(shown["cause"].as_str().unwrap().contains(": SERVFAIL"), "{shown}");
    control_plane.cli(&["domain", "refresh", "a.com"]).unwrap();
    assert_eq!(times(&control_plane, DOMAIN_FAILS), 1);
}

#[test]
fn a_target_that_cannot_be_connected_to_is_named_wherever_one_looks() {
    let world = World::builder().backend("a.com").egress().start();
    let host =
        |name: &str, port: u16| format!("update add {} 60 SRV 10 5 {port} {name}", service("b.com"));
    world.dns.update(&[
        &host("nowhere.b.com.", 443),
        &host("port.b.com.", 0),
        &host("inside.b.com.", 8443),
        &host("192.0.2.1.", 443),
        // By the hosts file of every machine, that is an address.
        &host("localhost.", 443),
        "update add port.b.com. 60 A 9.9.9.7",
        "update add inside.b.com. 60 A 10.1.2.3",
    ]);
    let control_plane = world.control_plane.as_ref().unwrap();
    control_plane.add(&["b.com"]);

    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_eq!((answer.status, answer.label().as_str()), (521, "federation-connection-refused"));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("no address of theirs is known"), "{message}");
    assert!(message.contains("`fedgate domain show` says why"), "{message}");

    let shown = control_plane.cli(&["domain", "show", "b.com"]).unwrap();
    let none =
        "            ! no address: DNS has neither A nor AAAA records (the hosts file does not count)";
    for part in [
        &format!("target      nowhere.b.com:443 priority 10 weight 5\n{none}"),
        "target      port.b.com:0 priority 10 weight 5: 9.9.9.7\n            ! port 0 is no port to connect to",
        "target      inside.b.com:8443 priority 10 weight 5\n            ! not connected to, because not public \
         (see discovery.allow_private_addresses): 10.1.2.3",
        "passed over the SRV target '192.0.2.1.' is an IP address",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = json(control_plane, &["domain", "show", "b.com"]);
    assert_eq!(shown["targets"].as_array().unwrap().len(), 4, "{shown}");
    let local =
        shown["targets"].as_array().unwrap().iter().find(|it| it["host"] == "localhost").unwrap();
    assert_eq!((&local["addresses"], &local["port"]), (&Value::Array(vec![]), &443.into()), "{local}");

    let said = |problem: &str, of: &str| {
        let log = control_plane.log();
        log.lines().filter(|line| line.contains(problem) && line.contains(of)).count()
    };
    let wrong = "something is wrong with a target";
    let each = [
        "nowhere.b.com:443: no address",
        "port.b.com:0: port 0",
        "inside.b.com:8443: not connected to, because not public",
        "'192.0.2.1.' is an IP address",
    ];
    eventually("the log names those that no network mends", || {
        each.iter().all(|of| said(wrong, of) == 1).then_some(())
    });
    world.local().call("b.com", "search-users").unwrap();
    control_plane.cli(&["domain", "refresh", "b.com"]).unwrap();
    world.dns.update(&[
        &format!("update delete {} SRV 10 5 0 port.b.com.", service("b.com")),
        "update add nowhere.b.com. 5 A 9.9.9.8",
    ]);
    control_plane.cli(&["domain", "refresh", "b.com"]).unwrap();
    let no_longer = "this is no longer wrong with a target";
    eventually("the log says that the port is gone", || (said(no_longer, "port 0") == 1).then_some(()));
    assert!(each.iter().all(|of| said(wrong, of) == 1), "once is enough");
}

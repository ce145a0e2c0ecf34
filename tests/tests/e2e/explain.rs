//! `fedgate explain`: what it says, to whom; and that its comparison with the filter, which callers make for
//! all tests, is one.

use std::fs;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::AssertUnwindSafe;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fedgate_tests::control_plane::{ADMIN_TOKEN, FILTER_TOKEN, VERDICTS_PORT, VIEWER_TOKEN};
use fedgate_tests::dns::srv;
use fedgate_tests::explain::{self, Question};
use fedgate_tests::pki::{Key, Leaf, San};
use fedgate_tests::process::{eventually, http};
use fedgate_tests::{World, artifacts};
use serde_json::{Value, json};

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check, origin};
use crate::egress::caller;
use crate::shared;

fn fedgate(world: &World, args: &[&str]) -> Output {
    let url = world.control_plane.as_ref().unwrap().url();
    let mut command = Command::new(artifacts::fedgate());
    command.arg("explain").args(args).env("FEDGATE_URL", url).env("FEDGATE_TOKEN", VIEWER_TOKEN);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn post(world: &World, token: &str, body: &str) -> (u16, Value) {
    let url = world.control_plane.as_ref().unwrap().url();
    let request = http()
        .post(format!("{url}/v1/explain"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    let answer = request.send(body).unwrap();
    let status = answer.status().as_u16();
    let text = answer.into_body().read_to_string().unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

/// How many answers of this world's were compared so far.
fn compared(world: &World) -> usize {
    world.witness().unwrap().compared()
}

#[test]
fn each_answer_to_a_request_is_compared_with_what_explain_says() {
    let world = World::builder().records([srv("a.com", 60, "infra.a.com.")]).allow(&["a.com"]).start();
    let (right, wrong) = (world.identity(&["infra.a.com"]), world.identity(&["other.a.com"]));
    check(&world, &world.caller(&right), "explain_right", &[origin("a.com")], Permit("a.com"));
    let refused = Refuse(403, "authentication-failure");
    check(&world, &world.caller(&wrong), "explain_wrong", &[origin("a.com")], refused);
    assert_eq!(compared(&world), 4, "over both versions of HTTP");
    let open = world.run(world.caller(&wrong).http2()).unwrap();
    let answer = world.run(open.call("explained", &[origin("a.com")])).unwrap();
    assert_eq!(compared(&world), 5, "on a connection that is open");
    let alone = world.caller(&wrong).unexplained("it is this that is tried");
    world.run(alone.call("unexplained", &[origin("a.com")])).unwrap();
    assert_eq!(compared(&world), 5, "unless a test does without");

    let url = world.control_plane.as_ref().unwrap().url();
    let differs = |identity, claim| {
        let headers = [origin(claim)];
        let question = Question::Incoming(identity, &headers);
        explain::difference(&url, VIEWER_TOKEN, question, &answer).unwrap().is_some()
    };
    assert!(!differs(Some(&wrong), "a.com"));
    for (identity, claim) in [(Some(&right), "a.com"), (None, "a.com"), (Some(&wrong), "unlisted.com")] {
        assert!(differs(identity, claim), "a difference is seen: {claim}");
    }
}

#[test]
fn each_answer_to_a_call_of_our_own_is_compared_with_what_explain_says() {
    let records = [srv("b.com", 60, "infra.b.com."), "infra.b.com. 60 A 127.0.0.1".to_owned()];
    let world = caller().records(records).allow(&["b.com", "absent.com"]).start();
    let local = world.local();
    // The first is permitted, though it comes to nothing.
    for (n, domain, status) in [(1, "b.com", 521), (2, "absent.com", 422), (3, "unlisted.com", 400)] {
        let answer = local.call(domain, "get-user").unwrap();
        assert_eq!(answer.status, status, "{domain}: {}", answer.json());
        assert_eq!(compared(&world), n, "{domain}");
    }
    let denied = local.call("unlisted.com", "get-user").unwrap();
    let url = world.control_plane.as_ref().unwrap().url();
    let differs = |path| {
        explain::difference(&url, VIEWER_TOKEN, Question::Outgoing(path), &denied).unwrap().is_some()
    };
    assert!(!differs("/rpc/unlisted.com/brig/get-user"));
    assert!(differs("/rpc/b.com/brig/get-user"), "a difference is seen");
}

#[test]
fn a_filter_that_never_agrees_with_explain_fails_the_test() {
    let world = shared();
    let other = World::builder().start();
    let caller = world.caller(&world.identity(&["infra.a.com"])).explained_by(other.witness());
    let call = async { caller.call("explained-by-another", &[origin("a.com")]).await };
    let failed = std::panic::catch_unwind(AssertUnwindSafe(|| world.run(call))).unwrap_err();
    let words = failed.downcast_ref::<String>().unwrap();
    assert!(words.contains("the filter says None") && words.contains("federation-denied"), "{words}");
}

#[test]
fn one_screen_says_each_step_the_answer_and_the_cure() {
    let world = shared();
    let names = vec![San::dns("*.infra.a.com"), San::dns("infra.a.com."), San::Ip(vec![192, 0, 2, 1])];
    let identity = world.authority.issue(&Leaf { names, ..Leaf::default() });
    let file = world.dir().join("explain.pem");
    fs::write(&file, &identity.chain).unwrap();
    let output = fedgate(&world, &["a.com", "--cert", file.to_str().unwrap()]);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for part in [
        "ok  certificate",
        "-   chain        not looked at, because Envoy validates the chain",
        "ok  allow list   a.com is listed since",
        "by admin",
        "SRV _wire-server-federator._tcp.a.com",
        "DNSSEC: not looked at, because dnssec is off",
        "target infra.a.com:443",
        "no  names        none of the domain names match the certificate",
        "DNS:*.infra.a.com is a wildcard, which stands for exactly one label",
        "DNS:infra.a.com. is not a clean host name, and counts for nothing",
        "IP:192.0.2.1 is an address, and counts for nothing",
        "they were told the same",
        "answer       403 authentication-failure: none of the domain names",
        r#""label":"authentication-failure""#,
        "cure         they change their certificate",
        "see          docs/errors.md#authentication-failure",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(shown.lines().count() <= 40, "{shown}");
    let json = fedgate(&world, &["a.com", "--cert", file.to_str().unwrap(), "--json"]);
    let explained: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(explained["decision"]["label"], "authentication-failure");
    assert_eq!(explained["decision"]["body"]["code"], 403);
}

#[test]
fn without_a_certificate_the_rest_is_said_and_it_decides() {
    let world = shared();
    let output = fedgate(&world, &["a.com"]);
    let shown = text(&output);
    assert!(output.status.success(), "{shown}");
    assert!(
        shown.contains("-   certificate  not looked at, because no certificate was given"),
        "{shown}"
    );
    assert!(shown.contains("answer       the certificate decides, and none was given"), "{shown}");
    let (_, explained) = post(&world, VIEWER_TOKEN, r#"{"domain":"a.com"}"#);
    assert_eq!(explained["decision"]["outcome"], "open");
    assert_eq!(explained["discovery"]["hosts"], json!(["infra.a.com"]));
}

#[test]
fn a_domain_that_may_not_federate_is_not_looked_up() {
    let world = shared();
    let output = fedgate(&world, &["unlisted.com"]);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for part in [
        "no  allow list   origin domain [unlisted.com] not in the federation allow list",
        "-   SRV record   not looked at, because row 7 decides",
        "DNS: not looked at, because it is not allowed",
        "fedgate domain add unlisted.com",
        "docs/errors.md#federation-denied",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let (_, explained) = post(&world, VIEWER_TOKEN, r#"{"domain":"unlisted.com"}"#);
    assert_eq!(explained["discovery"], Value::Null);
}

#[test]
fn a_certificate_that_envoy_does_not_ask_for_or_does_not_take_does_not_pass() {
    let world = shared();
    let names = || Leaf::of(["infra.a.com"]);
    let no_client = Leaf { purposes: vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth], ..names() };
    for (name, leaf, parts) in [
        (
            "p521",
            Leaf { key: Key::P521, ..names() },
            ["its key is on P-521", "403 no-client-certificate"],
        ),
        ("purpose", no_client, ["no  chain", "Envoy ends the handshake"]),
    ] {
        let file = world.dir().join(format!("explain-{name}.pem"));
        let identity = world.authority.issue(&leaf);
        fs::write(&file, format!("{}{}", identity.key, identity.chain)).unwrap();
        let output = fedgate(&world, &["a.com", "--cert", file.to_str().unwrap()]);
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        for part in parts {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
    }
}

#[test]
fn a_private_key_is_refused_and_written_nowhere() {
    let world = World::builder().start();
    let identity = world.identity(&["infra.a.com"]);
    let body = json!({"domain": "a.com", "certificate": format!("{}{}", identity.chain, identity.key)});
    let (status, problem) = post(&world, VIEWER_TOKEN, &body.to_string());
    assert_eq!(status, 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("private key"), "{problem}");
    let secret = identity.key.lines().nth(1).unwrap();
    let log = world.control_plane.as_ref().unwrap().log();
    assert!(!problem.to_string().contains(secret) && !log.contains(secret), "{log}");
}

/// What stands between Envoy and the control plane: passes on octets, until it is cut.
struct Relay {
    at: SocketAddr,
    open: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Relay {
    fn start(at: SocketAddr, to: SocketAddr) -> Self {
        let (listener, open) = (TcpListener::bind(at).unwrap(), Arc::new(Mutex::new(Some(Vec::new()))));
        let relay = Self { at, open: open.clone() };
        thread::spawn(move || {
            for near in listener.incoming() {
                let mut open = open.lock().unwrap();
                let Some(streams) = open.as_mut() else { break };
                let Ok(far) = TcpStream::connect(to) else { continue };
                let near = near.unwrap();
                for (from, into) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut into) = (from.try_clone().unwrap(), into.try_clone().unwrap());
                    thread::spawn(move || {
                        // However it ends, so does the other direction.
                        let _ = std::io::copy(&mut from, &mut into);
                        let _ = into.shutdown(Shutdown::Both);
                    });
                }
                streams.extend([near, far]);
            }
        });
        relay
    }

    /// Ends all connections, and takes no others.
    fn cut(&self) {
        for stream in self.open.lock().unwrap().take().into_iter().flatten() {
            // Some have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // So that it looks up, and ends.
        let _ = TcpStream::connect(self.at);
    }
}

#[test]
fn a_filter_that_is_cut_off_and_permits_what_is_blocked_is_named_with_the_time_since_when() {
    const PORT: u16 = 8611;
    let world = World::builder()
        .records([srv("a.com", 3600, "infra.a.com.")])
        .allow(&["a.com"])
        .edit(&format!("port_value: {VERDICTS_PORT}"), &format!("port_value: {PORT}"))
        .start();
    let relay = Relay::start((world.ip(), PORT).into(), (world.ip(), VERDICTS_PORT).into());
    let caller = world.caller(&world.identity(&["infra.a.com"])).unexplained("its filter is cut off");
    let status =
        |rpc: &str| world.run(async { caller.call(rpc, &[origin("a.com")]).await }).unwrap().status;
    eventually("the filter permits", || (status("before") == 200).then_some(()));
    let explained = || post(&world, VIEWER_TOKEN, r#"{"domain":"a.com"}"#).1;
    let filters = || explained()["filters"].clone();
    // It reports each 30 s.
    let deadline = Instant::now() + Duration::from_secs(60);
    while filters()["reporting"] == 0 {
        assert!(Instant::now() < deadline, "no worker reports: {}", filters());
        thread::yield_now();
    }
    assert_eq!(filters()["differs"], false, "{}", filters());
    relay.cut();
    eventually("nobody waits any more", || (filters()["waiting"] == 0).then_some(()));
    world.control_plane.as_ref().unwrap().cli(&["domain", "block", "a.com"]).unwrap();
    let told = explained();
    assert_eq!(told["decision"]["label"], "federation-denied", "{told}");
    assert_eq!(status("after"), 200, "the filter holds what it was told before");
    let filters = &told["filters"];
    assert_eq!(filters["differs"], true, "{filters}");
    let details = filters["details"].to_string();
    let (_, heard) = details.split_once("workers heard us last ").unwrap();
    let (heard, rest) = heard.split_once(',').unwrap();
    assert!(heard <= filters["told_at"].as_str().unwrap(), "before the change: {filters}");
    assert!(rest.contains("they decide by what they were told before"), "{filters}");
}

#[test]
fn a_call_of_our_own_is_explained_with_its_targets() {
    let world = World::builder()
        .records([srv("c.com", 60, "infra.c.com."), "infra.c.com. 60 A 127.0.0.9".to_owned()])
        .discovery("allow_private_addresses = true")
        .allow(&["c.com"])
        .start();
    let output = fedgate(&world, &["c.com", "--outgoing"]);
    let shown = text(&output);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("target infra.c.com:443 priority"), "{shown}");
    assert!(shown.contains("127.0.0.9") && shown.contains("it passes"), "{shown}");
    assert!(!shown.contains("certificate"), "{shown}");
    let denied = fedgate(&world, &["unlisted.com", "--outgoing"]);
    let shown = text(&denied);
    assert_eq!(denied.status.code(), Some(1), "{shown}");
    assert!(shown.contains("target domain [unlisted.com] not in the federation allow list"), "{shown}");
    assert!(shown.contains(r#""path":"/federation/brig/api-version""#), "{shown}");
}

#[test]
fn whoever_may_read_may_ask_and_what_means_nothing_is_refused() {
    let world = shared();
    let good = r#"{"domain":"a.com"}"#;
    for (token, status) in [(ADMIN_TOKEN, 200), (VIEWER_TOKEN, 200), (FILTER_TOKEN, 403), ("none", 401)]
    {
        assert_eq!(post(&world, token, good).0, status, "{token}");
    }
    let long = json!({"domain": "a.com", "certificate": "A".repeat(1 << 20)}).to_string();
    for (body, status) in [
        (r#"{"domain":"a.com","certificate":"not one!"}"#, 422),
        (r#"{"domain":"a.com","certificate":""}"#, 422),
        (
            r#"{"domain":"a.com","certificate":"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"}"#,
            422,
        ),
        (r#"{"domain":"a.com","certificate":"MAA=","anonymous":true}"#, 422),
        (r#"{"domain":"a.com","certificate":"MAA=","direction":"outgoing"}"#, 422),
        (r#"{"domain":"a..com"}"#, 422),
        (r#"{"domain":"a.com","colour":"red"}"#, 422),
        (r#"{"domain":"#, 400),
        (&long, 413),
    ] {
        let (found, problem) = post(&world, VIEWER_TOKEN, body);
        assert_eq!(found, status, "{}: {problem}", &body[..body.len().min(100)]);
    }
    let broken = post(&world, VIEWER_TOKEN, r#"{"domain":"a.com","certificate":"MAA="}"#);
    assert_eq!(broken.1["decision"]["label"], "certificate-parse-error");
    let hostile =
        json!({"domain": "a.com", "anonymous": false, "origin": "\u{202e}\0a.com"}).to_string();
    assert_eq!(post(&world, VIEWER_TOKEN, &hostile).1["decision"]["label"], "domain-parse-error");
}

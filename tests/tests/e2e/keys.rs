//! Keys, and uses of keys, that Envoy does not take from anybody; and where that shows, at both doors.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use fedgate_tests::World;
use fedgate_tests::caller::Answer;
use fedgate_tests::peer::Peer;
use fedgate_tests::pki::{Identity, Key, Leaf};
use fedgate_tests::process::{Process, eventually};
use rcgen::KeyUsagePurpose::KeyEncipherment;

use crate::claim::Expect::{Fail, Refuse};
use crate::claim::{check, check_http1, origin};
use crate::egress::{announce, caller, list};
use crate::shared;

const PORT: u16 = 7001;

fn p521() -> Leaf {
    Leaf { key: Key::P521, ..Leaf::of(["infra.a.com", "infra.b.com"]) }
}

fn ed25519() -> Leaf {
    Leaf { key: Key::Ed25519, ..p521() }
}

fn encipherment(key: Key) -> Leaf {
    Leaf { key, key_usages: vec![KeyEncipherment], ..p521() }
}

/// Certificate and key in files, as OpenSSL wants them.
fn files(world: &World, identity: &Identity, name: &str) -> [String; 2] {
    [("pem", &identity.chain), ("key", &identity.key)].map(|(kind, pem)| {
        let path = world.dir().join(format!("{name}.{kind}"));
        fs::write(&path, pem).unwrap();
        path.display().to_string()
    })
}

/// What OpenSSL's client reads as the answer to a request, as it shows `identity`.
fn openssl_calls(world: &World, identity: &Identity, rpc: &str) -> String {
    let [certificate, key] = files(world, identity, rpc);
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-alpn", "http/1.1", "-servername", "infra.b.com", "-connect"])
        .args([&world.envoy.address().to_string(), "-cert", &certificate, "-key", &key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let request = format!(
        "POST /federation/brig/{rpc} HTTP/1.1\r\nhost: infra.b.com\r\nwire-origin-domain: a.com\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    client.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
    String::from_utf8_lossy(&client.wait_with_output().unwrap().stdout).into_owned()
}

#[test]
fn a_peer_whose_key_envoy_does_not_ask_for_shows_no_certificate() {
    let world = shared();
    let answer = openssl_calls(&world, &world.authority.issue(&p521()), "p521");
    assert!(answer.contains("\"no-client-certificate\""), "{answer}");
    // OpenSSL does not read the library's Ed25519 keys.
    let caller = world.caller(&world.authority.issue(&ed25519()));
    let expect = Refuse(403, "no-client-certificate");
    check_http1(&world, &caller, "ed25519", &[origin("a.com")], expect);
    for rpc in ["p521", "ed25519-h1"] {
        let line = world.envoy.access_log(rpc);
        assert_eq!(line["refusal"], "no-client-certificate", "{line}");
        let message = line["message"].as_str().unwrap();
        assert!(message.contains("P-256, P-384 or RSA"), "it names the cause: {message}");
        assert!(!world.backend.saw(rpc));
    }
    let good = world.identity(&["infra.a.com"]);
    assert!(openssl_calls(&world, &good, "p256").starts_with("HTTP/1.1 200"), "the client is no cause");
}

#[test]
fn a_peer_whose_key_is_only_to_encipher_fails_the_handshake_and_the_log_says_so() {
    let world = World::builder().start();
    for (rpc, key) in [("ecdsa", Key::P256), ("rsa", Key::Rsa)] {
        let identity = world.authority.issue(&encipherment(key));
        let caller = world.caller(&identity);
        check(&world, &caller, rpc, &[origin("a.com")], Fail);
        // The alert, unless writing fails before it is read: TLS 1.3's client is done before its certificate is.
        eventually("they see the cause", || {
            let error = world.run(caller.call("again", &[origin("a.com")])).unwrap_err();
            error.0.contains("IllegalParameter").then_some(())
        });
    }
    let errors = world.envoy.stat("listener.*_8443.ssl.connection_error");
    assert!(errors.is_some_and(|errors| errors >= 6), "{errors:?}");
    eventually("the log names the cause of all", || {
        let log = world.envoy.log();
        let lines = log.lines().filter(|line| line.contains("KEY_USAGE_BIT_INCORRECT"));
        (lines.filter(|line| line.contains("\"log\":\"connection\"")).count() >= 6).then_some(())
    });
}

/// The answer to a call of a backend whose ingress shows a certificate of this kind.
fn call(world: &World) -> Answer {
    announce(world, "infra.b.com", 10, 10, SocketAddr::from((world.ip(), PORT)));
    list(world);
    world.local().call("b.com", "search-users").unwrap()
}

fn assert_tls_error(answer: &Answer, cause: &str) {
    let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!((answer.status, answer.label().as_str()), (525, "federation-tls-error"), "{message}");
    assert!(message.contains(cause), "{message}");
}

#[test]
fn a_server_that_has_no_key_of_ours_ends_the_handshake() {
    let world = caller().start();
    let at = SocketAddr::from((world.ip(), PORT));
    let _peer = Peer::echo(at, "infra.b.com", &world.authority.issue(&ed25519()), world.authority.pem());
    assert_tls_error(&call(&world), "HANDSHAKE_FAILURE");
}

#[test]
fn so_does_one_whose_key_is_on_p521() {
    let world = caller().start();
    let [certificate, key] = files(&world, &world.authority.issue(&p521()), "server");
    let at = SocketAddr::from((world.ip(), PORT));
    let mut server = Command::new("openssl");
    server.args(["s_server", "-www", "-accept", &at.to_string(), "-cert", &certificate, "-key", &key]);
    let mut server = Process::start(&mut server, &world.dir().join("s_server.log"));
    server.wait_until("OpenSSL's server listens", || std::net::TcpStream::connect(at).is_ok());
    assert_tls_error(&call(&world), "HANDSHAKE_FAILURE");
    let log = server.log();
    assert!(log.contains("no suitable signature algorithm"), "what they see: {log}");
}

#[test]
fn a_server_whose_key_is_only_to_encipher_is_not_believed() {
    for key in [Key::P256, Key::Rsa] {
        let world = caller().start();
        let at = SocketAddr::from((world.ip(), PORT));
        let identity = world.authority.issue(&encipherment(key));
        let _peer = Peer::echo(at, "infra.b.com", &identity, world.authority.pem());
        assert_tls_error(&call(&world), "KEY_USAGE_BIT_INCORRECT");
    }
}

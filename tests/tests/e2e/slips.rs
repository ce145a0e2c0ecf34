//! The operator's slips: what is said of them, where, and to whom not.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::any;
use fedgate_tests::World;
use fedgate_tests::artifacts;
use fedgate_tests::control_plane::{ADMIN_PORT, ADMIN_TOKEN, FILTER_TOKEN};
use fedgate_tests::process::{PATIENCE, http};
use serde_json::{Value, json};

/// The command line, with nothing of ours in its environment.
pub(crate) fn fedgate(words: &[&str]) -> Command {
    let mut command = Command::new(artifacts::fedgate());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FEDGATE_") {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

/// What it wrote to standard error.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Words, the URL and the token in the environment; exit code, `type` and `status`.
type Failure<'a> = (&'a [&'a str], &'a str, &'a str, i32, &'a str, Value);

#[test]
fn each_failure_has_its_exit_code_and_its_one_line_of_json() {
    let world = World::builder().start();
    let url = world.control_plane.as_ref().unwrap().url();
    let nobody = format!("http://{}:1", world.ip());
    // Envoy's admin interface.
    let strange = format!("http://{}:9901", world.ip());
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.toml");
    fs::write(&broken, "colour = 1\n[listen]\nadmin = 1\n").unwrap();
    let broken = broken.to_str().unwrap();
    let serve = ["serve", "--listen-admin", &format!("{}:{ADMIN_PORT}", world.ip())];
    let list = ["domain", "list"];
    let table: &[Failure<'_>] = &[
        (&["frobnicate"], &url, ADMIN_TOKEN, 2, "fedgate:use", Value::Null),
        (&["domain", "add"], &url, ADMIN_TOKEN, 2, "fedgate:use", Value::Null),
        (&["domain", "add", "a.com."], &url, ADMIN_TOKEN, 2, "fedgate:use", Value::Null),
        (&["strategy", "set", "allowSome"], &url, ADMIN_TOKEN, 2, "fedgate:use", Value::Null),
        (&["token", "new", "--name", "a b", "--role", "admin"], "", "", 2, "fedgate:use", Value::Null),
        (&["token", "hash", "--name", "a", "--role", "admin"], "", "", 2, "fedgate:use", Value::Null),
        (&list, &url, "", 2, "fedgate:use", Value::Null),
        (&list, &url, "two words", 2, "fedgate:use", Value::Null),
        (&list, "ftp://a.com", "x", 2, "fedgate:use", Value::Null),
        (&["domain", "list", "--token-file", "/nowhere/t"], &url, "", 2, "fedgate:use", Value::Null),
        (&["serve", "--config", broken], "", "", 2, "fedgate:configuration", Value::Null),
        (&serve, "", "", 1, "fedgate:serve", Value::Null),
        (&["envoy", "--", "/nowhere/envoy"], "", "", 1, "fedgate:envoy", Value::Null),
        (&list, &nobody, "x", 1, "fedgate:unreachable", Value::Null),
        (&list, &strange, "x", 1, "fedgate:strange", json!(404)),
        (&list, &url, "x", 1, "urn:fedgate:problem:unauthorized", json!(401)),
        (&list, &url, FILTER_TOKEN, 1, "urn:fedgate:problem:forbidden", json!(403)),
        (
            &["domain", "show", "a.com"],
            &url,
            ADMIN_TOKEN,
            1,
            "urn:fedgate:problem:not-listed",
            json!(404),
        ),
    ];
    for (words, url, token, code, kind, status) in table {
        // `--json` may stand before the command or behind it, but not behind `--`.
        for place in [0, words.iter().position(|word| *word == "--").unwrap_or(words.len())] {
            let mut with_json = words.to_vec();
            with_json.insert(place, "--json");
            let mut command = fedgate(&with_json);
            let command = command.current_dir(dir.path()).env("FEDGATE_URL", url);
            let output = command.env("FEDGATE_TOKEN", token).output().unwrap();
            let text = complaint(&output);
            assert_eq!(output.status.code(), Some(*code), "{words:?}: {text}");
            // `serve` has begun to log.
            let end = text.lines().last().unwrap_or_default();
            let problem: Value =
                serde_json::from_str(end).unwrap_or_else(|_| panic!("{words:?}: {text}"));
            assert_eq!((&problem["type"], &problem["status"]), (&json!(kind), status), "{text}");
            assert_eq!(problem["exit_code"], *code);
            assert!(!problem["title"].as_str().unwrap().is_empty(), "{text}");
            assert!(!problem["detail"].as_str().unwrap().is_empty(), "{text}");
        }
        let mut command = fedgate(words);
        let command = command.current_dir(dir.path()).env("FEDGATE_URL", url);
        let output = command.env("FEDGATE_TOKEN", token).output().unwrap();
        assert_eq!(output.status.code(), Some(*code), "{words:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words:?}");
    }
    for words in [&["--version"][..], &["--help"], &["domain", "--help"], &["--json", "--version"]] {
        let output = fedgate(words).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn nobody_who_listens_makes_no_difference_to_the_exit_code() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for words in [&["domain", "list"][..], &["frobnicate"], &["domain", "list", "--json"]] {
        let output = fedgate(words).stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
    let words = ["token", "new", "--name", "a", "--role", "admin"];
    let output = fedgate(&words).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
}

// === proxies ===

/// Something that takes connections, and tells what it received on each.
fn eavesdropper() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, ear) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap_or_default();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if told.send(text).is_err() {
                return;
            }
            // The other end may be gone, which is as good.
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (address, ear)
}

#[test]
fn a_token_goes_to_no_proxy_that_nobody_asked_for() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let (address, ear) = eavesdropper();
    let proxy = format!("http://{address}");
    let command = |url: &str| {
        let mut command = fedgate(&["strategy", "get"]);
        command.env("FEDGATE_URL", url).env("FEDGATE_TOKEN", ADMIN_TOKEN).env_remove("NO_PROXY");
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        {
            command.env(name, &proxy);
        }
        command.env_remove("REQUEST_METHOD").env_remove("no_proxy");
        command
    };
    assert!(command(&control_plane.url()).output().unwrap().status.success());
    let secure = format!("https://{}:{ADMIN_PORT}", world.ip());
    assert_eq!(command(&secure).output().unwrap().status.code(), Some(1));
    assert!(ear.try_recv().is_err(), "the proxy has heard something");

    for asks in [&["--proxy", &proxy][..], &[]] {
        let mut command = command(&control_plane.url());
        if asks.is_empty() {
            command.env("FEDGATE_PROXY", &proxy);
        }
        assert_eq!(command.args(asks).output().unwrap().status.code(), Some(1));
        let heard = ear.recv_timeout(PATIENCE).unwrap();
        assert!(heard.starts_with("GET http://") && heard.contains(ADMIN_TOKEN), "{heard}");
    }
    let output = command(&control_plane.url()).args(["--proxy", "socks5://127.0.0.1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("not the URL of a proxy"), "{}", complaint(&output));
}

// === what is written, and what is shown ===

#[test]
fn a_domain_that_is_nearly_one_is_refused_with_the_one_to_write() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    for (text, instead) in [
        ("https://a.com/", "write a.com"),
        ("a.com.", "write a.com"),
        ("a.com:8443", "write a.com"),
        ("alice@a.com", "write a.com"),
        (" a.com ", "write a.com"),
        ("_wire-server-federator._tcp.a.com", "write a.com"),
        ("bücher.example", "write xn--bcher-kva.example"),
        ("https://BÜCHER.example:443/x", "write xn--bcher-kva.example"),
        ("a\u{202e}b.com", "characters beyond ASCII"),
        ("a\u{1b}[2J.com", "octet 0x1b"),
    ] {
        for command in ["add", "show", "remove", "refresh"] {
            let error = control_plane.cli(&["domain", command, text]).unwrap_err();
            assert!(error.contains("exit status: 2") && error.contains(instead), "{text}: {error}");
            assert!(!error.contains(['\u{202e}', '\u{1b}']), "{error:?}");
        }
        let coded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        let request = http().put(format!("{}/v1/domains/{coded}", control_plane.url()));
        let request = request.header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let mut answer = request.send_empty().unwrap();
        let problem: Value = answer.body_mut().read_json().unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(answer.status() == 400 && detail.contains(instead), "{text}: {problem}");
        assert!(!detail.contains(['\u{202e}', '\u{1b}']), "{detail:?}");
    }
    control_plane.add(&["A.Com"]);
    assert!(control_plane.cli(&["domain", "list"]).unwrap().starts_with("a.com "));
}

/// Characters that move a cursor, turn the direction of writing around, or are not seen.
const UNSEEN: &str =
    "x\u{1b}[2J\u{7}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{200f}\u{feff}\u{7f}\r\n\u{2028}y";

fn assert_harmless(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(text).unwrap();
        let raw = UNSEEN.chars().find(|c| !"x[2J31my\n".contains(*c) && text.contains(*c));
        assert_eq!(raw, None, "{text:?}");
    }
}

#[test]
fn nothing_of_what_a_server_says_reaches_a_terminal_raw() {
    let world = World::builder().without_control_plane().start();
    let hostile = |status: StatusCode, body: Value| {
        let body = body.to_string();
        let answer = move || async move { (status, [(header::CONTENT_TYPE, "application/json")], body) };
        let router = Router::new().fallback(any(answer));
        let listener = world.run(tokio::net::TcpListener::bind((world.ip(), 0))).unwrap();
        let address = listener.local_addr().unwrap();
        world.runtime().spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    };
    // Of the types that are expected, with all that is free text hostile.
    let failure = json!({ "label": "discovery-failure", "message": UNSEEN });
    let mut domain = json!({
        "domain": "a.com", "note": UNSEEN, "expired": false, "created_at": UNSEEN, "created_by": UNSEEN,
        "updated_at": UNSEEN, "updated_by": UNSEEN, "state": UNSEEN, "cause": UNSEEN,
        "last_success": UNSEEN, "last_try": UNSEEN, "next_try": UNSEEN, "passed_over": [UNSEEN],
        "targets": [{"host": UNSEEN, "port": 1, "priority": 1, "weight": 1, "addresses": [UNSEEN],
            "problems": [UNSEEN]}],
        "verdict": {"domain": "a.com", "failure": failure, "ttl_ms": 1},
        "failure": failure, "ttl_ms": 1, "answered": false, "stands": null,
        "strategy": "allowAll", "applied": [UNSEEN], "needs_restart": [UNSEEN], "next": null,
    });
    domain["domains"] = json!([domain]);
    let problem = json!({
        "type": UNSEEN, "title": UNSEEN, "status": 400, "detail": UNSEEN, "request_id": UNSEEN, "errors": [UNSEEN],
    });
    for url in [hostile(StatusCode::OK, domain), hostile(StatusCode::BAD_REQUEST, problem)] {
        for words in [
            &["domain", "list"][..],
            &["domain", "show", "a.com"],
            &["domain", "add", "a.com"],
            &["domain", "refresh", "a.com"],
            &["reload"],
        ] {
            for json in [&[][..], &["--json"]] {
                let mut command = fedgate(&[words, json].concat());
                let command = command.env("FEDGATE_URL", &url).env("FEDGATE_TOKEN", "x");
                let output = command.output().unwrap();
                assert_harmless(&output);
                let shown = [output.stdout.as_slice(), &output.stderr].concat();
                assert!(String::from_utf8_lossy(&shown).contains("202e"), "{words:?}: {output:?}");
            }
        }
    }
    for words in [&["domain", UNSEEN][..], &["strategy", "set", UNSEEN], &["--url", UNSEEN]] {
        assert_harmless(&fedgate(words).output().unwrap());
    }
}

#[test]
fn a_note_is_kept_as_it_is_and_shown_without_what_is_not_seen() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let note = "deal \u{202e}moc.live\u{202c} · Bücher";
    control_plane.cli(&["domain", "add", "a.com", "--note", note]).unwrap();
    let shown = control_plane.cli(&["domain", "list"]).unwrap();
    assert!(shown.contains("deal \\u{202e}moc.live\\u{202c} · Bücher"), "{shown}");
    let shown = control_plane.cli(&["domain", "list", "--json"]).unwrap();
    assert!(shown.contains("deal \\u202emoc.live\\u202c · Bücher"), "{shown}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["domains"][0]["note"], note);
}

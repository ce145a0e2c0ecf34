//! Tokens that are made and revoked while the control plane runs, and the first of all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime};

use fedgate_tests::artifacts;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN};
use fedgate_tests::process::{eventually, http, run};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::site::{Site, XdsStream};

/// Makes a token by the command line; its text.
pub(crate) fn make(control_plane: &ControlPlane, words: &[&str]) -> String {
    let words = [&["token", "make", "--json"], words].concat();
    let made: Value = serde_json::from_str(&control_plane.cli(&words).unwrap()).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

/// All tokens, as the API lists them.
fn listed(control_plane: &ControlPlane) -> Vec<Value> {
    let list: Value =
        serde_json::from_str(&control_plane.cli(&["token", "list", "--json"]).unwrap()).unwrap();
    list["tokens"].as_array().unwrap().clone()
}

/// The status with which a listener answers who shows this token.
fn status(url: &str, path: &str, token: &str) -> u16 {
    let request = http().get(format!("{url}{path}")).header("authorization", format!("Bearer {token}"));
    request.call().unwrap().status().as_u16()
}

/// How admin API, verdict API and xDS answer who shows this token.
fn answers(site: &Site, token: &str) -> (u16, u16, Result<(), String>) {
    let control_plane = &site.control_plane;
    let stream = site.runtime.block_on(XdsStream::open(site, token));
    (
        status(&control_plane.url(), "/v1/strategy", token),
        status(&control_plane.verdicts_url(), "/v1/verdicts", token),
        stream.map(drop),
    )
}

#[test]
fn a_token_that_is_made_works_on_its_listeners_only() {
    let site = Site::start();
    let control_plane = &site.control_plane;
    let denied = || Err("7".to_owned());
    for (role, expected) in [
        ("admin", (200, 403, denied())),
        ("viewer", (200, 403, denied())),
        ("filter", (403, 200, Ok(()))),
    ] {
        let token = make(control_plane, &[&format!("new-{role}"), "--role", role]);
        assert_eq!(answers(&site, &token), expected, "{role}");
        let write = http().delete(format!("{}/v1/domains/a.com", control_plane.url()));
        let write = write.header("authorization", format!("Bearer {token}")).call().unwrap();
        assert_eq!(write.status(), if role == "admin" { 404 } else { 403 }, "{role}");
    }
    let shown = control_plane.cli(&["token", "list"]).unwrap();
    assert!(shown.contains("new-filter  filter  store "), "{shown}");
    assert!(shown.contains("filter      filter  configuration "), "{shown}");
}

#[test]
fn who_is_revoked_or_expired_is_refused_within_a_second_and_what_is_open_ends() {
    let site = Site::start();
    let control_plane = &site.control_plane;
    let unauthorized = (401, 401, Err("16".to_owned()));
    let revoked = make(control_plane, &["gone", "--role", "filter"]);
    let expiring = make(control_plane, &["expiring", "--role", "filter", "--expires", "4s"]);
    let tokens = listed(control_plane);
    let end = tokens.iter().find(|token| token["name"] == "expiring").unwrap()["expires_at"].clone();
    let end = end.as_str().unwrap().to_owned();

    for (token, is_revoked) in [(&expiring, false), (&revoked, true)] {
        let stream = site.runtime.block_on(XdsStream::open(&site, token)).unwrap();
        let page = format!("{}/v1/verdicts", control_plane.verdicts_url());
        let ask = |query: &str| {
            let request = http().get(format!("{page}{query}"));
            request.header("authorization", format!("Bearer {token}")).call().unwrap()
        };
        let cursor: Value = ask("").body_mut().read_json().unwrap();
        let query = format!("?wait=60&cursor={}", cursor["cursor"].as_str().unwrap());
        std::thread::scope(|scope| {
            let poll = scope.spawn(|| {
                let mut answer = ask(&query);
                (answer.status().as_u16(), answer.body_mut().read_json::<Value>().unwrap())
            });
            let ended = site.runtime.spawn(stream.ended());
            let since = if is_revoked {
                // It waits by now, or is refused on its way: both are an end.
                control_plane.cli(&["token", "revoke", "gone"]).unwrap();
                Instant::now()
            } else {
                assert_eq!(answers(&site, token).1, 200, "its time has not come");
                let left = seconds(&end) - seconds(&now());
                Instant::now() + Duration::from_secs_f64(left.max(0.0))
            };
            let (status, problem) = poll.join().unwrap();
            assert_eq!(status, 401, "{problem}");
            assert_eq!(site.runtime.block_on(ended).unwrap(), "16");
            let late = Instant::now().saturating_duration_since(since);
            assert!(late < Duration::from_secs(1), "it took {late:?}");
            assert_eq!(answers(&site, token), unauthorized);
            let why = if is_revoked { "we do not know this token" } else { "has expired at" };
            assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
        });
    }
    assert_eq!(answers(&site, FILTER_TOKEN).1, 200, "it is nobody else's business");
    let shown = control_plane.cli(&["token", "list"]).unwrap();
    assert!(shown.contains("(over)") && !shown.contains("gone"), "{shown}");
}

fn now() -> String {
    let now = time::OffsetDateTime::from(SystemTime::now());
    now.format(&time::format_description::well_known::Rfc3339).unwrap()
}

/// Seconds since 1970.
fn seconds(text: &str) -> f64 {
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(text, format).unwrap();
    let since = SystemTime::from(at).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs_f64()
}

#[test]
fn the_text_of_a_token_is_nowhere_and_its_digest_in_the_store_alone() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    if !control_plane.has_a_file() {
        // What is in etcd's files is etcd's to say.
        return;
    }
    let token = make(control_plane, &["alice", "--role", "admin"]);
    assert_eq!(status(&control_plane.url(), "/v1/audit", &token), 200);
    let told = [
        control_plane.cli(&["token", "list", "--json"]).unwrap(),
        control_plane.cli(&["token", "list"]).unwrap(),
        control_plane.cli(&["audit", "--json"]).unwrap(),
        control_plane.cli(&["audit"]).unwrap(),
        control_plane.log(),
    ];
    let digest = hex::encode(Sha256::digest(&token));
    for text in told {
        assert!(!text.contains(&token) && !text.contains(&digest), "{text}");
    }
    let octets = |token: &str| token.as_bytes().to_vec();
    let (text, digest) = (octets(&token), Sha256::digest(&token).to_vec());
    let files = |control_plane: &ControlPlane| {
        let files = fs::read_dir(control_plane.dir()).unwrap().map(|file| file.unwrap().path());
        files.map(|file| fs::read(file).unwrap()).collect::<Vec<_>>()
    };
    let has = |files: &[Vec<u8>], what: &[u8]| {
        files.iter().any(|file| file.windows(what.len()).any(|octets| octets == what))
    };
    let found = files(control_plane);
    assert!(!has(&found, &text) && has(&found, &digest));
    control_plane.terminate();
    let found = files(control_plane);
    assert!(!has(&found, &text) && has(&found, &digest));
}

#[test]
fn tokens_and_when_they_were_used_outlive_a_restart() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    let token = make(control_plane, &["alice", "--role", "viewer"]);
    assert_eq!(status(&control_plane.url(), "/v1/strategy", &token), 200);
    let of_alice = |control_plane: &ControlPlane| {
        listed(control_plane).into_iter().find(|token| token["name"] == "alice").unwrap()
    };
    let before = of_alice(control_plane);
    assert!(before["last_used_at"].is_string() && before["created_by"] == "admin", "{before}");
    control_plane.terminate();
    control_plane.restart();
    assert_eq!(of_alice(control_plane), before);
    control_plane.kill();
    control_plane.restart();
    assert_eq!(of_alice(control_plane), before);
    control_plane.cli(&["token", "revoke", "alice"]).unwrap();
    control_plane.kill();
    control_plane.restart();
    assert_eq!(status(&control_plane.url(), "/v1/strategy", &token), 401);
}

#[test]
fn a_name_is_either_in_the_store_or_in_the_configuration() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    let refused = control_plane.cli(&["token", "make", "viewer", "--role", "admin"]).unwrap_err();
    assert!(refused.contains("the configuration has a token named 'viewer'"), "{refused}");
    let refused = control_plane.cli(&["token", "revoke", "viewer"]).unwrap_err();
    assert!(refused.contains("take it out there, then `fedgate reload`"), "{refused}");

    let token = make(control_plane, &["alice", "--role", "viewer"]);
    control_plane.configure("name = \"viewer\"", "name = \"alice\"");
    let refused = control_plane.cli(&["reload"]).unwrap_err();
    assert!(refused.contains("the name 'alice' is also that of a token in the store"), "{refused}");
    assert_eq!(status(&control_plane.url(), "/v1/strategy", &token), 200);
    control_plane.terminate();
    let mut serve = std::process::Command::new(artifacts::fedgate());
    serve.current_dir(control_plane.dir()).args(["serve", "--config", "fedgate.toml"]);
    let refused = run(&mut serve).unwrap_err();
    assert!(refused.contains("exit status: 2") && refused.contains("'alice' is also that"), "{refused}");
    control_plane.configure("name = \"alice\"", "name = \"viewer\"");
    control_plane.restart();
    assert_eq!(status(&control_plane.url(), "/v1/strategy", &token), 200);
}

/// Takes all tokens out of the configuration, for the next start.
fn take_tokens_out(control_plane: &ControlPlane) {
    let file = control_plane.dir().join("fedgate.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (rest, _) = text.split_once("[[token]]").unwrap();
    fs::write(file, rest).unwrap();
}

/// Runs the command line with this token.
fn cli(control_plane: &ControlPlane, token: &str, words: &[&str]) -> Result<String, String> {
    let mut command = std::process::Command::new(artifacts::fedgate());
    command.args(words).env("FEDGATE_URL", control_plane.url()).env("FEDGATE_TOKEN", token);
    run(&mut command)
}

#[test]
fn where_there_is_no_administrator_the_first_token_is_printed_once() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    assert!(!control_plane.log().contains("export FEDGATE_TOKEN"), "there is one");
    control_plane.terminate();
    take_tokens_out(control_plane);
    let printed = |control_plane: &ControlPlane| {
        let log = control_plane.log();
        let tokens = log.lines().filter_map(|line| line.trim().strip_prefix("export FEDGATE_TOKEN="));
        tokens.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    control_plane.restart();
    let [token] = printed(control_plane).try_into().unwrap();
    assert_eq!(control_plane.log().matches(&token).count(), 1, "once");
    control_plane.kill();
    control_plane.restart();
    assert_eq!(printed(control_plane).len(), 1, "it still counts");

    let refused = cli(control_plane, &token, &["token", "revoke", "bootstrap"]).unwrap_err();
    assert!(refused.contains("is the last one of role admin"), "{refused}");
    cli(control_plane, &token, &["token", "make", "alice", "--role", "admin"]).unwrap();
    cli(control_plane, &token, &["token", "revoke", "bootstrap"]).unwrap();
    assert_eq!(status(&control_plane.url(), "/v1/strategy", &token), 401, "it revoked itself");
    control_plane.terminate();
    control_plane.restart();
    assert_eq!(printed(control_plane).len(), 1, "alice is an administrator");
}

#[test]
fn the_first_token_is_put_into_a_file_or_taken_from_one() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    let file = control_plane.dir().join("first.token");
    control_plane.configure("[egress]\n", "[api]\nbootstrap_token_file = \"first.token\"\n[egress]\n");
    control_plane.terminate();
    control_plane.restart();
    assert!(!file.exists(), "there is an administrator");
    control_plane.terminate();
    take_tokens_out(control_plane);
    control_plane.restart();
    let token = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(status(&control_plane.url(), "/v1/tokens", &token), 200);
    assert!(!control_plane.log().contains(&token));
    let by_file = ["token", "revoke", "bootstrap", "--force", "--token-file", file.to_str().unwrap()];
    cli(control_plane, "", &by_file).unwrap();
    assert_eq!(status(&control_plane.url(), "/v1/tokens", &token), 401);

    // As a secret that is mounted: whoever deploys knows it already.
    let given = "0123456789abcdef0123456789abcdef";
    fs::write(&file, given).unwrap();
    control_plane.terminate();
    control_plane.restart();
    assert_eq!(status(&control_plane.url(), "/v1/tokens", given), 200);
    assert_eq!(fs::read_to_string(&file).unwrap(), given);
    let list = cli(control_plane, given, &["token", "list", "--json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let bootstrap = &list["tokens"][0];
    assert_eq!((&bootstrap["name"], &bootstrap["created_by"]), (&json!("bootstrap"), &json!("system")));

    // Neither used nor overwritten.
    control_plane.terminate();
    control_plane.forget();
    fs::write(&file, "hunter2\n").unwrap();
    let mut serve = std::process::Command::new(artifacts::fedgate());
    serve.current_dir(control_plane.dir()).args(["serve", "--config", "fedgate.toml"]);
    let refused = run(&mut serve).unwrap_err();
    assert!(refused.contains("exit status: 1") && refused.contains("holds no token"), "{refused}");
    assert!(!refused.contains("hunter2") && fs::read_to_string(&file).unwrap() == "hunter2\n");
}

#[test]
fn tokens_are_made_and_revoked_side_by_side_and_one_administrator_stays() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    let names: Vec<_> = (0..8).map(|n| format!("admin-{n}")).collect();
    let tokens: Vec<_> =
        names.iter().map(|name| make(control_plane, &[name, "--role", "admin"])).collect();
    control_plane.terminate();
    take_tokens_out(control_plane);
    control_plane.restart();
    assert_eq!(status(&control_plane.url(), "/v1/strategy", ADMIN_TOKEN), 401);
    let url = control_plane.url();
    // Each revokes its own token, all at the same time.
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let revoke = |(name, token): (&String, &String)| {
            let request = http().delete(format!("{url}/v1/tokens/{name}"));
            let request = request.header("authorization", format!("Bearer {token}"));
            scope.spawn(move || request.call().unwrap().status().as_u16())
        };
        let calls: Vec<_> = names.iter().zip(&tokens).map(revoke).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let of = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((of(204), of(409)), (7, 1), "{statuses:?}");
    let last = statuses.iter().position(|status| *status == 409).unwrap();
    eventually("the last one is an administrator still", || {
        (status(&url, "/v1/tokens", &tokens[last]) == 200).then_some(())
    });
}

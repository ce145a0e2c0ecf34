//! The audit: who changed what, when; and who was refused.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use fedgate_tests::artifacts;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, VIEWER_TOKEN};
use fedgate_tests::process::{PATIENCE, Process, eventually, http};
use serde_json::{Value, json};

use crate::site::Site;
use crate::tokens::make;

/// All records, the oldest first, as the command line exports them.
fn records(control_plane: &ControlPlane, words: &[&str]) -> Vec<Value> {
    let words = [&["audit", "--json", "--since", "2020-01-01"], words].concat();
    let lines = control_plane.cli(&words).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Calls the admin API as an administrator; its status.
fn call(control_plane: &ControlPlane, method: &str, path: &str, body: &str) -> u16 {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}/v1/{path}", control_plane.url()))
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .header("content-type", "application/json")
        .header("x-request-id", "by-hand");
    http().run(request.body(body.to_owned()).unwrap()).unwrap().status().as_u16()
}

#[test]
fn every_change_has_its_record_with_what_was_before_and_is_since() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    assert_eq!(call(control_plane, "PUT", "domains/a.com", r#"{"note":"contract 17"}"#), 201);
    control_plane.cli(&["domain", "add", "a.com", "--note", "contract 18"]).unwrap();
    control_plane.cli(&["strategy", "set", "allowAll"]).unwrap();
    make(control_plane, &["bob", "--role", "viewer"]);
    control_plane.cli(&["token", "revoke", "bob"]).unwrap();
    assert_eq!(call(control_plane, "DELETE", "domains/a.com", ""), 204);
    assert_eq!(call(control_plane, "DELETE", "domains/a.com", ""), 404, "that is no change");
    control_plane.kill();
    control_plane.restart();
    let records = records(control_plane, &[]);
    let told: Vec<_> = records
        .iter()
        .map(|it| {
            let note = |side: &str| it[side]["note"].clone();
            let action = it["action"].as_str().unwrap();
            match action {
                "strategy-set" => (action, it["before"].clone(), it["after"].clone()),
                "token-made" | "token-revoked" => {
                    (action, it["before"]["name"].clone(), it["after"]["name"].clone())
                }
                _ => (action, note("before"), note("after")),
            }
        })
        .collect();
    let expected = [
        ("domain-added", Value::Null, json!("contract 17")),
        ("domain-changed", json!("contract 17"), json!("contract 18")),
        ("strategy-set", json!("allowDynamic"), json!("allowAll")),
        ("token-made", Value::Null, json!("bob")),
        ("token-revoked", json!("bob"), Value::Null),
        ("domain-removed", json!("contract 18"), Value::Null),
    ];
    assert_eq!(told, expected);
    let revisions: Vec<_> = records.iter().map(|it| it["revision"].as_i64().unwrap()).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6]);
    assert!(records.iter().all(|it| it["by"] == "admin"));
    assert_eq!(
        (&records[0]["request_id"], &records[5]["request_id"]),
        (&json!("by-hand"), &json!("by-hand"))
    );

    let shown = control_plane.cli(&["audit", "--domain", "a.com"]).unwrap();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(
        lines[1].contains(r#"domain-changed  a.com  note "contract 17" → "contract 18""#),
        "{shown}"
    );
    let last = control_plane.cli(&["audit", "-n", "1", "--action", "token-made,token-revoked"]).unwrap();
    assert!(last.contains("token-revoked   bob, role viewer"), "{last}");
    assert_eq!(control_plane.cli(&["audit", "--by", "nobody"]).unwrap(), "");
}

/// The list as the records of its changes make it, of which none may be missing.
pub(crate) fn replayed(control_plane: &ControlPlane) -> BTreeMap<String, Value> {
    let mut replayed = BTreeMap::new();
    let mut last = 0;
    for record in records(control_plane, &[]) {
        let revision = record["revision"].as_i64().unwrap();
        assert!(
            revision == last + 1,
            "{revision} follows {last}: a change has no record, or the other way round"
        );
        last = revision;
        let domain = record["domain"].as_str().unwrap().to_owned();
        match record["action"].as_str().unwrap() {
            "domain-added" => assert!(replayed.insert(domain, record["after"].clone()).is_none()),
            "domain-removed" => assert_eq!(replayed.remove(&domain).unwrap(), record["before"]),
            other => panic!("{other}"),
        }
    }
    replayed
}

#[test]
fn a_change_and_its_record_survive_a_kill_together_or_not_at_all() {
    let mut site = Site::start();
    let url = site.control_plane.url();
    for round in 0..3 {
        let acknowledged = Mutex::new(0);
        std::thread::scope(|scope| {
            let (url, acknowledged) = (&url, &acknowledged);
            for writer in 0..4 {
                scope.spawn(move || {
                    for n in 0.. {
                        // Lists one, and takes the one before off the list.
                        let (new, old) = (format!("w{writer}n{n}.com"), n - 1);
                        let call = |method: &str, domain: &str| {
                            let request = ureq::http::Request::builder()
                                .method(method)
                                .uri(format!("{url}/v1/domains/r{round}{domain}"))
                                .header("authorization", format!("Bearer {ADMIN_TOKEN}"));
                            http().run(request.body(()).unwrap())
                        };
                        let done = call("PUT", &new)
                            .and_then(|_| call("DELETE", &format!("w{writer}n{old}.com")));
                        if done.is_err() {
                            break;
                        }
                        *acknowledged.lock().unwrap() += 1;
                    }
                });
            }
            let started = std::time::Instant::now();
            while *acknowledged.lock().unwrap() < 30 {
                assert!(started.elapsed() < PATIENCE, "the writers make no progress");
                std::thread::yield_now();
            }
            site.control_plane.kill();
        });
        site.control_plane.restart();
    }
    let (control_plane, replayed) = (&site.control_plane, replayed(&site.control_plane));
    let page: Value =
        serde_json::from_str(&control_plane.cli(&["domain", "list", "--json"]).unwrap()).unwrap();
    let listed: Vec<_> =
        page["domains"].as_array().unwrap().iter().map(|it| it["domain"].as_str().unwrap()).collect();
    assert_eq!(listed, replayed.keys().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn old_records_go_and_numbers_go_on() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    let names: Vec<_> = (0..8).map(|n| format!("{n}.com")).collect();
    control_plane.add(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(records(control_plane, &[]).len(), 8);
    control_plane.terminate();
    control_plane.configure("[egress]\n", "[audit]\nmax_records = 5\n[egress]\n");
    control_plane.restart();
    let ids = |control_plane: &ControlPlane| -> Vec<_> {
        records(control_plane, &[]).iter().map(|it| it["id"].as_i64().unwrap()).collect()
    };
    eventually("those that are too many are gone", || {
        (ids(control_plane) == [4, 5, 6, 7, 8]).then_some(())
    });
    control_plane.terminate();
    control_plane.configure("max_records = 5", "max_age = \"1ms\"");
    control_plane.restart();
    eventually("those that are too old are gone", || ids(control_plane).is_empty().then_some(()));
    assert!(control_plane.log().contains("old records of the audit are deleted records=5"));
    control_plane.cli(&["domain", "remove", "0.com"]).unwrap();
    assert_eq!(ids(control_plane), [9]);
    assert!(control_plane.cli(&["domain", "list"]).unwrap().contains("7.com"), "the list stays");
}

#[test]
fn a_thousand_wrong_tokens_are_a_few_records_and_none_is_lost() {
    const CALLS: u32 = 1000;
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    let url = format!("{}/v1/strategy", control_plane.url());
    std::thread::scope(|scope| {
        for caller in 0..100 {
            let url = &url;
            scope.spawn(move || {
                for n in 0..CALLS / 100 {
                    let token = format!("Bearer wrong-{caller}-{n}");
                    let answer = http().get(url).header("authorization", token).call().unwrap();
                    assert_eq!(answer.status(), 401);
                }
            });
        }
    });
    let write = http().delete(format!("{}/v1/domains/a.com", control_plane.url()));
    let write = write.header("authorization", format!("Bearer {VIEWER_TOKEN}")).call().unwrap();
    assert_eq!(write.status(), 403);
    eventually("both are in the audit", || {
        (records(control_plane, &["--action", "calls-refused"]).len() >= 2).then_some(())
    });
    control_plane.terminate();
    control_plane.restart();
    let records = records(control_plane, &["--action", "calls-refused"]);
    assert!(records.len() <= 4, "{records:?}");
    let (of_viewer, others): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record["by"] == "viewer");
    assert_eq!(of_viewer.len(), 1);
    let reason = "the token 'viewer' has the role viewer, and this needs admin";
    assert_eq!(of_viewer[0]["after"]["reason"], reason);
    let calls: u64 = others.iter().map(|it| it["after"]["calls"].as_u64().unwrap()).sum();
    assert_eq!(calls, u64::from(CALLS));
    for record in &others {
        assert_eq!((&record["by"], &record["revision"]), (&json!("system"), &Value::Null));
        assert_eq!(record["after"]["listener"], "admin");
        assert_eq!(record["after"]["reason"], "we do not know this token");
    }
    let shown = control_plane.cli(&["audit", "--action", "calls-refused"]).unwrap();
    assert!(shown.contains(" on admin: we do not know this token"), "{shown}");
}

#[test]
fn whoever_follows_sees_each_record_once_through_a_restart() {
    let mut site = Site::start();
    let control_plane = &mut site.control_plane;
    control_plane.add(&["before.com"]);
    let seen = control_plane.dir().join("followed");
    let mut follow = Command::new(artifacts::fedgate());
    follow.args(["audit", "--follow"]);
    follow.env("FEDGATE_URL", control_plane.url()).env("FEDGATE_TOKEN", VIEWER_TOKEN);
    let mut follower = Process::start(&mut follow, &seen);
    let mut names = vec!["before.com"];
    for (name, is_killed) in [("one.com", false), ("two.com", true), ("three.com", false)] {
        let waited = format!("{} is seen", names[names.len() - 1]);
        let last = names[names.len() - 1].to_owned();
        let log = || std::fs::read_to_string(&seen).unwrap();
        eventually(&waited, || log().contains(&last).then_some(()));
        if is_killed {
            control_plane.kill();
        } else {
            control_plane.terminate();
        }
        eventually("it says that it waits", || log().contains("; trying again").then_some(()));
        control_plane.restart();
        control_plane.add(&[name]);
        names.push(name);
    }
    eventually("all are seen", || follower.log().contains("three.com").then_some(()));
    for name in names {
        assert_eq!(follower.log().matches(&format!("  {name}")).count(), 1, "{}", follower.log());
    }
    assert!(follower.ended().is_none());
}

#[test]
fn who_follows_into_a_reader_that_is_gone_ends() {
    let site = Site::start();
    let control_plane = &site.control_plane;
    control_plane.add(&["a.com"]);
    let mut follow = Command::new(artifacts::fedgate());
    follow.args(["audit", "--follow"]).stdout(Stdio::piped());
    follow.env("FEDGATE_URL", control_plane.url()).env("FEDGATE_TOKEN", ADMIN_TOKEN);
    let mut follower = follow.spawn().unwrap();
    drop(follower.stdout.take());
    control_plane.add(&["b.com"]);
    let ended = eventually("it ends", || follower.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
}

#[test]
fn an_export_is_the_same_by_api_and_command_line() {
    let site = Site::start();
    let control_plane = &site.control_plane;
    control_plane.add(&["a.com", "b.com", "c.com"]);
    let url = format!("{}/v1/audit?format=jsonl&order=oldest", control_plane.url());
    let request = http().get(url).header("authorization", format!("Bearer {VIEWER_TOKEN}"));
    let exported = request.call().unwrap().body_mut().read_to_string().unwrap();
    let exported: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(exported, records(control_plane, &[]));
    assert_eq!(exported.len(), 3);
}

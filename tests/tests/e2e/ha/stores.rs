//! What is kept in etcd, and what becomes of it elsewhere.

use std::path::Path;
use std::process::Command;

use fedgate_tests::address::Address;
use fedgate_tests::artifacts;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ANY_PORTS, ControlPlane, Store};
use fedgate_tests::etcd::Etcd;
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::process::{Process, eventually, http, run};
use serde_json::json;

use super::{Trio, all_have, get, note, page, table, write};

#[test]
fn what_one_writes_all_have_and_the_audit_names_each_once() {
    let etcd = Etcd::shared();
    let trio = Trio::on(&etcd.url());
    let [one, other, third] = &trio.control_planes;
    assert_eq!(write(one, "a.com", Some("by one")), Some(201));
    all_have(&trio, "a.com", Some("by one"));
    assert_eq!(write(other, "a.com", Some("by another")), Some(200));
    assert_eq!(
        write(third, "a.com", None),
        Some(204),
        "decided on what is there, however late that is heard"
    );
    all_have(&trio, "a.com", None);
    one.cli(&["strategy", "set", "allowNone"]).unwrap();
    eventually("each has heard of the strategy", || {
        let has = |it: &ControlPlane| get(&format!("{}/v1/strategy", it.url()), ADMIN_TOKEN).1;
        trio.control_planes.iter().all(|it| has(it) == json!({"strategy": "allowNone"})).then_some(())
    });
    let audits: Vec<_> = trio
        .control_planes
        .iter()
        .map(|it| it.cli(&["audit", "--json", "--since", "1d"]).unwrap())
        .collect();
    assert!(audits.iter().all(|audit| *audit == audits[0]), "{audits:?}");
    for deed in ["domain-added", "domain-changed", "domain-removed", "strategy-set"] {
        assert_eq!(audits[0].matches(deed).count(), 1, "{deed}: {}", audits[0]);
    }
}

#[test]
fn a_condition_that_another_has_overtaken_fails() {
    let etcd = Etcd::shared();
    let trio = Trio::on(&etcd.url());
    let [one, other, _] = &trio.control_planes;
    assert_eq!(write(one, "a.com", Some("first")), Some(201));
    all_have(&trio, "a.com", Some("first"));
    let url = |it: &ControlPlane| format!("{}/v1/domains/a.com", it.url());
    let token = format!("Bearer {ADMIN_TOKEN}");
    let read = http().get(url(one)).header("authorization", &token).call().unwrap();
    let tag = read.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(write(other, "a.com", Some("second")), Some(200));
    // At once: it may not have been heard yet, and must not be written over.
    let put = http().put(url(one)).header("authorization", &token).header("if-match", tag);
    let put = put.header("content-type", "application/json").send(r#"{"note":"third"}"#).unwrap();
    assert_eq!(put.status(), 412);
    all_have(&trio, "a.com", Some("second"));
}

#[test]
fn a_token_made_at_one_counts_at_all_until_it_is_revoked_at_another() {
    let etcd = Etcd::shared();
    let trio = Trio::on(&etcd.url());
    let [one, other, third] = &trio.control_planes;
    let made = one.cli(&["token", "make", "bob", "--role", "viewer", "--json"]).unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let token = made["token"].as_str().unwrap();
    let status = |it: &ControlPlane| get(&format!("{}/v1/strategy", it.url()), token).0;
    eventually("it counts at all", || {
        trio.control_planes.iter().all(|it| status(it) == 200).then_some(())
    });
    other.cli(&["token", "revoke", "bob"]).unwrap();
    eventually("it counts nowhere", || (status(one) == 401 && status(third) == 401).then_some(()));
}

#[test]
fn a_list_of_thousands_is_written_as_a_whole_and_every_control_plane_has_it() {
    let etcd = Etcd::shared();
    let trio = Trio::on(&etcd.url());
    let [one, other, third] = &trio.control_planes;
    let put = |it: &ControlPlane, domains: Vec<String>, prune: bool| {
        let domains: Vec<_> = domains.into_iter().map(|domain| json!({ "domain": domain })).collect();
        let url = format!("{}/v1/domains?prune={prune}", it.url());
        let put = http().put(url).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let put = put.header("content-type", "application/json");
        put.send(json!({ "domains": domains }).to_string()).unwrap().status().as_u16()
    };
    let many =
        |from: usize, to: usize| (from..to).map(|n| format!("d{n}.example.com")).collect::<Vec<_>>();
    let count = |it: &ControlPlane| {
        get(&format!("{}/v1/status", it.url()), ADMIN_TOKEN).1["list"]["allowed"].as_u64().unwrap()
    };
    assert_eq!(put(one, many(0, 3000), false), 200);
    assert_eq!(count(one), 3000);
    eventually("all have it", || (count(other) == 3000 && count(third) == 3000).then_some(()));
    // At once: what is still being spread is no hindrance, and is not lost.
    assert_eq!(put(other, many(1000, 5000), true), 200);
    assert_eq!(write(third, "last.example.com", Some("n")), Some(201));
    eventually("all have what is left", || {
        trio.control_planes.iter().all(|it| count(it) == 4001).then_some(())
    });
    let fresh = Trio::on(&control_plane_url(one));
    assert_eq!(count(&fresh.control_planes[0]), 4001, "and so has whoever reads it anew");
    let audit = one.cli(&["audit", "--json", "--since", "1d", "--action", "domain-removed"]).unwrap();
    assert_eq!(audit.matches("domain-removed").count(), 1000);
}

/// The store, by the configuration.
fn control_plane_url(control_plane: &ControlPlane) -> String {
    let toml = std::fs::read_to_string(control_plane.dir().join("fedgate.toml")).unwrap();
    let line = toml.lines().find(|line| line.starts_with("url = ")).unwrap();
    line.trim_start_matches("url = ").trim_matches('"').to_owned()
}

#[test]
fn a_store_is_copied_from_a_file_into_etcd_and_back() {
    let etcd = Etcd::shared();
    let (address, dir) = (Address::claim(), tempfile::tempdir().unwrap());
    let first = dir.path().join("first");
    let mut file =
        ControlPlane::with_store(&[], address.ip(), &first, &[address.dns()], "", Store::File);
    file.cli(&["domain", "add", "a.com", "--note", "kept", "--pin", "fed.a.com"]).unwrap();
    file.cli(&["domain", "add", "b.com"]).unwrap();
    file.cli(&["domain", "remove", "b.com"]).unwrap();
    file.cli(&["token", "make", "bob", "--role", "viewer"]).unwrap();
    file.cli(&["strategy", "set", "allowAll"]).unwrap();
    let (export, audit) = (
        file.cli(&["store", "export"]).unwrap(),
        file.cli(&["audit", "--json", "--since", "1d"]).unwrap(),
    );
    file.terminate();
    let (url, database) = (etcd.url(), file.dir().join("fedgate.db"));
    let database = format!("sqlite://{}", database.display());
    let copy = |from: &str, to: &str| file.cli(&["store", "copy", "--from", from, "--to", to]);
    let said = copy(&database, &url).unwrap();
    assert!(said.contains("1 domains, 1 tokens, 5 records"), "{said}");
    let refused = copy(&database, &url).unwrap_err();
    assert!(refused.contains("there is a list already"), "{refused}");
    let missing = copy("sqlite:///nowhere/none.db", &etcd.url()).unwrap_err();
    assert!(missing.contains("there is no such file"), "{missing}");

    let trio = Trio::on(&url);
    for it in &trio.control_planes {
        assert_eq!(
            (
                it.cli(&["store", "export"]).unwrap(),
                it.cli(&["audit", "--json", "--since", "1d"]).unwrap()
            ),
            (export.clone(), audit.clone())
        );
    }
    let back = dir.path().join("back.db");
    copy(&url, &format!("sqlite://{}", back.display())).unwrap();
    let second = dir.path().join("second");
    let other = Address::claim();
    let folder = second.join("control-plane");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(&back, folder.join("fedgate.db")).unwrap();
    let file = ControlPlane::with_store(&[], other.ip(), &second, &[other.dns()], "", Store::File);
    assert_eq!(
        (
            file.cli(&["store", "export"]).unwrap(),
            file.cli(&["audit", "--json", "--since", "1d"]).unwrap()
        ),
        (export, audit)
    );

    // A backup over the API is a file as well, and so is its source.
    let backup = dir.path().join("backup.db");
    trio.control_planes[0].cli(&["store", "backup", backup.to_str().unwrap()]).unwrap();
    assert!(std::fs::metadata(&backup).unwrap().len() > 0);
}

/// A single member that takes nobody without a certificate, a user and a password.
fn secured(address: &Address, dir: &Path, trust: &Path, server: &Identity) -> Process {
    let (port, peers) = (address.dns().port(), format!("http://{}:2380", address.ip()));
    let clients = format!("https://127.0.0.1:{port}");
    let (certificate, key) = (dir.join("server.pem"), dir.join("server.key"));
    std::fs::write(&certificate, &server.chain).unwrap();
    std::fs::write(&key, &server.key).unwrap();
    let mut etcd = Command::new("etcd");
    etcd.args(["--name", "m", "--data-dir"]).arg(dir.join("data"));
    etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    etcd.args(["--initial-cluster", &format!("m={peers}"), "--client-cert-auth"]);
    etcd.arg("--cert-file").arg(certificate).arg("--key-file").arg(key);
    etcd.arg("--trusted-ca-file").arg(trust);
    Process::start(&mut etcd, &dir.join("etcd.log"))
}

#[test]
fn members_are_proven_and_prove_us_by_certificates_and_password() {
    let (address, dir) = (Address::claim(), tempfile::tempdir().unwrap());
    let authority = Authority::root("of etcd");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let trust = file("ca.pem", authority.pem());
    let us = authority.issue(&Leaf::of(["fedgate.example"]));
    let (certificate, key) = (file("us.pem", &us.chain), file("us.key", &us.key));
    let mut etcd = secured(&address, dir.path(), &trust, &authority.issue(&Leaf::of(["localhost"])));
    let place = format!("localhost:{}", address.dns().port());
    let ctl = |args: &[&str]| {
        let mut ctl = Command::new("etcdctl");
        ctl.env("ETCDCTL_API", "3").args(["--endpoints", &place]).arg("--cacert").arg(&trust);
        run(ctl.arg("--cert").arg(&certificate).arg("--key").arg(&key).args(args))
    };
    etcd.wait_until("etcd answers", || ctl(&["endpoint", "health"]).is_ok());
    ctl(&["user", "add", "root:secret"]).unwrap();
    ctl(&["auth", "enable"]).unwrap();
    let serve = |scheme: &str, settings: &[(&str, &Path)]| {
        let mut serve = Command::new(artifacts::fedgate());
        serve.args(["serve", "--store-url", &format!("{scheme}://{place}/fedgate")]).args(ANY_PORTS);
        serve.current_dir(dir.path());
        for (name, value) in settings {
            serve.arg(format!("--store-{name}")).arg(value);
        }
        serve
    };
    let (right, wrong) = (file("password", "secret\n"), file("wrong", "guess"));
    let other = file("other.pem", Authority::root("of somebody else").pem());
    let tls = [("ca", trust.as_path()), ("certificate", &certificate), ("key", &key)];
    let with =
        |password| [&tls[..], &[("user", Path::new("root")), ("password-file", password)]].concat();
    for (what, mut serve) in [
        ("in the clear", serve("etcd", &[])),
        ("no certificate", serve("etcds", &tls[..1])),
        ("no user", serve("etcds", &tls)),
        ("another password", serve("etcds", &with(wrong.as_path()))),
        ("another authority", serve("etcds", &[("ca", other.as_path()), tls[1], tls[2]])),
    ] {
        let refused = run(&mut serve).expect_err(what);
        assert!(refused.contains("the store"), "{what}: {refused}");
        assert!(!refused.contains("secret") && !refused.contains("guess"), "{what}: {refused}");
    }
    let mut served =
        Process::start(&mut serve("etcds", &with(right.as_path())), &dir.path().join("log"));
    let log = dir.path().join("log");
    served.wait_until("it is ready", || std::fs::read_to_string(&log).unwrap().contains(" ready "));
    assert!(ctl(&["--user", "root:secret", "get", "fedgate/list/head"]).unwrap().contains("schema"));
}

#[test]
fn a_store_of_a_later_version_is_refused_with_the_cure() {
    let etcd = Etcd::shared();
    let url = etcd.url();
    let prefix = url.rsplit_once("/test/").unwrap().1;
    etcd.ctl(&["put", &format!("test/{prefix}/list/head"), r#"{"schema":2}"#]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(fedgate_tests::artifacts::fedgate())
        .args(["serve", "--store-url", &url])
        .args(fedgate_tests::control_plane::ANY_PORTS)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success()
            && said.contains("is of a later Fedgate")
            && said.contains("upgrade it"),
        "{said}"
    );
}

#[test]
fn a_filter_that_changes_over_is_told_what_it_does_not_have_and_no_more() {
    let etcd = Etcd::shared();
    let trio = Trio::on(&etcd.url());
    let [one, other, third] = &trio.control_planes;
    let many: Vec<_> = (0..2000).map(|n| json!({ "domain": format!("d{n}.example.com") })).collect();
    let put = http().put(format!("{}/v1/domains", one.url()));
    let put = put.header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let put =
        put.header("content-type", "application/json").send(json!({ "domains": many }).to_string());
    assert_eq!(put.unwrap().status(), 200);
    all_have(&trio, "d1999.example.com", Some(""));
    let (entries, cursor) = table(one);
    assert_eq!(entries, 2000);
    assert_eq!(write(third, "new.example.com", Some("n")), Some(201));
    assert_eq!(write(third, "d7.example.com", None), Some(204));
    all_have(&trio, "d7.example.com", None);
    let moved = page(other, &cursor);
    assert_eq!(moved["reset"], false);
    assert_eq!(moved["removed"], json!(["d7.example.com"]));
    let told = moved["verdicts"].as_array().unwrap().len();
    assert!((1..20).contains(&told), "fewer than one in a hundred: {told}");
    let again = page(third, moved["cursor"].as_str().unwrap());
    assert_eq!((&again["reset"], again["removed"].as_array().unwrap().len()), (&json!(false), 0));
    assert!(note(one, "new.example.com").is_some());
    for stranger in ["", "0000000000000001.5-9999.00ff.1.b", "0000000000000001.5-1.00ff.1.b"] {
        assert_eq!(page(other, stranger)["reset"], true, "{stranger}");
    }
}

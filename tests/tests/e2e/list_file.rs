//! Domains as code: the list is kept in step with a file, which owns what it brought.

use std::fs;
use std::path::{Path, PathBuf};

use fedgate_tests::address::Address;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, Store};
use fedgate_tests::etcd::Etcd;
use fedgate_tests::process::eventually;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ask::{call, metrics};

/// A control plane with a file of entries. DNS there is none.
struct Site {
    control_plane: ControlPlane,
    _address: Address,
    dir: TempDir,
}

impl Site {
    fn start(names: &[&str], store: Store) -> Self {
        let (address, dir) = (Address::claim(), tempfile::tempdir().unwrap());
        write(&file(dir.path()), &entries(names));
        let lines = format!("[list]\nfile = \"{}\"", file(dir.path()).display());
        let (ip, dns) = (address.ip(), [address.dns()]);
        let control_plane = ControlPlane::with_store(&[], ip, dir.path(), &dns, &lines, store);
        Self { control_plane, _address: address, dir }
    }

    /// Replaces the file at once, as whoever deploys does.
    fn deploy(&self, text: &str) {
        write(&file(self.dir.path()), text);
    }

    /// A call of the admin API; status and body.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        call(&format!("{}/v1/{path}", self.control_plane.url()), ADMIN_TOKEN, method, body)
    }

    /// The listed domains, each with its owner.
    fn listed(&self) -> Vec<(String, String)> {
        let page = self.call("GET", "domains", None).1;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let domains = page["domains"].as_array().unwrap().iter();
        domains.map(|it| (text(&it["domain"]), text(&it["owner"]))).collect()
    }

    fn until_listed(&self, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, owner)| ((*name).to_owned(), (*owner).to_owned())).collect();
        eventually("the list is in step with its file", || (self.listed() == expected).then_some(()));
    }

    /// A finding of the status, by its code.
    fn finding(&self, code: &str) -> Option<Value> {
        let status = self.call("GET", "status", None).1;
        status["findings"].as_array().unwrap().iter().find(|it| it["code"] == code).cloned()
    }

    fn metric(&self, name: &str) -> String {
        let (_, _, page) = metrics(&self.control_plane, ADMIN_TOKEN, "*/*");
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().to_owned()
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("domains.toml")
}

fn write(file: &Path, text: &str) {
    let next = file.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, file).unwrap();
}

fn entries(names: &[&str]) -> String {
    if names.is_empty() {
        return "domains = []\n".to_owned();
    }
    names.iter().flat_map(|name| ["[[domains]]\ndomain = \"", name, "\"\n"]).collect()
}

#[test]
fn a_file_owns_what_it_brings_and_nobody_else_changes_that() {
    let site = Site::start(&["a.com", "b.com"], Store::default());
    assert_eq!(site.listed().len(), 2, "it counts before anybody is served");
    assert_eq!(site.call("PUT", "domains/alice.com", Some(&json!({"note": "hers"}))).0, 201);
    for (method, path, body) in [
        ("PUT", "domains/a.com", Some(json!({"action": "block"}))),
        ("DELETE", "domains/a.com", None),
        ("PUT", "domains", Some(json!({"domains": [{"domain": "a.com", "note": "n"}]}))),
        ("PUT", "domains/a.com?dry_run=true", Some(json!({"note": "n"}))),
    ] {
        let (status, problem) = site.call(method, path, body.as_ref());
        assert_eq!(
            (status, &problem["type"]),
            (409, &"urn:fedgate:problem:owned-by-file".into()),
            "{path}"
        );
        assert!(problem["detail"].as_str().unwrap().contains("a.com"), "{problem}");
    }
    assert_eq!(site.call("PUT", "domains/a.com", Some(&json!({}))).0, 200, "that is no change");
    assert_eq!(site.call("PUT", "domains?prune=true", Some(&json!({"domains": []}))).0, 200);
    let control_plane = &site.control_plane;
    let refused = control_plane.cli(&["domain", "block", "a.com"]).unwrap_err();
    assert!(refused.contains("change it there"), "{refused}");
    let list = control_plane.cli(&["domain", "list"]).unwrap();
    assert!(list.lines().all(|line| line.contains("of the file")), "{list}");
    assert!(control_plane.cli(&["domain", "show", "a.com"]).unwrap().contains("owner       file"));
    assert!(control_plane.cli(&["status"]).unwrap_err().contains("2 entries, in step"));
    assert_eq!(site.metric("fedgate_list_file_up"), "1");

    assert_eq!(site.call("PUT", "domains/alice.com", Some(&json!({"note": "hers"}))).0, 201);
    site.deploy(&entries(&["b.com", "c.com"]));
    site.until_listed(&[("alice.com", "operators"), ("b.com", "file"), ("c.com", "file")]);
    let audit = control_plane.cli(&["audit", "--domain", "a.com"]).unwrap();
    assert!(audit.lines().filter(|line| line.contains("file")).count() == 2, "{audit}");
    site.deploy(&entries(&[]));
    site.until_listed(&[("alice.com", "operators")]);
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_everybody_is_told() {
    let mut site = Site::start(&["a.com"], Store::default());
    site.deploy("[[domains]]\ndomain = \"a_b.com\"\n");
    let finding = eventually("the status has it", || site.finding("list-file-unusable"));
    assert!(finding["text"].as_str().unwrap().contains("line 1: 'a_b.com'"), "{finding}");
    assert_eq!(site.metric("fedgate_list_file_up"), "0");
    // Also at start; and where the configuration is checked, it is an error.
    site.control_plane.terminate();
    site.control_plane.restart();
    assert_eq!(site.listed(), [("a.com".to_owned(), "file".to_owned())]);
    let config = site.control_plane.dir().join("fedgate.toml");
    let checked =
        site.control_plane.cli(&["serve", "--check-config", "--config", config.to_str().unwrap()]);
    let told = checked.unwrap_err();
    assert!(told.contains("list.file: ") && told.contains("line 1: 'a_b.com'"), "{told}");
    // Whoever has mended it need not wait.
    site.deploy(&entries(&["a.com", "b.com"]));
    site.control_plane.process().signal(Signal::HUP);
    site.until_listed(&[("a.com", "file"), ("b.com", "file")]);
    assert!(site.finding("list-file-unusable").is_none());
}

#[test]
fn a_block_of_somebodys_stays_whatever_the_file_says_until_he_takes_it_back() {
    let site = Site::start(&["a.com"], Store::default());
    assert_eq!(site.call("PUT", "domains/b.com", Some(&json!({"action": "block"}))).0, 201);
    site.deploy(&entries(&["a.com", "b.com"]));
    let finding = eventually("the status has it", || site.finding("list-file-conflict"));
    assert_eq!(finding["domain"], "b.com");
    assert_eq!(site.call("GET", "domains/b.com", None).1["action"], "block");
    assert_eq!(site.metric("fedgate_list_file_conflicts"), "1");
    assert_eq!(site.call("DELETE", "domains/b.com", None).0, 204);
    site.until_listed(&[("a.com", "file"), ("b.com", "file")]);
    assert!(site.finding("list-file-conflict").is_none());
}

#[test]
fn control_planes_whose_files_change_in_turn_do_not_undo_each_other() {
    let etcd = Etcd::shared();
    let url = etcd.url();
    let [one, two] = [(); 2].map(|()| Site::start(&["a.com", "b.com"], Store::Shared(url.clone())));
    one.deploy(&entries(&["b.com"]));
    for site in [&one, &two] {
        site.until_listed(&[("b.com", "file")]);
    }
    // Its own file has not changed, whoever asks.
    two.control_plane.cli(&["reload"]).unwrap();
    let revision = two.call("GET", "status", None).1["list"]["revision"].clone();
    two.deploy(&entries(&["b.com"]));
    two.control_plane.cli(&["reload"]).unwrap();
    two.deploy(&entries(&["b.com", "c.com"]));
    for site in [&one, &two] {
        site.until_listed(&[("b.com", "file"), ("c.com", "file")]);
    }
    let after = one.call("GET", "status", None).1["list"]["revision"].as_i64();
    assert_eq!(after, revision.as_i64().map(|it| it + 1), "only c.com was written since");
}

#[test]
fn an_export_without_the_strategy_is_such_a_file_and_changes_nothing() {
    let site = Site::start(&["a.com"], Store::default());
    let terms = json!({"note": "n", "pinned_hosts": ["x.b.com"], "expires_at": "2099-01-01T00:00:00Z"});
    assert_eq!(site.call("PUT", "domains/b.com", Some(&terms)).0, 201);
    let written = site.control_plane.cli(&["store", "export", "--no-strategy"]).unwrap();
    site.deploy(&written);
    site.until_listed(&[("a.com", "file"), ("b.com", "file")]);
    let entry = site.call("GET", "domains/b.com", None).1;
    assert_eq!(
        (&entry["note"], &entry["created_by"], &entry["updated_by"]),
        (&json!("n"), &json!("admin"), &json!("file"))
    );
}

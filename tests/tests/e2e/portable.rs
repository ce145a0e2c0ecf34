//! The list as a file for people: written, read back, and what reading it would change.

use std::fs;

use fedgate_tests::World;
use fedgate_tests::control_plane::ControlPlane;
use serde_json::Value;

const TEAM: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

fn fedgate(control_plane: &ControlPlane, words: &[&str]) -> String {
    control_plane.cli(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn json(control_plane: &ControlPlane, words: &[&str]) -> Value {
    serde_json::from_str(&fedgate(control_plane, &[&["--json"], words].concat())).unwrap()
}

/// The domains, with their terms, and nothing of who changed them when.
fn terms(control_plane: &ControlPlane) -> Vec<Value> {
    let mut list = json(control_plane, &["domain", "list"]);
    for domain in list["domains"].as_array_mut().unwrap() {
        let domain = domain.as_object_mut().unwrap();
        domain
            .retain(|name, _| !name.ends_with("_at") && !name.ends_with("_by") || name == "expires_at");
        for name in ["state", "failing_since", "stands_until", "expired"] {
            domain.remove(name);
        }
    }
    list["domains"].as_array().unwrap().clone()
}

/// A list with every kind of term.
fn fill(control_plane: &ControlPlane) {
    fedgate(control_plane, &["strategy", "set", "allowAll"]);
    for words in [
        &["add", "plain.com", "plainer.com"][..],
        &["add", "noted.com", "--note", "Bücher \"17\" \\ \u{202e}#1 = ["],
        &["block", "blocked.com", "--expires", "2040-01-31T12:00:00Z"],
        &["add", "ended.com", "--expires", "2020-01-31T12:00:00.5Z"],
        &["add", "pinned.com", "--pin", "f.pinned.com", "--pin", "e.pinned.com", "--dnssec", "require"],
        &["add", "shadow.com", "--shadow", "--search-policy", "full_search"],
        &["add", "teams.com", "--team", TEAM, "--search-policy", "no_search"],
    ] {
        fedgate(control_plane, &[&["domain"], words, &["--json"]].concat());
    }
}

#[test]
fn an_export_read_into_an_empty_store_is_exported_as_the_same() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    fill(control_plane);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let before = terms(control_plane);
    assert_eq!(before.len(), 8);
    for (name, again) in [("list.toml", "again.toml"), ("list.jsonl", "again.jsonl")] {
        let (name, again) = (path(name), path(again));
        fedgate(control_plane, &["store", "export", &name]);
        control_plane.kill();
        control_plane.forget();
        control_plane.restart();
        assert_eq!(terms(control_plane).len(), 0);
        fedgate(control_plane, &["store", "import", &name]);
        assert_eq!(terms(control_plane), before);
        fedgate(control_plane, &["store", "export", &again]);
        assert_eq!(fs::read_to_string(&again).unwrap(), fs::read_to_string(&name).unwrap());
        assert_eq!(fedgate(control_plane, &["strategy", "get"]).trim(), "allowAll");
        let error = control_plane.cli(&["store", "export", &again]).unwrap_err();
        assert!(error.contains("exit status: 2") && error.contains("--replace"), "{error}");
    }
    let printed = fedgate(control_plane, &["store", "export"]);
    assert_eq!(printed, fs::read_to_string(path("list.toml")).unwrap());
    assert!(!printed.contains('\u{202e}'), "nothing is printed that is not seen");
    let lines = fedgate(control_plane, &["store", "export", "--format", "jsonl"]);
    assert_eq!(lines, fs::read_to_string(path("list.jsonl")).unwrap());
}

#[test]
fn an_import_says_first_what_it_would_change_and_who_would_lose_access() {
    let world = World::builder().allow(&["a.com", "b.com", "c.com"]).start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let toml = "strategy = \"allowDynamic\"\n[[domains]]\ndomain = \"a.com\"\n\
                [[domains]]\ndomain = \"b.com\"\naction = \"block\"\n[[domains]]\ndomain = \"d.com\"\n";
    fs::write(file.path(), toml).unwrap();
    let import = ["store", "import", file.path().to_str().unwrap()];
    let before = terms(control_plane);

    let asked = json(control_plane, &[&import[..], &["--prune", "--dry-run"]].concat());
    assert_eq!(asked["added"], serde_json::json!(["d.com"]));
    assert_eq!(asked["removed"], serde_json::json!(["c.com"]));
    assert_eq!(asked["changed"][0]["domain"], "b.com");
    assert_eq!(asked["lose_access"]["domains"], serde_json::json!(["b.com", "c.com"]));
    let told = fedgate(control_plane, &[&import[..], &["--prune", "--dry-run"]].concat());
    for line in
        ["add          d.com", "remove       c.com", "lose access  b.com, c.com", "gain access  d.com"]
    {
        assert!(told.contains(line), "{told}");
    }
    assert_eq!(terms(control_plane), before, "nothing was changed");

    let told = fedgate(control_plane, &import);
    assert!(told.contains("1 added, 1 changed") && !told.contains("removed"), "{told}");
    assert_eq!(terms(control_plane).len(), 4, "c.com stays");
    let told = fedgate(control_plane, &[&import[..], &["--prune"]].concat());
    assert!(told.contains("1 removed") && told.contains("lose access  c.com"), "{told}");
    assert_eq!(terms(control_plane).len(), 3);
    // The file is the whole truth of what it names.
    fedgate(control_plane, &["domain", "set", "a.com", "--note", "by hand", "--shadow"]);
    fedgate(control_plane, &import);
    assert_eq!(terms(control_plane)[0]["note"], "");
    assert_eq!(terms(control_plane)[0]["mode"], "enforce");
}

#[test]
fn a_file_with_an_error_changes_nothing_and_every_error_is_told_with_its_line() {
    let world = World::builder().allow(&["a.com"]).start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let path = file.path().to_str().unwrap();
    let before = terms(control_plane);
    for (toml, lines) in [
        (
            "[[domains]]\ndomain = \"b.com\"\n[[domains]]\ndomain = \"c.com.\"\n[[domains]]\ndomain = \"b.com\"\n",
            &["line 3: ", "line 5: "][..],
        ),
        ("[[domains]]\ndomain = \"b.com\"\nexpires_at = \"soon\"\n", &["line 1: b.com: "]),
        (
            "[[domains]]\ndomain = \"b.com\"\naction = \"block\"\nmode = \"shadow\"\n",
            &["line 1: b.com: "],
        ),
        ("[[domains]]\ndomain = \"b.com\"\n[[domains", &["line 3: "]),
        ("domain = \"b.com\"\n", &["line 1: "]),
    ] {
        fs::write(file.path(), toml).unwrap();
        let error = control_plane.cli(&["store", "import", path]).unwrap_err();
        assert!(error.contains("exit status: 2"), "{error}");
        for line in lines {
            assert!(error.contains(line), "{toml}: {error}");
        }
        let error = control_plane.cli(&["--json", "store", "import", path]).unwrap_err();
        assert!(error.contains("\"errors\":["), "{error}");
    }
    let error = control_plane.cli(&["store", "import", "/nowhere.toml"]).unwrap_err();
    assert!(error.contains("exit status: 2") && error.contains("No such file"), "{error}");
    let error = control_plane.cli(&["store", "import", "/dev/null"]).unwrap_err();
    assert!(error.contains("exit status: 2") && error.contains("--format"), "{error}");
    assert_eq!(terms(control_plane), before);
}

//! The command line as people and scripts use it: many domains, terms, conditions, dry runs, filters, tables, and what
//! shells and `man` know of it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fedgate_tests::World;
use fedgate_tests::artifacts;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane};
use serde_json::{Value, json};

use crate::slips::{complaint, fedgate};

fn ok(control_plane: &ControlPlane, words: &[&str]) -> String {
    control_plane.cli(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn as_json(control_plane: &ControlPlane, words: &[&str]) -> Value {
    serde_json::from_str(&ok(control_plane, &[&["--json"], words].concat())).unwrap()
}

fn names(list: &Value) -> Vec<String> {
    let domains = list["domains"].as_array().unwrap();
    domains.iter().map(|it| it["domain"].as_str().unwrap().to_owned()).collect()
}

fn listed(control_plane: &ControlPlane) -> Vec<String> {
    names(&as_json(control_plane, &["domain", "list"]))
}

fn with_input(control_plane: &ControlPlane, words: &[&str], input: &str) -> Output {
    let mut command = fedgate(words);
    command.env("FEDGATE_URL", control_plane.url()).env("FEDGATE_TOKEN", ADMIN_TOKEN);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn many_domains_are_one_write_of_all_or_none() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let told = ok(control_plane, &["domain", "add", "a.com", "B.com", "c.com", "a.com", "--note", "n"]);
    assert!(told.contains("3 added"), "{told}");
    assert_eq!(listed(control_plane), ["a.com", "b.com", "c.com"]);
    let input = "# from the other side\nd.com e.com # two\n\nf.com\n";
    let output = with_input(control_plane, &["domain", "add", "-"], input);
    assert!(output.status.success(), "{}", complaint(&output));
    assert_eq!(listed(control_plane).len(), 6);
    for (words, input, code, told) in [
        (&["domain", "add", "-"][..], "g.com\nh.com.\n", 2, "line 2: "),
        (&["domain", "add", "-"], "# nobody\n", 2, "no domain"),
        (&["domain", "set", "a.com", "zzz.com", "--shadow"], "", 1, "zzz.com"),
        (&["domain", "add", "a.com", "g.com", "--if-absent"], "", 1, "1 of these domains"),
        (&["domain", "block", "a.com", "g.com", "--shadow"], "", 1, "enforced"),
        (&["domain", "remove", "a.com", "zzz.com"], "", 1, "zzz.com"),
    ] {
        let before = as_json(control_plane, &["domain", "list"])["revision"].clone();
        let output = with_input(control_plane, words, input);
        let text = complaint(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(told), "{words:?}: {text}");
        assert_eq!(as_json(control_plane, &["domain", "list"])["revision"], before, "{words:?}");
    }
    ok(control_plane, &["domain", "set", "a.com", "--shadow"]);
    ok(control_plane, &["domain", "block", "a.com"]);
    assert_eq!(as_json(control_plane, &["domain", "show", "a.com"])["mode"], "enforce");
    ok(control_plane, &["domain", "remove", "a.com", "b.com", "c.com"]);
    assert_eq!(listed(control_plane), ["d.com", "e.com", "f.com"]);
}

#[test]
fn each_term_is_given_and_taken_back_by_flags() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let team = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let table: &[(&[&str], &str, Value)] = &[
        (&["--note", "n"], "note", json!("n")),
        (&["--note", ""], "note", json!("")),
        (&["--expires", "2040-01-31T12:00:00Z"], "expires_at", json!("2040-01-31T12:00:00Z")),
        (&["--expires", "never"], "expires_at", Value::Null),
        (&["--pin", "f.a.com"], "pinned_hosts", json!(["f.a.com"])),
        (&["--no-pins"], "pinned_hosts", json!([])),
        (&["--dnssec", "require"], "dnssec", json!("require")),
        (&["--dnssec", "inherit"], "dnssec", json!("inherit")),
        (&["--shadow"], "mode", json!("shadow")),
        (&["--enforce"], "mode", json!("enforce")),
        (&["--search-policy", "no_search"], "search_policy", json!("no_search")),
        (&["--search-policy", "exact_handle_search"], "search_policy", json!("exact_handle_search")),
        (&["--team", team], "restriction", json!({"tag": "restrict_by_team", "value": [team]})),
        (&["--all-teams"], "restriction", json!({"tag": "allow_all"})),
        (&["--block"], "action", json!("block")),
        (&["--allow"], "action", json!("allow")),
    ];
    as_json(control_plane, &["domain", "add", "a.com"]);
    for (flags, member, expected) in table {
        let asked = as_json(control_plane, &[&["domain", "set", "a.com", "--dry-run"], *flags].concat());
        assert_eq!(asked["changed"][0]["after"][member], *expected, "{flags:?}");
        let before = as_json(control_plane, &["domain", "show", "a.com"]);
        assert_ne!(before[member], *expected, "{flags:?}: a dry run changes nothing");
        as_json(control_plane, &[&["domain", "set", "a.com"], *flags].concat());
        let shown = as_json(control_plane, &["domain", "show", "a.com"]);
        assert_eq!(shown[member], *expected, "{flags:?}");
    }
    let told = ok(control_plane, &["domain", "block", "a.com", "--expires", "30d"]);
    assert!(told.starts_with("a.com is forbidden: blocked, until 20"), "{told}");
    let told = ok(control_plane, &["domain", "add", "b.com", "--expires", "2020-01-01T00:00:00Z"]);
    assert!(told.contains("counts as absent"), "{told}");
}

#[test]
fn a_write_happens_only_if_what_is_demanded_is_so() {
    let world = World::builder().allow(&["a.com"]).start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let revision = |words: &[&str]| as_json(control_plane, words)["revision"].to_string();
    let show = ["domain", "show", "a.com"];
    let first = revision(&show);
    assert!(ok(control_plane, &show).contains(&format!("revision    {first}")));
    as_json(control_plane, &["domain", "set", "a.com", "--note", "1", "--if-revision", &first]);
    let strategy = revision(&["strategy", "get"]);
    for words in [
        &["domain", "set", "a.com", "--note", "2", "--if-revision", &first][..],
        &["domain", "remove", "a.com", "--if-revision", &first],
        &["domain", "add", "a.com", "--if-absent"],
        &["domain", "set", "b.com", "--shadow"],
        &["domain", "add", "b.com", "--if-revision", &first],
        &["strategy", "set", "allowAll", "--if-revision", "4711"],
    ] {
        for dry_run in [&["--dry-run"][..], &[]] {
            let error = control_plane.cli(&[&["--json"], words, dry_run].concat()).unwrap_err();
            let told = error.contains("precondition-failed") && error.contains("exit status: 1");
            assert!(told, "{words:?}: {error}");
        }
    }
    assert_eq!(as_json(control_plane, &show)["note"], "1");
    // Of several domains, it is about the list.
    let list = revision(&["domain", "list"]);
    as_json(control_plane, &["domain", "set", "a.com", "--note", "2"]);
    let several = ["domain", "add", "c.com", "d.com", "--if-revision", &list];
    assert!(control_plane.cli(&several).unwrap_err().contains("exit status: 1"));
    let several = ["domain", "add", "c.com", "d.com", "--if-revision", &revision(&["domain", "list"])];
    ok(control_plane, &several);
    ok(control_plane, &["domain", "remove", "a.com", "--if-revision", &revision(&show), "--dry-run"]);
    ok(control_plane, &["domain", "remove", "a.com", "--if-revision", &revision(&show)]);
    as_json(control_plane, &["domain", "add", "a.com", "--if-absent"]);
    let asked =
        ok(control_plane, &["strategy", "set", "allowAll", "--if-revision", &strategy, "--dry-run"]);
    assert!(asked.contains("every domain that is not listed"), "{asked}");
    assert_eq!(ok(control_plane, &["strategy", "get"]).trim(), "allowDynamic");
    ok(control_plane, &["strategy", "set", "allowAll", "--if-revision", &strategy]);
}

#[test]
fn a_list_is_chosen_from_by_state_action_text_and_end() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    as_json(control_plane, &["domain", "add", "a.com", "--note", "Contract 17"]);
    as_json(control_plane, &["domain", "block", "b.com"]);
    as_json(control_plane, &["domain", "add", "c.com", "--expires", "2020-01-31T12:00:00Z"]);
    let list = |words: &[&str]| names(&as_json(control_plane, &[&["domain", "list"], words].concat()));
    assert_eq!(list(&["--action", "block"]), ["b.com"]);
    assert_eq!(list(&["--text", "contract"]), ["a.com"]);
    assert_eq!(list(&["--text", "B.C"]), ["b.com"]);
    assert_eq!(list(&["--expired"]), ["c.com"]);
    assert_eq!(list(&["--action", "allow", "--text", "com"]), ["a.com", "c.com"]);
    assert!(list(&["--state", "ok", "--action", "block"]).is_empty());
    assert!(
        control_plane
            .cli(&["domain", "list", "--state", "fine"])
            .unwrap_err()
            .contains("exit status: 2")
    );
}

#[test]
fn a_table_fits_the_terminal_and_nothing_is_cut_in_a_pipe() {
    let world = World::builder().start();
    let control_plane = world.control_plane.as_ref().unwrap();
    let note = format!("本の契約 {}", "x".repeat(150));
    as_json(control_plane, &["domain", "add", "a.com", "--note", &note]);
    as_json(
        control_plane,
        &["domain", "block", "a-long-name-of-a-company.example.com", "--note", "short"],
    );
    assert!(ok(control_plane, &["domain", "list"]).contains(&note));
    for columns in ["60", "100"] {
        // `script` gives it a terminal.
        let line = format!("{} domain list", artifacts::fedgate().display());
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
        command.env("FEDGATE_URL", control_plane.url()).env("FEDGATE_TOKEN", ADMIN_TOKEN);
        let output = command.env("COLUMNS", columns).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<_> = shown.lines().filter(|line| !line.is_empty()).collect();
        assert!(lines.len() == 2 && shown.contains('…') && shown.contains("blocked"), "{shown}");
        for line in lines {
            // Each of the Japanese characters takes two columns.
            let wide = line.chars().filter(|c| "本の契約".contains(*c)).count();
            let width = line.trim_end_matches('\r').chars().count() + wide;
            assert!(width <= columns.parse().unwrap(), "{width}: {line}");
        }
    }
}

#[test]
fn completions_and_man_pages_are_of_all_commands_and_well_formed() {
    let dir = tempfile::tempdir().unwrap();
    let output = fedgate(&["share", dir.path().to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", complaint(&output));
    let bash = dir.path().join("bash-completion/completions/fedgate");
    let checked = Command::new("bash").arg("-n").arg(&bash).output().unwrap();
    assert!(checked.status.success(), "{}", complaint(&checked));
    let word = format!(
        "source {}; COMP_WORDS=(fedgate store ''); COMP_CWORD=2; _fedgate fedgate '' store; echo \"${{COMPREPLY[*]}}\"",
        bash.display()
    );
    let completed = Command::new("bash").args(["-c", &word]).output().unwrap();
    let completed = String::from_utf8_lossy(&completed.stdout).into_owned();
    assert!(completed.contains("backup") && completed.contains("import"), "{completed}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = fedgate(&["completions", shell]).output().unwrap();
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && script.contains("if-revision"), "{shell}");
        if shell == "bash" {
            assert_eq!(script, fs::read_to_string(&bash).unwrap());
        }
    }
    let pages = dir.path().join("man/man1");
    for page in ["fedgate", "fedgate-domain-add", "fedgate-store-restore", "fedgate-strategy-set"] {
        let text = rendered(&pages.join(format!("{page}.1")));
        assert!(text.contains("NAME") && text.contains("SYNOPSIS"), "{page}: {text}");
    }
    let text = rendered(&pages.join("fedgate-domain-add.1"));
    assert!(text.contains("--if-absent") && text.contains("fedgate domain add company-a.com"), "{text}");
    assert!(!pages.join("fedgate-share.1").exists(), "what is hidden has no page");
}

/// A page as `man` shows it, without a complaint; its source, where there is no groff.
fn rendered(page: &Path) -> String {
    match Command::new("groff").args(["-man", "-Tutf8", "-ww", "-P-c"]).arg(page).output() {
        Ok(output) => {
            assert!(output.status.success() && output.stderr.is_empty(), "{}", complaint(&output));
            // Bold is a letter that is struck twice.
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut plain = String::new();
            for c in text.chars() {
                if c == '\u{8}' {
                    plain.pop();
                } else {
                    plain.push(c);
                }
            }
            plain.replace(['\u{2010}', '\u{2212}'], "-")
        }
        Err(_) => fs::read_to_string(page).unwrap(),
    }
}

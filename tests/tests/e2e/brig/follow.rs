//! Brig is the master.

use fedgate_tests::brig::{Brig, Mood, closed, row};
use fedgate_tests::process::eventually;
use serde_json::json;

use super::Site;

const TEAM: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

fn partners(brig: &Brig) {
    let mut rows = brig.rows();
    for n in 0..6 {
        rows.rows.insert(format!("p{n}.com"), row("full_search", None));
    }
    rows.rows.insert("teams.com".to_owned(), row("no_search", Some(&[TEAM])));
    rows.rows.insert("closed.com".to_owned(), closed());
}

fn set(site: &Site, domain: &str, content: serde_json::Value) {
    site.brig.rows().rows.insert(domain.to_owned(), content);
}

/// Waits for two more answers of brig's that all went well.
fn two_rounds(site: &Site) {
    for _ in 0..2 {
        let before = site.status()["last_success"].clone();
        eventually("a round is over", || (site.status()["last_success"] != before).then_some(()));
    }
}

#[test]
fn rows_become_entries_and_leave_with_them() {
    let site = Site::start("mode = \"follow\"\n", partners);
    eventually("rows are entries", || (site.ours().len() == 7).then_some(()));
    assert_eq!(site.ours()["teams.com"], row("no_search", Some(&[TEAM])));
    let (_, entry) = site.call("GET", "domains/teams.com", None);
    assert_eq!((&entry["created_by"], &entry["updated_by"]), (&json!("brig"), &json!("brig")));
    site.put("alice.com", &json!({}));
    site.put("p0.com", &json!({"note": "a note of ours"}));
    set(&site, "p0.com", row("no_search", None));
    set(&site, "p1.com", closed());
    site.brig.rows().rows.remove("p2.com");
    eventually("a changed row is a changed entry", || {
        (site.ours().get("p0.com")? == &row("no_search", None)).then_some(())
    });
    assert_eq!(site.call("GET", "domains/p0.com", None).1["note"], "a note of ours");
    eventually("a closed row is removed", || (!site.ours().contains_key("p1.com")).then_some(()));
    assert!(site.is_denied("p1.com"));
    eventually("a row that is gone is removed", || (!site.ours().contains_key("p2.com")).then_some(()));
    assert!(site.ours().contains_key("alice.com"), "what others wrote is left alone");
    assert_eq!(site.brig.rows().writes, [""; 0], "nothing is written to the master");
    let error = site.control_plane.cli(&["brig", "import"]).unwrap_err();
    assert!(error.contains("brig is the master"), "{error}");
}

#[test]
fn an_empty_answer_is_no_removal_and_nor_is_silence() {
    let mut site = Site::start("mode = \"follow\"\ntimeout = \"1s\"\n", partners);
    eventually("rows are entries", || (site.ours().len() == 7).then_some(()));
    let before = site.ours();
    site.brig.rows().mood = Mood::Forgetful;
    let status = eventually("it is told", || Some(site.status()).filter(|it| it["doubted"] == 7));
    assert_eq!(status["in_step"], false);
    two_rounds(&site);
    assert_eq!(site.ours(), before);
    let error = site.control_plane.cli(&["brig", "diff"]).unwrap_err();
    assert!(error.contains("7 rows are gone from brig's list"), "{error}");
    let told = "lacks more rows than are believed to be removed";
    assert_eq!(site.control_plane.log().matches(told).count(), 1);
    site.brig.kill();
    eventually("it is told", || Some(()).filter(|()| site.status()["failing_since"].is_string()));
    assert_eq!(site.ours(), before);
    site.brig.rows().mood = Mood::Well;
    set(&site, "p3.com", closed());
    site.brig.restart();
    eventually("a removal counts all the same", || (!site.ours().contains_key("p3.com")).then_some(()));
    site.in_step();
}

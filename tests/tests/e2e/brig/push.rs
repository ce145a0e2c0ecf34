//! We are the master.

use std::collections::BTreeMap;
use std::time::Duration;

use fedgate_tests::brig::{Mood, closed, row};
use fedgate_tests::process::eventually;
use serde_json::{Value, json};

use super::Site;

const TEAMS: [&str; 2] =
    ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf7"];

/// The n-th of some policies that are all different.
fn policy(n: usize) -> Value {
    let search = ["no_search", "exact_handle_search", "full_search"][n % 3];
    match n % 4 {
        0 | 1 => row(search, None),
        2 => row(search, Some(&TEAMS[..1])),
        _ => row(search, Some(&TEAMS)),
    }
}

fn partner(n: usize) -> String {
    format!("partner{n}.com")
}

#[test]
fn after_an_import_fifty_changes_and_a_death_of_brigs_both_lists_agree() {
    let mut site = Site::start("", |brig| {
        brig.rows().rows = (0..200).map(|n| (partner(n), policy(n))).collect();
    });
    let before = site.brig.rows().rows.clone();
    let refused = eventually("brig is heard of", || {
        let error = site.control_plane.cli(&["brig", "diff"]).unwrap_err();
        error.contains("partner0.com").then_some(error)
    });
    assert!(refused.contains("not-ours") && refused.contains("exit status: 1"), "{refused}");
    let dry = site.control_plane.cli(&["brig", "import", "--dry-run"]).unwrap();
    assert!(dry.ends_with("would be listed: 200; would be changed: 0; the same: 0\n"), "{dry}");
    assert!(site.ours().is_empty(), "a dry run changes nothing");
    let done = site.control_plane.cli(&["brig", "import"]).unwrap();
    assert!(done.ends_with("listed: 200; changed: 0; the same: 0\n"), "{done}");
    assert_eq!(site.ours(), before);
    site.in_step();
    assert_eq!(site.brig.rows().writes, [""; 0], "nothing had to be written");

    let mut expected = before;
    for n in 0..50_usize {
        if n == 20 {
            site.brig.kill();
        }
        // Any order, the same each time.
        let domain = partner(n.wrapping_mul(37) % 200);
        match n % 5 {
            0 => {
                site.put(&format!("new{n}.com"), &policy(n));
                expected.insert(format!("new{n}.com"), policy(n));
            }
            1 => {
                site.remove(&domain);
                expected.insert(domain, closed());
            }
            2 => {
                site.put(&domain, &json!({"action": "block"}));
                expected.insert(domain, closed());
            }
            3 => {
                site.put(&domain, &json!({"expires_at": "2020-01-01T00:00:00Z"}));
                expected.insert(domain, closed());
            }
            _ => {
                site.put(&domain, &policy(n + 1));
                expected.insert(domain, policy(n + 1));
            }
        }
    }
    let refused = site.control_plane.cli(&["brig", "diff"]).unwrap_err();
    assert!(refused.contains("exit status: 1"), "{refused}");
    site.brig.restart();
    let took = site.in_step();
    assert!(took < Duration::from_secs(15), "it took {took:?}");
    assert_eq!(site.brig.rows().rows, expected);
    let status = site.status();
    assert_eq!(status["still_listed_count"], 30, "{status}");
}

#[test]
fn killed_in_the_middle_of_writes_the_lists_agree_after_the_restart() {
    let mut site = Site::start("", |brig| {
        let mut rows = brig.rows();
        rows.rows.insert("foreign.com".to_owned(), policy(2));
        rows.mood = Mood::Slow(Duration::from_millis(15));
    });
    for round in 0..5_usize {
        let reached = site.brig.rows().writes.len() + 5 + 7 * round;
        let names = (0..30).map(|n| format!("r{round}n{n}.com"));
        for (n, domain) in names.enumerate() {
            site.put(&domain, &policy(n));
            if round > 0 && n % 3 == 0 {
                site.remove(&format!("r{}n{n}.com", round - 1));
            }
        }
        eventually("some of it is written", || (site.brig.rows().writes.len() >= reached).then_some(()));
        site.control_plane.kill();
        site.control_plane.restart();
    }
    eventually("all agrees but what is not ours", || {
        let drift = site.status()["drift"].clone();
        (drift.as_array()?.len() == 1 && drift[0]["domain"] == "foreign.com").then_some(())
    });
    let mut expected = site.ours();
    assert_eq!(expected.len(), 110);
    let removed = (0..4).flat_map(|round| (0..30).step_by(3).map(move |n| format!("r{round}n{n}.com")));
    // Those that were removed before brig ever heard of them are nowhere.
    let brigs = site.brig.rows().rows.clone();
    expected.extend(removed.filter(|it| brigs.contains_key(it)).map(|it| (it, closed())));
    expected.insert("foreign.com".to_owned(), policy(2));
    let foreign = site.control_plane.cli(&["brig", "status"]).unwrap();
    assert!(foreign.contains("not ours"), "{foreign}");
    assert_eq!(brigs, expected);
}

#[test]
fn a_row_that_we_did_not_write_stays_untouched_unless_we_are_told() {
    let site = Site::start("", |brig| {
        brig.rows().rows = BTreeMap::from([
            ("listed.com".to_owned(), row("full_search", None)),
            ("other.com".to_owned(), row("full_search", None)),
        ]);
    });
    site.put("listed.com", &row("no_search", None));
    site.put("ours.com", &json!({}));
    eventually("ours is written", || site.row("ours.com"));
    for domain in ["listed.com", "other.com"] {
        eventually("it is told", || (site.kind(domain)? == "not-ours").then_some(()));
        assert_eq!(site.row(domain), Some(row("full_search", None)));
    }
    site.remove("listed.com");
    site.remove("ours.com");
    eventually("ours is closed", || (site.row("ours.com")? == closed()).then_some(()));
    assert_eq!(site.row("listed.com"), Some(row("full_search", None)));
    let told = "nothing here mends it";
    eventually("the log says so", || site.control_plane.log().contains(told).then_some(()));
    assert_eq!(site.control_plane.log().matches(told).count(), 1, "once");

    let mut site = site;
    site.put("listed.com", &row("no_search", None));
    site.control_plane.kill();
    site.control_plane.configure("[brig]\n", "[brig]\noverwrite = true\n");
    site.control_plane.restart();
    eventually("it is written over", || {
        (site.row("listed.com")? == row("no_search", None)).then_some(())
    });
    site.remove("listed.com");
    eventually("it is ours from then on", || (site.row("listed.com")? == closed()).then_some(()));
    assert_eq!(site.row("other.com"), Some(row("full_search", None)), "our list has no word on it");
}

#[test]
fn a_row_of_others_that_is_gone_for_once_is_not_written_over() {
    let site = Site::start("", |brig| {
        brig.rows().rows.insert("listed.com".to_owned(), row("full_search", None));
    });
    site.put("listed.com", &row("no_search", None));
    eventually("it is told", || (site.kind("listed.com")? == "not-ours").then_some(()));
    site.brig.rows().rows.remove("listed.com");
    for n in 0..2 {
        let other = format!("other{n}.com");
        site.put(&other, &json!({}));
        eventually("a round is over", || site.row(&other));
    }
    assert_eq!(site.row("listed.com"), None);
    eventually("it is told", || (site.kind("listed.com")? == "missing").then_some(()));
    eventually("gone for good, it is written", || {
        (site.row("listed.com")? == row("no_search", None)).then_some(())
    });
}

#[test]
fn what_comes_to_its_end_or_back_is_so_in_brig_too() {
    let site = Site::start("", |_| {});
    let soon = std::time::SystemTime::now() + Duration::from_secs(2);
    let soon = time::OffsetDateTime::from(soon);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    site.put("a.com", &json!({"expires_at": soon, "search_policy": "full_search"}));
    eventually("brig has it", || (site.row("a.com")? == row("full_search", None)).then_some(()));
    eventually("it is closed at its end", || (site.row("a.com")? == closed()).then_some(()));
    site.put("a.com", &json!({"expires_at": null}));
    eventually("it is open again", || (site.row("a.com")? == row("full_search", None)).then_some(()));
    // By hand, in brig.
    site.brig.rows().rows.insert("a.com".to_owned(), row("no_search", None));
    eventually("what we wrote is ours", || {
        (site.row("a.com")? == row("full_search", None)).then_some(())
    });
}

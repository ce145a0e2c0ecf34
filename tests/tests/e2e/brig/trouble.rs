//! A brig that is not well.

use std::time::{Duration, Instant};

use fedgate_tests::brig::{LIMIT, Mood, closed, row};
use fedgate_tests::process::eventually;
use serde_json::json;

use super::Site;

#[test]
fn a_brig_that_hangs_or_answers_nonsense_keeps_no_removal_waiting() {
    let site = Site::start("timeout = \"2s\"\n", |_| {});
    let long = "x".repeat(1 << 20);
    for (n, mood) in [
        Mood::Hangs,
        Mood::Slow(Duration::from_secs(1)),
        Mood::Says(200, "<html>".to_owned()),
        Mood::Says(200, "[]".to_owned()),
        Mood::Says(200, format!("{{\"remotes\":[\"{long}")),
        Mood::Says(500, long),
        Mood::Says(533, "\u{0}".to_owned()),
        Mood::Says(302, String::new()),
        Mood::Says(401, "{}".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let domain = format!("d{n}.com");
        site.put(&domain, &json!({}));
        eventually("brig has it", || site.row(&domain));
        site.brig.rows().mood = mood.clone();
        // So that a round is under way.
        site.put(&format!("other{n}.com"), &json!({}));
        assert!(!site.is_denied(&domain));
        let started = Instant::now();
        site.remove(&domain);
        assert!(site.is_denied(&domain), "at once");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(1), "{mood:?}: it took {took:?}");
        if !matches!(mood, Mood::Slow(_)) {
            let status = eventually("it is told", || {
                Some(site.status()).filter(|it| it["failing_since"].is_string())
            });
            assert!(status["cause"].as_str().unwrap().len() < 500, "{status}");
            let error = site.control_plane.cli(&["brig", "diff"]).unwrap_err();
            assert!(error.contains("not in step with brig, since 20"), "{error}");
        }
        site.brig.rows().mood = Mood::Well;
        eventually("it is closed", || (site.row(&domain)? == closed()).then_some(()));
    }
    site.in_step();
    let told = site.control_plane.log();
    assert!(!told.contains("panicked"), "{told}");
    let began = told.matches("we are not in step with brig").count();
    assert_eq!((began, told.matches("heard of again").count()), (8, 8), "once each: {told}");
}

#[test]
fn a_brig_that_is_not_there_is_told_and_costs_nothing() {
    let mut site = Site::start("", |_| {});
    site.brig.kill();
    for n in 0..100 {
        let started = Instant::now();
        site.put(&format!("d{n}.com"), &json!({}));
        assert!(started.elapsed() < Duration::from_secs(1));
    }
    let status =
        eventually("it is told", || Some(site.status()).filter(|it| it["failing_since"].is_string()));
    assert!(status["cause"].as_str().unwrap().contains("brig does not answer"), "{status}");
    assert_eq!(status["in_step"], false);
    assert_eq!(site.control_plane.log().matches("we are not in step with brig").count(), 1);
    site.brig.restart();
    assert!(site.in_step() < Duration::from_secs(15));
    assert_eq!(site.brig.rows().rows, site.ours());
}

#[test]
fn rows_of_brigs_file_are_shown_as_such_and_not_tried_again_and_again() {
    let site = Site::start("", |brig| {
        let mut rows = brig.rows();
        for domain in ["loud.com", "silent.com"] {
            rows.rows.insert(domain.to_owned(), row("full_search", None));
        }
    });
    site.control_plane.cli(&["brig", "import"]).unwrap();
    for (domain, is_silent) in [("loud.com", false), ("silent.com", true)] {
        {
            let mut rows = site.brig.rows();
            rows.file.insert(domain.to_owned());
            rows.file_is_silent = is_silent;
        }
        site.put(domain, &row("no_search", None));
        eventually("it is told", || (site.kind(domain)? == "of-the-file").then_some(()));
    }
    for n in 0..5 {
        let other = format!("other{n}.com");
        site.put(&other, &json!({}));
        eventually("others are written", || site.row(&other));
    }
    site.brig.rows().file.clear();
    let writes = site.brig.rows().writes.clone();
    let tries = writes.iter().filter(|it| it.ends_with("/loud.com") || it.ends_with("/silent.com"));
    // Else it would be as many as there were rounds.
    assert!((2..8).contains(&tries.count()), "{writes:?}");
    let error = site.control_plane.cli(&["brig", "diff"]).unwrap_err();
    assert!(error.contains("533, federation-unexpected-wai-error: a row of the file"), "{error}");
    assert!(error.contains("shows another row"), "{error}");
    // Another wish is another try.
    site.put("loud.com", &row("exact_handle_search", None));
    eventually("it is written", || {
        (site.row("loud.com")? == row("exact_handle_search", None)).then_some(())
    });
}

#[test]
fn brigs_limit_is_told_and_no_row_too_many_is_tried() {
    let site = Site::start("", |brig| {
        let rows = (0..LIMIT).map(|n| (format!("r{n}.com"), row("no_search", None)));
        brig.rows().rows = rows.collect();
    });
    site.put("a.com", &json!({}));
    let status = eventually("it is told", || {
        Some(site.status()).filter(|it| it["full"] == true && it["counts"]["missing"] == 1)
    });
    assert_eq!(status["drift"].as_array().unwrap().len(), 1000, "no more are named");
    let error = site.control_plane.cli(&["brig", "diff"]).unwrap_err();
    assert!(error.contains("brig has 10,000 rows, and takes no more"), "{error}");
    assert_eq!(site.brig.rows().writes, [""; 0]);
    site.brig.rows().rows.remove("r7.com");
    eventually("there is room", || site.row("a.com"));
}

#[test]
fn another_strategy_is_told_and_never_set() {
    let site = Site::start("", |brig| brig.rows().strategy = "allowAll".to_owned());
    let error = eventually("it is told", || {
        let error = site.control_plane.cli(&["brig", "diff"]).unwrap_err();
        error.contains("brig's is allowAll").then_some(error)
    });
    assert!(error.contains("exit status: 1"), "{error}");
    site.control_plane.cli(&["strategy", "set", "allowAll"]).unwrap();
    site.in_step();
    assert_eq!(site.brig.rows().writes, [""; 0]);
}

#[test]
fn an_import_that_cannot_be_whole_is_none() {
    let site = Site::start("", |brig| {
        let mut rows = brig.rows();
        rows.rows.insert("good.com".to_owned(), row("no_search", None));
        rows.rows.insert("removed.com".to_owned(), closed());
        rows.rows.insert("not a domain".to_owned(), row("no_search", None));
    });
    let error = site.control_plane.cli(&["brig", "import"]).unwrap_err();
    assert!(error.contains("not a domain") && error.contains("exit status: 1"), "{error}");
    assert!(site.ours().is_empty());
    site.brig.rows().rows.remove("not a domain");
    site.control_plane.cli(&["brig", "import"]).unwrap();
    assert_eq!(site.ours().keys().collect::<Vec<_>>(), ["good.com"]);
    site.brig.rows().mood = Mood::Says(500, String::new());
    let error = site.control_plane.cli(&["brig", "import", "--json"]).unwrap_err();
    assert!(error.contains("\"status\":502"), "{error}");
}

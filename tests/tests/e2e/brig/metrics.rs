//! What Prometheus reads of how we stand with brig.

use fedgate_tests::brig::row;
use fedgate_tests::control_plane::{ADMIN_TOKEN, FILTER_TOKEN, VIEWER_TOKEN};
use fedgate_tests::process::eventually;
use serde_json::json;

use super::Site;
use crate::ask::metrics;

impl Site {
    /// What a token gets of `/metrics`: status, type, text.
    fn metrics(&self, token: &str) -> (u16, String, String) {
        metrics(&self.control_plane, token, "*/*")
    }

    /// Waits until all these samples are read.
    #[track_caller]
    fn read(&self, samples: &[&str]) {
        eventually(&format!("{samples:?} in {}", self.metrics(VIEWER_TOKEN).2), || {
            let (_, _, text) = self.metrics(VIEWER_TOKEN);
            samples.iter().all(|sample| text.lines().any(|line| line == *sample)).then_some(())
        });
    }
}

#[test]
fn drift_is_seen_in_the_metrics_and_so_is_its_end() {
    let mut site = Site::start("", |brig| {
        brig.rows().rows.insert("theirs.com".to_owned(), row("full_search", None));
    });
    site.put("theirs.com", &json!({"search_policy": "no_search"}));
    site.put("ours.com", &json!({}));
    site.put("evil.com", &json!({"action": "block"}));
    site.read(&[
        r#"fedgate_entries{action="allow",expired="false"} 2"#,
        r#"fedgate_entries{action="block",expired="false"} 1"#,
        r#"fedgate_strategy{strategy="allowDynamic"} 1"#,
        r#"fedgate_brig_mode{mode="push"} 1"#,
        "fedgate_brig_up 1",
        "fedgate_brig_in_step 0",
        "fedgate_brig_rows 2",
        r#"fedgate_brig_drift_rows{kind="not-ours"} 1"#,
        r#"fedgate_brig_drift_rows{kind="missing"} 0"#,
    ]);
    site.control_plane.cli(&["brig", "import"]).unwrap();
    site.remove("ours.com");
    site.read(&[
        "fedgate_brig_in_step 1",
        r#"fedgate_brig_drift_rows{kind="not-ours"} 0"#,
        "fedgate_brig_still_listed_rows 1",
        "fedgate_brig_strategy_differs 0",
    ]);
    site.brig.rows().strategy = "allowAll".to_owned();
    site.read(&["fedgate_brig_in_step 0", "fedgate_brig_strategy_differs 1"]);
    site.brig.kill();
    site.read(&["fedgate_brig_up 0", "fedgate_brig_in_step 0"]);
}

#[test]
fn metrics_are_for_those_who_may_read_the_admin_api_and_name_listed_domains_alone() {
    let site = Site::start("", |_| {});
    site.put("listed.com", &json!({"note": "secret"}));
    for (token, status) in [("", 401), ("unknown", 401), (FILTER_TOKEN, 403)] {
        assert_eq!(site.metrics(token).0, status, "'{token}'");
    }
    for token in [VIEWER_TOKEN, ADMIN_TOKEN] {
        let (status, kind, text) = site.metrics(token);
        assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        assert!(text.contains("domain=\"listed.com\",state="), "{text}");
        assert!(!text.contains("secret") && !text.contains("127."), "{text}");
        assert!(text.contains("fedgate_refused_calls_total 3\n"), "{text}");
    }
}

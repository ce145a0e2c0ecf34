//! What one control plane discovers, the others know.

use fedgate_tests::control_plane::ControlPlane;
use fedgate_tests::etcd::Etcd;
use fedgate_tests::process::eventually;
use fedgate_tests::several::Several;
use serde_json::Value;

use super::write;

/// The hosts that a control plane knows of a listed domain.
fn hosts(control_plane: &ControlPlane, domain: &str) -> Option<Vec<String>> {
    let shown = control_plane.cli(&["domain", "show", domain, "--json"]).ok()?;
    let shown: Value = serde_json::from_str(&shown).ok()?;
    let targets = shown["targets"].as_array()?;
    Some(targets.iter().filter_map(|target| target["host"].as_str().map(str::to_owned)).collect())
}

#[test]
fn a_domain_is_looked_up_anew_once_for_all() {
    let etcd = Etcd::shared();
    let mut several = Several::start(&etcd.url(), &[]);
    assert_eq!(write(&several.third, "a.com", Some("n")), Some(201));
    several.until("a.com", "");
    let all_know = |several: &mut Several, host: &str| {
        for control_plane in several.control_planes() {
            eventually("each control plane knows it", || {
                (hosts(control_plane, "a.com")? == [host]).then_some(())
            });
        }
    };
    all_know(&mut several, "infra.x.com");
    several.worlds[0].dns.set_srv("a.com", 3600, "other.x.com.");
    let asked = several.worlds[0].dns.queries("a.com");
    several.third.cli(&["domain", "refresh", "a.com"]).unwrap();
    all_know(&mut several, "other.x.com");
    assert_eq!(several.worlds[0].dns.queries("a.com"), asked + 1);
    // And so do the filters: the host is another one now.
    several.until("a.com", "authentication-failure");
}

#[test]
fn a_control_plane_that_starts_asks_nothing_that_another_has_found() {
    let etcd = Etcd::shared();
    let mut several = Several::start(&etcd.url(), &[]);
    assert_eq!(write(&several.third, "a.com", Some("n")), Some(201));
    several.until("a.com", "");
    // A control plane that ends well has written what it found.
    several.third.terminate();
    let asked = several.worlds[0].dns.queries("a.com");
    let [_, second, _] = several.control_planes();
    second.terminate();
    second.restart();
    eventually("it knows it", || (hosts(second, "a.com")? == ["infra.x.com"]).then_some(()));
    assert_eq!(several.worlds[0].dns.queries("a.com"), asked);
}

//! The admin API, where what it does crosses processes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane};
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, http};
use serde_json::{Value, json};

use crate::audit::replayed;
use crate::claim::origin;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A PUT as the administrator: status and answer.
fn put(control_plane: &ControlPlane, path: &str, body: &Value) -> (u16, Value) {
    let request = http().put(format!("{}{path}", control_plane.url()));
    let request = request.header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let mut answer = request.header("x-request-id", "change-42").send_json(body).unwrap();
    let json = answer.body_mut().read_json().unwrap_or(Value::Null);
    (answer.status().as_u16(), json)
}

fn listed(control_plane: &ControlPlane) -> BTreeSet<String> {
    let list = control_plane.cli(&["domain", "list", "--json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let domains = list["domains"].as_array().unwrap();
    domains.iter().map(|it| it["domain"].as_str().unwrap().to_owned()).collect()
}

fn all(domains: &[String]) -> Value {
    let domains: Vec<_> = domains.iter().map(|domain| json!({ "domain": domain })).collect();
    json!({ "domains": domains })
}

#[test]
fn many_at_once_count_at_the_border_and_a_dry_run_does_not() {
    let names = ["one.com", "two.com", "three.com"];
    let mut world = World::builder().records(names.map(|it| srv(it, 5, "infra.a.com."))).start();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    let body = json!({ "domains": [
        {"domain": "one.com"}, {"domain": "two.com"}, {"domain": "three.com", "action": "block"},
    ]});
    let (status, told) = put(world.control_plane(), "/v1/domains?dry_run=true", &body);
    assert_eq!((status, &told["gain_access"]["domains"]), (200, &json!(["one.com", "two.com"])));
    assert!(listed(world.control_plane()).is_empty());

    assert_eq!(put(world.control_plane(), "/v1/domains", &body).0, 200);
    let label = |domain: &str| {
        world.run(async { caller.call("probe", &[origin(domain)]).await }).unwrap().label()
    };
    for domain in ["one.com", "two.com"] {
        eventually("it passes", || label(domain).is_empty().then_some(()));
    }
    assert_eq!(label("three.com"), "federation-denied");
    let control_plane = world.control_plane.as_ref().unwrap();
    let told =
        put(control_plane, "/v1/domains?prune=true", &json!({"domains": [{"domain": "two.com"}]}));
    assert_eq!(told.1["lose_access"]["domains"], json!(["one.com"]));
    eventually("it is refused", || (label("one.com") == "federation-denied").then_some(()));
    assert_eq!(label("two.com"), "");
    let log = control_plane.log();
    let line = log.lines().find(|line| line.contains("domains put")).unwrap();
    assert!(line.contains("by=admin request_id=\"change-42\" added=3"), "{line}");
}

#[test]
fn a_kill_in_the_middle_of_many_leaves_all_of_them_or_none() {
    let mut world = World::builder().start();
    let mut before = BTreeSet::new();
    for round in 0..4_u32 {
        let wanted: Vec<_> = (0..3000).map(|n| format!("r{round}n{n}.example.com")).collect();
        let (url, body) = (world.control_plane().url(), all(&wanted));
        let control_plane = world.control_plane.as_mut().unwrap();
        let acknowledged = std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let request = http().put(format!("{url}/v1/domains?prune=true"));
                let request = request.header("authorization", format!("Bearer {ADMIN_TOKEN}"));
                request.send_json(body).is_ok_and(|answer| answer.status() == 200)
            });
            // Now earlier, now later: somewhere in it.
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(60) * (round + 1) {
                std::thread::yield_now();
            }
            control_plane.kill();
            writer.join().unwrap()
        });
        control_plane.restart();
        let (found, wanted) = (listed(control_plane), wanted.into_iter().collect::<BTreeSet<_>>());
        assert!(found == wanted || (found == before && !acknowledged), "{} are listed", found.len());
        let recorded = replayed(control_plane).into_keys().collect::<BTreeSet<_>>();
        assert!(recorded == found, "{} by the audit, {} are listed", recorded.len(), found.len());
        before = found;
    }
}

#[test]
fn conditions_are_demanded_where_the_configuration_says_so() {
    let mut world = World::builder().allow(&["a.com"]).start();
    let control_plane = world.control_plane();
    let change = json!({"note": "n"});
    assert_eq!(put(control_plane, "/v1/domains/a.com", &change).0, 200);
    control_plane.terminate();
    control_plane.configure("[egress]\n", "[api]\nrequire_match = true\n[egress]\n");
    control_plane.restart();
    let (status, problem) = put(control_plane, "/v1/domains/a.com", &json!({"note": "m"}));
    assert_eq!((status, &problem["type"]), (428, &json!("urn:fedgate:problem:precondition-required")));
    assert_eq!(problem["request_id"], "change-42");
    assert_eq!(put(control_plane, "/v1/domains/b.com", &json!({})).0, 201, "nobody can have read it");
}

#[test]
fn a_list_of_ten_thousand_is_put_paged_and_filtered_in_time() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    let wanted: Vec<_> = (0..10_000).map(|n| format!("d{n}.example.com")).collect();
    let body = all(&wanted);
    let started = Instant::now();
    let (status, told) = put(control_plane, "/v1/domains", &body);
    assert_eq!((status, told["added"].as_array().unwrap().len()), (200, wanted.len()));
    assert!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());
    assert_eq!(put(control_plane, "/v1/domains?prune=true", &body).1["unchanged"], wanted.len());
    assert_eq!(listed(control_plane).len(), wanted.len());
    let url = format!("{}/v1/domains?state=stale&text=d99", control_plane.url());
    let request = http().get(url).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let page: Value = request.call().unwrap().body_mut().read_json().unwrap();
    assert_eq!((&page["domains"], &page["next"]), (&json!([]), &Value::Null));
}

use fedgate_discovery::{Discovered, Target};
use serde_json::{Value, json};

use super::tests::{Service, service};
use crate::verdicts::tests::found;

async fn listed(service: &Service) -> Value {
    service.admin("GET /v1/domains", "").await.body["domains"][0].clone()
}

async fn refresh(service: &Service) -> Value {
    let answer = service.admin("POST /v1/domains/a.com/refresh", "").await;
    assert_eq!(answer.status, 200);
    answer.body
}

#[track_caller]
fn assert_moment(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no moment"));
    assert!(humantime::parse_rfc3339(text).is_ok(), "{text}");
}

#[tokio::test]
async fn a_lookup_that_fails_is_told_beside_what_stands() {
    let service = service();
    service.admin("PUT /v1/domains/a.com", "").await;
    let entry = listed(&service).await;
    assert_eq!((&entry["state"], entry.get("failing_since")), (&json!("not-looked-up"), None));

    let found = refresh(&service).await;
    assert_eq!((&found["answered"], &found["hosts"]), (&json!(true), &json!(["fed.a.com"])));
    assert_eq!((&found["stands"], found.get("stands_until")), (&Value::Null, None));
    let entry = listed(&service).await;
    assert_eq!((&entry["state"], entry.get("failing_since")), (&json!("ok"), None));
    assert_moment(&entry["stands_until"]);

    service.told.tell(Discovered::transient("DNS error: a.com: no answer".to_owned()));
    let failed = refresh(&service).await;
    assert_eq!((&failed["answered"], failed.get("hosts")), (&json!(false), None));
    assert_eq!(failed["failure"]["label"], "discovery-failure");
    assert_eq!(failed["failure"]["message"], "DNS error: a.com: no answer");
    assert_eq!(failed["stands"]["hosts"], json!(["fed.a.com"]));
    assert_moment(&failed["stands_until"]);
    let entry = listed(&service).await;
    assert_eq!(entry["state"], "stale");
    assert_moment(&entry["failing_since"]);

    let shown = service.admin("GET /v1/domains/a.com", "").await.body;
    assert_eq!((&shown["state"], &shown["verdict"]["hosts"]), (&json!("stale"), &json!(["fed.a.com"])));
    assert_eq!(shown["cause"], "DNS error: a.com: no answer");
    for key in ["failing_since", "stands_until", "last_success", "last_try"] {
        assert_moment(&shown[key]);
    }
    assert_eq!(shown["next_try"], Value::Null, "nobody keeps it fresh here");
}

#[tokio::test]
async fn where_nothing_stands_that_is_told() {
    let service = service();
    service.admin("PUT /v1/domains/a.com", "").await;
    service.told.tell(Discovered::transient("DNS error: a.com: no answer".to_owned()));
    let failed = refresh(&service).await;
    assert_eq!((&failed["answered"], &failed["stands"]), (&json!(false), &Value::Null));
    assert_eq!(failed.get("stands_until"), None);
    let entry = listed(&service).await;
    assert_eq!((&entry["state"], entry.get("stands_until")), (&json!("failing"), None));

    service.told.tell(found("fed.a.com"));
    assert_eq!(refresh(&service).await["answered"], json!(true));
    assert_eq!(listed(&service).await["state"], "ok", "an answer forgives");
}

#[tokio::test]
async fn targets_are_shown_with_what_is_wrong_with_them() {
    let service = service();
    service.admin("PUT /v1/domains/a.com", "").await;
    let target =
        |host: &str, priority, port| Target { priority, host: host.parse().unwrap(), port, weight: 5 };
    let targets = vec![target("fed.a.com", 10, 443), target("silent.a.com", 20, 0)];
    let passed_over = vec!["the SRV target '192.0.2.1' is an IP address".to_owned()];
    service.told.tell(Discovered { targets, passed_over, ..found("fed.a.com") });
    refresh(&service).await;
    let shown = service.admin("GET /v1/domains/a.com", "").await.body;
    let expected = json!([
        {"host": "fed.a.com", "port": 443, "priority": 10, "weight": 5,
            "addresses": ["1.1.1.1"], "problems": []},
        {"host": "silent.a.com", "port": 0, "priority": 20, "weight": 5, "addresses": [], "problems": [
            "port 0 is no port to connect to", "A records: no answer", "AAAA records: no answer"]},
    ]);
    assert_eq!(shown["targets"], expected);
    assert_eq!(shown["passed_over"], json!(["the SRV target '192.0.2.1' is an IP address"]));
}

#[tokio::test]
async fn the_documents_know_what_is_said_of_lookups() {
    let document = service().call("", "GET /openapi.json", &[], "").await.body;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["StateOfLookups", "Lookups", "Target", "Refreshed"] {
        assert!(schemas.contains_key(name), "{name} is not among {:?}", schemas.keys());
    }
}

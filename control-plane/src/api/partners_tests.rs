use std::time::Instant;

use fedgate_allow_list::testing::{Nowhere, listing, put};
use serde_json::{Value, json};

use super::tests::{Service, service_on};
use super::*;
use crate::contract::StatusBody;

fn line(domain: &str, label: &str) -> Value {
    json!({"domain": domain, "label": label, "count": 2, "first_ms": 2000, "last_ms": 1000})
}

fn with_certificate(mut line: Value, names: &str, not_after: i64) -> Value {
    line["certificate"] =
        json!({"names": names, "issuer": "CN=Root", "serial": "0a1b", "not_after": not_after});
    line
}

/// What a filter says, at the door.
async fn report(service: &Service, role: &str, lines: &[Value]) -> u16 {
    let body = json!({
        "worker": "3f9c41d07ab85e26", "role": role, "version": "0.1.0",
        "feed": {"heard_ms": 100, "whole": true, "entries": 3}, "lines": lines,
    });
    service.call("filter", "POST /v1/reports", &[], &body.to_string()).await.status
}

async fn get(service: &Service, path: &str) -> Value {
    let answer = service.call("viewer", &format!("GET {path}"), &[], "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Codes, domains and commands of what needs somebody.
async fn findings(service: &Service) -> Vec<(String, String, String)> {
    let status = get(service, "/v1/status").await;
    let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
    let findings = status["findings"].as_array().unwrap().iter();
    findings.map(|it| (text(&it["code"]), text(&it["domain"]), text(&it["next"]))).collect()
}

#[tokio::test]
async fn what_filters_report_is_what_a_partner_is_said_to_be() {
    let service = service_on(listing(&["a.com", "b.com", "c.com"]).await);
    let mismatch =
        with_certificate(line("a.com", "authentication-failure"), "DNS:x.a.com", 1_900_000_000);
    assert_eq!(report(&service, "ingress", &[mismatch, line("z.com", "federation-denied")]).await, 200);
    let mut refused = line("b.com", "federation-connection-refused");
    refused["upstream"] = json!("192.0.2.7:443");
    assert_eq!(report(&service, "egress", &[refused]).await, 200);

    let page = get(&service, "/v1/partners?limit=2").await;
    let states = |page: &Value| -> Vec<String> {
        let partners = page["partners"].as_array().unwrap().iter();
        partners.map(|it| format!("{} {}", it["domain"], it["state"]).replace('"', "")).collect()
    };
    assert_eq!(states(&page), ["a.com refused", "b.com unreachable"]);
    let page = get(&service, "/v1/partners?after=b.com").await;
    assert_eq!((states(&page), &page["next"]), (vec!["c.com never-seen".to_owned()], &Value::Null));
    let page = get(&service, "/v1/partners?state=unreachable").await;
    assert_eq!(states(&page), ["b.com unreachable"]);
    assert!(page["partners"][0]["cause"].as_str().unwrap().contains("at 192.0.2.7:443"));

    let shown = get(&service, "/v1/partners/a.com").await;
    assert_eq!((&shown["label"], &shown["count"]), (&json!("authentication-failure"), &json!(2)));
    assert_eq!(shown["certificate"], Value::Null, "it has proven nothing");
    assert_eq!(shown["seen"][0]["presented"], "DNS:x.a.com");
    assert_eq!(shown["entry"]["domain"], "a.com");
    let stranger = get(&service, "/v1/partners/z.com").await;
    assert_eq!((&stranger["state"], &stranger["entry"]), (&json!("not-listed"), &Value::Null));
    let unseen = service.call("viewer", "GET /v1/partners/nobody.com", &[], "").await;
    assert_eq!(unseen.status, 404);

    assert_eq!(
        report(
            &service,
            "ingress",
            &[json!({"domain": "a.com", "label": "permitted", "count": 1,
        "first_ms": 0, "last_ms": 0})]
        )
        .await,
        200
    );
    let shown = get(&service, "/v1/partners/a.com").await;
    assert_eq!((&shown["state"], shown.get("cause")), (&json!("ok"), None));
    assert!(shown["last_request"].is_string() && shown["last_call"].is_null());

    let metrics = service.call("viewer", "GET /metrics", &[], "").await;
    assert_eq!(metrics.status, 200);
}

#[tokio::test]
async fn status_names_what_needs_somebody_worst_first() {
    let list = AllowList::open(Box::new(Nowhere { full: true }), SystemTime::now()).unwrap();
    let full = findings(&service_on(list)).await;
    assert_eq!(full[0].0, "store-not-writable");

    let service = service_on(listing(&["a.com", "b.com", "c.com", "d.com"]).await);
    assert_eq!(findings(&service).await[0].0, "no-envoy");
    let mut status: StatusBody = serde_json::from_value(get(&service, "/v1/status").await).unwrap();
    for (place, severity) in [("nowhere", "trouble"), ("etcd://10.0.0.1:2379/fedgate", "warning")] {
        place.clone_into(&mut status.store.place);
        let told = crate::api::findings::findings(&status, &[]);
        assert_eq!((&*told[0].code, &*told[0].severity), ("no-envoy", severity), "{place}");
    }
    let _there = service.api.partners.polls.enter(&"envoy-1".into(), None, Instant::now());
    assert!(findings(&service).await.is_empty());

    let ended = with_certificate(line("c.com", "permitted"), "DNS:infra.c.com", 1000);
    report(&service, "ingress", &[ended, line("z.com", "federation-denied")]).await;
    let denied = line("d.com", "federation-remote-error/federation-denied");
    let tls = ["a.com", "b.com"].map(|domain| line(domain, "federation-tls-error"));
    report(&service, "egress", &[&[denied][..], &tls].concat()).await;
    let soon = humantime::format_rfc3339_seconds(SystemTime::now() + Duration::from_secs(864_000));
    put(&service.list, "e.com", &json!({"expires_at": soon.to_string()}).to_string()).await;
    let found = findings(&service).await;
    let found: Vec<_> = found.iter().map(|(code, domain, next)| [&**code, domain, next]).collect();
    assert_eq!(
        found,
        [
            ["calls-fail-at-tls", "", "fedgate check --self"],
            ["partner-refusing-us", "d.com", "fedgate check d.com"],
            ["partner-unreachable", "a.com", "fedgate check a.com"],
            ["partner-unreachable", "b.com", "fedgate check b.com"],
            ["partner-certificate-ended", "c.com", "fedgate check c.com"],
            ["not-listed", "z.com", "fedgate domain add z.com"],
            ["entry-ends", "e.com", "fedgate domain set e.com --expires 90d"],
        ]
    );
    put(&service.list, "z.com", "{}").await;
    service.call("admin", "PUT /v1/strategy", &[], r#"{"strategy":"allowAll"}"#).await;
    let codes: Vec<_> = findings(&service).await.into_iter().map(|(code, ..)| code).collect();
    assert_eq!(codes.last().unwrap(), "strategy");
    assert!(!codes.contains(&"not-listed".to_owned()));
}

#[tokio::test]
async fn a_partner_is_tried_anew_by_whoever_may_write() {
    let service = service_on(listing(&["a.com"]).await);
    let retry = |token, domain: &str| {
        let line = format!("POST /v1/partners/{domain}/retry");
        let service = &service;
        async move { service.call(token, &line, &[], "").await }
    };
    assert_eq!(retry("viewer", "a.com").await.status, 403);
    assert_eq!(retry("admin", "nobody.com").await.status, 404);
    let answer = retry("admin", "a.com").await;
    assert_eq!((answer.status, &answer.body["lookup"]["answered"]), (200, &json!(true)));
    assert_eq!(answer.body["forgotten"], json!([]));
}

#[tokio::test]
async fn at_the_door_a_report_counts_whole_or_not_at_all() {
    let service = service_on(listing(&["a.com"]).await);
    let good = line("a.com", "authentication-failure");
    for lines in [
        vec![good.clone(), line("a.com", "made-up")],
        vec![good.clone(), line("a..com", "permitted")],
        vec![good.clone(), with_certificate(good.clone(), "a\u{1b}", 0)],
        vec![good.clone(); 1001],
    ] {
        assert_eq!(report(&service, "ingress", &lines).await, 422);
    }
    assert_eq!(report(&service, "both", std::slice::from_ref(&good)).await, 422);
    let body = json!({"lines": vec![good; 20_000]}).to_string();
    assert_eq!(service.call("filter", "POST /v1/reports", &[], &body).await.status, 413);
    for token in ["viewer", "admin"] {
        assert_eq!(service.call(token, "POST /v1/reports", &[], "{}").await.status, 403);
    }
    let shown = get(&service, "/v1/partners/a.com").await;
    assert_eq!(shown["state"], "never-seen");
}

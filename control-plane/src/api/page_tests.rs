use serde_json::Value;

use super::tests::{Service, service};

async fn names(service: &Service, query: &str) -> String {
    let answer = service.admin(&format!("GET /v1/domains?{query}"), "").await;
    assert_eq!(answer.status, 200, "{query} {}", answer.body);
    let next = answer.body["next"].as_str().map(|next| format!("> {next}"));
    let domains = answer.body["domains"].as_array().unwrap();
    let names = domains.iter().map(|it| it["domain"].as_str().unwrap().to_owned());
    names.chain(next).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_page_has_those_that_are_asked_for() {
    let service = service();
    for (domain, body) in [
        ("a.com", r#"{"note":"Contract 18, GRÜN"}"#),
        ("b.com", r#"{"action":"block"}"#),
        ("c.com", r#"{"mode":"shadow","note":"contract 19"}"#),
        ("d.com", r#"{"expires_at":"2000-01-01T00:00:00Z"}"#),
        ("e.com", ""),
    ] {
        let answer = service.admin(&format!("PUT /v1/domains/{domain}"), body).await;
        assert_eq!(answer.status, 201);
    }
    for domain in ["a", "c"] {
        service.admin(&format!("POST /v1/domains/{domain}.com/refresh"), "").await;
    }
    for (query, expected) in [
        ("", "a.com b.com c.com d.com e.com"),
        ("action=block", "b.com"),
        ("action=allow", "a.com c.com d.com e.com"),
        ("mode=shadow", "c.com"),
        ("mode=shadow&action=block", ""),
        ("text=CONTRACT", "a.com c.com"),
        ("text=gr%C3%BCn", "a.com"),
        ("text=B.C", "b.com"),
        ("text=contract&limit=1", "a.com > a.com"),
        ("text=contract&limit=1&after=a.com", "c.com"),
        ("text=%25", ""),
        ("state=expired", "d.com"),
        ("state=ok", "a.com c.com"),
        ("state=ok&limit=1", "a.com > a.com"),
        ("state=ok&limit=2", "a.com c.com"),
        ("state=ok&mode=enforce", "a.com"),
        ("state=ok&after=b.com", "c.com"),
        ("state=failing", ""),
        ("state=not-looked-up&action=allow", "d.com e.com"),
    ] {
        assert_eq!(names(&service, query).await, expected, "{query}");
    }
    for query in ["state=fine", "state=", "action=Block", "mode=", "text=a&text=b", "note=a"] {
        let answer = service.admin(&format!("GET /v1/domains?{query}"), "").await;
        assert_eq!(answer.status, 400, "{query}");
    }
    let detail = service.admin("GET /v1/domains?state=fine", "").await.body["detail"].clone();
    assert!(detail.as_str().unwrap().contains("'fine' is none of ok, no-federator"), "{detail}");
}

#[tokio::test]
async fn pages_by_state_hold_every_domain_once_however_many_are_between() {
    let service = service();
    let domains: Vec<_> =
        (0..2500).map(|n| serde_json::json!({"domain": format!("d{n:04}.com")})).collect();
    service.admin("PUT /v1/domains", &serde_json::json!({ "domains": domains }).to_string()).await;
    let wanted = ["d0000.com", "d0999.com", "d1000.com", "d2499.com"];
    for domain in wanted {
        service.admin(&format!("POST /v1/domains/{domain}/refresh"), "").await;
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = service.admin(&format!("GET /v1/domains?state=ok&limit=1{after}"), "").await.body;
        let domains = page["domains"].as_array().unwrap();
        seen.extend(domains.iter().map(|it| it["domain"].as_str().unwrap().to_owned()));
        let Value::String(next) = &page["next"] else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn an_entry_is_shown_with_all_its_terms() {
    let service = service();
    let body = r#"{"action":"allow","expires_at":"2000-01-01T00:00:00Z","pinned_hosts":["fed.a.com"],"dnssec":"require",
        "mode":"shadow","search_policy":"no_search","restriction":{"tag":"restrict_by_team","value":[]}}"#;
    let put = service.admin("PUT /v1/domains/a.com", body).await.body;
    let shown = service.admin("GET /v1/domains/a.com", "").await.body;
    let given: Value = serde_json::from_str(body).unwrap();
    for (key, value) in given.as_object().unwrap() {
        assert_eq!((&put[key], &shown[key]), (value, value), "{key}");
    }
    assert_eq!((&shown["expired"], &shown["created_by"]), (&true.into(), &"admin".into()));
}

use fedgate_allow_list::audit;
use serde_json::{Value, json};

use super::tests::{Service, demanding_service, service, stored_service};

const LIST: &str = "PUT /v1/domains";

async fn names(service: &Service) -> Vec<String> {
    let page = service.admin("GET /v1/domains", "").await.body;
    let domains = page["domains"].as_array().unwrap();
    domains.iter().map(|it| it["domain"].as_str().unwrap().to_owned()).collect()
}

async fn put(service: &Service, domain: &str, body: &str) {
    let answer = service.admin(&format!("PUT /v1/domains/{domain}"), body).await;
    assert!(answer.status < 300, "{domain} {body}: {}", answer.body);
}

#[tokio::test]
async fn many_are_put_at_once_and_the_answer_is_what_has_changed() {
    let service = service();
    put(&service, "a.com", r#"{"note":"old"}"#).await;
    put(&service, "gone.com", "").await;
    let body = r#"{"domains":[{"domain":"b.com","action":"block"},{"domain":"a.com","note":"new"}]}"#;
    let answer = service.admin(LIST, body).await;
    assert_eq!(answer.status, 200);
    let access = |names: &[&str]| json!({"count": names.len(), "domains": names, "unlisted": false});
    let expected = json!({
        "dry_run": false, "added": ["b.com"], "removed": [], "unchanged": 0,
        "changed": [{"domain": "a.com", "before": {"note": "old"}, "after": {"note": "new"}}],
        "gain_access": access(&[]), "lose_access": access(&[]),
    });
    assert_eq!(answer.body, expected);
    assert_eq!(names(&service).await, ["a.com", "b.com", "gone.com"], "what is not named stays");

    let list = service.admin("GET /v1/domains", "").await;
    assert_eq!(answer.headers["etag"], list.headers["etag"]);
    let pruned = service.admin(&format!("{LIST}?prune=true"), body).await.body;
    assert_eq!((&pruned["removed"], &pruned["unchanged"]), (&json!(["gone.com"]), &json!(2)));
    assert_eq!(pruned["lose_access"], access(&["gone.com"]));
    assert_eq!(names(&service).await, ["a.com", "b.com"]);
}

#[tokio::test]
async fn many_are_put_all_or_none() {
    let service = service();
    put(&service, "a.com", "").await;
    put(&service, "shadow.com", r#"{"mode":"shadow"}"#).await;
    let long = format!(
        r#"{{"domains":[{{"domain":"b.com"}},{{"domain":"c.com","note":"{}"}}]}}"#,
        "x".repeat(501)
    );
    for (body, status) in [
        ("", 400),
        ("{}", 422),
        ("[]", 422),
        (r#"{"domains":[{"domain":"b.com"},{"domain":"b_b.com"}]}"#, 422),
        (r#"{"domains":[{"domain":"b.com"},{"domain":"B.com"}]}"#, 409),
        (r#"{"domains":[{"domain":"b.com"},{"domain":"shadow.com","action":"block"}]}"#, 409),
        (&long, 422),
    ] {
        for query in ["", "?prune=true", "?dry_run=true"] {
            let answer = service.admin(&format!("{LIST}{query}"), body).await;
            assert_eq!(answer.status, status, "{body:.80}{query}: {}", answer.body);
        }
    }
    let misspelt = service.admin(LIST, r#"{"domains":[{"domain":"b_b.com"}]}"#).await.body;
    assert!(misspelt["detail"].as_str().unwrap().contains("'b_b.com' is not a backend domain"));
    for query in ["?prune=1", "?prune=", "?prune=true&prune=true", "?dryrun=true", "?prune"] {
        let answer = service.admin(&format!("{LIST}{query}"), r#"{"domains":[]}"#).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(names(&service).await, ["a.com", "shadow.com"]);
}

#[tokio::test]
async fn a_whole_list_fits_and_other_bodies_stay_small() {
    let service = service();
    let domains: Vec<_> = (0..3000).map(|n| json!({"domain": format!("d{n}.example.com")})).collect();
    let body = json!({ "domains": domains }).to_string();
    assert!(body.len() > 64 << 10);
    let answer = service.admin(LIST, &body).await;
    assert_eq!((answer.status, answer.body["added"].as_array().unwrap().len()), (200, 3000));
    assert_eq!(answer.body["gain_access"]["count"], 3000);
    assert_eq!(answer.body["gain_access"]["domains"].as_array().unwrap().len(), 1000);
    assert_eq!(service.admin("PUT /v1/domains/a.com", &body).await.status, 413);
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = stored_service(dir.path());
    put(&service, "a.com", "").await;
    put(&service, "b.com", r#"{"action":"block"}"#).await;
    let before = service.admin("GET /v1/domains", "").await;
    let whole = r#"{"domains":[{"domain":"c.com"}]}"#;
    for (line, body, gain, lose) in [
        ("PUT /v1/domains/c.com", "", "c.com", ""),
        ("PUT /v1/domains/a.com", r#"{"action":"block"}"#, "", "a.com"),
        ("PUT /v1/domains/a.com", r#"{"note":"n"}"#, "", ""),
        ("PUT /v1/domains/b.com", r#"{"action":"allow"}"#, "b.com", ""),
        ("DELETE /v1/domains/a.com", "", "", "a.com"),
        ("DELETE /v1/domains/b.com", "", "", ""),
        ("PUT /v1/strategy", r#"{"strategy":"allowNone"}"#, "", "a.com"),
        ("PUT /v1/strategy", r#"{"strategy":"allowAll"}"#, "+", ""),
        (LIST, whole, "c.com", ""),
    ] {
        let answer = service.admin(&format!("{line}?dry_run=true"), body).await;
        assert_eq!(
            (answer.status, &answer.body["dry_run"]),
            (200, &json!(true)),
            "{line} {}",
            answer.body
        );
        for (key, expected) in [("gain_access", gain), ("lose_access", lose)] {
            let access = &answer.body[key];
            let domains = access["domains"].as_array().unwrap().iter().filter_map(Value::as_str);
            let unlisted = access["unlisted"].as_bool().unwrap().then_some("+");
            assert_eq!(domains.chain(unlisted).collect::<Vec<_>>().join(" "), expected, "{line} {key}");
            assert_eq!(access.get("detail").is_some(), unlisted.is_some());
        }
    }
    for (line, body, status) in [
        ("DELETE /v1/domains/c.com?dry_run=true", "", 404),
        ("PUT /v1/domains/a.com?dry_run=true", r#"{"note":7}"#, 422),
        ("PUT /v1/domains/a.com?dry_run=yes", "", 400),
        ("PUT /v1/domains/a.com?dry-run=true", "", 400),
        ("DELETE /v1/domains/a.com?dry-run=true", "", 400),
        ("PUT /v1/strategy?dry-run=true", r#"{"strategy":"allowAll"}"#, 400),
    ] {
        assert_eq!(service.admin(line, body).await.status, status, "{line}");
    }
    let tag = [("if-match", "\"77\"")];
    assert_eq!(
        service.call("admin", "DELETE /v1/domains/a.com?dry_run=true", &tag, "").await.status,
        412
    );
    let after = service.admin("GET /v1/domains", "").await;
    assert_eq!((after.body, &after.headers["etag"]), (before.body, &before.headers["etag"]));
    assert_eq!(service.list.audit(all()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_strategy_that_cuts_off_the_unlisted_says_so() {
    let service = service();
    put(&service, "a.com", "").await;
    service.admin("PUT /v1/strategy", r#"{"strategy":"allowAll"}"#).await;
    let answer = service.admin("PUT /v1/strategy?dry_run=true", r#"{"strategy":"allowDynamic"}"#).await;
    assert_eq!(answer.body["strategy"], json!({"before": "allowAll", "after": "allowDynamic"}));
    let lost = json!({"count": 0, "domains": [], "unlisted": true,
        "detail": "every domain that is not listed loses access"});
    assert_eq!(answer.body["lose_access"], lost);
    assert_eq!(service.admin("GET /v1/strategy", "").await.body["strategy"], "allowAll");
}

#[tokio::test]
async fn where_conditions_are_demanded_nothing_changes_without_one() {
    let service = demanding_service();
    put(&service, "a.com", "").await;
    let tag = |of: &super::tests::Answer| of.headers["etag"].to_str().unwrap().to_owned();
    let whole = r#"{"domains":[]}"#;
    for (line, body) in [
        ("PUT /v1/domains/a.com", r#"{"note":"n"}"#),
        ("PUT /v1/domains/a.com", ""),
        ("PUT /v1/domains/a.com?dry_run=true", ""),
        ("DELETE /v1/domains/a.com", ""),
        ("PUT /v1/strategy", r#"{"strategy":"allowAll"}"#),
        (LIST, whole),
    ] {
        let answer = service.admin(line, body).await;
        assert_eq!(answer.status, 428, "{line}");
        assert_eq!(answer.body["type"], "urn:fedgate:problem:precondition-required");
        assert!(answer.body["detail"].as_str().unwrap().contains("If-Match"));
    }
    assert_eq!(
        service.admin("DELETE /v1/domains/b.com", "").await.status,
        404,
        "there is nothing to change"
    );
    let shown = tag(&service.admin("GET /v1/domains/a.com", "").await);
    let strategy = tag(&service.admin("GET /v1/strategy", "").await);
    let list = tag(&service.admin("GET /v1/domains", "").await);
    for (line, body, tag, status) in [
        ("PUT /v1/domains/a.com", r#"{"note":"n"}"#, "\"0\"", 412),
        ("PUT /v1/strategy", r#"{"strategy":"allowAll"}"#, &strategy, 200),
        (LIST, whole, &list, 412),
        ("PUT /v1/domains/a.com", r#"{"note":"n"}"#, &shown, 200),
        ("DELETE /v1/domains/a.com", "", &shown, 412),
        ("DELETE /v1/domains/a.com", "", "*", 204),
        (LIST, whole, "*", 200),
    ] {
        let answer = service.call("admin", line, &[("if-match", tag)], body).await;
        assert_eq!(answer.status, status, "{line} {tag}");
    }
}

#[tokio::test]
async fn a_request_has_one_number_in_answer_problem_and_audit() {
    let dir = tempfile::tempdir().unwrap();
    let service = stored_service(dir.path());
    let header = [("x-request-id", "r 1")];
    let put = service.call("admin", "PUT /v1/domains/a.com", &header, "").await;
    assert_eq!(put.headers["x-request-id"], "r?1");
    let records = service.list.audit(all()).await.unwrap();
    assert_eq!(records[0].1.request_id.as_deref(), Some("r?1"));
    for (token, line) in [
        ("admin", "GET /v1/domains/b.com"),
        ("", "GET /v1/domains"),
        ("", "GET /nowhere"),
        ("", "PUT /v1/reload"),
    ] {
        let answer = service.call(token, line, &header, "").await;
        assert_eq!(
            (&answer.headers["x-request-id"], &answer.body["request_id"]),
            (&"r?1".parse().unwrap(), &json!("r?1")),
            "{line}"
        );
    }
    let [one, other] = [(), ()].map(|()| service.admin("GET /v1/domains/b.com", ""));
    let (one, other) = (one.await, other.await);
    assert_eq!(one.body["request_id"], one.headers["x-request-id"].to_str().unwrap());
    assert_ne!(one.headers["x-request-id"], other.headers["x-request-id"], "made up, each time");
    let answer = service.call("filter", "GET /v1/verdicts/a.com", &header, "").await;
    assert!(!answer.headers.contains_key("x-request-id"), "it would stay in each filter's connection");
    let answer = service.call("", "GET /v1/verdicts/a.com", &header, "").await;
    assert_eq!(answer.body["request_id"], "r?1");
}

#[tokio::test]
async fn a_token_that_calls_too_often_is_told_when_to_come_again() {
    let service = service();
    let mut limited = None;
    for _ in 0..2000 {
        let answer = service.call("viewer", "GET /v1/strategy", &[], "").await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.unwrap();
    assert_eq!(
        (&limited.headers["retry-after"], &limited.body["type"]),
        (&"1".parse().unwrap(), &json!("urn:fedgate:problem:too-many-requests"))
    );
    assert_eq!(service.admin("GET /v1/strategy", "").await.status, 200, "others are not slowed");
    for _ in 0..1000 {
        assert_eq!(service.call("filter", "GET /v1/verdicts", &[], "").await.status, 200);
    }
}

fn all() -> audit::Query {
    audit::Query { limit: 100, ..audit::Query::default() }
}

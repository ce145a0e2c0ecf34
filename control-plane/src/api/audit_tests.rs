use std::time::SystemTime;

use axum::body::to_bytes;
use axum::response::Response;
use fedgate_allow_list::sqlite::Sqlite;
use fedgate_allow_list::testing::us;
use fedgate_allow_list::{AllowList, Deed};
use fedgate_store::sqlite::Database;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tests::{Service, service, service_on, stored_service};

/// A service whose list is on disk, on which eight deeds were done.
async fn busy() -> (Service, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let service = stored_service(dir.path());
    for (line, body) in [
        ("PUT /v1/domains/a.com", ""),
        ("PUT /v1/domains/b.com", r#"{"note":"one"}"#),
        ("PUT /v1/domains/b.com", r#"{"note":"two"}"#),
        ("PUT /v1/strategy", r#"{"strategy":"allowAll"}"#),
        ("POST /v1/tokens", r#"{"name":"bob","role":"admin"}"#),
    ] {
        assert!(service.admin(line, body).await.status < 300, "{line}");
    }
    let bob = service.admin("POST /v1/tokens", r#"{"name":"eve","role":"admin"}"#).await.body;
    let number = [("x-request-id", "number-7")];
    let eve = bob["token"].as_str().unwrap();
    assert_eq!(service.call(eve, "DELETE /v1/domains/a.com", &number, "").await.status, 204);
    assert_eq!(service.admin("DELETE /v1/tokens/bob", "").await.status, 204);
    (service, dir)
}

fn ids(page: &Value) -> Vec<i64> {
    page["records"].as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_record_says_who_did_what_when_and_what_was_there_before() {
    let (service, _dir) = busy().await;
    let records = service.admin("GET /v1/audit?order=oldest", "").await.body["records"].take();
    let of = |index: usize, member: &str| records[index][member].clone();
    let kinds: Vec<_> = (0..8).map(|index| of(index, "action")).collect();
    assert_eq!(
        kinds,
        [
            "domain-added",
            "domain-added",
            "domain-changed",
            "strategy-set",
            "token-made",
            "token-made",
            "domain-removed",
            "token-revoked"
        ]
    );
    assert_eq!(
        (of(2, "before")["note"].clone(), of(2, "after")["note"].clone()),
        (json!("one"), json!("two"))
    );
    assert_eq!((of(2, "domain"), of(2, "revision")), (json!("b.com"), json!(3)));
    assert_eq!((of(3, "before"), of(3, "after")), (json!("allowDynamic"), json!("allowAll")));
    assert_eq!(of(4, "after"), json!({"name": "bob", "role": "admin", "expires_at": null}));
    assert_eq!((of(6, "by"), of(6, "request_id")), (json!("eve"), json!("number-7")));
    assert_eq!((of(6, "domain"), of(6, "after")), (json!("a.com"), Value::Null));
    assert!(of(0, "request_id").is_string() && of(0, "at").is_string());
}

#[tokio::test]
async fn records_are_found_by_each_filter_and_page_by_page() {
    let (service, _dir) = busy().await;
    for (query, expected) in [
        ("", vec![8, 7, 6, 5, 4, 3, 2, 1]),
        ("order=oldest&limit=2", vec![1, 2]),
        ("order=oldest&limit=2&after=2", vec![3, 4]),
        ("limit=3&before=6", vec![5, 4, 3]),
        ("after=2&before=5", vec![4, 3]),
        ("domain=A.com", vec![7, 1]),
        ("by=eve", vec![7]),
        ("by=nobody", vec![]),
        ("action=token-made,token-revoked", vec![8, 6, 5]),
        ("action=strategy-set&by=admin", vec![4]),
        ("since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z", vec![]),
        ("since=2020-01-01T00:00:00Z&limit=1", vec![8]),
    ] {
        let page = service.call("viewer", &format!("GET /v1/audit?{query}"), &[], "").await;
        assert_eq!((page.status, ids(&page.body)), (200, expected), "{query}");
    }
    for (query, next) in
        [("limit=3", json!(6)), ("order=oldest&limit=3", json!(3)), ("limit=8", Value::Null)]
    {
        let page = service.admin(&format!("GET /v1/audit?{query}"), "").await.body;
        assert_eq!(page["next"], next, "{query}");
    }
    for query in [
        "limit=0",
        "limit=1001",
        "order=random",
        "domain=a_b",
        "action=",
        "action=domain-added,",
        "action=nothing",
        "since=yesterday",
        "before=x",
        "format=xml",
        "colour=red",
    ] {
        let answer = service.admin(&format!("GET /v1/audit?{query}"), "").await;
        assert_eq!(answer.status, 400, "{query}");
    }
}

#[tokio::test]
async fn json_lines_have_all_records_and_a_limit_where_one_is_given() {
    let (service, _dir) = busy().await;
    for (query, expected) in [
        ("", vec![8, 7, 6, 5, 4, 3, 2, 1]),
        ("&order=oldest", (1..=8).collect()),
        ("&order=oldest&limit=3", vec![1, 2, 3]),
        ("&by=nobody", vec![]),
    ] {
        let response = service.read("admin", &format!("/v1/audit?format=jsonl{query}")).await;
        let kind = response.headers()["content-type"].clone();
        let text = text(response).await;
        assert_eq!(kind, "application/jsonl");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(lines.map(|it| it["id"].as_i64().unwrap()).collect::<Vec<_>>(), expected, "{query}");
    }
}

/// A service with so many records.
async fn recorded(number: u32) -> (Service, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite(Database::open(&dir.path().join("fedgate.db")).unwrap());
    let list = AllowList::open(Box::new(store), SystemTime::now()).unwrap();
    list.record((0..number).map(|n| us().did(Deed::CallsRefused, json!(n))).collect()).await.unwrap();
    (service_on(list), dir)
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn an_export_breaks_off_with_the_token_that_it_was_asked_for_with() {
    let (service, _dir) = recorded(2500).await;
    let made = service.admin("POST /v1/tokens", r#"{"name":"eve","role":"viewer"}"#).await.body;
    let path = "/v1/audit?format=jsonl&order=oldest";
    let response = service.read(made["token"].as_str().unwrap(), path).await;
    let mut pieces = response.into_body().into_data_stream();
    assert!(pieces.next().await.unwrap().is_ok());
    service.admin("DELETE /v1/tokens/eve", "").await;
    assert!(pieces.next().await.unwrap().is_err(), "whoever reads is to see that there is more");
}

#[tokio::test]
async fn more_records_than_one_piece_holds_are_exported_once_each() {
    let (service, _dir) = recorded(2500).await;
    for order in ["oldest", "newest"] {
        let path = format!("/v1/audit?format=jsonl&order={order}");
        let text = text(service.read("viewer", &path).await).await;
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_i64().unwrap();
        let mut ids: Vec<_> = text.lines().map(id).collect();
        if order == "newest" {
            ids.reverse();
        }
        assert_eq!(ids, (1..=2500).collect::<Vec<_>>(), "{order}");
    }
}

#[tokio::test]
async fn an_empty_audit_is_an_empty_page() {
    let page = service().admin("GET /v1/audit", "").await;
    assert_eq!((page.status, page.body), (200, json!({"records": [], "next": null})));
}

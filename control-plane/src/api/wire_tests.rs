//! Wire's list API by its shapes; the listener itself is tried end to end.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use fedgate_allow_list::testing::{in_memory, put};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::api::tests::{Service, service_on};

const REMOTES: &str = "/i/federation/remotes";
const TEAM: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

/// The service behind the listener.
struct Wire(axum::Router);

struct Answer {
    status: u16,
    body: Value,
}

impl Service {
    fn wire(&self, open: bool) -> Wire {
        Wire(crate::api::wire(self.api.clone(), open))
    }
}

impl Wire {
    async fn call(&self, token: &str, line: &str, body: &str) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let response = self.0.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap());
        let (parts, body) = response.await.unwrap().into_parts();
        assert_eq!(parts.headers["content-type"], "application/json");
        let body = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap();
        Answer { status: parts.status.as_u16(), body }
    }
}

fn row(domain: &str, search: &str) -> Value {
    json!({"domain": domain, "search_policy": search, "restriction": {"tag": "allow_all", "value": null}})
}

fn label(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.body["code"], answer.status, "{}", answer.body);
    (answer.status, answer.body["label"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn rows_are_read_and_written_in_brigs_shapes() {
    let list = in_memory();
    let wire = service_on(list.clone()).wire(false);
    let all = wire.call("viewer", &format!("GET {REMOTES}"), "").await;
    assert_eq!(all.body, json!({"remotes": [], "strategy": "allowDynamic", "update_interval": 10}));
    for search in ["no_search", "full_search", "full_search"] {
        let added =
            wire.call("admin", &format!("POST {REMOTES}"), &row("a.com", search).to_string()).await;
        assert_eq!((added.status, added.body), (200, json!([])));
        let all = wire.call("viewer", &format!("GET {REMOTES}"), "").await;
        assert_eq!(all.body["remotes"], json!([row("a.com", search)]));
    }
    let put = wire
        .call("admin", &format!("PUT {REMOTES}/a.com"), &row("a.com", "no_search").to_string())
        .await;
    assert_eq!(put.status, 200);
    assert_eq!(&*list.entry(&"a.com".parse().unwrap()).unwrap().updated.by, "admin");
    let gone = wire.call("admin", &format!("DELETE {REMOTES}/a.com"), "").await;
    assert_eq!((gone.status, gone.body), (200, json!([])));
    let again = wire.call("admin", &format!("DELETE {REMOTES}/a.com"), "").await;
    assert_eq!(label(&again), (404, "not-listed"));
}

#[tokio::test]
async fn teams_are_added_and_taken_away_one_by_one() {
    let wire = service_on(in_memory()).wire(false);
    let teams = format!("{REMOTES}/a.com/teams");
    let team = json!({"team_id": TEAM}).to_string();
    assert_eq!(wire.call("admin", &format!("DELETE {teams}/{TEAM}"), "").await.status, 200);
    let unknown = wire.call("admin", &format!("POST {teams}"), &team).await;
    assert_eq!(label(&unknown), (533, "federation-unexpected-wai-error"));
    wire.call("admin", &format!("POST {REMOTES}"), &row("a.com", "no_search").to_string()).await;
    // One team more than all would be fewer.
    assert_eq!(wire.call("admin", &format!("POST {teams}"), &team).await.status, 533);
    assert_eq!(wire.call("viewer", &format!("GET {teams}"), "").await.body, json!([]));
    let restricted = json!({
        "domain": "a.com", "search_policy": "no_search",
        "restriction": {"tag": "restrict_by_team", "value": []},
    });
    wire.call("admin", &format!("PUT {REMOTES}/a.com"), &restricted.to_string()).await;
    for _ in 0..2 {
        assert_eq!(wire.call("admin", &format!("POST {teams}"), &team).await.status, 200);
        assert_eq!(
            wire.call("viewer", &format!("GET {teams}"), "").await.body,
            json!([{"team_id": TEAM}])
        );
    }
    for _ in 0..2 {
        assert_eq!(wire.call("admin", &format!("DELETE {teams}/{TEAM}"), "").await.status, 200);
        assert_eq!(wire.call("viewer", &format!("GET {teams}"), "").await.body, json!([]));
    }
}

#[tokio::test]
async fn what_brig_does_not_know_is_no_remote() {
    let list = in_memory();
    put(&list, "blocked.com", r#"{"action":"block"}"#).await;
    put(&list, "over.com", r#"{"expires_at":"2020-01-01T00:00:00Z"}"#).await;
    let wire = service_on(list.clone()).wire(false);
    assert_eq!(wire.call("viewer", &format!("GET {REMOTES}"), "").await.body["remotes"], json!([]));
    for domain in ["blocked.com", "over.com", "never.com"] {
        let body = row(domain, "full_search").to_string();
        let put = wire.call("admin", &format!("PUT {REMOTES}/{domain}"), &body).await;
        assert_eq!(label(&put), (533, "federation-unexpected-wai-error"), "{domain}");
        assert_eq!(
            wire.call("admin", &format!("DELETE {REMOTES}/{domain}"), "").await.status,
            404,
            "{domain}"
        );
    }
    // A block is lifted by a person, not by a script that cannot see it; an end that has come is no block.
    let post = async |domain: &str| {
        wire.call("admin", &format!("POST {REMOTES}"), &row(domain, "no_search").to_string()).await
    };
    assert_eq!(label(&post("blocked.com").await), (533, "federation-unexpected-wai-error"));
    assert_eq!(post("over.com").await.status, 200);
    assert!(list.lists(&"over.com".parse().unwrap()) && !list.lists(&"blocked.com".parse().unwrap()));
}

#[tokio::test]
async fn what_is_wrong_is_told_in_the_shape_of_wires_errors() {
    let wire = service_on(in_memory()).wire(false);
    let good = row("a.com", "no_search").to_string();
    wire.call("admin", &format!("POST {REMOTES}"), &good).await;
    for (line, body, expected) in [
        (format!("POST {REMOTES}"), "{", 400),
        (format!("POST {REMOTES}"), "", 400),
        (format!("POST {REMOTES}"), r#"{"domain":"a.com"}"#, 400),
        (format!("POST {REMOTES}"), r#"{"domain":"a.com","search_policy":"telepathy"}"#, 400),
        (format!("POST {REMOTES}"), r#"{"domain":"not a domain","search_policy":"no_search"}"#, 400),
        (format!("PUT {REMOTES}/b.com"), &good, 533),
        (format!("PUT {REMOTES}/not%20a%20domain"), &good, 400),
        (format!("PUT {REMOTES}/a.com/teams"), "{}", 405),
        (format!("DELETE {REMOTES}/a.com/teams/7"), "", 400),
        (format!("POST {REMOTES}/a.com/teams"), r#"{"team_id":"7"}"#, 400),
        ("GET /i/nothing".to_owned(), "", 404),
    ] {
        let answer = wire.call("admin", &line, body).await;
        assert_eq!(label(&answer).0, expected, "{line} {body}: {}", answer.body);
        assert!(!answer.body["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_token_is_needed_unless_the_list_is_open_and_a_wrong_one_never_counts() {
    let list = in_memory();
    let service = service_on(list.clone());
    for (open, token, read, write) in [
        (false, "", 401, 401),
        (false, "viewer", 200, 403),
        (false, "filter", 403, 403),
        (false, "admin", 200, 200),
        (true, "", 200, 200),
        (true, "viewer", 200, 403),
        (true, "nobody's", 401, 401),
    ] {
        let wire = service.wire(open);
        let got = wire.call(token, &format!("GET {REMOTES}"), "").await;
        assert_eq!(got.status, read, "{open} {token}");
        let body = row("a.com", "no_search").to_string();
        let posted = wire.call(token, &format!("POST {REMOTES}"), &body).await;
        assert_eq!(posted.status, write, "{open} {token}");
        list.remove(
            "a.com".parse().unwrap(),
            fedgate_allow_list::Condition::None,
            fedgate_allow_list::testing::us(),
        )
        .await
        .ok();
    }
    service
        .wire(true)
        .call("", &format!("POST {REMOTES}"), &row("a.com", "no_search").to_string())
        .await;
    assert_eq!(&*list.entry(&"a.com".parse().unwrap()).unwrap().created.by, "wire-api");
}

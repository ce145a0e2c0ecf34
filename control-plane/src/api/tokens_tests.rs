use serde_json::{Value, json};

use super::tests::{Service, service};

async fn make(service: &Service, body: &Value) -> super::tests::Answer {
    service.admin("POST /v1/tokens", &body.to_string()).await
}

/// Some member of all tokens, in the order of the list.
async fn listed(service: &Service, member: &str) -> Vec<Value> {
    let tokens = service.admin("GET /v1/tokens", "").await.body["tokens"].take();
    tokens.as_array().unwrap().iter().map(|token| token[member].clone()).collect()
}

#[tokio::test]
async fn a_token_is_told_once_and_works_until_it_is_revoked() {
    let service = service();
    let made = make(&service, &json!({"name": "bob", "role": "viewer"})).await;
    assert_eq!((made.status, &made.headers["cache-control"]), (201, &"no-store".parse().unwrap()));
    let secret = made.body["token"].as_str().unwrap();
    assert_eq!(secret.len(), 64);
    assert_eq!(made.body["last_used_at"], Value::Null);
    assert_eq!(service.call(secret, "GET /v1/strategy", &[], "").await.status, 200);
    assert_eq!(service.call(secret, "DELETE /v1/tokens/bob", &[], "").await.status, 403);
    let list = service.call("viewer", "GET /v1/tokens", &[], "").await.body;
    let digest = crate::auth::Digest::of(secret.as_bytes()).to_string();
    assert!(!list.to_string().contains(secret) && !list.to_string().contains(&digest));
    assert_eq!(listed(&service, "name").await, ["admin", "bob", "filter", "viewer"]);
    let used = listed(&service, "last_used_at").await;
    assert_eq!(used.iter().map(Value::is_string).collect::<Vec<_>>(), [true, true, false, true]);
    let by = listed(&service, "created_by").await;
    assert_eq!(by, [Value::Null, json!("admin"), Value::Null, Value::Null]);
    assert_eq!(service.admin("DELETE /v1/tokens/bob", "").await.status, 204);
    assert_eq!(service.call(secret, "GET /v1/strategy", &[], "").await.status, 401);
    assert_eq!(service.admin("DELETE /v1/tokens/bob", "").await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_made_or_revoked_is_a_problem_with_its_cure() {
    let service = service();
    make(&service, &json!({"name": "bob", "role": "viewer"})).await;
    for (body, status, detail) in [
        (json!({"name": "bob", "role": "admin"}), 409, "revoke it first"),
        (json!({"name": "admin", "role": "admin"}), 409, "the configuration has a token named 'admin'"),
        (json!({"name": "ä", "role": "admin"}), 422, "1 to 64 letters"),
        (json!({"name": "", "role": "admin"}), 422, "1 to 64 letters"),
        (json!({"name": "carol", "role": "root"}), 422, "unknown variant"),
        (json!({"name": "carol"}), 422, "missing field"),
        (json!({"name": "carol", "role": "viewer", "token": "x"}), 422, "unknown field"),
        (
            json!({"name": "carol", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}),
            409,
            "2020-01-01T00:00:00Z is over",
        ),
        (json!({"name": "carol", "role": "viewer", "expires_at": "soon"}), 422, "2030"),
    ] {
        let answer = make(&service, &body).await;
        assert_eq!(answer.status, status, "{body}");
        let said = answer.body["detail"].as_str().unwrap();
        assert!(said.contains(detail) || detail == "2030", "{body}: {said}");
    }
    for (line, status, detail) in [
        ("DELETE /v1/tokens/admin", 409, "is in the configuration"),
        ("DELETE /v1/tokens/admin?force=true", 409, "is in the configuration"),
        ("DELETE /v1/tokens/nobody", 404, "no token named 'nobody'"),
        ("DELETE /v1/tokens/%ff", 400, ""),
        ("DELETE /v1/tokens/bob?force=perhaps", 400, ""),
        ("DELETE /v1/tokens/bob?forc=true", 400, ""),
    ] {
        let answer = service.admin(line, "").await;
        assert_eq!(answer.status, status, "{line}");
        assert!(answer.body["detail"].as_str().unwrap().contains(detail), "{line}: {}", answer.body);
    }
    assert_eq!(listed(&service, "name").await.len(), 4);
}

#[tokio::test]
async fn a_token_may_revoke_itself() {
    let service = service();
    let made = make(&service, &json!({"name": "carol", "role": "admin"})).await;
    let secret = made.body["token"].as_str().unwrap();
    assert_eq!(service.call(secret, "DELETE /v1/tokens/carol", &[], "").await.status, 204);
    assert_eq!(service.call(secret, "GET /v1/tokens", &[], "").await.status, 401);
}

#[tokio::test]
async fn pages_of_tokens_follow_one_another() {
    let service = service();
    let first = service.admin("GET /v1/tokens?limit=2", "").await.body;
    assert_eq!((first["tokens"].as_array().unwrap().len(), &first["next"]), (2, &json!("filter")));
    let second = service.admin("GET /v1/tokens?limit=2&after=filter", "").await.body;
    assert_eq!((&second["tokens"][0]["name"], &second["next"]), (&json!("viewer"), &Value::Null));
    for query in ["limit=0", "limit=1001", "limit=x", "colour=red"] {
        assert_eq!(service.admin(&format!("GET /v1/tokens?{query}"), "").await.status, 400, "{query}");
    }
}

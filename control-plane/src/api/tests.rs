use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use fedgate_allow_list::testing::{Nowhere, in_memory};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::auth::{Digest, Token, Tokens};
use crate::verdicts::tests::{Told, found};
use crate::xds::Xds;

/// The service, with the tokens `admin`, `viewer` and `filter`, each of the role that it is named.
pub(super) struct Service {
    admin: Router,
    verdicts: Router,
    pub(super) list: AllowList,
    pub(super) told: std::sync::Arc<Told>,
    pub(super) api: Api,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

pub(super) fn service_on(list: AllowList) -> Service {
    service_that(list, false)
}

/// A service whose list is kept in a file, and so has an audit.
pub(super) fn stored_service(dir: &std::path::Path) -> Service {
    let store = fedgate_store::sqlite::Database::open(&dir.join("fedgate.db")).unwrap();
    let store = Box::new(fedgate_allow_list::sqlite::Sqlite(store));
    service_on(AllowList::open(store, SystemTime::now()).unwrap())
}

/// A service that takes a change of what is there only with a condition.
pub(super) fn demanding_service() -> Service {
    service_that(in_memory(), true)
}

fn service_that(list: AllowList, require_match: bool) -> Service {
    let told = Told::at_once(found("fed.a.com"));
    let refresher = tokio::spawn(std::future::pending::<()>()).abort_handle();
    let parts = parts(list.clone(), told.clone(), refresher);
    let api = Api::from(Parts { require_match, ..parts });
    Service {
        admin: admin(api.clone(), Router::new()),
        verdicts: verdicts(api.clone()),
        list,
        told,
        api,
    }
}

fn parts(list: AllowList, told: std::sync::Arc<Told>, refresher: AbortHandle) -> Parts {
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    let resolve = verdicts.observe(told);
    let egress = crate::xds::Egress {
        connect_timeout: Duration::from_secs(2),
        client_certificate_sds: String::new(),
        trust_sds: String::new(),
    };
    let (_, stopped) = tokio::sync::watch::channel(false);
    let token = |name: &str| Token::new(name, name, &Digest::of(name.as_bytes()).to_string()).unwrap();
    let tokens = Tokens::new(&["admin", "viewer", "filter"].map(token), &list).unwrap();
    let (guard, issuer) = (Guard::new(tokens.clone()), Issuer::new(tokens.clone(), list.clone()));
    let partners = Partners::new(list.clone());
    let streams = partners.streams.clone();
    let targets = Xds::new(&verdicts, resolve, egress, guard.clone(), streams, stopped).targets();
    let settings = crate::config::Settings::default();
    let config = crate::config::Config::load(&settings).unwrap();
    let reload = Reload::new(settings, config, tokens, std::sync::Arc::new(|_| Ok(())), None);
    let (rates, require_match) = (Arc::default(), false);
    Parts {
        list,
        verdicts,
        targets,
        reload,
        refresher,
        guard,
        issuer,
        rates,
        require_match,
        telemetry: Telemetry::default(),
        crowds: Crowds::new(&crate::listener::Budget::secure()),
        started: Instant::now(),
        certificates: Certificates::default(),
        dnssec: "off".to_owned(),
        partners,
        brig: None,
        list_file: None,
    }
}

pub(super) fn service() -> Service {
    service_on(in_memory())
}

async fn send(router: &Router, request: Request) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
    if answer.status >= 400 {
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.body["status"], answer.status);
        assert!(!answer.body["detail"].as_str().unwrap().is_empty());
    }
    answer
}

impl Service {
    /// `METHOD path`, as the token's bearer, with more headers and a body.
    pub(super) async fn call(
        &self,
        token: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = axum::http::Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let of_filters = path.starts_with("/v1/verdicts") || path.starts_with("/v1/reports");
        let router = if of_filters { &self.verdicts } else { &self.admin };
        send(router, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// What stands at `path` on the admin listener, as it comes.
    pub(super) async fn read(&self, token: &str, path: &str) -> Response {
        let request = axum::http::Request::builder().uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        self.admin.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(super) async fn admin(&self, line: &str, body: &str) -> Answer {
        self.call("admin", line, &[], body).await
    }
}

#[tokio::test]
async fn each_role_may_do_its_own_and_no_more() {
    let service = service();
    let table = [
        // request, none, unknown, viewer, filter, admin
        ("GET /v1/domains", [401, 401, 200, 403, 200]),
        ("GET /v1/strategy", [401, 401, 200, 403, 200]),
        ("GET /v1/domains/a.com", [401, 401, 404, 403, 404]),
        ("GET /v1/domains/not_a_domain", [401, 401, 400, 403, 400]),
        ("DELETE /v1/domains/a.com", [401, 401, 403, 403, 404]),
        ("PUT /v1/strategy", [401, 401, 403, 403, 400]),
        ("POST /v1/domains/a.com/refresh", [401, 401, 403, 403, 404]),
        ("PUT /v1/domains/b.com", [401, 401, 403, 403, 201]),
        ("GET /v1/verdicts/a.com", [401, 401, 403, 200, 403]),
        ("GET /v1/verdicts", [401, 401, 403, 200, 403]),
        ("GET /v1/verdicts?wait=61", [401, 401, 403, 400, 403]),
        ("GET /v1/tokens", [401, 401, 200, 403, 200]),
        ("POST /v1/tokens", [401, 401, 403, 403, 400]),
        ("DELETE /v1/tokens/nobody", [401, 401, 403, 403, 404]),
        ("GET /v1/audit", [401, 401, 200, 403, 200]),
        ("GET /metrics", [401, 401, 200, 403, 200]),
        ("GET /v1/nothing", [404, 404, 404, 404, 404]),
        ("GET /healthz", [200, 200, 200, 200, 200]),
        ("GET /readyz", [200, 200, 200, 200, 200]),
    ];
    for (line, expected) in table {
        for (token, status) in ["", "unknown", "viewer", "filter", "admin"].into_iter().zip(expected) {
            let answer = service.call(token, line, &[], "").await;
            assert_eq!(answer.status, status, "{line} as '{token}'");
            assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
        }
    }
}

#[tokio::test]
async fn a_token_comes_in_one_authorization_header_of_the_scheme_bearer() {
    let service = service();
    for (headers, status) in [
        (&[("authorization", "bearer viewer")][..], 200),
        (&[("authorization", "Bearer  viewer ")], 200),
        (&[("authorization", "Basic viewer")], 401),
        (&[("authorization", "Bearer")], 401),
        (&[("authorization", "Bearer ")], 401),
        (&[("authorization", "Bearer viewer"), ("authorization", "Bearer viewer")], 401),
        (&[("authorization", "Bearerviewer")], 401),
    ] {
        assert_eq!(service.call("", "GET /v1/domains", headers, "").await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn a_domain_is_put_shown_changed_and_deleted() {
    let service = service();
    let put = service.admin("PUT /v1/domains/A.com", r#"{"note":"hello"}"#).await;
    assert_eq!((put.status, &put.headers["etag"]), (201, &HeaderValue::from_static("\"1\"")));
    assert_eq!((&put.body["domain"], &put.body["note"]), (&json!("a.com"), &json!("hello")));
    let again = service.admin("PUT /v1/domains/a.com", "").await;
    assert_eq!((again.status, &again.headers["etag"]), (200, &put.headers["etag"]));
    assert_eq!(again.body, put.body);
    let shown = service.admin("GET /v1/domains/a.com", "").await;
    assert_eq!((shown.status, &shown.body["verdict"]), (200, &Value::Null));
    assert!(humantime::parse_rfc3339(shown.body["created_at"].as_str().unwrap()).is_ok());
    assert_eq!(service.told.asked(), 0, "showing looks nothing up");
    let refreshed = service.admin("POST /v1/domains/a.com/refresh", "").await;
    assert_eq!(refreshed.body["hosts"], json!(["fed.a.com"]));
    let shown = service.admin("GET /v1/domains/a.com", "").await;
    assert_eq!(shown.body["verdict"]["hosts"], json!(["fed.a.com"]));
    assert_eq!(service.admin("DELETE /v1/domains/a.com", "").await.status, 204);
    assert_eq!(service.admin("DELETE /v1/domains/a.com", "").await.status, 404);
    assert_eq!(service.admin("POST /v1/domains/a.com/refresh", "").await.status, 404);
}

#[tokio::test]
async fn conditions_guard_writes() {
    let service = service();
    let put = "PUT /v1/domains/a.com";
    let body = r#"{"note":"new"}"#;
    for (line, name, value, status) in [
        (put, "if-match", "*", 412),
        (put, "if-match", "\"1\"", 412),
        (put, "if-none-match", "*", 201),
        (put, "if-none-match", "*", 412),
        (put, "if-none-match", "\"1\"", 400),
        (put, "if-match", "\"7\", \"1\"", 200),
        (put, "if-match", "W/\"1\"", 412),
        ("PUT /v1/strategy", "if-match", "\"9\"", 412),
        ("PUT /v1/strategy", "if-match", "\"0\"", 200),
        ("DELETE /v1/domains/a.com", "if-match", "\"9\"", 412),
        ("DELETE /v1/domains/a.com", "if-match", "\"1\"", 204),
    ] {
        let body = match line {
            "PUT /v1/strategy" => r#"{"strategy":"allowAll"}"#,
            _ if line == put => body,
            _ => "",
        };
        let answer = service.call("admin", line, &[(name, value)], body).await;
        assert_eq!(answer.status, status, "{line} {name}: {value}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_it_should_be_is_a_problem() {
    let service = service();
    let deep = "[".repeat(10_000);
    let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(501));
    let huge = format!(r#"{{"note":"{}"}}"#, "x".repeat(70_000));
    for (line, body, status) in [
        ("PUT /v1/domains/a.com", "{", 400),
        ("PUT /v1/domains/a.com", &deep, 422),
        ("PUT /v1/domains/a.com", r#"["block"]"#, 422),
        ("PUT /v1/domains/a.com", r#"{"restriction":["allow_all"]}"#, 422),
        ("PUT /v1/domains/a.com", r#"{"action":"block","mode":"shadow"}"#, 409),
        ("PUT /v1/strategy", r#"["allowAll"]"#, 422),
        ("PUT /v1/domains/a.com", r#"{"note":[[[[]]]]}"#, 422),
        ("PUT /v1/domains/a.com", r#"{"note":"x","colour":"red"}"#, 422),
        ("PUT /v1/domains/a.com", r#"{"note":"a\u0000b"}"#, 422),
        ("PUT /v1/domains/a.com", r#"{"note":"a\nb"}"#, 422),
        ("PUT /v1/domains/a.com", &long, 422),
        ("PUT /v1/domains/a.com", &huge, 413),
        ("PUT /v1/domains/a.com", "{}{}", 400),
        ("PUT /v1/strategy", r#"{"strategy":"allowEverybody"}"#, 422),
        ("PUT /v1/strategy", r#"{"strategy":"allowAll","x":1}"#, 422),
        ("PUT /v1/strategy", "{}", 422),
        ("PUT /v1/strategy", "", 400),
    ] {
        let answer = service.admin(line, body).await;
        assert_eq!(answer.status, status, "{line} {:.40} {}", body, answer.body);
    }
    let form = service.call("admin", "PUT /v1/strategy", &[], "").await;
    assert_eq!(form.status, 400);
    assert_eq!(service.admin("GET /v1/domains", "").await.body["domains"], json!([]));
}

#[tokio::test]
async fn the_date_of_an_answer_is_not_kept_for_the_next() {
    let service = service();
    for (caller, line) in
        [("filter", "GET /v1/verdicts"), ("admin", "GET /v1/domains"), ("none", "GET /x")]
    {
        let date = &service.call(caller, line, &[], "").await.headers["date"];
        assert!(date.is_sensitive() && date.to_str().unwrap().ends_with(" GMT"), "{line}");
    }
}

#[tokio::test]
async fn the_feed_tells_what_the_list_becomes() {
    let service = service();
    let ask = async |query: &str| {
        let answer = service.call("filter", &format!("GET /v1/verdicts{query}"), &[], "").await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (200, &HeaderValue::from_static("application/json"))
        );
        answer.body
    };
    let empty = ask("").await;
    assert_eq!((&empty["reset"], &empty["more"]), (&json!(true), &json!(false)));
    assert_eq!((&empty["verdicts"], &empty["removed"]), (&json!([]), &json!([])));
    let cursor = |page: &Value| format!("?wait=60&cursor={}", page["cursor"].as_str().unwrap());

    let (added, put) = tokio::join!(biased; async { ask(&cursor(&empty)).await }, async {
        service.admin("PUT /v1/domains/a.com", "").await
    });
    assert_eq!(put.status, 201);
    assert_eq!((&added["reset"], &added["strategy"]), (&json!(false), &json!("allowDynamic")));
    assert_eq!(
        (&added["verdicts"][0]["domain"], &added["verdicts"][0]["ttl_ms"]),
        (&json!("a.com"), &json!(0))
    );

    service.admin("POST /v1/domains/a.com/refresh", "").await;
    let known = ask(&cursor(&added)).await;
    assert_eq!(known["verdicts"][0]["hosts"], json!(["fed.a.com"]));
    service.admin("DELETE /v1/domains/a.com", "").await;
    let gone = ask(&cursor(&known)).await;
    assert_eq!((&gone["verdicts"], &gone["removed"]), (&json!([]), &json!(["a.com"])));
    service.admin("PUT /v1/strategy", r#"{"strategy":"allowAll"}"#).await;
    let strategy = ask(&cursor(&gone)).await;
    assert_eq!((&strategy["strategy"], &strategy["removed"]), (&json!("allowAll"), &json!([])));
}

#[tokio::test(start_paused = true)]
async fn the_feed_waits_a_minute_and_no_longer() {
    let service = service();
    let cursor = service.call("filter", "GET /v1/verdicts", &[], "").await.body["cursor"].clone();
    let query = |wait: u64| format!("GET /v1/verdicts?wait={wait}&cursor={}", cursor.as_str().unwrap());
    for wait in [0, 1, 60] {
        let before = tokio::time::Instant::now();
        let page = service.call("filter", &query(wait), &[], "").await;
        assert_eq!((page.status, &page.body["cursor"]), (200, &cursor));
        assert_eq!((&page.body["reset"], &page.body["verdicts"]), (&json!(false), &json!([])));
        assert_eq!(before.elapsed().as_secs(), wait);
    }
    for bad in ["wait=61", "wait=-1", "wait=1.5", "wait=", "wait=1&wait=1", "colour=red"] {
        let line = format!("GET /v1/verdicts?{bad}");
        assert_eq!(service.call("filter", &line, &[], "").await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_path_that_holds_no_domain_is_refused() {
    let service = service();
    for path in [
        "a",
        "a_b.com",
        "a.com.",
        "192.0.2.1",
        "%00.com",
        "..%2f..%2fetc.com",
        "a.com%0d%0ax",
        "%ff.com",
    ] {
        let line = format!("PUT /v1/domains/{path}");
        assert_eq!(service.admin(&line, "").await.status, 400, "{path}");
        let line = format!("GET /v1/verdicts/{path}");
        assert_eq!(service.call("filter", &line, &[], "").await.status, 400, "{path}");
    }
    let answer = service.admin("GET /v1/domains/a_b.com", "").await;
    let detail = "'a_b.com' is not a backend domain: it has the octet 0x5f where only letters, digits, '-' and '.' may be";
    assert_eq!(answer.body["detail"], detail);
}

#[tokio::test]
async fn pages_follow_one_another() {
    let service = service();
    for name in ["a", "b", "c"] {
        service.admin(&format!("PUT /v1/domains/{name}.com"), "").await;
    }
    let first = service.admin("GET /v1/domains?limit=2", "").await.body;
    assert_eq!((first["domains"].as_array().unwrap().len(), &first["next"]), (2, &json!("b.com")));
    let second = service.admin("GET /v1/domains?limit=2&after=b.com", "").await.body;
    assert_eq!((&second["domains"][0]["domain"], &second["next"]), (&json!("c.com"), &Value::Null));
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "after=a_b", "colour=red"] {
        assert_eq!(service.admin(&format!("GET /v1/domains?{query}"), "").await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_problem() {
    let service = service();
    let answer = service.admin("POST /v1/strategy", "").await;
    assert_eq!((answer.status, &answer.headers["allow"]), (405, &"GET,HEAD,PUT".parse().unwrap()));
    assert_eq!(service.admin("DELETE /healthz", "").await.status, 405);
}

#[tokio::test]
async fn a_store_that_fails_says_so_and_changes_nothing() {
    let service =
        service_on(AllowList::open(Box::new(Nowhere { full: true }), SystemTime::now()).unwrap());
    let put = service.admin("PUT /v1/domains/a.com", "").await;
    assert_eq!((put.status, &put.body["detail"]), (507, &json!("the store's disk is full")));
    assert_eq!(service.admin("GET /v1/domains/a.com", "").await.status, 404);
    assert_eq!(service.admin("GET /readyz", "").await.status, 503);
    assert_eq!(service.admin("GET /healthz", "").await.status, 200);
}

#[tokio::test]
async fn without_its_refresher_it_is_not_ready() {
    let list = in_memory();
    let ended = tokio::spawn(async {});
    let refresher = ended.abort_handle();
    ended.await.unwrap();
    let router = admin(parts(list, Told::at_once(found("fed.a.com")), refresher).into(), Router::new());
    let request = axum::http::Request::builder().uri("/readyz").body(Body::empty()).unwrap();
    assert_eq!(send(&router, request).await.status, 503);
}

#[tokio::test]
async fn the_openapi_documents_know_every_route() {
    let service = service();
    let admin = service.call("", "GET /openapi.json", &[], "").await.body;
    let mut paths: Vec<_> = admin["paths"].as_object().unwrap().keys().cloned().collect();
    paths.sort();
    let expected = [
        "/healthz",
        "/metrics",
        "/readyz",
        "/v1/audit",
        "/v1/brig",
        "/v1/brig/import",
        "/v1/configuration",
        "/v1/domains",
        "/v1/domains/{domain}",
        "/v1/domains/{domain}/refresh",
        "/v1/explain",
        "/v1/partners",
        "/v1/partners/{domain}",
        "/v1/partners/{domain}/retry",
        "/v1/reload",
        "/v1/status",
        "/v1/store/backup",
        "/v1/strategy",
        "/v1/tokens",
        "/v1/tokens/{name}",
    ];
    assert_eq!(paths, expected);
    assert!(admin["components"]["schemas"]["Verdict"].is_object());
    for (path, item) in admin["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            let open = ["/healthz", "/readyz"].contains(&path.as_str());
            for status in ["401", "403", "429"] {
                assert_eq!(answers.contains_key(status), !open, "{method} {path} {status}");
            }
            assert!(answers.values().all(|it| it["description"].is_string()), "{method} {path}");
        }
    }
    assert_eq!(admin["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let request = axum::http::Request::builder().uri("/openapi.json").body(Body::empty()).unwrap();
    let verdicts = send(&service.verdicts, request).await.body;
    assert!(verdicts["paths"]["/v1/verdicts"].is_object());
    let strategy = &verdicts["components"]["schemas"]["FeedPage"]["properties"]["strategy"];
    assert_eq!(strategy["enum"], json!(["allowNone", "allowDynamic", "allowAll"]));
}

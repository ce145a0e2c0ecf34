//! Wire's brig, as far as its list of federation remotes goes: over real HTTP, with what is awkward about it.
//!
//! `POST` is an upsert, there is no `DELETE`, errors come as 533 `federation-unexpected-wai-error`, rows of its own
//! file cannot be changed, it takes 10,000 rows, and asks nobody for a token.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// As many rows as it takes.
pub const LIMIT: usize = 10_000;

/// How it behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// It takes this long for each answer.
    Slow(Duration),
    /// It takes requests, and never answers.
    Hangs,
    /// It answers all with this status and body.
    Says(u16, String),
    /// Its list is empty, and it takes no writes.
    Forgetful,
}

/// What it has.
#[derive(Debug)]
pub struct Rows {
    /// Search policy and restriction by domain.
    pub rows: BTreeMap<String, Value>,
    /// The domains of its own file.
    pub file: BTreeSet<String>,
    /// Whether a change of a row of its file is answered with 200 all the same.
    pub file_is_silent: bool,
    /// Its strategy.
    pub strategy: String,
    /// How it behaves.
    pub mood: Mood,
    /// The writes that came, as `METHOD path`.
    pub writes: Vec<String>,
}

/// A brig; when it is dropped or killed, its port is closed and its connections break.
#[derive(Debug)]
pub struct Brig {
    address: SocketAddr,
    rows: Shared,
    runtime: Option<Runtime>,
}

type Shared = Arc<Mutex<Rows>>;

/// A row's content in brig's shape.
#[must_use]
pub fn row(search_policy: &str, teams: Option<&[&str]>) -> Value {
    let restriction = match teams {
        None => json!({"tag": "allow_all", "value": null}),
        Some(teams) => json!({"tag": "restrict_by_team", "value": teams}),
    };
    json!({"search_policy": search_policy, "restriction": restriction})
}

/// The row that stands for "removed".
#[must_use]
pub fn closed() -> Value {
    row("no_search", Some(&[]))
}

// === impl Brig ===

impl Brig {
    /// Starts one with an empty list.
    pub fn start(address: SocketAddr) -> Self {
        let rows = Rows {
            rows: BTreeMap::new(),
            file: BTreeSet::new(),
            file_is_silent: false,
            strategy: "allowDynamic".to_owned(),
            mood: Mood::Well,
            writes: Vec::new(),
        };
        let mut brig = Self { address, rows: Arc::new(Mutex::new(rows)), runtime: None };
        brig.restart();
        brig
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has, to look at and to change.
    pub fn rows(&self) -> MutexGuard<'_, Rows> {
        lock(&self.rows)
    }

    /// `kill -9`: nobody listens any more. What it has stays, as its database would.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.kill();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let router = router(&self.rows);
        let listener = crate::process::eventually("brig's port is free", || {
            runtime.block_on(TcpListener::bind(self.address)).ok()
        });
        runtime.spawn(async move { axum::serve(listener, router).await });
        self.runtime = Some(runtime);
    }
}

impl Drop for Brig {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock(rows: &Shared) -> MutexGuard<'_, Rows> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

fn router(rows: &Shared) -> Router {
    Router::new()
        .route("/i/federation/remotes", get(list).post(add))
        .route("/i/federation/remotes/{domain}", put(change))
        .route("/i/federation/remotes/{domain}/teams", get(teams).post(add_team))
        .route("/i/federation/remotes/{domain}/teams/{team}", delete(remove_team))
        .layer(from_fn_with_state(rows.clone(), behave))
        .with_state(rows.clone())
}

/// As its mood is.
async fn behave(State(rows): State<Shared>, request: Request, next: Next) -> Response {
    let is_read = *request.method() == Method::GET;
    let mood = {
        let mut rows = lock(&rows);
        if !is_read {
            rows.writes.push(format!("{} {}", request.method(), request.uri().path()));
        }
        rows.mood.clone()
    };
    match mood {
        Mood::Well => next.run(request).await,
        // To its end, even if the caller has gone away.
        Mood::Slow(time) => tokio::spawn(async move {
            tokio::time::sleep(time).await;
            next.run(request).await
        })
        .await
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        Mood::Hangs => std::future::pending().await,
        Mood::Says(status, body) => {
            (StatusCode::from_u16(status).expect("a status"), body).into_response()
        }
        Mood::Forgetful if is_read => {
            Json(json!({"remotes": [], "strategy": "allowDynamic", "update_interval": 10}))
                .into_response()
        }
        Mood::Forgetful => refuse("there is nothing here"),
    }
}

async fn list(State(rows): State<Shared>) -> Json<Value> {
    let rows = lock(&rows);
    let remotes: Vec<_> = rows
        .rows
        .iter()
        .map(|(domain, content)| {
            let mut row = content.clone();
            row["domain"] = domain.as_str().into();
            row
        })
        .collect();
    Json(json!({"remotes": remotes, "strategy": rows.strategy, "update_interval": 10}))
}

async fn add(State(rows): State<Shared>, body: Bytes) -> Response {
    let Some((domain, content)) = read(&body) else { return unreadable() };
    let mut rows = lock(&rows);
    if !rows.rows.contains_key(&domain) && rows.rows.len() >= LIMIT {
        return refuse("the maximum number of remote backends is reached");
    }
    rows.write(domain, content)
}

async fn change(State(rows): State<Shared>, Path(path): Path<String>, body: Bytes) -> Response {
    let Some((domain, content)) = read(&body) else { return unreadable() };
    let mut rows = lock(&rows);
    if domain != path {
        return refuse("the domain of the path is not that of the body");
    }
    if !rows.rows.contains_key(&domain) {
        return refuse("there is no such remote");
    }
    rows.write(domain, content)
}

async fn teams(State(rows): State<Shared>, Path(domain): Path<String>) -> Json<Value> {
    let rows = lock(&rows);
    let teams = rows.rows.get(&domain).and_then(|row| row["restriction"]["value"].as_array());
    let teams = teams.into_iter().flatten().map(|team| json!({"team_id": team}));
    Json(teams.collect())
}

async fn add_team(State(rows): State<Shared>, Path(domain): Path<String>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut rows = lock(&rows);
    let row = rows.rows.get_mut(&domain).and_then(|row| row["restriction"]["value"].as_array_mut());
    match row {
        Some(teams) if !teams.contains(&body["team_id"]) => teams.push(body["team_id"].clone()),
        Some(_) => {}
        None => return refuse("there is no such remote, or it is not restricted by team"),
    }
    done()
}

async fn remove_team(
    State(rows): State<Shared>,
    Path((domain, team)): Path<(String, String)>,
) -> Response {
    let mut rows = lock(&rows);
    let row = rows.rows.get_mut(&domain).and_then(|row| row["restriction"]["value"].as_array_mut());
    if let Some(teams) = row {
        teams.retain(|it| *it != team);
    }
    done()
}

// === impl Rows ===

impl Rows {
    fn write(&mut self, domain: String, content: Value) -> Response {
        if self.file.contains(&domain) {
            return if self.file_is_silent {
                done()
            } else {
                refuse("a row of the file stays as it is")
            };
        }
        self.rows.insert(domain, content);
        done()
    }
}

/// Domain and content of a row.
fn read(body: &[u8]) -> Option<(String, Value)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let policies = ["no_search", "exact_handle_search", "full_search"];
    let policy = body["search_policy"].as_str().filter(|policy| policies.contains(policy))?;
    let restriction = match (body["restriction"]["tag"].as_str(), &body["restriction"]["value"]) {
        (Some("allow_all"), Value::Null) | (Some("restrict_by_team"), Value::Array(_)) => {
            body["restriction"].clone()
        }
        _ => return None,
    };
    let domain = body["domain"].as_str()?.to_owned();
    Some((domain, json!({"search_policy": policy, "restriction": restriction})))
}

fn done() -> Response {
    Json(json!([])).into_response()
}

fn unreadable() -> Response {
    (StatusCode::BAD_REQUEST, "Error in $: not a remote").into_response()
}

fn refuse(message: &str) -> Response {
    let status = StatusCode::from_u16(533).expect("a status");
    let label = "federation-unexpected-wai-error";
    (status, Json(json!({"code": 533, "label": label, "message": message}))).into_response()
}

//! A backend's services in one: answers every request with what it received.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The ports of brig, galley and cargohold.
pub const PORTS: [u16; 3] = [8080, 8085, 8084];

/// The running services; they end with the runtime that they were started on.
#[derive(Debug)]
pub struct Backend {
    received: Received,
}

type Received = Arc<Mutex<Vec<Value>>>;

// === impl Backend ===

impl Backend {
    /// Serves all three components on `ip`.
    pub fn start(runtime: &Runtime, ip: std::net::Ipv4Addr) -> Self {
        let received = Received::default();
        for (component, port) in ["brig", "galley", "cargohold"].into_iter().zip(PORTS) {
            let address = SocketAddr::from((ip, port));
            let router = Router::new().fallback(echo).with_state((component, Arc::clone(&received)));
            let listener =
                runtime.block_on(TcpListener::bind(address)).expect("a free port for a service");
            runtime.spawn(async move { axum::serve(listener, router).await });
        }
        Self { received }
    }

    /// What it received so far, as it told it: `{"component","method","path","headers":[[name,value]…]}`.
    pub fn received(&self) -> Vec<Value> {
        self.received.lock().expect("no holder panics").clone()
    }

    /// Whether a request for the remote procedure `rpc` has come.
    pub fn saw(&self, rpc: &str) -> bool {
        let path = format!("/federation/{rpc}");
        self.received()
            .iter()
            .any(|request| request["path"].as_str().is_some_and(|p| p.starts_with(&path)))
    }
}

async fn echo(
    State((component, received)): State<(&'static str, Received)>,
    request: Request,
) -> Json<Value> {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let request = json!({
        "component": component,
        "method": request.method().as_str(),
        "path": request.uri().to_string(),
        "headers": headers,
    });
    received.lock().expect("no holder panics").push(request.clone());
    Json(request)
}

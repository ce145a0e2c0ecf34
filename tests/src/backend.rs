//! A backend's services in one, shaped like Wire's: they take JSON and nothing else, stream assets, and
//! answer every other request with what they received.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The ports of brig, galley and cargohold.
pub const PORTS: [u16; 3] = [8080, 8085, 8084];
/// The octets of the asset that `stream-asset` answers with.
pub const ASSET: usize = 100_000_000;
/// A piece of the asset.
const PIECE: usize = 50_000;
/// How long a request's body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest body that is taken.
const MAX_BODY: usize = 16 << 20;

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
            let router = Router::new().fallback(answer).with_state((component, Arc::clone(&received)));
            let listener =
                runtime.block_on(TcpListener::bind(address)).expect("a free port for a service");
            runtime.spawn(async move { axum::serve(listener, router).await });
        }
        Self { received }
    }

    /// What it received so far, as it told it: `{"component","method","path","octets","headers":[[name,value]…]}`.
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

async fn answer(
    State((component, received)): State<(&'static str, Received)>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let mut request = json!({
        "component": component,
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": headers,
    });
    received.lock().expect("no holder panics").push(request.clone());
    // As Wire's framework: the type is looked at first, and it is the one that it takes.
    let mut types = head.headers.get_all(header::CONTENT_TYPE).iter();
    if types.next().is_none_or(|value| value != "application/json") || types.next().is_some() {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => request["octets"] = body.len().into(),
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    }
    if (component, head.uri.path()) == ("cargohold", "/federation/stream-asset") {
        return asset().into_response();
    }
    Json(request).into_response()
}

/// [`ASSET`] octets, made as they are sent.
fn asset() -> Body {
    static OCTETS: [u8; PIECE] = [b'x'; PIECE];
    let pieces =
        (0..ASSET / PIECE).map(|_| Ok::<_, std::convert::Infallible>(Bytes::from_static(&OCTETS)));
    Body::from_stream(stream::iter(pieces))
}

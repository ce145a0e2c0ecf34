//! One of our own services: calls other backends through the egress as Wire's client does, in plain
//! HTTP/2 with prior knowledge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use h2::RecvStream;
use http::Response;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::http2::{self, Answer, CallError, Header, Http2, bounded};
use crate::witness::{Door, Witness};

/// Where a service finds the egress. Each call is made on a connection of its own.
#[derive(Clone, Debug)]
pub struct Local {
    egress: SocketAddr,
    runtime: Arc<Runtime>,
    witness: Option<Witness>,
}

// === impl Local ===

impl Local {
    /// A service beside this egress.
    pub fn new(egress: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { egress, runtime: Arc::new(runtime.expect("a runtime")), witness: None }
    }

    /// The same service, whose answers are compared with what this control plane says, if there is one.
    #[must_use]
    pub fn explained_by(mut self, witness: Option<Witness>) -> Self {
        self.witness = witness;
        self
    }

    /// The same service, whose answers are not compared, because …
    #[must_use]
    pub fn unexplained(self, _because: &str) -> Self {
        self.explained_by(None)
    }

    /// Calls a remote procedure of the brig of `domain`.
    pub fn call(&self, domain: &str, rpc: &str) -> Result<Answer, CallError> {
        self.request("POST", &format!("/rpc/{domain}/brig/{rpc}"), &[])
    }

    /// Calls it without a body.
    pub fn call_without_body(&self, domain: &str, rpc: &str) -> Result<Answer, CallError> {
        self.send("POST", &format!("/rpc/{domain}/brig/{rpc}"), &[], Bytes::new())
    }

    /// Sends a request of any method and path, and compares the answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
    ) -> Result<Answer, CallError> {
        self.send(method, path, headers, "{}".into())
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let id = request_id();
        let headers = numbered(&id, headers);
        self.runtime.block_on(async { self.connect().await?.send(method, path, &headers, body).await })
    }

    /// Sends a request with this body, and gives the answer as it comes. It is not compared, because whoever asks reads it
    /// piece by piece.
    pub fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
        body: Bytes,
    ) -> Result<Response<RecvStream>, CallError> {
        let id = request_id();
        let headers = numbered(&id, headers);
        self.runtime.block_on(async { self.connect().await?.open(method, path, &headers, body).await })
    }

    /// Opens a connection, for several calls.
    pub async fn connect(&self) -> Result<Http2, CallError> {
        connect(self.egress, self.witness.clone()).await
    }

    /// Reads an answer to its end.
    pub fn read(&self, response: Response<RecvStream>) -> Result<Answer, CallError> {
        self.runtime.block_on(Answer::read(response))
    }

    /// The next piece of an answer's body.
    pub fn next(&self, body: &mut RecvStream) -> Result<Option<Bytes>, CallError> {
        self.runtime.block_on(http2::next(body))
    }

    /// What calls run on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

/// Opens a connection to an egress, on which answers are compared where there is a witness.
pub(crate) async fn connect(egress: SocketAddr, witness: Option<Witness>) -> Result<Http2, CallError> {
    let stream = bounded(TcpStream::connect(egress)).await?;
    let open = Http2::over(stream, "http://federator:8080").await?;
    Ok(open.beside(witness.map(|it| it.beside(Door::Egress(egress)))))
}

/// These headers with a number, where they have none.
fn numbered<'a>(id: &'a str, headers: &[Header<'a>]) -> Vec<Header<'a>> {
    let has_id = headers.iter().any(|header| header.0.eq_ignore_ascii_case("request-id"));
    let own = [("request-id", id.as_bytes())];
    [if has_id { &[] } else { &own[..] }, headers].concat()
}

/// A number for a request, as Wire's services give each.
fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("local-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

//! The client: HTTP/2 requests, a fixed number of them at any time, on connections that are kept or on one
//! for each.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use fedgate_tests::caller::CallError;
use fedgate_tests::http2::WIRE_HEADERS;
use fedgate_tests::pki::{Authority, Identity};
use h2::client::SendRequest;
use http::{Request, request};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

/// The name in the ingress's certificate.
pub(crate) const INGRESS: &str = "infra.b.com";
/// What a federated request of the usual kind carries.
const BODY: &[u8] = br#"{"domain":"b.com","handle":"alice"}"#;
/// How long a burst may take: far more than it does.
const TIMEOUT: Duration = Duration::from_secs(120);

/// HTTP/2 connections to one server.
#[derive(Clone)]
pub(crate) struct Connections {
    source: Source,
    /// The requests that are made, of a domain each.
    request: fn(&str) -> Result<Request<()>, CallError>,
}

/// Where a request finds its connection.
#[derive(Clone)]
enum Source {
    /// These stay open.
    Kept(Vec<SendRequest<Bytes>>),
    /// Each request opens one of its own.
    Fresh(Rc<Fresh>),
}

/// Mutual TLS connections to be opened.
struct Fresh {
    server: SocketAddr,
    /// Who calls, one after the other and again.
    clients: Vec<Arc<ClientConfig>>,
    opened: Cell<usize>,
}

/// What a burst took.
#[derive(Debug)]
pub(crate) struct Burst {
    /// Microseconds from sending a request to having its whole answer, for each.
    pub(crate) latencies: Vec<f64>,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
}

// === impl Connections ===

impl Connections {
    /// Opens mutual TLS connections, for federated requests, whose domain is their origin.
    pub(crate) async fn open_tls(
        server: SocketAddr,
        number: usize,
        config: &Arc<ClientConfig>,
    ) -> Result<Self, CallError> {
        let mut senders = vec![];
        for _ in 0..number {
            senders.push(open_tls(server, config).await?);
        }
        Ok(Self { source: Source::Kept(senders), request: federated })
    }

    /// A mutual TLS connection for each request, as Wire's federator opens them; these clients in turn.
    pub(crate) fn fresh(server: SocketAddr, clients: Vec<Arc<ClientConfig>>) -> Self {
        let fresh = Fresh { server, clients, opened: Cell::new(0) };
        Self { source: Source::Fresh(Rc::new(fresh)), request: federated }
    }

    /// Opens connections without TLS, for calls of our own services, whose domain is the one called.
    pub(crate) async fn open_plain(server: SocketAddr, number: usize) -> Result<Self, CallError> {
        let mut senders = vec![];
        for _ in 0..number {
            senders.push(handshake(connect(server).await?).await?);
        }
        Ok(Self { source: Source::Kept(senders), request: outgoing })
    }

    /// One request of `domain` on the connection `n`, modulo their number; its answer's status.
    pub(crate) async fn call(&self, n: usize, domain: &str) -> Result<u16, CallError> {
        let request = (self.request)(domain)?;
        Ok(exchange(&self.sender(n).await?, request, BODY).await?.0)
    }

    /// One request without a body; its answer's status and body.
    pub(crate) async fn send(&self, request: Request<()>) -> Result<(u16, Vec<u8>), CallError> {
        exchange(&self.sender(0).await?, request, &[]).await
    }

    async fn sender(&self, n: usize) -> Result<SendRequest<Bytes>, CallError> {
        match &self.source {
            Source::Kept(senders) => turn(senders, n).cloned(),
            Source::Fresh(fresh) => {
                let n = fresh.opened.replace(fresh.opened.get() + 1);
                open_tls(fresh.server, turn(&fresh.clients, n)?).await
            }
        }
    }

    /// A request of each of these domains, `streams` of them at any time, spread over the
    /// connections. Fails when one is answered with anything but 200.
    pub(crate) async fn burst(&self, domains: Vec<String>, streams: usize) -> Result<Burst, CallError> {
        let mut latencies = Vec::with_capacity(domains.len());
        let left = Rc::new(RefCell::new(domains));
        let start = Instant::now();
        let tasks = LocalSet::new();
        let workers: Vec<_> =
            (0..streams).map(|n| tasks.spawn_local(stream(self.clone(), n, Rc::clone(&left)))).collect();
        tokio::time::timeout(TIMEOUT, tasks).await.map_err(failed)?;
        let elapsed = start.elapsed();
        for worker in workers {
            latencies.extend(worker.await.map_err(failed)??);
        }
        Ok(Burst { latencies, elapsed })
    }
}

/// The one whose turn is the `n`th.
fn turn<T>(all: &[T], n: usize) -> Result<&T, CallError> {
    let index = n.checked_rem(all.len()).unwrap_or_default();
    all.get(index).ok_or_else(|| failed("there is no connection"))
}

/// One request after the other as long as there are any left.
async fn stream(
    connections: Connections,
    n: usize,
    left: Rc<RefCell<Vec<String>>>,
) -> Result<Vec<f64>, CallError> {
    let mut latencies = vec![];
    let next = || left.borrow_mut().pop();
    while let Some(domain) = next() {
        let sent = Instant::now();
        let status = connections.call(n, &domain).await?;
        if status != 200 {
            return Err(failed(format!("a request under load was answered with {status}")));
        }
        latencies.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    Ok(latencies)
}

// === one exchange ===

fn federated(origin: &str) -> Result<Request<()>, CallError> {
    let request = Request::post("https://infra.b.com/federation/brig/search-users");
    as_wire_does(request.header("wire-origin-domain", origin))
}

fn outgoing(domain: &str) -> Result<Request<()>, CallError> {
    as_wire_does(Request::post(format!("http://federator/rpc/{domain}/brig/search-users")))
}

fn as_wire_does(mut request: request::Builder) -> Result<Request<()>, CallError> {
    for (name, value) in WIRE_HEADERS {
        request = request.header(name, value);
    }
    request.header("request-id", "bench").body(()).map_err(failed)
}

async fn exchange(
    sender: &SendRequest<Bytes>,
    request: Request<()>,
    body: &'static [u8],
) -> Result<(u16, Vec<u8>), CallError> {
    let mut sender = sender.clone().ready().await.map_err(failed)?;
    let (response, mut stream) = sender.send_request(request, body.is_empty()).map_err(failed)?;
    if !body.is_empty() {
        // A refusal may end the stream before it has the body: the answer counts.
        let _ = stream.send_data(Bytes::from_static(body), true);
    }
    let response = response.await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = vec![];
    while let Some(data) = body.data().await {
        let data = data.map_err(failed)?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).map_err(failed)?;
    }
    Ok((status, bytes))
}

// === connecting ===

/// A client that shows `identity`, and trusts servers of `authority`.
pub(crate) fn client_config(authority: &Authority, identity: &Identity) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM"))
        .expect("a root certificate");
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.expect("PEM"), key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

pub(super) async fn open_tls(
    server: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<SendRequest<Bytes>, CallError> {
    let socket = connect(server).await?;
    let name = ServerName::try_from(INGRESS).map_err(failed)?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, socket).await;
    handshake(stream.map_err(failed)?).await
}

async fn connect(server: SocketAddr) -> Result<TcpStream, CallError> {
    let socket = TcpStream::connect(server).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    Ok(socket)
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Bytes>, CallError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = h2::client::handshake(stream).await.map_err(failed)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Whatever went wrong, as a sentence.
pub(crate) fn failed(error: impl fmt::Display) -> CallError {
    CallError(error.to_string())
}

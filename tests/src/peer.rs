//! Another backend's ingress, in as little as it takes: TLS with client certificates, and an echo.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::any;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pki::Identity;
use crate::process::eventually;

/// A peer that answers; when it is dropped, its port is closed and its connections break.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    _runtime: Runtime,
}

// === impl Peer ===

impl Peer {
    /// A peer that tells with `name` what it received.
    pub fn echo(address: SocketAddr, name: &str, identity: &Identity, trust: &str) -> Self {
        Self::serve(address, identity, trust, echo(name))
    }

    /// A peer that tells it in HTTP/1.1, and closes the connection after each answer, so that each call
    /// needs a new one.
    pub fn echo_once(address: SocketAddr, name: &str, identity: &Identity, trust: &str) -> Self {
        let close = map_response(async |mut response: Response| {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        });
        Self::start(address, server_config(identity, trust, &["http/1.1"]), echo(name).layer(close))
    }

    /// A peer that answers as `router` does.
    pub fn serve(address: SocketAddr, identity: &Identity, trust: &str, router: Router) -> Self {
        Self::start(address, server_config(identity, trust, &["h2", "http/1.1"]), router)
    }

    /// A peer that shakes hands as `config` says, and answers as `router` does.
    pub fn start(address: SocketAddr, config: ServerConfig, router: Router) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let tls = TlsAcceptor::from(Arc::new(config));
        // A program that another test starts may hold the socket of a peer before this for a moment, between fork and exec.
        let bind = || runtime.block_on(TcpListener::bind(address)).ok();
        let listener = eventually("a free port for a peer", bind);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let count = move |request: Request| {
            counted.fetch_add(1, Ordering::SeqCst);
            request
        };
        let router = router.layer(axum::middleware::map_request(move |request| {
            let request = count(request);
            async move { request }
        }));
        runtime.spawn(async move { axum::serve(Listener { listener, tls }, router).await });
        Self { address, calls, _runtime: runtime }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many calls it has received.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Answers with what was received, and with `name`.
fn echo(name: &str) -> Router {
    let name = name.to_owned();
    let echo = move |request: Request| {
        let headers: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
            .collect();
        let received = json!({
            "peer": name,
            "method": request.method().as_str(),
            "path": request.uri().path(),
            "host": request.uri().host(),
            "version": format!("{:?}", request.version()),
            "headers": headers,
        });
        async move { axum::Json(received) }
    };
    Router::new().fallback(any(echo))
}

fn server_config(identity: &Identity, trust: &str, protocols: &[&str]) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a root certificate");
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_client_cert_verifier(verifier.build().expect("roots"))
        .with_single_cert(chain.collect::<Result<_, _>>().expect("PEM"), key)
        .expect("a certificate and its key");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

struct Listener {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = axum::serve::Listener::accept(&mut self.listener).await;
            // A handshake that fails is the caller's to tell of.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

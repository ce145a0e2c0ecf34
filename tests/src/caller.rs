//! Another backend's federator: calls an ingress over mutual TLS, well-behaved or not.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use h2::client::SendRequest;
use http::{HeaderName, HeaderValue, Request};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pki::Identity;

/// How long one exchange may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Who calls, and whom. Each connection makes its own TLS session, unless it says otherwise.
#[derive(Clone)]
pub struct Caller {
    address: SocketAddr,
    server_name: String,
    config: ClientConfig,
}

/// Why a call brought no answer.
#[derive(Debug)]
pub struct CallError(pub String);

/// An answer to one request.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// One HTTP/1.1 connection.
#[derive(Debug)]
pub struct Http1(TlsStream<TcpStream>);

/// One HTTP/2 connection; clones share it.
#[derive(Clone, Debug)]
pub struct Http2(SendRequest<axum::body::Bytes>);

/// One HTTP/2 connection of raw frames, for what a client library refuses to send.
#[derive(Debug)]
pub struct RawHttp2(TlsStream<TcpStream>);

/// A header: name and raw value.
pub type Header<'a> = (&'a str, &'a [u8]);

// === impl Caller ===

impl Caller {
    /// A caller that trusts the server authority `trust` (PEM) and shows `identity`, if any.
    pub fn new(
        address: SocketAddr,
        server_name: &str,
        trust: &str,
        identity: Option<&Identity>,
    ) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, address, server_name, trust, identity)
    }

    /// A caller that speaks only some versions of TLS.
    pub fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        address: SocketAddr,
        server_name: &str,
        trust: &str,
        identity: Option<&Identity>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(trust.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("a root certificate");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("known versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(Always::new(identity))),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Self { address, server_name: server_name.to_owned(), config }
    }

    /// The same caller, keeping TLS sessions to resume them on later connections.
    #[must_use]
    pub fn resuming(mut self) -> Self {
        self.config.resumption = Resumption::in_memory_sessions(16);
        self
    }

    async fn connect(&self, alpn: &[u8]) -> Result<TlsStream<TcpStream>, CallError> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        let socket = bounded(TcpStream::connect(self.address)).await?;
        let name = ServerName::try_from(self.server_name.clone()).expect("a host name");
        bounded(TlsConnector::from(Arc::new(config)).connect(name, socket)).await
    }

    /// Opens a connection for HTTP/1.1.
    pub async fn http1(&self) -> Result<Http1, CallError> {
        Ok(Http1(self.connect(b"http/1.1").await?))
    }

    /// Opens a connection for HTTP/2.
    pub async fn http2(&self) -> Result<Http2, CallError> {
        let stream = self.connect(b"h2").await?;
        let (sender, connection) = bounded(h2::client::handshake(stream)).await?;
        tokio::spawn(connection);
        Ok(Http2(sender))
    }

    /// Opens a connection for HTTP/2 in raw frames.
    pub async fn raw_http2(&self) -> Result<RawHttp2, CallError> {
        let mut stream = self.connect(b"h2").await?;
        let settings = frame(4, 0, 0, &[]);
        bounded(stream.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings.as_slice()].concat()))
            .await?;
        Ok(RawHttp2(stream))
    }
}

/// Shows one certificate whatever the server asks for, however odd the certificate is.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl Always {
    fn new(identity: &Identity) -> Self {
        let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
        let key = ring::sign::any_supported_type(&key).expect("a key of a known kind");
        Self(Arc::new(CertifiedKey::new(chain, key)))
    }
}

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

// === impl Http1 ===

impl Http1 {
    /// Sends raw bytes, and reads one answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer, CallError> {
        bounded(self.0.write_all(request)).await?;
        let mut read = Vec::new();
        loop {
            if let Some((mut answer, head, length)) = parse_head(&read)?
                && let Some(body) = read.get(head..head + length)
            {
                answer.body = body.to_vec();
                return Ok(answer);
            }
            if bounded(self.0.read_buf(&mut read)).await? == 0 {
                return Err(CallError("the connection ended before the answer".to_owned()));
            }
        }
    }

    /// Whether the TLS session of an earlier connection was resumed.
    pub fn resumed(&self) -> bool {
        matches!(self.0.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed))
    }

    /// Calls a remote procedure of brig.
    pub async fn call(&mut self, rpc: &str, headers: &[Header<'_>]) -> Result<Answer, CallError> {
        let mut request = format!("POST {} HTTP/1.1\r\nhost: infra.b.com\r\n", path(rpc)).into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        request.extend_from_slice(b"content-length: 2\r\n\r\n{}");
        self.exchange(&request).await
    }
}

fn parse_head(read: &[u8]) -> Result<Option<(Answer, usize, usize)>, CallError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(read).map_err(CallError::from_display)? else {
        return Ok(None);
    };
    let headers: Vec<_> = response
        .headers
        .iter()
        .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
        .collect();
    let answer = Answer { status: response.code.unwrap_or_default(), headers, body: vec![] };
    let length = answer.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    Ok(Some((answer, head, length)))
}

// === impl Http2 ===

impl Http2 {
    /// Calls a remote procedure of brig.
    pub async fn call(&self, rpc: &str, headers: &[Header<'_>]) -> Result<Answer, CallError> {
        self.request("POST", &path(rpc), headers).await
    }

    /// Sends a request of any method and path.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
    ) -> Result<Answer, CallError> {
        let mut request = Request::builder().method(method).uri(format!("https://infra.b.com{path}"));
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(CallError::from_display)?;
            request =
                request.header(name, HeaderValue::from_bytes(value).map_err(CallError::from_display)?);
        }
        let request = request.body(()).map_err(CallError::from_display)?;
        let mut sender = bounded(self.0.clone().ready()).await?;
        let (response, mut body) =
            sender.send_request(request, false).map_err(CallError::from_display)?;
        // A server may answer, and end the stream, before it has the body: the answer counts.
        let _ = body.send_data("{}".into(), true);
        let (head, mut body) = bounded(response).await?.into_parts();
        let mut answer = Answer {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(n, v)| {
                    (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())
                })
                .collect(),
            body: vec![],
        };
        while let Some(data) = bounded(async { body.data().await.transpose() }).await? {
            body.flow_control().release_capacity(data.len()).map_err(CallError::from_display)?;
            answer.body.extend_from_slice(&data);
        }
        Ok(answer)
    }

    /// Sends a request's headers, and resets the stream without waiting for an answer.
    pub async fn call_and_reset(&self, rpc: &str, headers: &[Header<'_>]) -> Result<(), CallError> {
        let mut request =
            Request::builder().method("POST").uri(format!("https://infra.b.com{}", path(rpc)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).map_err(CallError::from_display)?;
        let mut sender = bounded(self.0.clone().ready()).await?;
        let (_, mut body) = sender.send_request(request, false).map_err(CallError::from_display)?;
        body.send_reset(h2::Reason::CANCEL);
        Ok(())
    }
}

// === impl RawHttp2 ===

impl RawHttp2 {
    /// Calls a remote procedure with header fields in any bytes. `Ok` is the type of the frame
    /// with which the server answers on the stream, or ends the connection: 1 HEADERS,
    /// 3 `RST_STREAM`, 7 GOAWAY.
    pub async fn call(&mut self, rpc: &str, headers: &[Header<'_>]) -> Result<u8, CallError> {
        let path = path(rpc);
        let mut block = Vec::new();
        let pseudo: [Header<'_>; 4] = [
            (":method", b"POST"),
            (":scheme", b"https"),
            (":authority", b"infra.b.com"),
            (":path", path.as_bytes()),
        ];
        for (name, value) in pseudo.iter().chain(headers) {
            // HPACK: a literal field that is never indexed, no Huffman coding (RFC 7541 §6.2.3).
            block.push(0x10);
            for text in [name.as_bytes(), value] {
                block.push(u8::try_from(text.len()).ok().filter(|n| *n < 127).expect("a short text"));
                block.extend_from_slice(text);
            }
        }
        bounded(self.0.write_all(&frame(1, 0x05, 1, &block))).await?;
        loop {
            let mut head = [0; 9];
            bounded(self.0.read_exact(&mut head)).await?;
            let [a, b, c, kind, _, _, _, _, stream] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            bounded(self.0.read_exact(&mut payload)).await?;
            if kind == 7 || (stream == 1 && (kind == 1 || kind == 3)) {
                return Ok(kind);
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

fn path(rpc: &str) -> String {
    format!("/federation/brig/{rpc}")
}

// === impl Answer ===

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The label of a refusal; empty where there is none.
    pub fn label(&self) -> String {
        self.json()["label"].as_str().unwrap_or_default().to_owned()
    }
}

// === impl CallError ===

impl CallError {
    fn from_display(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

async fn bounded<T, E: fmt::Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, CallError> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(result) => result.map_err(CallError::from_display),
        Err(_) => Err(CallError(format!("nothing came within {TIMEOUT:?}"))),
    }
}

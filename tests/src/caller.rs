//! Another backend's federator: calls an ingress over mutual TLS, well-behaved or not.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http1::read_answer;
pub use crate::http2::{Answer, CallError, Header, Http2};
use crate::http2::{bounded, with_wires};
use crate::pki::Identity;
use crate::witness::{Beside, Door, Witness};

/// Who calls, and whom. Each connection makes its own TLS session, unless it says otherwise.
#[derive(Clone, Debug)]
pub struct Caller {
    address: SocketAddr,
    server_name: String,
    config: ClientConfig,
    source: Option<Ipv4Addr>,
    preface: Vec<u8>,
    identity: Option<Identity>,
    witness: Option<Witness>,
    is_untrusted: bool,
}

/// One HTTP/1.1 connection.
#[derive(Debug)]
pub struct Http1 {
    stream: TlsStream<TcpStream>,
    witness: Option<Arc<Beside>>,
}

/// One HTTP/2 connection of raw frames, for what a client library refuses to send.
#[derive(Debug)]
pub struct RawHttp2(TlsStream<TcpStream>);

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
        let server_name = server_name.to_owned();
        let identity = identity.cloned();
        let (source, preface, witness) = (None, vec![], None);
        Self { address, server_name, config, source, preface, identity, witness, is_untrusted: false }
    }

    /// The same caller, at this address of its own.
    #[must_use]
    pub fn from(mut self, source: Ipv4Addr) -> Self {
        self.source = Some(source);
        self
    }

    /// The same caller, whose connections begin with these octets, before TLS.
    #[must_use]
    pub fn beginning_with(mut self, preface: &[u8]) -> Self {
        self.preface = preface.to_vec();
        self
    }

    /// The same caller, whose answers are compared with what this control plane says, if there is one.
    #[must_use]
    pub fn explained_by(mut self, witness: Option<Witness>) -> Self {
        self.witness = witness;
        self
    }

    /// The same caller, whose answers are not compared, because …
    #[must_use]
    pub fn unexplained(self, _because: &str) -> Self {
        self.explained_by(None)
    }

    /// The same caller, whose authority the listener does not trust, and lets pass for the filter to refuse.
    #[must_use]
    pub fn untrusted(mut self) -> Self {
        self.is_untrusted = true;
        self
    }

    /// Whether the listener trusts its authority, as the test has it.
    pub fn is_untrusted(&self) -> bool {
        self.is_untrusted
    }

    /// The certificate that it shows, if any.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
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
        let mut socket = bounded(self.open()).await?;
        bounded(socket.write_all(&self.preface)).await?;
        let name = ServerName::try_from(self.server_name.clone()).expect("a host name");
        bounded(TlsConnector::from(Arc::new(config)).connect(name, socket)).await
    }

    async fn open(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_nodelay(true)?;
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        socket.connect(self.address).await
    }

    /// Calls a remote procedure of brig as Wire's federator does: on a connection of its own.
    pub async fn call(&self, rpc: &str, headers: &[Header<'_>]) -> Result<Answer, CallError> {
        self.http2().await?.call(rpc, headers).await
    }

    /// Opens a connection for HTTP/1.1.
    pub async fn http1(&self) -> Result<Http1, CallError> {
        let witness = self.witness.clone().map(|it| it.beside(Door::Http1(self.clone())));
        Ok(Http1 { stream: self.connect(b"http/1.1").await?, witness })
    }

    /// Opens a connection for HTTP/2.
    pub async fn http2(&self) -> Result<Http2, CallError> {
        let witness = self.witness.clone().map(|it| it.beside(Door::Http2(self.clone())));
        let open = Http2::over(self.connect(b"h2").await?, "https://infra.b.com").await?;
        Ok(open.beside(witness))
    }

    /// Opens a connection for HTTP/2 in raw frames. What comes is not read so far that it could be compared.
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
    /// Sends raw bytes, and reads one answer. It is not compared, because raw bytes may be no request.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer, CallError> {
        bounded(self.stream.write_all(request)).await?;
        read_answer(&mut self.stream).await
    }

    /// Sends raw bytes, and waits for nothing.
    pub async fn send(&mut self, request: &[u8]) -> Result<(), CallError> {
        bounded(self.stream.write_all(request)).await
    }

    /// Waits until the server has ended the connection; an error where it does not.
    pub async fn ended(&mut self) -> Result<(), CallError> {
        let mut read = Vec::new();
        let end = async {
            // However it ends: with a word, or without.
            while self.stream.read_buf(&mut read).await.is_ok_and(|octets| octets > 0) {}
            std::io::Result::Ok(())
        };
        bounded(end).await
    }

    /// Whether the TLS session of an earlier connection was resumed.
    pub fn resumed(&self) -> bool {
        matches!(self.stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed))
    }

    /// Calls a remote procedure of brig, and compares the answer.
    pub async fn call(&mut self, rpc: &str, headers: &[Header<'_>]) -> Result<Answer, CallError> {
        let mut request = format!("POST {} HTTP/1.1\r\nhost: infra.b.com\r\n", path(rpc)).into_bytes();
        for (name, value) in with_wires(headers) {
            request.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        request.extend_from_slice(b"content-length: 2\r\n\r\n{}");
        let answer = self.exchange(&request).await?;
        if let Some(witness) = &self.witness {
            witness.confirm(&path(rpc), headers, &answer).await;
        }
        Ok(answer)
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

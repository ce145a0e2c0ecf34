//! Another backend that is set up wrong on purpose: a.com, with a BIND and whatever listens on its port.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::time::SystemTime;

use axum::Router;
use axum::http::header::DATE;
use axum::response::IntoResponse;
use axum::routing::any;
use fedgate_tests::address::Address;
use fedgate_tests::dns::{Bind, service};
use fedgate_tests::peer::Peer;
use fedgate_tests::pki::{Authority, Identity, Leaf};
use rustls::SupportedProtocolVersion;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use serde_json::Value;
use tempfile::TempDir;

use crate::slips::fedgate;

/// The port of a.com's ingress.
pub(crate) const PORT: u16 = 8443;

/// a.com, and us: b.com, who look at it.
pub(crate) struct Site {
    pub(crate) dns: Bind,
    pub(crate) authority: Authority,
    dir: TempDir,
    address: Address,
}

/// What listens, and how.
#[derive(Clone)]
pub(crate) struct Ingress {
    pub(crate) identity: Identity,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) protocols: &'static [&'static str],
    pub(crate) clients: Clients,
    /// What is trusted for clients: PEM.
    pub(crate) trust: String,
    pub(crate) router: Router,
}

/// What it does about certificates of clients.
#[derive(Clone, Copy)]
pub(crate) enum Clients {
    Verified,
    AskedAndNotVerified,
    NotAsked,
}

/// What came of a check.
pub(crate) struct Told {
    pub(crate) output: Output,
    pub(crate) report: Value,
}

// === impl Site ===

impl Site {
    /// a.com whose SRV record names infra.a.com at [`PORT`], which has one address; and b.com as it should be.
    pub(crate) fn new() -> Self {
        Self::with(|address| vec![srv(PORT, "infra.a.com."), format!("infra.a.com. 600 IN A {address}")])
    }

    /// a.com with other records.
    pub(crate) fn with(records: impl FnOnce(std::net::Ipv4Addr) -> Vec<String>) -> Self {
        let address = Address::claim();
        let dir = tempfile::tempdir().unwrap();
        let mut records = records(address.ip());
        records.push(format!("{} 600 IN SRV 10 5 443 infra.b.com.", service("b.com")));
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let dns = Bind::start(address.dns(), dir.path(), &records);
        Self { dns, authority: Authority::root("the authority that all backends trust"), dir, address }
    }

    /// a.com with a second ingress, at this address.
    pub(crate) fn of_two(other: &Address) -> Self {
        Self::with(|address| {
            vec![
                srv(PORT, "infra.a.com."),
                format!("infra.a.com. 600 IN A {address}"),
                format!("infra.a.com. 600 IN A {}", other.ip()),
            ]
        })
    }

    /// The address of its ingress.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((self.address.ip(), PORT))
    }

    /// An ingress as it should be.
    pub(crate) fn good(&self) -> Ingress {
        Ingress {
            identity: self.authority.issue(&Leaf::of(["infra.a.com"])),
            versions: rustls::ALL_VERSIONS,
            protocols: &["h2", "http/1.1"],
            clients: Clients::Verified,
            trust: self.authority.pem().to_owned(),
            router: answering(200, r#"{"supported":[0,1]}"#),
        }
    }

    /// Has `ingress` listen.
    pub(crate) fn serve(&self, ingress: &Ingress) -> Peer {
        ingress.serve(self.address())
    }

    /// What is told of such an ingress, by us as we should be.
    pub(crate) fn told_of(&self, ingress: &Ingress) -> Told {
        let _listening = self.serve(ingress);
        self.check(&[])
    }

    /// What is told, with the certificate that we should have.
    pub(crate) fn check(&self, words: &[&str]) -> Told {
        self.check_as(&self.authority.issue(&Leaf::of(["infra.b.com"])), words)
    }

    /// What is told, with this certificate of ours.
    pub(crate) fn check_as(&self, ours: &Identity, words: &[&str]) -> Told {
        let [certificate, key, trust] = [
            self.file("client.pem", &ours.chain),
            self.file("client.key", &ours.key),
            self.file("trust.pem", self.authority.pem()),
        ];
        let ours =
            ["--own-domain", "b.com", "--certificate", &certificate, "--key", &key, "--trust", &trust];
        self.check_alone(&[&ours, words].concat())
    }

    /// What is told, with these words alone.
    pub(crate) fn check_alone(&self, words: &[&str]) -> Told {
        check("a.com", self.dns.address(), words)
    }

    /// A file with this text, by its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// What `fedgate check --json` tells.
pub(crate) fn check(domain: &str, dns: SocketAddr, words: &[&str]) -> Told {
    let dns = dns.to_string();
    let fixed = ["--json", "check", domain, "--dns-server", &dns, "--allow-private-addresses"];
    let output = fedgate(&[&fixed, words].concat()).output().unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    Told { output, report }
}

/// The SRV record of a.com.
pub(crate) fn srv(port: u16, target: &str) -> String {
    format!("{} 600 IN SRV 10 5 {port} {target}", service("a.com"))
}

/// Says this to everything.
pub(crate) fn answering(status: u16, body: &'static str) -> Router {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    Router::new().fallback(any(move || async move { (status, body) }))
}

/// Says 200, and that it is `now`, give or take.
pub(crate) fn dated(now: impl Fn() -> SystemTime + Clone + Send + Sync + 'static) -> Router {
    let answer = move || async move { ([(DATE, httpdate::fmt_http_date(now()))], "[]").into_response() };
    Router::new().fallback(any(answer))
}

// === impl Told ===

impl Told {
    /// The codes of this severity, each once.
    pub(crate) fn of(&self, severities: &[&str]) -> BTreeSet<&str> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        findings
            .filter(|it| severities.contains(&it["severity"].as_str().unwrap()))
            .map(|it| it["code"].as_str().unwrap())
            .collect()
    }

    /// Errors and warnings are these, and no others.
    #[track_caller]
    pub(crate) fn is(&self, expected: &[&str]) {
        let found = self.of(&["error", "warning"]);
        assert_eq!(found, expected.iter().copied().collect(), "{:#}", self.report);
    }

    /// This is among the infos, and there are neither errors nor warnings.
    #[track_caller]
    pub(crate) fn is_info(&self, expected: &str) {
        self.is(&[]);
        assert!(self.of(&["info"]).contains(expected), "{:#}", self.report);
    }

    /// What came of a claim, in the first section that has it.
    pub(crate) fn outcome(&self, claim: &str) -> &Value {
        let mut checks = self.report["checks"].as_array().unwrap().iter();
        checks.find(|it| it["claim"] == claim).unwrap_or_else(|| panic!("{claim}: {:#}", self.report))
    }
}

// === impl Ingress ===

impl Ingress {
    /// Listens there.
    pub(crate) fn serve(&self, address: SocketAddr) -> Peer {
        Peer::start(address, self.config(), self.router.clone())
    }

    /// How it shakes hands.
    pub(crate) fn config(&self) -> ServerConfig {
        let provider = std::sync::Arc::new(aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.trust.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.versions)
            .unwrap();
        let builder = match self.clients {
            Clients::Verified => builder.with_client_cert_verifier(verifier),
            Clients::AskedAndNotVerified => {
                let anybody = Anybody(provider.signature_verification_algorithms);
                builder.with_client_cert_verifier(std::sync::Arc::new(anybody))
            }
            Clients::NotAsked => builder.with_no_client_auth(),
        };
        let chain = CertificateDer::pem_slice_iter(self.identity.chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.identity.key.as_bytes()).unwrap();
        let mut config =
            builder.with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key).unwrap();
        config.alpn_protocols =
            self.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

/// Asks for a certificate, and takes any.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

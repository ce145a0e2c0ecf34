//! TLS 1.2 and 1.3.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedgate_policy::HostName;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error, PeerIncompatible, ProtocolVersion, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Identity;
use super::alert::alert;
use super::witness::{Seen, Witness};

/// What is offered in a handshake.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// Whom we want to speak to.
    pub host: &'a HostName,
    /// The certificate that is shown, if they ask for one.
    pub identity: Option<&'a Identity>,
    /// Versions of TLS.
    pub versions: Versions,
    /// Groups for the key exchange.
    pub groups: Groups,
}

/// Versions of TLS that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 1.3 and 1.2.
    All,
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
}

/// Groups that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Those below, in their order.
    All,
    /// X25519MLKEM768.
    PostQuantum,
    /// X25519, P-256, P-384.
    Classic,
}

/// A version of TLS that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// A handshake that has ended, well or not.
#[derive(Debug)]
pub struct Handshake {
    /// What was seen of them, also where it ended badly.
    pub seen: Seen,
    /// The connection.
    pub session: Result<Session, TlsTrouble>,
    /// How long it took.
    pub took: Duration,
}

/// A connection over TLS.
#[derive(Debug)]
pub struct Session {
    /// What was agreed on.
    pub agreed: Agreed,
    /// Where they are spoken to.
    pub stream: TlsStream<TcpStream>,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version of TLS.
    pub version: Version,
    /// The group: `X25519MLKEM768`.
    pub group: String,
    /// Whether it is HTTP/2 that is spoken then (ALPN `h2`).
    pub is_http2: bool,
}

/// Why a handshake came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsTrouble {
    /// They ended it with this alert.
    #[error("they ended the handshake with the alert {0}")]
    Alert(String),
    /// They speak no version that is offered.
    #[error("they speak no version of TLS that we offer")]
    Version,
    /// What came is not TLS.
    #[error("what came is not TLS")]
    NotTls,
    /// They closed the connection.
    #[error("they closed the connection in the handshake")]
    Closed,
    /// It was not through after so long.
    #[error("the handshake was not through within {0:?}")]
    Silent(Duration),
    /// Something else.
    #[error("the handshake failed: {0}")]
    Other(String),
}

/// Shakes hands on `stream`, within `patience`.
pub async fn handshake(stream: TcpStream, hello: Hello<'_>, patience: Duration) -> Handshake {
    let begun = Instant::now();
    let witness = Arc::new(Witness::new(hello.identity));
    let session = match timeout(patience, open(stream, hello, &witness)).await {
        Ok(session) => session,
        Err(_) => Err(TlsTrouble::Silent(patience)),
    };
    Handshake { seen: witness.seen(), session, took: begun.elapsed() }
}

async fn open(
    stream: TcpStream,
    hello: Hello<'_>,
    witness: &Arc<Witness>,
) -> Result<Session, TlsTrouble> {
    let config = config(hello, witness).map_err(|error| TlsTrouble::Other(error.to_string()))?;
    let name = ServerName::try_from(hello.host.as_str().to_owned())
        .map_err(|error| TlsTrouble::Other(error.to_string()))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| trouble(&error))?;
    let connection = stream.get_ref().1;
    let agreed = Agreed {
        version: if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            Version::Tls13
        } else {
            Version::Tls12
        },
        group: connection
            .negotiated_key_exchange_group()
            .map_or_else(|| "unknown".to_owned(), |group| format!("{:?}", group.name())),
        is_http2: connection.alpn_protocol() == Some(b"h2"),
    };
    Ok(Session { agreed, stream })
}

fn config(hello: Hello<'_>, witness: &Arc<Witness>) -> Result<ClientConfig, Error> {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    let kx_groups = match hello.groups {
        Groups::All => vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1],
        Groups::PostQuantum => vec![X25519MLKEM768],
        Groups::Classic => vec![X25519, SECP256R1, SECP384R1],
    };
    let versions: &[&SupportedProtocolVersion] = match hello.versions {
        Versions::All => &[&TLS13, &TLS12],
        Versions::Tls12 => &[&TLS12],
        Versions::Tls13 => &[&TLS13],
    };
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_client_cert_resolver(witness.clone());
    // HTTP/1.1 too, so that who speaks nothing else tells so rather than breaks off.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn trouble(error: &io::Error) -> TlsTrouble {
    if let Some(alert) = alert(error) {
        return if alert == "protocol_version" { TlsTrouble::Version } else { TlsTrouble::Alert(alert) };
    }
    let closed = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
    ];
    if closed.contains(&error.kind()) {
        return TlsTrouble::Closed;
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    if let Some(Error::PeerIncompatible(
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled,
    )) = tls
    {
        return TlsTrouble::Version;
    }
    if let Some(Error::InvalidMessage(_)) = tls {
        return TlsTrouble::NotTls;
    }
    TlsTrouble::Other(error.to_string())
}

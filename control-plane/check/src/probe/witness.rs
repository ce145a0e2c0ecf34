//! What is seen of the other side in a handshake: kept, and let pass. It is judged elsewhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::Identity;

/// The most certificates of a chain that are kept.
const MAX_CHAIN: usize = 10;
/// The most names of authorities that are kept; those of the world are some 150.
const MAX_AUTHORITIES: usize = 512;

/// What the other side has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its certificates as they came, leaf first; none where it did not come to that.
    pub chain: Vec<CertificateDer<'static>>,
    /// Whether it asked for ours, and how.
    pub asked: Option<Asked>,
}

/// A demand for a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The names of those who may have issued it, DER; where there are none, anybody.
    pub authorities: Vec<Vec<u8>>,
}

/// Sees, and shows our certificate where there is one.
#[derive(Debug)]
pub(super) struct Witness {
    seen: Mutex<Seen>,
    ours: Option<Arc<CertifiedKey>>,
    algorithms: WebPkiSupportedAlgorithms,
}

// === impl Witness ===

impl Witness {
    pub(super) fn new(ours: Option<&Identity>) -> Self {
        Self {
            seen: Mutex::default(),
            ours: ours.map(Identity::pair_for_tls),
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }

    pub(super) fn seen(&self) -> Seen {
        self.book().clone()
    }

    fn book(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Any chain will do. That they have its key is demanded: else they showed what is not theirs.
impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = [leaf].into_iter().chain(others).take(MAX_CHAIN);
        self.book().chain = chain.map(|it| it.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Witness {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let authorities = authorities.iter().take(MAX_AUTHORITIES).map(|name| name.to_vec()).collect();
        self.book().asked = Some(Asked { authorities });
        self.ours.clone()
    }

    /// Also where there are none, so as to hear of being asked.
    fn has_certs(&self) -> bool {
        true
    }
}

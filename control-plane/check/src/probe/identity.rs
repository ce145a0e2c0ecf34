//! The certificate that a probe shows.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// A certificate with its chain, and the key to it.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

/// Why text is no [`Identity`].
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No certificate, or something else besides.
    #[error("the certificate is not readable as PEM: {0}")]
    Certificate(String),
    /// No key.
    #[error("the key is not readable as PEM: {0}")]
    Key(String),
    /// The key of another certificate, or of a kind that nobody uses with TLS.
    #[error("certificate and key do not go together: {0}")]
    Pair(rustls::Error),
    /// None could be made.
    #[error("no certificate can be made: {0}")]
    Made(#[from] rcgen::Error),
}

// === impl Identity ===

impl Identity {
    /// From a chain, leaf first, and a key, both PEM.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(IdentityError::Certificate("no certificate is in it".to_owned()));
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| IdentityError::Key(error.to_string()))?;
        Self::pair(chain, key)
    }

    /// One that nobody has any reason to trust, made for this run: for `name`, signed by itself.
    pub fn stranger(name: &str) -> Result<Self, IdentityError> {
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new([name.to_owned()])?.self_signed(&key)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Self::pair(vec![certificate.der().clone()], key)
    }

    fn pair(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map(|pair| Self(Arc::new(pair)))
            .map_err(IdentityError::Pair)
    }

    /// The certificates, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.cert
    }

    pub(super) fn pair_for_tls(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {} certificates", self.chain().len())
    }
}

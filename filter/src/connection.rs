//! Who is at the other end of a downstream connection: the same for all its requests.

use fedgate_policy::Peer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::config::{ChainValidation, Config};
use crate::host;

/// What a URL may carry as it is (RFC 3986 §2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is remembered of a connection.
pub(crate) struct Connection {
    /// For the policy.
    pub(crate) peer: Peer,
    /// The certificate in URL encoding, where it is to be handed on.
    pub(crate) forwarded: Option<String>,
}

// === impl Connection ===

impl Connection {
    /// The current request's connection, from what Envoy tells of it.
    pub(crate) fn read(config: &Config) -> Self {
        let certificate = host::peer_certificate();
        let unless_told = match config.chain_validation {
            ChainValidation::Connection => false,
            ChainValidation::Listener => true,
        };
        let validated = host::is_peer_certificate_valid().unwrap_or(unless_told);
        let forwarded =
            certificate.as_ref().filter(|_| config.forward_certificate).map(|pem| encode(pem));
        Self { peer: Peer::new(certificate.as_deref(), validated), forwarded }
    }
}

/// Encodes PEM text, which some Envoys give encoded already.
fn encode(pem: &[u8]) -> String {
    utf8_percent_encode(&percent_decode(pem).decode_utf8_lossy(), ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_encoded_once() {
        let (pem, encoded) = ("-----BEGIN A-----\nM+/=\n", "-----BEGIN%20A-----%0AM%2B%2F%3D%0A");
        assert_eq!(encode(pem.as_bytes()), encoded);
        assert_eq!(encode(encoded.as_bytes()), encoded);
    }
}

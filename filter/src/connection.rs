//! Who is at the other end of a downstream connection: the same for all its requests, and most of it the
//! same for all connections that show the same certificate.

use std::cell::Cell;
use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::rc::Rc;

use fedgate_policy::Peer;
use lru::LruCache;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::config::{ChainValidation, Config};
use crate::host;

/// The most connections that are remembered; others are read anew with each request.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// The most certificates that are remembered; others are parsed anew with each connection.
const CERTIFICATES: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// What a URL may carry as it is (RFC 3986 §2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One connection.
pub(crate) struct Downstream {
    /// Who is at its other end.
    pub(crate) connection: Rc<Connection>,
    admitted: Cell<bool>,
}

/// What is remembered of a connection, and shared by those that show the same certificate.
pub(crate) struct Connection {
    /// For the policy.
    pub(crate) peer: Peer,
    /// The certificate in URL encoding, where it is to be handed on.
    pub(crate) forwarded: Option<String>,
}

/// The connections of one worker, as far as they are remembered.
///
/// A certificate, and whether it was validated, cannot change while a connection lives. So both are read
/// once for a connection, and its further requests cost one small hostcall. What a certificate says is
/// shared by its SHA-256; that it was validated never is: it may be untrusted tomorrow.
pub(crate) struct Connections {
    by_id: LruCache<u64, Rc<Downstream>, RandomState>,
    validated: ByDigest,
}

/// Those of validated certificates.
type ByDigest = LruCache<Vec<u8>, Rc<Connection>, RandomState>;

// === impl Connections ===

impl Connections {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            by_id: LruCache::with_hasher(CONNECTIONS, RandomState::new()),
            validated: LruCache::with_hasher(CERTIFICATES, RandomState::new()),
        }
    }

    /// That of the current request.
    pub(crate) fn current(&mut self, config: &Config) -> Rc<Downstream> {
        let Self { by_id, validated } = self;
        let mut read =
            || Rc::new(Downstream { connection: read(config, validated), admitted: Cell::new(false) });
        match host::connection_id() {
            Some(id) => Rc::clone(by_id.get_or_insert(id, read)),
            None => read(),
        }
    }
}

// === impl Downstream ===

impl Downstream {
    /// Something passes on it, so that it may stay (see [`crate::lobby`]). To be called in that request's context.
    pub(crate) fn admit(&self) {
        if !self.admitted.replace(true) {
            host::admit();
        }
    }
}

/// The current request's connection, with what is remembered of its certificate.
fn read(config: &Config, validated: &mut ByDigest) -> Rc<Connection> {
    if !is_validated(config) {
        return Rc::new(Connection::read(config, false));
    }
    let digest = host::peer_digest();
    if let Some(known) = digest.as_ref().and_then(|digest| validated.get(digest)) {
        return Rc::clone(known);
    }
    let connection = Rc::new(Connection::read(config, true));
    // A certificate that Envoy tells the digest of, and could not give, may come with the next connection.
    if let Some(digest) = digest.filter(|_| connection.peer != Peer::Anonymous) {
        validated.put(digest, Rc::clone(&connection));
    }
    connection
}

// === impl Connection ===

impl Connection {
    /// The current request's, from what Envoy tells of it.
    fn read(config: &Config, validated: bool) -> Self {
        let certificate = host::peer_certificate();
        let forwarded =
            certificate.as_ref().filter(|_| config.forward_certificate).map(|pem| encode(pem));
        Self { peer: Peer::new(certificate.as_deref(), validated), forwarded }
    }
}

/// Whether the chain of the current request's peer was validated.
fn is_validated(config: &Config) -> bool {
    let unless_told = match config.chain_validation {
        ChainValidation::Connection => false,
        ChainValidation::Listener => true,
    };
    host::is_peer_certificate_valid().unwrap_or(unless_told)
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

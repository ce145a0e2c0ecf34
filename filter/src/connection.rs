//! Who is at the other end of a downstream connection: the same for all its requests, and most of it the
//! same for all connections that show the same certificate.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::rc::Rc;

use fedgate_policy::report::Shown;
use fedgate_policy::{Asker, Peer, Portrait};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::config::{ChainValidation, Config};
use crate::host;
use crate::weighed::Weighed;

/// The most connections and certificates that are remembered, and what they may weigh together; others are
/// read anew with each request, or parsed anew with each connection.
const ENTRIES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
const MAX_WEIGHT: usize = 8 << 20;
/// What an entry weighs besides what is known of the peer.
const ENTRY: usize = 128;
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
    /// On whose behalf the control plane is asked.
    pub(crate) asker: Asker,
    /// The certificate in URL encoding, where it is to be handed on.
    pub(crate) forwarded: Option<String>,
    /// What the certificate says of itself, where that is to be reported.
    pub(crate) shown: Option<Rc<Shown>>,
}

/// The connections of one worker, as far as they are remembered.
///
/// A certificate, and whether it was validated, cannot change while a connection lives. So both are read
/// once for a connection, and its further requests cost one small hostcall. What a certificate says is
/// shared by its SHA-256; that it was validated never is: it may be untrusted tomorrow.
///
/// Both are weighed as if they shared nothing: what a connection holds is held for as long as it, whether
/// or not its certificate is remembered for others.
pub(crate) struct Connections(Weighed<Key, Rc<Downstream>>);

/// A connection's number, followed by zeros; or the SHA-256 of a validated certificate, which is no such, and
/// under which stands a connection that nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key([u64; 4]);

/// A part is enough to tell keys apart, as nobody makes two digests that agree in it.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, ..] = self.0;
        state.write_u64(first);
    }
}

// === impl Connections ===

impl Connections {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Weighed::new(ENTRIES, MAX_WEIGHT))
    }

    /// That of the current request.
    pub(crate) fn current(&mut self, config: &Config) -> Rc<Downstream> {
        let id = host::connection_id().map(|id| Key([id, 0, 0, 0]));
        if let Some(known) = id.as_ref().and_then(|id| self.0.get(id)) {
            return Rc::clone(known);
        }
        let downstream = Downstream::new(self.read(config));
        self.remember(id, &downstream);
        downstream
    }

    /// The current request's, with what is remembered of its certificate.
    fn read(&mut self, config: &Config) -> Rc<Connection> {
        if !is_validated(config) {
            return Rc::new(Connection::read(config, None));
        }
        let digest = host::peer_digest().unwrap_or_default();
        let key = Key::of_digest(&digest);
        if let Some(known) = key.as_ref().and_then(|key| self.0.get(key)) {
            return Rc::clone(&known.connection);
        }
        let connection = Rc::new(Connection::read(config, Some(&digest)));
        // A certificate that Envoy tells the digest of, and could not give, may come with the next connection.
        let key = key.filter(|_| connection.peer != Peer::Anonymous);
        self.remember(key, &Downstream::new(Rc::clone(&connection)));
        connection
    }

    fn remember(&mut self, key: Option<Key>, downstream: &Rc<Downstream>) {
        if let Some(key) = key {
            self.0.put(key, Rc::clone(downstream), downstream.connection.weight());
        }
    }
}

// === impl Downstream ===

impl Downstream {
    /// A connection on which nothing has passed.
    fn new(connection: Rc<Connection>) -> Rc<Self> {
        Rc::new(Self { connection, admitted: Cell::new(false) })
    }

    /// Something passes on it, so that it may stay (see [`crate::lobby`]). To be called in that request's context.
    pub(crate) fn admit(&self) {
        if !self.admitted.replace(true) {
            host::admit();
        }
    }
}

// === impl Key ===

impl Key {
    /// From hexadecimal digits.
    fn of_digest(hex: &[u8]) -> Option<Self> {
        let hex = (hex.len() == 64).then_some(hex)?;
        let mut words = [0; 4];
        let mut digits = hex.chunks_exact(16);
        for word in &mut words {
            *word = u64::from_str_radix(str::from_utf8(digits.next()?).ok()?, 16).ok()?;
        }
        Some(Self(words))
    }
}

// === impl Connection ===

impl Connection {
    /// The current request's, from what Envoy tells of it: whether it validated the certificate, and that
    /// one's digest.
    fn read(config: &Config, digest: Option<&[u8]>) -> Self {
        let certificate = host::peer_certificate();
        let peer = Peer::new(certificate.as_deref(), digest.is_some());
        let known = match peer {
            Peer::Known(_) => certificate,
            Peer::Anonymous | Peer::Untrusted | Peer::Unreadable(_) => None,
        };
        let portrait = known.as_ref().filter(|_| config.reports).map(|pem| Portrait::read(pem));
        let shown = portrait.and_then(Result::ok).map(|portrait| Rc::new(Shown::from(&portrait)));
        let forwarded = known.filter(|_| config.forward_certificate).map(|pem| encode(&pem));
        Self { peer, asker: Asker::peer(digest.unwrap_or_default()), forwarded, shown }
    }

    /// What it takes in memory, roughly, in octets.
    fn weight(&self) -> usize {
        let forwarded = self.forwarded.as_ref().map_or(0, String::capacity);
        let shown = self.shown.as_ref().map_or(0, |shown| shown.weight());
        [self.peer.weight(), forwarded, shown].into_iter().fold(ENTRY, usize::saturating_add)
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

    #[test]
    fn a_digest_is_no_connections_number() {
        let digest = b"72bb33d827a781e2345974625b2378a9f70f1cad0738b1392fc42b05c68b5c9e";
        let words =
            [0x72bb_33d8_27a7_81e2, 0x3459_7462_5b23_78a9, 0xf70f_1cad_0738_b139, 0x2fc4_2b05_c68b_5c9e];
        assert_eq!(Key::of_digest(digest), Some(Key(words)));
        for none in [&b""[..], &digest[1..], &[&digest[..], b"00"].concat(), &[b'x'; 64], &[0xff; 64]] {
            assert_eq!(Key::of_digest(none), None);
        }
    }
}

//! The peer's certificate as Envoys before 1.38 hand it on: in `X-Forwarded-Client-Cert`.
//!
//! Anybody can send that header, and its text can be forged by a certificate that carries the
//! header's own separators. But Envoy also tells the SHA-256 of the certificate that the peer showed,
//! and held the key of: whatever in the header has that digest is that certificate.

use percent_encoding::percent_decode;
use sha2::{Digest, Sha256};
use x509_parser::pem::parse_x509_pem;

/// How many certificates of one header are looked at.
const MAX_CERTIFICATES: usize = 4;

/// The certificate, PEM, among those in `header` whose SHA-256 is `digest`, which is in hexadecimal.
pub fn forwarded_certificate(header: &[u8], digest: &[u8]) -> Option<Vec<u8>> {
    let digest = digest.to_ascii_lowercase();
    candidates(header)
        .take(MAX_CERTIFICATES)
        .map(|encoded| percent_decode(encoded).collect::<Vec<u8>>())
        .find(|pem| {
            parse_x509_pem(pem).is_ok_and(|(_, certificate)| has_digest(&certificate.contents, &digest))
        })
}

fn has_digest(der: &[u8], hex: &[u8]) -> bool {
    let octets = Sha256::digest(der);
    octets.iter().flat_map(|octet| [octet >> 4, octet & 15].map(digit)).eq(hex.iter().copied())
}

/// What stands in `Cert="…"`, still encoded.
fn candidates(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let key: &[u8] = b"Cert=\"";
    header.windows(key.len()).enumerate().filter(move |(_, window)| *window == key).filter_map(
        move |(at, _)| header.get(at.checked_add(key.len())?..)?.split(|byte| *byte == b'"').next(),
    )
}

fn digit(nibble: u8) -> u8 {
    b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or_default()
}

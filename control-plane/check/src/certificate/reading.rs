//! One certificate, as far as [`fedgate_policy::Certificate`] has no need of it.

use fedgate_policy::{Portrait, UnixTime, legible};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The most characters of a name that are told.
const NAME: usize = 100;
/// The least bits of an RSA key.
const RSA_BITS: usize = 2048;

/// What is read of a certificate.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and no state")]
#[derive(Debug)]
pub(super) struct Reading {
    /// With names, for people.
    pub(super) portrait: Portrait,
    /// The name of its holder, and of who issued it: DER.
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    /// Common names of the subject.
    pub(super) common_names: Vec<String>,
    /// Whether it has any DNS name.
    pub(super) has_dns_names: bool,
    /// First and last second.
    pub(super) validity: (UnixTime, UnixTime),
    /// The key, in words.
    pub(super) key: String,
    /// Whether Envoy takes such a key.
    pub(super) is_key_accepted: bool,
    /// The digest of its signature, where that is too weak.
    pub(super) weak_digest: Option<&'static str>,
    /// Whether it may issue others.
    pub(super) is_authority: bool,
    /// Whether its key may sign a handshake.
    pub(super) may_sign: bool,
    /// Whether it says where its issuer's certificate is to be had, which is then no root.
    pub(super) points_to_issuer: bool,
}

// === impl Reading ===

impl Reading {
    /// Reads DER.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let portrait = Portrait::read(der).ok()?;
        let usage = certificate.key_usage().ok().flatten();
        let (key, is_key_accepted) = key(certificate.public_key());
        let common_names =
            certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        Some(Self {
            has_dns_names: has_dns_names(&certificate),
            portrait,
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            common_names: common_names.map(|name| legible(name, NAME)).collect(),
            validity: (
                UnixTime(certificate.validity().not_before.timestamp()),
                UnixTime(certificate.validity().not_after.timestamp()),
            ),
            key,
            is_key_accepted,
            weak_digest: weak_digest(&certificate.signature_algorithm.algorithm),
            is_authority: certificate.is_ca(),
            may_sign: usage.is_none_or(|usage| usage.value.digital_signature()),
            points_to_issuer: points_to_issuer(&certificate),
        })
    }

    /// Whether it bears the name of its own issuer, as a root does.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

fn has_dns_names(certificate: &X509Certificate<'_>) -> bool {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| {
        names.value.general_names.iter().any(|name| matches!(name, GeneralName::DNSName(_)))
    })
}

fn key(key: &SubjectPublicKeyInfo<'_>) -> (String, bool) {
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            (format!("RSA with {} bits", rsa.key_size()), rsa.key_size() >= RSA_BITS)
        }
        Ok(PublicKey::EC(_)) => match curve.map(|oid| oid.to_id_string()).as_deref() {
            Some("1.2.840.10045.3.1.7") => ("P-256".to_owned(), true),
            Some("1.3.132.0.34") => ("P-384".to_owned(), true),
            Some("1.3.132.0.35") => ("P-521".to_owned(), false),
            Some(other) => (format!("curve {}", legible(other, NAME)), false),
            None => ("a curve without a name".to_owned(), false),
        },
        Ok(_) | Err(_) => match key.algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => ("Ed25519".to_owned(), false),
            "1.3.101.113" => ("Ed448".to_owned(), false),
            other => (format!("kind {}", legible(other, NAME)), false),
        },
    }
}

fn weak_digest(algorithm: &Oid<'_>) -> Option<&'static str> {
    match algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" => Some("MD5"),
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.3.14.3.2.29" => Some("SHA-1"),
        _ => None,
    }
}

/// The authority information access `caIssuers` (RFC 5280 §4.2.2.1).
fn points_to_issuer(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| {
        if let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() {
            access.iter().any(|it| it.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2")
        } else {
            false
        }
    })
}

//! What a peer's certificate says, as far as the decision needs it.
//!
//! Whether its chain leads to a trusted root is the TLS layer's work; what stands *in* it is read
//! here, from the certificate itself. Text that a proxy made of it (`X-Forwarded-Client-Cert`) can
//! be forged by a subject alternative name that carries the proxy's own separators.

mod frame;
#[cfg(not(target_family = "wasm"))]
mod handshake;
#[cfg(not(target_family = "wasm"))]
mod names;
mod portrait;

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode;
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::error::X509Error;
use x509_parser::extensions::{self, GeneralName, SubjectAlternativeName, X509Extension};
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry::{OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME, Oid};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{ASN1Time, FromDer};

use crate::name::HostName;
use crate::san::PresentedIdentifier;

#[cfg(not(target_family = "wasm"))]
pub use handshake::Handshake;
#[cfg(not(target_family = "wasm"))]
pub use names::ShownName;
pub use portrait::Portrait;

/// The most names, of any kind, that a certificate may have. Public authorities put some hundred into one;
/// `BoringSSL` takes certificates of 100 KiB, into which 9,500 fit.
const MAX_NAMES: usize = 4096;
/// The longest certificate that is read, in octets as they come: PEM in URL encoding is half as long again.
const MAX_OCTETS: usize = 256 << 10;
/// The most extensions that a certificate may have, each of which is compared with all: there are some ten.
const MAX_EXTENSIONS: usize = 128;
/// How much is repeated of an object identifier.
const MAX_OID: usize = 64;

/// Seconds since 1970-01-01T00:00:00Z, as in a certificate's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub i64);

/// The facts of one X.509 certificate (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    presented: Vec<PresentedIdentifier>,
    not_before: UnixTime,
    not_after: UnixTime,
    extended_key_usage: ExtendedKeyUsage,
}

/// The purposes that a certificate is limited to (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedKeyUsage {
    /// No extension: every purpose.
    Any,
    /// Only these (and others that do not concern TLS).
    Only {
        /// TLS server authentication, which an ingress needs of its own certificate.
        server_auth: bool,
        /// TLS client authentication, which a peer's certificate needs.
        client_auth: bool,
    },
}

/// Why some bytes are not one certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than it may be.
    #[error("has {0} octets, more than {MAX_OCTETS}")]
    TooLong(usize),
    /// More subject alternative names than it may have.
    #[error("presents {0} names, more than {MAX_NAMES}")]
    TooManyNames(usize),
    /// More extensions than anybody needs.
    #[error("has {0} extensions, more than {MAX_EXTENSIONS}")]
    TooManyExtensions(usize),
    /// The PEM text is broken, or is not a certificate.
    #[error("is not the PEM text of one certificate")]
    Pem,
    /// The bytes are not one DER certificate.
    #[error("is not one X.509 certificate: {0}")]
    Der(String),
    /// An extension that we rely on is broken.
    #[error("has a malformed extension {0}")]
    Extension(String),
    /// The same extension twice, which RFC 5280 §4.2 forbids: two readers might see two meanings.
    #[error("has the extension {0} more than once")]
    RepeatedExtension(String),
}

// === impl UnixTime ===

/// As RFC 3339 writes it: `2026-01-31T23:59:59Z`.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(time) = ASN1Time::from_timestamp(self.0) else {
            return write!(f, "{} s after 1970", self.0);
        };
        let (date, time) = (time.to_datetime().date(), time.to_datetime().time());
        let (hour, minute, second) = time.as_hms();
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

// === impl Certificate ===

impl Certificate {
    /// Reads one certificate: DER, PEM, or PEM in URL encoding (as some proxies hand it on).
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        Self::parse_der(&der(bytes)?)
    }

    fn parse_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = read(der)?;
        if !frame::is_whole(der) {
            return Err(CertificateError::Der("its tags or lengths do not fit".to_owned()));
        }
        let extensions = certificate.extensions();
        refuse_repeated(extensions)?;
        let count = find(extensions, &OID_X509_EXT_SUBJECT_ALT_NAME).map(frame::count_names);
        if let Some(count) = count.filter(|count| *count > MAX_NAMES) {
            return Err(CertificateError::TooManyNames(count));
        }
        let names: Option<SubjectAlternativeName<'_>> =
            extension(extensions, &OID_X509_EXT_SUBJECT_ALT_NAME, frame::has_whole_names)?;
        let names = names.map(|names| names.general_names).unwrap_or_default();
        let mut presented: Vec<_> = names
            .iter()
            .filter_map(|name| if let GeneralName::DNSName(text) = name { Some(*text) } else { None })
            .filter_map(PresentedIdentifier::parse)
            .collect();
        presented.sort_unstable();
        presented.dedup();
        presented.shrink_to_fit();
        let usage: Option<extensions::ExtendedKeyUsage<'_>> =
            extension(extensions, &OID_X509_EXT_EXTENDED_KEY_USAGE, |_| true)?;
        let extended_key_usage = usage.map_or(ExtendedKeyUsage::Any, |usage| ExtendedKeyUsage::Only {
            server_auth: usage.server_auth,
            client_auth: usage.client_auth,
        });
        Ok(Self {
            presented,
            not_before: UnixTime(certificate.validity().not_before.timestamp()),
            not_after: UnixTime(certificate.validity().not_after.timestamp()),
            extended_key_usage,
        })
    }

    /// One that is always valid and presents no name: what is refused all the same is not refused for the
    /// certificate's sake.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn nameless() -> Self {
        Self {
            presented: Vec::new(),
            not_before: UnixTime(i64::MIN),
            not_after: UnixTime(i64::MAX),
            extended_key_usage: ExtendedKeyUsage::Any,
        }
    }

    /// The DNS names that it presents, sorted, each once; names that are not clean are left out.
    pub fn presented(&self) -> &[PresentedIdentifier] {
        &self.presented
    }

    /// Whether one of its DNS names stands for `host`.
    pub fn presents(&self, host: &HostName) -> bool {
        PresentedIdentifier::any_matches(&self.presented, host)
    }

    /// What it takes in memory, roughly, in octets.
    pub fn weight(&self) -> usize {
        let names = self.presented.iter().map(PresentedIdentifier::weight);
        names.fold(size_of::<Self>(), usize::saturating_add)
    }

    /// The first and the last second of its validity; both belong to it (RFC 5280 §4.1.2.5).
    pub fn validity(&self) -> (UnixTime, UnixTime) {
        (self.not_before, self.not_after)
    }

    /// Whether `now` lies in its validity.
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// The purposes that it is limited to.
    pub fn extended_key_usage(&self) -> ExtendedKeyUsage {
        self.extended_key_usage
    }
}

/// The DER of one certificate.
fn der(bytes: &[u8]) -> Result<Cow<'_, [u8]>, CertificateError> {
    if bytes.len() > MAX_OCTETS {
        return Err(CertificateError::TooLong(bytes.len()));
    }
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(bytes.into());
    }
    let text: Vec<u8> = percent_decode(bytes).collect();
    let (rest, pem) = parse_x509_pem(&text).map_err(|_| CertificateError::Pem)?;
    if pem.label != "CERTIFICATE" || !rest.trim_ascii().is_empty() {
        return Err(CertificateError::Pem);
    }
    Ok(pem.contents.into())
}

/// One certificate and nothing else, whose extensions are not read yet.
fn read(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    // Of the extensions only those are read that count: a first request waits for this.
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let (rest, certificate) =
        parser.parse(der).map_err(|error| CertificateError::Der(error.to_string()))?;
    if !rest.is_empty() {
        return Err(CertificateError::Der("bytes follow it".to_owned()));
    }
    Ok(certificate)
}

fn refuse_repeated(extensions: &[X509Extension<'_>]) -> Result<(), CertificateError> {
    if extensions.len() > MAX_EXTENSIONS {
        return Err(CertificateError::TooManyExtensions(extensions.len()));
    }
    let mut each = (0..).zip(extensions);
    let repeats = |(n, one): &(usize, &X509Extension<'_>)| {
        extensions.iter().take(*n).any(|earlier| earlier.oid == one.oid)
    };
    match each.find(repeats) {
        Some((_, one)) => Err(CertificateError::RepeatedExtension(brief(&one.oid))),
        None => Ok(()),
    }
}

/// The value of the extension `oid`.
fn find<'a>(extensions: &[X509Extension<'a>], oid: &Oid<'_>) -> Option<&'a [u8]> {
    extensions.iter().find(|extension| extension.oid == *oid).map(|extension| extension.value)
}

/// An object identifier for a message: its beginning, since it may be as long as the certificate.
fn brief(oid: &Oid<'_>) -> String {
    oid.to_string().chars().take(MAX_OID).collect()
}

/// The extension `oid`; an error where it is there and broken.
fn extension<'a, T: FromDer<'a, X509Error>>(
    extensions: &[X509Extension<'a>],
    oid: &Oid<'_>,
    is_whole: fn(&[u8]) -> bool,
) -> Result<Option<T>, CertificateError> {
    let Some(value) = find(extensions, oid) else { return Ok(None) };
    match T::from_der(value) {
        Ok(([], parsed)) if is_whole(value) => Ok(Some(parsed)),
        Ok(_) | Err(_) => Err(CertificateError::Extension(brief(oid))),
    }
}

//! A refusal: what the other backend is told, in the words of the specification and of Wire.

use std::fmt::{self, Display};

use crate::certificate::{Certificate, CertificateError, UnixTime};
use crate::error_body::{ErrorBody, ErrorName};
use crate::name::{Domain, HostName, NameError};
use crate::request_id::RequestId;
use crate::verdict::{Failure, FailureLabel};

/// How many names a message lists before it only counts the rest.
const NAMES_IN_MESSAGE: usize = 8;
/// How many octets of a header a message repeats.
const OCTETS_IN_MESSAGE: usize = 100;

/// Why a request does not pass, one variant for each row of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The peer presented no certificate.
    NoClientCertificate,
    /// The peer's certificate does not lead to a trusted root.
    UntrustedCertificate,
    /// The peer's certificate cannot be read.
    CertificateParseError(CertificateError),
    /// The peer's certificate is not valid now; a connection can outlive its certificate.
    CertificateExpired {
        /// First and last second of the certificate's validity.
        validity: (UnixTime, UnixTime),
        /// The time of the decision.
        now: UnixTime,
    },
    /// There is no `Wire-Origin-Domain`, or an empty one.
    NoOriginDomain,
    /// `Wire-Origin-Domain` is not exactly one backend domain.
    DomainParseError {
        /// The header, made printable and short.
        header: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// Nobody may speak for the claimed domain: denied, or not discovered.
    Failure(Failure),
    /// No infrastructure domain of the claimed domain is in the certificate.
    AuthenticationFailure {
        /// The claimed backend domain.
        origin: Domain,
        /// The reference identifiers, as text.
        expected: String,
        /// The presented identifiers, as text.
        presented: String,
    },
    /// The control plane cannot be asked, and nothing that it said is still valid.
    VerdictUnavailable(Domain),
    /// Too many questions to the control plane are under way for one more.
    TooManyQuestions {
        /// The backend domain that it would be about.
        domain: Domain,
        /// How many of them are the asker's own.
        own: usize,
    },
    /// One of our own services asked for something that is no call to another backend.
    InvalidEndpoint,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn header_is_no_domain(header: &[u8], reason: NameError) -> Self {
        let (shown, dots) = match header.get(..OCTETS_IN_MESSAGE) {
            Some(start) => (start, "…"),
            None => (header, ""),
        };
        Self::DomainParseError { header: format!("{}{dots}", shown.escape_ascii()), reason }
    }

    pub(crate) fn no_match(origin: &Domain, expected: &[HostName], certificate: &Certificate) -> Self {
        Self::AuthenticationFailure {
            origin: origin.clone(),
            expected: list(expected),
            presented: list(certificate.presented()),
        }
    }

    /// Whether strategy or list forbid the domain.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(self, Self::Failure(Failure { label: FailureLabel::FederationDenied, .. }))
    }

    /// The specification's name.
    pub fn error(&self) -> ErrorName {
        match self {
            Self::NoClientCertificate
            | Self::UntrustedCertificate
            | Self::CertificateParseError(_)
            | Self::CertificateExpired { .. } => ErrorName::AuthenticationFailure,
            Self::NoOriginDomain
            | Self::DomainParseError { .. }
            | Self::AuthenticationFailure { .. }
            | Self::InvalidEndpoint => ErrorName::ValidationError,
            Self::Failure(failure) => match failure.label {
                FailureLabel::FederationDenied => ErrorName::ValidationError,
                FailureLabel::InvalidDomain | FailureLabel::DiscoveryFailure => {
                    ErrorName::DiscoveryFailure
                }
            },
            Self::VerdictUnavailable(_) | Self::TooManyQuestions { .. } => ErrorName::DiscoveryFailure,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoClientCertificate
            | Self::UntrustedCertificate
            | Self::CertificateParseError(_)
            | Self::CertificateExpired { .. }
            | Self::NoOriginDomain
            | Self::DomainParseError { .. }
            | Self::AuthenticationFailure { .. }
            | Self::InvalidEndpoint => 403,
            Self::Failure(failure) => match failure.label {
                FailureLabel::FederationDenied | FailureLabel::DiscoveryFailure => 400,
                FailureLabel::InvalidDomain => 422,
            },
            Self::VerdictUnavailable(_) | Self::TooManyQuestions { .. } => 503,
        }
    }

    /// Wire's label: short, stable, for machines, logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoClientCertificate => "no-client-certificate",
            Self::UntrustedCertificate => "untrusted-certificate",
            Self::CertificateParseError(_) => "certificate-parse-error",
            Self::CertificateExpired { .. } => "certificate-expired",
            Self::NoOriginDomain => "no-origin-domain",
            Self::DomainParseError { .. } => "domain-parse-error",
            Self::Failure(failure) => failure.label.name(),
            Self::AuthenticationFailure { .. } => "authentication-failure",
            Self::VerdictUnavailable(_) | Self::TooManyQuestions { .. } => "verdict-unavailable",
            Self::InvalidEndpoint => "invalid-endpoint",
        }
    }

    /// The reference identifiers that the certificate was compared with, as text, where it came so far.
    pub fn targets(&self) -> Option<&str> {
        match self {
            Self::AuthenticationFailure { expected, .. } => Some(expected),
            Self::NoClientCertificate
            | Self::UntrustedCertificate
            | Self::CertificateParseError(_)
            | Self::CertificateExpired { .. }
            | Self::NoOriginDomain
            | Self::DomainParseError { .. }
            | Self::Failure(_)
            | Self::VerdictUnavailable(_)
            | Self::TooManyQuestions { .. }
            | Self::InvalidEndpoint => None,
        }
    }

    /// The answer's body: `{"code":…,"label":…,"message":…,"error":…,"request_id":…}`.
    pub fn to_json(&self, request_id: Option<&RequestId>) -> String {
        ErrorBody { request_id, ..self.into() }.to_json()
    }
}

impl From<&Refusal> for ErrorBody<'_> {
    fn from(refusal: &Refusal) -> Self {
        Self {
            code: refusal.status(),
            label: refusal.label(),
            message: refusal.to_string(),
            error: Some(refusal.error()),
            data: None,
            inner: None,
            request_id: None,
        }
    }
}

/// One sentence for whoever has to mend it.
impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClientCertificate => {
                f.write_str(
                    "no client certificate was presented, or one whose key is not P-256, P-384 or RSA; \
                     federation needs mutual TLS",
                )
            }
            Self::UntrustedCertificate => {
                f.write_str(
                "the client certificate was not validated: it does not lead to a trusted root certificate, \
                 or the TLS session was resumed",
            )
            }
            Self::CertificateParseError(error) => write!(f, "the client certificate {error}"),
            Self::CertificateExpired { validity: (not_before, not_after), now } => write!(
                f,
                "the client certificate is not valid now: notBefore {not_before}, notAfter {not_after}, now {now}"
            ),
            Self::NoOriginDomain => f.write_str("the header Wire-Origin-Domain is missing or empty"),
            Self::DomainParseError { header, reason } => {
                write!(
                    f,
                    "the header Wire-Origin-Domain [{header}] is not one backend domain: it {reason}"
                )
            }
            Self::Failure(failure) => f.write_str(&failure.message),
            Self::AuthenticationFailure { origin, expected, presented } => write!(
                f,
                "none of the domain names match the certificate: {origin} is served by [{expected}], \
                 the certificate is for [{presented}]"
            ),
            Self::VerdictUnavailable(domain) => {
                write!(f, "no verdict on [{domain}] is to be had at the moment; try again later")
            }
            Self::TooManyQuestions { domain, own: 0 } => write!(
                f,
                "no verdict on [{domain}] is to be had at the moment: too many questions about unknown \
                 domains are under way; try again later"
            ),
            Self::TooManyQuestions { domain, own } => write!(
                f,
                "no verdict on [{domain}] is to be had at the moment: this caller has too many questions \
                 about unknown domains under way, {own}; try again later"
            ),
            Self::InvalidEndpoint => f.write_str("The requested endpoint does not exist"),
        }
    }
}

/// Names for a message: sorted, so that the order in DNS or in a certificate does not show.
fn list<T: Display>(names: &[T]) -> String {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    let rest = names.len().saturating_sub(NAMES_IN_MESSAGE);
    names.truncate(NAMES_IN_MESSAGE);
    let listed = names.join(", ");
    if rest == 0 { listed } else { format!("{listed} and {rest} more") }
}

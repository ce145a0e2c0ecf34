//! The decision, in two steps: who claims to speak, and does the verdict bear the claim out.
//!
//! | # | condition | refusal |
//! |---|---|---|
//! | 1 | no client certificate | `no-client-certificate` |
//! | 2 | its chain was not validated | `untrusted-certificate` |
//! | 3 | it does not parse | `certificate-parse-error` |
//! | 4 | now is outside its validity | `certificate-expired` |
//! | 5 | no origin header, or an empty one | `no-origin-domain` |
//! | 6 | the origin header is not exactly one domain | `domain-parse-error` |
//! | 7 | not allowed by strategy and list | `federation-denied` |
//! | 8 | no SRV record | `invalid-domain` |
//! | 9 | any other DNS failure | `discovery-failure` |
//! | 10 | no reference identifier matches a presented one | `authentication-failure` |
//! | – | no usable verdict | `verdict-unavailable` |
//!
//! Where the verdict is in shadow, 8 to 10 are told, and pass.
//!
//! The first condition that holds decides. 1 to 6 need no verdict, so nobody can make us look up
//! a domain without having shown a trusted certificate first.

use crate::certificate::{Certificate, CertificateError, UnixTime};
use crate::name::Domain;
use crate::refusal::Refusal;
use crate::verdict::{Outcome, Verdict};

/// Who is at the other end of a connection: a fact of the connection, the same for its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Presented no certificate.
    Anonymous,
    /// Presented a certificate whose chain was not validated; what stands in it means nothing.
    Untrusted,
    /// Presented a validated certificate that cannot be read.
    Unreadable(CertificateError),
    /// Presented this validated certificate, and holds its key.
    Known(Certificate),
}

/// A claim, by the holder of a valid certificate, to speak for a backend domain.
#[derive(Clone, Debug)]
pub struct Claim<'peer> {
    certificate: &'peer Certificate,
    origin: Domain,
}

/// The request passes: its sender speaks for this backend domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// The backend domain, normalised.
    pub origin: Domain,
    /// The refusal that this would be, if the domain's verdict were not in shadow.
    pub spared: Option<Refusal>,
}

/// Authenticates the peer and reads its claim: rows 1 to 6.
///
/// `origin_header` is the raw value of `Wire-Origin-Domain`; several values are to be joined by
/// `,`, which no domain contains, so that a repeated header can never pass.
pub fn identify<'peer>(
    peer: &'peer Peer,
    origin_header: Option<&[u8]>,
    now: UnixTime,
) -> Result<Claim<'peer>, Refusal> {
    let certificate = match peer {
        Peer::Anonymous => return Err(Refusal::NoClientCertificate),
        Peer::Untrusted => return Err(Refusal::UntrustedCertificate),
        Peer::Unreadable(error) => return Err(Refusal::CertificateParseError(error.clone())),
        Peer::Known(certificate) => certificate,
    };
    if !certificate.is_valid_at(now) {
        return Err(Refusal::CertificateExpired { validity: certificate.validity(), now });
    }
    let header = match origin_header {
        None | Some([]) => return Err(Refusal::NoOriginDomain),
        Some(header) => header,
    };
    let origin = Domain::parse(header).map_err(|reason| Refusal::header_is_no_domain(header, reason))?;
    Ok(Claim { certificate, origin })
}

/// Lets a refusal pass, as one that is only told, where the verdict says so. What the list itself forbids
/// is never let pass.
pub(crate) fn spare(refusal: Option<Refusal>, verdict: &Verdict) -> Result<Option<Refusal>, Refusal> {
    match refusal {
        Some(refusal) if !verdict.shadow || refusal.is_denial() => Err(refusal),
        spared => Ok(spared),
    }
}

// === impl Peer ===

impl Peer {
    /// From what the TLS layer says: the certificate's bytes, and whether it validated the chain.
    pub fn new(certificate: Option<&[u8]>, validated: bool) -> Self {
        match certificate {
            None | Some([]) => Self::Anonymous,
            Some(_) if !validated => Self::Untrusted,
            Some(bytes) => match Certificate::parse(bytes) {
                Ok(certificate) => Self::Known(certificate),
                Err(error) => Self::Unreadable(error),
            },
        }
    }

    /// What is known of it takes so many octets of memory, roughly.
    pub fn weight(&self) -> usize {
        match self {
            Self::Anonymous | Self::Untrusted => 0,
            Self::Unreadable(_) => 256,
            Self::Known(certificate) => certificate.weight(),
        }
    }
}

// === impl Claim ===

impl Claim<'_> {
    /// The backend domain that is claimed.
    pub fn origin(&self) -> &Domain {
        &self.origin
    }

    /// Rows 7 to 10, and the row without a number where there is no verdict on this very domain.
    pub fn judge(&self, verdict: Option<&Verdict>) -> Result<Permit, Refusal> {
        let Some(verdict) = verdict.filter(|verdict| verdict.domain == self.origin) else {
            return Err(Refusal::VerdictUnavailable(self.origin.clone()));
        };
        let refusal = match &verdict.outcome {
            Outcome::Failure(failure) => Some(Refusal::Failure(failure.clone())),
            Outcome::Hosts(hosts) if hosts.iter().any(|host| self.certificate.presents(host)) => None,
            Outcome::Hosts(hosts) => Some(Refusal::no_match(&self.origin, hosts, self.certificate)),
        };
        let spared = spare(refusal, verdict)?;
        Ok(Permit { origin: self.origin.clone(), spared })
    }
}

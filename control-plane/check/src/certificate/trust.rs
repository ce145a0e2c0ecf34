//! Whether a chain leads to whom we trust.

use fedgate_policy::{Portrait, UnixTime};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, OwnedCertRevocationList, RevocationOptionsBuilder, UnknownStatusPolicy,
    anchor_from_trusted_cert,
};

use super::reading::Reading;
use crate::code::Code;
use crate::ledger::Finding;
use crate::peer::codes;

/// Authorities that are trusted.
#[derive(Debug)]
pub struct Trust(Vec<TrustAnchor<'static>>);

/// Lists of revoked certificates.
#[derive(Debug, Default)]
pub struct RevocationLists(Vec<CertRevocationList<'static>>);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not PEM.
    #[error("is not readable as PEM: {0}")]
    Pem(String),
    /// Nothing in it.
    #[error("has none in it")]
    Empty,
    /// What is in it is not what it should be.
    #[error("number {0} in it cannot be used: {1}")]
    Wrong(usize, Error),
}

// === impl Trust ===

impl Trust {
    /// From certificates in PEM.
    pub fn read(pem: &[u8]) -> Result<Self, TrustError> {
        let mut anchors = Vec::new();
        for (index, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
            let certificate = certificate.map_err(|error| TrustError::Pem(error.to_string()))?;
            let anchor = anchor_from_trusted_cert(&certificate)
                .map_err(|error| TrustError::Wrong(index, error))?;
            anchors.push(anchor.to_owned());
        }
        if anchors.is_empty() { Err(TrustError::Empty) } else { Ok(Self(anchors)) }
    }

    /// Whether the chain leads there, and no list revokes it: `Ok` says to whom. `readings` are of the chain.
    pub(super) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        readings: &[Reading],
        lists: &RevocationLists,
        way: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<String, Finding> {
        let (Some(leaf), Some(reading)) = (chain.first(), readings.first()) else {
            return Err(finding(&codes::CHAIN_INVALID, "there is no certificate"));
        };
        let lists: Vec<_> = lists.0.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        // An end is told by itself, and is not to hide what else is wrong.
        let when =
            way.unwrap_or_else(|| UnixTime(now.0.max(reading.validity.0.0).min(reading.validity.1.0)));
        match self.verified(leaf, chain, when, revocation) {
            Ok(_) => Ok(format!("{} leads to a trusted authority", reading.portrait.issuer)),
            Err(Error::UnknownIssuer) => Err(unknown(readings)),
            Err(Error::InvalidSignatureForPublicKey) => Err(finding(
                &codes::AUTHORITY_UNKNOWN,
                "an authority of that name is known, but with another key",
            )),
            Err(Error::CertRevoked) => {
                Err(finding(&codes::CERTIFICATE_REVOKED, "the list names it, or an intermediate"))
            }
            Err(error @ (Error::CrlExpired { .. } | Error::InvalidCrlSignatureForPublicKey)) => {
                Err(finding(&codes::CRL_UNUSABLE, error.to_string()))
            }
            Err(error) => Err(finding(&codes::CHAIN_INVALID, error.to_string())),
        }
    }

    /// When the chain leads to one of them, now if possible, and which of its certificates that takes; nothing where
    /// they never do. Whether any is revoked is not looked at. `readings` are of the chain.
    pub(super) fn way(
        &self,
        chain: &[CertificateDer<'_>],
        readings: &[Reading],
        now: UnixTime,
    ) -> Option<(UnixTime, Vec<usize>)> {
        let (leaf, reading) = (chain.first()?, readings.first()?);
        let (since, until) = reading.validity;
        // Where a certificate has ended, or has not begun, the nearest moments are those at which some do.
        let mut others: Vec<_> = readings
            .iter()
            .flat_map(|it| [it.validity.0.0, it.validity.1.0])
            .chain([now.0])
            .map(|moment| moment.max(since.0).min(until.0))
            .collect();
        others.sort_by_key(|moment| moment.abs_diff(now.0));
        std::iter::once(now.0).chain(others).map(UnixTime).find_map(|when| {
            let used = self.verified(leaf, chain, when, None).ok()?;
            Some((when, used))
        })
    }

    /// The places in the chain of those that lead to one of them at that moment.
    fn verified(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        when: UnixTime,
        revocation: Option<webpki::RevocationOptions<'_>>,
    ) -> Result<Vec<usize>, Error> {
        let when = std::time::Duration::from_secs(u64::try_from(when.0).unwrap_or(0));
        let leaf = EndEntityCert::try_from(leaf)?;
        let path = leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.0,
            chain.get(1..).unwrap_or_default(),
            rustls::pki_types::UnixTime::since_unix_epoch(when),
            AnyPurpose,
            revocation,
            None,
        )?;
        let places = path.intermediate_certificates().filter_map(|used| {
            let der = used.der();
            chain.iter().position(|sent| *sent == der)
        });
        Ok(std::iter::once(0).chain(places).collect())
    }
}

// === impl RevocationLists ===

impl RevocationLists {
    /// From lists in PEM.
    pub fn read(pem: &[u8]) -> Result<Self, TrustError> {
        let mut lists = Vec::new();
        for (index, list) in (1..).zip(CertificateRevocationListDer::pem_slice_iter(pem)) {
            let list = list.map_err(|error| TrustError::Pem(error.to_string()))?;
            let list = OwnedCertRevocationList::from_der(&list)
                .map_err(|error| TrustError::Wrong(index, error))?;
            lists.push(list.into());
        }
        if lists.is_empty() { Err(TrustError::Empty) } else { Ok(Self(lists)) }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The purposes of a leaf are looked at by themselves.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

/// Whose name nobody knows: that of the last certificate's issuer, going up from the leaf.
fn unknown(readings: &[Reading]) -> Finding {
    let Some(mut last) = readings.first() else { return finding(&codes::ISSUER_UNKNOWN, "nobody") };
    for _ in readings {
        if let Some(issuer) = readings.iter().find(|it| it.subject == last.issuer) {
            last = issuer;
        }
    }
    let Portrait { subject, issuer, .. } = &last.portrait;
    if last.is_self_issued() {
        finding(&codes::AUTHORITY_UNKNOWN, format!("the chain ends at {subject}, which is not trusted"))
    } else if last.points_to_issuer {
        let seen =
            format!("{subject} was issued by {issuer}, which is an intermediate, and was not sent");
        finding(&codes::INTERMEDIATE_MISSING, seen)
    } else {
        let seen = format!("{subject} was issued by {issuer}, which is neither trusted nor sent");
        finding(&codes::ISSUER_UNKNOWN, seen)
    }
}

fn finding(code: &'static Code, seen: impl Into<String>) -> Finding {
    Finding { code, seen: seen.into() }
}

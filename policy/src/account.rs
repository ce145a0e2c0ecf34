//! An account of a decision, row by row, for people. The filter needs none, and pays for none: the decision is
//! [`identify`]'s and [`Claim::judge`](crate::Claim::judge)'s, and which rows were looked at follows from what they
//! say, because the first row that refuses decides.

use std::cmp::Ordering;

use crate::certificate::{Certificate, Handshake, UnixTime};
use crate::decision::{Peer, identify};
use crate::name::Domain;
use crate::refusal::Refusal;
use crate::remote_call::RemoteCall;
use crate::verdict::{FailureLabel, Verdict};

/// A row of the decision's table, by what holds where it does not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// 1: there is a client certificate.
    Presented,
    /// 2: its chain was validated.
    Trusted,
    /// 3: it can be read.
    Readable,
    /// 4: it is valid now.
    Valid,
    /// 5: there is an origin header.
    Claimed,
    /// 6: it is one domain.
    Domain,
    /// 7: strategy and list allow it.
    Allowed,
    /// 8: it has a federator.
    Federates,
    /// 9: DNS was of use.
    Discovered,
    /// 10: the certificate names one of its infrastructure domains.
    Matched,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who makes it; none where nobody says.
    pub peer: Option<&'a Peer>,
    /// What the peer's certificate says of the handshake, where it is only assumed that Envoy has taken it; none where
    /// Envoy has told.
    pub handshake: Option<&'a Handshake>,
    /// As [`identify`] takes it.
    pub origin_header: Option<&'a [u8]>,
    /// When.
    pub now: UnixTime,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It passes; the refusal that it would be but for shadow.
    Permit(Option<Refusal>),
    /// It is refused.
    Refusal(Refusal),
    /// The certificate decides, which nobody has shown; the refusal that is told in any case.
    Open(Option<Refusal>),
    /// Envoy ends the handshake, for this reason: there is no request, and no answer.
    Ended(&'static str),
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It was looked at, and does not refuse.
    Passed,
    /// It refuses.
    Refused,
    /// It would refuse, and is let pass because the verdict is in shadow.
    Spared,
    /// It was not looked at.
    Not(Unseen),
}

/// Why a row was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// An earlier one decided.
    Behind(Row),
    /// Nobody has shown a certificate.
    NoCertificate,
    /// Chains are validated before us.
    TlsLayer,
    /// There was no verdict.
    NoVerdict,
    /// Calls of our own services have no such row.
    OwnCall,
}

/// A decision, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The decision.
    pub judgement: Judgement,
    /// Each row, in their order.
    pub rows: [(Row, Looked); 10],
}

// === impl Row ===

impl Row {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::Presented,
        Self::Trusted,
        Self::Readable,
        Self::Valid,
        Self::Claimed,
        Self::Domain,
        Self::Allowed,
        Self::Federates,
        Self::Discovered,
        Self::Matched,
    ];

    /// The row that refuses so; none where no row does.
    pub fn of(refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::NoClientCertificate => Some(Self::Presented),
            Refusal::UntrustedCertificate => Some(Self::Trusted),
            Refusal::CertificateParseError(_) => Some(Self::Readable),
            Refusal::CertificateExpired { .. } => Some(Self::Valid),
            Refusal::NoOriginDomain => Some(Self::Claimed),
            Refusal::DomainParseError { .. } => Some(Self::Domain),
            Refusal::Failure(failure) => Some(match failure.label {
                FailureLabel::FederationDenied => Self::Allowed,
                FailureLabel::InvalidDomain => Self::Federates,
                FailureLabel::DiscoveryFailure => Self::Discovered,
            }),
            Refusal::AuthenticationFailure { .. } => Some(Self::Matched),
            Refusal::VerdictUnavailable(_)
            | Refusal::TooManyQuestions { .. }
            | Refusal::InvalidEndpoint => None,
        }
    }

    /// Whether the certificate alone decides it, or has a part in it.
    fn needs_certificate(self) -> bool {
        match self {
            Self::Presented | Self::Trusted | Self::Readable | Self::Valid | Self::Matched => true,
            Self::Claimed | Self::Domain | Self::Allowed | Self::Federates | Self::Discovered => false,
        }
    }

    /// Whether a verdict is needed for it.
    fn needs_verdict(self) -> bool {
        self >= Self::Allowed
    }
}

// === impl Facts ===

impl Facts<'_> {
    /// The domain that the header claims.
    pub fn claimed(&self) -> Result<Domain, Refusal> {
        let anybody = Peer::Known(Certificate::nameless());
        identify(&anybody, self.origin_header, self.now).map(|claim| claim.origin().clone())
    }

    /// The account of a request from another backend.
    pub fn account(&self, verdict: Option<&Verdict>) -> Account {
        let peer = match (self.handshake, self.peer) {
            (Some(Handshake::Ended(why)), Some(_)) => return Account::ended(why),
            (Some(Handshake::Withheld(_)), Some(_)) => Some(&Peer::Anonymous),
            (Some(Handshake::Fit) | None, peer) | (Some(_), peer @ None) => peer,
        };
        let judged = match peer {
            Some(peer) => identify(peer, self.origin_header, self.now)
                .and_then(|claim| claim.judge(verdict))
                .map(|permit| Judgement::Permit(permit.spared)),
            None => self.foresee(verdict).map(Judgement::Open),
        };
        Account::new(judged.unwrap_or_else(Judgement::Refusal), |row| match peer {
            None if row.needs_certificate() => Some(Unseen::NoCertificate),
            Some(Peer::Known(_) | Peer::Unreadable(_))
                if row == Row::Trusted && self.handshake.is_some() =>
            {
                Some(Unseen::TlsLayer)
            }
            Some(_) | None => None,
        })
    }

    /// Rows 5 to 9: what is refused whatever certificate is shown.
    fn foresee(&self, verdict: Option<&Verdict>) -> Result<Option<Refusal>, Refusal> {
        let anybody = Peer::Known(Certificate::nameless());
        let judged =
            identify(&anybody, self.origin_header, self.now).and_then(|claim| claim.judge(verdict));
        let for_its_names = |refusal: &Refusal| Row::of(refusal) == Some(Row::Matched);
        match judged {
            Ok(permit) => Ok(permit.spared.filter(|spared| !for_its_names(spared))),
            Err(refusal) if for_its_names(&refusal) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}

// === impl Account ===

impl Account {
    /// The account of a call of our own services.
    pub fn of_call(call: &RemoteCall, verdict: Option<&Verdict>) -> Self {
        let judgement = call.judge(verdict).map_or_else(Judgement::Refusal, Judgement::Permit);
        Self::new(judgement, |row| match row {
            Row::Allowed | Row::Federates | Row::Discovered => None,
            Row::Presented
            | Row::Trusted
            | Row::Readable
            | Row::Valid
            | Row::Claimed
            | Row::Domain
            | Row::Matched => Some(Unseen::OwnCall),
        })
    }

    /// The account where there is no request.
    fn ended(why: &'static str) -> Self {
        let rows = Row::ALL.map(|row| match row.cmp(&Row::Trusted) {
            Ordering::Less => (row, Looked::Passed),
            Ordering::Equal => (row, Looked::Refused),
            Ordering::Greater => (row, Looked::Not(Unseen::Behind(Row::Trusted))),
        });
        Self { judgement: Judgement::Ended(why), rows }
    }

    fn new(judgement: Judgement, unseen: impl Fn(Row) -> Option<Unseen>) -> Self {
        let (refusal, mark) = match &judgement {
            Judgement::Permit(spared) | Judgement::Open(spared) => (spared.as_ref(), Looked::Spared),
            Judgement::Refusal(refusal) => (Some(refusal), Looked::Refused),
            Judgement::Ended(_) => (None, Looked::Refused),
        };
        let (is_refused, decides) = (refusal.is_some(), refusal.and_then(Row::of));
        let rows = Row::ALL.map(|row| {
            let looked = match (unseen(row), decides) {
                (Some(unseen), _) => Looked::Not(unseen),
                (None, Some(one)) if row == one => mark,
                (None, Some(one)) if row > one => Looked::Not(Unseen::Behind(one)),
                (None, None) if is_refused && row.needs_verdict() => Looked::Not(Unseen::NoVerdict),
                (None, Some(_) | None) => Looked::Passed,
            };
            (row, looked)
        });
        Self { judgement, rows }
    }
}

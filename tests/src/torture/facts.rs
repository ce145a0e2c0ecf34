//! What the checker is told, and what it says.

use std::fmt;

use super::fault::{Ms, Side};

/// Where a call is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Door {
    Ingress,
    Egress,
}

/// What a fault may hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Concern {
    /// Calls.
    Door(Side, Door),
    /// How soon a filter hears of the list.
    Feed(Side),
    /// How soon a name or a cluster is found.
    Names(Side),
}

/// What is true of whom a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Listed from the beginning to the end, and of good standing.
    Partner,
    /// To be refused, always, with this label; or, without one, without any answer.
    Never(Option<&'static str>),
    /// As the list has it at the moment.
    Listed(String),
    /// Who speaks for the domain that moves, if DNS names this host.
    Host(usize),
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Status and label.
    Refused(u16, String),
    Broken(String),
    /// It had not ended after [`CALL_WITHIN`].
    Hung,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) side: Side,
    pub(crate) door: Door,
    pub(crate) truth: Truth,
    pub(crate) from: Ms,
    pub(crate) to: Ms,
    pub(crate) outcome: Outcome,
    /// When the service behind the gate saw it, whatever the caller heard.
    pub(crate) seen: Option<Ms>,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Wrong,
    pub(crate) at: Ms,
    pub(crate) what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// Admitted what should be refused.
    Admitted,
    /// An acknowledged write is lost, or a removed entry is back.
    Lost,
    /// A call took longer than 10 s.
    Hung,
    /// Not healed in time.
    NotHealed,
    /// Refused, or failed, though nothing that was under way may cause that.
    Needless,
    /// Memory or descriptors grow.
    Grew,
    /// A program does not start, or ended by itself.
    Ended,
}

// === impl Wrong ===

impl Wrong {
    pub(crate) const ALL: [Self; 7] = [
        Self::Admitted,
        Self::Lost,
        Self::Hung,
        Self::NotHealed,
        Self::Needless,
        Self::Grew,
        Self::Ended,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Lost => "lost",
            Self::Hung => "hung",
            Self::NotHealed => "not-healed",
            Self::Needless => "needless",
            Self::Grew => "grew",
            Self::Ended => "ended",
        }
    }
}

// === impl Call ===

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let door = match self.door {
            Door::Ingress => "ingress",
            Door::Egress => "egress",
        };
        let whom = match &self.truth {
            Truth::Partner => "a partner",
            Truth::Never(Some("federation-denied")) => "one who is not listed",
            Truth::Never(Some("authentication-failure")) => "one with a wrong certificate",
            Truth::Never(Some(_)) => "one without a certificate",
            Truth::Never(None) => "one of an untrusted authority",
            Truth::Listed(domain) => domain,
            Truth::Host(_) => "one whose SRV record moves",
        };
        write!(f, "{door} of {}, {whom}, at {} ms", self.side.domain(), self.from)
    }
}

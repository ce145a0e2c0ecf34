//! DNSSEC (RFC 4033 to 4035): which answers count, by how well they are proven.
//!
//! | the answer is | `opportunistic` | `require` |
//! |---|---|---|
//! | secure: a chain of signatures leads to it from a trust anchor | counts | counts |
//! | insecure: such a chain proves that its zone is not signed | counts | trouble |
//! | bogus: neither, though there should be one | trouble | trouble |
//! | there is none, or it took too long | trouble | trouble |
//!
//! That there is no such record must be proven as well as any record. An answer is as good as the
//! least proven alias on the way to it.
//!
//! What does not count is *trouble*, as SERVFAIL is, which is also what a validating resolver makes of
//! a bogus answer. So whoever can spoil answers can neither have one believed, nor have us forget one
//! that was proven before its time is over, nor keep it alive beyond that; and two seconds after the
//! zone is mended we know.
//!
//! [`validator`] asks and judges; [`chain`] finds the zone that a name is in, from the trust anchors
//! ([`anchors`]) down ([`delegation`]), and [`proof`] what that zone proves of the name: by its signatures
//! ([`signature`]), and by what it denies ([`denial`], [`nsec3`]). hickory reads the records, and does the
//! cryptography. All but asking is pure.

pub mod anchors;
mod asking;
mod chain;
mod delegation;
mod denial;
mod nsec3;
mod proof;
mod signature;
#[cfg(test)]
mod testing;
mod validator;

use std::fmt;
use std::str::FromStr;

use anchors::Anchors;
pub(super) use validator::Validator;

/// Whether answers are to be proven. The default is that they are not.
#[derive(Clone, Debug, Default)]
pub struct Dnssec {
    /// How far, of all domains; none: whatever DNS says counts.
    pub demand: Option<Demand>,
    /// From where on; for domains that need proof, whatever holds of the others.
    pub anchors: Anchors,
}

/// How the cause begins where an answer is neither proven, nor from a zone of which it is proven that it is not signed.
pub const BOGUS: &str = "DNSSEC: the answer is bogus";

/// How far answers are to be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Where their zone is signed.
    Opportunistic,
    /// All of them.
    Require,
}

/// The values of `discovery.dnssec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub Option<Demand>);

/// The value of `discovery.dnssec`.
impl fmt::Display for Dnssec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.demand {
            None => "off",
            Some(Demand::Opportunistic) => "opportunistic",
            Some(Demand::Require) => "require",
        })
    }
}

// === impl Mode ===

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            "opportunistic" => Ok(Self(Some(Demand::Opportunistic))),
            "require" => Ok(Self(Some(Demand::Require))),
            _ => Err("is neither `off`, `opportunistic` nor `require`"),
        }
    }
}

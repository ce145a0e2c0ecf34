//! Discovery: which infrastructure domains speak for a backend domain, as DNS has it.
//!
//! A backend announces its infrastructure domains by SRV records (RFC 2782):
//!
//! ```text
//! _wire-server-federator._tcp.company-a.com. 600 IN SRV 10 5 443 federator.wire.company-a.com.
//! ```
//!
//! [`dns`] asks [`servers`]: [`answer`] says what a response says, [`interpret`] and [`addresses`] what
//! that means, for a backend domain and for a host, and for how long. [`reach`] knows which addresses
//! the world may send us to. [`dnssec`], where it is switched on, stands between [`servers`] and
//! [`answer`], and lets pass what is proven. [`basis`] names the settings that findings rest on. All but
//! asking is pure.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod addresses;
mod answer;
mod asking;
mod basis;
pub mod dns;
pub mod dnssec;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod interpret;
mod reach;

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use fedgate_policy::{Domain, Failure, FailureLabel, HostName, MAX_HOSTS, Outcome};

/// How long a transient failure is believed: SERVFAIL, REFUSED, a timeout, a malformed answer.
///
/// Long enough that a burst of requests costs one query, short enough that nobody waits for us once
/// DNS has healed. RFC 2308 §7.1 would allow five minutes; we stay below five seconds.
pub const TRANSIENT_TTL: Duration = Duration::from_secs(2);

/// The longest that a negative answer is believed, whatever its SOA says (RFC 2308 §5).
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(3 * 60 * 60);

/// The most SRV targets that count: those of the first priorities.
const MAX_TARGETS: usize = MAX_HOSTS;
/// The most records that are named of those that are no targets.
const MAX_PASSED_OVER: usize = 8;

/// Finds the infrastructure domains of a backend domain.
pub trait Discover: Send + Sync {
    /// Asks anew; never answers from a cache of its own. Does not fail: a failure is a finding.
    fn discover<'a>(&'a self, domain: &'a Domain, proof: Proof) -> Discovering<'a>;

    /// What findings rest on, as a text: what was found on another basis might not be found on this.
    fn basis(&self) -> String {
        String::new()
    }

    /// How many questions one discovery may have under way at one time.
    fn width(&self) -> usize {
        1
    }

    /// Who is asked, for people.
    fn servers(&self) -> String;
}

/// Whether a discovery has to be proven by DNSSEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// As far as the settings say.
    AsSet,
    /// It has to be, whatever they say.
    Required,
}

/// A discovery that is under way.
pub type Discovering<'a> = Pin<Box<dyn Future<Output = Discovered> + Send + 'a>>;

/// Finds the addresses of an infrastructure domain.
pub trait Resolve: Send + Sync {
    /// Asks anew for those of one family, as [`Discover::discover`] does: one may fail, or take long,
    /// where the other does not.
    fn resolve<'a>(&'a self, host: &'a HostName, family: Family) -> Resolving<'a>;

    /// The addresses that DNS gave at an earlier time, and that will do until it is heard again. None
    /// where there is no memory of it.
    fn remembered(&self, _: &HostName, _: Family) -> Option<Vec<IpAddr>> {
        None
    }
}

/// A lookup of addresses that is under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Addresses> + Send + 'a>>;

/// What a discovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The infrastructure domains, or why there are none.
    pub outcome: Outcome,
    /// Where they are to be reached, in order; empty where there are none. With more than 64 targets,
    /// a host may be in one of the two only: any host may speak, but we call the first priorities.
    pub targets: Vec<Target>,
    /// Records beside them that are no targets, each with the reason; a few.
    pub passed_over: Vec<String>,
    /// For how long this holds from now.
    pub ttl: Duration,
    /// Whether DNS said so, or only failed to say.
    pub certainty: Certainty,
    /// Whether that was proven, where it had to be; else nobody has looked.
    pub is_proven: bool,
}

/// One SRV record. Their order is that of their priorities, and does not depend on DNS's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Lower is tried first.
    pub priority: u16,
    /// The infrastructure domain.
    pub host: HostName,
    /// Where it listens; 0 is no port to connect to.
    pub port: u16,
    /// Its share of the connections among those of its priority.
    pub weight: u16,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// From A records.
    V4,
    /// From AAAA records.
    V6,
}

/// What a lookup of a host's addresses of one family found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Those that we may connect to, in DNS's order; at most 16.
    pub usable: Vec<IpAddr>,
    /// Those that we may not, because they are not public.
    pub private: Vec<IpAddr>,
    /// For how long this holds from now.
    pub ttl: Duration,
    /// Why DNS failed to say, in a few words; none where it said so.
    pub trouble: Option<String>,
}

/// How far a finding is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// DNS answered: this replaces whatever was known before.
    Answered,
    /// DNS did not answer: what was known before, and has not ended, still stands.
    Transient,
}

/// The bounds between which a TTL is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlBounds {
    /// Below this, a record of TTL 0 would cost a query per request.
    pub min: Duration,
    /// Above this, a mistake in a zone would stay with us for too long.
    pub max: Duration,
}

// === impl Discovered ===

impl Discovered {
    /// A failure to get any answer.
    pub fn transient(message: String) -> Self {
        Self {
            outcome: Outcome::Failure(Failure { label: FailureLabel::DiscoveryFailure, message }),
            targets: Vec::new(),
            passed_over: Vec::new(),
            ttl: TRANSIENT_TTL,
            certainty: Certainty::Transient,
            is_proven: false,
        }
    }

    /// Why it came to nothing, if DNS failed to say anything.
    pub fn trouble(&self) -> Option<&Failure> {
        match (self.certainty, &self.outcome) {
            (Certainty::Transient, Outcome::Failure(failure)) => Some(failure),
            (Certainty::Transient, Outcome::Hosts(_)) | (Certainty::Answered, _) => None,
        }
    }
}

// === impl TtlBounds ===

impl TtlBounds {
    /// The life of a positive answer, from the least TTL of its records, in seconds.
    fn positive(self, seconds: u32) -> Duration {
        Duration::from_secs(honest(seconds).into()).clamp(self.min, self.max)
    }

    /// The life of a negative answer: the lesser of its SOA's TTL and MINIMUM (RFC 2308 §5), or the
    /// least that we keep anything where there is no SOA.
    fn negative(self, soa: Option<u32>) -> Duration {
        let max = self.max.min(MAX_NEGATIVE_TTL).max(self.min);
        soa.map_or(self.min, |seconds| Duration::from_secs(honest(seconds).into()).clamp(self.min, max))
    }
}

/// A TTL with its top bit set counts as zero (RFC 2181 §8).
fn honest(seconds: u32) -> u32 {
    if seconds > i32::MAX.unsigned_abs() { 0 } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: TtlBounds =
        TtlBounds { min: Duration::from_secs(5), max: Duration::from_secs(86_400) };

    #[test]
    fn a_ttl_is_honoured_between_its_bounds() {
        for (seconds, expected) in [
            (0, 5),
            (1, 5),
            (5, 5),
            (6, 6),
            (600, 600),
            (86_400, 86_400),
            (86_401, 86_400),
            (0x7fff_ffff, 86_400),
            (0x8000_0000, 5),
            (u32::MAX, 5),
        ] {
            assert_eq!(BOUNDS.positive(seconds), Duration::from_secs(expected), "{seconds}");
        }
    }

    #[test]
    fn a_negative_answer_lives_as_its_soa_says_but_three_hours_at_most() {
        for (soa, expected) in [
            (None, 5),
            (Some(0), 5),
            (Some(30), 30),
            (Some(10_800), 10_800),
            (Some(10_801), 10_800),
            (Some(0x8000_0000), 5),
        ] {
            assert_eq!(BOUNDS.negative(soa), Duration::from_secs(expected), "{soa:?}");
        }
    }

    #[test]
    fn bounds_above_three_hours_do_not_contradict_themselves() {
        let bounds = TtlBounds { min: Duration::from_secs(14_400), max: Duration::from_secs(18_000) };
        assert_eq!(bounds.negative(Some(1)), Duration::from_secs(14_400));
    }
}

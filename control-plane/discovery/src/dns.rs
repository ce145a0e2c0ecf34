//! Discovery by way of DNS: asks, follows aliases from one response to the next, and has the answer
//! interpreted.
//!
//! hickory's `Resolver` is passed by on purpose: following an SRV answer, it takes the *target* for the
//! next name of a CNAME chain, and so loses SRV records that stand behind an alias; it also answers
//! for `localhost.` itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fedgate_policy::{Domain, HostName};
use hickory_proto::rr::RecordType;

use super::answer::{Answer, Question, Step, read};
use super::asking::{Purpose, Servers};
use super::basis::basis;
use super::dnssec::{Demand, Dnssec, Validator};
use super::{
    Certainty, Discover, Discovered, Discovering, Family, Proof, Resolve, Resolving, TtlBounds,
};
use super::{addresses, interpret};

pub use super::asking::NoServers;

/// The servers that are asked where these are named: these, or the system's.
pub fn servers(named: &[SocketAddr]) -> Result<Vec<SocketAddr>, NoServers> {
    super::asking::servers(named)
}

/// Discovery by SRV records, and by the addresses of their targets.
pub struct DnsDiscovery {
    servers: Arc<Servers>,
    bounds: TtlBounds,
    timeout: Duration,
    private_addresses: bool,
    dnssec: Dnssec,
    basis: String,
}

// === impl DnsDiscovery ===

impl DnsDiscovery {
    /// Discovery through `servers`, or the system's where that is empty; `timeout` bounds one
    /// discovery as a whole, and one lookup of addresses. Without `private_addresses`, those that are
    /// not public do not count. `dnssec` says whether answers are to be proven.
    pub fn new(
        servers: &[SocketAddr],
        bounds: TtlBounds,
        timeout: Duration,
        private_addresses: bool,
        dnssec: Dnssec,
    ) -> Result<Self, NoServers> {
        let servers = Arc::new(Servers::new(servers)?);
        let basis = basis(&servers.addresses(), bounds, private_addresses, &dnssec);
        Ok(Self { servers, bounds, timeout, private_addresses, dnssec, basis })
    }

    /// Whether the domain says of itself that it has no federator, by the one target `.` (RFC 2782); not
    /// where nothing is said. For people: to [`Discover`], both are the same.
    pub async fn declines(&self, domain: &Domain) -> bool {
        let Ok(question) = interpret::question(domain) else { return false };
        let answer = self.answer(Purpose::Discovery, question, None).await;
        interpret::is_declined(&answer)
    }

    /// Whether a host is an alias, which the target of an SRV record may not be (RFC 2782). For people: to
    /// [`Resolve`], it is all the same.
    pub async fn is_alias(&self, host: &HostName) -> bool {
        let Some(question) = addresses::question(host, RecordType::CNAME) else { return false };
        let asking = self.servers.clone().within(Purpose::Addresses, self.timeout);
        let Ok(message) = asking.ask(&question.query(), false).await else { return false };
        message
            .answers
            .iter()
            .any(|record| record.record_type() == RecordType::CNAME && record.name == *question.name())
    }

    /// The answer to a question, in time, over aliases that lead from one response to another.
    async fn answer(&self, purpose: Purpose, mut question: Question, demand: Option<Demand>) -> Answer {
        let asking = self.servers.clone().within(purpose, self.timeout);
        let mut validator = demand.map(|demand| Validator::new(&asking, demand, &self.dnssec.anchors));
        loop {
            let step = match &mut validator {
                None => match asking.ask(&question.query(), false).await {
                    Ok(message) => read(question, &message),
                    Err(unanswered) => return Answer::Trouble(unanswered.to_string()),
                },
                Some(validator) => validator.step(question).await,
            };
            match step {
                Step::Done(answer) => return answer,
                Step::Follow(next) => question = next,
            }
        }
    }
}

impl Discover for DnsDiscovery {
    fn basis(&self) -> String {
        self.basis.clone()
    }

    fn discover<'a>(&'a self, domain: &'a Domain, proof: Proof) -> Discovering<'a> {
        let demand = match proof {
            Proof::AsSet => self.dnssec.demand,
            Proof::Required => Some(Demand::Require),
        };
        Box::pin(async move {
            let found = match interpret::question(domain) {
                Ok(question) => {
                    let answer = self.answer(Purpose::Discovery, question, demand).await;
                    interpret::interpret(domain, answer, self.bounds)
                }
                Err(found) => found,
            };
            let is_proven = demand == Some(Demand::Require) && found.certainty == Certainty::Answered;
            Discovered { is_proven, ..found }
        })
    }

    /// Silent servers are asked all at once; with DNSSEC, for the answer and for two kinds of proof.
    fn width(&self) -> usize {
        let questions = if self.dnssec.demand.is_some() { 3 } else { 1 };
        self.servers.addresses().len().saturating_mul(questions)
    }

    fn servers(&self) -> String {
        self.servers.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl Resolve for DnsDiscovery {
    fn resolve<'a>(&'a self, host: &'a HostName, family: Family) -> Resolving<'a> {
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        Box::pin(async move {
            let answer = match addresses::question(host, kind) {
                Some(question) => self.answer(Purpose::Addresses, question, self.dnssec.demand).await,
                None => Answer::Absent(None),
            };
            addresses::interpret(answer, self.bounds, self.private_addresses)
        })
    }
}

//! Asking DNS, through hickory.
//!
//! Its `Resolver` is passed by on purpose: following an SRV answer, it takes the *target* for the
//! next name of a CNAME chain, and so loses SRV records that stand behind an alias; it also answers
//! for `localhost.` itself. What lies beneath is what we need: its name server pools ([`servers`]),
//! and its validation of DNSSEC ([`dnssec`]).
//!
//! [`servers`]: super::servers
//! [`dnssec`]: super::dnssec

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fedgate_policy::{Domain, HostName};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions};
use hickory_resolver::proto::rr::RecordType;

use super::answer::{Answer, Question, Step, read};
use super::basis::basis;
use super::dnssec::{Dnssec, Validator};
use super::servers::Servers;
use super::{Discover, Discovering, Family, Resolve, Resolving, TtlBounds};
use super::{addresses, interpret};

pub(crate) use super::servers::NoServers;

/// Discovery by SRV records, and by the addresses of their targets.
pub(crate) struct DnsDiscovery {
    servers: Arc<Servers>,
    /// The same for people.
    named: String,
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
    pub(crate) fn new(
        servers: &[SocketAddr],
        bounds: TtlBounds,
        timeout: Duration,
        private_addresses: bool,
        dnssec: Dnssec,
    ) -> Result<Self, NoServers> {
        let basis = basis(servers, bounds, private_addresses, &dnssec);
        let named = servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let named = if named.is_empty() { "those of /etc/resolv.conf".to_owned() } else { named };
        let servers = Arc::new(Servers::new(servers, timeout)?);
        Ok(Self { servers, named, bounds, timeout, private_addresses, dnssec, basis })
    }

    /// The answer to a question, in time, or trouble.
    async fn answer(&self, question: Question) -> Answer {
        tokio::time::timeout(self.timeout, self.follow(question))
            .await
            .unwrap_or_else(|_| Answer::Trouble("no answer in time".to_owned()))
    }

    /// The answer to a question, over aliases that lead from one response to another.
    async fn follow(&self, mut question: Question) -> Answer {
        let validator = match &self.dnssec {
            Dnssec::Off => None,
            Dnssec::On(demand, anchors) => Some(Validator::new(self.servers.clone(), *demand, anchors)),
        };
        loop {
            let step = match &validator {
                None => {
                    let request = DnsRequest::from_query(question.query(), DnsRequestOptions::default());
                    read(question, self.servers.ask(&request).await.as_deref())
                }
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

    fn discover<'a>(&'a self, domain: &'a Domain) -> Discovering<'a> {
        Box::pin(async move {
            match interpret::question(domain) {
                Ok(question) => interpret::interpret(domain, self.answer(question).await, self.bounds),
                Err(found) => found,
            }
        })
    }

    fn servers(&self) -> String {
        self.named.clone()
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
                Some(question) => self.answer(question).await,
                None => Answer::Absent(None),
            };
            addresses::interpret(answer, self.bounds, self.private_addresses)
        })
    }
}

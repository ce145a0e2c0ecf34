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
use super::dnssec::{Dnssec, Validator};
use super::servers::Servers;
use super::{Addresses, Discover, Discovering, Resolve, Resolved, Resolving, TtlBounds};
use super::{addresses, interpret};

pub(crate) use super::servers::NoServers;

/// Discovery by SRV records, and by the addresses of their targets.
pub(crate) struct DnsDiscovery {
    servers: Arc<Servers>,
    bounds: TtlBounds,
    timeout: Duration,
    private_addresses: bool,
    dnssec: Dnssec,
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
        let servers = Arc::new(Servers::new(servers, timeout)?);
        Ok(Self { servers, bounds, timeout, private_addresses, dnssec })
    }

    /// A host's addresses of the family that this kind of record is for.
    async fn addresses(&self, host: &HostName, kind: RecordType) -> Addresses {
        let answer = match addresses::question(host, kind) {
            Some(question) => self.answer(question).await,
            None => Answer::Absent(None),
        };
        addresses::interpret(answer, self.bounds, self.private_addresses)
    }

    /// The answer to a question, in time, or trouble.
    async fn answer(&self, question: Question) -> Answer {
        tokio::time::timeout(self.timeout, self.follow(question))
            .await
            .unwrap_or_else(|_| Answer::Trouble("no answer in time".to_owned()))
    }

    /// The answer to a question, over aliases that lead from one response to another.
    async fn follow(&self, mut question: Question) -> Answer {
        let mut validator = match &self.dnssec {
            Dnssec::Off => None,
            Dnssec::On(demand, anchors) => Some(Validator::new(&*self.servers, *demand, anchors)),
        };
        loop {
            let step = match &mut validator {
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
    fn discover<'a>(&'a self, domain: &'a Domain) -> Discovering<'a> {
        Box::pin(async move {
            match interpret::question(domain) {
                Ok(question) => interpret::interpret(domain, self.answer(question).await, self.bounds),
                Err(found) => found,
            }
        })
    }
}

impl Resolve for DnsDiscovery {
    fn resolve<'a>(&'a self, host: &'a HostName) -> Resolving<'a> {
        Box::pin(async move {
            let (v4, v6) = tokio::join!(
                self.addresses(host, RecordType::A),
                self.addresses(host, RecordType::AAAA)
            );
            Resolved { v4, v6 }
        })
    }
}

//! Asking DNS, through hickory.
//!
//! Its `Resolver` is passed by on purpose: following an SRV answer, it takes the *target* for the
//! next name of a CNAME chain, and so loses SRV records that stand behind an alias; it also answers
//! for `localhost.` itself. Its name server pools beneath, which do UDP with EDNS, retransmission,
//! and TCP where an answer is truncated, are what we need. There is one pool per server, because a
//! pool gives up at the first server that says SERVFAIL or REFUSED.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fedgate_policy::{Domain, HostName};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, system_conf};

use super::answer::{Answer, Question, Step, read};
use super::{Addresses, Discover, Discovering, Resolve, Resolved, Resolving, TtlBounds};
use super::{addresses, interpret};

/// How often a silent server is asked within one discovery, each time for that part of its timeout.
const ROUNDS: u32 = 3;

/// Discovery by SRV records, and by the addresses of their targets.
pub(crate) struct DnsDiscovery {
    servers: Vec<NameServerPool<TokioRuntimeProvider>>,
    /// The server that answered last is asked first, so that a dead one costs its timeout once.
    preferred: AtomicUsize,
    bounds: TtlBounds,
    timeout: Duration,
    private_addresses: bool,
}

/// Why discovery cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system's DNS configuration is of no use: {0}; mend /etc/resolv.conf, or name the servers with --discovery-servers"
)]
pub(crate) struct NoServers(#[from] NetError);

// === impl DnsDiscovery ===

impl DnsDiscovery {
    /// Discovery through `servers`, or the system's where that is empty; `timeout` bounds one
    /// discovery as a whole, and one lookup of addresses. Without `private_addresses`, those that are
    /// not public do not count.
    pub(crate) fn new(
        servers: &[SocketAddr],
        bounds: TtlBounds,
        timeout: Duration,
        private_addresses: bool,
    ) -> Result<Self, NoServers> {
        let servers = if servers.is_empty() {
            system_conf::read_system_conf()?.0.name_servers
        } else {
            servers.iter().copied().map(name_server).collect()
        };
        let mut options = ResolverOpts::default();
        options.timeout = timeout / ROUNDS;
        options.num_concurrent_reqs = 1;
        let context = Arc::new(PoolContext::new(options, TlsConfig::new()?));
        let pool = |server| {
            NameServerPool::from_config([server], context.clone(), TokioRuntimeProvider::default())
        };
        Ok(Self {
            servers: servers.into_iter().map(pool).collect(),
            preferred: AtomicUsize::new(0),
            bounds,
            timeout,
            private_addresses,
        })
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
        loop {
            let response = self.ask(&question).await;
            match read(question, response.as_ref().map(|response| &**response)) {
                Step::Done(answer) => return answer,
                Step::Follow(next) => question = next,
            }
        }
    }

    /// Asks one server after the other until one has something to say about the name; and all of
    /// them again only if none has said anything.
    async fn ask(&self, question: &Question) -> Result<DnsResponse, NetError> {
        let start = self.preferred.load(Ordering::Relaxed);
        let mut servers: Vec<_> = self.servers.iter().enumerate().collect();
        // Stable, so the others stay in the order in which they were configured.
        servers.sort_by_key(|(index, _)| *index != start);
        let mut silence = NetError::NoConnections;
        for _ in 0..ROUNDS {
            let mut refusal = None;
            for (index, server) in &servers {
                let query = Query::query(question.name().clone(), question.kind());
                match server.lookup(query, DnsRequestOptions::default()).first_answer().await {
                    Err(error) if another_may_know(&error) => {
                        tracing::debug!(name = %question.name(), server = index, %error, "DNS server passed over");
                        if is_silence(&error) {
                            silence = error;
                        } else {
                            refusal = Some(error);
                        }
                    }
                    conclusive => {
                        self.preferred.store(*index, Ordering::Relaxed);
                        return conclusive;
                    }
                }
            }
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
        }
        Err(silence)
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

/// Whether another server may know better: all but a finding about the name itself.
fn another_may_know(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(absent)) = error else { return true };
    let referral = absent.soa.is_none() && absent.ns.is_some();
    let about_the_name = [ResponseCode::NXDomain, ResponseCode::NoError].contains(&absent.response_code);
    referral || !about_the_name
}

/// Whether the server did not answer at all, so that asking it again may help.
fn is_silence(error: &NetError) -> bool {
    matches!(error, NetError::Timeout | NetError::Io(_) | NetError::Busy | NetError::NoConnections)
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

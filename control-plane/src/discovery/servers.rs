//! The DNS servers, asked one after the other.
//!
//! There is one of hickory's name server pools per server, because a pool gives up at the first
//! server that says SERVFAIL or REFUSED. A pool does UDP with EDNS, retransmission, and TCP where an
//! answer is truncated.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Query, ResponseCode};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, system_conf};

/// How often a silent server is asked within one discovery, each time for that part of its timeout.
const ROUNDS: u32 = 3;

/// Servers that know the same.
pub(super) struct Servers {
    pools: Vec<NameServerPool<TokioRuntimeProvider>>,
    /// The server that answered last is asked first, so that a dead one costs its timeout once.
    preferred: AtomicUsize,
}

/// Why discovery cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system's DNS configuration is of no use: {0}; mend /etc/resolv.conf, or name the servers with --discovery-servers"
)]
pub(crate) struct NoServers(#[from] NetError);

// === impl Servers ===

impl Servers {
    /// These servers, or the system's where there are none; `timeout` is that of a whole discovery.
    pub(super) fn new(servers: &[SocketAddr], timeout: Duration) -> Result<Self, NoServers> {
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
        Ok(Self { pools: servers.into_iter().map(pool).collect(), preferred: AtomicUsize::new(0) })
    }

    /// Asks one server after the other until one has something to say about the name; and all of
    /// them again only if none has said anything.
    pub(super) async fn ask(&self, request: &DnsRequest) -> Result<DnsResponse, NetError> {
        let start = self.preferred.load(Ordering::Relaxed);
        let mut pools: Vec<_> = self.pools.iter().enumerate().collect();
        // Stable, so the others stay in the order in which they were configured.
        pools.sort_by_key(|(index, _)| *index != start);
        let mut silence = NetError::NoConnections;
        for _ in 0..ROUNDS {
            let mut refusal = None;
            for (index, pool) in &pools {
                let answered = pool.send(request.clone()).first_answer().await;
                match to_this_question(&request.queries, answered) {
                    Err(error) if another_may_know(&error) => {
                        tracing::debug!(queries = ?request.queries, server = index, %error, "DNS server passed over");
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

/// Lets pass what repeats the question, as every answer has to (RFC 5452 §4.2). hickory sees to that over
/// UDP; over TCP it goes by the number alone.
fn to_this_question(
    asked: &[Query],
    answered: Result<DnsResponse, NetError>,
) -> Result<DnsResponse, NetError> {
    let repeated = match &answered {
        Ok(response) => response.queries.as_slice(),
        Err(NetError::Dns(DnsError::NoRecordsFound(absent))) => std::slice::from_ref(&*absent.query),
        Err(_) => return answered,
    };
    if repeated == asked {
        answered
    } else {
        Err(NetError::Message("the answer is to another question"))
    }
}

/// Whether this is a finding about the name itself: it has no such records, says a server that is
/// responsible for it, or has asked one.
pub(super) fn is_about_the_name(absent: &NoRecords) -> bool {
    let referral = absent.soa.is_none() && absent.ns.is_some();
    !referral && [ResponseCode::NXDomain, ResponseCode::NoError].contains(&absent.response_code)
}

/// Whether another server may know better: all but a finding about the name itself.
fn another_may_know(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(absent)) = error else { return true };
    !is_about_the_name(absent)
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

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{Message, OpCode};
    use hickory_resolver::proto::rr::{DNSClass, Name, RecordType};

    fn query(name: &str, kind: RecordType, class: DNSClass) -> Query {
        let mut query = Query::query(Name::from_ascii(name).unwrap(), kind);
        query.set_query_class(class);
        query
    }

    #[test]
    fn an_answer_is_one_to_the_question_that_was_asked() {
        use {DNSClass as Class, RecordType as Kind};
        let asked = [query("_x._tcp.a.com.", Kind::SRV, Class::IN)];
        for (repeated, counts) in [
            (vec![query("_x._tcp.a.com.", Kind::SRV, Class::IN)], true),
            (vec![query("_X._tcp.A.com.", Kind::SRV, Class::IN)], true),
            (vec![query("_x._tcp.b.com.", Kind::SRV, Class::IN)], false),
            (vec![query("_x._tcp.a.com.", Kind::A, Class::IN)], false),
            (vec![query("_x._tcp.a.com.", Kind::SRV, Class::CH)], false),
            (vec![], false),
            ([&asked[..], &asked[..]].concat(), false),
        ] {
            let mut message = Message::response(0, OpCode::Query);
            message.queries.clone_from(&repeated);
            let response = DnsResponse::from_message(message).unwrap();
            assert_eq!(to_this_question(&asked, Ok(response)).is_ok(), counts, "{repeated:?}");
            let query = repeated.into_iter().next().unwrap_or_default();
            let absent = NoRecords::new(query.clone(), ResponseCode::NXDomain);
            let answered = to_this_question(&asked, Err(absent.into())).unwrap_err();
            let is_about_it = matches!(answered, NetError::Dns(DnsError::NoRecordsFound(_)));
            assert_eq!(is_about_it, query == asked[0]);
        }
        assert!(matches!(to_this_question(&asked, Err(NetError::Timeout)), Err(NetError::Timeout)));
    }
}

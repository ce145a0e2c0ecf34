//! Sees what lookups come to, and says in the log where there is trouble, and where it is over.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedgate_discovery::{Discovered, Family, Resolve, Resolving};
use fedgate_policy::{Domain, HostName};
use tokio::sync::Notify;

use super::history::{self, Histories, History};
use super::outage::{self, Outage};
use crate::moment;

/// What lookups have come to.
#[derive(Debug)]
pub(super) struct Watch {
    /// Who is asked, for people.
    servers: String,
    seen: Mutex<Seen>,
    /// Wakes who may look up a witness.
    doubt: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    dns: Outage,
    domains: Histories,
}

/// Lookups of addresses, which the watch sees.
pub(super) struct Observed {
    pub(super) resolve: Arc<dyn Resolve>,
    pub(super) watch: Arc<Watch>,
}

/// Trouble of DNS as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DnsTrouble {
    /// When the first lookup came to nothing of which no later one was answered.
    pub(crate) since: Instant,
    /// What the last one came to.
    pub(crate) cause: String,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(servers: String) -> Self {
        Self { servers, seen: Mutex::default(), doubt: Notify::new() }
    }

    /// Who is asked, for people.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// Takes in what a discovery came to.
    pub(super) fn learn(&self, domain: &Domain, listed: bool, found: &Discovered, now: Instant) {
        let trouble = found.trouble().map(|failure| failure.message.as_str());
        let mut seen = self.seen();
        if listed {
            let elsewhere = seen.dns.answered();
            let news = seen.domains.learn(domain, trouble, elsewhere, now);
            say_of_domain(domain, trouble.unwrap_or_default(), &news, now);
        }
        self.learn_of_dns(seen, listed.then_some(domain), trouble, now);
    }

    /// Takes in what a lookup of a host's addresses came to: nothing, for this cause, or an answer.
    fn learn_addresses(&self, host: &HostName, trouble: Option<&str>, now: Instant) {
        let trouble = trouble.map(|cause| format!("DNS error: {host}: {cause}"));
        self.learn_of_dns(self.seen(), None, trouble.as_deref(), now);
    }

    fn learn_of_dns(
        &self,
        mut seen: MutexGuard<'_, Seen>,
        listed: Option<&Domain>,
        trouble: Option<&str>,
        now: Instant,
    ) {
        let news = match trouble {
            None => seen.dns.answer(now),
            Some(cause) => seen.dns.failure(listed, cause, now),
        };
        let doubt = seen.dns.wants_witness(now);
        drop(seen);
        if doubt {
            self.doubt.notify_one();
        }
        match news {
            outage::News::None => {}
            outage::News::Began(since) => tracing::warn!(
                servers = self.servers, since = %moment::of(since, now), cause = trouble,
                "DNS fails: no lookup is answered; what was found before stands until it ends"
            ),
            outage::News::Ended(after) => {
                tracing::info!(servers = self.servers, after = %whole(after), "DNS answers again");
            }
        }
    }

    /// Takes in that a listed domain was answered of at an earlier time.
    pub(super) fn recall(&self, domain: &Domain, at: Instant) {
        self.seen().domains.learn(domain, None, None, at);
    }

    /// Returns when it is in doubt whether DNS answers at all, so that another listed domain is to be
    /// looked up.
    pub(super) async fn doubt(&self) {
        self.doubt.notified().await;
    }

    /// There is no other.
    pub(super) fn no_witness(&self) {
        self.seen().dns.no_witness();
    }

    /// Notes when a domain's next lookup is due.
    pub(super) fn due(&self, domain: &Domain, next: Instant) {
        self.seen().domains.due(domain, next);
    }

    /// Forgets a domain that is no longer listed.
    pub(super) fn forget(&self, domain: &Domain) {
        self.seen().domains.forget(domain);
    }

    /// What the lookups of a listed domain have come to.
    pub(super) fn history(&self, domain: &Domain) -> Option<History> {
        self.seen().domains.of(domain)
    }

    /// The trouble of DNS as a whole, if there is any.
    pub(super) fn dns(&self) -> Option<DnsTrouble> {
        let seen = self.seen();
        let (since, cause) = seen.dns.failing()?;
        Some(DnsTrouble { since, cause: cause.to_owned() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Observed ===

impl Resolve for Observed {
    fn resolve<'a>(&'a self, host: &'a HostName, family: Family) -> Resolving<'a> {
        Box::pin(async move {
            let found = self.resolve.resolve(host, family).await;
            self.watch.learn_addresses(host, found.trouble.as_deref(), Instant::now());
            found
        })
    }

    fn remembered(&self, host: &HostName, family: Family) -> Option<Vec<IpAddr>> {
        self.resolve.remembered(host, family)
    }
}

fn say_of_domain(domain: &Domain, cause: &str, news: &history::News, now: Instant) {
    match news {
        history::News::None => {}
        history::News::Began(since) => tracing::warn!(
            %domain, since = %moment::of(*since, now), cause,
            "lookups of this domain fail, others do not; what was found before stands until it ends"
        ),
        history::News::Crowd => tracing::warn!(
            "lookups of more domains fail than are named here: `fedgate domain list` has all of them"
        ),
        history::News::Ended(after) => {
            tracing::info!(%domain, after = %whole(*after), "lookups of this domain are answered again");
        }
    }
}

/// A duration for people.
fn whole(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

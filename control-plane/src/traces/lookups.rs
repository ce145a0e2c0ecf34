//! Lookups as spans.

use std::net::IpAddr;

use fedgate_discovery::{Discover, Discovering, Family, Proof, Resolve, Resolving};
use fedgate_policy::{Domain, HostName, Outcome};
use opentelemetry::KeyValue;

use super::{Span, SpanKind, number, text};

/// Discovery whose lookups are spans.
pub(crate) struct TracedDiscovery<D>(pub(crate) D);

impl<D: Discover> Discover for TracedDiscovery<D> {
    fn discover<'a>(&'a self, domain: &'a Domain, proof: Proof) -> Discovering<'a> {
        Box::pin(async move {
            let span = Span::begin("lookup of a domain", SpanKind::Client, || {
                vec![text("fedgate.domain", domain), text("fedgate.dns.servers", self.servers())]
            });
            let found = span.around(self.0.discover(domain, proof)).await;
            match &found.outcome {
                Outcome::Hosts(hosts) => {
                    span.tell(text("fedgate.outcome", "hosts"));
                    span.tell(number("fedgate.hosts", hosts.len()));
                }
                Outcome::Failure(failure) => {
                    span.tell(text("fedgate.outcome", failure.label.name()));
                    span.tell(text("fedgate.cause", &failure.message));
                }
            }
            span.tell(number("fedgate.ttl_ms", found.ttl.as_millis()));
            span.tell(KeyValue::new("fedgate.dns.proven", found.is_proven));
            if let Some(trouble) = found.trouble() {
                span.fail(&trouble.message);
            }
            found
        })
    }

    fn basis(&self) -> String {
        self.0.basis()
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn servers(&self) -> String {
        self.0.servers()
    }
}

impl<D: Resolve> Resolve for TracedDiscovery<D> {
    fn resolve<'a>(&'a self, host: &'a HostName, family: Family) -> Resolving<'a> {
        Box::pin(async move {
            let span = Span::begin("lookup of addresses", SpanKind::Client, || {
                vec![text("fedgate.host", host), text("fedgate.family", name(family))]
            });
            let found = span.around(self.0.resolve(host, family)).await;
            span.tell(number("fedgate.addresses", found.usable.len()));
            if let Some(trouble) = &found.trouble {
                span.fail(trouble);
            }
            found
        })
    }

    fn remembered(&self, host: &HostName, family: Family) -> Option<Vec<IpAddr>> {
        self.0.remembered(host, family)
    }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

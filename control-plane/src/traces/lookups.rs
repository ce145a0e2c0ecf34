//! Lookups as spans.

use fedgate_discovery::{Addresses, Discovered, Family};
use fedgate_policy::{Domain, HostName, Outcome};
use opentelemetry::KeyValue;

use super::{Span, SpanKind, number, text};

/// Discovery of a domain, which is a span.
pub(crate) async fn discovery(domain: &Domain, work: impl Future<Output = Discovered>) -> Discovered {
    let span =
        Span::begin("lookup of a domain", SpanKind::Client, || vec![text("fedgate.domain", domain)]);
    let found = span.around(work).await;
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
}

/// A lookup of addresses, which is a span.
pub(crate) async fn addresses(
    host: &HostName,
    family: Family,
    work: impl Future<Output = Addresses>,
) -> Addresses {
    let family = match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    let span = Span::begin("lookup of addresses", SpanKind::Client, || {
        vec![text("fedgate.host", host), text("fedgate.family", family)]
    });
    let found = span.around(work).await;
    span.tell(number("fedgate.addresses", found.usable.len()));
    if let Some(trouble) = &found.trouble {
        span.fail(trouble);
    }
    found
}

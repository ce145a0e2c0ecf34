//! Does a certificate's DNS name stand for a host? RFC 9525 §6.3, RFC 5280 §4.2.1.6.

use std::fmt;

use crate::name::HostName;

/// A presented identifier: a DNS name in a certificate's subject alternative names (RFC 9525 §1.8).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PresentedIdentifier {
    /// `federator.a.com`: this host.
    Exact(HostName),
    /// `*.a.com`: every host with one label more than the name kept here.
    Wildcard(HostName),
}

// === impl PresentedIdentifier ===

impl PresentedIdentifier {
    /// Reads the text of a dNSName, or `None` where it is not a clean name.
    ///
    /// A certificate may carry names that we do not understand; such a name stands for no host, and
    /// the names beside it keep their meaning. NUL, `;`, `,`, spaces, U-labels, underscores and
    /// a trailing dot all make a name unclean: RFC 5280 wants the preferred name syntax.
    pub fn parse(dns_name: &str) -> Option<Self> {
        // RFC 9525 §6.3: the wildcard is the whole left-most label, and the only one. We also want
        // two labels after it, so that nobody speaks for a whole top-level domain.
        if let Some(parent) = dns_name.strip_prefix("*.") {
            return parent.contains('.').then(|| clean(parent)).flatten().map(Self::Wildcard);
        }
        clean(dns_name).map(Self::Exact)
    }

    /// Whether this presented identifier stands for the reference identifier `host`.
    pub fn matches(&self, host: &HostName) -> bool {
        Key::standing_for(host).any(|key| self.key() == key)
    }

    /// Whether one of these stands for `host`; they are to be sorted.
    pub(crate) fn any_matches(sorted: &[Self], host: &HostName) -> bool {
        Key::standing_for(host)
            .any(|key| sorted.binary_search_by(|identifier| identifier.key().cmp(&key)).is_ok())
    }

    /// What it takes in memory, roughly, in octets: itself, its text, and what the allocator adds.
    pub(crate) fn weight(&self) -> usize {
        let (Self::Exact(name) | Self::Wildcard(name)) = self;
        name.as_str().len().saturating_add(size_of::<Self>()).saturating_add(16)
    }

    fn key(&self) -> Key<'_> {
        match self {
            Self::Exact(name) => Key::Exact(name.as_str()),
            Self::Wildcard(parent) => Key::Wildcard(parent.as_str()),
        }
    }
}

/// A [`PresentedIdentifier`] by its text, in the same order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Exact(&'a str),
    Wildcard(&'a str),
}

impl<'a> Key<'a> {
    /// The identifiers that stand for `host`: its own name, and the wildcard for its first label. A
    /// wildcard stands for exactly one label: not for none, not for two.
    fn standing_for(host: &'a HostName) -> impl Iterator<Item = Self> {
        let wildcard = host.as_str().split_once('.').map(|(_, parent)| Self::Wildcard(parent));
        [Self::Exact(host.as_str())].into_iter().chain(wildcard)
    }
}

impl fmt::Display for PresentedIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

fn clean(name: &str) -> Option<HostName> {
    // `HostName` drops a trailing dot, which belongs to DNS and not into a certificate.
    if name.ends_with('.') { None } else { HostName::parse(name.as_bytes()).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_rfc_9525_rules() {
        const MATCH: bool = true;
        const NO: bool = false;
        let table = [
            ("infra.a.com", "infra.a.com", MATCH),
            ("INFRA.a.Com", "infra.a.com", MATCH),
            ("infra.a.com", "infra.a.org", NO),
            ("infra.a.com", "x.infra.a.com", NO),
            ("infra.a.com", "a.com", NO),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de", MATCH),
            // A wildcard stands for exactly one label.
            ("*.infra.a.com", "fed.infra.a.com", MATCH),
            ("*.INFRA.a.com", "fed.infra.a.com", MATCH),
            ("*.infra.a.com", "x.fed.infra.a.com", NO),
            ("*.infra.a.com", "infra.a.com", NO),
            ("*.infra.a.com", "fedinfra.a.com", NO),
            ("*.a.com", "infra.a.com", MATCH),
            // It does not stand for a label inside an A-label's text, but for the whole label.
            ("*.a.com", "xn--mnchen-3ya.a.com", MATCH),
        ];
        for (presented, host, expected) in table {
            let identifier = PresentedIdentifier::parse(presented).unwrap();
            let host = HostName::parse(host.as_bytes()).unwrap();
            assert_eq!(identifier.matches(&host), expected, "{presented} for {host}");
        }
    }

    #[test]
    fn a_name_that_is_not_clean_is_ignored() {
        let long = format!("{}.a.com", "a".repeat(64));
        for unclean in [
            "",
            ".",
            "*",
            "*.",
            "*.com",
            "*.localhost",
            "f*.infra.a.com",
            "*f.infra.a.com",
            "*.*.a.com",
            "x.*.a.com",
            "infra.a.com.",
            "*.a.com.",
            ".infra.a.com",
            "infra..a.com",
            "infra.a.com\0",
            "infra.a.com\0.evil.example",
            "evil.example;DNS=infra.a.com",
            "a.com,infra.a.com",
            "infra.a.com ",
            " infra.a.com",
            "infra.a.com\n",
            "m\u{fc}nchen.de",
            "in_fra.a.com",
            "-infra.a.com",
            "192.0.2.1",
            "infra.a.com:443",
            &long,
        ] {
            assert_eq!(PresentedIdentifier::parse(unclean), None, "{}", unclean.escape_debug());
        }
    }
}

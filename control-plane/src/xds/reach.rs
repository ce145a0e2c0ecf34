//! Whether a target can be connected to, and what is wrong with it: for people. A pure function of its SRV
//! record and of what DNS says of its host; the hosts file does not count.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};

use fedgate_discovery::{Family, Target};

use super::hosts::{Findings, Known};

/// The most addresses that are named of those that we do not connect to.
const NAMED: usize = 8;

/// A target, and how it is to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Its record.
    pub(crate) target: Target,
    /// The addresses to connect to: of IPv4, then of IPv6.
    pub(crate) addresses: Vec<IpAddr>,
    /// What is wrong; nothing, where this is empty.
    pub(crate) problems: Vec<Problem>,
}

/// Something that is wrong with a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Its port is 0.
    NoPort,
    /// DNS says that it has no address.
    NoAddress,
    /// It has addresses, and these are not public.
    Private(Vec<IpAddr>),
    /// Nobody opens at these, although somebody does at another: they are tried last.
    Silent(Vec<IpAddr>),
    /// The last lookup of this family came to nothing; whether an earlier one's addresses stand.
    Trouble(Family, String, bool),
    /// The first lookup of this family has not ended.
    Waiting(Family),
}

// === impl Reach ===

impl Reach {
    /// What is to be said of a target with what is known of its host.
    pub(super) fn of(target: &Target, host: &Known) -> Self {
        let addresses: Vec<IpAddr> = host.usable().copied().collect();
        let families = [(Family::V4, &host.v4), (Family::V6, &host.v6)];
        let mut problems: Vec<_> = (target.port == 0).then_some(Problem::NoPort).into_iter().collect();
        let private = [&host.v4.private[..], &host.v6.private].concat();
        let answered = |findings: &Findings| findings.asked && findings.trouble.is_none();
        if !private.is_empty() {
            problems.push(Problem::Private(private));
        } else if addresses.is_empty() && families.iter().all(|(_, findings)| answered(findings)) {
            problems.push(Problem::NoAddress);
        }
        let silent = host.silent.iter().filter(|door| door.port() == target.port);
        let silent: Vec<_> = silent.map(SocketAddr::ip).filter(|ip| addresses.contains(ip)).collect();
        if !silent.is_empty() {
            problems.push(Problem::Silent(silent));
        }
        for (family, findings) in families {
            match &findings.trouble {
                Some(cause) => {
                    let stand = !findings.usable.is_empty();
                    problems.push(Problem::Trouble(family, cause.clone(), stand));
                }
                None if !findings.asked => problems.push(Problem::Waiting(family)),
                None => {}
            }
        }
        Self { target: target.clone(), addresses, problems }
    }

    /// What the record itself, or an answer of DNS, makes wrong: what is worth a line in the log. Lookups
    /// that fail are said where all of them are seen.
    pub(super) fn defects(&self) -> impl Iterator<Item = String> {
        let defects = self.problems.iter().filter(|problem| match problem {
            Problem::NoPort | Problem::NoAddress | Problem::Private(_) => true,
            Problem::Silent(_) | Problem::Trouble(..) | Problem::Waiting(_) => false,
        });
        defects.map(|defect| format!("{}:{}: {defect}", self.target.host, self.target.port))
    }
}

// === impl Problem ===

/// One line for whoever has to mend it.
impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = |family: &Family| match family {
            Family::V4 => "A",
            Family::V6 => "AAAA",
        };
        match self {
            Self::NoPort => f.write_str("port 0 is no port to connect to"),
            Self::NoAddress => f.write_str(
                "no address: DNS has neither A nor AAAA records (the hosts file does not count)",
            ),
            Self::Private(addresses) => {
                f.write_str(
                    "not connected to, because not public (see discovery.allow_private_addresses):",
                )?;
                name(addresses, f)
            }
            Self::Silent(addresses) => {
                f.write_str("tried last, because nobody opened there:")?;
                name(addresses, f)
            }
            Self::Trouble(family, cause, stand) => {
                let stand = if *stand { "; those known before stand" } else { "" };
                write!(f, "{} records: {cause}{stand}", record(family))
            }
            Self::Waiting(family) => write!(f, "{} records: no answer yet", record(family)),
        }
    }
}

fn name(addresses: &[IpAddr], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    addresses.iter().take(NAMED).try_for_each(|address| write!(f, " {address}"))?;
    if addresses.len() > NAMED { f.write_str(" …") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &str) -> Vec<IpAddr> {
        texts.split_whitespace().map(|text| text.parse().unwrap()).collect()
    }

    fn answered(usable: &str, private: &str) -> Findings {
        let (usable, private) = (ips(usable), ips(private));
        Findings { usable, private, asked: true, certain: true, ..Findings::default() }
    }

    fn trouble(usable: &str) -> Findings {
        Findings { trouble: Some("SERVFAIL".to_owned()), ..answered(usable, "") }
    }

    #[test]
    fn what_is_wrong_with_a_target_is_said() {
        let none = "no address: DNS has neither A nor AAAA records (the hosts file does not count)";
        let private = "not connected to, because not public (see discovery.allow_private_addresses):";
        let port = "port 0 is no port to connect to";
        let many = "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7";
        for (port, v4, v6, addresses, defects, others) in [
            (443, answered("1.1.1.1", ""), answered("2606::1", ""), "1.1.1.1 2606::1", vec![], vec![]),
            (443, answered("1.1.1.1", ""), answered("", ""), "1.1.1.1", vec![], vec![]),
            (443, answered("", ""), answered("", ""), "", vec![none.to_owned()], vec![]),
            (0, answered("1.1.1.1", ""), answered("", ""), "1.1.1.1", vec![port.to_owned()], vec![]),
            (0, answered("", ""), answered("", ""), "", vec![port.to_owned(), none.to_owned()], vec![]),
            (
                443,
                answered("", "10.0.0.1"),
                answered("", "fc00::1"),
                "",
                vec![format!("{private} 10.0.0.1 fc00::1")],
                vec![],
            ),
            (
                443,
                answered("1.1.1.1", many),
                answered("", "fc00::1 fc00::2"),
                "1.1.1.1",
                vec![format!("{private} {many} fc00::1 …")],
                vec![],
            ),
            (
                443,
                trouble("1.1.1.1"),
                trouble(""),
                "1.1.1.1",
                vec![],
                vec!["A records: SERVFAIL; those known before stand", "AAAA records: SERVFAIL"],
            ),
            (443, Findings::default(), answered("", ""), "", vec![], vec!["A records: no answer yet"]),
        ] {
            let target = Target { priority: 1, host: "fed.a.com".parse().unwrap(), port, weight: 1 };
            let reach = Reach::of(&target, &Known { v4, v6, ..Known::default() });
            assert_eq!(reach.addresses, ips(addresses));
            let texts: Vec<_> = reach.problems.iter().map(ToString::to_string).collect();
            let all: Vec<_> = defects.iter().map(String::as_str).chain(others).collect();
            assert_eq!(texts, all);
            let defects = defects.iter().map(|defect| format!("fed.a.com:{port}: {defect}"));
            assert_eq!(reach.defects().collect::<Vec<_>>(), defects.collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_address_at_which_nobody_opens_is_named_with_its_port() {
        let silent = ["9.9.9.9:443", "9.9.9.9:8443", "8.8.8.8:443"].map(|door| door.parse().unwrap());
        let (v4, v6) = (answered("1.1.1.1 9.9.9.9", ""), answered("", ""));
        let known = Known { v4, v6, silent: silent.into() };
        for (port, expected) in [(443, "tried last, because nobody opened there: 9.9.9.9"), (444, "")] {
            let target = Target { priority: 1, host: "fed.a.com".parse().unwrap(), port, weight: 1 };
            let reach = Reach::of(&target, &known);
            let texts: Vec<_> = reach.problems.iter().map(ToString::to_string).collect();
            assert_eq!((texts.join(", ").as_str(), reach.defects().count()), (expected, 0));
        }
    }
}

//! Discovery, and the addresses of a host: from DNS messages to what they are taken to mean.

mod message;
mod second;

use std::net::IpAddr;
use std::time::Duration;

use fedgate::fuzzing::{self, Finding};
use fedgate_policy::{Domain, FailureLabel, HostName, Outcome};

use crate::input::Input;
use second::{Data, Meaning, Name, read_all};

const MAX: usize = 64;
const MAX_ADDRESSES: usize = 16;
const TRANSIENT: Duration = Duration::from_secs(2);
const THREE_HOURS: u64 = 3 * 60 * 60;
const DOMAINS: [&str; 4] = ["a.com", "localhost", "x--y.a.example.org", "xn--mnchen-3ya.de"];
const BOUNDS: [(u64, u64); 4] = [(5, 86_400), (0, u32::MAX as u64), (60, 60), (14_400, 18_000)];

/// The bounds of TTLs.
type Bounds = (Duration, Duration);

/// DNS messages to hosts that speak for a domain.
pub fn discovery(octets: &[u8]) -> bool {
    let mut input = Input(octets);
    let domain: Domain = input.choose(&DOMAINS).parse().expect("a domain");
    let bounds = bounds(&mut input);
    let mut came = Vec::new();
    let finding =
        fuzzing::discover(&domain, bounds, &mut |question| next(&mut input, question, &mut came));
    let name = second::name_of(&format!("_wire-server-federator._tcp.{domain}"));
    let (meaning, least) = check_heard(&finding, name, second::SRV, &came);
    let (outcome, targets) = &finding.found;
    match meaning {
        Meaning::Records(records) => {
            assert!(finding.answered);
            assert_eq!(finding.ttl, clamped(least, bounds), "the least TTL");
            // (priority, host, port, weight)
            let mut expected: Vec<_> = records
                .iter()
                .filter_map(|data| match data {
                    Data::Srv(priority, weight, port, target) => {
                        Some((*priority, host_name(target)?, *port, *weight))
                    }
                    _ => None,
                })
                .collect();
            expected.sort();
            expected.dedup();
            let mut hosts: Vec<_> = expected.iter().map(|target| target.1.clone()).collect();
            hosts.sort();
            hosts.dedup();
            hosts.truncate(MAX);
            expected.truncate(MAX);
            let targets: Vec<_> =
                targets.iter().map(|(p, host, port, w)| (*p, host.to_string(), *port, *w)).collect();
            assert_eq!(targets, expected);
            match outcome {
                Outcome::Hosts(found) => {
                    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
                    assert_eq!(found, hosts);
                    assert!(!found.is_empty());
                }
                Outcome::Failure(failure) => {
                    assert!(hosts.is_empty());
                    let only_root = records
                        .iter()
                        .all(|data| matches!(data, Data::Srv(.., target) if target.is_empty()));
                    let label = if only_root {
                        FailureLabel::InvalidDomain
                    } else {
                        FailureLabel::DiscoveryFailure
                    };
                    assert_eq!(failure.label, label);
                }
            }
        }
        Meaning::Absent(soa) => {
            assert!(finding.answered);
            assert_eq!(finding.ttl, negative(soa.map(|soa| soa.min(least)), bounds));
            assert!(
                matches!(outcome, Outcome::Failure(failure) if failure.label == FailureLabel::InvalidDomain)
            );
        }
        Meaning::Nothing => {
            assert!(
                matches!(outcome, Outcome::Failure(failure) if failure.label == FailureLabel::DiscoveryFailure)
            );
            assert_eq!((finding.answered, finding.ttl), (false, TRANSIENT));
        }
    }
    assert_eq!(targets.is_empty(), matches!(outcome, Outcome::Failure(_)));
    matches!(outcome, Outcome::Hosts(_))
}

/// DNS messages to addresses of a host.
pub fn addresses(octets: &[u8]) -> bool {
    let mut input = Input(octets);
    let host: HostName = input.choose(&["fed.a.com", "h", "alias.example.net"]).parse().expect("a host");
    let (v6, private_too) = (input.octet() & 1 == 1, input.octet() & 1 == 1);
    let bounds = bounds(&mut input);
    let mut came = Vec::new();
    let finding = fuzzing::addresses(&host, v6, bounds, private_too, &mut |question| {
        next(&mut input, question, &mut came)
    })
    .expect("DNS can carry the name");
    let kind = if v6 { second::AAAA } else { second::A };
    let (meaning, least) = check_heard(&finding, second::name_of(host.as_str()), kind, &came);
    let (usable, private) = &finding.found;
    match meaning {
        Meaning::Records(records) => {
            assert_eq!((finding.answered, finding.ttl), (true, clamped(least, bounds)));
            let came: Vec<IpAddr> = records
                .iter()
                .map(
                    |data| if let Data::Address(address) = data { *address } else { panic!("{data:?}") },
                )
                .collect();
            let mut all = came.clone();
            all.sort();
            all.dedup();
            let (mut good, bad): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|address| private_too || !second::is_special(*address));
            good.truncate(MAX_ADDRESSES);
            // Those that count are tried in the order in which they came first.
            good.sort_by_key(|address| came.iter().position(|it| it == address));
            assert_eq!((usable, private), (&good, &bad));
        }
        Meaning::Absent(soa) => {
            assert!(usable.is_empty() && private.is_empty() && finding.answered);
            assert_eq!(finding.ttl, negative(soa.map(|soa| soa.min(least)), bounds));
        }
        Meaning::Nothing => {
            assert!(usable.is_empty() && private.is_empty());
            assert_eq!((finding.answered, finding.ttl), (false, TRANSIENT));
        }
    }
    !usable.is_empty()
}

/// Holds what each message was taken for against the second reading, which gives the meaning of all.
fn check_heard<T>(
    finding: &Finding<T>,
    name: Name,
    kind: u16,
    came: &[(Vec<u8>, Vec<u8>)],
) -> (Meaning, u32) {
    let (words, meaning, least) = read_all(fuzzing::ID, name, kind, came, &finding.heard);
    for (index, (ours, theirs)) in finding.heard.iter().zip(&words).enumerate() {
        if *ours == "malformed" {
            // hickory reads more of a message, and so finds more faults. That must be the end.
            assert_eq!(index + 1, finding.heard.len());
            assert!(!["foreign", "truncated"].contains(theirs), "ours {ours}, theirs {theirs}");
            return (Meaning::Nothing, least);
        }
        assert_eq!(ours, theirs, "message {index}");
    }
    assert_eq!(finding.heard.len(), words.len());
    (meaning, least)
}

fn next(input: &mut Input<'_>, question: &[u8], came: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Option<Vec<u8>> {
    if input.is_empty() {
        return None;
    }
    let message = message::make(input, fuzzing::ID, question);
    came.push((question.to_vec(), message.clone()));
    Some(message)
}

fn bounds(input: &mut Input<'_>) -> Bounds {
    let (min, max) = input.choose(&BOUNDS);
    (Duration::from_secs(min), Duration::from_secs(max))
}

fn clamped(seconds: u32, (min, max): Bounds) -> Duration {
    Duration::from_secs(seconds.into()).clamp(min, max)
}

fn negative(soa: Option<u32>, (min, max): Bounds) -> Duration {
    let max = max.min(Duration::from_secs(THREE_HOURS));
    soa.map_or(min, |soa| Duration::from_secs(soa.into()).min(max).max(min))
}

/// The text of a name that can be a host's: labels of letters, digits and inner hyphens, the last one no
/// number.
fn host_name(labels: &Name) -> Option<String> {
    let good = |label: &Vec<u8>| {
        label.iter().all(|&octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    let number = labels.last()?.iter().all(u8::is_ascii_digit);
    let text = labels.iter().map(|label| String::from_utf8_lossy(label)).collect::<Vec<_>>().join(".");
    (labels.iter().all(good) && !number && text.len() <= 253).then_some(text)
}

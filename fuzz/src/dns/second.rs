//! The second reading: NLnet Labs' `domain` reads the wire, and the rules are said once more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::name::{Label, ToName};
use domain::base::{Message, ParsedRecord, RecordSection};
use domain::rdata::{A as DataA, Aaaa, Cname, Soa, Srv};

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const AAAA: u16 = 28;
pub(super) const OPT: u16 = 41;
pub(super) const SRV: u16 = 33;
const IN: u16 = 1;

/// Labels in lower case, without the root's.
pub(super) type Name = Vec<Vec<u8>>;

/// What a record holds.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// Priority, weight, port, target.
    Srv(u16, u16, u16, Name),
    Alias(Name),
    Address(IpAddr),
    /// MINIMUM.
    Soa(u32),
    Other,
}

/// What all messages together say.
#[derive(Debug)]
pub(super) enum Meaning {
    Records(Vec<Data>),
    /// With the lesser of the SOA's TTL and MINIMUM.
    Absent(Option<u32>),
    Nothing,
}

struct Record {
    owner: Name,
    kind: u16,
    class: u16,
    ttl: u32,
    data: Data,
}

/// What each message is to its question, what they mean, and the least TTL on the way.
pub(super) fn read_all(
    id: u16,
    mut at: Name,
    kind: u16,
    came: &[(Vec<u8>, Vec<u8>)],
    heard: &[&str],
) -> (Vec<&'static str>, Meaning, u32) {
    let (mut words, mut least, mut aliases) = (Vec::new(), i32::MAX as u32, 0);
    for (index, (question, octets)) in came.iter().enumerate() {
        assert_eq!(
            question.to_ascii_lowercase(),
            wire(&at, kind),
            "the question that should have been asked"
        );
        let word = match word(id, &at, kind, octets) {
            // Which of the two hangs on whether the rest of it can be read.
            "error without a question" if heard.get(index) == Some(&"foreign") => "foreign",
            "error without a question" => "refusal",
            word => word,
        };
        words.push(word);
        if word == "foreign" {
            continue;
        }
        let message = Message::from_slice(octets).expect("it has a header");
        let sections = || Some((records(message.answer().ok()?)?, records(message.authority().ok()?)?));
        let (true, Some((answers, authorities))) = (word == "answer", sections()) else {
            return (words, Meaning::Nothing, least);
        };
        let mut chain = HashMap::new();
        for record in answers.iter().filter(|record| record.class == IN).rev() {
            if let Data::Alias(target) = &record.data {
                chain.insert(&record.owner, (record.ttl, target));
            }
        }
        let mut followed = false;
        while let Some((ttl, target)) = chain.get(&at) {
            aliases += 1;
            if aliases > 8 {
                return (words, Meaning::Nothing, least);
            }
            followed = true;
            least = least.min(*ttl);
            at = (*target).clone();
        }
        let soa = authorities.iter().find_map(|record| match record.data {
            Data::Soa(minimum) if record.class == IN && at.ends_with(&record.owner) => {
                Some(record.ttl.min(minimum))
            }
            _ => None,
        });
        if message.header().rcode().to_int() == 3 {
            return (words, Meaning::Absent(soa), least);
        }
        let of_the_end =
            |record: &&Record| record.owner == at && record.class == IN && record.kind == kind;
        let found: Vec<_> = answers.iter().filter(of_the_end).collect();
        if !found.is_empty() {
            let least = found.iter().map(|record| record.ttl).fold(least, u32::min);
            return (words, Meaning::Records(found.iter().map(|it| it.data.clone()).collect()), least);
        }
        if followed && soa.is_none() {
            assert!(index < came.len());
            continue;
        }
        let meaning =
            if !followed && !answers.is_empty() { Meaning::Nothing } else { Meaning::Absent(soa) };
        return (words, meaning, least);
    }
    (words, Meaning::Nothing, least)
}

/// What a message is to a question.
fn word(id: u16, asked: &Name, kind: u16, octets: &[u8]) -> &'static str {
    let Ok(message) = Message::from_slice(octets) else { return "foreign" };
    let header = message.header();
    if header.id() != id || !header.qr() || header.opcode().to_int() != 0 {
        return "foreign";
    }
    let code = extended(message) << 4 | u16::from(header.rcode().to_int());
    let about_the_name = code == 0 || code == 3;
    match message.header_counts().qdcount() {
        0 if about_the_name => return "foreign",
        0 => return "error without a question",
        1 => {}
        _ => return "foreign",
    }
    let repeated = message.question().next().and_then(Result::ok).is_some_and(|question| {
        labels(question.qname()) == *asked
            && question.qtype().to_int() == kind
            && question.qclass().to_int() == IN
    });
    if !repeated {
        "foreign"
    } else if header.tc() {
        "truncated"
    } else if !about_the_name || code == 0 && is_referral(message) {
        "refusal"
    } else {
        "answer"
    }
}

/// The upper octet of the code, from the OPT record, whatever its options are (RFC 6891 §6.1.3).
fn extended(message: &Message<[u8]>) -> u16 {
    let Ok(mut additional) = message.additional() else { return 0 };
    let opt = additional.find_map(|record| record.ok().filter(|record| record.rtype().to_int() == OPT));
    opt.map_or(0, |record| (record.ttl().as_secs() >> 24) as u16)
}

fn is_referral(message: &Message<[u8]>) -> bool {
    let kinds = |section: RecordSection<'_, [u8]>| {
        section.filter_map(Result::ok).map(|record| record.rtype().to_int()).collect::<Vec<_>>()
    };
    let authorities = message.authority().map(kinds).unwrap_or_default();
    message.header_counts().ancount() == 0 && authorities.contains(&NS) && !authorities.contains(&SOA)
}

fn records(section: RecordSection<'_, [u8]>) -> Option<Vec<Record>> {
    section.map(|record| read(&record.ok()?)).collect()
}

fn read(record: &ParsedRecord<'_, [u8]>) -> Option<Record> {
    let data = match record.rtype().to_int() {
        SRV => {
            let record = record.to_record::<Srv<_>>().ok()??;
            let srv = record.data();
            Data::Srv(srv.priority(), srv.weight(), srv.port(), labels(srv.target()))
        }
        CNAME => Data::Alias(labels(record.to_record::<Cname<_>>().ok()??.data().cname())),
        SOA => Data::Soa(honest(record.to_record::<Soa<_>>().ok()??.data().minimum().as_secs())),
        A => Data::Address(record.to_record::<DataA>().ok()??.data().addr().into()),
        AAAA => Data::Address(record.to_record::<Aaaa>().ok()??.data().addr().into()),
        _ => Data::Other,
    };
    Some(Record {
        owner: labels(record.owner()),
        kind: record.rtype().to_int(),
        class: record.class().to_int(),
        ttl: honest(record.ttl().as_secs()),
        data,
    })
}

/// RFC 2181 §8.
fn honest(ttl: u32) -> u32 {
    if ttl >> 31 == 1 { 0 } else { ttl }
}

fn labels(name: impl ToName) -> Name {
    let labels = name.iter_labels().filter(|label| !Label::is_root(label));
    labels.map(|label| label.as_slice().to_ascii_lowercase()).collect()
}

/// A name from its text.
pub(super) fn name_of(text: &str) -> Name {
    text.split('.').filter(|label| !label.is_empty()).map(|label| label.as_bytes().to_vec()).collect()
}

/// A name on the wire, not compressed.
pub(super) fn uncompressed(name: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name {
        octets.push(label.len() as u8);
        octets.extend(label);
    }
    octets.push(0);
    octets
}

/// A question on the wire.
fn wire(name: &Name, kind: u16) -> Vec<u8> {
    [&uncompressed(name)[..], &kind.to_be_bytes(), &IN.to_be_bytes()].concat()
}

/// Whether an address is none of the public Internet, by a list of prefixes.
pub(super) fn is_special(address: IpAddr) -> bool {
    const V4: &str = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 \
        192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4";
    const V6: &str = "2001::/23 2001:db8::/32 3fff::/20";
    let v6 = |address: Ipv6Addr| {
        within(u128::from(address), 128, V6, |text| text.parse::<Ipv6Addr>().map(u128::from))
    };
    let v4 = |bits: u32| {
        within(bits.into(), 32, V4, |text| text.parse::<Ipv4Addr>().map(|it| u32::from(it).into()))
    };
    let bits = match address {
        IpAddr::V4(address) => return v4(address.into()),
        IpAddr::V6(address) => u128::from(address),
    };
    match bits >> 32 {
        // ::/96, ::ffff:0:0/96, 64:ff9b::/96
        0 | 0xffff | 0x0064_ff9b_0000_0000_0000_0000 => v4(bits as u32),
        _ if bits >> 112 == 0x2002 => v4((bits >> 80) as u32),
        _ => bits >> 125 != 1 || v6(bits.into()),
    }
}

fn within<E: std::fmt::Debug>(
    bits: u128,
    width: u32,
    list: &str,
    read: impl Fn(&str) -> Result<u128, E>,
) -> bool {
    list.split_whitespace().any(|block| {
        let (base, length) = block.split_once('/').expect("a prefix");
        let shift = width - length.parse::<u32>().expect("a length");
        bits >> shift == read(base).expect("an address") >> shift
    })
}

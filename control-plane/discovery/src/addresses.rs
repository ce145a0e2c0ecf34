//! What DNS's answer means for the addresses of an SRV target: a pure function of the answer.
//!
//! | the answer | what it means |
//! |---|---|
//! | addresses that we may connect to | those, for as long as they live |
//! | others | none, and the operator is to hear why |
//! | none | none, for as long as it says |
//! | trouble | nothing: what was known before stands |

use std::collections::BTreeSet;
use std::net::IpAddr;

use fedgate_policy::HostName;
use hickory_proto::rr::{Name, RData, RecordType};

use super::answer::{Answer, Question};
use super::reach::is_public;
use super::{Addresses, TRANSIENT_TTL, TtlBounds};

/// The most addresses of one family that count. They are tried one after the other, and nobody who
/// waits for an answer waits for the seventeenth.
const MAX_ADDRESSES: usize = 16;

/// The question for a host's addresses of one family, fully qualified; none where DNS cannot carry
/// the name.
pub(super) fn question(host: &HostName, kind: RecordType) -> Option<Question> {
    let name = Name::from_ascii(format!("{host}.")).ok()?;
    Some(Question::new(name, kind))
}

/// Says what `answer` to the [`question`] means. Private addresses count where that is allowed.
pub(super) fn interpret(answer: Answer, bounds: TtlBounds, private_too: bool) -> Addresses {
    let (found, ttl, trouble) = match answer {
        Answer::Records(records, ttl) => (records, bounds.positive(ttl), None),
        Answer::Absent(ttl) => (Vec::new(), bounds.negative(ttl), None),
        Answer::Trouble(cause) => (Vec::new(), TRANSIENT_TTL, Some(cause)),
    };
    let found: Vec<IpAddr> = found.iter().filter_map(RData::ip_addr).collect();
    let (usable, private): (BTreeSet<_>, BTreeSet<_>) =
        found.iter().partition(|&&address| private_too || is_public(address));
    // Of too many, always the same count. They stay in DNS's order, by which it spreads its clients.
    let mut kept: BTreeSet<IpAddr> = usable.into_iter().take(MAX_ADDRESSES).collect();
    let usable = found.into_iter().filter(|address| kept.remove(address)).collect();
    Addresses { usable, private: private.into_iter().collect(), ttl, trouble }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_proto::op::{Message, OpCode};
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, CNAME};

    use super::super::answer::{Step, read};
    use super::*;

    const BOUNDS: TtlBounds =
        TtlBounds { min: Duration::from_secs(5), max: Duration::from_secs(86_400) };

    #[test]
    fn a_host_that_is_an_alias_has_the_addresses_of_its_end() {
        let name = |text| Name::from_ascii(text).unwrap();
        let alias = RData::CNAME(CNAME(name("lb.example.net.")));
        let mut message = Message::response(0, OpCode::Query);
        message.answers = vec![
            Record::from_rdata(name("fed.a.com."), 20, alias),
            Record::from_rdata(name("lb.example.net."), 60, RData::A(A::new(1, 1, 1, 1))),
            Record::from_rdata(name("fed.a.com."), 60, RData::A(A::new(9, 9, 9, 9))),
        ];
        for (kind, expected) in [(RecordType::A, vec!["1.1.1.1"]), (RecordType::AAAA, vec![])] {
            let question = question(&"fed.a.com".parse().unwrap(), kind).unwrap();
            let Step::Done(answer) = read(question, &message) else {
                assert!(expected.is_empty(), "its end is asked for");
                continue;
            };
            let found = interpret(answer, BOUNDS, false);
            assert_eq!((texts(&found.usable), found.ttl.as_secs()), (vec!["1.1.1.1".to_owned()], 20));
        }
    }

    fn records(addresses: &[&str], ttl: u32) -> Answer {
        let data = addresses.iter().map(|address| RData::from(address.parse::<IpAddr>().unwrap()));
        Answer::Records(data.collect(), ttl)
    }

    fn texts(addresses: &[IpAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_keep_dns_order_and_live_between_the_bounds() {
        for (ttl, life) in [(0, 5), (60, 60), (u32::MAX, 5), (1_000_000, 86_400)] {
            let found = interpret(records(&["9.9.9.9", "1.1.1.1", "9.9.9.9"], ttl), BOUNDS, false);
            assert_eq!(texts(&found.usable), ["9.9.9.9", "1.1.1.1"]);
            assert_eq!((found.ttl.as_secs(), found.trouble), (life, None));
        }
    }

    #[test]
    fn private_addresses_count_where_that_is_allowed() {
        let answer = records(&["10.0.0.1", "1.1.1.1", "127.0.0.1"], 60);
        let found = interpret(answer.clone(), BOUNDS, false);
        assert_eq!(texts(&found.usable), ["1.1.1.1"]);
        assert_eq!(texts(&found.private), ["10.0.0.1", "127.0.0.1"]);
        let found = interpret(answer, BOUNDS, true);
        assert_eq!(texts(&found.usable), ["10.0.0.1", "1.1.1.1", "127.0.0.1"]);
        assert!(found.private.is_empty());
    }

    #[test]
    fn absence_is_an_answer_and_trouble_is_none() {
        let absent = interpret(Answer::Absent(Some(300)), BOUNDS, false);
        assert_eq!((absent.ttl.as_secs(), absent.trouble), (300, None));
        let trouble = interpret(Answer::Trouble("SERVFAIL".to_owned()), BOUNDS, false);
        assert_eq!((trouble.ttl, trouble.trouble.as_deref()), (TRANSIENT_TTL, Some("SERVFAIL")));
        assert!(absent.usable.is_empty() && trouble.usable.is_empty());
    }

    #[test]
    fn of_many_addresses_the_same_sixteen_are_kept() {
        let many: Vec<_> = (1..=40).rev().map(|n| format!("9.9.9.{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let found = interpret(records(&many, 60), BOUNDS, false);
        let expected: Vec<_> =
            many.iter().copied().filter(|it| found.usable.contains(&it.parse().unwrap())).collect();
        assert_eq!(
            (found.usable.len(), texts(&found.usable)),
            (16, expected.iter().map(ToString::to_string).collect())
        );
        let again = interpret(records(&many.into_iter().rev().collect::<Vec<_>>(), 60), BOUNDS, false);
        assert!(again.usable.iter().all(|address| found.usable.contains(address)));
    }
}

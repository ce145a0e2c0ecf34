//! Discovery without the network: from a DNS response, through [`read`], to what it means.

use super::super::answer::{Question, Step, read};
use super::super::{Certainty, Discovered, Target, TtlBounds};
use super::*;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, SOA};
use hickory_proto::rr::{DNSClass, Record};

const BOUNDS: TtlBounds = TtlBounds { min: Duration::from_secs(5), max: Duration::from_secs(86_400) };
const QUERY: &str = "_wire-server-federator._tcp.a.com.";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn srv(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::SRV(SRV::new(10, 5, 443, name(target))))
}

fn alias(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

fn soa(zone: &str, ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns.a.com."), name("h.a.com."), 1, 3600, 600, 86_400, minimum);
    Record::from_rdata(name(zone), ttl, RData::SOA(soa))
}

fn message(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.metadata.response_code = code;
    message.answers = answers;
    message.authorities = authorities;
    message
}

fn a_com() -> Domain {
    "a.com".parse().unwrap()
}

fn start() -> Question {
    question(&a_com()).unwrap()
}

fn finding(step: Step) -> Discovered {
    match step {
        Step::Done(answer) => interpret(&a_com(), answer, BOUNDS),
        Step::Follow(next) => panic!("follows {}", next.name()),
    }
}

fn response(message: &Message) -> Discovered {
    finding(read(start(), message))
}

fn answer(answers: Vec<Record>) -> Discovered {
    response(&message(ResponseCode::NoError, answers, Vec::new()))
}

fn hosts(found: &Discovered) -> Vec<&str> {
    match &found.outcome {
        Outcome::Hosts(hosts) => hosts.iter().map(HostName::as_str).collect(),
        Outcome::Failure(failure) => panic!("{failure:?}"),
    }
}

/// Label, message, life in seconds.
fn failure(found: &Discovered) -> (FailureLabel, &str, u64) {
    match &found.outcome {
        Outcome::Failure(failure) => (failure.label, &failure.message, found.ttl.as_secs()),
        Outcome::Hosts(hosts) => panic!("{hosts:?}"),
    }
}

const ABSENT: &str = "srv record not found: _wire-server-federator._tcp.a.com";

#[test]
fn every_target_is_a_host_whatever_its_priority_and_the_order() {
    let records =
        [srv(QUERY, 600, "Fed2.a.com."), srv(QUERY, 600, "fed1.a.com."), srv(QUERY, 600, "fed1.a.com.")];
    let mut reversed = records.to_vec();
    reversed.reverse();
    let found = answer(records.to_vec());
    assert_eq!(hosts(&found), ["fed1.a.com", "fed2.a.com"]);
    assert_eq!(found, answer(reversed));
    assert_eq!((found.ttl.as_secs(), found.certainty), (600, Certainty::Answered));
}

#[test]
fn the_life_is_the_least_ttl_of_the_records_that_count() {
    let target = "_wire-server-federator._tcp.b.com.";
    for (answers, expected) in [
        (vec![srv(QUERY, 600, "x.a.com."), srv(QUERY, 300, "y.a.com.")], 300),
        (vec![alias(QUERY, 60, target), srv(target, 600, "x.a.com.")], 60),
        (vec![alias(QUERY, 600, target), srv(target, 60, "x.a.com.")], 60),
        (vec![srv(QUERY, 600, "x.a.com."), srv(target, 10, "z.a.com.")], 600),
        (vec![srv(QUERY, 0, "x.a.com.")], 5),
        (vec![srv(QUERY, u32::MAX, "x.a.com."), srv(QUERY, 600, "y.a.com.")], 5),
        (vec![srv(QUERY, 864_000, "x.a.com.")], 86_400),
    ] {
        assert_eq!(answer(answers.clone()).ttl.as_secs(), expected, "{answers:?}");
    }
}

#[test]
fn records_count_if_the_name_asked_for_or_the_end_of_its_aliases_owns_them() {
    let (one, two) = ("one.b.com.", "two.b.com.");
    let chain = vec![srv(two, 600, "fed.b.com."), alias(one, 600, two), alias(QUERY, 600, one)];
    assert_eq!(hosts(&answer(chain)), ["fed.b.com"]);
    let upper = vec![srv("_Wire-Server-Federator._TCP.A.com.", 600, "fed.a.com.")];
    assert_eq!(hosts(&answer(upper)), ["fed.a.com"], "names have no case");
    let beside = vec![srv(QUERY, 600, "fed.a.com."), srv("evil.com.", 600, "fed.evil.com.")];
    assert_eq!(hosts(&answer(beside)), ["fed.a.com"]);
    let midway = vec![
        alias(QUERY, 600, one),
        alias(one, 600, two),
        srv(one, 600, "x.b.com."),
        srv(two, 600, "y.b.com."),
    ];
    assert_eq!(hosts(&answer(midway)), ["y.b.com"]);
}

#[test]
fn an_answer_about_another_name_is_a_failure() {
    let found = answer(vec![srv("_wire-server-federator._tcp.b.com.", 600, "fed.b.com.")]);
    let message = "DNS error: _wire-server-federator._tcp.a.com: the answer is about another name";
    assert_eq!(failure(&found), (FailureLabel::DiscoveryFailure, message, 2));
    assert_eq!(found.certainty, Certainty::Transient);
}

#[test]
fn the_target_dot_says_that_there_is_no_federator() {
    let found = answer(vec![srv(QUERY, 600, ".")]);
    assert_eq!(failure(&found), (FailureLabel::InvalidDomain, ABSENT, 600));
    assert_eq!(found.certainty, Certainty::Answered);
    assert_eq!(hosts(&answer(vec![srv(QUERY, 600, "."), srv(QUERY, 600, "fed.a.com.")])), ["fed.a.com"]);
}

#[test]
fn targets_that_are_no_host_names_are_passed_over_and_named_if_there_is_no_other() {
    let table: [&[&[u8]]; 9] = [
        &[b"192", b"0", b"2", b"1"],
        &[b"fe_d", b"a"],
        &[b"-fed", b"a"],
        &[b"*", b"a"],
        &[b"fed.x", b"a"],
        &[b"fed", b"a,b"],
        &[b"f\0d", b"a"],
        &[b"f\xffd\x1b[1m", b"a"],
        &[b"f d", b"a"],
    ];
    for labels in table {
        let target = Name::from_labels(labels.iter().copied()).unwrap();
        let record =
            Record::from_rdata(name(QUERY), 600, RData::SRV(SRV::new(1, 1, 443, target.clone())));
        let found = answer(vec![record.clone()]);
        let (label, message, life) = failure(&found);
        assert_eq!((label, life), (FailureLabel::DiscoveryFailure, 600), "{target}");
        assert!(message.contains("_tcp.a.com: the SRV target '"), "{message}");
        assert!(message.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{message}");
        assert_eq!(
            hosts(&answer(vec![record, srv(QUERY, 600, "fed.a.com.")])),
            ["fed.a.com"],
            "{target}"
        );
    }
}

#[test]
fn of_many_targets_the_same_64_are_kept() {
    let mut records: Vec<_> = (0..200).map(|n| srv(QUERY, 600, &format!("h{n:03}.a.com."))).collect();
    let found = answer(records.clone());
    assert_eq!(hosts(&found).len(), MAX_HOSTS);
    assert_eq!(hosts(&found).last(), Some(&"h063.a.com"));
    records.reverse();
    assert_eq!(found, answer(records));
}

#[test]
fn targets_are_in_the_order_of_their_priorities_whatever_that_of_the_records() {
    let record = |priority, weight, port, host| {
        let srv = SRV::new(priority, weight, port, name(host));
        Record::from_rdata(name(QUERY), 600, RData::SRV(srv))
    };
    let mut records = vec![
        record(20, 0, 443, "a.a.com."),
        record(10, 5, 8443, "Z.a.com."),
        record(10, 7, 443, "z.a.com."),
        record(10, 5, 0, "b.a.com."),
        record(10, 5, 443, "."),
        record(10, 5, 443, "not_a_host.a.com."),
    ];
    let found = answer(records.clone());
    let texts: Vec<_> = found
        .targets
        .iter()
        .map(|Target { priority, host, port, weight }| format!("{priority} {weight} {port} {host}"))
        .collect();
    assert_eq!(texts, ["10 5 0 b.a.com", "10 7 443 z.a.com", "10 5 8443 z.a.com", "20 0 443 a.a.com"]);
    assert_eq!(hosts(&found), ["a.a.com", "b.a.com", "z.a.com"]);
    records.reverse();
    assert_eq!(found, answer(records));
}

#[test]
fn of_many_targets_the_first_priorities_are_kept() {
    let record = |n: u16| {
        let srv = SRV::new(1000 - n, 1, 443, name(&format!("h{n:03}.a.com.")));
        Record::from_rdata(name(QUERY), 600, RData::SRV(srv))
    };
    let found = answer((0..200).map(record).collect());
    assert_eq!(found.targets.len(), MAX_TARGETS);
    assert_eq!(found.targets[0].host.as_str(), "h199.a.com");
    assert_eq!(hosts(&found)[0], "h000.a.com");
}

#[test]
fn no_such_name_and_no_such_record_live_as_their_soa_says() {
    use ResponseCode::{NXDomain, NoError};
    for (code, times, expected) in [
        (NXDomain, Some((600, 30)), 30),
        (NoError, Some((20, 300)), 20),
        (NoError, Some((86_400, 86_400)), 10_800),
        (NXDomain, None, 5),
        (NoError, None, 5),
    ] {
        let zone = |(ttl, minimum)| soa("a.com.", ttl, minimum);
        let found = response(&message(code, Vec::new(), times.map(zone).into_iter().collect()));
        assert_eq!(failure(&found), (FailureLabel::InvalidDomain, ABSENT, expected), "{code} {times:?}");
        assert_eq!(found.certainty, Certainty::Answered);
    }
}

#[test]
fn the_soa_of_another_zone_says_nothing_of_how_long() {
    for (zone, expected) in [("com.", 600), (".", 600), ("b.com.", 5), ("x.a.com.", 5)] {
        let found = response(&message(ResponseCode::NXDomain, Vec::new(), vec![soa(zone, 600, 600)]));
        assert_eq!(failure(&found), (FailureLabel::InvalidDomain, ABSENT, expected), "{zone}");
    }
}

#[test]
fn records_of_another_class_are_no_records() {
    let of_chaos = |mut record: Record| {
        record.dns_class = DNSClass::CH;
        record
    };
    for answers in [
        vec![of_chaos(srv(QUERY, 600, "fed.a.com."))],
        vec![of_chaos(alias(QUERY, 600, "x.a.com.")), srv("x.a.com.", 600, "fed.a.com.")],
        vec![alias(QUERY, 600, "x.a.com."), of_chaos(srv("x.a.com.", 600, "fed.a.com."))],
    ] {
        match read(start(), &message(ResponseCode::NoError, answers, Vec::new())) {
            Step::Done(Answer::Trouble(_)) => {}
            Step::Follow(next) => assert_eq!(next.name(), &name("x.a.com."), "its end is asked for"),
            step @ Step::Done(_) => panic!("{step:?}"),
        }
    }
}

#[test]
fn records_beside_an_error_code_are_no_records() {
    for code in 1..=4095_u16 {
        let code =
            ResponseCode::from(u8::try_from(code >> 4).unwrap(), u8::try_from(code & 15).unwrap());
        for answers in [
            vec![srv(QUERY, 600, "fed.a.com.")],
            vec![alias(QUERY, 600, "x.b.com."), srv("x.b.com.", 600, "fed.b.com.")],
        ] {
            let found = response(&message(code, answers, Vec::new()));
            let expected = if code == ResponseCode::NXDomain {
                FailureLabel::InvalidDomain
            } else {
                FailureLabel::DiscoveryFailure
            };
            assert_eq!(failure(&found).0, expected, "{code:?}");
        }
    }
}

#[test]
fn an_alias_to_nowhere_is_no_such_record() {
    for (code, ttl, expected) in [
        (ResponseCode::NXDomain, 600, 30),
        (ResponseCode::NoError, 600, 30),
        (ResponseCode::NXDomain, 10, 10),
    ] {
        let answers = vec![alias(QUERY, ttl, "nowhere.b.com.")];
        let found = response(&message(code, answers, vec![soa("b.com.", 600, 30)]));
        assert_eq!(failure(&found), (FailureLabel::InvalidDomain, ABSENT, expected));
    }
}

#[test]
fn an_alias_out_of_the_answer_is_asked_for() {
    let away = message(ResponseCode::NoError, vec![alias(QUERY, 60, "x.b.com.")], Vec::new());
    let Step::Follow(next) = read(start(), &away) else { panic!() };
    assert_eq!(next.name(), &name("x.b.com."));
    let end = message(ResponseCode::NoError, vec![srv("x.b.com.", 600, "fed.b.com.")], Vec::new());
    let found = finding(read(next, &end));
    assert_eq!((hosts(&found), found.ttl.as_secs()), (vec!["fed.b.com"], 60));
}

#[test]
fn a_loop_of_aliases_ends_and_so_does_a_long_chain() {
    let looped = vec![alias(QUERY, 600, "x.b.com."), alias("x.b.com.", 600, QUERY)];
    let found = answer(looped);
    let (_, message, life) = failure(&found);
    assert!(message.contains("loop of aliases"), "{message}");
    assert_eq!(life, 2);
    for (links, good) in [(8, true), (9, false)] {
        let mut answers = vec![alias(QUERY, 600, "l1.b.com.")];
        answers.extend(
            (1..links).map(|n| alias(&format!("l{n}.b.com."), 600, &format!("l{}.b.com.", n + 1))),
        );
        answers.push(srv(&format!("l{links}.b.com."), 600, "fed.b.com."));
        let outcome = answer(answers).outcome;
        assert_eq!(matches!(outcome, Outcome::Hosts(_)), good, "{links}");
    }
}

#[test]
fn a_loop_over_several_answers_ends_too() {
    let mut question = start();
    for turn in 0..=8 {
        let (from, to) = (question.name().to_ascii(), format!("turn{turn}.b.com."));
        let away = message(ResponseCode::NoError, vec![alias(&from, 600, &to)], Vec::new());
        match read(question, &away) {
            Step::Follow(next) => question = next,
            done @ Step::Done(_) => {
                assert_eq!(turn, 8);
                assert_eq!(failure(&finding(done)).0, FailureLabel::DiscoveryFailure);
                return;
            }
        }
    }
    panic!("it never ends");
}

#[test]
fn what_is_no_answer_is_believed_for_two_seconds() {
    let found = finding(Step::Done(Answer::Trouble("SERVFAIL".to_owned())));
    let message = "DNS error: _wire-server-federator._tcp.a.com: SERVFAIL";
    assert_eq!(failure(&found), (FailureLabel::DiscoveryFailure, message, 2));
    assert_eq!(found.certainty, Certainty::Transient);
}

#[test]
fn a_domain_too_long_for_the_services_labels_has_no_federator() {
    let long = format!("{0}.{0}.{0}.{1}.com", "a".repeat(63), "b".repeat(57));
    let found = question(&long.parse().unwrap()).unwrap_err();
    assert_eq!(failure(&found).0, FailureLabel::InvalidDomain);
}

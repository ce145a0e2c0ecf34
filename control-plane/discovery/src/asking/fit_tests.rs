use hickory_proto::rr::rdata::{NS, SOA, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use hickory_proto::serialize::binary::BinEncodable as _;

use super::*;

const ID: u16 = 0x1234;
const NAME: &str = "_wire-server-federator._tcp.a.com.";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn asked() -> Query {
    Query::query(name(NAME), RecordType::SRV)
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 60, data)
}

/// The right answer, from which the others are made.
fn honest() -> Message {
    let mut message = Message::response(ID, OpCode::Query);
    message.add_query(asked());
    message.add_answer(record(NAME, RData::SRV(SRV::new(1, 1, 443, name("fed.a.com.")))));
    message
}

/// In a word, what it is to the question.
fn word(octets: &[u8]) -> String {
    match fit(ID, &asked(), octets) {
        Fit::Foreign(_) => "foreign".to_owned(),
        Fit::Truncated => "truncated".to_owned(),
        Fit::Refusal(Refusal::Code(code)) => mnemonic(code),
        Fit::Refusal(Refusal::Referral) => "referral".to_owned(),
        Fit::Refusal(Refusal::Malformed(_)) => "malformed".to_owned(),
        Fit::Answer(message) => format!("answer {}", message.answers.len()),
    }
}

fn altered(alter: impl FnOnce(&mut Message)) -> String {
    let mut message = honest();
    alter(&mut message);
    word(&message.to_bytes().unwrap())
}

#[test]
fn only_a_response_under_the_questions_id_that_repeats_it_is_an_answer() {
    let ask = |owner: &str, kind, class| {
        let mut query = Query::query(name(owner), kind);
        query.set_query_class(class);
        move |message: &mut Message| message.queries = vec![query]
    };
    for (expected, word) in [
        ("answer 1", altered(|_| {})),
        ("answer 1", altered(ask("_WIRE-server-federator._TCP.A.com.", RecordType::SRV, DNSClass::IN))),
        ("foreign", altered(|message| message.metadata.id ^= 1)),
        ("foreign", altered(|message| message.metadata.message_type = MessageType::Query)),
        ("foreign", altered(|message| message.metadata.op_code = OpCode::Notify)),
        ("foreign", altered(|message| message.queries.clear())),
        ("foreign", altered(|message| message.queries.push(asked()))),
        ("foreign", altered(ask("_wire-server-federator._tcp.b.com.", RecordType::SRV, DNSClass::IN))),
        ("foreign", altered(ask("_tcp.a.com.", RecordType::SRV, DNSClass::IN))),
        ("foreign", altered(ask(".", RecordType::SRV, DNSClass::IN))),
        ("foreign", altered(ask(NAME, RecordType::A, DNSClass::IN))),
        ("foreign", altered(ask(NAME, RecordType::ANY, DNSClass::IN))),
        ("foreign", altered(ask(NAME, RecordType::SRV, DNSClass::CH))),
        ("foreign", altered(ask(NAME, RecordType::SRV, DNSClass::ANY))),
        ("truncated", altered(|message| message.metadata.truncation = true)),
        ("referral", altered(refer(false))),
        ("answer 0", altered(refer(true))),
        ("answer 0", altered(|message| message.answers.clear())),
    ] {
        assert_eq!(word, expected);
    }
}

/// Makes of it a referral, or what only looks like one.
fn refer(soa: bool) -> impl Fn(&mut Message) {
    move |message| {
        message.answers.clear();
        message.add_authority(record("com.", RData::NS(NS(name("ns.com.")))));
        if soa {
            let data = SOA::new(name("ns."), name("h."), 1, 1, 1, 1, 1);
            message.add_authority(record("com.", RData::SOA(data)));
        }
    }
}

#[test]
fn every_code_but_two_is_a_refusal_with_the_question_or_without() {
    for code in 0..=4095_u16 {
        let (high, low) = (u8::try_from(code >> 4).unwrap(), u8::try_from(code & 15).unwrap());
        for repeats in [true, false] {
            let word = altered(|message| {
                message.metadata.response_code = ResponseCode::from(high, low);
                message.edns.get_or_insert_default();
                message.queries.retain(|_| repeats);
            });
            match (code, repeats) {
                (0 | 3, true) => assert_eq!(word, "answer 1"),
                (0 | 3, false) => assert_eq!(word, "foreign"),
                _ => assert_eq!(word, mnemonic(ResponseCode::from(high, low)), "{code}"),
            }
        }
    }
}

#[test]
fn of_the_refusals_three_may_be_for_edns() {
    let codes = (0..=4095_u16).map(|code| {
        ResponseCode::from(u8::try_from(code >> 4).unwrap(), u8::try_from(code & 15).unwrap())
    });
    let names: Vec<_> =
        codes.filter(|&code| Refusal::Code(code).may_be_for_edns()).map(mnemonic).collect();
    assert_eq!(names, ["FORMERR", "NOTIMP", "BADVERS"]);
    assert!(!Refusal::Referral.may_be_for_edns());
}

#[test]
fn an_answer_that_breaks_off_anywhere_is_none() {
    let octets = honest().to_bytes().unwrap();
    let question = 12 + NAME.len() + 1 + 4;
    for length in 0..octets.len() {
        let expected = if length < question { "foreign" } else { "malformed" };
        assert_eq!(word(&octets[..length]), expected, "{length} of {}", octets.len());
    }
}

#[test]
fn a_truncated_answer_may_break_off_after_its_question() {
    let mut message = honest();
    message.metadata.truncation = true;
    let octets = message.to_bytes().unwrap();
    assert_eq!(word(&octets[..octets.len() - 3]), "truncated");
}

#[test]
fn a_name_that_points_at_itself_is_foreign() {
    let mut octets = honest().to_bytes().unwrap();
    octets[12..14].copy_from_slice(&[0xc0, 12]);
    assert_eq!(word(&octets), "foreign");
}

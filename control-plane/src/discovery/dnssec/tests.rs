//! From how well a response is proven to what is done: without the network, and without signatures.

use super::*;
use Proof::{Bogus, Indeterminate, Insecure, Secure};
use hickory_resolver::proto::dnssec::Algorithm;
use hickory_resolver::proto::dnssec::rdata::{NSEC, RRSIG, SigInput};
use hickory_resolver::proto::op::{OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SOA, SRV};
use hickory_resolver::proto::rr::{Name, SerialNumber};

const QUERY: &str = "_wire-server-federator._tcp.a.com.";
const PROOFS: [Proof; 4] = [Secure, Insecure, Bogus, Indeterminate];

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn record(owner: &str, data: RData, proof: Proof) -> Record {
    let mut record = Record::from_rdata(name(owner), 60, data);
    record.proof = proof;
    record
}

fn srv(owner: &str, proof: Proof) -> Record {
    record(owner, RData::SRV(SRV::new(10, 5, 443, name("fed.a.com."))), proof)
}

fn alias(proof: Proof) -> Record {
    record(QUERY, RData::CNAME(CNAME(name("x.b.com."))), proof)
}

fn soa(owner: &str, proof: Proof) -> Record {
    record(owner, RData::SOA(SOA::new(name("ns."), name("h."), 1, 1, 1, 1, 300)), proof)
}

fn nsec(proof: Proof) -> Record {
    let data = NSEC::new(name("b.com."), [RecordType::NS]);
    record("a.com.", RData::DNSSEC(DNSSECRData::NSEC(data)), proof)
}

/// A secure signature for a name of so many labels.
fn signature(labels: u8) -> Record {
    let input = SigInput {
        type_covered: RecordType::SRV,
        algorithm: Algorithm::ED25519,
        num_labels: labels,
        original_ttl: 60,
        sig_expiration: SerialNumber::new(2),
        sig_inception: SerialNumber::new(1),
        key_tag: 1,
        signer_name: name("a.com."),
    };
    let data = RRSIG::from_sig(input, vec![0; 64]);
    record(QUERY, RData::DNSSEC(DNSSECRData::RRSIG(data)), Secure)
}

fn message(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.metadata.response_code = code;
    message.answers = answers;
    message.authorities = authorities;
    message
}

fn found(records: Vec<Record>) -> Message {
    message(ResponseCode::NoError, records, Vec::new())
}

fn question() -> Question {
    Question::new(name(QUERY), RecordType::SRV)
}

/// What is done with it: `opportunistic`, and `require`.
fn steps(message: &Message) -> [String; 2] {
    [Demand::Opportunistic, Demand::Require].map(|demand| {
        match read_proven(demand, question(), Ok(message)) {
            Step::Follow(next) => format!("follow {}", next.name()),
            Step::Done(Answer::Records(records, _)) => format!("{} records", records.len()),
            Step::Done(Answer::Absent(_)) => "absent".to_owned(),
            Step::Done(Answer::Trouble(cause)) => {
                let words: Vec<_> = cause.split([' ', ',', ':', ';']).collect();
                let kinds = ["insecure", "bogus", "validated"];
                assert!(cause.starts_with("DNSSEC: "), "{cause}");
                (*kinds.iter().find(|kind| words.contains(kind)).unwrap()).to_owned()
            }
        }
    })
}

#[test]
fn records_count_as_far_as_they_are_proven() {
    for (proof, expected) in PROOFS.into_iter().zip([
        ["1 records", "1 records"],
        ["1 records", "insecure"],
        ["bogus", "bogus"],
        ["validated", "validated"],
    ]) {
        assert_eq!(steps(&found(vec![srv(QUERY, proof)])), expected, "{proof}");
    }
}

#[test]
fn an_alias_is_followed_as_far_as_it_is_proven() {
    for (proof, expected) in PROOFS.into_iter().zip([
        ["follow x.b.com.", "follow x.b.com."],
        ["follow x.b.com.", "insecure"],
        ["bogus", "bogus"],
        ["validated", "validated"],
    ]) {
        assert_eq!(steps(&found(vec![alias(proof)])), expected, "{proof}");
    }
}

#[test]
fn the_least_proven_record_decides_and_other_names_do_not() {
    for (records, expected) in [
        (vec![srv(QUERY, Secure), alias(Insecure)], Insecure),
        (vec![srv(QUERY, Insecure), alias(Bogus)], Bogus),
        (vec![srv(QUERY, Secure), srv(QUERY, Indeterminate)], Indeterminate),
        (vec![srv(QUERY, Secure), srv("x.b.com.", Bogus)], Secure),
        (vec![srv(QUERY, Insecure), srv("x.b.com.", Secure)], Insecure),
    ] {
        assert_eq!(proof(&question(), &found(records.clone())), expected, "{records:?}");
    }
}

#[test]
fn absence_counts_as_far_as_it_is_proven() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        for (authorities, expected) in [
            (vec![soa("a.com.", Secure), nsec(Secure)], ["absent", "absent"]),
            (vec![nsec(Secure)], ["absent", "absent"]),
            (vec![soa("a.com.", Insecure)], ["absent", "insecure"]),
            (vec![soa("com.", Insecure), nsec(Insecure)], ["absent", "insecure"]),
            (vec![], ["absent", "insecure"]),
            // Of a zone that has nothing to say about it.
            (vec![soa("b.com.", Insecure)], ["bogus", "bogus"]),
            (vec![nsec(Insecure)], ["bogus", "bogus"]),
            (vec![soa("a.com.", Secure)], ["bogus", "bogus"]),
            (vec![soa("a.com.", Bogus)], ["bogus", "bogus"]),
            (vec![soa("a.com.", Indeterminate), nsec(Indeterminate)], ["bogus", "bogus"]),
        ] {
            let denial = message(code, vec![], authorities.clone());
            assert_eq!(steps(&denial), expected, "{code} {authorities:?}");
        }
    }
}

#[test]
fn a_wildcards_records_count_with_the_proof_that_there_are_none_closer() {
    for (labels, authorities, expected) in [
        (4, vec![], Secure),
        (2, vec![], Bogus),
        (2, vec![soa("unsigned.org.", Insecure)], Bogus),
        (2, vec![nsec(Insecure)], Bogus),
        (2, vec![nsec(Secure)], Secure),
    ] {
        let answers = vec![srv(QUERY, Secure), signature(labels)];
        let message = message(ResponseCode::NoError, answers, authorities.clone());
        assert_eq!(proof(&question(), &message), expected, "{labels} {authorities:?}");
    }
}

#[test]
fn without_a_response_it_is_as_without_dnssec() {
    let step = read_proven(Demand::Require, question(), Err(&NetError::Timeout));
    let Step::Done(Answer::Trouble(cause)) = step else { panic!("{step:?}") };
    assert_eq!(cause, NetError::Timeout.to_string());
}

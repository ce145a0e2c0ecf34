//! A forger between the control plane and DNS: passes on what BIND answers, and forges what is asked of
//! some domains. All are signed, below a `com` that leaves out unsigned zones (opt-out), as the real one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

use fedgate_tests::World;
use fedgate_tests::dns::srv;
use fedgate_tests::scripted::{Act, Asked, Over, Scripted, say};
use fedgate_tests::signing::{Anchor, Signing};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::NS;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check_http2, origin};
use crate::control_plane::verdict;

/// The domains whose SRV records are forged, and whether it is denied besides that DS records are there of
/// the zone itself, and of names below it.
const VICTIMS: [(&str, bool, bool); 4] = [
    ("unsigned.com", false, false),
    ("ended.com", false, true),
    ("denied.com", true, false),
    ("lost.com", true, true),
];

const HONEST: &str = "honest.com";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn ask(server: SocketAddr, question: &Message) -> Message {
    let question = question.to_vec().unwrap();
    let mut stream = TcpStream::connect(server).unwrap();
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &question].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).unwrap();
    Message::from_vec(&answer).unwrap()
}

/// All that `com` has to say of names that it does not have: its NSEC3 records, signed; one of them covers
/// any name that it has no record of.
fn denials_of_com(server: SocketAddr, question: &Message) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    for n in 0..40 {
        let mut question = question.clone();
        question.queries = vec![Query::query(name(&format!("absent-{n}.com.")), RecordType::DS)];
        for record in ask(server, &question).authorities {
            let same = |other: &Record| (&other.name, &other.data) == (&record.name, &record.data);
            if !all.iter().any(same) {
                all.push(record);
            }
        }
    }
    all
}

fn forge(server: SocketAddr, asked: &Asked) -> Message {
    let mut answer = ask(server, &asked.message);
    let query = &asked.message.queries[0];
    let victim = VICTIMS.iter().find(|(domain, ..)| name(&format!("{domain}.")).zone_of(query.name()));
    let Some((domain, itself, below)) = victim else { return answer };
    let forged = if *query.name() == name(&format!("{domain}.")) { *itself } else { *below };
    if query.query_type() == RecordType::SRV {
        answer.answers = asked.srv(&query.name().to_ascii(), "infra.evil.org.").answers;
        answer.authorities.clear();
        answer.metadata.response_code = ResponseCode::NoError;
    } else if query.query_type() == RecordType::DS && forged {
        answer.answers.clear();
        answer.authorities = denials_of_com(server, &asked.message);
        let end = RData::NS(NS(name("ns.evil.org.")));
        answer.authorities.push(Record::from_rdata(query.name().clone(), 60, end));
        answer.metadata.response_code = ResponseCode::NoError;
    }
    answer
}

fn answer(server: SocketAddr, asked: &Asked) -> Vec<Act> {
    let mut answer = forge(server, asked);
    if asked.over == Over::Udp && answer.to_vec().unwrap().len() > 1200 {
        answer.answers.clear();
        answer.authorities.clear();
        answer.metadata.truncation = true;
    }
    say(&answer)
}

/// Fedgate behind the forger.
fn world(mode: &str) -> World {
    let bind: Arc<OnceLock<SocketAddr>> = Arc::default();
    let server = bind.clone();
    let path = Scripted::start(move |asked| server.get().map_or_else(Vec::new, |at| answer(*at, asked)));
    let domains: Vec<_> = VICTIMS.iter().map(|(domain, ..)| *domain).chain([HONEST]).collect();
    let mut zones: Vec<_> = domains.iter().map(|domain| (*domain, Signing::Nsec)).collect();
    zones.push(("com", Signing::OptOut));
    let world = World::builder()
        .records(domains.iter().map(|domain| srv(domain, 60, &format!("infra.{domain}."))))
        .signed(&zones, Anchor::Dnskey)
        .discovery(&format!("dnssec = \"{mode}\""))
        .strategy("allowAll")
        .ask(path.address())
        .start();
    bind.set(world.dns.address()).unwrap();
    world
}

/// Calls as each of the domains, with the certificate of its own host and with the forger's.
fn check(mode: &str) {
    let world = world(mode);
    let fails = Refuse(400, "discovery-failure");
    let honest = world.caller(&world.identity(&[&format!("infra.{HONEST}")]));
    check_http2(&world, &honest, "honest", &[origin(HONEST)], Permit(HONEST));
    let forger = world.caller(&world.identity(&["infra.evil.org"]));
    for (domain, ..) in VICTIMS {
        let own = world.caller(&world.identity(&[&format!("infra.{domain}")]));
        if mode == "off" {
            check_http2(&world, &forger, "forger", &[origin(domain)], Permit(domain));
            continue;
        }
        check_http2(&world, &forger, "forger", &[origin(domain)], fails);
        check_http2(&world, &own, "own", &[origin(domain)], fails);
        let verdict = verdict(&world, domain);
        let message = verdict["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("DNSSEC: the answer is bogus"), "{domain}: {verdict}");
    }
}

#[test]
fn a_forger_is_believed_without_dnssec() {
    check("off");
}

#[test]
fn a_forger_is_refused_where_answers_are_proven_where_they_can_be() {
    check("opportunistic");
}

#[test]
fn a_forger_is_refused_where_answers_have_to_be_proven() {
    check("require");
}

//! Answers of DNS that BIND never gives, and what becomes of them at the ingress: from a server that says,
//! octet by octet, what stands here. A second implementation, `dig`, hears the same.

use std::process::Command;
use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::dns::service;
use fedgate_tests::process::run;
use fedgate_tests::scripted::{Act, Asked, Over, Scripted, say};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{Expect, assert_expected, check_http2, origin};
use crate::control_plane::verdict;

const FAILS: Expect = Refuse(400, "discovery-failure");
const ABSENT: Expect = Refuse(422, "invalid-domain");

/// What the server does with the question for the SRV records of a domain.
struct Case {
    name: &'static str,
    /// From the right answer.
    acts: fn(&Asked, Message) -> Vec<Act>,
    over: &'static [Over],
    expect: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Permitted,
    Absent,
    Failure,
}

const BOTH: &[Over] = &[Over::Udp, Over::Tcp];
const UDP: &[Over] = &[Over::Udp];

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn altered(mut message: Message, alter: impl FnOnce(&mut Message)) -> Vec<Act> {
    alter(&mut message);
    say(&message)
}

fn with_code(message: Message, code: u16) -> Vec<Act> {
    altered(message, |message| {
        let (high, low) = (u8::try_from(code >> 4).unwrap(), u8::try_from(code & 15).unwrap());
        message.metadata.response_code = ResponseCode::from(high, low);
        if high > 0 {
            message.edns.get_or_insert_with(Edns::new);
        }
    })
}

/// That there is no such name, altered.
fn absent(message: Message, alter: impl FnOnce(&mut Message)) -> Vec<Act> {
    altered(message, |message| {
        message.answers.clear();
        message.metadata.response_code = ResponseCode::NXDomain;
        alter(message);
    })
}

fn other_question(message: Message, alter: impl FnOnce(&mut Query)) -> Vec<Act> {
    altered(message, |message| alter(&mut message.queries[0]))
}

/// First the wrong one, then the right one.
fn then_right(mut wrong: Vec<Act>, right: &Message) -> Vec<Act> {
    wrong.extend(say(right));
    wrong
}

fn octets(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

macro_rules! cases {
    ($($name:ident over $over:ident is $expect:ident: $acts:expr;)*) => {
        vec![$(Case {
            name: stringify!($name),
            acts: $acts,
            over: $over,
            expect: Outcome::$expect,
        }),*]
    };
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    cases! {
        honest over BOTH is Permitted: |_, right| say(&right);
        // A record beside an error code.
        code_1 over BOTH is Failure: |_, right| with_code(right, 1);
        code_2 over BOTH is Failure: |_, right| with_code(right, 2);
        code_3 over BOTH is Absent: |_, right| with_code(right, 3);
        code_4 over BOTH is Failure: |_, right| with_code(right, 4);
        code_5 over BOTH is Failure: |_, right| with_code(right, 5);
        code_6 over BOTH is Failure: |_, right| with_code(right, 6);
        code_9 over BOTH is Failure: |_, right| with_code(right, 9);
        code_11 over BOTH is Failure: |_, right| with_code(right, 11);
        code_15 over BOTH is Failure: |_, right| with_code(right, 15);
        code_16 over BOTH is Failure: |_, right| with_code(right, 16);
        code_19 over BOTH is Failure: |_, right| with_code(right, 19);
        code_4080 over BOTH is Failure: |_, right| with_code(right, 4080);
        // An answer to something else.
        another_name over BOTH is Failure: |_, right| other_question(right, |query| query.name = name("_x.example."));
        another_type over BOTH is Failure: |_, right| other_question(right, |query| query.query_type = RecordType::TXT);
        another_class over BOTH is Failure: |_, right| other_question(right, |query| query.query_class = DNSClass::CH);
        no_question over BOTH is Failure: |_, right| altered(right, |message| message.queries.clear());
        two_questions over BOTH is Failure: |_, right| altered(right, |message| message.queries.push(message.queries[0].clone()));
        another_id over BOTH is Failure: |_, right| altered(right, |message| message.metadata.id ^= 0x55);
        a_question over BOTH is Failure: |_, right| altered(right, |message| message.metadata.message_type = MessageType::Query);
        another_opcode over BOTH is Failure: |_, right| altered(right, |message| message.metadata.op_code = OpCode::Notify);
        absent_under_another_name over BOTH is Failure: |_, right| absent(right, |message| message.queries[0].name = name("_x.example."));
        absent_without_question over BOTH is Failure: |_, right| absent(right, |message| message.queries.clear());
        // The same before the right one.
        another_name_first over BOTH is Permitted: |_, right| then_right(other_question(right.clone(), |query| query.name = name("_x.example.")), &right);
        another_type_first over BOTH is Permitted: |_, right| then_right(other_question(right.clone(), |query| query.query_type = RecordType::TXT), &right);
        another_id_first over BOTH is Permitted: |_, right| then_right(altered(right.clone(), |message| message.metadata.id ^= 0x55), &right);
        absent_elsewhere_first over BOTH is Permitted: |_, right| then_right(absent(right.clone(), |message| message.queries[0].name = name("_x.example.")), &right);
        // Records that are not those asked for.
        another_owner over BOTH is Failure: |_, right| altered(right, |message| message.answers[0].name = name("_x.example."));
        records_of_chaos over BOTH is Failure: |_, right| altered(right, |message| message.answers[0].dns_class = DNSClass::CH);
        in_the_authority over BOTH is Absent: |_, right| altered(right, |message| message.authorities = std::mem::take(&mut message.answers));
        in_the_additional over BOTH is Absent: |_, right| altered(right, |message| message.additionals = std::mem::take(&mut message.answers));
        a_referral over BOTH is Failure: |_, right| altered(right, |message| {
            message.answers.clear();
            message.add_authority(Record::from_rdata(name("example."), 60, RData::NS(NS(name("ns.example.")))));
        });
        no_record_of_another_zone over BOTH is Absent: |_, right| altered(right, |message| {
            message.answers.clear();
            let soa = SOA::new(name("ns."), name("h."), 1, 1, 1, 1, 86_400);
            message.add_authority(Record::from_rdata(name("elsewhere.test."), 86_400, RData::SOA(soa)));
        });
        an_alias_to_itself over BOTH is Failure: |_, right| altered(right, |message| {
            let own = message.queries[0].name.clone();
            message.answers = vec![Record::from_rdata(own.clone(), 60, RData::CNAME(CNAME(own)))];
        });
        // In other letters.
        upper_case over BOTH is Permitted: |_, right| other_question(right, |query| query.name = name(&query.name.to_ascii().to_uppercase()));
        // What is no message.
        garbage over BOTH is Failure: |_, _| vec![Act::Say(b"\xff\x00 garbage".to_vec())];
        nothing over BOTH is Failure: |_, _| vec![Act::Say(vec![])];
        broken_off over BOTH is Failure: |_, right| {
            let mut octets = octets(&right);
            octets.truncate(octets.len() - 8);
            vec![Act::Say(octets)]
        };
        more_records_than_there_are over BOTH is Failure: |_, right| {
            let mut octets = octets(&right);
            octets[7] = 9;
            vec![Act::Say(octets)]
        };
        a_name_that_points_at_itself over BOTH is Failure: |_, right| {
            let mut octets = octets(&right);
            let owner = 12 + right.queries[0].name.len() + 4;
            octets[owner..owner + 2].copy_from_slice(&(0xc000 | u16::try_from(owner).unwrap()).to_be_bytes());
            vec![Act::Say(octets)]
        };
        silence over UDP is Failure: |_, _| vec![];
        twice over BOTH is Permitted: |_, right| then_right(say(&right), &right);
    }
}

/// The domain of a case over UDP, or over TCP after an answer that is truncated.
fn domain(case: &Case, over: Over) -> String {
    format!("{}-{over:?}.example", case.name.replace('_', "-")).to_lowercase()
}

#[test]
fn only_an_answer_to_the_question_counts_over_udp_and_over_tcp() {
    let server = Scripted::start(|asked| {
        let owner = asked.message.queries[0].name().to_ascii();
        let all = cases();
        let of = |case: &&Case, over| service(&domain(case, over)) == owner;
        if let Some(case) = all.iter().find(|case| of(case, Over::Udp)) {
            return (case.acts)(asked, right(asked, &owner));
        }
        let case = all.iter().find(|case| of(case, Over::Tcp)).expect("a question of this test's");
        match asked.over {
            Over::Udp => altered(asked.empty(), |message| message.metadata.truncation = true),
            Over::Tcp => (case.acts)(asked, right(asked, &owner)),
        }
    });
    let world = World::builder()
        .ask(server.address())
        .discovery("timeout = \"1s\"")
        .strategy("allowAll")
        .start();

    let all = cases();
    let names: Vec<_> =
        all.iter().flat_map(|case| case.over.iter().map(move |&over| (case, over))).collect();
    let domains: Vec<_> = names.iter().map(|(case, over)| domain(case, *over)).collect();
    let hosts: Vec<_> = domains.iter().map(|domain| format!("infra.{domain}")).collect();
    let caller = world.caller(&world.identity(&hosts.iter().map(String::as_str).collect::<Vec<_>>()));
    let answers = world.run(async {
        let calls = domains.iter().map(|domain| {
            let (caller, domain) = (caller.clone(), domain.clone());
            async move { caller.call(&domain.replace('.', "-"), &[origin(&domain)]).await }
        });
        futures_util::future::join_all(calls).await
    });
    for (((case, _), domain), answer) in names.iter().zip(&domains).zip(answers) {
        let origin: &'static str = domain.clone().leak();
        let expect = match case.expect {
            Outcome::Permitted => Permit(origin),
            Outcome::Absent => ABSENT,
            Outcome::Failure => FAILS,
        };
        assert_expected(&world, &domain.replace('.', "-"), answer, expect);
    }

    let found: Vec<bool> = std::thread::scope(|scope| {
        let dug: Vec<_> = domains.iter().map(|domain| scope.spawn(|| dig(&server, domain))).collect();
        dug.into_iter().map(|dug| dug.join().unwrap()).collect()
    });
    for (((case, over), domain), found) in names.iter().zip(&domains).zip(found) {
        let expected = match (case.name, over) {
            // It takes a message without a question for the answer to its own.
            ("no_question", _) => true,
            // On a connection it gives up at the first message that is not the answer (unlike RFC 7766 §7).
            (name, Over::Tcp) if name.ends_with("_first") => false,
            _ => case.expect == Outcome::Permitted,
        };
        assert_eq!(found, expected, "dig, of {domain}");
    }
}

/// The right answer to any question that is asked here.
fn right(asked: &Asked, owner: &str) -> Message {
    let domain = owner.trim_start_matches("_wire-server-federator._tcp.");
    asked.srv(owner, &format!("infra.{domain}"))
}

/// Whether `dig` finds the domain's SRV record, and has nothing to object.
fn dig(server: &Scripted, domain: &str) -> bool {
    let mut dig = Command::new("dig");
    let address = server.address();
    dig.args([&format!("@{}", address.ip()), "-p", &address.port().to_string(), "-t", "SRV"]);
    dig.args(["+noall", "+answer", "+comments", "+tries=1", "+timeout=4", &service(domain)]);
    // It says by its exit code that nothing came.
    let said = run(&mut dig).unwrap_or_default();
    let words: Vec<_> = said.split_whitespace().collect();
    let record = format!("{} 60 IN SRV 10 5 443 infra.{domain}.", service(domain));
    let objects = ["malformed", "response not set"].iter().any(|objection| said.contains(objection));
    words.join(" ").contains(&record) && said.contains("status: NOERROR") && !objects
}

#[test]
fn an_answer_that_takes_long_counts_as_long_as_there_is_time() {
    // Within the three seconds that are the default: after each of the times at which we ask again.
    let server = Scripted::start(|asked| {
        let owner = asked.message.queries[0].name().to_ascii();
        let late = if owner.contains(".late1.") { 1500 } else { 2500 };
        let mut acts = vec![Act::Pause(Duration::from_millis(late))];
        acts.extend(say(&right(asked, &owner)));
        acts
    });
    let world = World::builder().ask(server.address()).strategy("allowAll").start();
    for domain in ["late1.example", "late2.example"] {
        let caller = world.caller(&world.identity(&[&format!("infra.{domain}")]));
        check_http2(&world, &caller, &domain.replace('.', "-"), &[origin(domain)], Permit(domain));
        assert!(server.asked(&service(domain)) > 1, "it was asked again");
    }
}

#[test]
fn five_dead_resolvers_before_a_live_one_cost_their_time_once() {
    let silent = Scripted::start(|_| vec![]);
    let live = Scripted::start(|asked| {
        let owner = asked.message.queries[0].name().to_ascii();
        say(&right(asked, &owner))
    });
    let dead: Vec<_> = (0..4).map(|_| Scripted::start(|_| vec![])).collect();
    let mut builder = World::builder().ask(silent.address());
    for server in &dead {
        builder = builder.ask(server.address());
    }
    let world = builder.ask(live.address()).strategy("allowAll").start();
    let took = |domain: &str| {
        let begun = Instant::now();
        let verdict = verdict(&world, domain);
        assert_eq!(verdict["hosts"][0], format!("infra.{domain}"), "{verdict}");
        begun.elapsed()
    };
    let first = took("first.example");
    assert!(first < Duration::from_secs(3), "{first:?}");
    // The least of several, because the machine may be busy.
    let later = (0..5).map(|n| took(&format!("later{n}.example"))).min().unwrap();
    assert!(later < Duration::from_millis(100), "{later:?}");
}

#[test]
fn a_server_that_does_not_take_edns_is_asked_without() {
    // FORMERR with the question and without, NOTIMP, BADVERS, and no word.
    for (code, repeats) in [(1, true), (1, false), (4, true), (16, true), (0, true)] {
        let server = Scripted::start(move |asked| {
            let owner = asked.message.queries[0].name().to_ascii();
            if asked.message.edns.is_none() {
                return say(&right(asked, &owner));
            }
            if code == 0 {
                return vec![];
            }
            let mut refusal = asked.empty();
            refusal.edns = None;
            if !repeats {
                refusal.queries.clear();
            }
            with_code(refusal, code)
        });
        let world = World::builder().ask(server.address()).strategy("allowAll").start();
        for domain in ["first.example", "second.example"] {
            let caller = world.caller(&world.identity(&[&format!("infra.{domain}")]));
            check_http2(&world, &caller, &domain.replace('.', "-"), &[origin(domain)], Permit(domain));
        }
        assert_eq!(server.asked(&service("second.example")), 1, "it is remembered");
    }
}

#[test]
fn where_tcp_is_needed_and_cannot_be_had_the_message_says_so() {
    let truncated = |asked: &Asked| altered(asked.empty(), |message| message.metadata.truncation = true);
    let over_tcp = |act: Vec<Act>| {
        move |asked: &Asked| if asked.over == Over::Udp { truncated(asked) } else { act.clone() }
    };
    for server in [
        Scripted::without_tcp(truncated),
        Scripted::start(over_tcp(vec![Act::HangUp])),
        Scripted::start(over_tcp(vec![])),
    ] {
        let world = World::builder()
            .ask(server.address())
            .discovery("timeout = \"500ms\"")
            .strategy("allowAll")
            .start();
        let caller = world.caller(&world.identity(&["infra.a.example"]));
        let answer = world.run(async { caller.call("tcp", &[origin("a.example")]).await }).unwrap();
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        let address = server.address();
        let expected =
            format!("{address}: its answer is too long for UDP, and TCP port {}", address.port());
        assert!(message.contains(&expected), "{message}");
        assert!(message.contains("could not be reached"), "{message}");
    }
}

#[test]
fn a_ttl_of_2_to_the_31_counts_as_none() {
    let server = Scripted::start(|asked| {
        let owner = asked.message.queries[0].name().to_ascii();
        altered(right(asked, &owner), |message| message.answers[0].ttl = 1 << 31)
    });
    let world = World::builder().ask(server.address()).allow(&["a.com"]).start();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    check_http2(&world, &caller, "huge_ttl", &[origin("a.com")], Permit("a.com"));
    let verdict = verdict(&world, "a.com");
    let ttl = verdict["ttl_ms"].as_u64().unwrap();
    assert!(ttl <= 5_000, "RFC 2181 §8 makes it 0, and min_ttl 5 s: {verdict}");
}

//! The whole way: a root, `com.` and `a.com.`, as a server tells of them that can be made to tell other things.

use std::collections::HashMap;

use hickory_proto::dnssec::DigestType::SHA256;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;

use super::super::testing::{Key, NOW, alias, dnskey, ds, name, nsec, soa, srv};
use super::*;

/// Responses by name and kind; anything else is not answered.
struct Server(HashMap<(Name, RecordType), Message>);

impl Ask for Server {
    async fn ask(&self, query: &Query) -> Result<Message, String> {
        let question = (query.name().clone(), query.query_type());
        self.0
            .get(&question)
            .cloned()
            .ok_or_else(|| format!("silence about {} {}", question.0, question.1))
    }
}

impl Server {
    fn tell(&mut self, of: &str, kind: RecordType, answers: Vec<Record>, authorities: Vec<Record>) {
        let mut message = Message::response(0, OpCode::Query);
        (message.answers, message.authorities) = (answers, authorities);
        self.0.insert((name(of), kind), message);
    }
}

struct World {
    server: Server,
    root: Key,
    com: Key,
    a: Key,
}

const ZONES: &[RecordType] = &[RecordType::NS];
use RecordType::{DNSKEY, DS, SRV};

impl World {
    /// One in which all is well.
    fn new() -> Self {
        let (root, com, a) = (Key::new(), Key::new(), Key::new());
        let mut server = Server(HashMap::new());
        for (zone, key) in [(".", &root), ("com.", &com), ("a.com.", &a)] {
            server.tell(zone, DNSKEY, key.signed(zone, vec![dnskey(zone, key)]), vec![]);
        }
        for (zone, key, above, signer) in [("com.", &com, ".", &root), ("a.com.", &a, "com.", &com)] {
            let digest = ds(zone, key.digest(zone, SHA256));
            server.tell(zone, DS, signer.signed(above, vec![digest]), vec![]);
        }
        server.tell("a.com.", SRV, a.signed("a.com.", vec![srv("a.com.", "b.")]), vec![]);
        Self { server, root, com, a }
    }

    /// The answer's life, or what is wrong, under `opportunistic` and `require`.
    async fn said(&self) -> [Result<u32, String>; 2] {
        let mut said = Vec::new();
        let anchors = Anchors::parse(&format!(". IN DNSKEY {}", self.root.public)).unwrap();
        for demand in [Demand::Opportunistic, Demand::Require] {
            let mut validator = Validator::at(NOW, &self.server, demand, &anchors);
            said.push(match validator.step(Question::new(name("a.com."), SRV)).await {
                Step::Done(Answer::Records(_, ttl)) => Ok(ttl),
                Step::Done(Answer::Trouble(cause)) => Err(cause),
                other @ (Step::Done(_) | Step::Follow(_)) => Err(format!("{other:?}")),
            });
        }
        said.try_into().unwrap()
    }

    async fn check(&self, expected: [Result<u32, &str>; 2]) {
        let said = self.said().await;
        for (said, expected) in said.into_iter().zip(expected) {
            match (said, expected) {
                (Ok(said), Ok(expected)) => assert_eq!(said, expected),
                (Err(cause), Err(part)) => assert!(cause.contains(part), "{cause}"),
                (said, expected) => panic!("{said:?} {expected:?}"),
            }
        }
    }

    fn deny_digests(&mut self, signer: &str, record: Record) {
        let key = if signer == "com." { &self.com } else { &self.a };
        self.server.tell("a.com.", DS, vec![], key.signed(signer, vec![record]));
    }
}

#[tokio::test]
async fn a_chain_from_the_anchor_proves_an_answer() {
    World::new().check([Ok(100), Ok(100)]).await;
}

#[tokio::test]
async fn an_answer_lives_no_longer_than_any_signature_above() {
    let mut world = World::new();
    let digest = vec![ds("a.com.", world.a.digest("a.com.", SHA256))];
    let mut input = world.com.input("com.", &digest);
    input.sig_expiration = hickory_proto::rr::SerialNumber::new(NOW + 7);
    let signature = world.com.sign(input, &digest);
    world.server.tell("a.com.", DS, [digest, vec![signature]].concat(), vec![]);
    world.check([Ok(7), Ok(7)]).await;
}

#[tokio::test]
async fn only_the_zone_above_says_that_a_zone_is_not_signed() {
    let bogus = [Err("the answer is bogus"), Err("the answer is bogus")];
    let forged = vec![srv("a.com.", "evil.")];

    let mut world = World::new();
    world.server.tell("a.com.", SRV, forged.clone(), vec![]);
    world.check(bogus).await;
    world.server.tell("a.com.", SRV, world.com.signed("com.", forged.clone()), vec![]);
    world.check(bogus).await;

    world.server.tell("a.com.", SRV, forged, vec![]);
    world.server.tell("a.com.", DS, vec![], vec![]);
    world.check(bogus).await;
    world.server.tell("a.com.", DS, vec![], vec![nsec("a.com.", "b.com.", ZONES)]);
    world.check(bogus).await;
    world.deny_digests("a.com.", nsec("a.com.", "x.a.com.", ZONES));
    world.check(bogus).await;
    world.deny_digests("com.", nsec("b.com.", "c.com.", ZONES));
    world.check(bogus).await;
    world.deny_digests("com.", nsec("a.com.", "b.com.", &[RecordType::NS, DS]));
    world.check(bogus).await;

    world.deny_digests("com.", nsec("a.com.", "b.com.", ZONES));
    world.check([Ok(100), Err("com. proves that a.com. need not be signed")]).await;
}

#[tokio::test]
async fn what_is_not_signed_does_not_contradict_itself_or_what_is() {
    let mut world = World::new();
    world.deny_digests("com.", nsec("a.com.", "b.com.", ZONES));
    let record = srv("a.com.", "b.");
    let [one, other] = ["b.com.", "c.com."].map(|target| alias("a.com.", target));
    for (answers, authorities, expected) in [
        (vec![record.clone()], vec![], Ok(100)),
        (vec![record.clone()], vec![nsec("a.com.", "b.com.", ZONES)], Ok(100)),
        (vec![record.clone(), one.clone()], vec![], Err("has an alias beside other records")),
        (vec![one, other], vec![], Err("is an alias of several names")),
        (vec![], vec![], Err("Absent")),
        (vec![], vec![soa("a.com.")], Err("Absent")),
        (vec![], vec![soa("b.com.")], Err("is denied by another zone")),
        (vec![], vec![soa("com.")], Err("the SOA record of com. is not proven")),
        (
            vec![],
            world.com.signed("com.", vec![soa("com.")]),
            Err("does not tell whether a.com. exists"),
        ),
        (
            vec![record],
            world.a.signed("com.", vec![soa("com.")]),
            Err("the SOA record of com. is not proven"),
        ),
    ] {
        world.server.tell("a.com.", SRV, answers, authorities);
        world.check([expected, Err("is insecure")]).await;
    }
}

#[tokio::test]
async fn silence_is_trouble_and_nothing_is_asked_in_vain() {
    for (of, kind) in [(".", DNSKEY), ("com.", DS), ("com.", DNSKEY), ("a.com.", DS), ("a.com.", SRV)] {
        let mut world = World::new();
        world.server.0.remove(&(name(of), kind));
        let silence = format!("silence about {of} {kind}");
        world.check([Err(&silence), Err(&silence)]).await;
    }
}

#[tokio::test]
async fn the_code_has_to_fit() {
    let mut world = World::new();
    let message = world.server.0.get_mut(&(name("a.com."), SRV)).unwrap();
    message.metadata.response_code = ResponseCode::NXDomain;
    world.check([Err("beside"), Err("beside")]).await;
}

//! For `fuzz/`: discovery as [`dns`](super::dns) does it, with messages from the caller instead of servers.

use std::net::IpAddr;
use std::time::Duration;

use fedgate_policy::{Domain, HostName, Outcome};
use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::BinEncodable as _;

use super::answer::{Answer, Question, Step, read};
use super::asking::judged;
use super::{Certainty, TtlBounds, addresses, interpret};

/// The id of every question.
pub const ID: u16 = 0x1234;

/// Gives the next message that comes for a question, of which it hears name, type and class on the wire.
pub type Messages<'a> = &'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// What was found, and on what grounds.
#[derive(Debug)]
pub struct Finding<T> {
    /// The finding itself.
    pub found: T,
    /// For how long it holds.
    pub ttl: Duration,
    /// Whether DNS said so.
    pub answered: bool,
    /// What each message was to its question: `answer`, `foreign`, `truncated`, `refusal` or `malformed`.
    pub heard: Vec<&'static str>,
}

/// An SRV record: priority, host, port and weight.
pub type SrvTarget = (u16, HostName, u16, u16);

/// The hosts that speak for a domain, and their SRV records.
pub fn discover(
    domain: &Domain,
    (min, max): (Duration, Duration),
    messages: Messages<'_>,
) -> Finding<(Outcome, Vec<SrvTarget>)> {
    let (discovered, heard) = match interpret::question(domain) {
        Ok(question) => {
            let (answer, heard) = answer(question, messages);
            (interpret::interpret(domain, answer, TtlBounds { min, max }), heard)
        }
        Err(found) => (found, Vec::new()),
    };
    let targets = discovered.targets.into_iter();
    let targets = targets.map(|it| (it.priority, it.host, it.port, it.weight)).collect();
    Finding {
        found: (discovered.outcome, targets),
        ttl: discovered.ttl,
        answered: discovered.certainty == Certainty::Answered,
        heard,
    }
}

/// The addresses of a host, those that may be used and those that may not; none where DNS cannot carry
/// its name.
pub fn addresses(
    host: &HostName,
    v6: bool,
    (min, max): (Duration, Duration),
    private_too: bool,
    messages: Messages<'_>,
) -> Option<Finding<(Vec<IpAddr>, Vec<IpAddr>)>> {
    let kind = if v6 { RecordType::AAAA } else { RecordType::A };
    let (answer, heard) = answer(addresses::question(host, kind)?, messages);
    let found = addresses::interpret(answer, TtlBounds { min, max }, private_too);
    Some(Finding {
        found: (found.usable, found.private),
        ttl: found.ttl,
        answered: found.trouble.is_none(),
        heard,
    })
}

fn answer(mut question: Question, messages: Messages<'_>) -> (Answer, Vec<&'static str>) {
    let mut heard = Vec::new();
    loop {
        let query = question.query();
        let Some(octets) = messages(&query.to_bytes().unwrap_or_default()) else {
            return (Answer::Trouble("nothing more comes".to_owned()), heard);
        };
        let (word, message) = judged(ID, &query, &octets);
        heard.push(word);
        match message.map(|message| read(question.clone(), &message)) {
            Some(Step::Done(answer)) => return (answer, heard),
            Some(Step::Follow(next)) => question = next,
            None if word == "foreign" => {}
            None => return (Answer::Trouble(word.to_owned()), heard),
        }
    }
}

//! Whether a message is the answer to a question: a pure function of its octets.
//!
//! | the message | is |
//! |---|---|
//! | too short; another id; not a response; another opcode; not one question, or another one | foreign: nothing was heard |
//! | the question's, and truncated | a call to ask over TCP |
//! | the question's, but what follows cannot be read | a refusal: malformed |
//! | the question's, or without any, with another code than NOERROR and NXDOMAIN | a refusal: that code |
//! | the question's, NOERROR, with name servers instead of an answer | a refusal: a referral |
//! | the question's, NOERROR or NXDOMAIN | the answer |
//!
//! The question is repeated in every answer (RFC 5452 §4.2), but for errors of servers that did not get
//! as far as reading it. Names are compared without regard to case (RFC 4343).

use std::fmt;

use hickory_proto::op::{Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// What a message is to a question.
#[derive(Debug)]
pub(super) enum Fit {
    /// Not an answer to it, and why. The right one may still come.
    Foreign(&'static str),
    /// The answer does not fit into a datagram.
    Truncated,
    /// The server has no answer.
    Refusal(Refusal),
    /// The answer: NOERROR or NXDOMAIN.
    Answer(Message),
}

/// Why a server has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It says so by a response code.
    Code(ResponseCode),
    /// It is not responsible for the name, and did not ask on (RFC 2308 §2.2).
    Referral,
    /// Its answer cannot be read.
    Malformed(String),
}

/// Says what `octets` are to the question `asked` under this id.
pub(super) fn fit(id: u16, asked: &Query, octets: &[u8]) -> Fit {
    let mut decoder = BinDecoder::new(octets);
    let Ok(header) = Header::read(&mut decoder) else {
        return Fit::Foreign("a message without a header");
    };
    if header.id != id {
        return Fit::Foreign("an answer with another id");
    }
    if header.message_type != MessageType::Response {
        return Fit::Foreign("a question");
    }
    if header.op_code != OpCode::Query {
        return Fit::Foreign("an answer of another kind than to a query");
    }
    match header.counts.queries {
        0 => return without_question(octets),
        1 => {}
        _ => return Fit::Foreign("an answer to several questions"),
    }
    if !Query::read(&mut decoder).is_ok_and(|repeated| repeated == *asked) {
        return Fit::Foreign("an answer to another question");
    }
    if header.truncation {
        return Fit::Truncated;
    }
    match Message::from_vec(octets) {
        Err(error) => Fit::Refusal(Refusal::Malformed(error.to_string())),
        Ok(message) => judge(message),
    }
}

/// An error code is believed without the question. It says nothing about any name.
fn without_question(octets: &[u8]) -> Fit {
    match Message::from_vec(octets) {
        Ok(message) if !is_about_the_name(message.response_code) => judge(message),
        _ => Fit::Foreign("an answer without a question"),
    }
}

fn judge(message: Message) -> Fit {
    let code = message.response_code;
    if !is_about_the_name(code) {
        Fit::Refusal(Refusal::Code(code))
    } else if code == ResponseCode::NoError && is_referral(&message) {
        Fit::Refusal(Refusal::Referral)
    } else {
        Fit::Answer(message)
    }
}

/// Whether a response code is a finding about the name: it is there, or it is not. All others are
/// troubles of the server. The extended ones (RFC 6891 §6.1.3) are among them.
///
/// By its number: 16 has two names, and hickory takes the other one.
fn is_about_the_name(code: ResponseCode) -> bool {
    [0, 3].contains(&u16::from(code))
}

/// Name servers without a SOA are a referral, not an absence (RFC 2308 §2.2).
fn is_referral(message: &Message) -> bool {
    let has = |kind| message.authorities.iter().any(|record| record.record_type() == kind);
    message.answers.is_empty() && has(RecordType::NS) && !has(RecordType::SOA)
}

// === impl Refusal ===

impl Refusal {
    /// Whether that is how servers refuse a question for its EDNS (RFC 6891 §7, §6.1.3).
    pub(super) fn may_be_for_edns(&self) -> bool {
        // FORMERR, NOTIMP, BADVERS.
        matches!(self, Self::Code(code) if [1, 4, 16].contains(&u16::from(*code)))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => f.write_str(&mnemonic(*code)),
            Self::Referral => {
                f.write_str("a referral, so it is not responsible for the name and did not ask on")
            }
            Self::Malformed(error) => write!(f, "a malformed answer: {error}"),
        }
    }
}

/// A response code as `dig` prints it, so that it can be searched for.
pub(in super::super) fn mnemonic(code: ResponseCode) -> String {
    let name = match u16::from(code) {
        1 => "FORMERR",
        2 => "SERVFAIL",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        other => return format!("RESERVED{other}"),
    };
    name.to_owned()
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;

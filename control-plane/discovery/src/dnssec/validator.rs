//! Asks what validation needs to know, and says what an answer means.
//!
//! ```text
//! question ─┬─► the zone that its name is in ([`chain`])  ─┐
//!           └─► the answer                                ─┴─► what the zone proves of it ([`proof`])
//! ```
//!
//! A zone's owner decides how much work its validation is. So the questions for an answer are bounded,
//! as are the signatures and records that are looked at; and all of it ends with discovery's timeout.
//! A validator lives for one answer: what it has seen to be signed is not believed later, when it may
//! not be any more.
//!
//! [`chain`]: super::chain
//! [`proof`]: super::proof

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

use super::super::answer::{Answer, Question, Step, read};
use super::chain::{Chain, Standing};
use super::proof;
use super::signature::Examiner;
use super::{Anchors, BOGUS, Demand};

/// The most questions for one answer. A zone needs two, and so does each above it, the root one; and
/// there is one for each of the name's labels below.
const MAX_QUESTIONS: usize = 100;

/// Who can be asked.
pub(in super::super) trait Ask: Sync {
    /// The response to a question, of which DNSSEC's records are wanted, and nothing is to be withheld
    /// that others find to be bogus (RFC 6840 §5.9); or why there is none.
    fn ask(&self, query: &Query) -> impl Future<Output = Result<Message, String>> + Send;
}

/// Asks, and has what comes back proven.
pub(in super::super) struct Validator<'a, A> {
    asking: Questions<'a, A>,
    demand: Demand,
    anchors: &'a Anchors,
    examiner: Examiner,
    chain: Chain,
}

/// Whom to ask, and how many questions are left.
pub(super) struct Questions<'a, A> {
    servers: &'a A,
    left: AtomicUsize,
}

/// Why an answer is of no use.
#[derive(Debug)]
pub(super) enum Unproven {
    /// It should be proven, and is not.
    Bogus(String),
    /// Its zone is proven not to be signed, and that is not enough.
    Insecure(String),
    /// There is none.
    Trouble(String),
}

// === impl Validator ===

impl<'a, A: Ask> Validator<'a, A> {
    /// One that asks these servers, now.
    pub(in super::super) fn new(servers: &'a A, demand: Demand, anchors: &'a Anchors) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Signatures' times are modulo 2^32 (RFC 4034 §3.1.5).
        let now = u32::try_from(since.as_secs() & u64::from(u32::MAX)).unwrap_or_default();
        Self::at(now, servers, demand, anchors)
    }

    /// One that takes `now`, in seconds since 1970, for the time.
    pub(super) fn at(now: u32, servers: &'a A, demand: Demand, anchors: &'a Anchors) -> Self {
        let asking = Questions { servers, left: AtomicUsize::new(MAX_QUESTIONS) };
        Self { asking, demand, anchors, examiner: Examiner::new(now), chain: Chain::default() }
    }

    /// Asks a question, and says what its answer means.
    pub(in super::super) async fn step(&mut self, question: Question) -> Step {
        let query = question.query();
        let Self { asking, anchors, examiner, chain, .. } = self;
        let (response, standing) =
            tokio::join!(asking.ask(&query), chain.standing(question.name(), anchors, asking, examiner));
        let message = response.and_then(|response| self.proven(&question, response, standing?));
        match message {
            Ok(message) => read(question, &message),
            Err(unproven) => {
                let cause = unproven.cause();
                tracing::debug!(%query, cause, "not proven");
                Step::Done(Answer::Trouble(cause))
            }
        }
    }

    /// What of a response counts.
    fn proven(
        &self,
        question: &Question,
        mut response: Message,
        standing: Standing,
    ) -> Result<Message, Unproven> {
        match (standing, self.demand) {
            (Standing::Signed(zone), _) => {
                proof::answer(&zone, question.name(), question.kind(), &response, &self.examiner)
                    .map_err(Unproven::Bogus)
            }
            (Standing::Unsigned(_, unsigned), Demand::Require) => Err(Unproven::Insecure(unsigned.why)),
            (Standing::Unsigned(zone, unsigned), Demand::Opportunistic) => {
                let (name, kind) = (question.name(), question.kind());
                proof::consistent(&zone, &unsigned, name, kind, &response, &self.examiner)
                    .map_err(Unproven::Bogus)?;
                proof::cap(&mut response, unsigned.until);
                Ok(first_alias(name, &response).unwrap_or(response))
            }
        }
    }
}

/// What a response says of a name that is an alias: the alias alone. Its end may be in a zone that is
/// signed, and is asked for by itself.
fn first_alias(name: &Name, response: &Message) -> Option<Message> {
    let is_alias = |kind| kind == RecordType::CNAME;
    let mut answers = response.answers.iter();
    let alias = answers.find(|record| record.name == *name && is_alias(record.record_type()))?;
    let mut message = Message::response(0, OpCode::Query);
    message.answers = vec![alias.clone()];
    Some(message)
}

// === impl Questions ===

impl<A: Ask> Questions<'_, A> {
    pub(super) async fn ask(&self, query: &Query) -> Result<Message, Unproven> {
        let one_less = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return Err(Unproven::Bogus(format!("it takes more than {MAX_QUESTIONS} questions")));
        }
        self.servers.ask(query).await.map_err(Unproven::Trouble)
    }
}

// === impl Unproven ===

impl Unproven {
    /// What to tell the operator.
    fn cause(self) -> String {
        match self {
            Self::Bogus(cause) => format!(
                "{BOGUS}: {cause}; mend the zone's signatures and its DS record, or a resolver that loses them; see `delv`"
            ),
            Self::Insecure(why) => format!(
                "DNSSEC: the answer is insecure, and discovery.dnssec is \"require\": {why}; sign the zone, or an alias leads out of a signed one"
            ),
            Self::Trouble(cause) => cause,
        }
    }
}

#[cfg(test)]
#[path = "validator_tests.rs"]
mod tests;

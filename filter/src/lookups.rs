//! Questions about single domains, each asked once for a peer however many of its streams wait for the
//! answer. What has room at one time is shared out among the peers, so that none shuts out another: neither
//! by many domains, nor by one for which it is refused.

use std::collections::HashMap;
use std::hash::RandomState;
use std::rc::Weak;

use fedgate_policy::{Asker, Domain, RequestId, Room, Verdict};

use crate::host::{Call, Now};

/// Room for the questions of one worker; whoever makes up more domains is refused.
const ROOM: Room = Room(1000);

/// On whose behalf, and about what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) asker: Asker,
    pub(crate) domain: Domain,
}

/// A stream that waits for the verdict on a domain.
pub(crate) trait Waiting {
    /// The control plane was asked, and gave this verdict, or none. Called on the root context.
    fn conclude(&self, verdict: Option<&Verdict>, now: Now);
}

/// The questions of one worker, from the first stream that waits to the answer.
#[derive(Default)]
pub(crate) struct Lookups {
    waiting: HashMap<Question, Vec<Weak<dyn Waiting>>, RandomState>,
    queued: Vec<(Question, Option<RequestId>)>,
    under_way: HashMap<Call, Question, RandomState>,
}

// === impl Lookups ===

impl Lookups {
    /// Lets a stream wait for an answer. Of a new question, `request_id` is the request's that has it asked.
    /// Where there is no room for it, returns how many of the asker's are under way.
    pub(crate) fn wait(
        &mut self,
        question: Question,
        request_id: Option<RequestId>,
        stream: Weak<dyn Waiting>,
    ) -> Result<(), usize> {
        if let Some(streams) = self.waiting.get_mut(&question) {
            streams.push(stream);
            return Ok(());
        }
        let own = match question.asker {
            // What our own services ask has a gate to itself.
            Asker::Ours => 0,
            Asker::Peer(_) => self.waiting.keys().filter(|other| other.asker == question.asker).count(),
        };
        if !ROOM.admits(self.waiting.len(), own) {
            return Err(own);
        }
        self.queued.push((question.clone(), request_id));
        self.waiting.insert(question, vec![stream]);
        Ok(())
    }

    /// The questions that are to be sent now.
    pub(crate) fn take_queued(&mut self) -> Vec<(Question, Option<RequestId>)> {
        std::mem::take(&mut self.queued)
    }

    /// A question is under way.
    pub(crate) fn sent(&mut self, call: Call, question: Question) {
        self.under_way.insert(call, question);
    }

    /// The question that this call was, if it was one of ours; it is over then.
    pub(crate) fn ends(&mut self, call: Call) -> Option<Question> {
        self.under_way.remove(&call)
    }

    /// Those who wait for the answer.
    pub(crate) fn take_streams(&mut self, question: &Question) -> Vec<Weak<dyn Waiting>> {
        self.waiting.remove(question).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Waiting for Nobody {
        fn conclude(&self, _: Option<&Verdict>, _: Now) {}
    }

    fn nobody() -> Weak<dyn Waiting> {
        Weak::<Nobody>::new()
    }

    fn question(asker: Asker, domain: &str) -> Question {
        Question { asker, domain: domain.parse().unwrap() }
    }

    /// Asks about made-up domains until that is refused; returns how many were admitted.
    fn flood(lookups: &mut Lookups, asker: Asker) -> usize {
        (0..2000)
            .take_while(|n| lookups.wait(question(asker, &format!("d{n}.com")), None, nobody()).is_ok())
            .count()
    }

    const P: Asker = Asker::Peer(1);
    const Q: Asker = Asker::Peer(2);

    #[test]
    fn a_domain_is_asked_for_once_however_many_wait() {
        let (mut lookups, question) = (Lookups::default(), question(P, "a.com"));
        assert!(lookups.wait(question.clone(), RequestId::of(b"r1"), nobody()).is_ok());
        assert!(lookups.wait(question.clone(), RequestId::of(b"r2"), nobody()).is_ok());
        assert_eq!(lookups.take_queued(), [(question.clone(), RequestId::of(b"r1"))]);
        lookups.sent(Call(1), question.clone());
        assert!(lookups.wait(question.clone(), None, nobody()).is_ok());
        assert_eq!(lookups.take_queued(), []);
        assert_eq!(lookups.ends(Call(2)), None);
        assert_eq!(lookups.ends(Call(1)).as_ref(), Some(&question));
        assert_eq!(lookups.take_streams(&question).len(), 3);
        assert!(lookups.wait(question.clone(), None, nobody()).is_ok());
        assert_eq!(lookups.take_queued(), [(question, None)]);
    }

    #[test]
    fn a_flood_of_domains_is_bounded_and_leaves_room_for_others() {
        let mut lookups = Lookups::default();
        assert_eq!(flood(&mut lookups, P), 150);
        assert_eq!(lookups.wait(question(P, "one-more.com"), None, nobody()), Err(150));
        assert_eq!(lookups.wait(question(P, "d0.com"), None, nobody()), Ok(()), "it is being asked");
        assert_eq!(lookups.wait(question(Q, "one-more.com"), None, nobody()), Ok(()));
        assert_eq!(lookups.wait(question(Q, "d0.com"), None, nobody()), Ok(()), "and not for the other");
        for peer in 3..200 {
            assert!(flood(&mut lookups, Asker::Peer(peer)) > 0, "{peer}");
        }
        assert!(lookups.waiting.len() <= 1000);
    }

    #[test]
    fn who_has_been_answered_may_ask_again() {
        let mut lookups = Lookups::default();
        flood(&mut lookups, P);
        lookups.take_streams(&question(P, "d7.com"));
        assert_eq!(lookups.wait(question(P, "one-more.com"), None, nobody()), Ok(()));
        assert!(lookups.wait(question(P, "and-another.com"), None, nobody()).is_err());
    }

    #[test]
    fn our_own_services_have_all_of_their_gate() {
        assert_eq!(flood(&mut Lookups::default(), Asker::Ours), 1000);
    }
}

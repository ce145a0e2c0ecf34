//! Questions about single domains, each asked once however many streams wait for its answer.

use std::collections::HashMap;
use std::hash::RandomState;
use std::rc::Weak;

use fedgate_policy::{Domain, RequestId, Verdict};

use crate::host::{Call, Now};

/// The most questions at one time; whoever makes up more domains is refused.
const MAX_LOOKUPS: usize = 1000;

/// A stream that waits for the verdict on a domain.
pub(crate) trait Waiting {
    /// The control plane was asked, and gave this verdict, or none. Called on the root context.
    fn conclude(&self, verdict: Option<&Verdict>, now: Now);
}

/// The questions of one worker, from the first stream that waits to the answer.
#[derive(Default)]
pub(crate) struct Lookups {
    waiting: HashMap<Domain, Vec<Weak<dyn Waiting>>, RandomState>,
    queued: Vec<(Domain, Option<RequestId>)>,
    under_way: HashMap<Call, Domain, RandomState>,
}

// === impl Lookups ===

impl Lookups {
    /// Lets a stream wait for the verdict on a domain; `false` where there are too many questions.
    /// Of a new question, `request_id` is the request's that has it asked.
    pub(crate) fn wait(
        &mut self,
        domain: Domain,
        request_id: Option<RequestId>,
        stream: Weak<dyn Waiting>,
    ) -> bool {
        if let Some(streams) = self.waiting.get_mut(&domain) {
            streams.push(stream);
            return true;
        }
        if self.waiting.len() >= MAX_LOOKUPS {
            return false;
        }
        self.queued.push((domain.clone(), request_id));
        self.waiting.insert(domain, vec![stream]);
        true
    }

    /// The questions that are to be sent now.
    pub(crate) fn take_queued(&mut self) -> Vec<(Domain, Option<RequestId>)> {
        std::mem::take(&mut self.queued)
    }

    /// A question is under way.
    pub(crate) fn sent(&mut self, call: Call, domain: Domain) {
        self.under_way.insert(call, domain);
    }

    /// The domain that this call was about, if it was one of ours; it is over then.
    pub(crate) fn ends(&mut self, call: Call) -> Option<Domain> {
        self.under_way.remove(&call)
    }

    /// Those who wait for the verdict on a domain.
    pub(crate) fn take_streams(&mut self, domain: &Domain) -> Vec<Weak<dyn Waiting>> {
        self.waiting.remove(domain).unwrap_or_default()
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

    #[test]
    fn a_domain_is_asked_for_once_however_many_wait() {
        let (mut lookups, domain) = (Lookups::default(), "a.com".parse::<Domain>().unwrap());
        assert!(lookups.wait(domain.clone(), RequestId::of(b"r1"), nobody()));
        assert!(lookups.wait(domain.clone(), RequestId::of(b"r2"), nobody()));
        assert_eq!(lookups.take_queued(), [(domain.clone(), RequestId::of(b"r1"))]);
        lookups.sent(Call(1), domain.clone());
        assert!(lookups.wait(domain.clone(), None, nobody()));
        assert_eq!(lookups.take_queued(), []);
        assert_eq!(lookups.ends(Call(2)), None);
        assert_eq!(lookups.ends(Call(1)).as_ref(), Some(&domain));
        assert_eq!(lookups.take_streams(&domain).len(), 3);
        assert!(lookups.wait(domain.clone(), None, nobody()));
        assert_eq!(lookups.take_queued(), [(domain, None)]);
    }

    #[test]
    fn a_flood_of_domains_is_bounded() {
        let mut lookups = Lookups::default();
        for n in 0..MAX_LOOKUPS {
            assert!(lookups.wait(format!("d{n}.com").parse().unwrap(), None, nobody()));
        }
        assert!(!lookups.wait("one-more.com".parse().unwrap(), None, nobody()));
        assert!(lookups.wait("d0.com".parse().unwrap(), None, nobody()));
    }
}

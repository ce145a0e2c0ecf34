//! Has hickory validate answers, within bounds.
//!
//! ```text
//! step ─► DnssecDnsHandle ─► memo ─► Source ─► Servers
//!         (hickory: signatures,      (a budget, and responses
//!          keys, DS, denials)         cut to what is needed)
//! ```
//!
//! A zone's owner decides how much work its validation is. hickory bounds some of it: 8 signatures a
//! record set, 2 keys of the same tag, NSEC3 of 100 iterations (above that, insecure; above 500,
//! bogus), chains of 26. That leaves room for a tree of questions, so there is a budget of them; a
//! response is cut to what the question is about; and all of it ends with discovery's timeout.
//!
//! A validator lives for one answer. hickory would remember what it has validated for as long as the
//! response's TTL says, which nobody signs: a signature could outlive its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{self, Stream};
use hickory_resolver::net::NetError;
use hickory_resolver::net::client::MemoizeClientHandle;
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode,
};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::super::answer::{Answer, Question, Step};
use super::super::asking::Asking;
use super::{Anchors, Demand, read_proven};

/// The most questions for one answer. A signed zone needs two, and so does each above it, the root one;
/// an unsigned one as many, and one for each of the name's labels.
const MAX_QUESTIONS: usize = 100;

/// The most records of a denial. NSEC3 needs four with a signature each; more while keys change.
const MAX_DENIAL: usize = 32;

/// Asks, and has what comes back validated.
pub(in super::super) struct Validator<'a> {
    source: MemoizeClientHandle<Source>,
    demand: Demand,
    anchors: &'a Anchors,
}

/// Where hickory has its questions answered.
#[derive(Clone)]
struct Source {
    asking: Asking,
    left: Arc<AtomicUsize>,
}

// === impl Validator ===

impl<'a> Validator<'a> {
    /// One that asks these servers.
    pub(in super::super) fn new(asking: Asking, demand: Demand, anchors: &'a Anchors) -> Self {
        let source = Source { asking, left: Arc::new(AtomicUsize::new(MAX_QUESTIONS)) };
        Self { source: MemoizeClientHandle::new(source), demand, anchors }
    }

    /// Asks a question, and says what its answer means.
    pub(in super::super) async fn step(&self, question: Question) -> Step {
        let keys = match self.anchors.keys(&self.source).await {
            Ok(keys) => keys,
            Err(error) => return Step::Done(Answer::Trouble(error.to_string())),
        };
        let handle = DnssecDnsHandle::with_trust_anchor(self.source.clone(), keys);
        let response =
            handle.lookup(question.query(), DnsRequestOptions::default()).first_answer().await;
        read_proven(self.demand, question, response.as_deref())
    }
}

// === impl Source ===

impl DnsHandle for Source {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let Self { asking, left } = self.clone();
        Box::pin(stream::once(async move {
            let query = request.queries.first().cloned().unwrap_or_default();
            let one_less = |left: usize| left.checked_sub(1);
            if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
                tracing::debug!(%query, "DNSSEC: too many questions");
                return Err(NetError::from("DNSSEC: validation takes more than 100 questions"));
            }
            let answer =
                asking.ask(&query, true).await.map_err(|error| NetError::from(error.to_string()))?;
            Ok(DnsResponse::from_message(about_the_name(&query, answer))?)
        }))
    }
}

/// Leaves of a response what is about the name asked for: its records, or its alias, or its denial.
///
/// The rest is of no use, and costs: hickory validates all it sees. The end of an alias is asked for
/// by itself, because hickory takes a denial at the end for one of the beginning.
fn about_the_name(query: &Query, mut response: Message) -> Message {
    response.additionals.clear();
    response.answers.retain(|record| {
        let kind = covered(record);
        record.name == query.name && (kind == query.query_type || kind == RecordType::CNAME)
    });
    let answered = !response.answers.is_empty();
    if answered {
        // NXDOMAIN would be about the end of its aliases.
        response.metadata.response_code = ResponseCode::NoError;
    }
    response.authorities.retain(|record| {
        let kind = covered(record);
        let encloses = kind == RecordType::SOA && record.name.zone_of(&query.name);
        // A wildcard's records come with the proof that the name has none of its own.
        [RecordType::NSEC, RecordType::NSEC3].contains(&kind) || (encloses && !answered)
    });
    response.authorities.truncate(MAX_DENIAL);
    response
}

/// The kind of a record, or of those that it is a signature of.
fn covered(record: &Record) -> RecordType {
    if let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data {
        signature.input().type_covered
    } else {
        record.record_type()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::asking::Servers;
    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::Name;
    use hickory_resolver::proto::rr::rdata::{A, CNAME, NS, SOA, SRV};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn a_response_is_cut_to_what_is_about_the_name() {
        let query = Query::query(name("x.a.com."), RecordType::SRV);
        let record = |owner: &str, data| Record::from_rdata(name(owner), 60, data);
        let alias = record("x.a.com.", RData::CNAME(CNAME(name("y.b.com."))));
        let end = record("y.b.com.", RData::SRV(SRV::new(1, 1, 1, name("fed.b.com."))));
        let address = || record("x.a.com.", RData::A(A::new(1, 1, 1, 1)));
        let soa = |zone| record(zone, RData::SOA(SOA::new(name("ns."), name("h."), 1, 1, 1, 1, 1)));
        let servers = record("a.com.", RData::NS(NS(name("ns.a.com."))));

        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = ResponseCode::NXDomain;
        message.answers = vec![address(), alias.clone(), end];
        message.authorities = vec![servers.clone(), soa("a.com.")];
        message.additionals = vec![address()];
        let cut = about_the_name(&query, message);
        assert_eq!((cut.response_code, &cut.answers), (ResponseCode::NoError, &vec![alias]));
        assert!(cut.authorities.is_empty() && cut.additionals.is_empty());

        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = ResponseCode::NXDomain;
        message.authorities = vec![servers, soa("b.com."), soa("a.com.")];
        message.authorities.extend((0..40).map(|_| soa("com.")));
        let cut = about_the_name(&query, message);
        assert_eq!((cut.response_code, cut.authorities.len()), (ResponseCode::NXDomain, MAX_DENIAL));
        assert_eq!(cut.authorities[0], soa("a.com."));
    }

    #[tokio::test]
    async fn without_a_question_left_nobody_is_asked() {
        let servers = Arc::new(Servers::new(&["127.0.0.1:9".parse().unwrap()]).unwrap());
        let asking = servers.within(Duration::from_secs(1));
        let source = Source { asking, left: Arc::new(AtomicUsize::new(0)) };
        let query = Query::query(name("a.com."), RecordType::SRV);
        let error = source.lookup(query, DnsRequestOptions::default()).first_answer().await.unwrap_err();
        assert!(error.to_string().contains("more than 100 questions"), "{error}");
    }
}

//! The life of one call of our own services to another backend.

use std::cell::{Cell, OnceCell};
use std::rc::{Rc, Weak};

use fedgate_policy::{Asker, Domain, PeerError, Refusal, RemoteCall, RemoteFailure, RequestId, Verdict};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::gate::{self, Gate};
use crate::host::{self, Header, Now};
use crate::lookups::{Question, Waiting};
use crate::metrics;
use crate::partners::Partner;
use crate::reply::{self, Origin};
use crate::tallies::{End, Tally};

/// The request header by which the route finds the cluster; it goes no further.
const CLUSTER_HEADER: &str = "x-fedgate-cluster";
/// What goes along to the other backend; all else, credentials and identities among it, stays here.
/// (Envoy finds no route without `x-forwarded-proto`; the route takes it away.)
const OUTGOING: [&str; 16] = [
    ":method",
    ":path",
    ":scheme",
    ":authority",
    "accept",
    "accept-encoding",
    "content-encoding",
    "content-length",
    "content-type",
    "request-id",
    "te",
    "transfer-encoding",
    "user-agent",
    "x-forwarded-proto",
    "x-request-id",
    "x-wire-api-version",
];
/// Where a call's number stands: as the service gave it, or else Envoy.
const REQUEST_ID: [&str; 2] = ["request-id", "x-request-id"];
/// What a probe asks, as of Wire's own federator.
const STATUS: (&[u8], &[u8]) = (b"GET", b"/i/status");
/// How much of an error's body is waited for: less than Envoy keeps of a response (64 KiB).
const MAX_ERROR_BODY: usize = 32 << 10;

/// One call, as Envoy drives it.
pub(crate) struct Egress(Rc<Stream>);

/// One call, from its headers to an answer.
struct Stream {
    id: u32,
    gate: Rc<Gate>,
    own_domain: Rc<Domain>,
    facts: OnceCell<Facts>,
    passes: Cell<bool>,
    /// The called domain's place among the counts.
    partner: Cell<Partner>,
    /// What becomes of the other backend's answer.
    reply: Cell<Reply>,
}

struct Facts {
    call: RemoteCall,
    /// The names of the headers that do not go along.
    private: Vec<String>,
    /// The call's number. (Once the call has gone out, its headers cannot be had any more.)
    request_id: Option<Vec<u8>>,
}

/// How far the other backend's answer has come.
#[derive(Clone, Copy)]
enum Reply {
    /// It goes to the caller as it is.
    Passes,
    /// It is an error with this status, whose headers went on in Wire's terms, and of whose body so many
    /// octets have come.
    Error { status: u16, gathered: usize },
    /// Its body went on in Wire's terms also; what still comes of it is dropped.
    Replaced,
}

// === impl Egress ===

impl Egress {
    /// The call whose context is `id`, made in the name of `own_domain`.
    pub(crate) fn new(id: u32, gate: Rc<Gate>, own_domain: Rc<Domain>) -> Self {
        let (facts, passes, reply) = (OnceCell::new(), Cell::new(false), Cell::new(Reply::Passes));
        let partner = Cell::default();
        Self(Rc::new(Stream { id, gate, own_domain, facts, passes, partner, reply }))
    }
}

impl Context for Egress {}

impl HttpContext for Egress {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let stream = &self.0;
        let headers = host::request_headers();
        let (method, path) = request_line(&headers);
        if (method, path) == STATUS {
            stream.tell_status();
            return Action::Pause;
        }
        match RemoteCall::parse(method, path) {
            Ok(call) => {
                let facts = stream.facts.get_or_init(|| Facts::new(call, headers));
                let call = &facts.call;
                match stream.judge(call, host::now()) {
                    Some(decision) => stream.act(facts, decision),
                    None => stream.wait_for(facts),
                }
            }
            Err(refusal) => {
                stream.refuse(&refusal, &refusal.to_json(host::request_id(REQUEST_ID).as_ref()));
            }
        }
        stream.action()
    }

    fn on_http_response_headers(&mut self, _: usize, ends: bool) -> Action {
        let stream = &self.0;
        let Some(facts) = stream.facts.get().filter(|_| stream.passes.get()) else {
            return Action::Continue;
        };
        let status = host::response_status();
        if (200..=299).contains(&status) {
            stream.gate.metrics.pass(stream.partner.get(), None);
            return Action::Continue;
        }
        match reply::origin(&host::response_details(), host::target) {
            Origin::Caller => Action::Continue,
            Origin::Failure(failure) => stream.answer(facts, &failure),
            Origin::Backend if ends => stream.answer(facts, &remote_error(status, &[])),
            Origin::Backend => stream.answer_with_body(status),
        }
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
        let stream = &self.0;
        match stream.reply.get() {
            Reply::Error { status, .. } if !ends && size < MAX_ERROR_BODY => {
                stream.reply.set(Reply::Error { status, gathered: size });
                return Action::Pause;
            }
            Reply::Error { status, .. } => stream.replace_body(status, size),
            Reply::Replaced => host::replace_response_body(""),
            Reply::Passes => {}
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        match self.0.reply.get() {
            // A body that is still gathered ends here.
            Reply::Error { status, gathered: 1.. } => self.0.replace_body(status, MAX_ERROR_BODY),
            // Where there is none, none can be put in its place.
            Reply::Error { .. } | Reply::Replaced => {}
            Reply::Passes => return Action::Continue,
        }
        host::drop_response_trailers();
        Action::Continue
    }
}

// === impl Facts ===

impl Facts {
    fn new(call: RemoteCall, mut headers: Vec<Header>) -> Self {
        let request_id = take_first(&mut headers, REQUEST_ID);
        let names = headers.into_iter().map(|(name, _)| name);
        let private = names.filter(|name| !OUTGOING.contains(&name.as_str())).collect();
        Self { call, private, request_id }
    }

    fn request_id(&self) -> Option<RequestId> {
        RequestId::of(self.request_id.as_ref()?)
    }

    fn failure_json(&self, failure: &RemoteFailure) -> String {
        self.call.failure_json(failure, self.request_id().as_ref())
    }
}

/// Method and path.
fn request_line(headers: &[Header]) -> (&[u8], &[u8]) {
    let value = |name| headers.iter().find(|header| header.0 == name).map(|header| &*header.1);
    (value(":method").unwrap_or_default(), value(":path").unwrap_or_default())
}

/// The value of the first of these headers that has one, which is left without.
fn take_first(headers: &mut [Header], names: [&str; 2]) -> Option<Vec<u8>> {
    names.into_iter().find_map(|name| {
        let (_, value) = headers.iter_mut().find(|(n, value)| n == name && !value.is_empty())?;
        Some(std::mem::take(value))
    })
}

/// Whether this is an IP address and a port: a socket's path is for nobody else.
fn is_address(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_hexdigit() || b".:[]".contains(&octet))
}

/// What an answer is that is no success.
fn remote_error(status: u16, body: &[u8]) -> RemoteFailure {
    RemoteFailure::RemoteError { status, inner: PeerError::read(status, body) }
}

// === impl Stream ===

impl Waiting for Stream {
    fn conclude(&self, verdict: Option<&Verdict>, now: Now) {
        let Some(facts) = self.facts.get() else { return };
        let call = &facts.call;
        if host::act_for(self.id).is_err() {
            log::error!("a waiting stream is gone");
            return;
        }
        let known = self.judge(call, now);
        self.act(facts, known.unwrap_or_else(|| call.judge(verdict)));
        if self.passes.get() {
            host::resume();
        }
    }
}

impl Stream {
    fn wait_for(self: &Rc<Self>, facts: &Facts) {
        let waiting: Weak<Self> = Rc::downgrade(self);
        let question = Question { asker: Asker::Ours, domain: facts.call.domain().clone() };
        if let Err(refusal) = self.gate.look_up(question, facts.request_id(), waiting) {
            self.act(facts, Err(refusal));
        }
    }

    /// Judges by what is known; `None` where nothing is.
    fn judge(&self, call: &RemoteCall, now: Now) -> Option<Result<Option<Refusal>, Refusal>> {
        let (known, partner) = self.gate.judge(call.domain(), now, |verdict| call.judge(verdict));
        self.partner.set(partner);
        known
    }

    /// Acts on a decision: afterwards the call passes, or it has been answered.
    fn act(&self, facts: &Facts, decision: Result<Option<Refusal>, Refusal>) {
        let call = &facts.call;
        let sent = decision.and_then(|spared| match self.address(facts) {
            Ok(()) => Ok(spared),
            Err(status) => {
                log::error!("a permitted call's headers could not be set: {status:?}");
                Err(Refusal::VerdictUnavailable(call.domain().clone()))
            }
        });
        match &sent {
            Ok(None) => self.gate.metrics.count_permit(self.partner.get()),
            Ok(Some(refusal)) => {
                self.count_refusal(refusal);
                gate::tell_spared(refusal);
                self.note(call, End { spared: true, ..End::new(refusal.label()) });
            }
            Err(refusal) => {
                self.note(call, End::new(refusal.label()));
                self.refuse(refusal, &call.refusal_json(refusal, facts.request_id().as_ref()));
            }
        }
        self.passes.set(sent.is_ok());
    }

    /// Notes for the control plane what the decision on a call came to.
    fn note(&self, call: &RemoteCall, end: End) {
        self.gate.note(Some(call.domain().clone()), end, self.partner.get(), |tally| tally);
    }

    /// Answers a probe.
    fn tell_status(&self) {
        if self.gate.can_decide() {
            host::respond(200, "");
        } else {
            let refusal = Refusal::VerdictUnavailable(Domain::clone(&self.own_domain));
            host::respond(refusal.status(), &refusal.to_json(None));
        }
    }

    fn refuse(&self, refusal: &Refusal, json: &str) {
        self.count_refusal(refusal);
        host::respond(refusal.status(), json);
    }

    fn count_refusal(&self, refusal: &Refusal) {
        self.gate.metrics.count_refusal(refusal, self.partner.get());
        host::note("fedgate_refusal", refusal.label());
        host::note("fedgate_message", &refusal.to_string());
    }

    /// Makes the call one from our backend to the other, and leaves behind what is nobody's business.
    ///
    /// The path stays as it is, for the route to rewrite: some Envoys begin anew with a stream once its
    /// cluster has come, and then the call is to be read again.
    fn address(&self, facts: &Facts) -> Result<(), host::Status> {
        for name in &facts.private {
            host::set_request_header(name, None)?;
        }
        let cluster = format!("federation/{}", facts.call.domain());
        host::set_request_header(CLUSTER_HEADER, Some(&cluster))?;
        host::set_origin_header(self.own_domain.as_str())
    }

    /// Answers in Wire's terms, in place of a response of which there are only headers yet.
    fn answer(&self, facts: &Facts, failure: &RemoteFailure) -> Action {
        self.passes.set(false);
        self.count(failure);
        self.report(facts, failure);
        host::respond(failure.status(), &facts.failure_json(failure));
        Action::Pause
    }

    /// Lets an error's headers go on in Wire's terms. (Envoy would not show us the body of a response
    /// whose headers are held.)
    fn answer_with_body(&self, status: u16) -> Action {
        let failure = remote_error(status, &[]);
        self.count(&failure);
        host::replace_response_headers(failure.status());
        self.reply.set(Reply::Error { status, gathered: 0 });
        Action::Continue
    }

    /// Tells in the place of an error's body, which has come whole or in part, what it says.
    fn replace_body(&self, status: u16, size: usize) {
        let Some(facts) = self.facts.get() else { return };
        let failure = remote_error(status, &host::response_body(size.min(MAX_ERROR_BODY)));
        host::note("fedgate_message", &failure.to_string());
        self.report(facts, &failure);
        host::replace_response_body(&facts.failure_json(&failure));
        self.reply.set(Reply::Replaced);
    }

    /// Notes for the control plane which way a call failed.
    fn report(&self, facts: &Facts, failure: &RemoteFailure) {
        let inner = match failure {
            RemoteFailure::RemoteError { inner, .. } => metrics::label_of_refusal(&inner.label),
            RemoteFailure::ConnectionRefused(_) | RemoteFailure::Tls(_) | RemoteFailure::Http2(_) => {
                None
            }
        };
        let end = End { label: failure.label(), inner, spared: false };
        let upstream = host::target().map(|target| target.address).filter(|text| is_address(text));
        let domain = facts.call.domain().clone();
        self.gate.note(Some(domain), end, self.partner.get(), |tally| Tally { upstream, ..tally });
    }

    fn count(&self, failure: &RemoteFailure) {
        self.gate.metrics.count_failure(failure, self.partner.get());
        host::note("fedgate_refusal", failure.label());
        host::note("fedgate_message", &failure.to_string());
    }

    /// What becomes of the request: a pause holds headers, body and trailers (see `filter/trim`).
    fn action(&self) -> Action {
        if self.passes.get() { Action::Continue } else { Action::Pause }
    }
}

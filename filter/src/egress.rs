//! The life of one call of our own services to another backend.

use std::cell::{Cell, OnceCell};
use std::rc::{Rc, Weak};

use fedgate_policy::{Domain, Refusal, RemoteCall, RemoteFailure, Verdict};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::gate::Gate;
use crate::host::{self, Header, Now};
use crate::lookups::Waiting;
use crate::metrics::Counter;
use crate::reply::{self, Origin};

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
/// How much of an error's body is read.
const MAX_ERROR_BODY: usize = 8 << 10;

/// One call, as Envoy drives it.
pub(crate) struct Egress(Rc<Stream>);

/// One call, from its headers to an answer.
struct Stream {
    id: u32,
    gate: Rc<Gate>,
    own_domain: Rc<Domain>,
    call: OnceCell<RemoteCall>,
    passes: Cell<bool>,
    /// What becomes of the other backend's answer.
    reply: Cell<Reply>,
}

/// How far the other backend's answer has come.
#[derive(Clone, Copy)]
enum Reply {
    /// It goes to the caller as it is.
    Passes,
    /// It is an error with this status, whose headers went on in Wire's terms; its body follows.
    Error(u16),
    /// Its body went on in Wire's terms also; what still comes of it is dropped.
    Replaced,
}

// === impl Egress ===

impl Egress {
    /// The call whose context is `id`, made in the name of `own_domain`.
    pub(crate) fn new(id: u32, gate: Rc<Gate>, own_domain: Rc<Domain>) -> Self {
        let (call, passes, reply) = (OnceCell::new(), Cell::new(false), Cell::new(Reply::Passes));
        Self(Rc::new(Stream { id, gate, own_domain, call, passes, reply }))
    }
}

impl Context for Egress {}

impl HttpContext for Egress {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let stream = &self.0;
        let (method, path) = host::request_line();
        match RemoteCall::parse(&method, &path) {
            Ok(call) => {
                let call = stream.call.get_or_init(|| call);
                let known = stream.gate.judge(call.domain(), host::now(), |verdict| call.judge(verdict));
                match known {
                    Some(decision) => stream.act(call, decision),
                    None => stream.wait_for(call),
                }
            }
            Err(refusal) => stream.refuse(&refusal, &refusal.to_json()),
        }
        stream.action()
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.0.action()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.0.action()
    }

    fn on_http_response_headers(&mut self, _: usize, ends: bool) -> Action {
        let stream = &self.0;
        let Some(call) = stream.call.get().filter(|_| stream.passes.get()) else {
            return Action::Continue;
        };
        match reply::origin(&host::response_details()) {
            Origin::Caller => Action::Continue,
            Origin::Failure(failure) => stream.answer(call, &failure),
            Origin::Backend => match host::response_status() {
                200..=299 => Action::Continue,
                status if ends => stream.answer(call, &reply::remote_error(status, &[])),
                status => stream.answer_with_body(status),
            },
        }
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
        if size > 0 || ends {
            self.0.replace_body(size);
        }
        Action::Continue
    }
}

// === impl Stream ===

impl Waiting for Stream {
    fn conclude(&self, verdict: Option<&Verdict>, now: Now) {
        let Some(call) = self.call.get() else { return };
        if host::act_for(self.id).is_err() {
            log::error!("a waiting stream is gone");
            return;
        }
        let known = self.gate.judge(call.domain(), now, |verdict| call.judge(verdict));
        self.act(call, known.unwrap_or_else(|| call.judge(verdict)));
        if self.passes.get() {
            host::resume();
        }
    }
}

impl Stream {
    fn wait_for(self: &Rc<Self>, call: &RemoteCall) {
        let waiting: Weak<Self> = Rc::downgrade(self);
        if !self.gate.look_up(call.domain().clone(), waiting) {
            self.act(call, Err(Refusal::VerdictUnavailable(call.domain().clone())));
        }
    }

    /// Acts on a decision: afterwards the call passes, or it has been answered.
    fn act(&self, call: &RemoteCall, decision: Result<(), Refusal>) {
        let sent = decision.and_then(|()| {
            self.address(call).map_err(|status| {
                log::error!("a permitted call's headers could not be set: {status:?}");
                Refusal::VerdictUnavailable(call.domain().clone())
            })
        });
        match sent {
            Ok(()) => {
                self.gate.metrics.count(Counter::Permits);
                self.passes.set(true);
            }
            Err(refusal) => self.refuse(&refusal, &call.refusal_json(&refusal)),
        }
    }

    fn refuse(&self, refusal: &Refusal, json: &str) {
        self.gate.metrics.count_refusal(refusal);
        host::note_refusal(refusal.label());
        host::respond(refusal.status(), json);
    }

    /// Makes the call one from our backend to the other, and leaves behind what is nobody's business.
    ///
    /// The path stays as it is, for the route to rewrite: some Envoys begin anew with a stream once its
    /// cluster has come, and then the call is to be read again.
    fn address(&self, call: &RemoteCall) -> Result<(), host::Status> {
        let cluster = format!("federation/{}", call.domain());
        let mut headers = host::request_headers()?;
        headers.retain(|(name, _)| OUTGOING.contains(&name.as_str()));
        let ours: [(&str, &str); 2] =
            [("wire-origin-domain", self.own_domain.as_str()), (CLUSTER_HEADER, &cluster)];
        headers.extend(ours.map(|(name, value)| -> Header { (name.to_owned(), value.into()) }));
        host::replace_request_headers(&headers)
    }

    /// Answers in Wire's terms, in place of a response of which there are only headers yet.
    fn answer(&self, call: &RemoteCall, failure: &RemoteFailure) -> Action {
        self.passes.set(false);
        self.count(failure);
        host::respond(failure.status(), &call.failure_json(failure));
        Action::Pause
    }

    /// Lets an error's headers go on in Wire's terms. (Envoy would not show us the body of a response
    /// whose headers are held.)
    fn answer_with_body(&self, status: u16) -> Action {
        let failure = reply::remote_error(status, &[]);
        self.count(&failure);
        host::replace_response_headers(failure.status());
        self.reply.set(Reply::Error(status));
        Action::Continue
    }

    /// Tells in the place of an error's body what that says, in its first piece: errors are short.
    fn replace_body(&self, size: usize) {
        match (self.call.get(), self.reply.get()) {
            (Some(call), Reply::Error(status)) => {
                let failure =
                    reply::remote_error(status, &host::response_body(size.min(MAX_ERROR_BODY)));
                host::replace_response_body(&call.failure_json(&failure));
                self.reply.set(Reply::Replaced);
            }
            (Some(_), Reply::Replaced) => host::replace_response_body(""),
            (Some(_), Reply::Passes) | (None, _) => {}
        }
    }

    fn count(&self, failure: &RemoteFailure) {
        self.gate.metrics.count_failure(failure);
        host::note_refusal(failure.label());
    }

    /// What becomes of the request's headers, body and trailers alike.
    fn action(&self) -> Action {
        if self.passes.get() { Action::Continue } else { Action::Pause }
    }
}

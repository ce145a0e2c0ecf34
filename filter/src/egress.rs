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
const OUTGOING: [&str; 14] = [
    ":method",
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
    "x-request-id",
    "x-wire-api-version",
];
/// How much of an error's body is waited for.
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
    /// The status of the other backend's answer, while its body is waited for.
    error: Cell<Option<u16>>,
}

// === impl Egress ===

impl Egress {
    /// The call whose context is `id`, made in the name of `own_domain`.
    pub(crate) fn new(id: u32, gate: Rc<Gate>, own_domain: Rc<Domain>) -> Self {
        let (call, passes, error) = (OnceCell::new(), Cell::new(false), Cell::new(None));
        Self(Rc::new(Stream { id, gate, own_domain, call, passes, error }))
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
            Origin::Failure(failure) => stream.fail(call, &failure),
            Origin::Backend => match host::response_status() {
                200..=299 => Action::Continue,
                status if ends => stream.fail(call, &reply::remote_error(status, &[])),
                status => {
                    stream.error.set(Some(status));
                    Action::Pause
                }
            },
        }
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
        self.0.hear_out(size, ends || size >= MAX_ERROR_BODY)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.0.hear_out(0, true)
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
    fn address(&self, call: &RemoteCall) -> Result<(), host::Status> {
        let cluster = format!("federation/{}", call.domain());
        let mut headers = host::request_headers()?;
        headers.retain(|(name, _)| OUTGOING.contains(&name.as_str()));
        let ours: [(&str, &str); 3] = [
            (":path", call.path()),
            ("wire-origin-domain", self.own_domain.as_str()),
            (CLUSTER_HEADER, &cluster),
        ];
        headers.extend(ours.map(|(name, value)| -> Header { (name.to_owned(), value.into()) }));
        host::replace_request_headers(&headers)
    }

    /// Waits for an error's body until there is `enough` of it.
    fn hear_out(&self, size: usize, enough: bool) -> Action {
        match (self.call.get(), self.error.get()) {
            (Some(call), Some(status)) if enough => {
                let body = host::response_body(size.min(MAX_ERROR_BODY));
                self.fail(call, &reply::remote_error(status, &body))
            }
            (Some(_), Some(_)) => Action::Pause,
            (_, None) | (None, _) => Action::Continue,
        }
    }

    /// Answers in Wire's terms, in place of the response that there is.
    fn fail(&self, call: &RemoteCall, failure: &RemoteFailure) -> Action {
        self.passes.set(false);
        self.error.set(None);
        self.gate.metrics.count_failure(failure);
        host::note_refusal(failure.label());
        host::respond(failure.status(), &call.failure_json(failure));
        Action::Pause
    }

    /// What becomes of the request's headers, body and trailers alike.
    fn action(&self) -> Action {
        if self.passes.get() { Action::Continue } else { Action::Pause }
    }
}

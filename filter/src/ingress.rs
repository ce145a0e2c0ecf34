//! The life of one inbound request.

use std::rc::Rc;

use fedgate_policy::{Domain, Peer, Permit, Refusal};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::config::Mode;
use crate::gate::{Decision, Gate};
use crate::host;
use crate::lookup;

/// One request, from its headers to a permit or a refusal.
pub(crate) struct Ingress {
    gate: Rc<Gate>,
    waiting: Option<Waiting>,
    passes: bool,
}

/// The facts of a request that is paused until its verdict comes.
struct Waiting {
    peer: Rc<Peer>,
    origin_header: Option<Vec<u8>>,
    domain: Domain,
}

// === impl Ingress ===

impl Ingress {
    pub(crate) fn new(gate: Rc<Gate>) -> Self {
        Self { gate, waiting: None, passes: false }
    }

    /// Acts on a decision: afterwards the request passes, or it has been answered.
    fn act(&mut self, decision: Result<Permit, Refusal>, origin_header: Option<&[u8]>) {
        let decision = match self.gate.config.mode {
            Mode::Enforce => decision.and_then(|permit| hand_over(permit, origin_header)),
            Mode::Shadow => decision,
        };
        if let Err(refusal) = &decision {
            host::note_refusal(refusal.label());
        }
        match (decision, self.gate.config.mode) {
            (Ok(_), Mode::Enforce | Mode::Shadow) => self.passes = true,
            (Err(refusal), Mode::Enforce) => host::respond(refusal.status(), &refusal.to_json()),
            (Err(refusal), Mode::Shadow) => {
                log::info!("shadow: would refuse with {}: {refusal}", refusal.label());
                self.passes = true;
            }
        }
    }

    /// What becomes of headers, body and trailers alike. Envoy can be configured to let a body go
    /// on while its headers are paused; so the body asks for itself.
    fn action(&self) -> Action {
        if self.passes { Action::Continue } else { Action::Pause }
    }
}

impl Context for Ingress {
    fn on_http_call_response(&mut self, _: u32, _: usize, body_size: usize, _: usize) {
        let Some(Waiting { peer, origin_header, domain }) = self.waiting.take() else { return };
        let looked_up = lookup::receive(&domain, body_size);
        let origin_header = origin_header.as_deref();
        self.act(self.gate.decide_with(looked_up, &peer, origin_header, host::now()), origin_header);
        if self.passes {
            host::resume();
        }
    }
}

impl HttpContext for Ingress {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let now = host::now();
        let peer = self.gate.peer();
        let origin_header = host::origin_header();
        match self.gate.decide(&peer, origin_header.as_deref(), now) {
            Decision::Made(decision) => self.act(decision, origin_header.as_deref()),
            Decision::NeedsVerdict(domain) => {
                match lookup::send(&self.gate.config.control_plane, &domain) {
                    Ok(()) => self.waiting = Some(Waiting { peer, origin_header, domain }),
                    Err(error) => {
                        let origin_header = origin_header.as_deref();
                        self.act(
                            self.gate.decide_with(Err(error), &peer, origin_header, now),
                            origin_header,
                        );
                    }
                }
            }
        }
        self.action()
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.action()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.action()
    }
}

/// Makes the permitted request say what was decided, and only that.
fn hand_over(permit: Permit, origin_header: Option<&[u8]>) -> Result<Permit, Refusal> {
    let origin = permit.origin.as_str();
    // The header parsed, so it was there exactly once; most often it is in lower case already.
    let normalised =
        if origin_header == Some(origin.as_bytes()) { Ok(()) } else { host::set_origin_header(origin) };
    match normalised.and_then(|()| host::remove_certificate_header()) {
        Ok(()) => Ok(permit),
        Err(status) => {
            log::error!("a permitted request's headers could not be set: {status:?}");
            Err(Refusal::VerdictUnavailable(permit.origin))
        }
    }
}

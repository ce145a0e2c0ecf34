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
        Self { gate, waiting: None }
    }

    /// Acts on a decision: on `Continue` the request goes on, on `Pause` it has been answered.
    fn act(&self, decision: Result<Permit, Refusal>, origin_header: Option<&[u8]>) -> Action {
        match (decision, self.gate.config.mode) {
            (Ok(permit), Mode::Enforce) => hand_over(&permit, origin_header),
            (Err(refusal), Mode::Enforce) => {
                host::note_refusal(refusal.label());
                host::respond(refusal.status(), &refusal.to_json());
                Action::Pause
            }
            (Ok(_), Mode::Shadow) => Action::Continue,
            (Err(refusal), Mode::Shadow) => {
                host::note_refusal(refusal.label());
                log::info!("shadow: would refuse with {}: {refusal}", refusal.label());
                Action::Continue
            }
        }
    }
}

impl Context for Ingress {
    fn on_http_call_response(&mut self, _: u32, _: usize, body_size: usize, _: usize) {
        let Some(Waiting { peer, origin_header, domain }) = self.waiting.take() else { return };
        let looked_up = lookup::receive(&domain, body_size);
        let origin_header = origin_header.as_deref();
        let decision = self.gate.decide_with(looked_up, &peer, origin_header, host::now());
        if self.act(decision, origin_header) == Action::Continue {
            host::resume();
        }
    }
}

impl HttpContext for Ingress {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let now = host::now();
        let peer = self.gate.peer();
        let origin_header = host::origin_header();
        let domain = match self.gate.decide(&peer, origin_header.as_deref(), now) {
            Decision::Made(decision) => return self.act(decision, origin_header.as_deref()),
            Decision::NeedsVerdict(domain) => domain,
        };
        match lookup::send(&self.gate.config.control_plane, &domain) {
            Ok(()) => {
                self.waiting = Some(Waiting { peer, origin_header, domain });
                Action::Pause
            }
            Err(error) => {
                let origin_header = origin_header.as_deref();
                self.act(self.gate.decide_with(Err(error), &peer, origin_header, now), origin_header)
            }
        }
    }
}

/// Makes the permitted request say what was decided, and only that.
fn hand_over(permit: &Permit, origin_header: Option<&[u8]>) -> Action {
    let origin = permit.origin.as_str();
    // The header parsed, so it was there exactly once; most often it is in lower case already.
    let normalised =
        if origin_header == Some(origin.as_bytes()) { Ok(()) } else { host::set_origin_header(origin) };
    match normalised.and_then(|()| host::remove_certificate_header()) {
        Ok(()) => Action::Continue,
        Err(status) => {
            let refusal = Refusal::VerdictUnavailable(permit.origin.clone());
            log::error!("a permitted request's headers could not be set: {status:?}");
            host::note_refusal(refusal.label());
            host::respond(refusal.status(), &refusal.to_json());
            Action::Pause
        }
    }
}

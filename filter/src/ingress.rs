//! The life of one inbound request.

use std::cell::{Cell, OnceCell};
use std::rc::{Rc, Weak};

use fedgate_policy::{
    Asker, Claim, Domain, Peer, Permit, Portrait, Refusal, RequestId, UnixTime, Verdict, identify,
};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::config::Mode;
use crate::connection::Downstream;
use crate::gate::{self, Gate};
use crate::host::{self, Now};
use crate::lookups::{Question, Waiting};
use crate::partners::Partner;
use crate::tallies::{End, Tally};

/// Where a request's number stands: as the other backend gave it, or else Envoy.
const REQUEST_ID: [&str; 2] = ["wire-origin-request-id", "x-request-id"];

/// One request, as Envoy drives it.
pub(crate) struct Ingress(Rc<Stream>);

/// One request, from its headers to a permit or a refusal. Whoever holds it weakly while it waits
/// for a verdict can tell whether it is still there.
struct Stream {
    id: u32,
    gate: Rc<Gate>,
    facts: OnceCell<Facts>,
    passes: Cell<bool>,
}

struct Facts {
    downstream: Rc<Downstream>,
    origin_header: Option<Vec<u8>>,
}

// === impl Ingress ===

impl Ingress {
    /// The request whose context is `id`.
    pub(crate) fn new(id: u32, gate: Rc<Gate>) -> Self {
        Self(Rc::new(Stream { id, gate, facts: OnceCell::new(), passes: Cell::new(false) }))
    }
}

impl Context for Ingress {}

impl HttpContext for Ingress {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        #[cfg(feature = "panic-trigger")]
        host::panic_if_told();
        let stream = &self.0;
        let gate = &stream.gate;
        let now = host::now();
        let facts = stream.facts.get_or_init(|| Facts {
            downstream: gate.connection(),
            origin_header: host::origin_header(),
        });
        match facts.claim(gate.unix(now)) {
            Ok(claim) => match gate.judge(claim.origin(), now, |verdict| claim.judge(verdict)) {
                (Some(decision), partner) => stream.act(decision, partner),
                (None, partner) => {
                    stream.wait_for(facts.downstream.connection.asker, claim.origin(), partner);
                }
            },
            Err(refusal) => stream.act(Err(refusal), Partner::NONE),
        }
        stream.action()
    }
}

// === impl Facts ===

impl Facts {
    fn claim(&self, now: UnixTime) -> Result<Claim<'_>, Refusal> {
        identify(self.peer(), self.origin_header.as_deref(), now)
    }

    /// The domain that a report is to name: what anybody claims who has no trusted certificate is not told.
    fn claimed(&self) -> Option<Domain> {
        let header = self.origin_header.as_deref().filter(|_| matches!(self.peer(), Peer::Known(_)));
        Domain::parse(header?).ok()
    }

    fn peer(&self) -> &Peer {
        &self.downstream.connection.peer
    }
}

// === impl Stream ===

impl Waiting for Stream {
    fn conclude(&self, verdict: Option<&Verdict>, now: Now) {
        let Some(facts) = self.facts.get() else { return };
        if host::act_for(self.id).is_err() {
            log::error!("a waiting stream is gone");
            return;
        }
        // Time has passed: its certificate may have expired, or its domain been removed, meanwhile.
        match facts.claim(self.gate.unix(now)) {
            Ok(claim) => {
                let (known, partner) =
                    self.gate.judge(claim.origin(), now, |verdict| claim.judge(verdict));
                self.act(known.unwrap_or_else(|| claim.judge(verdict)), partner);
            }
            Err(refusal) => self.act(Err(refusal), Partner::NONE),
        }
        if self.passes.get() {
            host::resume();
        }
    }
}

impl Stream {
    fn wait_for(self: &Rc<Self>, asker: Asker, domain: &Domain, partner: Partner) {
        let waiting: Weak<Self> = Rc::downgrade(self);
        let question = Question { asker, domain: domain.clone() };
        if let Err(refusal) = self.gate.look_up(question, request_id(), waiting) {
            self.act(Err(refusal), partner);
        }
    }

    /// Acts on a decision: afterwards the request passes, or it has been answered.
    fn act(&self, decision: Result<Permit, Refusal>, partner: Partner) {
        let gate = &self.gate;
        let decision = match gate.config.mode {
            Mode::Enforce => decision.and_then(|permit| self.hand_over(permit)),
            Mode::Shadow => decision,
        };
        let refusal = match &decision {
            Ok(permit) => permit.spared.as_ref(),
            Err(refusal) => Some(refusal),
        };
        match refusal {
            None => {
                gate.metrics.count_permit(partner);
                gate.metrics.pass(partner, self.facts.get().map(|facts| &facts.downstream.connection));
            }
            Some(refusal) => {
                gate.metrics.count_refusal(refusal, partner);
                self.note(refusal);
                let facts = self.facts.get();
                let certificate = facts.and_then(|facts| facts.downstream.connection.shown.clone());
                let spared = decision.is_ok() || gate.config.mode == Mode::Shadow;
                let end = End { spared, ..End::new(refusal.label()) };
                gate.note(facts.and_then(Facts::claimed), end, partner, |tally| Tally {
                    certificate,
                    ..tally
                });
            }
        }
        match (&decision, gate.config.mode) {
            (Err(refusal), Mode::Enforce) => {
                host::respond(refusal.status(), &refusal.to_json(request_id().as_ref()));
            }
            (Ok(_), _) | (_, Mode::Shadow) => {
                refusal.inspect(|refusal| gate::tell_spared(refusal));
                self.pass();
            }
        }
    }

    fn pass(&self) {
        self.passes.set(true);
        if let Some(facts) = self.facts.get() {
            facts.downstream.admit();
        }
    }

    /// Leaves for the access log what was refused, why, and to whom.
    fn note(&self, refusal: &Refusal) {
        host::note("fedgate_refusal", refusal.label());
        host::note("fedgate_message", &refusal.to_string());
        if let Some(targets) = refusal.targets() {
            host::note("fedgate_targets", targets);
        }
        let shown = self.facts.get().is_some_and(|facts| *facts.peer() != Peer::Anonymous);
        let certificate = Some(()).filter(|()| shown).and_then(|()| host::peer_certificate());
        if let Some(Ok(portrait)) = certificate.map(|certificate| Portrait::read(&certificate)) {
            host::note("fedgate_subject", &portrait.subject);
            host::note("fedgate_issuer", &portrait.issuer);
            host::note("fedgate_names", &portrait.names);
        }
    }

    /// Makes the permitted request say what was decided, and only that.
    fn hand_over(&self, permit: Permit) -> Result<Permit, Refusal> {
        let origin = permit.origin.as_str();
        let facts = self.facts.get();
        let header = facts.and_then(|facts| facts.origin_header.as_deref());
        let certificate = facts.and_then(|facts| facts.downstream.connection.forwarded.as_deref());
        // The header parsed, so it was there exactly once; most often it is in lower case already.
        let normalised =
            if header == Some(origin.as_bytes()) { Ok(()) } else { host::set_origin_header(origin) };
        match normalised.and_then(|()| host::set_certificate_header(certificate)) {
            Ok(()) => Ok(permit),
            Err(status) => {
                log::error!("a permitted request's headers could not be set: {status:?}");
                Err(Refusal::VerdictUnavailable(permit.origin))
            }
        }
    }

    /// What becomes of the request: a pause holds headers, body and trailers (see `filter/trim`).
    fn action(&self) -> Action {
        if self.passes.get() { Action::Continue } else { Action::Pause }
    }
}

fn request_id() -> Option<RequestId> {
    host::request_id(REQUEST_ID)
}

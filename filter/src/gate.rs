//! What a worker remembers between requests: verdicts, peers, and how the control plane is.

use std::cell::{Cell, RefCell};
use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::rc::Rc;

use fedgate_policy::{Domain, Peer, Permit, Refusal, Verdict, identify};
use lru::LruCache;

use crate::config::Config;
use crate::host::{self, Now};
use crate::lookup::LookupError;
use crate::verdict_cache::VerdictCache;

/// The most connections whose peer is remembered; others are read anew with each request.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// One plugin configuration's gate on one worker.
pub(crate) struct Gate {
    /// The plugin's configuration.
    pub(crate) config: Config,
    verdicts: RefCell<VerdictCache>,
    peers: RefCell<LruCache<u64, Rc<Peer>, RandomState>>,
    control_plane: Cell<Answers>,
}

/// Whether the last lookup gave a verdict; told when it changes, not with every request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    Yes,
    No,
}

/// How far a decision comes with what the worker holds.
pub(crate) enum Decision {
    /// Decided.
    Made(Result<Permit, Refusal>),
    /// The claim is well-formed, and needs a verdict on this domain.
    NeedsVerdict(Domain),
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            verdicts: RefCell::new(VerdictCache::new(config.max_staleness)),
            peers: RefCell::new(LruCache::with_hasher(CONNECTIONS, RandomState::new())),
            control_plane: Cell::new(Answers::Yes),
            config,
        }
    }

    /// The peer of the current request's connection.
    ///
    /// A certificate, and whether it was validated, cannot change while a connection lives. So both
    /// are read and parsed once for a connection, and its further requests cost one small hostcall.
    pub(crate) fn peer(&self) -> Rc<Peer> {
        let Some(connection) = host::connection_id() else { return Rc::new(host::peer()) };
        let mut peers = self.peers.borrow_mut();
        Rc::clone(peers.get_or_insert(connection, || Rc::new(host::peer())))
    }

    /// Decides with the verdicts at hand.
    pub(crate) fn decide(&self, peer: &Peer, origin_header: Option<&[u8]>, now: Now) -> Decision {
        let claim = match identify(peer, origin_header, now.unix()) {
            Ok(claim) => claim,
            Err(refusal) => return Decision::Made(Err(refusal)),
        };
        match self.verdicts.borrow_mut().valid_at(claim.origin(), now) {
            Some(verdict) => Decision::Made(claim.judge(Some(verdict))),
            None => Decision::NeedsVerdict(claim.origin().clone()),
        }
    }

    /// Decides with what a lookup brought, and keeps it for the requests to come.
    pub(crate) fn decide_with(
        &self,
        looked_up: Result<Verdict, LookupError>,
        peer: &Peer,
        origin_header: Option<&[u8]>,
        now: Now,
    ) -> Result<Permit, Refusal> {
        self.watch(looked_up.as_ref().err());
        let verdict = looked_up.ok();
        // Time has passed: the certificate may have expired meanwhile.
        let permit = identify(peer, origin_header, now.unix())?.judge(verdict.as_ref());
        if let Some(verdict) = verdict {
            self.verdicts.borrow_mut().insert(verdict, now);
        }
        permit
    }

    fn watch(&self, error: Option<&LookupError>) {
        let answers = if error.is_none() { Answers::Yes } else { Answers::No };
        if self.control_plane.replace(answers) == answers {
            return;
        }
        match error {
            Some(error) => log::error!("no verdict from the control plane: {error}"),
            None => log::info!("the control plane answers again"),
        }
    }
}

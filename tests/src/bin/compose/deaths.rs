//! What is played after the demo's scenarios: the other direction, and deaths of parts.

use std::time::{Duration, Instant};

use fedgate_tests::caller::{Answer, CallError, Caller};
use fedgate_tests::local::Local;
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::scenario::{NO_ANSWER, Scenario, Side, Stage};

use crate::stage::Containers;

/// How long something may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// Status and label.
type Expected = (u16, &'static str);

const PERMIT: Expected = (200, "");

/// The requests that are played.
pub(crate) struct Play<'a> {
    pub(crate) stage: &'a Containers,
    pub(crate) tell: &'a mut dyn FnMut(Scenario),
}

// === impl Play ===

impl Play<'_> {
    /// Plays everything.
    pub(crate) fn play(&mut self) {
        self.back();
        self.control_plane_of_a_dies();
        self.envoy_dies(Side::A, ["envoy-a-killed", "envoy-a-is-back", "search-after-envoy-a"]);
        self.envoy_dies(Side::B, ["envoy-b-killed", "envoy-b-is-back", "search-after-envoy-b"]);
        self.dns_dies();
    }

    /// a.com's ingress, called by whoever has a certificate, or none.
    fn back(&mut self) {
        let good = self.identity("infra.b.com");
        let stranger = Authority::root("somebody else").issue(&Leaf::of(["infra.b.com"]));
        let unlisted = self.identity("infra.c.com");
        let calls: [(_, Option<&Identity>, _, Expected); 5] = [
            ("permit-back", Some(&good), "b.com", PERMIT),
            ("no-client-certificate-back", None, "b.com", (403, "no-client-certificate")),
            ("other-authority-back", Some(&stranger), "b.com", NO_ANSWER),
            ("federation-denied-back", Some(&unlisted), "c.com", (400, "federation-denied")),
            ("invalid-domain-back", Some(&good), "absent.com", (422, "invalid-domain")),
        ];
        for (name, identity, origin, expected) in calls {
            let answer = self.receive(Side::A, identity, origin);
            self.tell(name, expected, answer);
        }
    }

    /// b.com's control plane dies in the demo's scenarios. Without one, calls go out as well.
    fn control_plane_of_a_dies(&mut self) {
        self.stage.kill(Side::A, "control-plane");
        let identity = self.identity("infra.b.com");
        let answer = self.receive(Side::A, Some(&identity), "b.com");
        self.tell("control-plane-a-killed", PERMIT, answer);
        let answer = self.send(Side::A);
        self.tell("search-without-control-plane-a", PERMIT, answer);
        self.stage.revive(Side::A, "control-plane");
        // Heard again, and not only what was known before.
        for (name, verb, expected) in [
            ("removed-by-control-plane-a", "remove", (400, "federation-denied")),
            ("added-by-control-plane-a", "add", PERMIT),
        ] {
            self.stage.administer(Side::A, &["domain", verb, "b.com"]).expect("the list changes");
            let answer = until(expected, || self.receive(Side::A, Some(&identity), "b.com"));
            self.tell(name, expected, answer);
        }
        let answer = until(PERMIT, || self.send(Side::A));
        self.tell("search-after-control-plane-a", PERMIT, answer);
    }

    fn envoy_dies(&mut self, side: Side, [killed, back, search]: [&'static str; 3]) {
        let other = other(side);
        let identity = self.identity(other.infrastructure());
        let request = |play: &Self| play.receive(side, Some(&identity), domain(other));
        self.stage.kill(side, "envoy");
        let answer = request(self);
        self.tell(killed, NO_ANSWER, answer);
        self.stage.revive(side, "envoy");
        let answer = until(PERMIT, || request(self));
        self.tell(back, PERMIT, answer);
        // Out through the new one, and in.
        let answer = until(PERMIT, || self.send(side).and_then(|_| self.send(other)));
        self.tell(search, PERMIT, answer);
    }

    /// What is known holds, what is not cannot be found; until BIND is back.
    fn dns_dies(&mut self) {
        let identity = self.identity("infra.a.com");
        self.stage.project.kill("dns").expect("BIND can be killed");
        let answer = self.receive(Side::B, Some(&identity), "a.com");
        self.tell("dns-killed", PERMIT, answer);
        let answer = self.send(Side::A);
        self.tell("search-without-dns", PERMIT, answer);
        self.stage.administer(Side::B, &["domain", "add", "new.a.com"]).expect("a new domain");
        let found = |play: &Self, expected| {
            until(expected, || play.receive(Side::B, Some(&identity), "new.a.com"))
        };
        let failure = (400, "discovery-failure");
        let answer = found(self, failure);
        self.tell("new-domain-without-dns", failure, answer);
        self.stage.project.revive("dns").expect("BIND can be started");
        let absent = (422, "invalid-domain");
        let answer = found(self, absent);
        self.tell("new-domain-dns-is-back", absent, answer);
    }

    // === what is done ===

    fn tell(&mut self, name: &'static str, expected: Expected, answer: Result<Answer, CallError>) {
        (self.tell)(Scenario { name, story: name, expected, answer });
    }

    /// A service of one backend searches for a user of the other.
    fn send(&self, from: Side) -> Result<Answer, CallError> {
        Local::new(self.stage.egress(from)).call(domain(other(from)), "search-users")
    }

    /// Somebody searches for a user at a backend's ingress.
    fn receive(&self, at: Side, identity: Option<&Identity>, origin: &str) -> Result<Answer, CallError> {
        let trust = self.stage.authority().pem();
        let caller = Caller::new(self.stage.ingress(at), at.infrastructure(), trust, identity);
        let headers = [("wire-origin-domain", origin.as_bytes())];
        let request = async { caller.http2().await?.call("search-users", &headers).await };
        self.stage.runtime.block_on(request)
    }

    fn identity(&self, name: &str) -> Identity {
        self.stage.authority().issue(&Leaf::of([name]))
    }
}

/// The backend domain.
fn domain(side: Side) -> &'static str {
    match side {
        Side::A => "a.com",
        Side::B => "b.com",
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::A => Side::B,
        Side::B => Side::A,
    }
}

/// Asks until the answer is as expected, or patience ends; then the last answer counts.
fn until(
    expected: Expected,
    mut ask: impl FnMut() -> Result<Answer, CallError>,
) -> Result<Answer, CallError> {
    let started = Instant::now();
    loop {
        let answer = ask();
        let wanted = answer.as_ref().is_ok_and(|answer| (answer.status, &*answer.label()) == expected);
        if wanted || started.elapsed() > PATIENCE {
            return answer;
        }
    }
}

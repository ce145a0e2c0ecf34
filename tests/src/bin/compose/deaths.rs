//! What is played after the demo's scenarios: the other direction, and deaths of parts.

use std::time::Duration;

use fedgate_tests::caller::{Answer, CallError};
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::scenario::{self, NO_ANSWER, Outcome, Scenario, Side, Stage};

use crate::stage::Containers;

/// How long something may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// Status and label.
pub(crate) type Expected = (u16, &'static str);

pub(crate) const PERMIT: Expected = (200, "");

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
        let good = self.stage.identity(&["infra.b.com"]);
        let stranger = Authority::root("somebody else").issue(&Leaf::of(["infra.b.com"]));
        let unlisted = self.stage.identity(&["infra.c.com"]);
        let calls: [(_, Option<&Identity>, _, Expected); 5] = [
            ("permit-back", Some(&good), "b.com", PERMIT),
            ("no-client-certificate-back", None, "b.com", (403, "no-client-certificate")),
            ("other-authority-back", Some(&stranger), "b.com", NO_ANSWER),
            ("federation-denied-back", Some(&unlisted), "c.com", (400, "federation-denied")),
            ("invalid-domain-back", Some(&good), "absent.com", (422, "invalid-domain")),
        ];
        for (name, identity, origin, expected) in calls {
            let answer = self.stage.receive(Side::A, identity, Some(origin));
            self.tell(name, expected, answer);
        }
    }

    /// b.com's control plane dies in the demo's scenarios. Without one, calls go out as well.
    fn control_plane_of_a_dies(&mut self) {
        self.stage.kill(Side::A, "control-plane");
        let identity = self.stage.identity(&["infra.b.com"]);
        let answer = self.stage.receive(Side::A, Some(&identity), Some("b.com"));
        self.tell("control-plane-a-killed", PERMIT, answer);
        let answer = self.stage.send(Side::A, "b.com");
        self.tell("search-without-control-plane-a", PERMIT, answer);
        self.stage.revive(Side::A, "control-plane");
        // Heard again, and not only what was known before.
        for (name, verb, expected) in [
            ("removed-by-control-plane-a", "remove", (400, "federation-denied")),
            ("added-by-control-plane-a", "add", PERMIT),
        ] {
            self.stage.administer(Side::A, &["domain", verb, "b.com"]).expect("the list changes");
            let answer = until(expected, || self.stage.receive(Side::A, Some(&identity), Some("b.com")));
            self.tell(name, expected, answer);
        }
        let answer = until(PERMIT, || self.stage.send(Side::A, "b.com"));
        self.tell("search-after-control-plane-a", PERMIT, answer);
    }

    fn envoy_dies(&mut self, side: Side, [killed, back, search]: [&'static str; 3]) {
        let other = side.other();
        let identity = self.stage.identity(&[other.infrastructure()]);
        let request = |play: &Self| play.stage.receive(side, Some(&identity), Some(other.domain()));
        self.stage.kill(side, "envoy");
        let answer = request(self);
        self.tell(killed, NO_ANSWER, answer);
        self.stage.revive(side, "envoy");
        let answer = until(PERMIT, || request(self));
        self.tell(back, PERMIT, answer);
        // Out through the new one, and in.
        let answer = until(PERMIT, || {
            self.stage.send(side, other.domain()).and_then(|_| self.stage.send(other, side.domain()))
        });
        self.tell(search, PERMIT, answer);
    }

    /// What is known holds, what is not cannot be found; until BIND is back.
    fn dns_dies(&mut self) {
        let identity = self.stage.identity(&["infra.a.com"]);
        self.stage.project.kill("dns").expect("BIND can be killed");
        let answer = self.stage.receive(Side::B, Some(&identity), Some("a.com"));
        self.tell("dns-killed", PERMIT, answer);
        let answer = self.stage.send(Side::A, "b.com");
        self.tell("search-without-dns", PERMIT, answer);
        self.stage.administer(Side::B, &["domain", "add", "new.a.com"]).expect("a new domain");
        let found = |play: &Self, expected| {
            until(expected, || play.stage.receive(Side::B, Some(&identity), Some("new.a.com")))
        };
        let failure = (400, "discovery-failure");
        let answer = found(self, failure);
        self.tell("new-domain-without-dns", failure, answer);
        self.stage.project.revive(&["dns"]).expect("BIND can be started");
        let absent = (422, "invalid-domain");
        let answer = found(self, absent);
        self.tell("new-domain-dns-is-back", absent, answer);
    }

    fn tell(&mut self, name: &'static str, expected: Expected, answer: Result<Answer, CallError>) {
        (self.tell)(Scenario { name, story: name, expected, outcome: Outcome::Answer(answer) });
    }
}

/// Asks until the answer is as expected, or patience ends; then the last answer counts.
pub(crate) fn until(
    expected: Expected,
    ask: impl Fn() -> Result<Answer, CallError>,
) -> Result<Answer, CallError> {
    scenario::until(PATIENCE, ask, |answer| is(answer, expected))
}

/// Whether the answer is as expected.
pub(crate) fn is(answer: &Answer, expected: Expected) -> bool {
    (answer.status, &*answer.label()) == expected
}

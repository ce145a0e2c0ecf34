//! The profile `ha`: b.com at three machines that share a list, of which one loses its control plane and its member of
//! etcd.

use fedgate_tests::caller::{Answer, CallError, Caller};
use fedgate_tests::checkup;
use fedgate_tests::local::Local;
use fedgate_tests::pki::Identity;
use fedgate_tests::scenario::{Outcome, Scenario, Side, Stage as _};
use fedgate_tests::several::insist;

use crate::deaths::{Expected, PERMIT, is, until};
use crate::stage::Containers;

const DENIED: Expected = (400, "federation-denied");

/// Changes of the list by one control plane, and what they come to at both Envoys.
pub(crate) struct Several<'a> {
    pub(crate) stage: &'a Containers,
    pub(crate) tell: &'a mut dyn FnMut(Scenario),
}

// === impl Several ===

impl Several<'_> {
    /// Plays everything. a.com has b.com on its list meanwhile.
    pub(crate) fn play(&mut self) {
        for (name, machine) in [("check-envoy-b1", "b1"), ("check-envoy-b2", "b2")] {
            let [control_plane, envoy] =
                ["control-plane", "envoy"].map(|part| format!("{machine}-{part}"));
            let outlook = || self.stage.outlook_of(&control_plane, &envoy);
            (self.tell)(checkup::envoy(name, Side::B, &outlook));
        }
        let lost = ["b1-control-plane", "b1-etcd"];
        self.change("several-added", 1, "add", PERMIT);
        for service in lost {
            self.stage.project.kill(service).expect("a running part can be killed");
        }
        self.change("several-removed-after-loss", 2, "remove", DENIED);
        self.change("several-added-after-loss", 3, "add", PERMIT);
        self.stage.project.revive(&lost).expect("killed parts can be started");
        self.change("several-removed-by-revived", 1, "remove", DENIED);
        self.change("several-added-by-other", 2, "add", PERMIT);
    }

    /// Adds a.com to the list, or removes it, by the control plane of this machine.
    fn change(&mut self, name: &'static str, machine: u8, verb: &str, expected: Expected) {
        let service = format!("b{machine}-control-plane");
        insist(|| self.stage.command_line(&service, &["domain", verb, "a.com"]));
        let identity = self.stage.identity(&[Side::A.infrastructure()]);
        let answer = until(expected, || self.ask(&identity, expected));
        (self.tell)(Scenario { name, story: name, expected, outcome: Outcome::Answer(answer) });
    }

    /// a.com calls at both Envoys, and is called through both: the first answer that is not as expected, or the last.
    fn ask(&self, identity: &Identity, expected: Expected) -> Result<Answer, CallError> {
        const BECAUSE: &str = "each of several control planes may have heard of the change first";
        let doors = self.stage.project.machines().into_iter().zip(self.stage.machines);
        let answers = doors.flat_map(|(ingress, egress)| {
            let (name, trust) = (Side::B.infrastructure(), self.stage.authority().pem());
            let caller = Caller::new(ingress, name, trust, Some(identity)).unexplained(BECAUSE);
            let headers = [("wire-origin-domain", Side::A.domain().as_bytes())];
            let received = self.stage.runtime().block_on(caller.call("search-users", &headers));
            [received, Local::new(egress).unexplained(BECAUSE).call(Side::A.domain(), "search-users")]
        });
        let is_expected = |answer: &Result<Answer, CallError>| {
            answer.as_ref().is_ok_and(|answer| is(answer, expected))
        };
        answers
            .reduce(|kept, next| if is_expected(&kept) { next } else { kept })
            .expect("there are two Envoys")
    }
}

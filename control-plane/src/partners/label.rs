//! To what end a request or a call came: a label of a fixed set, and what it says of a partner.

/// The label that a line of a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    name: &'static str,
    sense: Sense,
}

/// What a label says of how we stand with a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sense {
    /// All is well.
    Passed,
    /// They answered a call with an error, which is a matter of the call.
    Answered,
    /// We refuse them.
    Refused,
    /// They passed in shadow, and would be refused without it.
    Spared,
    /// They refuse us.
    RefusesUs,
    /// No call gets through to them.
    Unreachable,
    /// Nothing of its own: of discovery the verdict says more, and the control plane's absence is no partner's.
    Aside,
}

/// What another backend says of a call.
const REMOTE: &str = "federation-remote-error";

/// All labels. What a peer that refuses us says is behind the label of such calls, as far as it is one that a
/// federator says.
const LABELS: &[(&str, Sense)] = &[
    (fedgate_policy::report::PERMITTED, Sense::Passed),
    ("no-client-certificate", Sense::Refused),
    ("untrusted-certificate", Sense::Refused),
    ("certificate-parse-error", Sense::Refused),
    ("certificate-expired", Sense::Refused),
    ("no-origin-domain", Sense::Refused),
    ("domain-parse-error", Sense::Refused),
    ("federation-denied", Sense::Refused),
    ("authentication-failure", Sense::Refused),
    ("invalid-domain", Sense::Aside),
    ("discovery-failure", Sense::Aside),
    ("verdict-unavailable", Sense::Aside),
    ("federation-connection-refused", Sense::Unreachable),
    ("federation-tls-error", Sense::Unreachable),
    ("federation-http2-error", Sense::Unreachable),
    (REMOTE, Sense::Answered),
    ("federation-remote-error/no-client-certificate", Sense::RefusesUs),
    ("federation-remote-error/untrusted-certificate", Sense::RefusesUs),
    ("federation-remote-error/certificate-parse-error", Sense::RefusesUs),
    ("federation-remote-error/certificate-expired", Sense::RefusesUs),
    ("federation-remote-error/no-origin-domain", Sense::RefusesUs),
    ("federation-remote-error/domain-parse-error", Sense::RefusesUs),
    ("federation-remote-error/federation-denied", Sense::RefusesUs),
    ("federation-remote-error/authentication-failure", Sense::RefusesUs),
    ("federation-remote-error/invalid-domain", Sense::RefusesUs),
    ("federation-remote-error/discovery-failure", Sense::RefusesUs),
    ("federation-remote-error/verdict-unavailable", Sense::RefusesUs),
];

// === impl Label ===

impl Label {
    /// Reads a label. What a peer says that is none of ours counts as an error of the call.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let known = |text: &str| LABELS.iter().find(|(name, _)| *name == text);
        let inner = || text.strip_prefix(REMOTE)?.strip_prefix('/').and_then(|_| known(REMOTE));
        known(text).or_else(inner).map(|&(name, sense)| Self { name, sense })
    }

    /// The label of what passed in shadow, and would have come to this end. Of what is nothing of its own, nothing is
    /// said either way.
    pub(crate) fn spared(self) -> Self {
        match self.sense {
            Sense::Refused => Self { sense: Sense::Spared, ..self },
            Sense::Passed
            | Sense::Answered
            | Sense::Spared
            | Sense::RefusesUs
            | Sense::Unreachable
            | Sense::Aside => self,
        }
    }

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// What it says.
    pub(crate) fn sense(self) -> Sense {
        self.sense
    }

    /// The part of it that a person looks up: what they say, where it is they who say it.
    pub(crate) fn word(self) -> &'static str {
        self.name.split_once('/').map_or(self.name, |(_, inner)| inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_of_a_set_whatever_a_peer_says() {
        for (text, name, sense) in [
            ("permitted", "permitted", Sense::Passed),
            ("federation-tls-error", "federation-tls-error", Sense::Unreachable),
            (
                "federation-remote-error/federation-denied",
                "federation-remote-error/federation-denied",
                Sense::RefusesUs,
            ),
            ("federation-remote-error/bad-request", REMOTE, Sense::Answered),
            ("federation-remote-error/\u{1b}[2J", REMOTE, Sense::Answered),
        ] {
            let label = Label::read(text).unwrap();
            assert_eq!((label.name(), label.sense()), (name, sense));
        }
        for text in ["", "Permitted", "federation-remote-errors", "permitted/permitted", "a\nb"] {
            assert_eq!(Label::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn each_refusal_of_the_policy_has_its_label() {
        for label in ["invalid-domain", "discovery-failure", "federation-denied"] {
            let json = format!(
                r#"{{"domain":"a.com","failure":{{"label":"{label}","message":""}},"ttl_ms":1}}"#
            );
            let verdict: fedgate_policy::Verdict = serde_json::from_str(&json).unwrap();
            let fedgate_policy::Outcome::Failure(failure) = verdict.outcome else { panic!() };
            assert_eq!(Label::read(failure.label.name()).unwrap().name(), label);
        }
    }
}

//! The account of a decision in words: pure, of what was seen.

mod certificate;
mod cure;
mod filters;

use std::time::Instant;

use fedgate_allow_list::terms::{Action, Mode, Proof};
use fedgate_policy::{
    Account, Domain, Handshake, Judgement, Looked, Outcome, Refusal, Row, Strategy, Unseen, Verdict,
};
use serde_json::Value;

use crate::contract::{
    CertificateBody, DecisionBody, Direction, DiscoveryBody, Explained, Judged, ListedDomain, StepBody,
    StepState,
};
use crate::partners::{Home, Worker};
use crate::verdicts::Told;
use cure::{Case, Denial};
use filters::Filters;

/// What was seen.
pub(super) struct Seen<'a> {
    pub(super) domain: Domain,
    pub(super) direction: Direction,
    pub(super) strategy: Strategy,
    pub(super) entry: Option<ListedDomain>,
    pub(super) discovery: Option<DiscoveryBody>,
    /// DER, where it may be believed.
    pub(super) certificate: Option<&'a [u8]>,
    /// What it says of the handshake.
    pub(super) handshake: &'a Handshake,
    /// By which was decided.
    pub(super) verdict: &'a Verdict,
    pub(super) told: Told,
    /// Filters' workers that report.
    pub(super) workers: Vec<(Home, Worker)>,
    /// Whether other control planes share the store.
    pub(super) is_shared: bool,
    /// Who is asked.
    pub(super) servers: &'a str,
    /// The file that owns entries, where there is one.
    pub(super) list_file: Option<String>,
    pub(super) origin: Option<&'a [u8]>,
    pub(super) at: Instant,
}

/// The body of the answer, where there is a refusal, or one that is spared.
pub(super) fn body(account: &Account, json: impl Fn(&Refusal) -> String) -> Option<Value> {
    serde_json::from_str(&json(refusal(&account.judgement)?)).ok()
}

/// The hosts that were found.
pub(super) fn hosts(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Hosts(hosts) => hosts.iter().map(ToString::to_string).collect(),
        Outcome::Failure(_) => Vec::new(),
    }
}

fn refusal(judgement: &Judgement) -> Option<&Refusal> {
    match judgement {
        Judgement::Refusal(refusal) => Some(refusal),
        Judgement::Permit(spared) | Judgement::Open(spared) => spared.as_ref(),
        Judgement::Ended(_) => None,
    }
}

// === impl Seen ===

impl Seen<'_> {
    /// The account in words.
    pub(super) fn explain(self, account: &Account, body: Option<Value>) -> Explained {
        let certificate = self.certificate.and_then(|der| certificate::shown(der, self.verdict));
        let steps = account.rows.iter().filter(|(_, looked)| *looked != Looked::Not(Unseen::OwnCall));
        let steps = steps.map(|(row, looked)| self.step(*row, *looked, account, certificate.as_ref()));
        Explained {
            decision: self.decision(&account.judgement, body),
            steps: steps.collect(),
            filters: self.filters().body(),
            domain: self.domain,
            direction: self.direction,
            strategy: self.strategy,
            entry: self.entry,
            discovery: self.discovery,
            certificate,
        }
    }

    fn filters(&self) -> Filters<'_> {
        let (told, workers, verdict) = (&self.told, self.workers.as_slice(), self.verdict);
        Filters {
            told,
            workers,
            is_shared: self.is_shared,
            strategy: self.strategy,
            verdict,
            at: self.at,
        }
    }

    fn case(&self) -> Case<'_> {
        Case {
            domain: &self.domain,
            strategy: self.strategy,
            entry: self.entry.as_ref(),
            discovery: self.discovery.as_ref(),
            servers: self.servers,
            list_file: self.list_file.as_deref(),
        }
    }

    fn decision(&self, judgement: &Judgement, body: Option<Value>) -> DecisionBody {
        if let Judgement::Ended(why) = judgement {
            return DecisionBody {
                outcome: Judged::NoRequest,
                message: Some(ended(why)),
                cure: Some("they have the certificate issued anew, for this use".to_owned()),
                see: Some("docs/errors.md#handshakes-that-fail".to_owned()),
                ..DecisionBody::default()
            };
        }
        let unreachable = self.is_unreachable(judgement);
        let nowhere = |text: &str| unreachable.then(|| text.to_owned());
        let refusal = refusal(judgement);
        let (outcome, spared) = match judgement {
            Judgement::Permit(spared) => (Judged::Permit, spared.is_some()),
            Judgement::Refusal(_) => (Judged::Refusal, false),
            Judgement::Open(spared) => (Judged::Open, spared.is_some()),
            Judgement::Ended(_) => (Judged::NoRequest, false),
        };
        DecisionBody {
            outcome,
            status: refusal.map(Refusal::status),
            label: refusal.map(|it| it.label().to_owned()),
            message: refusal.map(ToString::to_string),
            body,
            spared,
            unreachable,
            cure: refusal
                .map(|it| self.case().cure(it))
                .or_else(|| nowhere("see what is wrong with each target, above")),
            see: refusal
                .map(|it| format!("docs/errors.md#{}", it.label()))
                .or_else(|| nowhere("docs/errors.md#targets")),
        }
    }

    /// Whether a call may be made, and cannot, because no target has an address.
    fn is_unreachable(&self, judgement: &Judgement) -> bool {
        let may_be_made =
            self.direction == Direction::Outgoing && matches!(judgement, Judgement::Permit(_));
        let found = self.discovery.as_ref();
        may_be_made
            && found.is_some_and(|it| it.targets.iter().all(|target| target.addresses.is_empty()))
    }

    fn step(
        &self,
        row: Row,
        looked: Looked,
        account: &Account,
        certificate: Option<&CertificateBody>,
    ) -> StepBody {
        let told = || refusal(&account.judgement).map(ToString::to_string).unwrap_or_default();
        let (state, text) = match looked {
            Looked::Passed if row == Row::Federates && self.is_dns_silent() => {
                (StepState::NotLookedAt, "because DNS does not say".to_owned())
            }
            Looked::Passed => (StepState::Ok, self.passed(row, certificate)),
            Looked::Refused => (StepState::No, self.refused(row, &account.judgement, told())),
            Looked::Spared => (StepState::Shadow, format!("{}; it passes, in shadow", told())),
            Looked::Not(unseen) => (StepState::NotLookedAt, why(unseen)),
        };
        let details = match row {
            Row::Allowed => self.terms(),
            Row::Federates => self.records(),
            Row::Matched if matches!(looked, Looked::Passed | Looked::Refused | Looked::Spared) => {
                certificate.map(certificate::comparisons).unwrap_or_default()
            }
            Row::Presented
            | Row::Trusted
            | Row::Readable
            | Row::Valid
            | Row::Claimed
            | Row::Domain
            | Row::Discovered
            | Row::Matched => Vec::new(),
        };
        StepBody { row: number(row), name: name(row).to_owned(), state, text, details }
    }

    /// Why a row refuses: in words of our own where the answer's say less, or what is not so.
    fn refused(&self, row: Row, judgement: &Judgement, told: String) -> String {
        match (row, judgement) {
            (_, Judgement::Ended(why)) => ended(why),
            (Row::Presented, _) => match self.handshake {
                Handshake::Withheld(kind) => {
                    format!(
                        "its key is {kind}, for which Envoy does not ask: their side shows no certificate"
                    )
                }
                Handshake::Fit | Handshake::Ended(_) => told,
            },
            (Row::Allowed, _) => match Denial::of(self.strategy, self.entry.as_ref()) {
                Denial::Strategy => "strategy allowNone allows nobody, listed or not".to_owned(),
                Denial::Expired => "its entry has expired, and counts as absent".to_owned(),
                Denial::Blocked | Denial::Unlisted | Denial::Nothing => told,
            },
            _ => told,
        }
    }

    /// Whether nobody knows if there are SRV records.
    fn is_dns_silent(&self) -> bool {
        let is_silent = |it: &DiscoveryBody| it.hosts.is_empty() && it.trouble.is_some();
        matches!(self.verdict.outcome, Outcome::Failure(_))
            && self.discovery.as_ref().is_none_or(is_silent)
    }

    /// What was seen where a row does not refuse.
    fn passed(&self, row: Row, certificate: Option<&CertificateBody>) -> String {
        let is = |text: &str| text.to_owned();
        match row {
            Row::Presented => is("a client certificate is presented"),
            Row::Trusted => is("Envoy has validated its chain"),
            Row::Readable => match certificate {
                Some(it) => format!("subject {}; issuer {}", it.subject, it.issuer),
                None => is("it can be read"),
            },
            Row::Valid => match certificate {
                Some(it) => format!("from {} until {}", it.not_before, it.not_after),
                None => is("it is valid now"),
            },
            Row::Claimed => is("Wire-Origin-Domain is there"),
            Row::Domain => match self.origin.map(<[u8]>::escape_ascii) {
                Some(origin) => format!("'{origin}' is one backend domain, {}", self.domain),
                None => format!("it is one backend domain, {}", self.domain),
            },
            Row::Allowed => self.listed(),
            Row::Federates => match &self.discovery {
                Some(it) => format!("{} has SRV records", it.question),
                None => is("it has SRV records"),
            },
            Row::Discovered => format!("served by {}", hosts(&self.verdict.outcome).join(", ")),
            Row::Matched => is("a name in the certificate is that of an infrastructure domain"),
        }
    }

    fn listed(&self) -> String {
        let (domain, strategy) = (&self.domain, self.strategy.name());
        match &self.entry {
            Some(it) if it.expired => format!("the entry has expired; allowed by strategy {strategy}"),
            Some(it) => {
                format!(
                    "{domain} is listed since {}{}; strategy {strategy}",
                    it.created_at,
                    by(&it.created_by)
                )
            }
            None => format!("{domain} is not listed; allowed by strategy {strategy}"),
        }
    }

    /// The strategy; and the entry, as far as it is unusual.
    fn terms(&self) -> Vec<String> {
        let rule = match self.strategy {
            Strategy::AllowNone => "nobody may federate, listed or not",
            Strategy::AllowDynamic => "listed domains may federate that are not blocked",
            Strategy::AllowAll => "all domains may federate that are not blocked",
        };
        let mut lines = vec![format!("strategy {}: {rule}", self.strategy.name())];
        let Some(entry) = &self.entry else {
            lines.push("the domain is not listed".to_owned());
            return lines;
        };
        let terms = &entry.terms;
        lines.push(format!("changed {}{}", entry.updated_at, by(&entry.updated_by)));
        lines.extend(match terms.action {
            Action::Allow => None,
            Action::Block => Some("action: block, whatever the strategy".to_owned()),
        });
        lines.extend(terms.expires_at.map(|end| {
            if entry.expired {
                format!("expired {end}: it counts as absent")
            } else {
                format!("expires {end}")
            }
        }));
        if !terms.pinned_hosts.is_empty() {
            let pins: Vec<_> = terms.pinned_hosts.iter().map(ToString::to_string).collect();
            lines.push(format!("pinned to {}", pins.join(", ")));
        }
        lines.extend(match terms.dnssec {
            Proof::Inherit => None,
            Proof::Require => Some("dnssec: required".to_owned()),
        });
        lines.extend(match terms.mode {
            Mode::Enforce => None,
            Mode::Shadow => Some("mode: shadow".to_owned()),
        });
        lines.extend((!terms.note.is_empty()).then(|| format!("note: {}", terms.note)));
        lines
    }

    /// What DNS was asked, and said.
    fn records(&self) -> Vec<String> {
        let Some(found) = &self.discovery else {
            let why =
                if self.verdict.is_denial() { "it is not allowed" } else { "there is no answer yet" };
            return vec![format!("DNS: not looked at, because {why}")];
        };
        let proof = match (found.proven, &*found.dnssec) {
            (true, _) => "proven by DNSSEC",
            (false, "off") => "DNSSEC: not looked at, because dnssec is off",
            (false, "opportunistic") => "DNSSEC: not refuted, and a proof is not demanded",
            (false, _) => "not proven by DNSSEC",
        };
        let mut lines = vec![
            format!("SRV {}", found.question),
            format!("asked {} of {}; {proof}", found.asked_at, found.servers),
            format!("holds for {} s, until {}", found.ttl_s, found.stands_until),
        ];
        let trouble = found.trouble.as_ref();
        lines.extend(trouble.map(|why| format!("the last lookup, {}, failed: {why}", found.tried_at)));
        for target in &found.targets {
            let addresses = target.addresses.join(" ");
            lines.push(format!(
                "target {}:{} priority {} weight {}: {addresses}",
                target.host, target.port, target.priority, target.weight
            ));
            lines.extend(target.problems.iter().map(|it| format!("! {}: {it}", target.host)));
        }
        lines.extend(found.passed_over.iter().map(|it| format!("passed over: {it}")));
        lines
    }
}

fn by(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" by {name}") }
}

fn ended(why: &str) -> String {
    format!("{why}: Envoy ends the handshake, and the filter sees no request")
}

fn why(unseen: Unseen) -> String {
    let why = match unseen {
        Unseen::Behind(row) => return format!("because row {} decides", number(row)),
        Unseen::NoCertificate => "because no certificate was given",
        Unseen::TlsLayer => "because Envoy validates the chain, against its own trust bundle",
        Unseen::NoVerdict => "because there is no verdict",
        Unseen::OwnCall => "because it is a call of our own",
    };
    why.to_owned()
}

fn number(row: Row) -> u8 {
    match row {
        Row::Presented => 1,
        Row::Trusted => 2,
        Row::Readable => 3,
        Row::Valid => 4,
        Row::Claimed => 5,
        Row::Domain => 6,
        Row::Allowed => 7,
        Row::Federates => 8,
        Row::Discovered => 9,
        Row::Matched => 10,
    }
}

fn name(row: Row) -> &'static str {
    match row {
        Row::Presented => "certificate",
        Row::Trusted => "chain",
        Row::Readable => "reading",
        Row::Valid => "validity",
        Row::Claimed => "header",
        Row::Domain => "domain",
        Row::Allowed => "allow list",
        Row::Federates => "SRV record",
        Row::Discovered => "discovery",
        Row::Matched => "names",
    }
}

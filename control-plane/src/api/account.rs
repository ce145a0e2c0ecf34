//! The account of a decision in words: pure, of what was seen.

use std::time::{Duration, Instant};

use fedgate_allow_list::terms::{Action, Mode, Proof};
use fedgate_policy::{
    Account, Certificate, Domain, ExtendedKeyUsage, Judgement, Looked, Outcome, Portrait, Refusal, Row,
    ShownName, Strategy, Unseen, Verdict,
};
use serde_json::Value;

use crate::contract::{
    CertificateBody, DecisionBody, Direction, DiscoveryBody, Explained, FiltersBody, Judged,
    ListedDomain, NameBody, StepBody, StepState,
};
use crate::moment;
use crate::verdicts::Told;

/// How many names of a certificate are shown.
const NAMES: usize = 64;

/// What was seen.
pub(super) struct Seen<'a> {
    pub(super) domain: Domain,
    pub(super) direction: Direction,
    pub(super) strategy: Strategy,
    pub(super) entry: Option<ListedDomain>,
    pub(super) discovery: Option<DiscoveryBody>,
    /// DER, where it may be believed.
    pub(super) certificate: Option<&'a [u8]>,
    /// By which was decided.
    pub(super) verdict: &'a Verdict,
    pub(super) told: Told,
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
    }
}

// === impl Seen ===

impl Seen<'_> {
    /// The account in words.
    pub(super) fn explain(self, account: &Account, body: Option<Value>) -> Explained {
        let certificate = self.certificate.and_then(|der| self.shown(der));
        let steps = account.rows.iter().filter(|(_, looked)| *looked != Looked::Not(Unseen::OwnCall));
        let steps = steps.map(|(row, looked)| self.step(*row, *looked, account, certificate.as_ref()));
        Explained {
            decision: self.decision(&account.judgement, body),
            steps: steps.collect(),
            filters: self.filters(),
            domain: self.domain,
            direction: self.direction,
            strategy: self.strategy,
            entry: self.entry,
            discovery: self.discovery,
            certificate,
        }
    }

    fn decision(&self, judgement: &Judgement, body: Option<Value>) -> DecisionBody {
        let refusal = refusal(judgement);
        let (outcome, spared) = match judgement {
            Judgement::Permit(spared) => (Judged::Permit, spared.is_some()),
            Judgement::Refusal(_) => (Judged::Refusal, false),
            Judgement::Open(spared) => (Judged::Open, spared.is_some()),
        };
        DecisionBody {
            outcome,
            status: refusal.map(Refusal::status),
            label: refusal.map(|it| it.label().to_owned()),
            message: refusal.map(ToString::to_string),
            body,
            spared,
            cure: refusal.map(|it| cure(it, &self.domain)),
            see: refusal.map(|it| format!("docs/errors.md#{}", it.label())),
        }
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
            Looked::Passed => (StepState::Ok, self.passed(row, certificate)),
            Looked::Refused => (StepState::No, told()),
            Looked::Spared => (StepState::Shadow, format!("{}; it passes, in shadow", told())),
            Looked::Not(unseen) => (StepState::NotLookedAt, why(unseen)),
        };
        let details = match row {
            Row::Trusted => certificate.map(purposes).unwrap_or_default(),
            Row::Allowed => self.terms(),
            Row::Federates => self.records(),
            Row::Matched if matches!(looked, Looked::Passed | Looked::Refused | Looked::Spared) => {
                certificate.map(comparisons).unwrap_or_default()
            }
            Row::Presented
            | Row::Readable
            | Row::Valid
            | Row::Claimed
            | Row::Domain
            | Row::Discovered
            | Row::Matched => Vec::new(),
        };
        StepBody { row: number(row), name: name(row).to_owned(), state, text, details }
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
                Some(it) => format!("{} has SRV records, or DNS does not say", it.question),
                None => is("nothing says that it has no federator"),
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

    /// Strategy and entry, as far as they are unusual.
    fn terms(&self) -> Vec<String> {
        let Some(entry) = &self.entry else {
            return vec![format!("strategy {}; the domain is not listed", self.strategy.name())];
        };
        let terms = &entry.terms;
        let mut lines = vec![format!("changed {}{}", entry.updated_at, by(&entry.updated_by))];
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
        let proof = if found.proven { "proven by DNSSEC" } else { "not proven by DNSSEC" };
        let mut lines = vec![
            format!("SRV {}", found.question),
            format!("asked {} of {}; {proof}", found.asked_at, found.servers),
            format!("holds for {} s, until {}", found.ttl_s, found.stands_until),
        ];
        lines.extend(found.trouble.as_ref().map(|why| format!("the last lookup failed: {why}")));
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

    /// What a certificate says, compared with the hosts of the verdict.
    fn shown(&self, der: &[u8]) -> Option<CertificateBody> {
        let certificate = Certificate::parse(der).ok()?;
        let Portrait { subject, issuer, .. } = Portrait::read(der).ok()?;
        let (names, names_in_all) = ShownName::read(der, NAMES).ok()?;
        let (not_before, not_after) = certificate.validity();
        let (client_auth, server_auth) = match certificate.extended_key_usage() {
            ExtendedKeyUsage::Any => (true, true),
            ExtendedKeyUsage::Only { client_auth, server_auth } => (client_auth, server_auth),
        };
        let names = names.iter().map(|name| self.compared(name)).collect();
        Some(CertificateBody {
            subject,
            issuer,
            not_before: not_before.to_string(),
            not_after: not_after.to_string(),
            client_auth,
            server_auth,
            names,
            names_in_all,
        })
    }

    fn compared(&self, name: &ShownName) -> NameBody {
        let hosts = match &self.verdict.outcome {
            Outcome::Hosts(hosts) => hosts.as_slice(),
            Outcome::Failure(_) => &[],
        };
        let misses: Vec<_> = hosts.iter().map(|host| (host, name.mismatch(host))).collect();
        let matched = misses.iter().filter(|(_, miss)| miss.is_none());
        let stands_for: Vec<_> = matched.map(|(host, _)| host.to_string()).collect();
        // The reason that says most: of a wildcard that is near, that.
        let why_not =
            misses.iter().filter_map(|(_, miss)| *miss).max_by_key(|miss| miss.contains("exactly"));
        let why_not = name.counts.as_ref().err().copied().or(why_not);
        let why_not = why_not.filter(|_| stands_for.is_empty()).map(str::to_owned);
        NameBody { name: name.text.clone(), stands_for, why_not }
    }

    /// What the filters hold.
    fn filters(&self) -> FiltersBody {
        let Told { verdict, waiting } = &self.told;
        let waiting = *waiting;
        let Some((told, since)) = verdict else {
            let life = Duration::from_millis(self.verdict.ttl_ms).as_secs();
            let text = format!(
                "they are told nothing, because it is not listed: they ask when a request comes, and hold what they \
                 hear until it ends; of this, {life} s are left"
            );
            return FiltersBody { verdict: None, told_at: None, waiting, differs: false, text };
        };
        let told_at = moment::of(*since, self.at);
        // A verdict without a life tells them to ask.
        let differs = told.outcome != self.verdict.outcome || told.shadow != self.verdict.shadow;
        let text = if told.ttl_ms == 0 {
            format!("they were told {told_at} to ask when a request comes; {waiting} wait for changes")
        } else if differs {
            format!("they were told something else {told_at}: {}", said(told))
        } else {
            format!("they were told the same {told_at}; {waiting} wait for changes")
        };
        let differs = differs && told.ttl_ms > 0;
        FiltersBody { verdict: Some(told.clone()), told_at: Some(told_at), waiting, differs, text }
    }
}

fn by(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" by {name}") }
}

fn said(verdict: &Verdict) -> String {
    match &verdict.outcome {
        Outcome::Hosts(_) => format!("served by {}", hosts(&verdict.outcome).join(", ")),
        Outcome::Failure(failure) => failure.message.clone(),
    }
}

fn purposes(certificate: &CertificateBody) -> Vec<String> {
    let lacks =
        "it is not for clients of TLS: Envoy fails the handshake, and the filter sees nothing of it";
    if certificate.client_auth { Vec::new() } else { vec![lacks.to_owned()] }
}

fn comparisons(certificate: &CertificateBody) -> Vec<String> {
    let line = |name: &NameBody| match &name.why_not {
        Some(why) => format!("{} {why}", name.name),
        None => format!("{} stands for {}", name.name, name.stands_for.join(", ")),
    };
    let mut lines: Vec<_> = certificate.names.iter().map(line).collect();
    let rest = certificate.names_in_all.saturating_sub(lines.len());
    lines.extend((rest > 0).then(|| format!("and {rest} more names")));
    lines
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

/// Who mends it, and how, in one sentence; docs/errors.md has more.
fn cure(refusal: &Refusal, domain: &Domain) -> String {
    use fedgate_policy::FailureLabel::{DiscoveryFailure, FederationDenied, InvalidDomain};
    match refusal {
        Refusal::NoClientCertificate => {
            "they give their federator its client certificate, with a key on P-256 or P-384, or of RSA"
                .to_owned()
        }
        Refusal::UntrustedCertificate => {
            "we see that the listener validates chains, and resumes no sessions".to_owned()
        }
        Refusal::CertificateParseError(_) => "they have the certificate issued anew".to_owned(),
        Refusal::CertificateExpired { .. } => {
            "they renew the certificate and connect anew; or our clock is wrong".to_owned()
        }
        Refusal::NoOriginDomain | Refusal::DomainParseError { .. } => {
            "they send their one backend domain as Wire-Origin-Domain".to_owned()
        }
        Refusal::Failure(failure) => match failure.label {
            FederationDenied => format!("we allow it, if it should be: `fedgate domain add {domain}`"),
            InvalidDomain => format!("they add the SRV record _wire-server-federator._tcp.{domain}"),
            DiscoveryFailure => format!(
                "ask DNS as we do: `dig SRV _wire-server-federator._tcp.{domain}`; then `fedgate domain refresh {domain}`"
            ),
        },
        Refusal::AuthenticationFailure { .. } => {
            "they change their certificate or their SRV record, so that one names the other".to_owned()
        }
        Refusal::VerdictUnavailable(_) | Refusal::TooManyQuestions { .. } => {
            "we see that the control plane can be asked".to_owned()
        }
        Refusal::InvalidEndpoint => "our service asks for /rpc/DOMAIN/COMPONENT/PROCEDURE".to_owned(),
    }
}

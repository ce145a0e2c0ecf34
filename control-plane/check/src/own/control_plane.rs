//! Our control plane, by what it says of itself (`GET /v1/status`), and our Envoys, by what they and it say of them.

use serde::Deserialize;

use super::codes::{
    BRIG_NOT_IN_STEP, CALLS_REFUSED, CONTROL_PLANE_AWAY, CONTROL_PLANES_DISAGREE, DNS_FAILING,
    ENVOY_ABSENT, FEED_STALE, FILTER_VERSION_DIFFERS, LISTENER_CERTIFICATE_ENDS, PARTNER_IN_TROUBLE,
    STORE_NOT_WRITABLE, STRATEGY_UNUSUAL,
};
use crate::code::Code;
use crate::ledger::{Finding, Ledger};

/// What became of the question to the control plane.
#[derive(Debug)]
pub enum Answer {
    /// It told.
    Told(Box<Status>),
    /// It did not answer, or is none.
    Away(String),
    /// It was not asked, or would not say, because of this.
    NotTold(String),
}

/// What is looked at of what it tells. Members that are not known are passed over.
#[derive(Debug, Deserialize)]
pub struct Status {
    version: String,
    store: Store,
    list: List,
    dns: Dns,
    envoys: Envoys,
    brig: Option<Brig>,
    ends: Vec<End>,
    refused_calls: Vec<RefusedCalls>,
    findings: Vec<Told>,
}

#[derive(Debug, Deserialize)]
struct Store {
    place: String,
    cause: Option<String>,
}

#[derive(Debug, Deserialize)]
struct List {
    strategy: String,
    allowed: usize,
}

#[derive(Debug, Deserialize)]
struct Dns {
    failing_since: Option<String>,
    cause: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Envoys {
    connected: bool,
    filters: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    by: String,
    address: Option<String>,
    role: String,
    versions: Vec<String>,
    workers: usize,
    silent: usize,
    behind: usize,
    last: String,
}

#[derive(Debug, Deserialize)]
struct Brig {
    in_step: bool,
    differing: usize,
    failing_since: Option<String>,
    cause: Option<String>,
}

#[derive(Debug, Deserialize)]
struct End {
    kind: String,
    name: String,
    at: String,
}

#[derive(Debug, Deserialize)]
struct RefusedCalls {
    network: String,
    listener: String,
    reason: String,
    times: u32,
}

#[derive(Debug, Deserialize)]
struct Told {
    code: String,
    domain: Option<String>,
    text: String,
}

/// Looks at the control plane.
pub(super) fn look(ledger: &mut Ledger<'_>, answer: &Answer) {
    ledger.section("control plane");
    let claim = "it answers";
    match answer {
        Answer::NotTold(because) => ledger.not_looked_at(claim, because),
        Answer::Away(why) => ledger.found(claim, &CONTROL_PLANE_AWAY, why),
        Answer::Told(status) => {
            ledger.passed(claim, format!("version {}", status.version));
            status.look(ledger);
        }
    }
}

// === impl Status ===

impl Status {
    fn look(&self, ledger: &mut Ledger<'_>) {
        one(
            ledger,
            "its store can be written to",
            &self.store.place,
            self.store
                .cause
                .as_ref()
                .map(|cause| (&STORE_NOT_WRITABLE, format!("{}: {cause}", self.store.place))),
        );
        let dns = self.dns.failing_since.as_ref().map(|since| {
            (
                &DNS_FAILING,
                format!("since {since}: {}", self.dns.cause.as_deref().unwrap_or("no cause is told")),
            )
        });
        one(ledger, "DNS answers it", "no failure of DNS as a whole", dns);
        let strategy = &*self.list.strategy;
        let unusual = (strategy != "allowDynamic").then(|| (&STRATEGY_UNUSUAL, strategy.to_owned()));
        one(
            ledger,
            "the listed domains are allowed, and no others",
            &format!("{} domains", self.list.allowed),
            unusual,
        );
        if let Some(brig) = &self.brig {
            let drift = (!brig.in_step).then(|| (&BRIG_NOT_IN_STEP, brig.drift()));
            one(ledger, "its list and brig's are in step", "they are", drift);
        }
        let ends = self.ends.iter().filter(|it| it.kind == "listener-certificate");
        let ends = ends.map(|it| (&LISTENER_CERTIFICATE_ENDS, format!("{} ends {}", it.name, it.at)));
        many(ledger, "the certificates of its listeners are good for a month", ends);
        let refused = self.refused_calls.iter().map(|it| {
            let RefusedCalls { network, listener, reason, times } = it;
            (&CALLS_REFUSED, format!("{network} at the listener {listener}, {times} times: {reason}"))
        });
        many(ledger, "nobody calls it without a right token", refused);
        let partners =
            self.findings.iter().filter(|it| it.domain.is_some() && it.code.starts_with("partner-"));
        many(
            ledger,
            "no partner is in trouble",
            partners.map(|it| (&PARTNER_IN_TROUBLE, it.text.clone())),
        );
        self.look_at_envoys(ledger);
    }

    fn look_at_envoys(&self, ledger: &mut Ledger<'_>) {
        ledger.section("Envoys");
        let absent = (!self.envoys.connected).then(|| (&ENVOY_ABSENT, "none asks for news".to_owned()));
        one(ledger, "at least one is connected", "one, or more", absent);
        for it in &self.envoys.filters {
            let Filter { by, address, role, versions, workers, silent, behind, last } = it;
            ledger.section(format!("Envoy {by} at {}, {role}", address.as_deref().unwrap_or("?")));
            let late = silent.saturating_add(*behind);
            let stale =
                (late > 0).then(|| (&FEED_STALE, format!("{late} of {workers} workers, since {last}")));
            one(ledger, "every worker hears the control plane", &format!("{workers} workers"), stale);
            let others: Vec<_> = versions.iter().filter(|it| **it != self.version).cloned().collect();
            let differs = (!others.is_empty()).then(|| (&FILTER_VERSION_DIFFERS, others.join(", ")));
            one(ledger, "its filter is of the control plane's version", &self.version, differs);
        }
    }
}

// === impl Brig ===

impl Brig {
    fn drift(&self) -> String {
        match (&self.failing_since, &self.cause) {
            (Some(since), Some(cause)) => format!("brig fails since {since}: {cause}"),
            _ => format!("{} domains differ", self.differing),
        }
    }
}

/// A value of Envoy's statistics.
#[derive(Debug, Deserialize)]
pub struct Stat {
    name: String,
    #[serde(default)]
    value: u64,
}

/// Looks at what an Envoy itself says of its filters: its statistics `wasmcustom.fedgate.…`.
pub(super) fn look_at_envoy(ledger: &mut Ledger<'_>, place: &str, stats: &Result<Vec<Stat>, String>) {
    ledger.section(format!("Envoy at {place}"));
    let stats = match stats {
        Ok(stats) => stats,
        Err(why) => return ledger.not_looked_at("its filters hear one control plane", why),
    };
    let of = |kind: &str| {
        let suffix = format!(".{kind}");
        stats
            .iter()
            .filter(move |it| it.name.starts_with("wasmcustom.fedgate.") && it.name.ends_with(&suffix))
    };
    if of("feed_state").next().is_none() {
        return ledger.not_looked_at(
            "its filters hear one control plane",
            "it has no filter of ours that has begun",
        );
    }
    let stale = of("feed_state").filter(|it| it.value >= 2);
    many(ledger, "its filters hear the control plane", stale.map(|it| (&FEED_STALE, it.told())));
    let disputed = of("disputed_answers").filter(|it| it.value > 0);
    many(
        ledger,
        "they hear one control plane, and no second",
        disputed.map(|it| (&CONTROL_PLANES_DISAGREE, it.told())),
    );
}

// === impl Stat ===

impl Stat {
    fn told(&self) -> String {
        format!("{}: {}", self.name, self.value)
    }
}

type Remark = (&'static Code, String);

/// Passed with what was `seen`, unless there is something to remark.
fn one(ledger: &mut Ledger<'_>, claim: &str, seen: &str, remark: Option<Remark>) {
    match remark {
        Some((code, seen)) => ledger.found(claim, code, seen),
        None => ledger.passed(claim, seen),
    }
}

fn many(ledger: &mut Ledger<'_>, claim: &str, remarks: impl Iterator<Item = Remark>) {
    let findings = remarks.map(|(code, seen)| Finding { code, seen }).collect();
    ledger.judged(claim, findings, "it is so");
}

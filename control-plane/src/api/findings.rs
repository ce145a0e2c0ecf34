//! What needs somebody, worst first: a pure function of how it stands with all of it.

use std::collections::BTreeMap;

use fedgate_policy::Domain;

use crate::contract::{
    Conflict, Knock, PartnerInList, RefusedCalls, StatusBody, StatusFinding, StatusOfEnd,
};

/// The most findings of one code that are told, so that none takes another's place.
const TOLD: usize = 20;
/// From so many partners on, what fails with each of them is most likely ours.
const SEVERAL: usize = 2;
/// Labels of calls that fail for the sake of a certificate, of theirs or of ours.
const OF_CERTIFICATES: [&str; 6] = [
    "federation-tls-error",
    // With TLS 1.3, the handshake is over before a client's certificate is looked at.
    "federation-http2-error",
    "federation-remote-error/no-client-certificate",
    "federation-remote-error/untrusted-certificate",
    "federation-remote-error/certificate-parse-error",
    "federation-remote-error/certificate-expired",
];

/// What to say of this, with the partners that are in trouble, worst first.
pub(super) fn findings(status: &StatusBody, troubled: &[PartnerInList]) -> Vec<StatusFinding> {
    let mut findings = Vec::new();
    findings.extend(store(status));
    findings.extend(dns(status));
    findings.extend(envoys(status));
    findings.extend(ours(troubled));
    findings.extend(troubled.iter().filter(|it| !is_of_dns(status, it)).map(partner));
    let is_told = |it: &&StatusOfEnd| {
        it.kind == "partner-certificate" && findings.iter().any(|told| told.is_about(&it.name))
    };
    let ended: Vec<_> = status.ends.iter().filter(|it| it.ended && !is_told(it)).map(end).collect();
    findings.extend(ended);
    findings.extend(list_file(status));
    findings.extend(brig(status));
    findings.extend(status.refused_calls.iter().map(refused_calls));
    findings.extend(status.knocking.iter().map(knock));
    findings.extend(status.ends.iter().filter(|it| !it.ended).map(end));
    findings.extend(strategy(status));
    findings.sort_by_key(|it| !is_trouble(it));
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    findings.retain(|it| {
        let count = told.entry(it.code.clone()).or_default();
        *count = count.saturating_add(1);
        *count <= TOLD
    });
    findings
}

// === impl StatusFinding ===

impl StatusFinding {
    fn is_about(&self, name: &str) -> bool {
        self.domain.as_ref().is_some_and(|domain| domain.as_str() == name)
    }
}

fn is_trouble(finding: &StatusFinding) -> bool {
    finding.severity == "trouble"
}

fn trouble(code: &str, text: String, next: impl Into<String>) -> StatusFinding {
    let (code, severity) = (code.to_owned(), "trouble".to_owned());
    StatusFinding { code, severity, domain: None, text, next: next.into() }
}

fn warning(code: &str, text: String, next: impl Into<String>) -> StatusFinding {
    StatusFinding { severity: "warning".to_owned(), ..trouble(code, text, next) }
}

fn about(domain: &Domain, finding: StatusFinding) -> StatusFinding {
    StatusFinding { domain: Some(domain.clone()), ..finding }
}

fn store(status: &StatusBody) -> Option<StatusFinding> {
    let cause = status.store.cause.as_ref()?;
    let text = format!("the store cannot be written to: {cause}");
    Some(trouble("store-not-writable", text, store_cure(&status.store.place)))
}

fn dns(status: &StatusBody) -> Option<StatusFinding> {
    let since = status.dns.failing_since.as_ref()?;
    let cause = status.dns.cause.as_deref().unwrap_or_default();
    let text = format!("DNS as a whole is failing since {since}: {cause}");
    Some(trouble("dns-failing", text, "fedgate domain list --state failing"))
}

/// Whether a partner's trouble is told of DNS as a whole.
fn is_of_dns(status: &StatusBody, partner: &PartnerInList) -> bool {
    status.dns.failing_since.is_some() && partner.state == "discovery-failing"
}

fn envoys(status: &StatusBody) -> Vec<StatusFinding> {
    let envoys = &status.envoys;
    let absent: fn(&str, String, &str) -> StatusFinding = if etcd(&status.store.place).is_some() {
        |code, text, next| {
            let text = format!("{text}; it may have gone to another control plane, which knows");
            warning(code, text, next)
        }
    } else {
        |code, text, next| trouble(code, text, next)
    };
    if !envoys.connected {
        let text = "no Envoy is connected: nobody asks for verdicts".to_owned();
        return vec![absent("no-envoy", text, "fedgate audit --action calls-refused")];
    }
    let mut findings = Vec::new();
    for it in &envoys.filters {
        let address = it.address.as_deref().unwrap_or("?");
        let (who, workers) = (format!("Envoy {} at {address}, {}", it.by, it.role), it.workers);
        if it.silent > 0 {
            let text = format!("{who}: {} of {workers} workers silent since {}", it.silent, it.last);
            findings.push(absent("envoy-silent", text, "fedgate check --envoy URL"));
        }
        if it.behind > 0 {
            let age = it
                .age_ms
                .map_or("know nothing".to_owned(), |ms| format!("know what was {} s ago", ms / 1000));
            let text = format!("{who}: {} of {workers} workers do not hear us, and {age}", it.behind);
            findings.push(trouble("envoy-behind", text, "fedgate check --envoy URL"));
        }
    }
    findings
}

/// What fails with several partners for the sake of a certificate is most likely ours.
fn ours(troubled: &[PartnerInList]) -> Option<StatusFinding> {
    let is_it =
        |it: &&PartnerInList| it.label.as_deref().is_some_and(|it| OF_CERTIFICATES.contains(&it));
    let count = troubled.iter().filter(is_it).count();
    let text = || {
        format!(
            "calls to {count} partners fail at TLS, or are refused for our certificate: has our client certificate \
             ended, or the trust bundle changed?"
        )
    };
    (count >= SEVERAL).then(|| trouble("calls-fail-at-tls", text(), "fedgate check --self"))
}

fn partner(it: &PartnerInList) -> StatusFinding {
    let PartnerInList { domain, state, cause, since, count, certificate, .. } = it;
    let cause = cause.as_deref().unwrap_or_default();
    let label = it.label.as_deref().filter(|label| !cause.contains(label) && !label.contains('/'));
    let label = label.map(|label| format!("{label}: ")).unwrap_or_default();
    let since = since.as_ref().map(|since| format!("; since {since}")).unwrap_or_default();
    let count = count.map(|count| format!(", {count} times")).unwrap_or_default();
    let ended = certificate.as_ref().filter(|it| it.ended);
    let ended = ended.map(|it| format!("; its certificate ended {}", it.not_after)).unwrap_or_default();
    let text = format!("{domain} {state}: {label}{cause}{since}{count}{ended}");
    let next = if ["refused", "would-be-refused"].contains(&&**state) { "explain" } else { "check" };
    let finding = trouble(&format!("partner-{state}"), text, format!("fedgate {next} {domain}"));
    let severity = it.severity.clone().unwrap_or(finding.severity);
    about(domain, StatusFinding { severity, ..finding })
}

fn end(StatusOfEnd { kind, name, at, ended }: &StatusOfEnd) -> StatusFinding {
    let (what, next) = match &**kind {
        "partner-certificate" => {
            (format!("the certificate that {name} presented last"), format!("fedgate check {name}"))
        }
        "entry" => (format!("the entry of {name}"), format!("fedgate domain set {name} --expires 90d")),
        "token" => (format!("the token '{name}'"), "fedgate token list".to_owned()),
        _ => (format!("the certificate in {name}"), format!("openssl x509 -noout -dates -in {name}")),
    };
    let finding = if *ended {
        trouble(&format!("{kind}-ended"), format!("{what} ended {at}"), next)
    } else {
        warning(&format!("{kind}-ends"), format!("{what} ends {at}"), next)
    };
    StatusFinding { domain: name.parse().ok().filter(|_| kind != "token"), ..finding }
}

fn list_file(status: &StatusBody) -> Vec<StatusFinding> {
    let Some(file) = &status.list.file else { return Vec::new() };
    let path = &file.path;
    let failing = file.failing_since.as_ref().map(|since| {
        let cause = file.cause.as_deref().unwrap_or_default();
        let text = format!("the list is not kept in step with {path} since {since}: {cause}");
        trouble("list-file-unusable", text, format!("fedgate store import {path} --dry-run"))
    });
    let conflicts = file.conflicts.iter().map(|Conflict { domain, by }| {
        let text = format!("{domain} stands in {path}, and otherwise on the list, by {by}: that counts");
        about(domain, warning("list-file-conflict", text, format!("fedgate domain show {domain}")))
    });
    failing.into_iter().chain(conflicts).collect()
}

fn brig(status: &StatusBody) -> Option<StatusFinding> {
    let brig = status.brig.as_ref().filter(|brig| !brig.in_step)?;
    let text = match (&brig.failing_since, &brig.cause) {
        (Some(since), Some(cause)) => format!("not in step with brig since {since}: {cause}"),
        _ => format!("our list and brig's differ: {} domains", brig.differing),
    };
    Some(trouble("brig-drift", text, "fedgate brig diff"))
}

fn refused_calls(it: &RefusedCalls) -> StatusFinding {
    let RefusedCalls { network, listener, reason, times, last } = it;
    let text =
        format!("{network} is refused on the listener {listener}: {reason}; {times} times, last {last}");
    warning("calls-refused", text, "fedgate audit --action calls-refused")
}

fn knock(it: &Knock) -> StatusFinding {
    let Knock { domain, count, last, presented, listed } = it;
    let shown =
        presented.as_ref().map(|names| format!(", with a certificate for {names}")).unwrap_or_default();
    let (why, next) = if *listed {
        ("blocked by its entry, or that has expired", format!("fedgate domain show {domain}"))
    } else {
        ("not on our list", format!("fedgate domain add {domain}"))
    };
    let text = format!("{domain} is {why}: refused {count} times, last {last}{shown}");
    about(domain, warning("not-listed", text, next))
}

fn strategy(status: &StatusBody) -> Option<StatusFinding> {
    let (text, next) = match &*status.list.strategy {
        "allowAll" => (
            "the strategy is allowAll: whoever has a trusted certificate may federate",
            "fedgate strategy set allowDynamic",
        ),
        "allowNone" => {
            ("the strategy is allowNone: nobody may federate", "fedgate strategy set allowDynamic")
        }
        _ => return None,
    };
    Some(warning("strategy", text.to_owned(), next))
}

/// The members of the store that several control planes have, where it is that.
fn etcd(place: &str) -> Option<&str> {
    let (_, cluster) = place.split_once("://")?;
    cluster.split('/').next()
}

/// What to look at where nothing can be written there.
fn store_cure(place: &str) -> String {
    let Some(members) = etcd(place) else { return format!("df -h {place}") };
    format!("etcdctl --endpoints {members} endpoint status")
}

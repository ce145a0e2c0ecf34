//! What a certificate says, compared with the hosts of a verdict. Pure.

use fedgate_policy::{Certificate, ExtendedKeyUsage, HostName, Outcome, Portrait, ShownName, Verdict};

use crate::contract::{CertificateBody, NameBody};

/// How many names of a certificate are shown.
const NAMES: usize = 64;

/// What is shown of it, in DER; none where it cannot be read.
pub(super) fn shown(der: &[u8], verdict: &Verdict) -> Option<CertificateBody> {
    let certificate = Certificate::parse(der).ok()?;
    let Portrait { subject, issuer, .. } = Portrait::read(der).ok()?;
    let hosts = match &verdict.outcome {
        Outcome::Hosts(hosts) => hosts.as_slice(),
        Outcome::Failure(_) => &[],
    };
    let names = ShownName::read(der).ok()?;
    let mut names: Vec<_> = names.iter().map(|name| compared(name, hosts)).collect();
    let names_in_all = names.len();
    // Those that match first, so that none of them is left out.
    names.sort_by_key(|name| name.stands_for.is_empty());
    names.truncate(NAMES);
    let (not_before, not_after) = certificate.validity();
    let (client_auth, server_auth) = match certificate.extended_key_usage() {
        ExtendedKeyUsage::Any => (true, true),
        ExtendedKeyUsage::Only { client_auth, server_auth } => (client_auth, server_auth),
    };
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

fn compared(name: &ShownName, hosts: &[HostName]) -> NameBody {
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

/// A line for each name that is shown.
pub(super) fn comparisons(certificate: &CertificateBody) -> Vec<String> {
    let line = |name: &NameBody| match &name.why_not {
        Some(why) => format!("{} {why}", name.name),
        None => format!("{} stands for {}", name.name, name.stands_for.join(", ")),
    };
    let mut lines: Vec<_> = certificate.names.iter().map(line).collect();
    let rest = certificate.names_in_all.saturating_sub(lines.len());
    lines.extend((rest > 0).then(|| format!("and {rest} more names")));
    lines
}

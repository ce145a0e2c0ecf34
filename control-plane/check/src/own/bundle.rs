//! The trust bundle: a pure function of the file and of now.

use std::collections::HashMap;

use fedgate_policy::UnixTime;
use rustls::pki_types::pem::{PemObject, SectionKind};

use super::codes;
use crate::certificate::reading::Reading;
use crate::code::Code;
use crate::ledger::{Finding, Ledger};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Looks at each part of it.
pub(super) fn look(ledger: &mut Ledger<'_>, file: &[u8], now: UnixTime) {
    let mut findings = Vec::new();
    let pem = file.strip_prefix(BOM);
    if pem.is_some() {
        findings.push(finding(&codes::BUNDLE_BEGINS_WITH_BOM, "EF BB BF"));
    }
    let mut roots = HashMap::new();
    for (position, part) in (1..).zip(<(SectionKind, Vec<u8>)>::pem_slice_iter(pem.unwrap_or(file))) {
        match part {
            Ok((SectionKind::Certificate, der)) => {
                findings.extend(root(position, &der, now));
                if let Some(first) = roots.insert(der, position) {
                    let seen = format!("number {position} is number {first} again");
                    findings.push(finding(&codes::ROOT_TWICE, seen));
                }
            }
            Ok((
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey,
                _,
            )) => findings.push(finding(&codes::BUNDLE_HAS_KEY, format!("number {position}"))),
            // Envoy passes over anything else.
            Ok(_) => {}
            Err(error) => {
                let seen = format!("number {position}: {error}; what follows it was not looked at");
                findings.push(finding(&codes::BUNDLE_PART_UNREADABLE, seen));
                break;
            }
        }
    }
    if roots.is_empty() {
        findings.push(finding(&codes::BUNDLE_EMPTY, "no certificate is in it"));
    }
    ledger.judged("the trust bundle is usable", findings, format!("{} roots", roots.len()));
}

fn root(position: usize, der: &[u8], now: UnixTime) -> Vec<Finding> {
    let Some(root) = Reading::read(der) else {
        let seen = format!("number {position} is no certificate");
        return vec![finding(&codes::BUNDLE_PART_UNREADABLE, seen)];
    };
    let name = format!("number {position}, {}", root.portrait.subject);
    let mut findings = Vec::new();
    let (_, until) = root.validity;
    if now > until {
        findings.push(finding(&codes::ROOT_EXPIRED, format!("{name}, ended {until}; it is {now}")));
    }
    if !root.is_authority {
        findings.push(finding(&codes::ROOT_NO_AUTHORITY, name.clone()));
    }
    if let Some(digest) = root.weak_digest {
        findings.push(finding(&codes::ROOT_WEAK, format!("{name}, is signed with {digest}")));
    }
    if root.key.starts_with("RSA") && !root.is_key_accepted {
        findings.push(finding(&codes::ROOT_WEAK, format!("{name}, has {}", root.key)));
    }
    findings
}

fn finding(code: &'static Code, seen: impl Into<String>) -> Finding {
    Finding { code, seen: seen.into() }
}

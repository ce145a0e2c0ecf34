//! Certificates, against RustCrypto's `x509-cert`, and against a walk through the DER that knows only tags.

mod made;
mod walk;

use std::collections::BTreeSet;

use fedgate_policy::{Certificate, ExtendedKeyUsage};
use x509_cert::Certificate as Second;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage as Purposes, SubjectAltName};

use crate::headers::der_of;
use crate::input::Input;
use crate::names::{presented_identifier, stands_for};

const HOSTS: [&str; 5] = ["fed.a.com", "a.com", "x.fed.a.com", "fed.victim.example", "evil.example"];

/// A certificate: the input's own octets after a first one that is 0, DER or PEM; else one that is made.
pub fn certificate(octets: &[u8]) -> bool {
    let mut input = Input(octets);
    match input.octet() {
        0 => read(input.0),
        how => read(&made::certificate(&mut input, how)),
    }
}

fn read(octets: &[u8]) -> bool {
    let Ok(certificate) = Certificate::parse(octets) else { return false };
    let pem = octets
        .starts_with(b"-----BEGIN")
        .then(|| der_of(octets).or_else(|| der_of(&crate::headers::decoded(octets))));
    let der = pem.map_or_else(|| octets.to_vec(), |der| der.expect("PEM that we read is PEM"));
    assert_eq!(Certificate::parse(&der).as_ref(), Ok(&certificate));
    let presented: BTreeSet<_> = certificate.presented().iter().map(ToString::to_string).collect();
    assert_eq!(presented.len(), certificate.presented().len(), "each once");

    let names = walk::dns_names(&der).expect("tags and lengths fit");
    let names = names.iter().filter_map(|name| str::from_utf8(name).ok());
    assert_eq!(presented, clean(names), "{der:02x?}");
    for host in HOSTS {
        let expected = presented.iter().any(|presented| stands_for(presented, host));
        assert_eq!(certificate.presents(&host.parse().expect("a host")), expected, "{host}");
    }

    // It is stricter in much that does not concern us.
    let Ok(second) = Second::from_der(&der) else { return true };
    let second = second.tbs_certificate();
    let seconds =
        |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).expect("a time");
    let (from, to) = certificate.validity();
    assert_eq!(
        (from.0, to.0),
        (seconds(second.validity().not_before), seconds(second.validity().not_after))
    );
    if let Ok(names) = second.get_extension::<SubjectAltName>() {
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let names = names.iter().filter_map(|name| {
            if let GeneralName::DnsName(name) = name { Some(name.as_str()) } else { None }
        });
        assert_eq!(presented, clean(names));
    }
    if let Ok(purposes) = second.get_extension::<Purposes>() {
        let has =
            |purposes: &Purposes, oid: &str| purposes.0.iter().any(|purpose| purpose.to_string() == oid);
        let expected = purposes.map_or(ExtendedKeyUsage::Any, |(_, purposes)| ExtendedKeyUsage::Only {
            server_auth: has(&purposes, "1.3.6.1.5.5.7.3.1"),
            client_auth: has(&purposes, "1.3.6.1.5.5.7.3.2"),
        });
        assert_eq!(certificate.extended_key_usage(), expected);
    }
    true
}

fn clean<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    names.filter_map(presented_identifier).collect()
}

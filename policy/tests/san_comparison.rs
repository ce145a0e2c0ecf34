//! Our reading of subject alternative names beside two others: webpki's and OpenSSL's.
//!
//! webpki, which rustls decides with, agrees on every name. OpenSSL is wider in one thing, and the
//! table says why; a difference without a reason fails.

use std::cell::Cell;
use std::process::Command;
use std::sync::LazyLock;

use fedgate_policy::{Certificate, HostName, PresentedIdentifier};
use fedgate_tests::pki::{Authority, Leaf};
use fedgate_tests::process::run;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::root("an authority"));

/// Names from few labels, clean and not, so that many of them meet.
fn presented_name() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec![
        "a", "b", "A", "infra", "com", "*", "*", "f*", "*f", "x_y", "-a", "a-", "xn--a", "1", "",
    ]);
    (proptest::collection::vec(label, 1..5), prop::bool::weighted(0.1))
        .prop_map(|(labels, dot)| labels.join(".") + if dot { "." } else { "" })
}

/// A presented name, and a host that has something to do with it more often than not.
fn names() -> impl Strategy<Value = (String, HostName)> {
    let label = prop::sample::select(vec!["a", "b", "infra", "com", "xn--a", "1", "fa"]);
    let labels = proptest::collection::vec(label, 1..5);
    (presented_name(), labels, any::<bool>()).prop_filter_map(
        "not a host name",
        |(presented, labels, related)| {
            let reference = if related {
                let own = presented.split('.').filter(|label| !label.is_empty());
                let own: Vec<_> = own
                    .zip(labels.iter().cycle())
                    .map(|(o, l)| if o.contains(['*', '_']) { l } else { o })
                    .collect();
                own.join(".").trim_matches('-').to_owned()
            } else {
                labels.join(".")
            };
            reference.parse().ok().map(|reference| (presented, reference))
        },
    )
}

fn webpki_says(der: &[u8], reference: &HostName) -> bool {
    let der = CertificateDer::from(der);
    let name = ServerName::try_from(reference.as_str()).unwrap();
    EndEntityCert::try_from(&der).is_ok_and(|cert| cert.verify_is_valid_for_subject_name(&name).is_ok())
}

#[test]
fn webpki_agrees_on_every_name() {
    let matches = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(3000));
    let result = runner.run(&names(), |(presented, reference)| {
        let pem = AUTHORITY.issue(&Leaf::of([&presented])).chain;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let ours = Certificate::parse(&der).unwrap().presents(&reference);
        prop_assert_eq!(ours, webpki_says(&der, &reference), "{:?} for {}", presented, reference);
        matches.set(matches.get() + u32::from(ours));
        Ok(())
    });
    assert_eq!(result, Ok(()), "ours left, webpki's right");
    assert!(matches.get() > 200, "only {} of 3000 matched: too few to compare", matches.get());
}

/// Whether OpenSSL's `X509_check_host` lets the certificate stand for the name.
fn openssl_says(pem_file: &std::path::Path, reference: &str) -> bool {
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-checkhost", reference, "-in"]).arg(pem_file);
    run(&mut command).unwrap().contains("does match certificate")
}

#[test]
fn openssl_agrees_on_every_name_of_a_table_or_we_know_why() {
    const AGREED: Option<&str> = None;
    let table = [
        ("infra.a.com", "infra.a.com", AGREED),
        ("INFRA.a.com", "infra.a.com", AGREED),
        ("infra.a.com", "other.a.com", AGREED),
        ("a.com", "infra.a.com", AGREED),
        ("*.a.com", "infra.a.com", AGREED),
        ("*.a.com", "x.infra.a.com", AGREED),
        ("*.a.com", "a.com", AGREED),
        ("*.com", "a.com", AGREED),
        ("*", "localhost", AGREED),
        ("*.*.com", "infra.a.com", AGREED),
        ("infra.*.com", "infra.a.com", AGREED),
        ("infra.a.com\0.evil.example", "infra.a.com", AGREED),
        ("evil.example;DNS=infra.a.com", "infra.a.com", AGREED),
        ("evil.example,infra.a.com", "infra.a.com", AGREED),
        ("infra.a.com ", "infra.a.com", AGREED),
        ("infra.a.com.", "infra.a.com", AGREED),
        ("xn--a.com", "xn--a.com", AGREED),
        ("*.a.com", "xn--infra.a.com", AGREED),
        (
            "i*.a.com",
            "infra.a.com",
            Some("it takes a wildcard for a part of a label; RFC 9525 §6.3 forbids that"),
        ),
        ("*a.a.com", "infra.a.com", Some("as above")),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (n, (presented, reference, difference)) in table.into_iter().enumerate() {
        let file = dir.path().join(format!("{n}.pem"));
        std::fs::write(&file, AUTHORITY.issue(&Leaf::of([presented])).chain).unwrap();
        let ours = PresentedIdentifier::parse(presented)
            .is_some_and(|identifier| identifier.matches(&reference.parse().unwrap()));
        let theirs = openssl_says(&file, reference);
        let text = presented.escape_debug();
        match difference {
            None => assert_eq!(ours, theirs, "{text} for {reference}: ours left, OpenSSL's right"),
            Some(_) => assert!(theirs && !ours, "{text} for {reference}: the difference is gone"),
        }
    }
}

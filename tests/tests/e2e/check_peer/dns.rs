//! What DNS says of them.

use std::fs;
use std::net::Ipv4Addr;

use fedgate_tests::address::Address;
use fedgate_tests::dns::{Bind, service};
use fedgate_tests::scripted::{Scripted, say};
use fedgate_tests::signing::{Anchor, Signing};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, Record, RecordType};

use super::site::{PORT, Site, check, srv};

/// What is found with these records, and nobody listening.
#[track_caller]
fn with(records: impl FnOnce(Ipv4Addr) -> Vec<String>, expected: &[&str]) {
    Site::with(records).check(&[]).is(expected);
}

#[test]
fn a_missing_srv_record_is_found() {
    with(|_| vec![], &["srv-missing"]);
    with(|_| vec![format!("{} 60 IN TXT \"no\"", service("a.com"))], &["srv-missing"]);
}

#[test]
fn a_domain_that_does_not_federate_is_found() {
    with(|_| vec![srv(0, ".")], &["srv-unavailable"]);
}

#[test]
fn dns_that_fails_is_found() {
    let site = Site::new();
    check("broken.example", site.dns.address(), &[]).is(&["srv-lookup-failed"]);
}

#[test]
fn a_target_that_is_no_host_is_found() {
    with(|_| vec![srv(PORT, "192.0.2.1.")], &["srv-unusable"]);
    let site = Site::with(|address| {
        vec![
            srv(PORT, "infra.a.com."),
            srv(PORT, "in_fra.a.com."),
            format!("infra.a.com. 600 IN A {address}"),
        ]
    });
    site.told_of(&site.good()).is(&["srv-passed-over"]);
}

#[test]
fn port_0_is_found() {
    with(|_| vec![srv(0, "infra.a.com.")], &["port-zero"]);
}

#[test]
fn a_wrong_port_is_found() {
    let site = Site::with(|address| {
        vec![srv(PORT + 1, "infra.a.com."), format!("infra.a.com. 600 IN A {address}")]
    });
    site.told_of(&site.good()).is(&["target-dead"]);
}

#[test]
fn a_target_without_address_is_found() {
    with(|_| vec![srv(PORT, "infra.a.com.")], &["address-missing"]);
}

#[test]
fn a_target_whose_addresses_dns_does_not_know_is_found() {
    with(|_| vec![srv(PORT, "infra.broken.example.")], &["address-lookup-failed"]);
}

#[test]
fn private_addresses_are_found_where_they_do_not_count() {
    let site = Site::new();
    let dns = site.dns.address().to_string();
    let output =
        crate::slips::fedgate(&["--json", "check", "a.com", "--dns-server", &dns]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.to_string().contains("address-private"), "{report:#}");
}

#[test]
fn one_dead_family_is_found() {
    let site = Site::with(|address| {
        vec![
            srv(PORT, "infra.a.com."),
            format!("infra.a.com. 600 IN A {address}"),
            "infra.a.com. 600 IN AAAA ::1".to_owned(),
        ]
    });
    site.told_of(&site.good()).is(&["family-dead"]);
}

#[test]
fn one_dead_address_is_found() {
    let site = Site::with(|address| {
        vec![
            srv(PORT, "infra.a.com."),
            format!("infra.a.com. 600 IN A {address}"),
            "infra.a.com. 600 IN A 127.255.255.254".to_owned(),
        ]
    });
    site.told_of(&site.good()).is(&["address-dead"]);
}

#[test]
fn whether_a_zone_is_signed_is_told() {
    for (signing, outcome, code) in [
        (Signing::Nsec, "passed", ""),
        (Signing::Unsigned, "found", "dnssec-absent"),
        (Signing::Expired, "found", "dnssec-bogus"),
        (Signing::OtherKey, "found", "dnssec-bogus"),
    ] {
        let (address, dir) = (Address::claim(), tempfile::tempdir().unwrap());
        let record = srv(PORT, "infra.a.com.");
        let dns = Bind::signed(address.dns(), dir.path(), &[&record], &[("com", signing)], Anchor::Ds);
        let config = dir.path().join("fedgate.toml");
        let anchor = dns.trust_anchor().unwrap().display();
        fs::write(&config, format!("[discovery]\ntrust_anchor = \"{anchor}\"\n")).unwrap();
        let told = check("a.com", dns.address(), &["--config", config.to_str().unwrap()]);
        let check = told.outcome("they are signed");
        assert_eq!(check["outcome"], outcome, "{signing:?}: {check:#}");
        if outcome == "found" {
            assert_eq!(check["findings"][0]["code"], code, "{signing:?}: {check:#}");
        }
    }
}

#[test]
fn the_addresses_of_an_alias_are_told_as_such() {
    let site = Site::with(|address| {
        vec![
            srv(PORT, "infra.a.com."),
            "infra.a.com. 600 IN CNAME lb.a.com.".to_owned(),
            format!("lb.a.com. 600 IN A {address}"),
        ]
    });
    site.told_of(&site.good()).is_info("target-is-alias");
}

#[test]
fn what_is_only_unusual_is_told() {
    let site = Site::with(|address| {
        vec![
            srv(PORT, "infra.a.com.").replace("600", "5"),
            srv(PORT, "infra.a.com.").replace("600", "5").replace("10 5", "20 5"),
            format!("infra.a.com. 600 IN A {address}"),
        ]
    });
    let told = site.told_of(&site.good());
    for code in ["port-unusual", "several-targets", "ttl-short"] {
        told.is_info(code);
    }
}

#[test]
fn a_record_that_lives_for_long_is_told() {
    let site = Site::with(|address| {
        vec![
            srv(PORT, "infra.a.com.").replace("600", "172800"),
            format!("infra.a.com. 600 IN A {address}"),
        ]
    });
    site.told_of(&site.good()).is_info("ttl-long");
}

#[test]
fn one_family_that_dns_does_not_know_is_found() {
    let site = Site::new();
    let good = site.address().ip();
    let dns = Scripted::start(move |asked| {
        let query = asked.message.queries.first().unwrap().clone();
        let mut answer = asked.empty();
        if query.query_type() == RecordType::SRV {
            answer = asked.srv(&query.name().to_ascii(), "infra.a.com.");
        } else if query.query_type() == RecordType::A {
            answer.add_answer(Record::from_rdata(query.name().clone(), 600, RData::from(good)));
        } else {
            answer.metadata.response_code = ResponseCode::ServFail;
        }
        say(&answer)
    });
    let told = check("a.com", dns.address(), &["--timeout", "1s"]);
    assert!(told.of(&["warning"]).contains("address-lookup-half"), "{:#}", told.report);
}

#[test]
fn our_own_srv_record_that_is_of_no_use_is_told_as_theirs_would_be() {
    let site = Site::with(|address| {
        vec![
            srv(PORT, "infra.a.com."),
            format!("infra.a.com. 600 IN A {address}"),
            format!("{} 600 IN SRV 10 5 443 192.0.2.1.", service("d.com")),
        ]
    });
    let _listening = site.serve(&site.good());
    for (domain, expected) in [("broken.example", "srv-lookup-failed"), ("d.com", "srv-unusable")] {
        site.check_alone(&["--own-domain", domain]).is(&[expected]);
    }
}

#[test]
fn our_own_missing_srv_record_is_found() {
    let site = Site::new();
    let _listening = site.serve(&site.good());
    site.check_alone(&["--own-domain", "c.com"]).is(&["own-srv-missing"]);
}

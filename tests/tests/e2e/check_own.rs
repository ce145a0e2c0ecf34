//! `fedgate check --self` finds each thing that is wrong on our side by its code, and nothing where nothing is. We are
//! a.com here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use fedgate_tests::pki::{Authority, Identity, Leaf};
use rcgen::ExtendedKeyUsagePurpose as Purpose;

use crate::check_peer::site::{Ingress, Site, Told, answering};

const DAYS: i64 = 86_400;

/// What lies in our files.
struct Files {
    server: Identity,
    client: Identity,
    trust: String,
    mode: u32,
}

fn leaf() -> Leaf {
    Leaf::of(["infra.a.com"])
}

fn good(site: &Site) -> (Ingress, Files) {
    // Who has no business with us gets no answer, as from the gate.
    let ingress = Ingress {
        router: answering(403, r#"{"code":403,"label":"federation-denied","message":"no"}"#),
        ..site.good()
    };
    let files = Files {
        server: ingress.identity.clone(),
        client: site.authority.issue(&leaf()),
        trust: site.authority.pem().to_owned(),
        mode: 0o640,
    };
    (ingress, files)
}

fn check(site: &Site, files: &Files) -> Told {
    let key = |name: &str, text: &str| {
        let path = site.file(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(files.mode)).unwrap();
        path
    };
    let (server_key, client_key) =
        (key("server.key", &files.server.key), key("client.key", &files.client.key));
    let server = site.file("server.pem", &files.server.chain);
    let client = site.file("client.pem", &files.client.chain);
    let trust = site.file("trust.pem", &files.trust);
    crate::check_peer::site::check(
        "--self",
        site.dns.address(),
        &[
            "--own-domain",
            "a.com",
            "--server-certificate",
            &server,
            "--server-key",
            &server_key,
            "--certificate",
            &client,
            "--key",
            &client_key,
            "--trust",
            &trust,
        ],
    )
}

/// What is found where our files are changed like this.
#[track_caller]
fn planted(change: impl FnOnce(&Site, &mut Files), expected: &[&str]) {
    let site = Site::new();
    let (ingress, mut files) = good(&site);
    change(&site, &mut files);
    let _listening = site.serve(&ingress);
    check(&site, &files).is(expected);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    planted(|_, _| {}, &[]);
}

#[test]
fn the_key_of_another_certificate_is_found() {
    planted(|_, files| files.client.key = files.server.key.clone(), &["key-mismatch"]);
}

#[test]
fn a_key_that_all_may_read_is_found() {
    planted(|_, files| files.mode = 0o644, &["key-exposed"]);
}

#[test]
fn a_byte_order_mark_in_the_bundle_is_found() {
    planted(
        |site, files| {
            files.trust = format!("\u{feff}{0}{0}", site.authority.pem());
        },
        &["bundle-begins-with-bom"],
    );
}

#[test]
fn windows_line_ends_in_the_bundle_are_none_of_our_business() {
    planted(|_, files| files.trust = files.trust.replace('\n', "\r\n"), &[]);
}

#[test]
fn what_is_no_certificate_in_the_bundle_is_found() {
    planted(
        |_, files| {
            files.trust.push_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        },
        &["bundle-part-unreadable"],
    );
}

#[test]
fn a_private_key_in_the_bundle_is_found() {
    planted(|_, files| files.trust.push_str(&files.client.key), &["bundle-has-key"]);
}

#[test]
fn an_expired_certificate_that_is_no_authority_is_found_in_the_bundle() {
    planted(
        |site, files| {
            let old = site.authority.issue(&Leaf { not_before: -20 * DAYS, not_after: -DAYS, ..leaf() });
            files.trust.push_str(&old.chain);
        },
        &["root-expired", "root-no-authority"],
    );
}

#[test]
fn a_root_that_stands_twice_in_the_bundle_is_good_to_know() {
    let site = Site::new();
    let (ingress, mut files) = good(&site);
    files.trust = files.trust.repeat(2);
    let _listening = site.serve(&ingress);
    check(&site, &files).is_info("root-twice");
}

#[test]
fn a_client_certificate_without_its_purpose_is_found() {
    planted(
        |site, files| {
            files.client = site.authority.issue(&Leaf { purposes: vec![Purpose::ServerAuth], ..leaf() });
        },
        &["client-purpose-missing"],
    );
}

#[test]
fn a_server_certificate_without_our_target_that_is_not_presented_is_found() {
    planted(
        |site, files| {
            files.server = site.authority.issue(&Leaf::of(["other.a.com"]));
        },
        &["name-missing", "srv-leads-elsewhere"],
    );
}

#[test]
fn an_ingress_that_answers_forged_headers_is_found() {
    let site = Site::new();
    let (ingress, files) = good(&site);
    let _listening = site.serve(&Ingress { router: answering(200, "[]"), ..ingress });
    check(&site, &files).is(&["forged-origin-answered"]);
}

#[test]
fn a_missing_srv_record_of_ours_is_found() {
    let site = Site::with(|_| vec![]);
    let (_, files) = good(&site);
    check(&site, &files).is(&["own-srv-missing"]);
}

#[test]
fn an_authority_that_the_bundle_lacks_is_found() {
    planted(
        |_, files| {
            files.trust = Authority::root("another").pem().to_owned();
        },
        &["issuer-unknown"],
    );
}

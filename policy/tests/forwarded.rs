//! The peer's certificate in a header that anybody can send.

use fedgate_policy::forwarded_certificate;
use fedgate_tests::pki::{Authority, Identity, Leaf, San};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

fn issue(leaf: &Leaf) -> Identity {
    Authority::root("an authority").issue(leaf)
}

fn der(identity: &Identity) -> Vec<u8> {
    CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap().to_vec()
}

fn digest(identity: &Identity) -> String {
    hex::encode(Sha256::digest(der(identity)))
}

fn element(identity: &Identity) -> String {
    let certificate = utf8_percent_encode(&identity.chain, NON_ALPHANUMERIC);
    format!("Hash={};Cert=\"{certificate}\";Subject=\"CN=a\";DNS=infra.a.com", digest(identity))
}

#[test]
fn the_certificate_with_the_digest_is_found_wherever_it_stands() {
    let (peer, other) = (issue(&Leaf::of(["infra.a.com"])), issue(&Leaf::of(["infra.b.com"])));
    for header in [
        element(&peer),
        format!("{},{}", element(&other), element(&peer)),
        format!("Subject=\"Cert=\\\"x\\\"\";{}", element(&peer)),
    ] {
        for digest in [digest(&peer), digest(&peer).to_ascii_uppercase()] {
            let found = forwarded_certificate(header.as_bytes(), digest.as_bytes());
            assert_eq!(found.as_deref(), Some(peer.chain.as_bytes()), "{header}");
        }
    }
}

#[test]
fn a_certificate_of_another_digest_is_never_taken() {
    let (peer, other) = (issue(&Leaf::of(["infra.a.com"])), issue(&Leaf::of(["infra.b.com"])));
    let forged = issue(&Leaf {
        names: vec![San::Dns(format!("x;Cert=\"{}\"", other.chain).into_bytes())],
        ..Leaf::default()
    });
    for header in [
        String::new(),
        element(&other),
        element(&forged),
        element(&other).replace(&digest(&other), &digest(&peer)),
        element(&peer).replace("Cert=", "Chain="),
        format!("Cert=\"{}", &element(&peer)[..200]),
        "Cert=\"".repeat(1000),
    ] {
        assert_eq!(forwarded_certificate(header.as_bytes(), digest(&peer).as_bytes()), None);
    }
    for digest in ["", "00", &digest(&peer)[..63]] {
        assert_eq!(forwarded_certificate(element(&peer).as_bytes(), digest.as_bytes()), None);
    }
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(header in "(Cert=\"|%|-----BEGIN CERTIFICATE-----|[ -~]){0,40}", digest in "[0-9a-f]{0,64}") {
        prop_assert_eq!(forwarded_certificate(header.as_bytes(), digest.as_bytes()), None);
    }
}

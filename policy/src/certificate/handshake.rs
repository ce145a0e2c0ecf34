//! What comes of a client certificate before there is a request: whether Envoy asks for such a key, and takes it for
//! what it is shown for. The filter sees only what is left.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED448,
    OID_SIG_ED25519, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE, Oid, asn1_rs::oid,
};

use super::{brief, der, extension, read};

/// What comes of it in the handshake, by what it says itself; its chain is another matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Nothing in it is against it.
    Fit,
    /// Envoy does not ask for such a key, so that the other side shows no certificate. Holds the key's kind.
    Withheld(String),
    /// Envoy ends the handshake: there is no request. Holds why.
    Ended(&'static str),
}

// === impl Handshake ===

impl Handshake {
    /// Of a certificate in one of the forms that [`super::Certificate::parse`] reads. One that cannot be read counts as
    /// fit: a row of the decision says what it is.
    pub fn of(bytes: &[u8]) -> Self {
        let Ok(der) = der(bytes) else { return Self::Fit };
        let Ok(certificate) = read(&der) else { return Self::Fit };
        if let Some(kind) = not_asked_for(&certificate) {
            return Self::Withheld(kind);
        }
        let extensions = certificate.extensions();
        let usage: Option<extensions::KeyUsage> =
            extension(extensions, &OID_X509_EXT_KEY_USAGE, |_| true).ok().flatten();
        if usage.is_some_and(|usage| !usage.digital_signature()) {
            return Self::Ended("its keyUsage lacks digitalSignature");
        }
        let purposes: Option<extensions::ExtendedKeyUsage<'_>> =
            extension(extensions, &OID_X509_EXT_EXTENDED_KEY_USAGE, |_| true).ok().flatten();
        if purposes.is_some_and(|purposes| !purposes.client_auth) {
            return Self::Ended("its extendedKeyUsage lacks clientAuth");
        }
        Self::Fit
    }
}

/// The kind of its key, where Envoy does not ask for such: it does for P-256, P-384 and RSA.
fn not_asked_for(certificate: &X509Certificate<'_>) -> Option<String> {
    let algorithm = &certificate.public_key().algorithm;
    if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
        return None;
    }
    if algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return Some(other(&algorithm.algorithm));
    }
    let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let Some(curve) = curve else { return Some("on a curve without a name".to_owned()) };
    if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 {
        None
    } else if curve == oid!(1.3.132.0.35) {
        Some("on P-521".to_owned())
    } else {
        Some(format!("on the curve {}", brief(&curve)))
    }
}

fn other(algorithm: &Oid<'_>) -> String {
    if *algorithm == OID_SIG_ED25519 {
        "of kind Ed25519".to_owned()
    } else if *algorithm == OID_SIG_ED448 {
        "of kind Ed448".to_owned()
    } else {
        format!("of kind {}", brief(algorithm))
    }
}

#[cfg(test)]
mod tests {
    use fedgate_tests::pki::{Authority, Key, Leaf};
    use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

    use super::*;

    #[test]
    fn a_key_that_envoy_does_not_ask_for_is_withheld_and_one_without_its_use_ends_the_handshake() {
        let withheld = |kind: &str| Handshake::Withheld(kind.to_owned());
        let key = |key| Leaf { key, ..Leaf::of(["infra.a.com"]) };
        let purposes = |purposes: &[ExtendedKeyUsagePurpose]| Leaf {
            purposes: purposes.to_vec(),
            ..Leaf::of(["infra.a.com"])
        };
        let usages = |usages: &[KeyUsagePurpose]| Leaf {
            key_usages: usages.to_vec(),
            ..Leaf::of(["infra.a.com"])
        };
        let authority = Authority::root("an authority");
        for (leaf, expected) in [
            (key(Key::P256), Handshake::Fit),
            (key(Key::P384), Handshake::Fit),
            (key(Key::Rsa), Handshake::Fit),
            (key(Key::P521), withheld("on P-521")),
            (key(Key::Ed25519), withheld("of kind Ed25519")),
            (purposes(&[]), Handshake::Fit),
            (purposes(&[ExtendedKeyUsagePurpose::ClientAuth]), Handshake::Fit),
            (
                purposes(&[ExtendedKeyUsagePurpose::ServerAuth]),
                Handshake::Ended("its extendedKeyUsage lacks clientAuth"),
            ),
            (usages(&[]), Handshake::Fit),
            (
                usages(&[KeyUsagePurpose::KeyEncipherment]),
                Handshake::Ended("its keyUsage lacks digitalSignature"),
            ),
        ] {
            let identity = authority.issue(&leaf);
            assert_eq!(Handshake::of(identity.chain.as_bytes()), expected, "{leaf:?}");
        }
        assert_eq!(Handshake::of(b"0\x82"), Handshake::Fit);
    }
}

//! Each name in a certificate, and what it counts for: for people who ask why none of them matched.

use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;

use super::{CertificateError, der, extension, portrait, read};
use crate::name::HostName;
use crate::san::PresentedIdentifier;

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownName {
    /// Its kind and text, in one legible line: `DNS:infra.a.com`.
    pub text: String,
    /// What it is compared by; or why it counts for nothing.
    pub counts: Result<PresentedIdentifier, &'static str>,
}

// === impl ShownName ===

impl ShownName {
    /// The names of a certificate, in their order.
    pub fn read(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let der = der(bytes)?;
        let certificate = read(&der)?;
        let names: Option<SubjectAlternativeName<'_>> =
            extension(certificate.extensions(), &OID_X509_EXT_SUBJECT_ALT_NAME, |_| true)?;
        let names = names.map(|names| names.general_names).unwrap_or_default();
        let shown =
            names.iter().map(|name| Self { text: portrait::general(name), counts: counts(name) });
        Ok(shown.collect())
    }

    /// Why it does not stand for this host; none where it does.
    pub fn mismatch(&self, host: &HostName) -> Option<&'static str> {
        match &self.counts {
            Ok(identifier) if identifier.matches(host) => None,
            Ok(PresentedIdentifier::Exact(_)) => Some("is another name"),
            Ok(PresentedIdentifier::Wildcard(parent)) => Some(beside(parent, host)),
            Err(why) => Some(why),
        }
    }
}

/// Why a wildcard below `parent` does not stand for `host`.
fn beside(parent: &HostName, host: &HostName) -> &'static str {
    let (parent, host) = (parent.as_str(), host.as_str());
    let is_below = host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if host == parent || is_below {
        "is a wildcard, which stands for exactly one label"
    } else {
        "is a wildcard below another name"
    }
}

fn counts(name: &GeneralName<'_>) -> Result<PresentedIdentifier, &'static str> {
    match name {
        GeneralName::DNSName(text) => {
            PresentedIdentifier::parse(text).ok_or("is not a clean host name, and counts for nothing")
        }
        GeneralName::IPAddress(_) => Err("is an address, and counts for nothing"),
        GeneralName::URI(_) => Err("is a URI, and counts for nothing"),
        GeneralName::RFC822Name(_) => Err("is an e-mail address, and counts for nothing"),
        GeneralName::Invalid(..) => Err("cannot be read, and counts for nothing"),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_) => Err("is no DNS name, and counts for nothing"),
    }
}

#[cfg(test)]
mod tests {
    use fedgate_tests::pki::{Authority, Leaf, San};

    use super::*;

    #[test]
    fn each_name_says_what_it_counts_for() {
        let names = [
            (San::dns("infra.a.com"), None),
            (San::dns("*.a.com"), None),
            (San::dns("other.a.com"), Some("is another name")),
            (San::dns("*.infra.a.com"), Some("is a wildcard, which stands for exactly one label")),
            (San::dns("*.b.com"), Some("is a wildcard below another name")),
            (San::dns("*.ra.a.com"), Some("is a wildcard below another name")),
            (San::dns("infra.a.com."), Some("is not a clean host name, and counts for nothing")),
            (San::dns("*.com"), Some("is not a clean host name, and counts for nothing")),
            (San::dns(b"\xff"), Some("cannot be read, and counts for nothing")),
            (San::Ip(vec![192, 0, 2, 1]), Some("is an address, and counts for nothing")),
            (San::Uri(b"https://infra.a.com".to_vec()), Some("is a URI, and counts for nothing")),
            (San::Email(b"x@a.com".to_vec()), Some("is an e-mail address, and counts for nothing")),
        ];
        let (names, expected): (Vec<_>, Vec<_>) = names.into_iter().unzip();
        let identity = Authority::root("an authority").issue(&Leaf { names, ..Leaf::default() });
        let host = HostName::parse(b"infra.a.com").unwrap();
        let shown = ShownName::read(identity.chain.as_bytes()).unwrap();
        assert_eq!(shown.iter().map(|name| name.mismatch(&host)).collect::<Vec<_>>(), expected);
    }
}

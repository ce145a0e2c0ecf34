//! What a certificate says of itself, for people who read a log: nothing is decided by it.

use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, Oid,
};
use x509_parser::x509::{RelativeDistinguishedName, X509Name};

use super::{CertificateError, UnixTime, der, extension, read};
use crate::legible::legible;

/// The most names of each kind of list that are shown.
const NAMES: usize = 16;
/// The most characters of one name that are shown.
const NAME: usize = 100;
/// The most octets of a serial number that are shown; it has 20 at most (RFC 5280 §4.1.2.2).
const SERIAL: usize = 32;

/// A certificate's names as text, each list bounded, one line, in legible characters: they are whatever its
/// authority let pass. A `,` within a name is written `\,`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portrait {
    /// The subject: `CN=infra.a.com, O=Example`.
    pub subject: String,
    /// Who issued it, in the same way.
    pub issuer: String,
    /// All subject alternative names, clean or not, in their order: `DNS:infra.a.com, IP:192.0.2.1`.
    pub names: String,
    /// The beginning of its serial number, in hexadecimal digits.
    pub serial: String,
    /// The last second of its validity.
    pub not_after: UnixTime,
}

impl Portrait {
    /// Reads a certificate in one of the forms that [`super::Certificate::parse`] reads.
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        let der = der(bytes)?;
        let certificate = read(&der)?;
        let names: Option<SubjectAlternativeName<'_>> =
            extension(certificate.extensions(), &OID_X509_EXT_SUBJECT_ALT_NAME, |_| true)?;
        let names = names.map(|names| names.general_names).unwrap_or_default();
        Ok(Self {
            subject: distinguished(certificate.subject()),
            issuer: distinguished(certificate.issuer()),
            names: list(&mut names.iter().map(general)),
            serial: hexadecimal(certificate.raw_serial()),
            not_after: UnixTime(certificate.validity().not_after.timestamp()),
        })
    }
}

fn hexadecimal(number: &[u8]) -> String {
    let digits = number.iter().take(SERIAL).flat_map(|octet| [octet >> 4, octet & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn distinguished(name: &X509Name<'_>) -> String {
    let attributes = name.iter_rdn().flat_map(RelativeDistinguishedName::iter);
    list(
        &mut attributes
            .map(|attribute| format!("{}={}", key(attribute.attr_type()), octets(attribute.as_slice()))),
    )
}

/// As RFC 4514 §3 abbreviates it; another by its number.
fn key(attribute: &Oid<'_>) -> String {
    for (oid, key) in [
        (OID_X509_COMMON_NAME, "CN"),
        (OID_X509_ORGANIZATION_NAME, "O"),
        (OID_X509_ORGANIZATIONAL_UNIT, "OU"),
        (OID_X509_COUNTRY_NAME, "C"),
    ] {
        if *attribute == oid {
            return key.to_owned();
        }
    }
    attribute.to_string()
}

fn general(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{}", text(name)),
        GeneralName::RFC822Name(address) => format!("email:{}", text(address)),
        GeneralName::URI(uri) => format!("URI:{}", text(uri)),
        // As the certificate has it: four numbers, or sixteen.
        GeneralName::IPAddress(address) => {
            let numbers: Vec<_> = address.iter().take(16).map(ToString::to_string).collect();
            format!("IP:{}", numbers.join("."))
        }
        GeneralName::Invalid(_, value) => format!("unreadable:{}", octets(value)),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_) => "other".to_owned(),
    }
}

fn octets(value: &[u8]) -> String {
    // Four octets make one character at most.
    text(&String::from_utf8_lossy(value.get(..NAME.saturating_mul(4)).unwrap_or(value)))
}

fn text(value: &str) -> String {
    legible(value, NAME).replace(',', "\\,")
}

/// The first of these, and how many more there are.
fn list(names: &mut dyn Iterator<Item = String>) -> String {
    let listed: Vec<_> = (0..NAMES).map_while(|_| names.next()).collect();
    let listed = listed.join(", ");
    let rest = names.count();
    if rest == 0 { listed } else { format!("{listed} and {rest} more") }
}

#[cfg(test)]
mod tests {
    use fedgate_tests::pki::{Authority, Leaf, San};

    use super::*;

    fn portrait(leaf: &Leaf) -> Portrait {
        let authority = Authority::root("an authority, of sorts");
        Portrait::read(authority.issue(leaf).chain.as_bytes()).unwrap()
    }

    #[test]
    fn a_certificate_is_told_in_one_legible_line() {
        let names = [
            San::dns("infra.a.com"),
            San::dns("evil.example,DNS:infra.a.com"),
            San::dns("a\nb"),
            San::dns(b"\xff"),
            San::Ip(vec![192, 0, 2, 1]),
            San::Ip([vec![0; 15], vec![1]].concat()),
            San::Ip(vec![1, 2]),
            San::Uri(b"https://a.com/".to_vec()),
            San::Email(b"x@a.com".to_vec()),
        ];
        let leaf = Leaf { common_name: "\u{202e}moc.a".into(), names: names.into(), ..Leaf::default() };
        let Portrait { subject, issuer, names, serial, not_after } = portrait(&leaf);
        assert!(serial.len() >= 2 && serial.bytes().all(|it| it.is_ascii_hexdigit()), "{serial}");
        assert!(not_after > UnixTime(1_700_000_000), "{not_after}");
        assert_eq!(subject, "CN=\\u{202e}moc.a");
        assert_eq!(issuer, "CN=an authority\\, of sorts");
        assert_eq!(
            names,
            "DNS:infra.a.com, DNS:evil.example\\,DNS:infra.a.com, DNS:a\\u{a}b, unreadable:\u{fffd}, \
             IP:192.0.2.1, IP:0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1, IP:1.2, URI:https://a.com/, email:x@a.com"
        );
    }

    #[test]
    fn a_certificate_of_any_size_makes_a_short_line() {
        let many = portrait(&Leaf::of((0..3000).map(|n| format!("h{n}.example"))));
        assert!(many.names.starts_with("DNS:h0.example, DNS:h1.example"), "{}", many.names);
        assert!(many.names.ends_with(" and 2984 more"), "{}", many.names);
        let long = portrait(&Leaf { common_name: "x".repeat(5000), ..Leaf::of(["y".repeat(60_000)]) });
        assert_eq!(long.subject, format!("CN={}…", "x".repeat(NAME)));
        assert_eq!(long.names, format!("DNS:{}…", "y".repeat(NAME)));
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        for bytes in [&b""[..], b"-----BEGIN", b"0\x82", b"\xff\xff"] {
            Portrait::read(bytes).unwrap_err();
        }
    }
}

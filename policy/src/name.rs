//! Names: the backend domain that users see, and the host that speaks for it.
//!
//! Both are LDH names (letters, digits, hyphen: RFC 5890 §2.3.1) in ASCII, kept in lower case, so
//! that equality of values is equality of names. An internationalised name is its A-label form.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name in octets, without the root's trailing dot (RFC 1035 §3.1).
const MAX_NAME: usize = 253;
/// Longest label in octets (RFC 1035 §3.1).
const MAX_LABEL: usize = 63;

/// A backend domain: what `Wire-Origin-Domain` carries, e.g. `company-a.com`.
///
/// LDH labels of 1 to 63 octets without a leading or trailing hyphen; at least two labels, or
/// `localhost`; the last label does not start with a digit; at most 253 octets; no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(Box<str>);

/// An infrastructure domain: the target of an SRV record, e.g. `federator.infra.a.com`.
///
/// As [`Domain`], but one label is enough, the last label only must not be all digits (an IPv4
/// address is no host name), and one trailing dot, the root's, is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(Box<str>);

/// Why some bytes are not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No bytes at all.
    #[error("is empty")]
    Empty,
    /// More than 253 octets.
    #[error("has {0} octets, more than {MAX_NAME}")]
    TooLong(usize),
    /// Two dots in a row, or a dot at either end.
    #[error("has an empty label")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("has a label of {0} octets, more than {MAX_LABEL}")]
    LabelTooLong(usize),
    /// A label that starts or ends with a hyphen.
    #[error("has a label that starts or ends with a hyphen")]
    Hyphen,
    /// An octet that is no letter, digit, hyphen or dot.
    #[error("has the octet 0x{0:02x} where only letters, digits, '-' and '.' may be")]
    Octet(u8),
    /// A backend domain of one label that is not `localhost`.
    #[error("has a single label that is not 'localhost'")]
    SingleLabel,
    /// The last label is, or looks like, a number.
    #[error("has a last label that cannot be a top-level domain")]
    NumericLastLabel,
}

// === impl Domain ===

impl Domain {
    /// Reads a backend domain from raw bytes, such as a header's.
    pub fn parse(bytes: &[u8]) -> Result<Self, NameError> {
        let name = parse_ldh(bytes)?;
        match name.rsplit_once('.') {
            Some((_, last)) if last.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(NameError::NumericLastLabel)
            }
            None if &*name != "localhost" => Err(NameError::SingleLabel),
            Some(_) | None => Ok(Self(name)),
        }
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl HostName ===

impl HostName {
    /// Reads a host name from raw bytes, with or without the root's trailing dot.
    pub fn parse(bytes: &[u8]) -> Result<Self, NameError> {
        let name = parse_ldh(bytes.strip_suffix(b".").unwrap_or(bytes))?;
        let last = name.rsplit_once('.').map_or(&*name, |(_, last)| last);
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NameError::NumericLastLabel);
        }
        Ok(Self(name))
    }

    /// The name in lower case, without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === both ===

macro_rules! string_like {
    ($($name:ident),*) => {$(
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                Self::parse(s.as_bytes())
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(s: String) -> Result<Self, NameError> {
                Self::parse(s.as_bytes())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

string_like!(Domain, HostName);

/// The shared grammar: a dotted LDH name, returned in lower case.
fn parse_ldh(bytes: &[u8]) -> Result<Box<str>, NameError> {
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.len() > MAX_NAME {
        return Err(NameError::TooLong(bytes.len()));
    }
    if let Some(&octet) = bytes.iter().find(|&&b| !is_ldh(b) && b != b'.') {
        return Err(NameError::Octet(octet));
    }
    for label in bytes.split(|&b| b == b'.') {
        match label {
            [] => return Err(NameError::EmptyLabel),
            [b'-', ..] | [.., b'-'] => return Err(NameError::Hyphen),
            [..] if label.len() > MAX_LABEL => return Err(NameError::LabelTooLong(label.len())),
            [..] => {}
        }
    }
    Ok(bytes.iter().map(|b| char::from(b.to_ascii_lowercase())).collect())
}

fn is_ldh(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_backend_domain_is_an_ldh_name_of_two_labels_or_localhost() {
        let longest = format!("{0}.{0}.{0}.{1}.com", "a".repeat(63), "b".repeat(57));
        assert_eq!(longest.len(), MAX_NAME);
        for good in
            ["a.com", "company-a.com", "localhost", "xn--mnchen-3ya.de", "1.2.c3", "a--b.c-d", &longest]
        {
            assert_eq!(Domain::parse(good.as_bytes()).unwrap().as_str(), good);
        }
    }

    #[test]
    fn upper_case_is_the_same_domain() {
        assert_eq!(Domain::parse(b"A.CoM"), Domain::parse(b"a.com"));
        assert_eq!(Domain::parse(b"LOCALHOST"), Domain::parse(b"localhost"));
    }

    #[test]
    fn nothing_else_is_a_backend_domain() {
        use NameError::{
            Empty, EmptyLabel, Hyphen, LabelTooLong, NumericLastLabel, Octet, SingleLabel, TooLong,
        };
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = format!("{0}.{0}.{0}.{1}.com", "a".repeat(63), "b".repeat(58));
        let table: &[(&[u8], NameError)] = &[
            (b"", Empty),
            (b" ", Octet(b' ')),
            (b" a.com", Octet(b' ')),
            (b"a.com ", Octet(b' ')),
            (b"a.com,a.com", Octet(b',')),
            (b"a.com,b.com", Octet(b',')),
            (b"a.com, b.com", Octet(b',')),
            (b"a.com;b.com", Octet(b';')),
            (b"a.com:443", Octet(b':')),
            (b"https://a.com", Octet(b':')),
            (b"a.com/path", Octet(b'/')),
            (b"user@a.com", Octet(b'@')),
            (b"a.com?x", Octet(b'?')),
            (b"a.com#x", Octet(b'#')),
            (b"*.a.com", Octet(b'*')),
            (b"a_b.com", Octet(b'_')),
            (b"192.0.2.1", NumericLastLabel),
            (b"[2001:db8::1]", Octet(b'[')),
            (b"2001:db8::1", Octet(b':')),
            (b"a.com.", EmptyLabel),
            (b".a.com", EmptyLabel),
            (b"a..com", EmptyLabel),
            (b".", EmptyLabel),
            (b"..", EmptyLabel),
            (b"-a.com", Hyphen),
            (b"a-.com", Hyphen),
            (b"a.-com", Hyphen),
            (b"-", Hyphen),
            (long_label.as_bytes(), LabelTooLong(64)),
            (long_name.as_bytes(), TooLong(254)),
            (b"com", SingleLabel),
            (b"localhost1", SingleLabel),
            (b"a.1com", NumericLastLabel),
            ("m\u{fc}nchen.de".as_bytes(), Octet(0xc3)),
            ("a\u{3002}com".as_bytes(), Octet(0xe3)),
            (b"a.com\xff", Octet(0xff)),
            (b"a\0.com", Octet(0)),
            (b"a.com\t", Octet(b'\t')),
            (b"a.com\r\nX: y", Octet(b'\r')),
            (b"%61.com", Octet(b'%')),
        ];
        for (bytes, error) in table {
            assert_eq!(Domain::parse(bytes), Err(error.clone()), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_host_name_loses_one_trailing_dot_and_no_more() {
        assert_eq!(HostName::parse(b"Fed.A.com.").unwrap().as_str(), "fed.a.com");
        assert_eq!(HostName::parse(b"envoy").unwrap().as_str(), "envoy");
        assert_eq!(HostName::parse(b"fed.4u").unwrap().as_str(), "fed.4u");
        assert_eq!(HostName::parse(b"fed.a.com.."), Err(NameError::EmptyLabel));
        assert_eq!(HostName::parse(b"."), Err(NameError::Empty));
    }

    #[test]
    fn an_address_or_a_service_label_is_no_host_name() {
        assert_eq!(HostName::parse(b"192.0.2.1"), Err(NameError::NumericLastLabel));
        assert_eq!(HostName::parse(b"_tcp.a.com"), Err(NameError::Octet(b'_')));
        assert_eq!(HostName::parse(b"2001:db8::1"), Err(NameError::Octet(b':')));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Domain::parse(&bytes);
            let _ = HostName::parse(&bytes);
        }

        #[test]
        fn what_is_printed_parses_as_itself(text in "[a-zA-Z0-9.-]{1,40}") {
            if let Ok(domain) = text.parse::<Domain>() {
                prop_assert_eq!(domain.to_string().parse::<Domain>(), Ok(domain.clone()));
                prop_assert_eq!(domain.as_str(), text.to_ascii_lowercase());
                prop_assert!(HostName::parse(text.as_bytes()).is_ok());
            }
        }
    }
}

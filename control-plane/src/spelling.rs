//! A backend domain as an operator writes it.
//!
//! Nothing but the domain itself is taken, in any case of letters. What is nearly one is refused, and the
//! refusal names the domain to write: what goes onto the list of a border is to have been seen by a person,
//! letter for letter, and not to be what we made of something else.

use fedgate_policy::{Domain, NameError};
use idna::AsciiDenyList;

use crate::plain::Plain;

/// Where the SRV record of a domain stands: what people copy out of a zone.
const SERVICE: &str = "_wire-server-federator._tcp.";

/// What is left of a text, if something was taken away.
type TakeAway = fn(&str) -> Option<&str>;

/// What people write around a domain, from the outside in: how to take it away, and what is said of it.
const AROUND: [(TakeAway, &str); 7] = [
    (|text| Some(text.trim()).filter(|inner| inner.len() < text.len()), "has spaces around it"),
    (|text| text.split_once("://").map(|(_, rest)| rest), "is a URL"),
    (|text| text.split_once(['/', '?', '#']).map(|(host, _)| host), "has a path"),
    (|text| text.rsplit_once('@').map(|(_, host)| host), "has an '@'"),
    (|text| text.rsplit_once(':').filter(|(_, port)| is_port(port)).map(|(host, _)| host), "has a port"),
    (without_service, "is the name of an SRV record"),
    (|text| text.strip_suffix('.'), "ends with a dot"),
];

/// Why a text is no backend domain, and what to write instead, where that is certain: `is a URL; write a.com`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misspelt(String);

// === impl Misspelt ===

impl Misspelt {
    /// The whole sentence on the text that it is of.
    pub(crate) fn of(&self, text: &str) -> String {
        format!("'{}' is not a backend domain: it {self}", Plain(text))
    }
}

/// Reads a backend domain.
pub(crate) fn domain(text: &str) -> Result<Domain, Misspelt> {
    Domain::parse(text.as_bytes()).map_err(|error| Misspelt(explain(text, &error)))
}

fn explain(text: &str, error: &NameError) -> String {
    let (mut inner, mut around) = (text, None);
    for (take_away, is) in AROUND {
        if let Some(left) = take_away(inner) {
            inner = left;
            around.get_or_insert(is);
        }
    }
    let is = around.or((!inner.is_ascii()).then_some("has characters beyond ASCII"));
    match (is, in_ascii(inner)) {
        (Some(is), Ok(domain)) => format!("{is}; write {domain}"),
        (Some(is), Err(error)) if around.is_some() => {
            format!("{is}, and what is left, '{}', {error}", Plain(inner))
        }
        (Some(is), Err(_)) => format!("{is}, and is no internationalized name either (UTS 46)"),
        (None, _) => error.to_string(),
    }
}

/// A domain with the A-labels of its U-labels (RFC 5890 §2.3.2.1), as registries take them (UTS 46).
fn in_ascii(text: &str) -> Result<Domain, NameError> {
    let ascii =
        (!text.is_ascii()).then(|| idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::STD3));
    match ascii {
        Some(Ok(ascii)) => Domain::parse(ascii.as_bytes()),
        Some(Err(_)) | None => Domain::parse(text.as_bytes()),
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn without_service(text: &str) -> Option<&str> {
    let (service, domain) = text.split_at_checked(SERVICE.len())?;
    service.eq_ignore_ascii_case(SERVICE).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_itself_is_taken_in_any_case() {
        for good in ["a.com", "A.Com", "localhost", "xn--bcher-kva.example"] {
            assert_eq!(domain(good).unwrap().as_str(), good.to_lowercase());
        }
    }

    #[test]
    fn what_is_nearly_a_domain_is_refused_with_what_to_write() {
        for (text, expected) in [
            ("a.com.", "ends with a dot; write a.com"),
            (" a.com", "has spaces around it; write a.com"),
            ("a.com\u{a0}\n", "has spaces around it; write a.com"),
            ("https://a.com", "is a URL; write a.com"),
            ("HTTPS://User:secret@A.com:8443/path?query#part", "is a URL; write a.com"),
            ("a.com/", "has a path; write a.com"),
            ("a.com:443", "has a port; write a.com"),
            ("alice@a.com", "has an '@'; write a.com"),
            ("@alice@a.com", "has an '@'; write a.com"),
            ("_wire-server-federator._TCP.a.com.", "is the name of an SRV record; write a.com"),
            ("bücher.example", "has characters beyond ASCII; write xn--bcher-kva.example"),
            ("BÜCHER.example", "has characters beyond ASCII; write xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "has characters beyond ASCII; write xn--bcher-kva.example"),
            ("https://bücher.example/", "is a URL; write xn--bcher-kva.example"),
            ("straße.de", "has characters beyond ASCII; write xn--strae-oqa.de"),
            ("a\u{3002}com", "has characters beyond ASCII; write a.com"),
            // A Cyrillic letter: its A-label shows that it is another domain.
            ("\u{430}.com", "has characters beyond ASCII; write xn--80a.com"),
            ("a\u{200b}.com", "has characters beyond ASCII; write a.com"),
        ] {
            assert_eq!(domain(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn where_nothing_is_certain_nothing_is_proposed() {
        for (text, expected) in [
            ("", "is empty"),
            (" ", "has spaces around it, and what is left, '', is empty"),
            ("*.a.com", "has the octet 0x2a where only letters, digits, '-' and '.' may be"),
            ("a.com,b.com", "has the octet 0x2c where only letters, digits, '-' and '.' may be"),
            ("a.com..", "ends with a dot, and what is left, 'a.com.', has an empty label"),
            ("com", "has a single label that is not 'localhost'"),
            (
                "https://192.0.2.1/",
                "is a URL, and what is left, '192.0.2.1', has a last label that cannot be a top-level domain",
            ),
            (
                "a\u{202e}b.com",
                "has characters beyond ASCII, and is no internationalized name either (UTS 46)",
            ),
            (
                "https://a\u{1b}.com/",
                "is a URL, and what is left, 'a\\u{1b}.com', has the octet 0x1b where only letters, digits, '-' and '.' may be",
            ),
        ] {
            assert_eq!(domain(text).unwrap_err().to_string(), expected, "{}", text.escape_debug());
        }
    }
}

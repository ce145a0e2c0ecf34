//! The number of a request, by which it is found in all logs on its way.

use std::fmt;

use serde::Serialize;

/// How many octets of it count; the access logs of `envoy/` cut it there too.
const MAX_OCTETS: usize = 100;

/// A number that somebody gave a request: text of 1 to 100 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestId(String);

// === impl RequestId ===

impl RequestId {
    /// From a header's value, which may be anything: its beginning, with `?` for what is not visible ASCII.
    /// `None` where there is nothing.
    pub fn of(header: &[u8]) -> Option<Self> {
        let shown = |octet: &u8| if octet.is_ascii_graphic() { char::from(*octet) } else { '?' };
        let text: String = header.iter().take(MAX_OCTETS).map(shown).collect();
        (!text.is_empty()).then_some(Self(text))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_header_is_a_number_that_can_be_logged() {
        for (header, expected) in [
            (&b"r1"[..], Some("r1")),
            (b"7e4f265b-73de-49fa-bc66-5af32f77f0bd", Some("7e4f265b-73de-49fa-bc66-5af32f77f0bd")),
            (b"a b\x00\xff\"", Some("a?b??\"")),
            (b"", None),
        ] {
            assert_eq!(RequestId::of(header).as_ref().map(RequestId::as_str), expected);
        }
        assert_eq!(RequestId::of(&[b'x'; 5000]).unwrap().as_str().len(), MAX_OCTETS);
    }
}

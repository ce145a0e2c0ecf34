//! Where trust begins: keys that are believed without proof.
//!
//! A file of them holds DNSKEY records, or DS records, which stand for the keys that they are digests
//! of; one to a line as `dig`, `dnssec-keygen` and `dnssec-dsfromkey` print them, or over several in
//! parentheses. A semicolon starts a comment.

use std::fmt;
use std::sync::Arc;

use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_proto::dnssec::{PublicKey as _, PublicKeyBuf, TrustAnchors};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::txt::trust_anchor::{Entry, Parser};

use super::delegation::Trust;

/// Keys, and digests of keys, with their owners. The default is the root's, as IANA publishes them.
#[derive(Clone)]
pub struct Anchors {
    anchors: Arc<[(Name, Anchor)]>,
    text: Arc<str>,
}

#[derive(Clone)]
enum Anchor {
    Key(PublicKeyBuf),
    Digest(DS),
}

impl PartialEq for Anchors {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

// === impl Anchors ===

impl Anchors {
    /// The records that the anchors were read from, in one line each; empty for the root's.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the text of a file, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let records = records(text);
        let anchors = records.iter().map(|record| anchor(record)).collect::<Result<Arc<_>, _>>()?;
        if anchors.is_empty() {
            return Err("holds no DNSKEY and no DS record".to_owned());
        }
        let lines: Vec<_> = records.iter().map(|record| record.join(" ")).collect();
        Ok(Self { anchors, text: lines.join("\n").into() })
    }

    /// The deepest zone of those above a name that is trusted by itself, and by what.
    pub(super) fn above(&self, name: &Name) -> Option<(Name, Trust)> {
        let above = self.anchors.iter().filter(|(owner, _)| owner.zone_of(name));
        let (deepest, _) = above.max_by_key(|(owner, _)| owner.iter().count())?;
        let mut trust = Trust::default();
        for (_, anchor) in self.anchors.iter().filter(|(owner, _)| owner == deepest) {
            match anchor.clone() {
                Anchor::Key(key) => trust.keys.push(key),
                Anchor::Digest(digest) => trust.digests.push(digest),
            }
        }
        Some((deepest.clone(), trust))
    }
}

impl Default for Anchors {
    fn default() -> Self {
        let root = TrustAnchors::default();
        let keys = (0..root.len()).filter_map(|index| root.get(index).cloned());
        let anchors = keys.map(|key| (Name::root(), Anchor::Key(key))).collect();
        Self { anchors, text: "".into() }
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchors({})", self.anchors.len())
    }
}

/// The words of each record.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut open) = (Vec::new(), Vec::new(), false);
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().replace('(', " ( ").replace(')', " ) ");
        for word in line.split_whitespace() {
            match word {
                "(" => open = true,
                ")" => open = false,
                word => record.push(word.to_owned()),
            }
        }
        if !open && !record.is_empty() {
            records.push(std::mem::take(&mut record));
        }
    }
    records.extend((!record.is_empty()).then_some(record));
    records
}

/// Reads a record, or says why it is no anchor.
fn anchor(record: &[String]) -> Result<(Name, Anchor), String> {
    let shown = || format!("'{}'", record.join(" ").escape_debug());
    match parts(record) {
        None => Err(format!("{} is neither a DNSKEY nor a DS record", shown())),
        Some((_, RData::DNSSEC(DNSSECRData::DNSKEY(key)))) if !key.zone_key() || key.revoke() => {
            Err(format!("{} is no zone's key, or is revoked", shown()))
        }
        Some((owner, RData::DNSSEC(DNSSECRData::DNSKEY(key))))
            if key.public_key().algorithm().is_supported() =>
        {
            Ok((owner, Anchor::Key(key.public_key().clone())))
        }
        Some((owner, RData::DNSSEC(DNSSECRData::DS(digest))))
            if digest.algorithm().is_supported() && digest.digest_type().is_supported() =>
        {
            Ok((owner, Anchor::Digest(digest)))
        }
        Some(_) => Err(format!("{} is neither of an algorithm that we know, nor of a digest", shown())),
    }
}

/// An owner, a TTL and a class that may be missing and do not matter, a type, and its data.
fn parts(record: &[String]) -> Option<(Name, RData)> {
    let (owner, rest) = record.split_first()?;
    let mut owner = Name::from_ascii(owner).ok()?;
    owner.set_fqdn(true);
    let kind = rest.iter().take(3).position(|word| ["DNSKEY", "DS"].contains(&word.as_str()))?;
    let (kind, data) = rest.get(kind..)?.split_first()?;
    let data = data.join(" ");
    if kind == "DS" {
        return Some((owner, RData::try_from_str(RecordType::DS, &data).ok()?));
    }
    // The only way that hickory reads a key from text.
    let mut keys = Parser::new(format!(". IN DNSKEY {data}")).parse().ok()?;
    let Entry::DNSKEY(key) = keys.pop()? else { return None };
    let key: DNSKEY = key.data().clone();
    Some((owner, RData::DNSSEC(DNSSECRData::DNSKEY(key))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
    const DIGEST: &str = "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

    /// How many keys and digests the root is trusted by.
    fn counts(text: &str) -> (usize, usize) {
        let trust = Anchors::parse(text).unwrap().above(&Name::root()).map(|(_, trust)| trust);
        trust.map_or((0, 0), |trust| (trust.keys.len(), trust.digests.len()))
    }

    #[test]
    fn anchors_are_read_as_tools_print_them() {
        let (half, rest) = KEY.split_at(40);
        for (text, expected) in [
            (format!(". IN DNSKEY 257 3 13 {KEY}\n"), (1, 0)),
            (format!("; of 2026\n\n.\t172800\tIN\tDNSKEY 257 3 13 {half} {rest} ; key id = 1"), (1, 0)),
            (format!(". 60 IN DNSKEY 257 3 13 (\n {half}\n {rest}\n ) ; KSK\n"), (1, 0)),
            (format!(". DS 20326 8 2 {DIGEST}"), (0, 1)),
            (format!(". IN DS 20326 8 2 {DIGEST}\n. IN DNSKEY 257 3 13 {KEY}"), (1, 1)),
        ] {
            assert_eq!(counts(&text), expected, "{text}");
        }
    }

    #[test]
    fn the_deepest_anchor_above_a_name_counts() {
        let text = format!("corp. DNSKEY 257 3 13 {KEY}\na.corp. DS 1 8 2 {DIGEST}\n");
        let anchors = Anchors::parse(&text).unwrap();
        for (name, expected) in [
            ("x.a.corp.", Some(("a.corp.", 0, 1))),
            ("a.corp.", Some(("a.corp.", 0, 1))),
            ("b.corp.", Some(("corp.", 1, 0))),
            ("com.", None),
        ] {
            let above = anchors.above(&Name::from_ascii(name).unwrap());
            let above =
                above.map(|(owner, trust)| (owner.to_ascii(), trust.keys.len(), trust.digests.len()));
            let expected = expected.map(|(owner, keys, digests)| (owner.to_owned(), keys, digests));
            assert_eq!(above, expected, "{name}");
        }
        let default = Anchors::default().above(&Name::from_ascii("com.").unwrap()).unwrap();
        assert_eq!((default.0, default.1.keys.len()), (Name::root(), 2));
    }

    #[test]
    fn what_is_no_anchor_is_named() {
        for (text, expected) in [
            (String::new(), "holds no DNSKEY"),
            ("; nothing".to_owned(), "holds no DNSKEY"),
            (". IN A 192.0.2.1".to_owned(), "'. IN A 192.0.2.1' is neither"),
            (". IN DNSKEY 257 3 13".to_owned(), "is neither"),
            (". IN DNSKEY 257 3 13 %%%".to_owned(), "is neither"),
            (format!(". IN DS 1 8 99 {DIGEST}"), "is neither"),
            (format!(". IN DNSKEY 0 3 13 {KEY}"), "is no zone's key"),
            (format!(". IN DNSKEY 385 3 13 {KEY}"), "is revoked"),
            ("DNSKEY".to_owned(), "is neither"),
            ("\u{7f} (".to_owned(), "is neither"),
        ] {
            let error = Anchors::parse(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

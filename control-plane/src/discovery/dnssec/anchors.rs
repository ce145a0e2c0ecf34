//! Where trust begins: keys that are believed without proof.
//!
//! A file of them holds DNSKEY records, or DS records, which stand for the keys that they are digests
//! of; one to a line as `dig`, `dnssec-keygen` and `dnssec-dsfromkey` print them, or over several in
//! parentheses. A semicolon starts a comment.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use hickory_resolver::net::NetError;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_resolver::proto::op::{DnsRequestOptions, Query};
use hickory_resolver::proto::rr::{LowerName, Name, RData, RecordType};
use hickory_resolver::proto::serialize::txt::trust_anchor::{Entry, Parser};

/// Keys, and digests of keys, with their owners. The default is the root's, as IANA publishes them.
#[derive(Clone, Default)]
pub(crate) struct Anchors {
    keys: Arc<TrustAnchors>,
    digests: Arc<[(Name, DS)]>,
    /// The file's records, in one line each.
    text: Arc<str>,
}

// === impl Anchors ===

impl Anchors {
    /// Reads a file, or says what is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
        Self::parse(&text)
    }

    /// The records that the anchors were read from; empty for the root's.
    pub(in crate::discovery) fn text(&self) -> &str {
        &self.text
    }

    pub(in crate::discovery) fn parse(text: &str) -> Result<Self, String> {
        let (mut keys, mut digests) = (TrustAnchors::empty(), Vec::new());
        let mut empty = true;
        let records = records(text);
        let lines: Vec<_> = records.iter().map(|record| record.join(" ")).collect();
        for record in records {
            empty = false;
            let shown = || format!("'{}'", record.join(" ").escape_debug());
            match anchor(&record)
                .ok_or_else(|| format!("{} is neither a DNSKEY nor a DS record", shown()))?
            {
                (owner, Anchor::Key(key)) if key.zone_key() && !key.revoke() => {
                    keys.insert_with_name(key.public_key(), LowerName::new(&owner));
                }
                (_, Anchor::Key(_)) => {
                    return Err(format!("{} is no zone's key, or is revoked", shown()));
                }
                (owner, Anchor::Digest(digest)) => digests.push((owner, digest)),
            }
        }
        if empty {
            return Err("holds no DNSKEY and no DS record".to_owned());
        }
        Ok(Self { keys: Arc::new(keys), digests: digests.into(), text: lines.join("\n").into() })
    }

    /// All keys, with those that the digests stand for, which `handle` is asked for.
    pub(super) async fn keys<H: DnsHandle>(&self, handle: &H) -> Result<Arc<TrustAnchors>, NetError> {
        if self.digests.is_empty() {
            return Ok(self.keys.clone());
        }
        let mut keys = TrustAnchors::clone(&self.keys);
        for (owner, digest) in &*self.digests {
            let query = Query::query(owner.clone(), RecordType::DNSKEY);
            let mut options = DnsRequestOptions::default();
            // The same question as validation asks: then it is asked once.
            options.edns_set_dnssec_ok = true;
            let response = handle.lookup(query, options).first_answer().await?;
            for record in response.answers.iter().filter(|record| record.name == *owner) {
                if let RData::DNSSEC(DNSSECRData::DNSKEY(key)) = &record.data
                    && digest.covers(owner, key).unwrap_or(false)
                {
                    keys.insert_with_name(key.public_key(), LowerName::new(owner));
                }
            }
        }
        Ok(Arc::new(keys))
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchors({} keys of the root, {} digests)", self.keys.len(), self.digests.len())
    }
}

enum Anchor {
    Key(DNSKEY),
    Digest(DS),
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

/// An owner, a TTL and a class that may be missing and do not matter, a type, and its data.
fn anchor(record: &[String]) -> Option<(Name, Anchor)> {
    let (owner, rest) = record.split_first()?;
    let mut owner = Name::from_ascii(owner).ok()?;
    owner.set_fqdn(true);
    let kind = rest.iter().take(3).position(|word| ["DNSKEY", "DS"].contains(&word.as_str()))?;
    let (kind, data) = rest.get(kind..)?.split_first()?;
    let data = data.join(" ");
    let anchor = if kind == "DS" {
        let RData::DNSSEC(DNSSECRData::DS(digest)) = RData::try_from_str(RecordType::DS, &data).ok()?
        else {
            return None;
        };
        let known = digest.algorithm().is_supported() && digest.digest_type().is_supported();
        Anchor::Digest(known.then_some(digest)?)
    } else {
        // The only way that hickory reads a key from text.
        let mut keys = Parser::new(format!(". IN DNSKEY {data}")).parse().ok()?;
        let Entry::DNSKEY(key) = keys.pop()? else { return None };
        Anchor::Key(key.data().clone())
    };
    Some((owner, anchor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
    const DIGEST: &str = "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

    fn counts(text: &str) -> (usize, usize) {
        let anchors = Anchors::parse(text).unwrap();
        (anchors.keys.len(), anchors.digests.len())
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
        let other = Anchors::parse(&format!("corp. IN DNSKEY 257 3 13 {KEY}")).unwrap();
        assert_eq!(other.keys.len(), 0, "a key of another zone is none of the root's");
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

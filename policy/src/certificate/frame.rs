//! The frame of a certificate: its tags and lengths, down to its extensions and DNS names (RFC 5280 §4.1).
//!
//! The parser passes over a wrong tag here, octets left over there. In what it passes over, another reader
//! may find other names; so nothing of that kind is read.

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::FromDer;

const OBJECT_IDENTIFIER: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UNIQUE_IDENTIFIERS: [u8; 2] = [0x81, 0x82];
const EXTENSIONS: u8 = 0xa3;
/// A dNSName is an `IA5String`, which DER never puts together from parts (X.690 §10.2): not 0xa2.
const DNS_NAME: u8 = 0x82;

/// Whether `der` is one certificate whose extensions are the last of what is signed, and in which no octet is
/// left over on the way to them.
pub(super) fn is_whole(der: &[u8]) -> bool {
    whole(der).is_some()
}

fn whole(der: &[u8]) -> Option<()> {
    let [certificate] = elements(der)?.try_into().ok()?;
    let [signed, algorithm, signature] = inside(SEQUENCE, &certificate)?.try_into().ok()?;
    (is(SEQUENCE, &algorithm) && is(BIT_STRING, &signature)).then_some(())?;
    let signed = inside(SEQUENCE, &signed)?;
    // Serial number, algorithm, issuer, validity, subject and key, after the version if one is given.
    let has_version = signed.first().is_some_and(|first| is(VERSION, first));
    let optional = signed.get(if has_version { 7 } else { 6 }..)?;
    let Some((last, others)) = optional.split_last() else { return Some(()) };
    let is_unique = |element: &Any<'_>| UNIQUE_IDENTIFIERS.iter().any(|tag| is(*tag, element));
    others.iter().all(is_unique).then_some(())?;
    if is_unique(last) {
        return Some(());
    }
    let [extensions] = inside(EXTENSIONS, last)?.try_into().ok()?;
    inside(SEQUENCE, &extensions)?.iter().all(is_extension).then_some(())
}

fn is_extension(element: &Any<'_>) -> bool {
    match inside(SEQUENCE, element).as_deref() {
        Some([oid, value]) => is(OBJECT_IDENTIFIER, oid) && is(OCTET_STRING, value),
        Some([oid, critical, value]) => {
            is(OBJECT_IDENTIFIER, oid) && is(BOOLEAN, critical) && is(OCTET_STRING, value)
        }
        _ => false,
    }
}

/// Whether the value of a subject alternative name is a sequence in which every dNSName is one piece.
pub(super) fn has_whole_names(value: &[u8]) -> bool {
    let names = elements(value).and_then(|all| {
        let [names] = all.try_into().ok()?;
        inside(SEQUENCE, &names)
    });
    names.is_some_and(|names| names.iter().all(|name| name.tag() != Tag(2) || is(DNS_NAME, name)))
}

/// How many names stand in the value of a subject alternative name, as far as they can be told apart.
pub(super) fn count_names(value: &[u8]) -> usize {
    let mut rest = Any::from_der(value).map_or(&[][..], |(_, names)| names.data);
    let mut count: usize = 0;
    while let Ok((after, _)) = Any::from_der(rest) {
        (rest, count) = (after, count.saturating_add(1));
    }
    count
}

fn is(tag: u8, element: &Any<'_>) -> bool {
    element.header.raw_tag() == Some(&[tag])
}

fn inside<'a>(tag: u8, element: &Any<'a>) -> Option<Vec<Any<'a>>> {
    is(tag, element).then(|| elements(element.data))?
}

/// The elements one after the other; nothing where octets are left that are none.
fn elements(mut der: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut elements = Vec::new();
    while !der.is_empty() {
        let (rest, element) = Any::from_der(der).ok()?;
        elements.push(element);
        der = rest;
    }
    Some(elements)
}

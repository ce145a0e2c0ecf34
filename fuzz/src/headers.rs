//! `X-Forwarded-Client-Cert`, against a naive parser.

use fedgate_policy::{Certificate, forwarded_certificate};
use sha2::{Digest as _, Sha256};

const KEY: &[u8] = b"Cert=\"";

/// The header, and the digest of one of the certificates in it, or some text in the digest's place.
pub fn forwarded(octets: &[u8]) -> bool {
    let Some((choice, header)) = octets.split_first() else { return false };
    let candidates = candidates(header);
    let chosen = candidates.get(usize::from(choice % 8)).and_then(|text| der_of(text));
    let digest = match &chosen {
        Some(der) if choice & 8 == 0 => hex(der),
        Some(der) => hex(der).to_ascii_uppercase(),
        None => String::from_utf8_lossy(&header[..header.len().min(64)]).into_owned(),
    };
    let Some(found) = forwarded_certificate(header, digest.as_bytes()) else { return false };
    assert!(candidates.iter().take(4).any(|candidate| *candidate == found), "it stands in the header");
    let der = der_of(&found).expect("it is PEM");
    assert_eq!(hex(&der), digest.to_ascii_lowercase(), "it has the digest");
    if let Ok(certificate) = Certificate::parse(&found) {
        assert_eq!(Certificate::parse(&der), Ok(certificate), "PEM and DER are the same");
    }

    let encoded: String = found.iter().map(|octet| format!("%{octet:02X}")).collect();
    let again = format!("Hash={digest};Cert=\"{encoded}\";Subject=\"\"");
    assert_eq!(forwarded_certificate(again.as_bytes(), digest.as_bytes()), Some(found), "the way back");
    true
}

/// What stands in `Cert="…"`, decoded.
fn candidates(header: &[u8]) -> Vec<Vec<u8>> {
    let tails = (0..header.len()).filter_map(|at| header[at..].strip_prefix(KEY));
    tails.map(|tail| decoded(tail.split(|octet| *octet == b'"').next().unwrap_or_default())).collect()
}

pub(crate) fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |octet: Option<&u8>| char::from(*octet?).to_digit(16);
    let (mut octets, mut at) = (Vec::new(), 0);
    while let Some(&octet) = text.get(at) {
        match (octet, digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                octets.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                octets.push(octet);
                at += 1;
            }
        }
    }
    octets
}

/// What stands in the first block of PEM text.
pub(crate) fn der_of(text: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.split('\n').skip_while(|line| !line.starts_with("-----BEGIN "));
    lines.next()?;
    let (mut body, mut ends) = (String::new(), false);
    for line in lines {
        ends = line.starts_with("-----END ");
        if ends {
            break;
        }
        body.push_str(line.trim_end());
    }
    if ends { base64(&body) } else { None }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let (mut octets, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in digits.chars() {
        bits = bits << 6 | DIGITS.find(digit)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(octets)
}

fn hex(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|octet| format!("{octet:02x}")).collect()
}

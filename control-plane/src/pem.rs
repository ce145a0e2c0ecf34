//! A certificate that somebody hands over, as text or in a file. A private key is never taken, nor passed on.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fedgate_policy::{Portrait, legible};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The longest text or file, in octets.
pub(crate) const LONGEST: usize = 400_000;

const BEGIN: &str = "-----BEGIN ";
const KEY: &str = "PRIVATE KEY-----";
const CERTIFICATE: &str = "CERTIFICATE";
const NEITHER: &str = "the certificate is neither PEM nor DER in base64";
/// What is said to whoever sends a key.
pub(crate) const HOLDS_KEY: &str =
    "there is a private key in it, which nobody but its holder may have: send the certificate alone";

/// Whether there is a private key in a text.
pub(crate) fn holds_key(text: &str) -> bool {
    text.contains(KEY)
}

/// The leaf of a text, in DER: the first section of PEM, or DER in base64. Whether it can be read as a certificate is for
/// the decision to say.
pub(crate) fn leaf(text: &str) -> Result<Vec<u8>, String> {
    if holds_key(text) {
        return Err(HOLDS_KEY.to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("the certificate has {} octets, more than {LONGEST}", text.len()));
    }
    let text = text.trim_start_matches('\u{feff}').trim();
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || b"+/=".contains(&b);
    let der = match sections(text).next() {
        Some(section) => decoded(section.certificate()?)?,
        None if text.bytes().all(is_base64) => {
            decoded(&format!("{BEGIN}CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"))?
        }
        None => return Err(NEITHER.to_owned()),
    };
    match der.as_slice() {
        [] => Err("the certificate is empty".to_owned()),
        der if is_key(der) => Err(HOLDS_KEY.to_owned()),
        _ => Ok(der),
    }
}

/// The leaf of a file, as text that [`leaf`] reads: of PEM the first section that is not of a key, and nothing else.
pub(crate) fn of_file(octets: &[u8]) -> Result<String, String> {
    if octets.len() > LONGEST {
        return Err(format!("it has {} octets, more than {LONGEST}", octets.len()));
    }
    let text = String::from_utf8_lossy(octets);
    let mut sections = sections(&text).peekable();
    if sections.peek().is_none() {
        let is_certificate = Portrait::read(octets).is_ok();
        return is_certificate
            .then(|| BASE64_STANDARD.encode(octets))
            .ok_or_else(|| "it holds no certificate: neither PEM nor DER".to_owned());
    }
    let of_key = ["PRIVATE KEY", " PARAMETERS"];
    let first = sections.find(|section| !of_key.iter().any(|end| section.label.ends_with(end)));
    let first = first.ok_or("it holds no certificate, but a key")?;
    first.certificate().map(str::to_owned)
}

/// A section of PEM.
struct Section<'a> {
    label: &'a str,
    /// All of it; none where it does not end.
    text: Option<&'a str>,
}

impl<'a> Section<'a> {
    fn certificate(&self) -> Result<&'a str, String> {
        if self.label != CERTIFICATE {
            let label = legible(self.label, 40);
            return Err(format!(
                "its first section is {label}, and has to be CERTIFICATE: that of the one who calls, not of an authority"
            ));
        }
        self.text.ok_or_else(|| NEITHER.to_owned())
    }
}

fn sections(text: &str) -> impl Iterator<Item = Section<'_>> {
    text.match_indices(BEGIN).filter_map(|(at, _)| {
        let whole = text.get(at..)?;
        let (label, _) = whole.strip_prefix(BEGIN)?.split_once("-----")?;
        let end = format!("-----END {label}-----");
        let text = whole.find(&end).and_then(|at| whole.get(..at.saturating_add(end.len())));
        Some(Section { label, text })
    })
}

fn decoded(pem: &str) -> Result<Vec<u8>, String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    der.map(|der| der.to_vec()).map_err(|_| NEITHER.to_owned())
}

/// Whether that is a key: a sequence that begins with a number (RFC 5208, RFC 5915, RFC 8017), not a sequence.
fn is_key(der: &[u8]) -> bool {
    let rest = match der {
        [0x30, length, rest @ ..] if *length < 0x80 => rest,
        [0x30, length, rest @ ..] => rest.get(usize::from(length & 0x7f)..).unwrap_or_default(),
        _ => return false,
    };
    rest.first() == Some(&0x02)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    const TRUSTED: &str =
        "-----BEGIN TRUSTED CERTIFICATE-----\nMAA=\n-----END TRUSTED CERTIFICATE-----\n";
    const SECRET: &str = "-----BEGIN PRIVATE KEY-----\nMAECAA==\n-----END PRIVATE KEY-----\n";

    #[test]
    fn a_certificate_is_pem_or_der_in_base64_and_nothing_else() {
        let der = Ok(vec![0x30, 0]);
        for (text, expected) in [
            (PEM.to_owned(), &der),
            (format!("\u{feff}{PEM}"), &der),
            (format!("subject=CN = a\n{PEM}{PEM}"), &der),
            (format!("{PEM}{TRUSTED}"), &der),
            ("MAA=".to_owned(), &der),
            (" MA\nA=\n".to_owned(), &der),
            (String::new(), &Err("empty")),
            ("-----BEGIN".to_owned(), &Err("neither")),
            ("-----BEGIN CERTIFICATE-----".to_owned(), &Err("neither")),
            ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".to_owned(), &Err("empty")),
            (format!("{TRUSTED}{PEM}"), &Err("first section is TRUSTED CERTIFICATE")),
            (SECRET.to_owned(), &Err("private key")),
            (format!("{PEM}{SECRET}"), &Err("private key")),
            ("MAMCAQA=".to_owned(), &Err("private key")),
            ("\u{202e}".to_owned(), &Err("neither")),
            (format!("{PEM}{}", " ".repeat(LONGEST)), &Err("more than")),
        ] {
            let read = leaf(&text);
            match (&read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}: {part}"),
                (_, expected) => panic!("{read:?}, not {expected:?}: {}", text.escape_debug()),
            }
        }
    }

    #[test]
    fn of_a_file_the_first_certificate_is_sent_and_never_a_key() {
        let key = KeyPair::generate().unwrap();
        let issued =
            CertificateParams::new(vec!["a.com".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (pem, secret) = (issued.pem(), key.serialize_pem());
        for file in [
            pem.clone(),
            format!("\u{feff}{pem}"),
            format!("{pem}{secret}"),
            format!("{secret}{pem}{PEM}"),
            format!("-----BEGIN EC PARAMETERS-----\nBg==\n-----END EC PARAMETERS-----\n{pem}"),
        ] {
            let sent = of_file(file.as_bytes()).unwrap();
            assert!(!holds_key(&sent), "{sent}");
            assert_eq!(leaf(&sent).unwrap(), issued.der().to_vec());
        }
        assert_eq!(leaf(&of_file(issued.der()).unwrap()).unwrap(), issued.der().to_vec());
        for (file, part) in [
            (secret.as_bytes(), "but a key"),
            (&key.serialize_der(), "neither PEM nor DER"),
            (TRUSTED.as_bytes(), "TRUSTED CERTIFICATE"),
            (b"", "neither PEM nor DER"),
            (b"-----BEGIN CERTIFICATE-----", "neither"),
            (&vec![b' '; LONGEST + 1], "more than"),
        ] {
            let why = of_file(file).unwrap_err();
            assert!(why.contains(part), "{why}: {part}");
        }
    }
}

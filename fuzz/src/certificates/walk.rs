//! DER as tags and lengths, as far as it takes to find a certificate's DNS names.

const SAN: &[u8] = &[0x55, 0x1d, 0x11];

/// Nothing where lengths do not fit; else the dNSNames of all subject alternative names, in whatever octets.
pub(super) fn dns_names(der: &[u8]) -> Option<Vec<Vec<u8>>> {
    let certificate = inside(der, 0x30)?;
    let to_be_signed = inside(certificate, 0x30)?;
    let whole: usize = elements(to_be_signed).map(|(.., size)| size).sum();
    if whole != to_be_signed.len() {
        return None;
    }
    let mut names = Vec::new();
    let Some((_, extensions, _)) = elements(to_be_signed).find(|(tag, ..)| *tag == 0xa3) else {
        return Some(names);
    };
    for (_, extension, _) in elements(inside(extensions, 0x30)?) {
        let mut parts = elements(extension);
        if parts.next()?.1 == SAN {
            let value = parts.find(|(tag, ..)| *tag == 0x04)?.1;
            let all = elements(inside(value, 0x30)?);
            names.extend(all.filter(|(tag, ..)| *tag == 0x82).map(|(_, name, _)| name.to_vec()));
        }
    }
    Some(names)
}

fn inside(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, content, _) = element(der)?;
    (found == tag).then_some(content)
}

/// The elements one after the other, up to where there are no more: tag, content, and size of the whole.
fn elements(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8], usize)> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = element(der)?;
        let size = der.len() - rest.len();
        der = rest;
        Some((tag, content, size))
    })
}

/// The first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, mut rest) = der.split_first()?;
    if tag & 0x1f == 0x1f {
        // A number of more octets, of which the last one has no highest bit.
        let last = rest.iter().position(|octet| octet & 0x80 == 0)?;
        rest = rest.split_at(last + 1).1;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..0x80 => (usize::from(first), rest),
        _ => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0_usize, |sum, &octet| sum << 8 | usize::from(octet)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

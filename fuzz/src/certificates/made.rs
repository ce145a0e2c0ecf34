//! Octets that choose a certificate: one whose shape is right, with hostile things in it.

use crate::input::Input;

const SAN: &[u8] = &[0x55, 0x1d, 0x11];
const PURPOSES: &[u8] = &[0x55, 0x1d, 0x25];
const CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0];
const ALGORITHM: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const NAMES: [&str; 12] = [
    "fed.a.com",
    "*.a.com",
    "FED.A.com",
    "evil.example;DNS=fed.victim.example",
    "fed.victim.example\0.evil.example",
    "*.com",
    "*.*.a.com",
    "f*.a.com",
    "fed.a.com.",
    "192.0.2.1",
    "a_b.com",
    "",
];

/// A certificate; the two highest bits of `how` say how many octets of it are changed.
pub(super) fn certificate(input: &mut Input<'_>, how: u8) -> Vec<u8> {
    let algorithm = sequence(&[oid(ALGORITHM)]);
    let serial_length = usize::from(1 + input.octet() % 20);
    let mut serial = input.take(serial_length).to_vec();
    serial.insert(0, 1);
    let validity = sequence(&[time(input), time(input)]);
    let subject = if how & 1 == 0 { Vec::new() } else { common_name(input) };
    let extensions: Vec<_> = (0..input.octet() % 8).map(|_| extension(input)).collect();
    let mut parts = vec![
        tlv(0xa0, &tlv(0x02, &[2])),
        tlv(0x02, &serial),
        algorithm.clone(),
        tlv(0x30, &[]),
        validity,
        tlv(0x30, &subject),
        sequence(&[algorithm.clone(), tlv(0x03, &[0, 1])]),
    ];
    if !extensions.is_empty() {
        parts.push(tlv(0xa3, &sequence(&extensions)));
    }
    let mut der = sequence(&[sequence(&parts), algorithm, tlv(0x03, &[0, 1])]);
    for _ in 0..how >> 6 {
        let (at, with) = (usize::from(input.short()) % der.len(), input.octet());
        der[at] ^= with;
    }
    der
}

fn common_name(input: &mut Input<'_>) -> Vec<u8> {
    let name = text(input);
    tlv(0x31, &sequence(&[oid(&[0x55, 4, 3]), tlv(0x0c, &name)]))
}

fn time(input: &mut Input<'_>) -> Vec<u8> {
    let mut two = |from: u8, count: u8| format!("{:02}", from + input.octet() % count);
    let parts = [two(0, 100), two(1, 12), two(1, 28), two(0, 24), two(0, 60), two(0, 60)].concat();
    match input.octet() % 16 {
        0..8 => tlv(0x17, format!("{parts}Z").as_bytes()),
        8..14 => tlv(0x18, format!("{}{parts}Z", input.choose(&["20", "19", "99", "00"])).as_bytes()),
        14 => tlv(0x18, format!("20{parts}.5Z").as_bytes()),
        _ => {
            let length = usize::from(input.octet() % 20);
            tlv(0x17, input.take(length))
        }
    }
}

fn extension(input: &mut Input<'_>) -> Vec<u8> {
    let id = input.choose(&[SAN, SAN, SAN, PURPOSES, CONSTRAINTS, &[0x55, 0x1d, 0x0f]]);
    let critical =
        input.choose(&[&[][..], &[], &[0x01, 0x01, 0xff], &[0x01, 0x01, 0x00], &[0x01, 0x01, 0x01]]);
    let mut value = if input.octet() % 16 == 15 {
        let length = usize::from(input.octet());
        input.take(length).to_vec()
    } else if id == SAN {
        let names: Vec<_> = (0..input.octet() % 8).map(|_| general_name(input)).collect();
        sequence(&names)
    } else if id == PURPOSES {
        let purposes: Vec<_> = (0..input.octet() % 4)
            .map(|_| oid(input.choose(&[CLIENT, SERVER, ANY, &[0x2b, 6]])))
            .collect();
        sequence(&purposes)
    } else {
        sequence(&[])
    };
    if input.octet() % 32 == 31 {
        value.push(input.octet());
    }
    tlv(0x30, &[oid(id), critical.to_vec(), tlv(0x04, &value)].concat())
}

fn general_name(input: &mut Input<'_>) -> Vec<u8> {
    let tag =
        input.choose(&[0x82, 0x82, 0x82, 0x81, 0x86, 0x87, 0xa2, 0x88, 0xa4, 0xa0, 0xa3, 0xa5, 0x02]);
    tlv(tag, &text(input))
}

fn text(input: &mut Input<'_>) -> Vec<u8> {
    let choice = usize::from(input.octet());
    NAMES.get(choice % 16).map_or_else(
        || {
            let length = usize::from(input.octet());
            input.take(length).to_vec()
        },
        |name| name.as_bytes().to_vec(),
    )
}

fn oid(octets: &[u8]) -> Vec<u8> {
    tlv(0x06, octets)
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, content.to_vec()].concat()
}

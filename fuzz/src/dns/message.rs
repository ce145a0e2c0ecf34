//! Octets that choose a DNS message: mostly one that fits its question, altered here and there.

use super::second::{self, name_of, uncompressed};
use crate::input::Input;

const TTLS: [u32; 8] = [60, 0, 5, 300, 86_400, 0x7fff_ffff, 0x8000_0000, u32::MAX];
const NAMES: [&str; 12] = [
    "fed.a.com",
    "fed2.a.com",
    "alias.example.net",
    "x.alias.example.net",
    "a.com",
    "com",
    "",
    "example.net",
    "192.0.2.1",
    "a_b.com",
    "-a.com",
    "h",
];
/// Of these, the first ones are what the question asks for, whatever that is.
const KINDS: [u16; 6] = [second::CNAME, second::SOA, second::NS, second::OPT, second::SRV, second::A];

/// The next message to this question.
pub(super) fn make(input: &mut Input<'_>, id: u16, question: &[u8]) -> Vec<u8> {
    let how = input.octet();
    let mut message =
        if how % 4 == 3 { raw(input, how, id, question) } else { built(input, id, question) };
    for _ in 0..how >> 6 {
        let (at, with) = (usize::from(input.short()), input.octet());
        if let Some(octet) = message.get_mut(at) {
            *octet ^= with;
        }
    }
    message
}

/// The input's own octets, with the right id and question for the most part.
fn raw(input: &mut Input<'_>, how: u8, id: u16, question: &[u8]) -> Vec<u8> {
    let length = usize::from(input.short()) % 1024;
    let mut message = input.take(length).to_vec();
    if how & 0b100 == 0 && message.len() >= 12 {
        message[..2].copy_from_slice(&id.to_be_bytes());
        message[2] |= 0x80;
    }
    if how & 0b1000 == 0 && message.len() >= 12 {
        message[4..6].copy_from_slice(&[0, 1]);
        message.splice(12..12, question.iter().copied());
    }
    message
}

fn built(input: &mut Input<'_>, id: u16, question: &[u8]) -> Vec<u8> {
    let id = input.mostly(id);
    let flags = input.mostly(0x8180);
    let code = input.choose(&[0_u16, 0, 0, 0, 0, 0, 3, 3, 2, 5, 16]) & 15;
    let questions = input.mostly(1) % 3;
    let mut sections: [(u16, Vec<u8>); 3] = Default::default();
    for _ in 0..input.octet() % 96 {
        if input.is_empty() {
            break;
        }
        let (which, record) = record(input, question);
        let section = &mut sections[which];
        section.0 += 1;
        section.1.extend(record);
    }
    let mut message = [id, flags | code, questions, sections[0].0, sections[1].0, sections[2].0]
        .iter()
        .flat_map(|part| part.to_be_bytes())
        .collect::<Vec<_>>();
    for _ in 0..questions {
        message.extend(question);
    }
    sections.iter().for_each(|section| message.extend(&section.1));
    message
}

/// A record, and the section where it belongs, or does not.
fn record(input: &mut Input<'_>, question: &[u8]) -> (usize, Vec<u8>) {
    let asked =
        question[question.len() - 4..].first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
    let choice = input.octet();
    let kind = if choice & 1 == 0 { asked } else { KINDS[usize::from(choice >> 1) % KINDS.len()] };
    let usual = match kind {
        second::SOA | second::NS => 1,
        second::OPT => 2,
        _ => 0,
    };
    let section = usize::from(input.mostly(usual) % 3);
    let owner = if kind == second::OPT { vec![0] } else { name(input, question) };
    let class = input.mostly(1);
    let ttl = if kind == second::OPT { u32::from(input.octet()) << 24 } else { input.choose(&TTLS) };
    let data = data(input, kind, question);
    let length = input.mostly(data.len() as u16);
    let kind = input.mostly(kind);
    let head =
        [&kind.to_be_bytes()[..], &class.to_be_bytes(), &ttl.to_be_bytes(), &length.to_be_bytes()];
    (section, [&owner[..], &head.concat(), &data].concat())
}

fn data(input: &mut Input<'_>, kind: u16, question: &[u8]) -> Vec<u8> {
    match kind {
        second::SRV => {
            let (priority, weight, port) = (input.octet() % 4, input.octet(), input.mostly(443));
            let head = [u16::from(priority), u16::from(weight), port].map(u16::to_be_bytes).concat();
            [head, name(input, question)].concat()
        }
        second::CNAME | second::NS => name(input, question),
        second::SOA => {
            let numbers = [1, 1, 1, 1, input.choose(&TTLS)].map(u32::to_be_bytes).concat();
            [name(input, question), name(input, question), numbers].concat()
        }
        second::A => input.take(4).to_vec(),
        second::AAAA => {
            let first = input.choose(&[&[0x2a][..], &[0; 12], &[0x20, 2], &[0x20, 1, 0x0d, 0xb8], &[]]);
            let mut data = [first, input.take(16 - first.len())].concat();
            data.resize(16, 1);
            data
        }
        _ => {
            let length = usize::from(input.octet() % 32);
            input.take(length).to_vec()
        }
    }
}

/// A name: the question's, one of the list, one of many hosts, or something else.
fn name(input: &mut Input<'_>, question: &[u8]) -> Vec<u8> {
    let choice = input.octet();
    let asked = &question[..question.len() - 4];
    match choice {
        0..64 => vec![0xc0, 12],
        64..80 => asked.to_ascii_uppercase(),
        80..96 => asked[1 + usize::from(asked[0])..].to_vec(),
        96..192 => uncompressed(&name_of(NAMES[usize::from(choice) % NAMES.len()])),
        192..224 => uncompressed(&name_of(&format!("h{}.a.com", input.octet()))),
        224..232 => {
            let length = input.octet() % 64;
            let label = input.take(length.into()).to_vec();
            uncompressed(&[label, b"a".to_vec(), b"com".to_vec()])
        }
        232..240 => {
            uncompressed(&vec![vec![b'x'; usize::from(input.octet() % 64)]; usize::from(choice - 231)])
        }
        240..248 => (0xc000 | input.short()).to_be_bytes().to_vec(),
        248.. => {
            let length = usize::from(input.octet());
            input.take(length).to_vec()
        }
    }
}

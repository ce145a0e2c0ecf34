//! The order in which a host's addresses are to be tried: a pure function.
//!
//! Envoy tries the next one 300 ms after the one before, or as soon as that fails, until one has
//! answered (Happy Eyeballs, RFC 8305 §5). Of two that are equal, the first is the one that DNS named first.
//!
//! | what | goes first | after |
//! |---|---|---|
//! | an address that was knocked at in vain, where another opened | that other | RFC 6724 §6, rule 1 |
//! | addresses of one family | what ranks higher in the policy table | RFC 6724 §6, rule 6 |
//! | families | that of the address of the highest rank; then they take turns | RFC 8305 §4 |
//!
//! The rules of RFC 6724 that compare source addresses are left out: those are Envoy's, and we do not
//! know them.

use std::net::IpAddr;

/// Puts addresses into the order in which they are to be tried.
pub(super) fn ordered(addresses: &[IpAddr], is_silent: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let mut sorted = addresses.to_vec();
    sorted.sort_by_key(|&address| (is_silent(address), std::cmp::Reverse(precedence(address))));
    let first_is_v4 = sorted.first().is_some_and(IpAddr::is_ipv4);
    let (firsts, seconds): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut firsts, mut seconds) = (firsts.into_iter(), seconds.into_iter());
    let mut turns = Vec::with_capacity(addresses.len());
    loop {
        let before = turns.len();
        turns.extend(firsts.next());
        turns.extend(seconds.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// The precedence of a destination in the default policy table (RFC 6724 §2.1).
fn precedence(address: IpAddr) -> u8 {
    let IpAddr::V6(address) = address else { return 35 };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => 50,
        [0, 0, 0, 0, 0, 0xffff, ..] => 35,
        [0x2002, ..] => 30,
        [0x2001, 0, ..] => 5,
        [first, ..] if first & 0xfe00 == 0xfc00 => 3,
        [0, 0, 0, 0, 0, 0, ..] | [0xfec0..=0xfeff | 0x3ffe, ..] => 1,
        _ => 40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_what_is_silent_comes_last() {
        for (addresses, silent, expected) in [
            ("1.1.1.2 1.1.1.1", "", "1.1.1.2 1.1.1.1"),
            ("1.1.1.1 1.1.1.2 2606::1", "", "2606::1 1.1.1.1 1.1.1.2"),
            ("1.1.1.1 2606::1 2606::2 2606::3", "", "2606::1 1.1.1.1 2606::2 2606::3"),
            ("1.1.1.1 2606::1 2606::2", "2606::1", "2606::2 1.1.1.1 2606::1"),
            ("1.1.1.1 2606::1 2606::2", "2606::1 2606::2", "1.1.1.1 2606::1 2606::2"),
            ("1.1.1.1 1.1.1.2 1.1.1.3", "1.1.1.1 1.1.1.2", "1.1.1.3 1.1.1.1 1.1.1.2"),
            ("1.1.1.1 fd00::1 2002:101:101::1 2001::1", "", "1.1.1.1 2002:101:101::1 2001::1 fd00::1"),
            ("1.1.1.1 fd00::1 2606::1 ::1", "", "::1 1.1.1.1 2606::1 fd00::1"),
            ("", "", ""),
        ] {
            let parse = |text: &str| -> Vec<IpAddr> {
                text.split_whitespace().map(|address| address.parse().unwrap()).collect()
            };
            let silent = parse(silent);
            let found = ordered(&parse(addresses), |address| silent.contains(&address));
            assert_eq!(found, parse(expected), "{addresses} but {silent:?}");
        }
    }
}

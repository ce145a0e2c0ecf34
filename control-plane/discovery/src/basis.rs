//! What findings rest on: the settings that say which of DNS's answers are acceptable.

use std::fmt::Write as _;
use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use super::TtlBounds;
use super::dnssec::Dnssec;

/// Counts the changes of our own rules after which an earlier finding might be none today.
const RULES: u32 = 1;

/// A digest of all that findings rest on. What was found on another basis might not be found on this:
/// by other servers, with addresses that are no longer allowed, without a proof that is now wanted.
///
/// How long an answer may live at most is no part of it: that bounds what is remembered, too.
pub(super) fn basis(
    servers: &[SocketAddr],
    bounds: TtlBounds,
    private_addresses: bool,
    dnssec: &Dnssec,
) -> String {
    let mut servers = servers.to_vec();
    servers.sort_unstable();
    // Also where nothing has to be proven, single domains may.
    let dnssec = format!("{dnssec} {}", dnssec.anchors.text());
    let settings = format!("{RULES}\n{servers:?}\n{:?}\n{private_addresses}\n{dnssec}", bounds.min);
    Sha256::digest(settings).iter().take(8).fold(String::new(), |mut text, byte| {
        // Nothing that is written to a text fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::dnssec::Demand;
    use super::super::dnssec::anchors::Anchors;
    use super::*;

    #[test]
    fn whatever_findings_rest_on_makes_another_basis_and_nothing_else_does() {
        let on = |demand, anchors| Dnssec { demand: Some(demand), anchors };
        let bounds =
            |min, max| TtlBounds { min: Duration::from_secs(min), max: Duration::from_secs(max) };
        let servers = |text: &str| text.split(' ').map(|it| it.parse().unwrap()).collect::<Vec<_>>();
        let (one, two) = (servers("192.0.2.1:53"), servers("192.0.2.1:53 192.0.2.2:53"));
        let anchors =
            |digest: &str| Anchors::parse(&format!(". DS 1 8 2 {}", digest.repeat(32))).unwrap();
        let (first, second) = (anchors("E0"), anchors("E1"));
        let of =
            |servers: &[_], min, private, dnssec| basis(servers, bounds(min, 600), private, &dnssec);
        let all = [
            of(&[], 5, false, Dnssec::default()),
            of(&one, 5, false, Dnssec::default()),
            of(&two, 5, false, Dnssec::default()),
            of(&one, 6, false, Dnssec::default()),
            of(&one, 5, true, Dnssec::default()),
            of(&one, 5, false, on(Demand::Opportunistic, Anchors::default())),
            of(&one, 5, false, on(Demand::Require, Anchors::default())),
            of(&one, 5, false, on(Demand::Require, first)),
            of(&one, 5, false, on(Demand::Require, second)),
        ];
        for (number, basis) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == basis), Some(number));
            assert_eq!(basis.len(), 16);
        }
        assert_eq!(basis(&one, bounds(5, 1), false, &Dnssec::default()), all[1]);
        let turned: Vec<_> = two.iter().rev().copied().collect();
        assert_eq!(of(&turned, 5, false, Dnssec::default()), all[2]);
    }
}

//! On whose behalf a domain is looked up, and what part of the room for lookups each may take.
//!
//! A lookup takes as long as DNS is silent, and whoever holds a trusted certificate can make domains up. So
//! the room is shared out: the more somebody has under way, the more must be free for one more. A peer that
//! is alone takes 15 hundredths of it, two 12 each, 71 one each; and the last quarter is for those alone who
//! have nothing under way, so that whoever comes next gets in.

use std::fmt;
use std::str::FromStr;

/// How many times what an asker has under way must be free, besides the part that is kept for newcomers.
const FREE: usize = 4;
const KEPT: usize = 4;
/// How much of a certificate's SHA-256 stands for it, in hexadecimal digits.
const DIGITS: usize = 16;

/// On whose behalf the control plane is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// One of our own services.
    Ours,
    /// Another backend, by the beginning of its certificate's SHA-256; 0 where that is not known.
    Peer(u64),
}

/// Room for so many lookups at one time.
#[derive(Clone, Copy, Debug)]
pub struct Room(pub usize);

// === impl Asker ===

impl Asker {
    /// A peer, by its certificate's SHA-256 in hexadecimal.
    pub fn peer(digest: &[u8]) -> Self {
        let digits = digest.get(..DIGITS).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let number =
            digits.and_then(|digits| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        Self::Peer(number.unwrap_or_default())
    }
}

/// As the control plane is told: `ours`, or 16 hexadecimal digits.
impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => f.write_str("ours"),
            Self::Peer(number) => write!(f, "{number:0DIGITS$x}"),
        }
    }
}

/// Whatever is neither is a peer that is not known, who shares with all such.
impl FromStr for Asker {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "ours" => Self::Ours,
            digits if digits.len() == DIGITS => Self::peer(digits.as_bytes()),
            _ => Self::Peer(0),
        })
    }
}

// === impl Room ===

impl Room {
    /// Whether there is room for one more lookup, where `taken` are under way, `own` of them the peer's that
    /// asks.
    pub fn admits(self, taken: usize, own: usize) -> bool {
        let free = self.0.saturating_sub(taken);
        let kept = if own == 0 { 0 } else { self.0 / KEPT };
        own.saturating_mul(FREE) < free.saturating_sub(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room(1000);

    #[test]
    fn an_asker_is_read_as_it_is_written() {
        let digest = b"72BB33d827a781e2345974625b2378a9f70f1cad0738b1392fc42b05c68b5c9e";
        for (asker, text) in [
            (Asker::Ours, "ours"),
            (Asker::peer(digest), "72bb33d827a781e2"),
            (Asker::Peer(1), "0000000000000001"),
        ] {
            assert_eq!(asker.to_string(), text);
            assert_eq!(text.parse(), Ok(asker));
        }
        for text in [
            "",
            "Ours",
            "72bb33d827a781e",
            "72bb33d827a781e21",
            "+2bb33d827a781e2",
            "\u{fc}2bb33d827a781e",
        ] {
            assert_eq!(text.parse(), Ok(Asker::Peer(0)), "{text}");
        }
        for digest in [&b""[..], b"72bb", b"+2bb33d827a781e2", b"\xff2bb33d827a781e2"] {
            assert_eq!(Asker::peer(digest), Asker::Peer(0));
        }
    }

    /// What each of so many peers gets who ask without end, one after the other, while places come free.
    fn shares(room: Room, peers: usize) -> Vec<usize> {
        let mut own = vec![0_usize; peers];
        for _ in 0..50 {
            for peer in 0..peers {
                // Some answers come, and as many questions as it may ask.
                own[peer] = own[peer].saturating_sub(own[peer].div_ceil(4));
                while room.admits(own.iter().sum(), own[peer]) {
                    own[peer] = own[peer].saturating_add(1);
                }
            }
        }
        own
    }

    #[test]
    fn who_is_alone_takes_a_part_and_many_share_alike() {
        assert_eq!(shares(ROOM, 1), [150]);
        for (peers, fair) in [(2, 125), (5, 83), (20, 31), (71, 10)] {
            let own = shares(ROOM, peers);
            assert!(own.iter().all(|own| own.abs_diff(fair) <= fair / 4 + 2), "{peers}: {own:?}");
        }
    }

    #[test]
    fn who_has_nothing_under_way_gets_in_whatever_others_do() {
        for peers in [1, 2, 10, 100, 200] {
            let taken = shares(ROOM, peers).iter().sum();
            assert!(ROOM.admits(taken, 0), "{taken} taken by {peers}");
        }
        assert!(ROOM.admits(999, 0));
        assert!(!ROOM.admits(1000, 0));
        assert!(!ROOM.admits(usize::MAX, 0) && !ROOM.admits(0, usize::MAX));
    }
}

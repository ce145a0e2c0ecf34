//! Where a filter is in the log, as the text that it sends back.

use std::fmt;
use std::str::FromStr;

/// How far a filter has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The process whose log this is.
    pub(super) epoch: u64,
    /// The changes up to here have been told.
    pub(super) position: u64,
    /// Set while pages follow: the removals up to here are none to the filter, whose table began
    /// after them.
    pub(super) began: Option<u64>,
    /// The same, for every control plane that shares our store.
    pub(super) shared: Option<Shared>,
}

/// How far a filter has come in what a store tells all who share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// The list's revision.
    pub(super) revision: i64,
    /// The name of the write that made it: see [`State::seal`](fedgate_allow_list::State::seal).
    pub(super) seal: String,
    /// The store's own revision up to which findings had been heard.
    pub(super) heard: i64,
    /// What verdicts rest on; see [`FeedPage::basis`](fedgate_policy::FeedPage::basis).
    pub(super) basis: String,
}

/// A text that is no cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, position, began, shared } = self;
        write!(f, "{epoch:016x}.{position}")?;
        began.map_or(Ok(()), |began| write!(f, ".{began}"))?;
        let Some(Shared { revision, seal, heard, basis }) = shared else { return Ok(()) };
        write!(f, "-{revision}.{seal}.{heard}.{basis}")
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let number = |text: &str| text.parse().map_err(|_| NoCursor);
        let (own, shared) = text.split_once('-').map_or((text, None), |(own, rest)| (own, Some(rest)));
        let mut parts = own.split('.');
        let (Some(epoch), Some(position), began, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoCursor);
        };
        Ok(Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| NoCursor)?,
            position: number(position)?,
            began: began.map(number).transpose()?,
            shared: shared.map(str::parse).transpose()?,
        })
    }
}

impl FromStr for Shared {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|it| *it >= 0).ok_or(NoCursor);
        let parts: Vec<_> = text.split('.').collect();
        let &[revision, seal, heard, basis] = parts.as_slice() else { return Err(NoCursor) };
        if !seal.bytes().chain(basis.bytes()).all(|b| b.is_ascii_alphanumeric()) {
            return Err(NoCursor);
        }
        let (seal, basis) = (seal.to_owned(), basis.to_owned());
        Ok(Self { revision: number(revision)?, seal, heard: number(heard)?, basis })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let shared =
            Shared { revision: 7, seal: "00ff".to_owned(), heard: i64::MAX, basis: "b".to_owned() };
        for shared in [None, Some(shared)] {
            for began in [None, Some(0), Some(9)] {
                for (epoch, position) in [(0, 0), (1, 7), (u64::MAX, u64::MAX)] {
                    let cursor = Cursor { epoch, position, began, shared: shared.clone() };
                    let text = cursor.to_string();
                    assert_eq!(text.parse(), Ok(cursor));
                    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
                    assert!(text.bytes().all(is_plain), "fits a query");
                }
            }
        }
    }

    #[test]
    fn other_texts_are_no_cursors() {
        let huge = "18446744073709551616";
        for text in ["", ".", "1", "1.", "1.x", "1.-1", "x.1", "1.2.", "1.2.x", "1.2.3.4", "\0", huge] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
        assert_eq!(format!("1.{huge}").parse::<Cursor>(), Err(NoCursor));
        for shared in [
            "",
            "1",
            "1.a",
            "1.a.1",
            "-1.a.1.b",
            "1.a.-1.b",
            "1.a.1.b.1",
            "1.!.1.b",
            "1.a.1.!",
            "x.a.1.b",
            "1.a.x.b",
        ] {
            assert_eq!(format!("1.2-{shared}").parse::<Cursor>(), Err(NoCursor), "{shared}");
        }
    }
}

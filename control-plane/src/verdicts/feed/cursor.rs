//! Where a filter is in the log, as the text that it sends back.

use std::fmt;
use std::str::FromStr;

/// How far a filter has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The process whose log this is.
    pub(super) epoch: u64,
    /// The changes up to here have been told.
    pub(super) position: u64,
    /// Set while pages follow: the removals up to here are none to the filter, whose table began
    /// after them.
    pub(super) began: Option<u64>,
}

/// A text that is no cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.epoch, self.position)?;
        self.began.map_or(Ok(()), |began| write!(f, ".{began}"))
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let number = |text: &str| text.parse().map_err(|_| NoCursor);
        let mut parts = text.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(epoch), Some(position), began, None) => Ok(Self {
                epoch: u64::from_str_radix(epoch, 16).map_err(|_| NoCursor)?,
                position: number(position)?,
                began: began.map(number).transpose()?,
            }),
            _ => Err(NoCursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        for began in [None, Some(0), Some(9)] {
            for (epoch, position) in [(0, 0), (1, 7), (u64::MAX, u64::MAX)] {
                let cursor = Cursor { epoch, position, began };
                let text = cursor.to_string();
                assert_eq!(text.parse(), Ok(cursor));
                assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'), "fits a query");
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
    }
}

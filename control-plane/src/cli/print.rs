//! The only place that prints. What is printed holds text that others chose, so that nothing goes out which is
//! not seen; see [`crate::plain`].

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::plain::{self, Plain};

/// A line of what was asked for. A reader that has seen enough, such as `head`, is no error.
pub(super) fn line(text: impl Display) -> io::Result<()> {
    whole(&Plain(text))
}

/// A line of what does not end; a reader that is gone is an error, so that it does.
pub(super) fn live_line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{}", Plain(text))
}

/// Clears the screen, where there is one.
pub(super) fn clear() -> io::Result<()> {
    let mut out = io::stdout();
    if out.is_terminal() { write!(out, "\x1b[2J\x1b[H") } else { Ok(()) }
}

/// JSON on a line of its own, of what does not end.
pub(super) fn live_json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{}", plain::json(&value.to_string()))
}

/// Text of many lines, in which nothing is that is not seen.
pub(super) fn text(text: &str) -> io::Result<()> {
    text.lines().try_for_each(line)
}

/// JSON, readable for people also.
pub(super) fn json(value: &Value) -> io::Result<()> {
    whole(&plain::json(&format!("{value:#}")))
}

/// What went wrong, over as many lines as it has.
pub(super) fn error(text: &str) {
    text.trim_end().lines().for_each(remark);
}

/// What went wrong, as one line of JSON.
pub(super) fn error_json(value: &Value) {
    tell(&plain::json(&value.to_string()));
}

/// A remark beside what was asked for.
pub(super) fn remark(text: impl Display) {
    tell(&Plain(text));
}

fn whole(text: &dyn Display) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn tell(text: &dyn Display) {
    // Where nobody can be told, the exit code tells. (`eprintln!` would panic.)
    let _ = writeln!(io::stderr(), "{text}");
}

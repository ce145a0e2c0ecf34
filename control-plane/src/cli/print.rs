//! The only place that prints.
#![allow(clippy::print_stderr, reason = "this is where a command line speaks")]

use std::io::{self, Write};

/// A line of what was asked for. A reader that has seen enough, such as `head`, is no error.
pub(super) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// JSON, readable for people also.
pub(super) fn json(value: &serde_json::Value) -> io::Result<()> {
    line(format_args!("{value:#}"))
}

/// What went wrong.
pub(super) fn error(error: &dyn std::error::Error) {
    eprintln!("fedgate: {error}");
}

/// A remark beside what was asked for.
pub(super) fn remark(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

//! The log, on standard error: as text for people, or as a JSON object in each line.
//!
//! Nothing that is not seen goes into it as it is, see [`crate::plain`]: a line holds what others sent us.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::config::LogFormat;
use crate::plain::{self, Plain};

/// Has other things logged from now on.
pub(crate) type SetFilter = Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Begins to log.
pub(crate) fn start(format: LogFormat, filter: EnvFilter) -> SetFilter {
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Text => {
            let fields = debug_fn(field).delimited(" ");
            let logs = logs.with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
            let logs = logs.fmt_fields(fields).with_filter_reloading();
            let handle = logs.reload_handle();
            logs.init();
            Arc::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
        LogFormat::Json => {
            let logs = logs.with_writer(|| PlainJson(io::stderr())).json().flatten_event(true);
            let logs = logs.with_filter_reloading();
            let handle = logs.reload_handle();
            logs.init();
            Arc::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
    }
}

/// Writes a field of a line of text.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let value = Plain(format_args!("{value:?}"));
    match field.name() {
        "message" => write!(writer, "{value}"),
        name => write!(writer, "{name}={value}"),
    }
}

/// Writes lines of JSON, each of which comes whole.
struct PlainJson<W>(W);

impl<W: Write> Write for PlainJson<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(plain::json(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::subscriber::with_default;

    use super::*;

    /// What somebody else chose.
    const TEXT: &str = "ü\u{202e}\u{1b}[2J\n\u{9b}x";

    fn log() {
        tracing::warn!(shown = %TEXT, quoted = TEXT, "of {TEXT}");
    }

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_line_of_text_is_one_line_with_nothing_unseen() {
        let memory = Memory::default();
        let writer = memory.clone();
        let logs = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false);
        with_default(logs.fmt_fields(debug_fn(field).delimited(" ")).finish(), log);
        let text = memory.text();
        let plain = "ü\\u{202e}\\u{1b}[2J\\n\\u{9b}x";
        let expected = format!("of {plain} shown={plain} quoted=\"{plain}\"\n");
        assert!(text.ends_with(&expected), "{text}");
    }

    #[test]
    fn a_line_of_json_says_the_same_with_nothing_unseen() {
        let memory = Memory::default();
        let writer = memory.clone();
        let logs = tracing_subscriber::fmt().with_writer(move || PlainJson(writer.clone()));
        with_default(logs.json().flatten_event(true).finish(), log);
        let text = memory.text();
        assert!(!text.contains(['\u{202e}', '\u{1b}', '\u{9b}']), "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["shown"], &line["quoted"]), (&TEXT.into(), &TEXT.into()));
    }
}

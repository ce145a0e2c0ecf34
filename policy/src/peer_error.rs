//! What another backend says of an error, as far as it goes on to our own services.

use std::fmt::{self, Display};

use serde::Serialize;
use serde_json::Value;

/// How many characters of another backend's label count; none of Wire's is half as long.
const MAX_LABEL: usize = 100;
/// How many characters of its message count.
const MAX_MESSAGE: usize = 1000;
/// How many of them our own message repeats.
const MAX_REPEATED: usize = 200;

/// What another backend says of an error, in the form that Wire's services give an error. They decide by
/// it: a notification that is `bad-request` to its receiver is dropped, any other is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerError {
    /// An HTTP status, which need not be that of the response.
    pub code: u16,
    /// For machines; `unknown-error` where the body is no error of Wire's.
    pub label: String,
    /// For people, up to 1,000 characters.
    pub message: String,
}

// === impl PeerError ===

impl PeerError {
    /// Reads the body of a response with this status. Only code, label and message of an error count,
    /// whatever else is in it.
    pub fn read(status: u16, body: &[u8]) -> Self {
        Self::of_wire(body).unwrap_or_else(|| Self {
            code: status,
            label: "unknown-error".to_owned(),
            message: beginning(String::from_utf8_lossy(body).trim(), MAX_MESSAGE),
        })
    }

    fn of_wire(body: &[u8]) -> Option<Self> {
        let error: Value = serde_json::from_slice(body).ok()?;
        let text = |key| error.get(key).and_then(Value::as_str);
        let code = error.get("code")?.as_u64().filter(|code| (100..=999).contains(code))?;
        let label = text("label").filter(|label| !label.is_empty() && label.len() <= MAX_LABEL)?;
        let message = beginning(text("message")?, MAX_MESSAGE);
        Some(Self { code: u16::try_from(code).ok()?, label: label.to_owned(), message })
    }
}

/// `label: message`, on one line, and its beginning only: the whole is in `inner`.
impl Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = beginning(&self.message, MAX_REPEATED).replace(char::is_control, " ");
        f.write_str(&self.label.replace(char::is_control, " "))?;
        if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
    }
}

fn beginning(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_as_wires_or_told_as_unknown() {
        for (body, code, label, message) in [
            (r#"{"code":400,"label":"bad-request","message":"no"}"#, 400, "bad-request", "no"),
            (r#"{"code":400,"label":"bad-request","message":"a\nb"}"#, 400, "bad-request", "a\nb"),
            (r#" {"message":"","label":"x","code":999,"data":{"a":1},"inner":{}}"#, 999, "x", ""),
        ] {
            let (label, message) = (label.to_owned(), message.to_owned());
            assert_eq!(PeerError::read(502, body.as_bytes()), PeerError { code, label, message });
        }
        for text in [
            r#"{"code":400,"message":"no label"}"#,
            r#"{"code":"400","label":"x","message":""}"#,
            r#"{"code":400,"label":7,"message":""}"#,
            r#"{"code":1e3,"label":"x","message":""}"#,
            r#"{"code":99,"label":"x","message":""}"#,
            r#"{"code":400,"label":"","message":""}"#,
            r#"{"code":400,"label":"x"}"#,
            r#"[{"code":400,"label":"x","message":""}]"#,
            "<html>bad\r\ngateway</html>",
            "",
        ] {
            let (label, message) = ("unknown-error".to_owned(), text.to_owned());
            let body = format!("{text}\n");
            let read = PeerError::read(502, body.as_bytes());
            assert_eq!(read, PeerError { code: 502, label, message });
        }
        let of = |length: usize| {
            let body = format!(r#"{{"code":400,"label":"x","message":"{}"}}"#, "é".repeat(length));
            PeerError::read(400, body.as_bytes()).message.chars().count()
        };
        assert_eq!((of(MAX_MESSAGE), of(MAX_MESSAGE + 1)), (MAX_MESSAGE, MAX_MESSAGE + 1));
        assert_eq!(of(60_000), MAX_MESSAGE + 1, "and its end is marked");
        let long = format!(r#"{{"code":400,"label":"{}","message":""}}"#, "x".repeat(MAX_LABEL + 1));
        assert_eq!(PeerError::read(400, long.as_bytes()).label, "unknown-error");
        assert_eq!(PeerError::read(500, &[0xff; 4000]).message.chars().count(), MAX_MESSAGE + 1);
    }
}

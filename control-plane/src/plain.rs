//! Text that others chose, made harmless to whoever reads it: on a terminal, a character that is not seen can
//! move the cursor, turn the direction of writing around, or make one name look like another.

use std::fmt::{self, Display, Write};

/// Shows what it holds with every character that is not seen escaped, as `\u{202e}`; line feeds too.
pub(crate) struct Plain<T>(pub(crate) T);

/// Passes on what is written, escaped.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '\n' => self.0.write_str("\\n"),
            '\t' => self.0.write_str("\\t"),
            c if is_unseen(c) => write!(self.0, "{}", c.escape_unicode()),
            c => self.0.write_char(c),
        })
    }
}

/// JSON that says the same, with every character that is not seen as `\u202e`, but for line feeds, which stand
/// between its parts. (JSON itself demands that for the first 32 alone.)
pub(crate) fn json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_unseen(c) {
            plain.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    plain
}

/// A page with every character that is not seen as `\\u{202e}`, but for line feeds, which stand between its parts.
pub(crate) fn page(text: String) -> String {
    if !text.chars().any(|c| c != '\n' && is_unseen(c)) {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_unseen(c) {
            plain.push(c);
        } else if c == '\r' {
            // Of a browser's line end.
        } else {
            plain.extend(c.escape_unicode());
        }
    }
    plain
}

/// A string of JSON as TOML has it, with every character that is not seen as `\u202E` or `\U000E0041`.
pub(crate) fn toml(json: &str) -> String {
    let escaped = |c: char| match u32::from(c) {
        code @ ..=0xffff => format!("\\u{code:04X}"),
        code => format!("\\U{code:08X}"),
    };
    json.chars().map(|c| if is_unseen(c) { escaped(c) } else { c.to_string() }).collect()
}

/// Whether a reader sees nothing of this character, or cannot tell it from a space.
fn is_unseen(c: char) -> bool {
    match c {
        // As nearly all are.
        ' '..='~' => false,
        // Marks that change no glyph, fillers, and what chooses among the forms of a glyph: letters or marks
        // to Unicode, and nothing to the eye.
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0100}'..='\u{e01ef}' => true,
        c => {
            // Controls, formats, separators, and what is not assigned: the standard library knows the table.
            // Behind a letter it leaves accents as they are.
            let mut letters = [0; 8];
            let mut text = String::from("a");
            text.push_str(c.encode_utf8(&mut letters));
            text.escape_debug().nth(1) == Some('\\')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_escaped_and_what_is_seen_is_not() {
        for (text, expected) in [
            ("contract 17, \"ask\" Alice's \\o/", "contract 17, \"ask\" Alice's \\o/"),
            ("Bücher · 本 · עברית · e\u{301} · नमस्ते", "Bücher · 本 · עברית · e\u{301} · नमस्ते"),
            ("\u{1b}[2Ja\u{7}\u{7f}\0", "\\u{1b}[2Ja\\u{7}\\u{7f}\\u{0}"),
            ("a\nb\tc\r", "a\\nb\\tc\\u{d}"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
            (
                "\u{202e}moc\u{2066}\u{2069}\u{200f}\u{61c}",
                "\\u{202e}moc\\u{2066}\\u{2069}\\u{200f}\\u{61c}",
            ),
            (
                "a\u{200b}b\u{200d}c\u{2060}\u{feff}\u{ad}",
                "a\\u{200b}b\\u{200d}c\\u{2060}\\u{feff}\\u{ad}",
            ),
            ("a\u{a0}b\u{3000}\u{2028}", "a\\u{a0}b\\u{3000}\\u{2028}"),
            ("a\u{34f}\u{fe0f}\u{3164}\u{e0041}", "a\\u{34f}\\u{fe0f}\\u{3164}\\u{e0041}"),
        ] {
            assert_eq!(Plain(text).to_string(), expected);
        }
    }

    #[test]
    fn json_is_the_same_json_with_nothing_unseen() {
        let value = serde_json::json!({ "note": "a\u{202e}\u{9b}\u{e0041}\n\u{200b}ü\"" });
        let plain = json(&format!("{value:#}"));
        assert!(plain.contains("a\\u202e\\u009b\\udb40\\udc41\\n\\u200bü\\\""), "{plain}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
    }
}

//! Text from outside, for a log or a terminal: short, and without what moves the cursor or turns a line around.

/// `text` in at most `most` characters, and `…` where it was cut. Control characters, and those that are not
/// seen or change the direction of writing (Unicode's categories Cc, and Cf as far as it is used for that),
/// are escaped as `\u{202e}`.
pub fn legible(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(most) {
        if is_deceptive(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::legible;

    #[test]
    fn what_is_shown_is_seen_as_it_is() {
        for (text, most, expected) in [
            ("infra.a.com", 100, "infra.a.com"),
            ("Bücher GmbH", 100, "Bücher GmbH"),
            ("", 0, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "abc…"),
            ("ab", 0, "…"),
            ("a\nb\0\u{1b}[2J", 100, "a\\u{a}b\\u{0}\\u{1b}[2J"),
            ("\u{202e}moc.a\u{2066}", 100, "\\u{202e}moc.a\\u{2066}"),
            ("a\u{85}b\u{feff}\u{200b}", 100, "a\\u{85}b\\u{feff}\\u{200b}"),
        ] {
            assert_eq!(legible(text, most), expected, "{}", text.escape_debug());
        }
    }
}

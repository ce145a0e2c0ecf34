//! Tables and texts that fit the terminal on which they are shown. Elsewhere they are as wide as what they hold, so that a
//! program has all of it.

use std::io::{self, IsTerminal};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::plain::Plain;

/// What stands between two columns.
const GAP: &str = "  ";
/// No column is made narrower than this, whatever the terminal.
const NARROWEST: usize = 8;

/// How many columns of letters the terminal has on which we print: as `COLUMNS` says, or else itself. None where it
/// is no terminal.
pub(super) fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|it| *it > 0);
    said.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into()))
}

/// The lines of a table, no wider than `room`; the widest columns give way first.
pub(super) fn lines<const N: usize>(rows: &[[String; N]], room: Option<usize>) -> Vec<String> {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| Plain(cell).to_string())).collect();
    let mut widths = [0; N];
    for (cell, width) in rows.iter().flat_map(|row| row.iter().zip(0..N)) {
        if let Some(widest) = widths.get_mut(width) {
            *widest = cell.width().max(*widest);
        }
    }
    if let Some(room) = room {
        fit(&mut widths, room);
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let cells = cells.map(|(cell, width)| padded(cut(cell, width), width));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Takes from the widest, and of several from the last, until all have room.
fn fit(widths: &mut [usize], room: usize) {
    let columns = widths.iter().filter(|width| **width > 0).count();
    let gaps = columns.saturating_sub(1).saturating_mul(GAP.len());
    while widths.iter().sum::<usize>().saturating_add(gaps) > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest = widest.saturating_sub(1),
            Some(_) | None => return,
        }
    }
}

fn padded(mut cell: String, width: usize) -> String {
    let missing = width.saturating_sub(cell.width());
    cell.extend(std::iter::repeat_n(' ', missing));
    cell
}

/// As much of a text as has room, with a sign that there was more.
pub(super) fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or_default()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

/// A text in rows that a terminal has room for, broken between words; the rows after the first are indented. What is
/// too much for so many rows is cut.
pub(super) fn wrapped(text: &str, room: Option<usize>, rows: usize, indent: usize) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let mut lines = Vec::new();
    let mut rest = text.to_owned();
    while rest.width() > room && lines.len().saturating_add(1) < rows {
        let within = rest.char_indices().scan(0_usize, |width, (at, c)| {
            *width = width.saturating_add(c.width().unwrap_or_default());
            Some((at, c, *width))
        });
        // The last space that is not part of the indentation, before what has no room.
        let space = within
            .take_while(|(_, c, width)| {
                *width <= room || (*c == ' ' && *width == room.saturating_add(1))
            })
            .filter(|(at, c, _)| *c == ' ' && rest.get(..*at).is_some_and(|it| !it.trim().is_empty()))
            .last();
        let Some((row, left)) = space.and_then(|(at, ..)| rest.split_at_checked(at)) else { break };
        let (row, left) = (row.trim_end().to_owned(), format!("{:indent$}{}", "", left.trim_start()));
        // A word that is wider than the terminal is cut.
        if left.len() >= rest.len() {
            break;
        }
        lines.push(row);
        rest = left;
    }
    lines.push(cut(&rest, room));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(room: Option<usize>, rows: &[[&str; 3]]) -> String {
        let rows: Vec<_> = rows.iter().map(|row| row.map(ToOwned::to_owned)).collect();
        lines(&rows, room).join("\n")
    }

    #[test]
    fn columns_are_as_wide_as_what_they_hold_and_nothing_is_cut_without_a_terminal() {
        let long = "x".repeat(300);
        let shown = table(None, &[["a.com", "ok", &long], ["company-b.com", "failing", ""]]);
        assert_eq!(shown, format!("a.com          ok       {long}\ncompany-b.com  failing"));
    }

    #[test]
    fn a_table_fits_the_terminal_and_the_widest_column_gives_way() {
        for (room, expected) in [
            (80, "a.com  ok  a note of thirty-two characters."),
            (43, "a.com  ok  a note of thirty-two characters."),
            (42, "a.com  ok  a note of thirty-two character…"),
            (20, "a.com  ok  a note o…"),
            // There is an end to it.
            (1, "a.com  ok  a note …"),
        ] {
            let row = ["a.com", "ok", "a note of thirty-two characters."];
            assert_eq!(table(Some(room), &[row]), expected, "{room}");
        }
        let names = table(Some(30), &[["a-very-long-name.example.com", "ok", "a note"]]);
        assert_eq!(names, "a-very-long-name.…  ok  a note");
    }

    #[test]
    fn wide_and_narrow_characters_are_counted_as_they_are_seen() {
        for (text, room, expected) in [
            ("本本本本", 8, "本本本本"),
            ("本本本本", 7, "本本本…"),
            ("本本本本", 6, "本本…"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
        ] {
            assert_eq!(cut(text, room), expected, "{text} in {room}");
        }
        assert_eq!(table(None, &[["本", "x", ""], ["abc", "y", ""]]), "本   x\nabc  y");
    }

    #[test]
    fn a_column_in_which_nothing_is_takes_no_room_and_what_is_not_seen_is_shown() {
        assert_eq!(table(None, &[["a.com", "", "a\u{202e}\nb"]]), "a.com  a\\u{202e}\\nb");
    }

    #[test]
    fn rows_break_between_words_and_what_has_no_end_is_cut() {
        for (text, room, rows, expected) in [
            ("- a bc", 6, 9, &["- a bc"][..]),
            ("- a bcd", 6, 9, &["- a", "  bcd"]),
            ("- a bcd efgh", 6, 9, &["- a", "  bcd", "  efgh"]),
            ("- a bcd efgh", 6, 2, &["- a", "  bcd…"]),
            ("- 本本 本本", 7, 9, &["- 本本", "  本本"]),
            ("- abcdefghi", 6, 9, &["- abc…"]),
            ("", 6, 9, &[""]),
        ] {
            assert_eq!(wrapped(text, Some(room), rows, 2), expected, "{text} in {room}");
        }
    }
}

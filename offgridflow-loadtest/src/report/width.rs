//! Text in columns of a terminal.

/// What ends a text that was cut.
const CUT: char = '…';

/// One line of at most `columns`, whatever was said: control characters are escaped, and what is too long is cut.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let escaped = one_line(text);
    if width(&escaped) <= columns {
        return escaped;
    }
    let mut kept = String::new();
    let mut used = 1; // the mark
    for c in escaped.chars() {
        used += of_char(c);
        if used > columns {
            break;
        }
        kept.push(c);
    }
    kept.push(CUT);
    kept
}

/// [`fit`], filled up with blanks.
pub(super) fn column(text: &str, columns: usize) -> String {
    let fitted = fit(text, columns);
    let blanks = columns.saturating_sub(width(&fitted));
    format!("{fitted}{:blanks$}", "")
}

/// With escapes for control characters, line breaks among them, and for those that turn the direction of text.
pub(crate) fn one_line(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}');
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// How many columns a terminal gives a text without control characters.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(of_char).sum()
}

/// Two for what East Asian scripts and pictures take, none for marks on the character before (Unicode Standard Annex 11, in
/// blocks).
fn of_char(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036F | 0x200B..=0x200F | 0x20D0..=0x20FF | 0xFE00..=0xFE0F | 0xFE20..=0xFE2F => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0xA4CF
        | 0xA960..=0xA97F
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF01..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F900..=0x1F9FF
        | 0x2_0000..=0x3_FFFD => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_by_what_it_takes_on_a_screen() {
        for (text, columns, expected) in [
            ("GET /a", 10, "GET /a"),
            ("GET /sites", 8, "GET /si…"),
            ("排出量の一覧", 7, "排出量…"),
            ("排出量の一覧", 8, "排出量…"), // half a character is none
            ("cafe\u{301}s", 5, "cafe\u{301}s"),
            ("a\nb\tc\u{1b}[31m", 40, "a\\nb\\tc\\u{1b}[31m"),
        ] {
            assert_eq!(fit(text, columns), expected);
        }
        assert_eq!(column("量", 4), "量  ");
    }

    proptest! {
        #[test]
        fn a_column_is_one_line_of_its_width(text in any::<String>(), columns in 1..60_usize) {
            let column = column(&text, columns);
            prop_assert_eq!(width(&column), columns);
            prop_assert!(!column.chars().any(char::is_control));
        }
    }
}

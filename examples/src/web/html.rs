//! Text and numbers as a page shows them.

use crate::overview::Judgement;

/// Text that is no markup, whatever is in it.
pub(super) fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for character in raw.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            character if character.is_control() && character != '\n' => safe.push('\u{fffd}'),
            character => safe.push(character),
        }
    }
    safe
}

/// A judgement as a word with a sign before it: colour alone says nothing.
pub(super) fn chip(judgement: &Judgement) -> String {
    let (class, sign, word) = match judgement {
        Judgement::Good(word) => ("good", "✓", word),
        Judgement::Bad(word) => ("bad", "✗", word),
        Judgement::Open(word) => ("open", "…", word),
    };
    format!("<span class=\"chip {class}\"><span aria-hidden=\"true\">{sign}</span> {}</span>", text(word))
}

/// Milliseconds, to three digits.
pub(super) fn ms(millis: f64) -> String {
    match millis {
        0.0 => "0 ms".to_owned(),
        seconds if seconds >= 10_000.0 => format!("{:.1} s", seconds / 1e3),
        large if large >= 100.0 => format!("{large:.0} ms"),
        middle if middle >= 10.0 => format!("{middle:.1} ms"),
        small if small >= 0.1 => format!("{small:.2} ms"),
        tiny => format!("{:.0} µs", tiny * 1e3),
    }
}

/// Milliseconds, or a dash where there are none to tell.
pub(super) fn ms_or_dash(millis: Option<f64>) -> String {
    millis.map_or_else(|| "–".to_owned(), ms)
}

/// Bytes, in binary units.
pub(super) fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib >= 1_024.0 { format!("{:.2} GiB", mib / 1_024.0) } else { format!("{mib:.1} MiB") }
}

/// A count, its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push('\u{202f}');
        }
        apart.push(digit);
    }
    apart
}

/// A rate: whole above a hundred.
pub(super) fn rate(per_sec: f64) -> String {
    if per_sec >= 100.0 { format!("{per_sec:.0}") } else { format!("{per_sec:.1}") }
}

/// A share in percent, or a dash.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// A stretch of time in its two largest units.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(
            text("<b a=\"'\">&\0\u{1b}[31m"),
            "&lt;b a=&quot;&#39;&quot;&gt;&amp;\u{fffd}\u{fffd}[31m"
        );
        assert!(!chip(&Judgement::Bad("<script>".to_owned())).contains("<script>"));
    }

    #[test]
    fn numbers_are_as_people_write_them() {
        assert_eq!(
            [0.012, 0.5, 12.34, 123.4, 12_345.0].map(ms),
            ["12 µs", "0.50 ms", "12.3 ms", "123 ms", "12.3 s"]
        );
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
        assert_eq!([1 << 20, 3 << 30].map(bytes), ["1.0 MiB", "3.00 GiB"]);
        assert_eq!([59, 60, 7_261, 200_000].map(ago), ["59 s", "1 min 0 s", "2 h 1 min", "2 d 7 h"]);
        assert_eq!(
            (percent(Some(0.123)), percent(None), rate(12.34), rate(1234.5)),
            ("12.3 %".to_owned(), "–".to_owned(), "12.3".to_owned(), "1234".to_owned())
        );
    }
}

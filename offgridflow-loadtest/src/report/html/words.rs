//! Figures and names as they stand on the page.

use std::time::Duration;

use crate::{
    histogram::{Interval, Quantile},
    report::{text, width::fit},
};

/// How much of a name or a message is shown.
const COLUMNS: usize = 160;

/// Text of anybody's that cannot be taken for markup, turn the direction of its neighbours, or fill the page.
pub(super) fn safe(text: &str) -> String {
    escaped(&fit(text, COLUMNS))
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// A name of anybody's, in a span of its own.
pub(super) fn name(text: &str) -> String {
    format!("<bdi class=\"what\">{}</bdi>", safe(text))
}

/// A figure, as a machine and a person read it: where it stands in the JSON, what stands there, and in short.
fn data(at: &str, value: impl std::fmt::Display, short: &str) -> String {
    format!("<data data-at=\"{at}\" value=\"{value}\">{short}</data>")
}

pub(super) fn time(at: &str, time: Duration) -> String {
    data(at, time.as_nanos(), &text::short(time))
}

pub(super) fn optional(at: &str, seen: Option<Duration>) -> String {
    seen.map_or_else(|| "–".into(), |seen| time(at, seen))
}

pub(super) fn count(at: &str, count: u64) -> String {
    data(at, count, &grouped(count))
}

/// A percentile, or what is said in its place.
pub(super) fn quantile(at: &str, quantile: Quantile) -> String {
    let short = text::quantile(quantile);
    match quantile {
        Quantile::Value(value) => data(&format!("{at}/value"), value.as_nanos(), &short),
        Quantile::AtLeast(value) => data(&format!("{at}/at_least"), value.as_nanos(), &short),
        Quantile::Needs(need) => data(&format!("{at}/needs"), need, &short),
    }
}

/// An interval, or why there is none.
pub(super) fn interval(at: &str, interval: Interval) -> String {
    match interval {
        Interval::Stated { low, high } => {
            let high = high.map_or_else(|| "open".into(), |high| time(&format!("{at}/stated/high_ns"), high));
            format!("{} – {high}", time(&format!("{at}/stated/low_ns"), low))
        }
        Interval::Refused { .. } => text::lower(interval),
    }
}

/// A share as a percentage.
pub(super) fn percent(at: &str, share: f64) -> String {
    data(at, share, &format!("{:.2} %", share * 100.0))
}

pub(super) fn rate(at: &str, per_sec: f64) -> String {
    data(at, per_sec, &format!("{}/s", crate::units::measured_rate(per_sec)))
}

/// With thin spaces between thousands.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join("\u{202F}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_anybodys_is_no_markup_and_one_line() {
        assert_eq!(safe("<b a='1'>\"&\n</b>"), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;\\n&lt;/b&gt;");
        assert!(safe("\u{202E}evil\u{2028}").starts_with("\\u{202e}evil"));
        assert!(safe(&"<".repeat(10_000)).chars().count() < 5 * COLUMNS);
    }

    #[test]
    fn counts_are_read_in_thousands() {
        let spoken = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(spoken, ["0", "999", "1\u{202F}000", "1\u{202F}234\u{202F}567"]);
    }
}

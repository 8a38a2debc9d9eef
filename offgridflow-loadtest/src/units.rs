//! Durations and shares as people write them.

use std::time::Duration;

const UNITS: [(&str, f64); 9] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("min", 60e9),
    ("sec", 1e9),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
];

/// Reads `1.5s`, `250 ms`, `10us`, `2m`, `1h`; rounds to the nearest nanosecond.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(format!("`{text}` is negative: a duration is zero or more, for example \"250ms\""));
    }
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    if unit.is_empty() {
        return Err(format!(
            "`{text}` needs a unit: ns, us, ms, s, m or h, for example \"{}s\"",
            if number.is_empty() { "30" } else { number }
        ));
    }
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    if scale.is_none()
        && unit.starts_with(['e', 'E'])
        && unit[1..].starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c))
    {
        return Err(format!("`{text}` has an exponent: write the number out, for example \"90s\""));
    }
    if scale.is_none() && unit.contains(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{text}` has more than one unit: write one, for example \"90m\" for 1h30m"));
    }
    let scale = scale.ok_or_else(|| format!("`{unit}` is not a unit of time: use ns, us, ms, s, m or h"))?;
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a duration, for example \"30s\" or \"250ms\""))?;
    to_duration(number * scale).ok_or_else(|| format!("`{text}` is too long"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
fn to_duration(ns: f64) -> Option<Duration> {
    let ns = libm::round(ns);
    (0.0..1.8e19).contains(&ns).then(|| Duration::from_nanos(ns as u64))
}

/// Writes a rate as whole numbers do from 100/s on, and below that with as many digits as it has, to millionths.
pub(crate) fn plain_rate(per_sec: f64) -> String {
    if per_sec >= 100.0 && libm::trunc(per_sec) == per_sec {
        return format!("{per_sec:.0}");
    }
    let text = format!("{per_sec:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Writes a measured rate: one decimal, and below one a second three digits.
pub(crate) fn measured_rate(per_sec: f64) -> String {
    if per_sec >= 0.95 || per_sec <= 0.0 {
        return format!("{per_sec:.1}");
    }
    let digits = (1..=9).find(|&digits| per_sec * libm::pow(10.0, f64::from(digits)) >= 1.0).unwrap_or(9);
    let text = format!("{per_sec:.*}", usize::from(digits + 2_u8));
    text.trim_end_matches('0').to_owned()
}

/// Writes a duration so that [`parse_duration`] reads it back exactly.
pub(crate) fn exact_duration(duration: Duration) -> String {
    let ns = duration.as_nanos();
    for (unit, scale) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
        if ns > 0 && ns.is_multiple_of(scale) {
            return format!("{}{unit}", ns / scale);
        }
    }
    format!("{ns}ns")
}

/// Reads `1%` or `0.01` as a percentage.
pub(crate) fn parse_percent(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let (number, scale) = text.strip_suffix('%').map_or((text, 100.0), |number| (number.trim_end(), 1.0));
    let plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value: Option<f64> = plain.then(|| number.parse().ok()).flatten();
    value
        .map(|value| value * scale)
        .ok_or_else(|| format!("`{text}` is not a share, for example \"1%\" or \"0.01\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_the_digits_they_have() {
        let plain = [
            (0.1, "0.1"),
            (2.5, "2.5"),
            (300.0, "300"),
            (0.000_001, "0.000001"),
            (1_234.5, "1234.5"),
            (10.0, "10"),
        ];
        assert!(
            plain.iter().all(|&(rate, text)| plain_rate(rate) == text),
            "{:?}",
            plain.map(|(rate, _)| plain_rate(rate))
        );
        let measured = [
            (0.0, "0.0"),
            (0.04, "0.04"),
            (0.123_456, "0.123"),
            (1.0, "1.0"),
            (99.96, "100.0"),
            (0.96, "1.0"),
        ];
        for (rate, text) in measured {
            assert_eq!(measured_rate(rate), text);
        }
    }

    #[test]
    fn durations_read_as_written() {
        let read = |text| parse_duration(text).ok();
        assert_eq!(read("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(read(" 250 ms "), Some(Duration::from_millis(250)));
        assert_eq!(read("10us"), read("10 µs"));
        assert_eq!(read("2m"), Some(Duration::from_secs(120)));
        assert_eq!(read("1h"), Some(Duration::from_secs(3_600)));
        assert!(parse_duration("-1ms").is_err_and(|hint| hint.contains("is negative")));
        assert!(parse_duration("1e99s").is_err_and(|hint| hint.contains("has an exponent")));
        assert!(parse_duration("1h30m").is_err_and(|hint| hint.contains("more than one unit")));
        for wrong in ["", "s", "30", "-1s", "1 fortnight", "1.2.3s", "1e3s", "999999999999h"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}

//! Instants as logs write them, in nanoseconds since 1970.

use std::ops::RangeInclusive;

const SECOND: i64 = 1_000_000_000;
/// Below, a number counts seconds (until the year 5138), from here on milliseconds (from 1973 on).
const MILLIS_FROM: u64 = 100_000_000_000;

/// RFC 3339 (`2000-10-10T13:55:36.25-07:00`), or seconds or milliseconds since 1970 with or without a fraction.
/// Digits beyond nanoseconds are dropped.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("the timestamp is empty".into());
    }
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if number { unix(text) } else { rfc3339(text) }
}

fn unix(text: &str) -> Result<i64, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u64 = whole.parse().map_err(|_| wrong(text))?;
    let (unit, digits) = if whole < MILLIS_FROM { (SECOND, 9) } else { (SECOND / 1_000, 6) };
    let fraction = fraction_of(fraction, digits).ok_or_else(|| wrong(text))?;
    let whole = i64::try_from(whole).ok().and_then(|whole| whole.checked_mul(unit));
    whole.and_then(|whole| whole.checked_add(fraction)).ok_or_else(|| out_of_range(text))
}

fn rfc3339(text: &str) -> Result<i64, String> {
    let mut rest = Scanner(text);
    let date = rest.date().ok_or_else(|| wrong(text))?;
    let time = rest.take(['T', 't', ' ']).and_then(|()| rest.time()).ok_or_else(|| wrong(text))?;
    let fraction = match rest.take(['.']) {
        Some(()) => rest.fraction().ok_or_else(|| wrong(text))?,
        None => 0,
    };
    if rest.0.is_empty() {
        return Err(format!("`{}` has no time zone: end it with Z or an offset such as +02:00", short(text)));
    }
    let offset = match rest.take(['Z', 'z']) {
        Some(()) => Some(0),
        None => rest.offset(Some(':')),
    };
    let offset = offset.filter(|_| rest.0.is_empty()).ok_or_else(|| wrong(text))?;
    instant(date, time - offset, fraction).ok_or_else(|| out_of_range(text))
}

/// The time of the Common Log Format, `10/Oct/2000:13:55:36 -0700`.
pub(super) fn common_log(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut rest = Scanner(text);
    let day = rest.number(2, 1..=31)?;
    rest.take(['/'])?;
    let name = rest.0.get(..3)?;
    let month = 1 + i64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()?;
    rest.0 = &rest.0[3..];
    rest.take(['/'])?;
    let year = rest.number(4, 0..=9_999)?;
    let date = days(year, month, day)?;
    rest.take([':'])?;
    let time = rest.time()?;
    rest.take([' '])?;
    let offset = rest.offset(None)?;
    rest.0.is_empty().then(|| instant(date, time - offset, 0))?
}

fn instant(days: i64, seconds: i64, nanos: i64) -> Option<i64> {
    (days * 86_400 + seconds).checked_mul(SECOND)?.checked_add(nanos)
}

/// Days since 1970 in the proleptic Gregorian calendar, after H. Hinnant, *chrono-compatible low-level date
/// algorithms*; `None` for a day that the month does not have.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = LENGTHS[usize::try_from(month - 1).ok()?] + i64::from(leap && month == 2);
    if day > length {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    fn take<const N: usize>(&mut self, one_of: [char; N]) -> Option<()> {
        self.0 = self.0.strip_prefix(one_of)?;
        Some(())
    }

    /// A number of exactly so many digits, within its range.
    fn number(&mut self, digits: usize, range: RangeInclusive<i64>) -> Option<i64> {
        let number = self.0.get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        self.0 = &self.0[digits..];
        number.parse().ok().filter(|number| range.contains(number))
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.number(4, 0..=9_999)?;
        self.take(['-'])?;
        let month = self.number(2, 1..=12)?;
        self.take(['-'])?;
        days(year, month, self.number(2, 1..=31)?)
    }

    /// Seconds of the day; a leap second is the first one of the next minute.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2, 0..=23)?;
        self.take([':'])?;
        let minute = self.number(2, 0..=59)?;
        self.take([':'])?;
        Some((hour * 60 + minute) * 60 + self.number(2, 0..=60)?)
    }

    /// Nanoseconds, from at least one digit.
    fn fraction(&mut self) -> Option<i64> {
        let end = self.0.find(|char: char| !char.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        if digits.is_empty() { None } else { fraction_of(digits, 9) }
    }

    /// How many seconds ahead of UTC.
    fn offset(&mut self, between: Option<char>) -> Option<i64> {
        let ahead = self.0.starts_with('+');
        self.take(['+', '-'])?;
        let hours = self.number(2, 0..=23)?;
        if let Some(between) = between {
            self.take([between])?;
        }
        let seconds = (hours * 60 + self.number(2, 0..=59)?) * 60;
        Some(if ahead { seconds } else { -seconds })
    }
}

/// The digits after a point as a whole number of `places` digits, further ones dropped.
fn fraction_of(digits: &str, places: usize) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = digits.bytes().map(|byte| i64::from(byte - b'0')).chain(std::iter::repeat(0));
    Some(padded.take(places).fold(0, |value, digit| 10 * value + digit))
}

fn wrong(text: &str) -> String {
    let separated = text.split_once([';', '\t', '|']).is_some_and(|(first, _)| parse(first).is_ok());
    if separated {
        return format!("`{}` is not separated by commas, which CSV is here: convert it", short(text));
    }
    format!(
        "`{}` is not a timestamp: RFC 3339 such as 2000-10-10T13:55:36Z, or seconds since 1970",
        short(text)
    )
}

fn out_of_range(text: &str) -> String {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let hint = if text.bytes().all(|byte| byte.is_ascii_digit()) && digits > 15 {
        ": whole numbers are seconds or milliseconds since 1970; divide microseconds and nanoseconds"
    } else {
        ""
    };
    format!("`{}` is not between the years 1678 and 2261{hint}", short(text))
}

/// The beginning of a text from a log, for a message on one line.
pub(super) fn short(text: &str) -> String {
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        let apache = 971_211_336 * SECOND; // the example of Apache's documentation
        assert_eq!(common_log("10/Oct/2000:13:55:36 -0700"), Some(apache));
        for text in [
            "2000-10-10T13:55:36-07:00",
            "2000-10-10 20:55:36Z",
            "2000-10-10t20:55:36.000z",
            "971211336",
            "971211336.0",
            "971211336000",
            " 2000-10-11T02:25:36+05:30 ",
        ] {
            assert_eq!(parse(text), Ok(apache), "{text}");
        }
        assert_eq!(parse("971211336.123456789999"), Ok(apache + 123_456_789));
        assert_eq!(parse("971211336123.25"), Ok(apache + 123_250_000));
        assert_eq!(parse("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), Ok(-SECOND / 2));
        assert_eq!(parse("2016-12-31T23:59:60Z"), parse("2017-01-01T00:00:00Z"));
        assert_eq!(parse("2000-02-29T00:00:00Z"), Ok(951_782_400 * SECOND));
        assert_eq!(parse("2262-01-01T00:00:00Z"), Ok(9_214_646_400 * SECOND));
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "is empty"),
            ("yesterday", "is not a timestamp"),
            ("2000-10-10T13:55:36", "no time zone"),
            ("2000-13-10T13:55:36Z", "is not a timestamp"),
            ("1900-02-29T13:55:36Z", "is not a timestamp"),
            ("2000-10-10T24:00:00Z", "is not a timestamp"),
            ("2000-10-10T13:55:36.Z", "is not a timestamp"),
            ("2000-10-10T13:55:36Zulu", "is not a timestamp"),
            ("2000-10-10T13:55:36+0700", "is not a timestamp"),
            ("1.2.3", "is not a timestamp"),
            (".", "is not a timestamp"),
            ("99999999999999999", "1678"),
            ("1700000000000000", "are seconds or milliseconds since 1970; divide microseconds"),
            ("1700000000.000;GET;/a", "is not separated by commas"),
            ("1700000000\tGET\t/a", "is not separated by commas"),
            ("1000-01-01T00:00:00Z", "1678"),
            ("9999-12-31T23:59:59Z", "1678"),
        ] {
            assert!(parse(text).unwrap_err().contains(reason), "{text}: {:?}", parse(text));
        }
        for text in ["", "10/Oct/2000", "31/Feb/2000:13:55:36 -0700", "10/Ocü/2000:13:55:36 -0700"] {
            assert_eq!(common_log(text), None, "{text}");
        }
    }
}

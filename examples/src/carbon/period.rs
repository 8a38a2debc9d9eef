use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::ParseError;

/// The year or month an activity belongs to: `2024` or `2024-03`; a date counts in its month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    year: i16,  // 1000..=9999
    month: i16, // 1..=12; 0 when only the year is known
}

impl Period {
    /// A year, or one of its months (`month` 0: the whole year). `None` out of range.
    #[must_use]
    pub fn new(year: i16, month: i16) -> Option<Self> {
        ((1000..=9999).contains(&year) && (0..=12).contains(&month)).then_some(Self { year, month })
    }

    /// The year.
    #[must_use]
    pub const fn year(self) -> i16 {
        self.year
    }

    /// The month from 1, or 0 when only the year is known.
    #[must_use]
    pub const fn month(self) -> i16 {
        self.month
    }
}

impl FromStr for Period {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || {
            ParseError(format!("`{}` is not a period: write YYYY, YYYY-MM or YYYY-MM-DD", super::shown(text)))
        };
        let fields: Vec<&str> = text.split('-').collect();
        let number = |field: &str, digits: usize| {
            let shaped = field.len() == digits && field.bytes().all(|byte| byte.is_ascii_digit());
            shaped.then(|| field.parse::<i16>().ok()).flatten()
        };
        let period = match fields.as_slice() {
            [year] => number(year, 4).and_then(|year| Self::new(year, 0)),
            [year, month] => named_month(number(year, 4), number(month, 2)),
            [year, month, day] => {
                let month = named_month(number(year, 4), number(month, 2));
                month
                    .zip(number(day, 2))
                    .and_then(|(month, day)| (1..=month.days()).contains(&day).then_some(month))
            }
            _ => None,
        };
        period.ok_or_else(refuse)
    }
}

impl Period {
    /// Days of the month, of the Gregorian calendar.
    fn days(self) -> i16 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i16::from(leap),
            _ => 31,
        }
    }
}

fn named_month(year: Option<i16>, month: Option<i16>) -> Option<Period> {
    let month = month.filter(|month| *month > 0)?;
    Period::new(year?, month)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.month == 0 {
            write!(f, "{}", self.year)
        } else {
            write!(f, "{}-{:02}", self.year, self.month)
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_months_and_dates_are_read() {
        for (text, shown) in [("1751", "1751"), ("2024-03", "2024-03"), ("2024-02-29", "2024-02")] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        for text in [
            "",
            "24",
            "0999",
            "2024-00",
            "2024-13",
            "2023-02-29",
            "2024-3",
            "2024-03-32",
            "+2024",
            "2024-03-01T00:00",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}

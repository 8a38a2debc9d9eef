//! Days and microseconds to ISO 8601 text, for databases that keep time as text.

/// 0001-01-01 in days since 1970-01-01.
pub(crate) const FIRST_DAY: i32 = -719_162;
/// 9999-12-31 in days since 1970-01-01.
pub(crate) const LAST_DAY: i32 = 2_932_896;
const DAY_MICROS: i64 = 86_400_000_000;
/// The first microsecond of the year 1.
pub(crate) const FIRST_MICRO: i64 = FIRST_DAY as i64 * DAY_MICROS;
/// The last microsecond of the year 9999.
pub(crate) const LAST_MICRO: i64 = (LAST_DAY as i64 + 1) * DAY_MICROS - 1;

/// Year, month and day of a day since 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// `2024-02-29`.
pub(crate) fn date_text(days: i32) -> String {
    let (year, month, day) = civil(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2024-02-29T12:30:00.000001`, with `Z` behind it for an instant.
pub(crate) fn timestamp_text(micros: i64, utc: bool) -> String {
    let (year, month, day) = civil(micros.div_euclid(DAY_MICROS));
    let in_day = micros.rem_euclid(DAY_MICROS);
    let (seconds, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let zone = if utc { "Z" } else { "" };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_read_right() {
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(date_text(-1), "1969-12-31");
        assert_eq!(date_text(19_782), "2024-02-29");
        assert_eq!(date_text(FIRST_DAY), "0001-01-01");
        assert_eq!(date_text(LAST_DAY), "9999-12-31");
    }

    #[test]
    fn microseconds_before_the_epoch_borrow_from_the_day() {
        assert_eq!(timestamp_text(-1, true), "1969-12-31T23:59:59.999999Z");
        assert_eq!(timestamp_text(1_709_209_800_000_001, false), "2024-02-29T12:30:00.000001");
        assert_eq!(timestamp_text(LAST_MICRO, true), "9999-12-31T23:59:59.999999Z");
    }
}

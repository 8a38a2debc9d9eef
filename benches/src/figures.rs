//! Sizes, seeds and small arithmetic of the programs that measure promises.

use std::time::{SystemTime, UNIX_EPOCH};

/// Whether `VERIFY_SIZE` asks for the full size.
#[must_use]
pub fn full() -> bool {
    std::env::var("VERIFY_SIZE").is_ok_and(|size| size == "full")
}

/// A fresh seed, or the one that `VERIFY_SEED` asks for.
#[must_use]
pub fn seed() -> u64 {
    let asked = std::env::var("VERIFY_SEED").ok().and_then(|seed| seed.parse().ok());
    asked.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs()))
}

/// The median; of an even number the upper one. `NaN` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The quantile by rank. `NaN` of nothing.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank"
)]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = ((q * sorted.len() as f64) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}

/// `median (10th to 90th percentile)`.
#[must_use]
pub fn spread(values: &[f64]) -> String {
    format!("{:.3} ({:.3} to {:.3})", median(values), quantile(values, 0.1), quantile(values, 0.9))
}

/// A number as a float.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a small number")]
pub const fn as_f64(value: u64) -> f64 {
    value as f64
}

/// A row on standard error, so that the verdict stays alone on standard output.
#[macro_export]
macro_rules! row {
    ($($arguments:tt)*) => { eprintln!($($arguments)*) };
}

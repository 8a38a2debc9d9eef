//! Sizes, seeds, and small arithmetic for tables.

use std::time::{SystemTime, UNIX_EPOCH};

/// Whether `VERIFY_SIZE` asks for the full size.
pub(crate) fn full() -> bool {
    std::env::var("VERIFY_SIZE").is_ok_and(|size| size == "full")
}

/// A fresh seed, or the one that `VERIFY_SEED` asks for.
pub(crate) fn seed() -> u64 {
    let asked = std::env::var("VERIFY_SEED").ok().and_then(|seed| seed.parse().ok());
    asked.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs()))
}

/// SplitMix64 (Steele, Lea & Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut draw = self.0;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        draw ^ (draw >> 31)
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        as_f64(self.next() >> 11) / as_f64(1 << 53)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            let other = usize::try_from(self.below(index as u64 + 1)).unwrap_or(0);
            items.swap(index, other);
        }
    }
}

/// The quantile by rank. `NaN` of nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank"
)]
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = ((q * sorted.len() as f64) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}

/// `median (10th to 90th percentile)`.
pub(crate) fn spread(values: &[f64]) -> String {
    format!("{:.2} ({:.2} to {:.2})", quantile(values, 0.5), quantile(values, 0.1), quantile(values, 0.9))
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
pub(crate) fn as_f64(value: u64) -> f64 {
    value as f64
}

/// A row on standard error, so that the verdict stays alone on standard output.
macro_rules! row {
    ($($arguments:tt)*) => { eprintln!($($arguments)*) };
}
pub(crate) use row;

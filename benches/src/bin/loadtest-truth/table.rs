//! Small arithmetic and tables for people.

/// The median; of an even number the upper one. `NaN` of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
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

#[expect(clippy::cast_precision_loss, reason = "a small number")]
pub(crate) fn as_f64(value: u64) -> f64 {
    value as f64
}

/// `median (lowest to highest)`.
pub(crate) fn spread(values: &[f64]) -> String {
    format!("{:.3} ({:.3} to {:.3})", median(values), quantile(values, 0.0), quantile(values, 1.0))
}

/// A row on standard error, so that the verdict stays alone on standard output.
macro_rules! row {
    ($($arguments:tt)*) => { eprintln!($($arguments)*) };
}
pub(crate) use row;

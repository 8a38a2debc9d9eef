//! Rules in use elsewhere, to measure beside ours.

use super::mann_kendall::plain_p;
use super::{Point, Series};

/// Mann–Kendall's test of the raw readings at 1 %, as if they were independent: what most leak detectors do.
/// Costs O(n²) in the readings.
#[must_use]
pub fn plain_mann_kendall(series: &Series) -> bool {
    let points: Vec<Point> = series.points();
    plain_p(&points) < 0.01
}

/// "Five rises in a row", the rule of several heap watchers.
#[must_use]
pub fn five_rises(series: &Series) -> bool {
    let bytes: Vec<u64> = series.iter().map(|sample| sample.bytes).collect();
    bytes.windows(6).any(|six| six.windows(2).all(|pair| pair[1] > pair[0]))
}

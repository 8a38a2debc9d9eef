//! From readings of memory to a verdict, as pure functions. `docs/design/profile-trend.md` has the reasons.

mod detector;
mod floor;
mod mann_kendall;
mod normal;
mod series;
mod steps;
mod theil_sen;
mod verdict;

pub use detector::{TrendDetector, WindowDetector};
pub use series::{Sample, Series};
pub use theil_sen::SlopeInterval;
pub use verdict::{Shape, TrendOptions, Verdict};

/// A point that the statistics work on: seconds and bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    seconds: f64,
    bytes: f64,
}

//! From readings of memory to a verdict, as pure functions. `docs/design/profile-trend.md` has the reasons.

mod alarm;
mod detector;
mod evidence;
mod fall;
#[cfg(feature = "families")]
mod family;
mod flat;
mod floor;
mod mann_kendall;
mod retention;
mod rises;
#[cfg(feature = "families")]
mod rival;
mod sawtooth;
mod scale;
mod season;
mod series;
mod spoken;
mod steadiness;
mod steps;
#[cfg(feature = "families")]
mod stream;
mod theil_sen;
mod thinned;
mod verdict;
mod wandering;

pub use alarm::{Alarm, LeakAlarm};
pub use detector::{TrendDetector, WindowDetector};
#[cfg(feature = "families")]
pub use family::{Family, Truth};
pub use flat::assert_flat;
#[cfg(feature = "families")]
pub use rival::{five_rises, plain_mann_kendall};
pub use series::{Sample, Series};
#[cfg(feature = "profiler")]
pub(crate) use spoken::{Bytes, Rate, Spoken};
#[cfg(feature = "families")]
pub use stream::Stream;
pub use theil_sen::SlopeInterval;
pub use verdict::{Shape, TrendOptions, Verdict};

/// A point that the statistics work on: seconds and bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    seconds: f64,
    bytes: f64,
}

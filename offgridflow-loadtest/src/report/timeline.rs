//! How a run went over time, in a form whose size does not depend on its length.

use std::time::Duration;

use crate::histogram::Quantile;

/// How a run went over time, its warm-up included: at most [`MOST`](Self::MOST) stretches, each of the same number of seconds (1, 2, 4, …).
///
/// Times are as measured, without what a closed loop's [`Correction`](crate::Correction) fills in, and to about 6 %, since all
/// stretches together have to fit into some hundred kilobytes however long the run is; the longest are exact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Timeline {
    /// The rows of a heat map: the longest response time that belongs to each, in rising order. The first row holds what is shorter, too.
    #[cfg_attr(feature = "serde", serde(rename = "rows_ns", with = "super::nanos::each"))]
    pub rows: Vec<Duration>,
    /// One after the other.
    pub stretches: Vec<Stretch>,
}

impl Timeline {
    /// The most stretches a run is divided into.
    pub const MOST: usize = 120;
}

/// A stretch of a run. Operations belong to it that ended in it; those of its measured part are measured ones only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stretch {
    /// Where it begins, from the start of the run.
    #[cfg_attr(feature = "serde", serde(rename = "from_ns", with = "super::nanos"))]
    pub from: Duration,
    /// Where it ends.
    #[cfg_attr(feature = "serde", serde(rename = "to_ns", with = "super::nanos"))]
    pub to: Duration,
    /// Whether any of it belongs to the measured part, not to the warm-up.
    pub measured: bool,
    /// How much of it the run was paused for.
    #[cfg_attr(feature = "serde", serde(rename = "paused_ns", with = "super::nanos", default))]
    pub paused: Duration,
    /// How many operations the schedule wanted in it; `None` in a closed loop.
    pub offered: Option<u64>,
    /// How many ended well.
    pub ok: u64,
    /// How many failed.
    pub failed: u64,
    /// How many of them were given up without an answer.
    pub unanswered: u64,
    /// The most in flight at the end of a second of it.
    pub in_flight: u64,
    /// Median response time.
    pub p50: Option<Quantile>,
    /// 95th percentile; `None` below 20 operations, of which it would be the longest, as the 99th is below 100.
    pub p95: Option<Quantile>,
    /// 99th percentile.
    pub p99: Option<Quantile>,
    /// The generator's own lag, median.
    #[cfg_attr(feature = "serde", serde(rename = "lag_p50_ns", with = "super::opt_nanos"))]
    pub lag_p50: Option<Duration>,
    /// Its 99th percentile.
    #[cfg_attr(feature = "serde", serde(rename = "lag_p99_ns", with = "super::opt_nanos"))]
    pub lag_p99: Option<Duration>,
    /// Its longest.
    #[cfg_attr(feature = "serde", serde(rename = "lag_max_ns", with = "super::opt_nanos"))]
    pub lag_max: Option<Duration>,
    /// How many answers took as long as each of [`Timeline::rows`].
    pub heat: Vec<u64>,
}

impl Stretch {
    /// Its length.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

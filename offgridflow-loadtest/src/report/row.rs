//! Counts and times, in a few numbers each.

use std::time::Duration;

#[cfg(feature = "serde")]
use super::opt_nanos;
use crate::histogram::{Interval, Quantile};

/// Counts and times of all operations, or of one route.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Row {
    /// The route; empty for all.
    pub route: String,
    /// Ended well.
    pub ok: u64,
    /// Failed, with or without an answer.
    pub failed: u64,
    /// Answered, well or not.
    pub answered: u64,
    /// Bytes of payload received, those of answers that failed or never came to their end included.
    pub bytes: u64,
    /// Answers a second in the [measured window](super::Report::measured_window): those that came in it, by its length. What was still
    /// answered after the end of the plan is in [`answered`](Self::answered) only.
    pub rate_per_sec: f64,
    /// What a user would have waited: done − intended; in a closed loop with what its workers left out, see [`Correction`](super::Correction).
    pub response: Summary,
    /// What the target took: done − admitted.
    pub service: Summary,
}

impl Row {
    /// The share of operations that failed; `None` without any.
    #[must_use]
    pub fn failure_ratio(&self) -> Option<f64> {
        let all = self.ok + self.failed;
        (all > 0).then(|| crate::histogram::as_f64(self.failed) / crate::histogram::as_f64(all))
    }
}

/// Counts and service times of one step of operations. A step has no response time: no schedule says when it should begin, and one that begins
/// late because the step before it was slow is late in its operation's response time.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StepRow {
    /// Its name, after that of its flow.
    pub step: String,
    /// Ended well.
    pub ok: u64,
    /// Failed, with or without an answer; its operation ended with it.
    pub failed: u64,
    /// Answered, well or not.
    pub answered: u64,
    /// Bytes of payload received in those that ended well.
    pub bytes: u64,
    /// What the target took: from when the request could be sent to the end of the answer.
    pub service: Summary,
}

/// A distribution in a few numbers. Unanswered operations rank above all answered ones.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Summary {
    /// How many samples it rests on, unanswered ones included.
    pub count: u64,
    /// How many of them were never answered.
    pub unanswered: u64,
    /// The shortest; `None` without samples, like the next two.
    #[cfg_attr(feature = "serde", serde(rename = "min_ns", with = "opt_nanos"))]
    pub min: Option<Duration>,
    /// The mean.
    pub mean: Option<Quantile>,
    /// The longest.
    pub max: Option<Quantile>,
    /// The median.
    pub p50: Quantile,
    /// The 90th percentile.
    pub p90: Quantile,
    /// The 95th percentile, refused below 59 samples.
    pub p95: Quantile,
    /// The 99th percentile, refused below 299 samples.
    pub p99: Quantile,
    /// The 99.9th percentile, refused below 2 995 samples.
    pub p999: Quantile,
    /// How sure each of them is.
    pub intervals: Intervals,
}

/// The 95 % confidence intervals of a summary's percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Intervals {
    /// Of the median.
    pub p50: Interval,
    /// Of the 90th percentile.
    pub p90: Interval,
    /// Of the 95th percentile.
    pub p95: Interval,
    /// Of the 99th percentile.
    pub p99: Interval,
    /// Of the 99.9th percentile.
    pub p999: Interval,
}

use std::collections::VecDeque;
use std::time::Duration;

use super::theil_sen::median_slope;
use super::{Point, TrendOptions, Verdict, verdict};

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Sample {
    /// When, counted from any fixed instant.
    pub at: Duration,
    /// What was in use.
    pub bytes: u64,
}

/// Readings in time order, at most [`capacity`](Self::with_capacity) of them; the oldest leaves first.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_profile::{Sample, Series};
/// let sample = |s| Sample { at: Duration::from_secs(s), bytes: 1_000 + 64 * s };
/// let leak: Series = (0..10).map(sample).collect();
/// assert_eq!(leak.slope(), Some(64.0));
/// ```
#[derive(Debug, Clone)]
pub struct Series {
    samples: VecDeque<Sample>, // in time order, at most `capacity` long
    capacity: usize,           // >= 2: a trend needs two points
}

impl Series {
    /// Readings kept unless told otherwise: more than an hour at one a second.
    pub const DEFAULT_CAPACITY: usize = 4_096;

    /// An empty series that keeps the newest `capacity` readings, at least two.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { samples: VecDeque::new(), capacity: capacity.max(2) }
    }

    /// Adds a reading. One that is not later than the newest is dropped: clocks that step back must not bend a slope.
    pub fn push(&mut self, sample: Sample) {
        if self.samples.back().is_some_and(|newest| sample.at <= newest.at) {
            return;
        }
        if self.samples.len() == self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Readings held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Time from the oldest reading to the newest; zero with fewer than two.
    #[must_use]
    pub fn span(&self) -> Duration {
        let ends = self.samples.front().zip(self.samples.back());
        ends.map_or(Duration::ZERO, |(oldest, newest)| newest.at - oldest.at)
    }

    /// Time that the readings stand for: each its share, the newest one as well.
    pub(super) fn covers(&self) -> Duration {
        let gaps = u32::try_from(self.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.span().saturating_add(self.span().checked_div(gaps).unwrap_or(Duration::ZERO))
    }

    /// The newest reading.
    #[must_use]
    pub fn last(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    /// The readings in time order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Sample> + '_ {
        self.samples.iter().copied()
    }

    /// Median slope between every pair of readings (Theil–Sen), in bytes per second.
    ///
    /// `None` with fewer than two readings. Costs O(n²) time and space in the readings held: meant for hundreds.
    #[must_use]
    pub fn slope(&self) -> Option<f64> {
        median_slope(&self.points())
    }

    /// What the series says: see [`Verdict`]. Costs O(n) in the readings held, and a fixed amount beyond.
    #[must_use]
    pub fn verdict(&self, options: &TrendOptions) -> Verdict {
        verdict::judge(self, options, self.covers())
    }

    /// The same of readings that are the newest of so long a time: growth is watched for that long.
    pub(super) fn verdict_watched(&self, options: &TrendOptions, watched: Duration) -> Verdict {
        verdict::judge(self, options, watched.max(self.covers()))
    }

    #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
    pub(super) fn points(&self) -> Vec<Point> {
        self.iter().map(|s| Point { seconds: s.at.as_secs_f64(), bytes: s.bytes as f64 }).collect()
    }
}

impl Default for Series {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }
}

impl Extend<Sample> for Series {
    fn extend<I: IntoIterator<Item = Sample>>(&mut self, samples: I) {
        samples.into_iter().for_each(|sample| self.push(sample));
    }
}

impl FromIterator<Sample> for Series {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        let mut series = Self::default();
        series.extend(samples);
        series
    }
}

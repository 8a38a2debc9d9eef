//! A distribution with what is needed to say how sure it is.

use std::{cmp::Ordering, time::Duration};

use super::{Distribution, Quantile, as_f64, blocks::Blocks, to_count};
use crate::stats::{BandReason, BandRefusal, QuantileBand, quantile_band};

/// What was observed of one clock: the distribution, and how it went in each part of the run.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) seen: Distribution,
    blocks: Blocks,
}

impl Observed {
    pub(crate) fn new() -> Self {
        Self { seen: Distribution::default(), blocks: Blocks::new() }
    }

    #[cfg(feature = "serde")]
    pub(super) fn of(seen: Distribution, blocks: Blocks) -> Self {
        Self { seen, blocks }
    }

    #[cfg(feature = "serde")]
    pub(super) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    pub(crate) fn record(&mut self, block: usize, latency: Duration) {
        self.seen.record(latency);
        self.blocks.record(block, latency);
    }

    pub(crate) fn record_unanswered(&mut self, block: usize, waited: Duration) {
        self.record_n_unanswered(block, waited, 1);
    }

    pub(crate) fn record_n_unanswered(&mut self, block: usize, waited: Duration, n: u64) {
        self.seen.record_n_unanswered(waited, n);
        self.blocks.record_n_unanswered(block, n);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.seen.merge(&other.seen);
        self.blocks.merge(&other.blocks);
    }

    /// Empties it; what was in use keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.seen.clear();
        self.blocks.clear();
    }

    /// The 95 % confidence interval of a quantile, or what it would take.
    pub(crate) fn interval(&self, q: f64) -> Interval {
        let Some(Quantile::Value(at)) = self.seen.empirical(q) else {
            return Interval::NONE;
        };
        let body = self.seen.empirical(0.5).and_then(Quantile::value).unwrap_or(at);
        match quantile_band(q, &self.blocks.tallies(q, at), &self.blocks.tallies(0.5, body)) {
            Ok(band) => self.within(at, &band),
            Err(BandRefusal { why: BandReason::FarThreshold, .. }) => self.within_bucket(q, at),
            Err(BandRefusal { why, needs, .. }) => Interval::Refused { why: Some(why), needs },
        }
    }

    /// On which side of `limit` the `q`-quantile of other runs like this one would lie, if that can be told: by an interval half as wide again as
    /// one of 95 % (three standard deviations in place of two, since whoever asks may have asked before), and where there is none by what
    /// each part of the run says.
    pub(crate) fn side(&self, q: f64, limit: Duration) -> Option<Ordering> {
        let at = self.seen.empirical(q).and_then(Quantile::value).unwrap_or_default();
        match self.interval(q) {
            Interval::Stated { high: Some(high), .. } if high + high.saturating_sub(at) / 2 < limit => {
                Some(Ordering::Less)
            }
            Interval::Stated { low, .. } if low.saturating_sub(at.saturating_sub(low) / 2) > limit => {
                Some(Ordering::Greater)
            }
            Interval::Stated { .. } => None,
            Interval::Refused { .. } => self.blocks.clear_cut(q, limit),
        }
    }

    fn within(&self, at: Duration, band: &QuantileBand) -> Interval {
        let n = as_f64(self.seen.count());
        let low = self.seen.at_rank(to_count(libm::floor(band.low * n)).max(1));
        let high = self.seen.at_rank(to_count(libm::ceil(band.high * n)));
        match low.and_then(Quantile::value) {
            Some(low) => {
                let high = high.and_then(Quantile::value).map(|high| high.max(at));
                Interval::Stated { low: low.min(at), high }
            }
            None => Interval::NONE,
        }
    }

    /// Where all times are too much alike for the blocks' buckets, the bucket is the interval.
    fn within_bucket(&self, q: f64, at: Duration) -> Interval {
        let answered = self.seen.answered();
        let ends = self.blocks.bucket_of_all(q, at).zip(answered.min().zip(answered.max()));
        ends.map_or(Interval::NONE, |((low, high), (min, max))| Interval::Stated {
            low: low.max(min).min(at),
            high: Some(high.min(max).max(at)),
        })
    }
}

impl Default for Observed {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a percentile of other runs like this one would lie: the 95 % confidence interval, with the dependence
/// between neighbouring operations accounted for (see [`quantile_band`](crate::quantile_band)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Interval {
    /// It covers the percentile of the process in at least 93 of 100 runs.
    Stated {
        /// Its lower end.
        #[cfg_attr(feature = "serde", serde(rename = "low_ns", with = "crate::report::nanos"))]
        low: Duration,
        /// Its upper end; `None` where it reaches into what was never answered.
        #[cfg_attr(feature = "serde", serde(rename = "high_ns", with = "crate::report::opt_nanos"))]
        high: Option<Duration>,
    },
    /// This run cannot carry one: too few operations, or they depend too much on one another (a single freeze
    /// is one episode, however many operations it held up).
    Refused {
        /// What is missing; `None` where the percentile itself is no value, or a closed loop's correction moved it.
        #[cfg_attr(feature = "serde", serde(default))]
        why: Option<BandReason>,
        /// How many operations it would take at least, by an estimate from this run. Where operations depend on one another for too long,
        /// no number of them can be promised to do: a run as long as that may ask for more.
        needs: Option<u64>,
    },
}

impl Interval {
    /// Refused, and more operations would not help.
    pub(crate) const NONE: Self = Self::Refused { why: None, needs: None };
}

//! A distribution with what is needed to say how sure it is.

use std::time::Duration;

use super::{Distribution, Quantile, blocks::Blocks};
use crate::stats::quantile_band;

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

    pub(crate) fn record(&mut self, block: usize, latency: Duration) {
        self.seen.record(latency);
        self.blocks.record(block, latency);
    }

    pub(crate) fn record_unanswered(&mut self, block: usize, waited: Duration) {
        self.seen.record_unanswered(waited);
        self.blocks.record_unanswered(block);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.seen.merge(&other.seen);
        self.blocks.merge(&other.blocks);
    }

    /// The 95 % confidence interval of a quantile, or what it would take.
    pub(crate) fn interval(&self, q: f64) -> Interval {
        let Some(Quantile::Value(at)) = self.seen.empirical(q) else {
            return Interval::Refused { needs: None };
        };
        let body = self.seen.empirical(0.5).and_then(Quantile::value).unwrap_or(at);
        let band = match quantile_band(q, &self.blocks.tallies(at), &self.blocks.tallies(body)) {
            Ok(band) => band,
            Err(refusal) => return Interval::Refused { needs: refusal.needs },
        };
        let end = |p| self.seen.empirical(p).and_then(Quantile::value);
        match end(band.low) {
            Some(low) => Interval::Stated { low: low.min(at), high: end(band.high).map(|high| high.max(at)) },
            None => Interval::Refused { needs: None },
        }
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
        /// About how many operations it would take, where that can be told.
        needs: Option<u64>,
    },
}

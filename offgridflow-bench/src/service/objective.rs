use std::time::Duration;

use serde::Serialize;

use crate::stats::{least_samples, quantile_bounds};

/// Confidence of either side of a verdict.
const CONFIDENCE: f64 = 0.95;

/// What a probe should take: a quantile and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Objective {
    /// The quantile, between 0 and 1.
    pub quantile: f64,
    /// The duration it must not exceed.
    pub limit: Duration,
}

impl Objective {
    /// 95 of 100 runs within `limit`. Judged from 59 samples on.
    #[must_use]
    pub const fn p95(limit: Duration) -> Self {
        Self { quantile: 0.95, limit }
    }

    /// 99 of 100 runs within `limit`. Judged from 299 samples on.
    #[must_use]
    pub const fn p99(limit: Duration) -> Self {
        Self { quantile: 0.99, limit }
    }

    /// Judges `sorted` (ascending), in which a failed run counts as longer than any limit.
    pub(super) fn judge(&self, sorted: &[Duration]) -> SloVerdict {
        let need = least_samples(self.quantile, CONFIDENCE);
        if sorted.len() < need {
            return SloVerdict::NotEnoughData { have: sorted.len(), need };
        }
        let bounds = quantile_bounds(sorted.len(), self.quantile, CONFIDENCE);
        let beyond = |rank: Option<usize>| rank.map(|rank| sorted[rank] > self.limit);
        match (beyond(bounds.lower), beyond(bounds.upper)) {
            (Some(true), _) => SloVerdict::Breached,
            (_, Some(false)) => SloVerdict::Met,
            _ => SloVerdict::Inconclusive,
        }
    }
}

/// What the samples say of an objective; each claim is wrong at most one time in twenty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SloVerdict {
    /// The quantile is within the limit.
    Met,
    /// The quantile is beyond the limit.
    Breached,
    /// Enough samples, but the quantile is too close to the limit to say.
    Inconclusive,
    /// No claim about this quantile can be made from so few samples.
    NotEnoughData {
        /// Samples in the window.
        have: usize,
        /// Samples needed.
        need: usize,
    },
}

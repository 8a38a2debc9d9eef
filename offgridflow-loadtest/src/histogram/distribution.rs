//! Quantiles of operations, answered or not.

use std::time::Duration;

use super::{Latencies, rank, to_count};

/// How many samples a quantile needs before it says anything about the tail: the smallest `n` with which a
/// violation of probability `1 − q` shows itself at least once in 95 % of runs, `ln 0.05 / ln q`. Of what is no share (NaN, below 0,
/// above 1) no number of samples tells: `u64::MAX`.
///
/// ```
/// use offgridflow_loadtest::min_samples;
/// assert_eq!([0.5, 0.95, 0.99, 0.999].map(min_samples), [5, 59, 299, 2_995]);
/// ```
#[must_use]
pub fn min_samples(q: f64) -> u64 {
    if !is_share(q) {
        return u64::MAX;
    }
    if q <= 0.0 || q >= 1.0 {
        return 1;
    }
    to_count(libm::ceil(libm::log(0.05) / libm::log(q)))
}

fn is_share(q: f64) -> bool {
    (0.0..=1.0).contains(&q)
}

/// A quantile, or what can be said instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Quantile {
    /// Measured.
    Value(#[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))] Duration),
    /// It falls among operations that were never answered: it is at least this.
    AtLeast(#[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))] Duration),
    /// Refused: the tail needs this many samples.
    Needs(u64),
}

impl Quantile {
    /// The measured value, or the bound.
    pub(crate) fn least(self) -> Option<Duration> {
        match self {
            Self::Value(time) | Self::AtLeast(time) => Some(time),
            Self::Needs(_) => None,
        }
    }

    /// The measured value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<Duration> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }
}

/// Latencies of answered operations, and of those given up: a time-out of 5 s is an observation of "5 s or more".
///
/// An unanswered operation ranks above every answered one, so quantiles err on the slow side, and one that
/// falls among the unanswered is a bound, never a made-up number.
///
/// ```
/// use {offgridflow_loadtest::{Distribution, Quantile}, std::time::Duration};
/// let mut seen = Distribution::default();
/// (0..98).for_each(|_| seen.record(Duration::from_millis(1)));
/// (0..2).for_each(|_| seen.record_unanswered(Duration::from_secs(5)));
/// assert!(matches!(seen.quantile(0.95), Quantile::Value(_)));
/// assert_eq!(seen.quantile(0.99), Quantile::Needs(299));
/// assert_eq!(seen.empirical(0.99), Some(Quantile::AtLeast(Duration::from_secs(5))));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    answered: Latencies,
    unanswered: Option<Box<Latencies>>,
}

impl Distribution {
    /// An answered operation.
    pub fn record(&mut self, latency: Duration) {
        self.answered.record(latency);
    }

    /// One given up after `waited`.
    pub fn record_unanswered(&mut self, waited: Duration) {
        self.record_n_unanswered(waited, 1);
    }

    pub(crate) fn record_n_unanswered(&mut self, waited: Duration, n: u64) {
        self.unanswered.get_or_insert_default().record_n(waited, n);
    }

    pub(crate) fn record_either(&mut self, answered: bool, latency: Duration) {
        if answered {
            self.record(latency);
        } else {
            self.record_unanswered(latency);
        }
    }

    /// Of these answered ones and those given up.
    pub(super) fn of(answered: Latencies, given_up: Option<Latencies>) -> Self {
        Self { answered, unanswered: given_up.map(Box::new) }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.answered.merge(&other.answered);
        if let Some(unanswered) = &other.unanswered {
            self.unanswered.get_or_insert_default().merge(unanswered);
        }
    }

    /// How many operations, answered or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.answered.count() + self.unanswered()
    }

    /// How many were never answered.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.unanswered.as_ref().map_or(0, |unanswered| unanswered.count())
    }

    /// The answered ones.
    #[must_use]
    pub fn answered(&self) -> &Latencies {
        &self.answered
    }

    /// The quantile `q`, refused below [`min_samples`], and for a `q` that is not from 0 to 1.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Quantile {
        let need = min_samples(q);
        if self.count() < need {
            Quantile::Needs(need)
        } else {
            self.empirical(q).unwrap_or(Quantile::Needs(need))
        }
    }

    /// The quantile `q` of exactly what happened, however little; `None` if nothing did, and for a `q` that is not from 0 to 1.
    #[must_use]
    pub fn empirical(&self, q: f64) -> Option<Quantile> {
        if is_share(q) { self.at_rank(rank(q, self.count())) } else { None }
    }

    /// The `rank`th fastest (from 1), the unanswered ones last.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<Quantile> {
        if rank <= self.answered.count() {
            return self.answered.at_rank(rank).map(Quantile::Value);
        }
        let mut floor = self.answered.clone();
        floor.merge(self.given_up()?);
        floor.at_rank(rank).map(Quantile::AtLeast)
    }

    /// The slowest: a bound if anything was never answered.
    #[must_use]
    pub fn max(&self) -> Option<Quantile> {
        self.empirical(1.0)
    }

    /// The mean: a lower bound, from the times waited, if anything was never answered.
    #[must_use]
    pub fn mean(&self) -> Option<Quantile> {
        match &self.unanswered {
            Some(unanswered) if unanswered.count() > 0 => {
                let mut floor = self.answered.clone();
                floor.merge(unanswered);
                floor.mean().map(Quantile::AtLeast)
            }
            _ => self.answered.mean().map(Quantile::Value),
        }
    }

    /// What was waited for in vain.
    #[must_use]
    pub fn given_up(&self) -> Option<&Latencies> {
        self.unanswered.as_deref()
    }

    /// Forgets everything but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.answered.clear();
        if let Some(unanswered) = &mut self.unanswered {
            unanswered.clear();
        }
    }
}

impl PartialEq for Distribution {
    fn eq(&self, other: &Self) -> bool {
        let lost = |seen: &Self| seen.unanswered() > 0;
        self.answered == other.answered
            && lost(self) == lost(other)
            && (!lost(self) || self.unanswered == other.unanswered)
    }
}

impl From<Latencies> for Distribution {
    fn from(answered: Latencies) -> Self {
        Self { answered, unanswered: None }
    }
}

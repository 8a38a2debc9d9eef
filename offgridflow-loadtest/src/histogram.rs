//! Latencies in fixed memory, with what was never answered counted beside what was.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;

const LOWEST_NS: u64 = 100;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// How many samples a quantile needs before it says anything about the tail: the smallest `n` with which a
/// violation of probability `1 − q` shows itself at least once in 95 % of runs, `ln 0.05 / ln q`.
///
/// ```
/// use offgridflow_loadtest::min_samples;
/// assert_eq!([0.5, 0.95, 0.99, 0.999].map(min_samples), [5, 59, 299, 2_995]);
/// ```
#[must_use]
pub fn min_samples(q: f64) -> u64 {
    if q <= 0.0 || q >= 1.0 {
        return 1;
    }
    to_count(libm::ceil(libm::log(0.05) / libm::log(q)))
}

/// A fixed-size, mergeable histogram of latencies from 100 ns to 1 h, exact to three digits; minimum, maximum
/// and mean are exact. Takes about 216 KiB whatever it holds. Shorter and longer values are counted at the ends.
#[derive(Clone)]
pub struct Latencies {
    counts: Histogram<u64>,
    min_ns: u64,
    max_ns: u64,
    sum_ns: u128,
}

impl Latencies {
    /// An empty histogram; all share one layout, so any two merge exactly.
    #[must_use]
    pub fn new() -> Self {
        let counts = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
            .unwrap_or_else(|_| unreachable!("constant bounds"));
        Self { counts, min_ns: u64::MAX, max_ns: 0, sum_ns: 0 }
    }

    /// Counts one latency. O(1), no allocation.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts.saturating_record(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
        self.sum_ns += u128::from(ns);
    }

    /// Adds all of `other`, bucket for bucket: associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.add(&other.counts).is_err() {
            unreachable!("all histograms share one layout");
        }
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns += other.sum_ns;
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// The shortest, exactly.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.min_ns))
    }

    /// The longest, exactly.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.max_ns))
    }

    /// The mean, rounded down to a nanosecond.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.sum_ns.checked_div(u128::from(self.count()))?;
        Some(Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    /// The `rank`th smallest (from 1), to three digits and never outside minimum and maximum.
    #[must_use]
    pub fn at_rank(&self, rank: u64) -> Option<Duration> {
        if rank == 0 || rank > self.count() {
            return None;
        }
        if rank == self.count() {
            return self.max();
        }
        // Half a rank below, so that rounding up inside lands on the rank itself.
        let ns = self.counts.value_at_quantile((as_f64(rank) - 0.5) / as_f64(self.count()));
        Some(Duration::from_nanos(ns.clamp(self.min_ns, self.max_ns)))
    }

    /// How many are at most `latency`, to the histogram's precision.
    #[must_use]
    pub fn count_up_to(&self, latency: Duration) -> u64 {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if self.count() == 0 { 0 } else { self.counts.count_between(0, ns) }
    }

    /// Every bucket that holds something: its upper end and its count, in rising order.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts
            .iter_recorded()
            .map(|bucket| (Duration::from_nanos(bucket.value_iterated_to()), bucket.count_at_value()))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Latencies {
    fn eq(&self, other: &Self) -> bool {
        (self.min_ns, self.max_ns, self.sum_ns) == (other.min_ns, other.max_ns, other.sum_ns)
            && self.counts == other.counts
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("count", &self.count())
            .field("mean", &self.mean())
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
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
#[derive(Debug, Clone, Default, PartialEq)]
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
        self.unanswered.get_or_insert_default().record(waited);
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

    /// The quantile `q`, refused below [`min_samples`].
    #[must_use]
    pub fn quantile(&self, q: f64) -> Quantile {
        let need = min_samples(q);
        if self.count() < need {
            Quantile::Needs(need)
        } else {
            self.empirical(q).unwrap_or(Quantile::Needs(need))
        }
    }

    /// The quantile `q` of exactly what happened, however little; `None` if nothing did.
    #[must_use]
    pub fn empirical(&self, q: f64) -> Option<Quantile> {
        let rank = to_count(libm::ceil(q.clamp(0.0, 1.0) * as_f64(self.count()) - 1e-9)).max(1);
        if rank <= self.answered.count() {
            return self.answered.at_rank(rank).map(Quantile::Value);
        }
        let mut floor = self.answered.clone();
        floor.merge(self.unanswered.as_ref()?);
        floor.at_rank(rank).map(Quantile::AtLeast)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a non-negative whole number")]
pub(crate) fn to_count(value: f64) -> u64 {
    value as u64
}

impl Distribution {
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
}

impl From<Latencies> for Distribution {
    fn from(answered: Latencies) -> Self {
        Self { answered, unanswered: None }
    }
}

//! Latencies in memory that does not grow with their number.

use std::{fmt, time::Duration};

#[cfg(feature = "serde")]
use super::wire::{WrittenLatencies, counted};
use super::{
    counts::{Counts, Narrowest},
    rank,
    scale::Scale,
};

/// 1 024 steps an octave: three digits.
pub(super) const SCALE: Scale = Scale::new(10);
const HIGHEST_NS: u64 = 3_600_000_000_000;

/// A mergeable histogram of latencies up to 1 h, exact to three digits; minimum, maximum and mean are exact.
///
/// Memory follows the range that is used, not the count: 8 KiB empty, typically 20 to 60 KiB, never more than
/// 280 KiB however many are counted. Values beyond 1 h are counted at the end of the range.
#[derive(Clone)]
pub struct Latencies {
    counts: Counts,
    count: u64,
    min_ns: u64,
    max_ns: u64,
    sum_ns: u128,
}

impl Latencies {
    /// An empty histogram; all share one layout, so any two merge exactly.
    #[must_use]
    pub fn new() -> Self {
        let counts = Counts::new(SCALE.counters(HIGHEST_NS), Narrowest::Byte);
        Self { counts, count: 0, min_ns: u64::MAX, max_ns: 0, sum_ns: 0 }
    }

    /// Counts one latency. O(1); allocates only the first few times a range is touched.
    pub fn record(&mut self, latency: Duration) {
        self.record_n(latency, 1);
    }

    /// Counts the same latency `n` times.
    pub fn record_n(&mut self, latency: Duration, n: u64) {
        if n == 0 {
            return;
        }
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts.add(SCALE.index(ns.min(HIGHEST_NS)), n);
        self.count = self.count.saturating_add(n);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
        self.sum_ns += u128::from(ns) * u128::from(n);
    }

    #[cfg(feature = "serde")]
    pub(super) fn written(&self) -> WrittenLatencies {
        let counters = self.counts.iter().collect();
        let Self { count, min_ns, max_ns, sum_ns, .. } = *self;
        WrittenLatencies { count, min_ns, max_ns, sum_ns, counters }
    }

    #[cfg(feature = "serde")]
    pub(super) fn read(written: &WrittenLatencies) -> Result<Self, String> {
        let WrittenLatencies { count, min_ns, max_ns, sum_ns, counters } = written;
        let (counts, sum) = counted(Self::new().counts, counters)?;
        if sum != *count {
            return Err(format!("{sum} are counted, and there should be {count}"));
        }
        Ok(Self { counts, count: *count, min_ns: *min_ns, max_ns: *max_ns, sum_ns: *sum_ns })
    }

    /// Adds all of `other`, bucket for bucket: associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.count = self.count.saturating_add(other.count);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns += other.sum_ns;
    }

    /// Forgets everything but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.counts.clear();
        (self.count, self.min_ns, self.max_ns, self.sum_ns) = (0, u64::MAX, 0, 0);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest, exactly.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.min_ns))
    }

    /// The longest, exactly.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.max_ns))
    }

    /// The mean, rounded down to a nanosecond.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.sum_ns.checked_div(u128::from(self.count))?;
        Some(Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    /// The `rank`th smallest (from 1), to three digits and never outside minimum and maximum.
    #[must_use]
    pub fn at_rank(&self, rank: u64) -> Option<Duration> {
        if rank == 0 || rank > self.count {
            return None;
        }
        if rank == self.count {
            return self.max();
        }
        let mut seen = 0_u64;
        let reached = self.counts.iter().find(|&(_, n)| {
            seen = seen.saturating_add(n);
            seen >= rank
        });
        reached.map(|(index, _)| Duration::from_nanos(SCALE.highest(index).clamp(self.min_ns, self.max_ns)))
    }

    /// The quantile `q` of exactly what was counted.
    pub(crate) fn quantile(&self, q: f64) -> Option<Duration> {
        self.at_rank(rank(q, self.count))
    }

    /// How many are at most `latency`, to the histogram's precision.
    #[must_use]
    pub fn count_up_to(&self, latency: Duration) -> u64 {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let last = SCALE.index(ns.min(HIGHEST_NS));
        self.counts.iter().take_while(|&(index, _)| index <= last).map(|(_, n)| n).sum()
    }

    /// Every bucket that holds something: its upper end and its count, in rising order.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts.iter().map(|(index, n)| (Duration::from_nanos(SCALE.highest(index)), n))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Latencies {
    /// Equal counts in equal buckets, however wide the counters are.
    fn eq(&self, other: &Self) -> bool {
        (self.count, self.min_ns, self.max_ns, self.sum_ns)
            == (other.count, other.min_ns, other.max_ns, other.sum_ns)
            && self.counts.iter().eq(other.counts.iter())
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("count", &self.count)
            .field("mean", &self.mean())
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

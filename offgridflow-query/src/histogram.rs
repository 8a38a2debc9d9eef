//! A log-linear histogram of durations that many threads record into without a lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SUB_BITS: u32 = 5;
const SUB: usize = 1 << SUB_BITS;
const OCTAVES: usize = 40;
/// The largest value with a bucket of its own, in nanoseconds: about 4.9 hours.
const LARGEST: u64 = (1 << (40 - 1 + SUB_BITS)) - 1;

/// Nanoseconds in log-linear buckets, 32 an octave (the layout of HdrHistogram).
///
/// Recording is a few atomic additions, never fails and allocates only the first time that an octave is met (256 bytes).
/// A quantile is the middle of its bucket, so it is off by at most 1/64 (1.6 %). Values beyond 2^44 ns (4.9 hours) count
/// in the last bucket; `max` and `sum` stay exact.
///
/// ```
/// use offgridflow_query::Histogram;
/// use std::time::Duration;
/// let histogram = Histogram::default();
/// for ms in 1..=100 { histogram.record(Duration::from_millis(ms)); }
/// let p95 = histogram.snapshot().p95_ns as f64 / 1e6;
/// assert!((p95 - 95.0).abs() <= 95.0 / 64.0);
/// ```
#[derive(Debug)]
pub struct Histogram {
    octaves: [OnceLock<Box<[AtomicU64; SUB]>>; OCTAVES],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            octaves: std::array::from_fn(|_| OnceLock::new()),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

/// Octave and bucket of a value; octave 0 holds 0..32 exactly.
fn place(value: u64) -> (usize, usize) {
    let value = value.min(LARGEST);
    if value < SUB as u64 {
        return (0, bucket(value));
    }
    let shift = value.ilog2() - SUB_BITS;
    (shift as usize + 1, bucket((value >> shift) % SUB as u64))
}

fn bucket(below_sub: u64) -> usize {
    usize::try_from(below_sub).expect("below 32")
}

/// The middle of a bucket.
fn middle(octave: usize, bucket: usize) -> u64 {
    if octave == 0 {
        return bucket as u64;
    }
    let shift = octave - 1;
    (((SUB + bucket) as u64) << shift) + ((1u64 << shift) >> 1)
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (octave, bucket) = place(ns);
        let buckets =
            self.octaves[octave].get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(ns, Ordering::Relaxed);
        if ns > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(ns, Ordering::Relaxed);
        } // a compare-and-swap that is seldom needed
    }

    /// Observations, at the cost of a look at every bucket.
    #[cfg(feature = "observe")]
    pub(crate) fn count(&self) -> u64 {
        let buckets = self.octaves.iter().filter_map(OnceLock::get).flat_map(|octave| octave.iter());
        buckets.map(|n| n.load(Ordering::Relaxed)).sum()
    }

    /// Sum of the observations, in nanoseconds.
    pub(crate) fn sum_ns(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// The figures as of now. Concurrent records may be in some of them and not yet in others.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        self.read().figures()
    }

    /// Adds what another histogram counted.
    #[cfg(feature = "observe")]
    pub(crate) fn absorb(&self, other: &Self) {
        for (ours, theirs) in self.octaves.iter().zip(&other.octaves) {
            let Some(theirs) = theirs.get() else { continue };
            let ours = ours.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
            for (to, from) in ours.iter().zip(theirs.iter()) {
                to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        self.sum.fetch_add(other.sum_ns(), Ordering::Relaxed);
        self.max.fetch_max(other.max.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Every bucket as of now.
    pub(crate) fn read(&self) -> Counts {
        Counts {
            buckets: self.counts(),
            sum_ns: self.sum.load(Ordering::Relaxed),
            max_ns: self.max.load(Ordering::Relaxed),
        }
    }

    fn counts(&self) -> Vec<(u64, u64)> {
        let mut counts = Vec::new();
        for (octave, buckets) in self.octaves.iter().enumerate() {
            for (bucket, n) in buckets.get().into_iter().flat_map(|b| b.iter()).enumerate() {
                let n = n.load(Ordering::Relaxed);
                if n > 0 {
                    counts.push((middle(octave, bucket), n));
                }
            }
        }
        counts
    }
}

/// The buckets of a [`Histogram`] at one instant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    buckets: Vec<(u64, u64)>, // middle and observations, ascending, none empty
    sum_ns: u64,
    max_ns: u64,
}

impl Counts {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, n)| n).sum()
    }

    pub(crate) fn figures(&self) -> HistogramSnapshot {
        let count = self.count();
        let quantile = |q: f64| quantile(&self.buckets, count, q).min(self.max_ns);
        HistogramSnapshot {
            count,
            sum_ns: self.sum_ns,
            p50_ns: quantile(0.50),
            p95_ns: quantile(0.95),
            p99_ns: quantile(0.99),
            max_ns: self.max_ns,
        }
    }

    /// What came after `earlier`, a reading of the same histogram. Its maximum is known to within a bucket only, unless it is
    /// the largest ever.
    #[cfg_attr(not(feature = "observe"), allow(dead_code, reason = "only observers compare readings"))]
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |value| match earlier.buckets.binary_search_by_key(&value, |(middle, _)| *middle) {
            Ok(at) => earlier.buckets[at].1,
            Err(_) => 0,
        };
        let left = self.buckets.iter().map(|&(value, n)| (value, n.saturating_sub(before(value))));
        let buckets: Vec<_> = left.filter(|(_, n)| *n > 0).collect();
        let highest = buckets.last().map_or(0, |(value, _)| *value);
        let max_ns = if self.max_ns > earlier.max_ns { self.max_ns } else { highest.min(self.max_ns) };
        Self { buckets, sum_ns: self.sum_ns.saturating_sub(earlier.sum_ns), max_ns }
    }
}

/// The value of the observation with rank ⌈q·n⌉; 0 without observations.
fn quantile(counts: &[(u64, u64)], total: u64, q: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= q <= 1, so it is within 0..=total"
    )]
    let rank = ((q * total as f64).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    for &(value, n) in counts {
        seen += n;
        if seen >= rank {
            return value;
        }
    }
    0
}

/// Figures read from a [`Histogram`]. Quantiles are within 1.6 % of the observed ones; look at `count` before you trust them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HistogramSnapshot {
    /// Observations.
    pub count: u64,
    /// Sum of the observations, in nanoseconds.
    pub sum_ns: u64,
    /// Median, in nanoseconds.
    pub p50_ns: u64,
    /// 95th percentile, in nanoseconds.
    pub p95_ns: u64,
    /// 99th percentile, in nanoseconds.
    pub p99_ns: u64,
    /// Largest observation, in nanoseconds, exact.
    pub max_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_is_within_a_64th_of_its_values(value in 0u64..1 << 44) {
            let (octave, bucket) = place(value);
            let error = middle(octave, bucket).abs_diff(value);
            prop_assert!(error * 64 <= value, "{value} counts as {}", middle(octave, bucket));
        }

        #[test]
        fn quantiles_are_order_statistics_within_the_error(mut values in prop::collection::vec(1u64..1 << 40, 1..500)) {
            let histogram = Histogram::default();
            values.iter().for_each(|&ns| histogram.record(Duration::from_nanos(ns)));
            values.sort_unstable();
            let snapshot = histogram.snapshot();
            for (q, got) in [(50, snapshot.p50_ns), (95, snapshot.p95_ns), (99, snapshot.p99_ns)] {
                let exact = values[(q * values.len()).div_ceil(100) - 1];
                prop_assert!(got.abs_diff(exact) * 64 <= exact, "p{q}: {got} for {exact}");
            }
            prop_assert_eq!(snapshot.max_ns, *values.last().unwrap());
        }
    }

    proptest! {
        #[test]
        fn what_came_after_a_reading_is_what_was_recorded_after_it(
            before in prop::collection::vec(1u64..1 << 40, 0..50),
            after in prop::collection::vec(1u64..1 << 40, 0..50),
        ) {
            let (both, alone) = (Histogram::default(), Histogram::default());
            before.iter().for_each(|&ns| both.record(Duration::from_nanos(ns)));
            let earlier = both.read();
            for &ns in &after {
                both.record(Duration::from_nanos(ns));
                alone.record(Duration::from_nanos(ns));
            }
            let (got, want) = (both.read().since(&earlier).figures(), alone.snapshot());
            prop_assert_eq!((got.count, got.sum_ns), (want.count, want.sum_ns));
            for (got, want) in [(got.p50_ns, want.p50_ns), (got.p99_ns, want.p99_ns), (got.max_ns, want.max_ns)] {
                prop_assert!(got.abs_diff(want) * 64 <= want, "{got} for {want}");
            }
        }
    }

    #[test]
    fn the_largest_durations_count_in_the_last_bucket() {
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.snapshot().count, 1);
        assert_eq!(place(u64::MAX), (OCTAVES - 1, SUB - 1));
    }
}

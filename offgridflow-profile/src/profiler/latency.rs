//! Latencies that the application reports, as counts by size.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Eight sizes to each power of two: a latency is known to 12.5 %.
const SIZES: usize = 512;
/// Fewest latencies of which a 99th percentile is said.
const LEAST: u64 = 20;

/// Takes the latencies of requests, for triggers on them. Cheap to clone and to feed: one atomic addition, no lock.
///
/// ```
/// use std::time::Duration;
/// # let profiler = offgridflow_profile::Profiler::builder().start()?;
/// let latency = profiler.latency();
/// latency.record(Duration::from_millis(12)); // once a request, wherever it ends
/// # Ok::<(), offgridflow_profile::ProfileError>(())
/// ```
#[derive(Clone)]
pub struct LatencyFeed {
    counts: Arc<[AtomicU64; SIZES]>,  // since the start
    taken: Arc<Mutex<LatencyCounts>>, // what the trigger has seen of them
}

/// How many latencies of each size a [feed](LatencyFeed) took so far. Two of them tell what came between.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencyCounts {
    counts: Vec<u64>, // by size; SIZES of them
}

impl fmt::Debug for LatencyCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyCounts").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl LatencyCounts {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.counts.iter().zip(&earlier.counts);
        Self { counts: pairs.map(|(now, then)| now.saturating_sub(*then)).collect() }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What a share `quantile` of them took at most, rounded up by at most 12.5 %; `None` when there are none.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among counts that are far below 2^53"
    )]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = (self.count() as f64 * quantile.clamp(0.0, 1.0)) as u64;
        self.at(rank.min(self.count().checked_sub(1)?))
    }

    /// The one behind `rank` shorter ones.
    fn at(&self, rank: u64) -> Option<Duration> {
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen > rank
        });
        at.map(|at| Duration::from_nanos(largest(at)))
    }
}

impl fmt::Debug for LatencyFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyFeed").finish_non_exhaustive()
    }
}

impl LatencyFeed {
    pub(super) fn new() -> Self {
        let taken = LatencyCounts { counts: vec![0; SIZES] };
        Self { counts: Arc::new([const { AtomicU64::new(0) }; SIZES]), taken: Arc::new(Mutex::new(taken)) }
    }

    /// What was taken so far. Reads 512 numbers.
    ///
    /// ```
    /// use std::time::Duration;
    /// # let profiler = offgridflow_profile::Profiler::builder().start()?;
    /// let latency = profiler.latency();
    /// let before = latency.counts();
    /// (0..100).for_each(|_| latency.record(Duration::from_millis(10)));
    /// let since = latency.counts().since(&before);
    /// assert_eq!(since.count(), 100);
    /// assert!((10..=12).contains(&since.quantile(0.95).unwrap().as_millis()));
    /// # Ok::<(), offgridflow_profile::ProfileError>(())
    /// ```
    #[must_use]
    pub fn counts(&self) -> LatencyCounts {
        LatencyCounts { counts: self.counts.iter().map(|count| count.load(Relaxed)).collect() }
    }

    /// Counts one request.
    pub fn record(&self, took: Duration) {
        self.counts[size(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))].fetch_add(1, Relaxed);
    }

    /// What 99 % of those since the last answer took at most, rounded up by at most 12.5 %. `None`, and nothing is taken, until there are twenty.
    pub(super) fn take_p99(&self) -> Option<Duration> {
        let (mut taken, now) = (self.taken.lock().unwrap_or_else(PoisonError::into_inner), self.counts());
        let since = now.since(&taken);
        if since.count() < LEAST {
            return None;
        }
        *taken = now;
        since.at(since.count() * 99 / 100)
    }
}

fn size(nanos: u64) -> usize {
    let nanos = nanos.max(8);
    let power = nanos.ilog2();
    (power as usize - 3) * 8 + ((nanos >> (power - 3)) & 7) as usize
}

/// The largest of a size.
fn largest(size: usize) -> u64 {
    let (power, part) = (size / 8, size as u64 % 8);
    ((9 + part) << power).wrapping_sub(1) // of the last size, the largest number there is
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_latency_is_known_to_an_eighth(nanos in 8_u64..1 << 60) {
            let largest = largest(size(nanos));
            prop_assert!(largest >= nanos && largest - nanos <= nanos / 8, "{nanos} {largest}");
        }
    }

    #[test]
    fn the_99th_percentile_is_that_of_what_came_since() {
        let feed = LatencyFeed::new();
        feed.record(Duration::MAX);
        feed.record(Duration::ZERO);
        assert_eq!(feed.take_p99(), None, "two are not enough");
        (0..998).for_each(|_| feed.record(Duration::from_millis(10)));
        let p99 = feed.take_p99().unwrap();
        assert!((10..=12).contains(&p99.as_millis()), "{p99:?}");
        assert_eq!(feed.take_p99(), None);
    }

    #[test]
    fn requests_that_never_ended_have_a_percentile_too() {
        let feed = LatencyFeed::new();
        (0..100).for_each(|_| feed.record(Duration::MAX));
        assert_eq!(feed.take_p99(), Some(Duration::from_nanos(u64::MAX)));
    }
}

//! Latencies that the application reports, as counts by size.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
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
    counts: Arc<[AtomicU64; SIZES]>,
}

impl fmt::Debug for LatencyFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyFeed").finish_non_exhaustive()
    }
}

impl LatencyFeed {
    pub(super) fn new() -> Self {
        Self { counts: Arc::new([const { AtomicU64::new(0) }; SIZES]) }
    }

    /// Counts one request.
    pub fn record(&self, took: Duration) {
        self.counts[size(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))].fetch_add(1, Relaxed);
    }

    /// What 99 % of those since the last answer took at most, rounded up by at most 12.5 %. `None`, and nothing is taken, until there are twenty.
    pub(super) fn take_p99(&self) -> Option<Duration> {
        let read = |counts: &[AtomicU64; SIZES]| counts.iter().map(|count| count.load(Relaxed)).sum::<u64>();
        if read(&self.counts) < LEAST {
            return None;
        }
        let counts: Vec<u64> = self.counts.iter().map(|count| count.swap(0, Relaxed)).collect();
        let rank = counts.iter().sum::<u64>() * 99 / 100;
        let mut seen = 0;
        let at = counts.iter().position(|count| {
            seen += count;
            seen > rank
        });
        at.map(|at| Duration::from_nanos(largest(at)))
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

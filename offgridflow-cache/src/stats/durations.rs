//! How long something took, as a distribution.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Four buckets to each doubling, from 1 µs to 2⁴⁵ µs (a year and more).
const BUCKETS: usize = bucket((1 << 46) - 1) + 1;

/// Durations as they were counted: in buckets of whole microseconds, each at most a quarter wider than it is long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    counts: Vec<u64>, // by bucket; ends with the last that is not empty
    count: u64,
    micros: u64, // sum
}

impl Durations {
    /// How many.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; `None` of none.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.micros.checked_div(self.count)?))
    }

    /// What a share `q` of them did not exceed, rounded up to the end of its bucket: at most a quarter too long. `None` of none.
    ///
    /// ```
    /// # use {offgridflow_cache::{Cache, Loaded, loader_fn}, std::time::Duration};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let users = Cache::<u64, u64>::builder("users")
    /// #     .build(loader_fn(|id: u64| async move { Ok::<_, std::io::Error>(Loaded::value(id)) }))?;
    /// users.get(&1).await?;
    /// let p99 = users.stats().load_time.quantile(0.99);
    /// assert!(p99.is_some_and(|p99| p99 < Duration::from_secs(1)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank"
    )]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((self.count as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut below = 0;
        self.buckets().find_map(|(end, count)| {
            below += count;
            (below >= rank).then_some(end)
        })
    }

    /// The buckets that are not empty, in order: the end of each, and how many are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let all = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        all.map(|(index, count)| (Duration::from_micros(end(index)), *count))
    }
}

/// Seconds, as `count`, `mean`, `p50`, `p90`, `p99` and `max`.
#[cfg(feature = "serde")]
impl serde::Serialize for Durations {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
        let mut fields = serializer.serialize_struct("Durations", 6)?;
        fields.serialize_field("count", &self.count)?;
        fields.serialize_field("mean", &seconds(self.mean()))?;
        for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            fields.serialize_field(name, &seconds(self.quantile(q)))?;
        }
        fields.end()
    }
}

/// Where durations are counted.
#[derive(Debug)]
pub(crate) struct Recorder {
    counts: Box<[AtomicU64]>,
    micros: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect();
        Self { counts, micros: AtomicU64::new(0) }
    }
}

impl Recorder {
    pub(crate) fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min((1 << 46) - 1);
        self.counts[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Durations {
        let mut counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        Durations { count: counts.iter().sum(), micros: self.micros.load(Ordering::Relaxed), counts }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "far below")]
const fn bucket(micros: u64) -> usize {
    if micros < 4 {
        return micros as usize;
    }
    let doubling = micros.ilog2();
    (4 * (doubling as usize - 1)) + ((micros >> (doubling - 2)) & 3) as usize
}

/// The last microsecond of a bucket.
const fn end(index: usize) -> u64 {
    if index < 4 {
        return index as u64;
    }
    let (doubling, quarter) = (index / 4 + 1, index as u64 % 4);
    ((5 + quarter) << (doubling - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_a_bucket_at_most_a_quarter_longer() {
        for micros in
            (0..100_000).chain((17..46).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]))
        {
            let end = end(bucket(micros));
            assert!(end >= micros && end - micros <= micros / 4, "{micros} ends at {end}");
            assert!(bucket(micros) < BUCKETS && (micros == 0 || bucket(micros - 1) <= bucket(micros)));
        }
    }

    #[test]
    fn quantiles_and_the_mean_are_those_of_what_was_recorded() {
        let recorder = Recorder::default();
        assert_eq!((recorder.get().quantile(0.5), recorder.get().mean()), (None, None));
        (1..=100).for_each(|ms| recorder.record(Duration::from_millis(ms)));
        recorder.record(Duration::MAX);
        let all = recorder.get();
        assert_eq!(all.count(), 101);
        for (q, ms) in [(0.0, 1.0), (0.5, 51.0), (0.9, 91.0)] {
            let found = all.quantile(q).unwrap().as_secs_f64() * 1_000.0;
            assert!((ms..=ms * 1.25).contains(&found), "{q}: {found} ms");
        }
        assert_eq!(all.quantile(1.0).unwrap().as_micros(), (1 << 46) - 1, "longer ones count as the longest");
        assert_eq!(all.buckets().map(|(_, count)| count).sum::<u64>(), 101);
    }
}

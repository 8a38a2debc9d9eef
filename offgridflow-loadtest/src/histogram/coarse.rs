//! Latencies in few buckets: what a picture of a run is made of.

use std::time::Duration;

#[cfg(feature = "serde")]
use super::wire::{Pair, counted};
use super::{
    Latencies,
    counts::{Counts, Narrowest},
    rank,
    scale::Scale,
};

/// 16 steps an octave: a percentile is at most a sixteenth above what it was.
const SCALE: Scale = Scale::new(4);
/// The rows of a heat map, four an octave: each is four of the above.
const ROWS: Scale = Scale::new(2);
/// From about a microsecond to a minute; what lies beyond is counted at the ends.
const RANGE_NS: (u64, u64) = (1 << 10, 1 << 36);

/// Counts of latencies to about 6 %, with their exact longest. A kilobyte or two.
#[derive(Debug, Clone)]
pub(crate) struct Coarse {
    counts: Counts,
    count: u64,
    longest: Duration,
}

impl Coarse {
    /// Adds all of these.
    pub(crate) fn add(&mut self, latencies: &Latencies) {
        for (latency, n) in latencies.buckets() {
            self.counts.add(index(latency), n);
            self.count = self.count.saturating_add(n);
        }
        self.longest = self.longest.max(latencies.max().unwrap_or_default());
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.count = self.count.saturating_add(other.count);
        self.longest = self.longest.max(other.longest);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn longest(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.longest)
    }

    /// The quantile `q`: the upper end of its bucket, but no more than the longest.
    pub(crate) fn quantile(&self, q: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        self.at_rank(rank(q, self.count))
    }

    /// The `rank`th shortest (from 1), as [`quantile`](Self::quantile) says it.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<Duration> {
        let mut seen = 0_u64;
        let reached = self.counts.iter().find(|&(_, n)| {
            seen = seen.saturating_add(n);
            seen >= rank
        });
        reached.map(|(index, _)| Duration::from_nanos(highest(index)).min(self.longest))
    }

    #[cfg(feature = "serde")]
    pub(super) fn counters(&self) -> impl Iterator<Item = Pair> + '_ {
        self.counts.iter()
    }

    #[cfg(feature = "serde")]
    pub(super) fn read(longest: Duration, pairs: &[Pair]) -> Result<Self, String> {
        let (counts, count) = counted(Self::default().counts, pairs)?;
        Ok(Self { counts, count, longest })
    }

    /// The rows of a heat map that hold something, by number, with their counts; a row may come in parts.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().map(|(index, n)| (ROWS.index(highest(index)), n))
    }

    /// The longest latency of a row.
    pub(crate) fn end_of_row(row: usize) -> Duration {
        Duration::from_nanos(ROWS.highest(row))
    }
}

impl Default for Coarse {
    fn default() -> Self {
        let counters = SCALE.counters(RANGE_NS.1) - SCALE.index(RANGE_NS.0);
        Self { counts: Counts::new(counters, Narrowest::Half), count: 0, longest: Duration::ZERO }
    }
}

fn index(latency: Duration) -> usize {
    let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    SCALE.index(ns.clamp(RANGE_NS.0, RANGE_NS.1)) - SCALE.index(RANGE_NS.0)
}

fn highest(index: usize) -> u64 {
    SCALE.highest(index + SCALE.index(RANGE_NS.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(latencies: impl IntoIterator<Item = u64>) -> Coarse {
        let mut exact = Latencies::new();
        latencies.into_iter().for_each(|ns| exact.record(Duration::from_nanos(ns)));
        let mut coarse = Coarse::default();
        coarse.add(&exact);
        coarse
    }

    #[test]
    fn percentiles_are_at_most_a_sixteenth_above_what_they_were() {
        let coarse = of((1..=1_000).map(|n| n * 10_000));
        for q in [0.001, 0.5, 0.95, 0.99, 1.0] {
            let exact = 10_000_000.0 * q;
            let found = coarse.quantile(q).expect("some").as_secs_f64() * 1e9;
            assert!((exact..=exact * 1.064).contains(&found), "{q}: {found} for {exact}");
        }
        assert_eq!(coarse.longest(), Some(Duration::from_millis(10)));
        assert_eq!(of([]).quantile(0.5), None);
    }

    #[test]
    fn rows_hold_every_count_and_what_is_beyond_the_range_is_at_its_ends() {
        let coarse = of([1, 2_000, 5_000_000, 3_600_000_000_000]);
        assert_eq!(coarse.rows().map(|(_, n)| n).sum::<u64>(), 4);
        let ends: Vec<_> = coarse.rows().map(|(row, _)| Coarse::end_of_row(row)).collect();
        assert!(ends[0] <= Duration::from_nanos(1_280) && ends[3] > Duration::from_secs(68), "{ends:?}");
        assert!(ends[2] >= Duration::from_millis(5) && ends[2] < Duration::from_micros(6_300), "{ends:?}");
    }
}

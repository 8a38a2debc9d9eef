//! From how many rows on the second strategy wins, as measured while writing.

use crate::strategy::{Prepared, Strategy};
use std::time::Duration;

/// Sizes are told apart by their power of two.
const BUCKETS: usize = 32;
/// Samples that make a mean worth comparing.
const ENOUGH: u32 = 3;
/// One write in so many tries the strategy that is not expected to win…
const EXPLORE_EVERY: u64 = 8;
/// …as long as the size is within this many powers of two of where the expectation changes.
const EXPLORE_WITHIN: u32 = 2;
/// Weight of the newest sample in a mean.
const NEWEST: f64 = 0.25;

/// What two strategies cost a row, by the size of the write.
#[derive(Debug, Clone)]
pub(crate) struct Crossover {
    cost: [[Cost; 2]; BUCKETS], // [few rows, many rows]
    writes: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    samples: u32,
    nanos_per_row: f64,
}

impl Default for Crossover {
    fn default() -> Self {
        Self { cost: [[Cost::default(); 2]; BUCKETS], writes: 0 }
    }
}

fn bucket(rows: usize) -> usize {
    usize::try_from(rows.max(1).ilog2()).unwrap_or(0).min(BUCKETS - 1)
}

impl Crossover {
    /// The strategy for `rows` rows: what measured cheaper at this size, before that what is expected to be, and once in
    /// a while the other one, so that there is something to compare.
    pub(crate) fn choose(&mut self, rows: usize, prepared: &Prepared) -> Option<Strategy> {
        let (&few, &many) = match prepared.strategies() {
            [] => return None,
            [only] => return Some(*only),
            [few, .., many] => (few, many),
        };
        self.writes += 1;
        let expected = usize::from(rows >= prepared.bulk_rows);
        let measured = &self.cost[bucket(rows)];
        let near = bucket(rows).abs_diff(bucket(prepared.bulk_rows)) <= EXPLORE_WITHIN as usize;
        let known = measured.iter().all(|cost| cost.samples >= ENOUGH);
        let best = match known {
            true => usize::from(measured[1].nanos_per_row < measured[0].nanos_per_row),
            false => expected,
        };
        let pause = if known { EXPLORE_EVERY * EXPLORE_EVERY } else { EXPLORE_EVERY };
        let explore = near && self.writes.is_multiple_of(pause);
        Some(if (best == 1) != explore { many } else { few })
    }

    /// Notes what a write of `rows` rows cost.
    pub(crate) fn record(&mut self, strategy: Strategy, rows: usize, took: Duration, prepared: &Prepared) {
        let Some(at) = prepared.strategies().iter().position(|&s| s == strategy) else { return };
        if rows == 0 {
            return;
        }
        let cost = &mut self.cost[bucket(rows)][at.min(1)];
        let nanos = took.as_secs_f64() * 1e9 / rows as f64;
        let weight = if cost.samples == 0 { 1.0 } else { NEWEST };
        cost.nanos_per_row += (nanos - cost.nanos_per_row) * weight;
        cost.samples = cost.samples.saturating_add(1);
    }

    /// The smallest size at which the second strategy measured cheaper, as a power of two.
    pub(crate) fn rows(&self) -> Option<usize> {
        let wins = |cost: &[Cost; 2]| {
            cost.iter().all(|c| c.samples >= ENOUGH) && cost[1].nanos_per_row < cost[0].nanos_per_row
        };
        self.cost.iter().position(wins).map(|bucket| 1 << bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(bulk_rows: usize) -> Prepared {
        let mut prepared = Prepared::new([Strategy::Unnest, Strategy::Copy]);
        prepared.bulk_rows = bulk_rows;
        prepared
    }

    /// A database where UNNEST costs 0.3 ms + 4 µs a row and COPY costs `fixed` + 1 µs a row.
    fn took(strategy: Strategy, rows: usize, fixed: Duration) -> Duration {
        let rows = u32::try_from(rows).unwrap();
        match strategy {
            Strategy::Copy => fixed + Duration::from_micros(1) * rows,
            _ => Duration::from_micros(300) + Duration::from_micros(4) * rows,
        }
    }

    fn share_of_copy(rows: usize, prior: usize, fixed: Duration) -> usize {
        let (mut crossover, prepared) = (Crossover::default(), prepared(prior));
        let mut last_hundred = 0;
        for turn in 0..300 {
            let strategy = crossover.choose(rows, &prepared).unwrap();
            last_hundred += usize::from(turn >= 200 && strategy == Strategy::Copy);
            crossover.record(strategy, rows, took(strategy, rows, fixed), &prepared);
        }
        last_hundred
    }

    #[test]
    fn what_measures_cheaper_is_used_whatever_was_expected() {
        let quick = Duration::from_micros(900);
        assert!(share_of_copy(400, 1_024, quick) > 95, "COPY wins from 200 rows on");
        assert!(share_of_copy(100, 64, quick) < 5, "below it does not");
        assert!(share_of_copy(4_096, 4_096, Duration::from_millis(44)) < 5, "a stall shows");
    }

    #[test]
    fn far_from_the_crossover_nothing_is_tried_out() {
        assert_eq!(share_of_copy(1, 32_768, Duration::from_millis(44)), 0);
        assert_eq!(share_of_copy(32_768, 512, Duration::from_micros(900)), 100);
    }

    #[test]
    fn the_crossover_is_reported_once_measured() {
        let (mut crossover, prepared) = (Crossover::default(), prepared(256));
        assert_eq!(crossover.rows(), None);
        for strategy in [Strategy::Unnest, Strategy::Copy].repeat(3) {
            for rows in [64, 256, 1_024] {
                let cost = took(strategy, rows, Duration::from_micros(900));
                crossover.record(strategy, rows, cost, &prepared);
            }
        }
        assert_eq!(crossover.rows(), Some(256));
    }

    #[test]
    fn one_strategy_leaves_no_choice() {
        let mut crossover = Crossover::default();
        assert_eq!(crossover.choose(5, &Prepared::default()), None);
        assert_eq!(crossover.choose(5, &Prepared::new([Strategy::Unnest])), Some(Strategy::Unnest));
    }
}

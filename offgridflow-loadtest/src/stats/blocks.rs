//! Consecutive blocks of a run, and how much their counts vary.

use super::refusal::{BandReason, BandRefusal};
use crate::histogram::as_f64;

const MIN_BLOCKS: usize = 16;
const MIN_PER_BLOCK: f64 = 10.0;

/// What one block of consecutive operations says about a threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockTally {
    /// Operations in the block; 0 if the run ended before it.
    pub count: u64,
    /// How many of them took at most the threshold; never more than `count`.
    pub at_most: u64,
}

/// The blocks of a run that hold something, centred on the fraction of all operations at or below the threshold.
pub(super) struct Blocks {
    pub(super) tallies: Vec<BlockTally>,
    pub(super) total: f64,
    pub(super) share: f64, // at or below the threshold, of all
    deviations: Vec<f64>,  // from that share, in operations; they sum to 0
}

impl Blocks {
    pub(super) fn new(tallies: &[BlockTally]) -> Result<Self, BandRefusal> {
        let tallies: Vec<_> = tallies.iter().copied().filter(|tally| tally.count > 0).collect();
        debug_assert!(tallies.iter().all(|tally| tally.at_most <= tally.count));
        let total = as_f64(tallies.iter().map(|tally| tally.count).sum());
        if tallies.len() < MIN_BLOCKS || total < MIN_PER_BLOCK * as_f64(tallies.len() as u64) {
            return Err(BandRefusal { why: BandReason::TooShort, needs: Some(1_000) });
        }
        let share = as_f64(tallies.iter().map(|tally| tally.at_most).sum()) / total;
        let deviations =
            tallies.iter().map(|tally| as_f64(tally.at_most) - share * as_f64(tally.count)).collect();
        Ok(Self { tallies, total, share, deviations })
    }

    /// Groups of four blocks: the coarsest batches.
    pub(super) fn groups(&self) -> f64 {
        as_f64((self.tallies.len() / 4) as u64)
    }

    /// The variance of the number at or below the threshold, by batch means over groups of `size` blocks. Groups
    /// may differ in size: this is the ratio estimator (Cochran 1977, section 6.3).
    fn variance(&self, size: usize) -> f64 {
        let squares =
            self.deviations.chunks(size).map(|group| group.iter().sum::<f64>()).map(|sum| sum * sum);
        let groups = as_f64(self.deviations.len().div_ceil(size) as u64);
        squares.sum::<f64>() * groups / (groups - 1.0)
    }

    /// How many independent operations would vary as much.
    ///
    /// Batch means are biased by the dependence between batches, in proportion to 1 / their length; `2 V(pairs) −
    /// V(blocks)` cancels that (Vats and Flegal 2022). Taking the largest errs on the wide side.
    pub(super) fn effective(&self) -> f64 {
        let (blocks, pairs, fours) = (self.variance(1), self.variance(2), self.variance(4));
        let variance = blocks.max(2.0 * pairs - blocks).max(fours);
        let independent = self.share * (1.0 - self.share) * self.total;
        if variance > independent { self.total * independent / variance } else { self.total }
    }

    /// The correlation of neighbouring blocks, `1 − ratio / 2` of von Neumann (1941), and its standard deviation if
    /// there were none.
    pub(super) fn correlation(&self) -> (f64, f64) {
        let square = |x: f64| x * x;
        let steps: f64 = self.deviations.windows(2).map(|pair| square(pair[1] - pair[0])).sum();
        let squares: f64 = self.deviations.iter().copied().map(square).sum();
        let n = as_f64(self.deviations.len() as u64);
        let deviation = libm::sqrt((n - 2.0) / (n * n - 1.0));
        (if squares > 0.0 { 1.0 - 0.5 * steps / squares } else { 0.0 }, deviation)
    }
}

/// How many relaxation times a block lasts if its neighbour resembles it by `correlation` and the process forgets
/// exponentially: the `b` with `(1 − e⁻ᵇ)² / 2 (b − 1 + e⁻ᵇ) = correlation`, which falls from 1 to 0.
pub(super) fn relaxations_per_block(correlation: f64) -> f64 {
    let resembles = |b: f64| {
        let left = libm::exp(-b);
        (1.0 - left) * (1.0 - left) / (2.0 * (b - 1.0 + left))
    };
    let (mut short, mut long) = (0.01, 100.0);
    for _ in 0..50 {
        let middle = 0.5 * (short + long);
        if resembles(middle) > correlation {
            short = middle;
        } else {
            long = middle;
        }
    }
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variance_is_batch_means_by_hand() {
        // Deviations −1, 1, 3, −3 repeated: squares 1 + 1 + 9 + 9 = 20 in four; pairs sum to 0.
        let tally = |at_most| BlockTally { count: 100, at_most };
        let tallies: Vec<_> = [49, 51, 53, 47].repeat(16).into_iter().map(tally).collect();
        let blocks = Blocks::new(&tallies).expect("64 blocks");
        assert_eq!(blocks.share, 0.5);
        assert!((blocks.variance(1) - 16.0 * 20.0 * 64.0 / 63.0).abs() < 1e-9);
        assert!(blocks.variance(2).abs() < 1e-9);
        // Steps 2, 2, 6, and 2 between fours, of which there are 15.
        let steps = 16.0 * (4.0 + 4.0 + 36.0) + 15.0 * 4.0;
        assert!((blocks.correlation().0 - (1.0 - steps / (2.0 * 320.0))).abs() < 1e-9);
    }
}

//! How neighbouring operations go together, for intervals that do not pretend they were independent.

use std::time::Duration;

use super::{
    as_f64,
    counts::{Counts, Narrowest},
    rank,
    scale::Scale,
};
use crate::stats::BlockTally;

/// How many blocks a run is divided into.
pub(crate) const BLOCKS: usize = 64;
/// How many blocks, and operations in each, it takes to say anything.
const MIN_BLOCKS: usize = 16;
const MIN_PER_BLOCK: u64 = 10;
/// 16 steps an octave: enough to see how a block leans.
const SCALE: Scale = Scale::new(4);
/// Dependence is told apart from about half a microsecond to a minute; what lies beyond is counted at the ends.
const RANGE_NS: (u64, u64) = (1 << 9, 1 << 36);

/// Coarse histograms of consecutive parts of a run, each as long in planned operations. Memory as with
/// [`Latencies`](super::Latencies): what is used.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    blocks: Vec<Option<Box<Block>>>, // empty, or BLOCKS long
    spare: Option<Box<Block>>,       // empty: a run goes on from block to block, and takes its memory along
}

#[derive(Debug, Clone)]
struct Block {
    answered: Counts,
    count: u64, // answered or not
}

impl Blocks {
    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new(), spare: None }
    }

    pub(crate) fn record(&mut self, block: usize, latency: Duration) {
        let block = self.block(block);
        block.answered.add(index(latency), 1);
        block.count += 1;
    }

    pub(crate) fn record_n_unanswered(&mut self, block: usize, n: u64) {
        self.block(block).count += n;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (at, theirs) in other.blocks.iter().enumerate() {
            if let Some(theirs) = theirs.as_ref().filter(|theirs| theirs.count > 0) {
                let ours = self.block(at);
                ours.answered.merge(&theirs.answered);
                ours.count += theirs.count;
            }
        }
    }

    /// Empties it; blocks in use keep their memory and one more is kept for the next, so that what is emptied again and again holds few.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.blocks {
            match slot {
                Some(block) if block.count > 0 => {
                    block.answered.clear();
                    block.count = 0;
                }
                _ => self.spare = slot.take().or(self.spare.take()),
            }
        }
    }

    /// For each block, how many operations it held and how many were answered within about `latency`: up to
    /// the end of a coarse bucket, the one whose share of all operations is nearest to `q` in log odds.
    pub(crate) fn tallies(&self, q: f64, latency: Duration) -> Vec<BlockTally> {
        let here = index(latency);
        let candidates = [here.checked_sub(1), Some(here)].into_iter().flatten().map(|last| self.up_to(last));
        let distance = |tallies: &Vec<BlockTally>| libm::fabs(log_odds(share(tallies)) - log_odds(q));
        candidates.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or_default()
    }

    /// The ends of the coarse bucket that `latency` falls into, if the `q`-quantile of nearly every block does too:
    /// what can be said of times so much alike that no bucket's end lies among them.
    pub(crate) fn bucket_of_all(&self, q: f64, latency: Duration) -> Option<(Duration, Duration)> {
        let here = index(latency);
        let below =
            here.checked_sub(1).map_or_else(|| vec![BlockTally::default(); BLOCKS], |last| self.up_to(last));
        let blocks = below.iter().zip(self.up_to(here)).filter(|(_, up_to)| up_to.count >= MIN_PER_BLOCK);
        let (mut all, mut inside) = (0, 0);
        for (below, up_to) in blocks {
            let rank = rank(q, up_to.count);
            all += 1;
            inside += usize::from(below.at_most < rank && rank <= up_to.at_most);
        }
        let ends = || (highest(here.checked_sub(1)), highest(Some(here)));
        (all >= MIN_BLOCKS && all - inside <= all / 20).then(ends)
    }

    fn up_to(&self, last: usize) -> Vec<BlockTally> {
        let tally = |block: &Option<Box<Block>>| {
            let Some(block) = block else { return BlockTally::default() };
            let at_most = block.answered.iter().take_while(|&(index, _)| index <= last).map(|(_, n)| n).sum();
            BlockTally { count: block.count, at_most }
        };
        self.blocks.iter().map(tally).collect()
    }

    fn block(&mut self, at: usize) -> &mut Block {
        if self.blocks.is_empty() {
            self.blocks.resize(BLOCKS, None);
        }
        let spare = &mut self.spare;
        self.blocks[at.min(BLOCKS - 1)]
            .get_or_insert_with(|| spare.take().unwrap_or_else(|| Box::new(Block::empty())))
    }
}

impl Block {
    fn empty() -> Self {
        Self { answered: Counts::new(index(Duration::MAX) + 1, Narrowest::Half), count: 0 }
    }
}

fn index(latency: Duration) -> usize {
    let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    SCALE.index(ns.clamp(RANGE_NS.0, RANGE_NS.1)) - SCALE.index(RANGE_NS.0)
}

fn highest(index_in_range: Option<usize>) -> Duration {
    let index = index_in_range.map(|index| index + SCALE.index(RANGE_NS.0));
    Duration::from_nanos(index.map_or(0, |index| SCALE.highest(index)))
}

fn share(tallies: &[BlockTally]) -> f64 {
    let sum = |of: fn(&BlockTally) -> u64| as_f64(tallies.iter().map(of).sum());
    sum(|tally| tally.at_most) / sum(|tally| tally.count).max(1.0)
}

fn log_odds(share: f64) -> f64 {
    libm::log(share / (1.0 - share)).clamp(-1e3, 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 blocks of 100 operations, between 10.0 and 10.1 ms.
    fn alike() -> Blocks {
        let mut blocks = Blocks::new();
        for n in 0..6_400_u64 {
            blocks.record(usize::try_from(n / 100).expect("small"), Duration::from_micros(10_000 + n % 100));
        }
        blocks
    }

    #[test]
    fn times_in_one_bucket_are_bounded_by_its_ends() {
        let at = Duration::from_micros(10_050);
        let (low, high) = alike().bucket_of_all(0.5, at).expect("all blocks agree");
        assert!(low < at && at <= high && high - low < low / 15, "{low:?} {high:?}");
        let mut apart = alike();
        (0..8).for_each(|block| (0..200).for_each(|_| apart.record(block, Duration::from_millis(50))));
        assert_eq!(apart.bucket_of_all(0.5, at), None, "an eighth of the blocks says otherwise");
    }

    #[test]
    fn a_block_that_is_left_behind_lends_its_memory_and_no_count() {
        let mut blocks = Blocks::new();
        for at in 0..BLOCKS {
            (0..100).for_each(|n| blocks.record(at, Duration::from_millis(1 + n)));
            assert_eq!(
                blocks.blocks.iter().flatten().count(),
                1 + usize::from(at > 0),
                "this one and the last"
            );
            let tallies = blocks.tallies(0.5, Duration::from_millis(50));
            assert_eq!(tallies.iter().map(|tally| tally.count).sum::<u64>(), 100);
            assert!((45..=55).contains(&tallies[at].at_most), "{:?}", tallies[at]);
            blocks.clear();
        }
    }

    #[test]
    fn the_nearer_end_of_a_bucket_is_taken() {
        let mut blocks = Blocks::new();
        (0..64).for_each(|block| (0..100).for_each(|n| blocks.record(block, Duration::from_millis(10 + n))));
        let tallies = blocks.tallies(0.5, Duration::from_millis(60));
        assert!((45..=55).contains(&tallies[0].at_most), "{tallies:?}");
        assert_eq!((tallies.len(), tallies[63].count), (BLOCKS, 100));
    }
}

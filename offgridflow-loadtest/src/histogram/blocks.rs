//! How neighbouring operations go together, for intervals that do not pretend they were independent.

use std::{cmp::Ordering, time::Duration};

#[cfg(feature = "serde")]
use super::wire::{Pair, counted};
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
/// Neighbouring blocks that are looked at together where dependence forbids an interval: sixteen parts of a run.
const PART: usize = BLOCKS / 16;
/// How many parts it takes to call a run clear.
const MIN_PARTS: usize = 12;
/// What a run is given to get from empty to full, in parts.
const FILLING: usize = 4;

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

    /// Each block's count and counters.
    #[cfg(feature = "serde")]
    pub(super) fn written(&self) -> Vec<Option<(u64, Vec<Pair>)>> {
        let block = |block: &Option<Box<Block>>| {
            let block = block.as_ref().filter(|block| block.count > 0)?;
            Some((block.count, block.answered.iter().collect()))
        };
        self.blocks.iter().map(block).collect()
    }

    #[cfg(feature = "serde")]
    pub(super) fn read(written: &[Option<(u64, Vec<Pair>)>]) -> Result<Self, String> {
        if written.len() > BLOCKS {
            return Err(format!("{} blocks, and a run has {BLOCKS}", written.len()));
        }
        let mut blocks = Self::new();
        for (at, block) in written.iter().enumerate() {
            let Some((count, pairs)) = block else { continue };
            let (answered, sum) = counted(Block::empty().answered, pairs)?;
            if sum > *count {
                return Err(format!("block {at} has more answers than operations"));
            }
            *blocks.block(at) = Block { answered, count: *count };
        }
        Ok(blocks)
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

    /// On which side of `limit` the `q`-quantile lies beyond doubt, however much operations depend on one another: below, if each sixteenth of
    /// the run kept to half the limit; above, if each that follows its first quarter broke it.
    pub(crate) fn clear_cut(&self, q: f64, limit: Duration) -> Option<Ordering> {
        let kept = |within: Duration| -> Vec<bool> {
            let tallies = self.up_to(index(within));
            let parts = tallies.chunks(PART).map(|part| BlockTally {
                count: part.iter().map(|tally| tally.count).sum(),
                at_most: part.iter().map(|tally| tally.at_most).sum(),
            });
            parts
                .filter(|part| part.count >= MIN_PER_BLOCK)
                .map(|part| part.at_most >= rank(q, part.count))
                .collect()
        };
        let (easily, at_all) = (kept(limit / 2), kept(limit));
        if easily.len() < MIN_PARTS {
            return None;
        }
        if easily.iter().all(|&kept| kept) {
            return Some(Ordering::Less);
        }
        at_all[FILLING..].iter().all(|&kept| !kept).then_some(Ordering::Greater)
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
    fn what_every_part_of_a_run_says_is_beyond_doubt() {
        let run = |of: fn(u64) -> u64| {
            let mut blocks = Blocks::new();
            for n in 0..6_400_u64 {
                blocks.record(usize::try_from(n / 100).expect("small"), Duration::from_micros(of(n)));
            }
            blocks.clear_cut(0.95, Duration::from_millis(100))
        };
        assert_eq!(run(|n| 10_000 + 6 * n), Some(Ordering::Less), "drifts from 10 to 48 ms");
        assert_eq!(run(|n| 10_000 + 10 * n), None, "drifts to 74 ms");
        assert_eq!(
            run(|n| 100 * n),
            Some(Ordering::Greater),
            "a backlog: 100 ms after a sixth, 640 at the end"
        );
        assert_eq!(run(|n| if n / 400 == 9 { 60_000 } else { 1_000 }), None, "one part was slow");
        assert_eq!(run(|n| if n / 400 == 9 { 1_000 } else { 200_000 }), None, "one part was fast");
        assert_eq!(Blocks::new().clear_cut(0.95, Duration::from_millis(100)), None);
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

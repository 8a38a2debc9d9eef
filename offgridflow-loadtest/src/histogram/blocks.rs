//! How neighbouring operations go together, for intervals that do not pretend they were independent.

use std::time::Duration;

use super::{
    counts::{Counts, Narrowest},
    scale::Scale,
};
use crate::stats::BlockTally;

/// How many blocks a run is divided into.
pub(crate) const BLOCKS: usize = 64;
/// 16 steps an octave: enough to see how a block leans.
const SCALE: Scale = Scale::new(4);
/// Dependence is told apart from about half a microsecond to a minute; what lies beyond is counted at the ends.
const RANGE_NS: (u64, u64) = (1 << 9, 1 << 36);

/// Coarse histograms of consecutive parts of a run, each as long in planned operations. Memory as with
/// [`Latencies`](super::Latencies): what is used.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    blocks: Vec<Option<Box<Block>>>, // empty, or BLOCKS long
}

#[derive(Debug, Clone)]
struct Block {
    answered: Counts,
    count: u64, // answered or not
}

impl Blocks {
    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new() }
    }

    pub(crate) fn record(&mut self, block: usize, latency: Duration) {
        let block = self.block(block);
        block.answered.add(index(latency), 1);
        block.count += 1;
    }

    pub(crate) fn record_unanswered(&mut self, block: usize) {
        self.block(block).count += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (at, theirs) in other.blocks.iter().enumerate() {
            if let Some(theirs) = theirs {
                let ours = self.block(at);
                ours.answered.merge(&theirs.answered);
                ours.count += theirs.count;
            }
        }
    }

    /// For each block, how many operations it held and how many were answered within about `latency`: up to
    /// the end of the coarse bucket that `latency` falls into.
    pub(crate) fn tallies(&self, latency: Duration) -> Vec<BlockTally> {
        let last = index(latency);
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
        self.blocks[at.min(BLOCKS - 1)].get_or_insert_with(|| Box::new(Block::empty()))
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

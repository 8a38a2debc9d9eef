//! How much of a flush one transaction is given: no more than the database takes.

use crate::batch::flush::{Flushed, Flusher, Tally};
use crate::batch::plan::Unit;
use crate::chunk::Chunk;
use crate::executor::BatchExecutor;

/// What a value takes on its way beside its bytes: its length.
const LENGTH: usize = 4;

/// What has been gathered for one transaction.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    weight: usize, // in bytes, lengths included
}

impl Portion {
    /// Adds a unit of so many bytes and values; false if it does not fit beside those before, and so begins another portion.
    pub(crate) fn takes(&mut self, bytes: usize, values: usize, limit: usize) -> bool {
        let weight = bytes.saturating_add(LENGTH.saturating_mul(values));
        let sum = self.weight.saturating_add(weight);
        let fits = self.weight == 0 || sum <= limit;
        self.weight = if fits { sum } else { weight };
        fits
    }
}

/// Flushes the units between two of `cuts` at a time, as if each had been a flush of its own; mostly there is no cut.
pub(crate) async fn flush<E: BatchExecutor>(
    flusher: &Flusher<E>,
    chunk: &Chunk,
    units: &[Unit],
    cuts: &[usize],
) -> Flushed {
    if cuts.is_empty() {
        return flusher.flush(chunk, units).await;
    }
    let mut whole = Flushed { verdicts: Vec::with_capacity(chunk.len()), tally: Tally::default() };
    let mut start = 0;
    for end in cuts.iter().copied().chain([units.len()]) {
        let (first, last) = (units[start].start, units[end - 1].end);
        let rows: Vec<usize> = (first..last).collect();
        let units: Vec<Unit> =
            units[start..end].iter().map(|unit| unit.start - first..unit.end - first).collect();
        let flushed = flusher.flush(&chunk.gather(&rows), &units).await;
        whole.verdicts.extend(flushed.verdicts);
        whole.tally.transactions += flushed.tally.transactions;
        whole.tally.retries += flushed.tally.retries;
        whole.tally.writing += flushed.tally.writing;
        whole.tally.pausing += flushed.tally.pausing;
        start = end;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_ends_before_what_does_not_fit() {
        let mut portion = Portion::default();
        assert!(portion.takes(100, 1, 20), "what is larger alone is sent alone");
        assert!(!portion.takes(6, 1, 20));
        assert!(portion.takes(6, 1, 20));
        assert!(!portion.takes(0, 1, 20), "lengths count");
        assert!(!portion.takes(usize::MAX, usize::MAX, 20));
    }
}

//! Rows on their way into a flush: what waits, and what is gathered.

use crate::batch::item::Item;
use crate::batch::outcome::{Verdict, Why};
use crate::batch::plan::Unit;
use crate::batch::portion::Portion;
use crate::chunk::{Chunk, ChunkWriter};
use crate::delivery::LedgerEntry;
use crate::error::{Cause, Class};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::time::Instant;

/// The rows of one flush.
pub(crate) struct Batch<R> {
    pub(crate) chunk: Chunk,
    pub(crate) items: Vec<Item<R>>, // one a row of the chunk
    pub(crate) units: Vec<Unit>,
    pub(crate) cuts: Vec<usize>, // units before which a transaction is full
    portion: Portion,            // since the last cut
    pub(crate) refused: Vec<(Item<R>, Verdict)>, // never reached the chunk
    pub(crate) since: Option<Instant>, // when its first row came
    pub(crate) ledger: Option<LedgerEntry>, // the batch is stored whole and once
}

impl<R> Batch<R> {
    pub(crate) fn new(chunk: Chunk) -> Self {
        Self {
            chunk,
            items: Vec::new(),
            units: Vec::new(),
            cuts: Vec::new(),
            portion: Portion::default(),
            refused: Vec::new(),
            since: None,
            ledger: None,
        }
    }

    /// Adds a unit of so many bytes.
    fn add(&mut self, unit: Unit, bytes: usize, limit: usize) {
        let values = unit.len() * self.chunk.shape().columns().len();
        if !self.portion.takes(bytes, values, limit) {
            self.cuts.push(self.units.len());
        }
        self.units.push(unit);
    }

    pub(crate) fn taken(&self) -> usize {
        self.items.len() + self.refused.len()
    }
}

/// Turns rows into the columns of a chunk.
pub(crate) struct Encoder<R> {
    pub(crate) put: fn(&R, &mut ChunkWriter<'_>),
    pub(crate) row_bytes: usize,
    pub(crate) group_bytes: usize, // what one transaction takes
}

impl<R> Encoder<R> {
    pub(crate) fn admit_row(&self, batch: &mut Batch<R>, item: Item<R>) {
        batch.since.get_or_insert_with(Instant::now);
        let row = batch.chunk.len();
        match self.encode(&mut batch.chunk, item.row()) {
            Ok(bytes) => {
                batch.items.push(item);
                batch.add(row..row + 1, bytes, self.group_bytes);
            }
            Err(cause) => batch.refused.push((item, Verdict::Rejected(cause))),
        }
    }

    /// All rows of the group, or none of them.
    pub(crate) fn admit_group(&self, batch: &mut Batch<R>, items: Vec<Item<R>>) {
        batch.since.get_or_insert_with(Instant::now);
        let (start, weight) = (batch.chunk.len(), batch.chunk.bytes());
        let causes: Vec<_> =
            items.iter().map(|item| self.encode(&mut batch.chunk, item.row()).err()).collect();
        let bytes = batch.chunk.bytes().saturating_sub(weight);
        let too_large = bytes > self.group_bytes;
        if causes.iter().all(Option::is_none) && !too_large {
            batch.add(start..start + items.len(), bytes, self.group_bytes);
            batch.items.extend(items);
            return;
        }
        batch.chunk.rewind(start, weight);
        let size = || Cause::new(Class::TooLarge, "the group is larger than one transaction may be");
        let why = if too_large { Why::GroupConflict(size()) } else { Why::GroupRefused };
        let verdict = |cause: Option<Cause>| cause.map_or(Verdict::Returned(why.clone()), Verdict::Rejected);
        batch.refused.extend(items.into_iter().zip(causes.into_iter().map(verdict)));
    }

    /// Encodes a row and returns its size in bytes; one that cannot be encoded leaves no trace.
    pub(crate) fn encode(&self, chunk: &mut Chunk, row: &R) -> Result<usize, Cause> {
        let (before, weight) = (chunk.len(), chunk.bytes());
        let encoded = catch_unwind(AssertUnwindSafe(|| chunk.push(|writer| (self.put)(row, writer))));
        let cause = match encoded {
            Ok(Ok(bytes)) if bytes <= self.row_bytes => return Ok(bytes),
            Ok(Ok(bytes)) => Cause::new(
                Class::TooLarge,
                format!("the row has {bytes} bytes, max_row_bytes allows {}", self.row_bytes),
            ),
            Ok(Err(cause)) => cause,
            Err(_) => Cause::new(Class::Encoding, "encoding the row panicked"),
        };
        chunk.rewind(before, weight);
        Err(cause)
    }
}

//! How pieces of one chunk are sent in one transaction.

use crate::chunk::{Chunk, Slice};
use crate::write::WritePlan;
use std::ops::Range;

/// Pieces as they are sent: gathered into one statement, or each by itself where the database may call keys of two pieces equal.
pub(crate) struct Sent<'a> {
    pieces: &'a [Range<usize>],
    gathered: Option<Chunk>,
}

impl<'a> Sent<'a> {
    /// `exact`: rows have one key each that the database compares as a value.
    pub(crate) fn new(chunk: &Chunk, pieces: &'a [Range<usize>], plan: &WritePlan, exact: bool) -> Self {
        let several = pieces.len() > 1 && (exact || !plan.conflict.updates());
        let rows = || pieces.iter().cloned().flatten().collect::<Vec<_>>();
        Self { pieces, gathered: several.then(|| chunk.gather(&rows())) }
    }

    pub(crate) fn parts<'b>(&'b self, chunk: &'b Chunk) -> Vec<Slice<'b>> {
        match &self.gathered {
            Some(gathered) => Vec::from([gathered.slice(0..gathered.len())]),
            None => self.pieces.iter().map(|rows| chunk.slice(rows.clone())).collect(),
        }
    }
}

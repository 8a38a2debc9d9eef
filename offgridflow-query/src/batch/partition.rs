//! Which flush a row belongs to: one for all, or one of several by its key, so that no two flushes update the same row.

use crate::chunk::Chunk;
use crate::shape::{Conflict, Element, Kind, Shape};
use std::hash::{BuildHasher, RandomState};

/// How many partitions updates need for `flushes` under way side by side. JSON, which has many texts for one document,
/// stays in one.
pub(crate) fn partitions(shape: &Shape, conflict: &Conflict, flushes: usize) -> usize {
    let vague = |&at: &usize| matches!(shape.columns()[at].kind(), Kind::Json | Kind::Array(Element::Json));
    if conflict.updates() && !shape.key_positions().iter().any(vague) { flushes } else { 1 }
}

/// Tells keys apart. Rows with a NULL in their key conflict with nothing and go to the first partition.
#[derive(Debug)]
pub(crate) struct Partitioner {
    key: Vec<usize>,
    count: usize, // >= 1
    hash: RandomState,
    bytes: Vec<u8>,
}

impl Partitioner {
    pub(crate) fn new(key: Vec<usize>, count: usize) -> Self {
        Self { key, count, hash: RandomState::new(), bytes: Vec::new() }
    }

    /// The partition of a row.
    pub(crate) fn of(&mut self, chunk: &Chunk, row: usize) -> usize {
        self.bytes.clear();
        if !chunk.slice(row..row + 1).key_bytes(0, &self.key, &mut self.bytes) {
            return 0;
        }
        let hash = self.hash.hash_one(&self.bytes);
        usize::try_from(hash % self.count as u64).unwrap_or(0)
    }
}

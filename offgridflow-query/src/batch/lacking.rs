//! Updates that lacked what others of their flush brought later, and what that does to rows of their keys.

use crate::batch::flush::{Flushed, Flusher, is_settled, single};
use crate::batch::isolate::ORPHAN_ROUNDS;
use crate::batch::outcome::{Fate, Verdict, Why};
use crate::batch::plan::deduplicate;
use crate::chunk::{Chunk, Slice};
use crate::error::{Cause, Class};
use crate::executor::BatchExecutor;
use crate::write::WritePlan;
use std::collections::HashMap;

impl<E: BatchExecutor> Flusher<E> {
    /// Tries rows again that lacked what a later round brought, or clashed with what it took away, in the order they came: those of which nothing
    /// newer of their key is stored. One that fails again keeps its first cause.
    pub(super) async fn retry_lacking(
        &self,
        chunk: &Chunk,
        rows: &[usize],
        plan: &WritePlan,
        flushed: &mut Flushed,
    ) {
        let all = chunk.slice(0..chunk.len());
        for _ in 0..ORPHAN_ROUNDS {
            if flushed.tally.halted.is_some() || !flushed.tally.exact {
                return;
            }
            let stored = newest(&all, rows, |row| is_settled(flushed.verdicts[row].as_ref()));
            let lacks = |&row: &usize| {
                let lacks =
                    matches!(&flushed.verdicts[row], Some(Verdict::Rejected(cause)) if lacks_others(cause));
                lacks && key_of(&all, row).and_then(|key| stored.get(&key)).is_none_or(|&newest| newest < row)
            };
            let lacking: Vec<usize> = rows.iter().copied().filter(lacks).collect();
            let order = deduplicate(&all, chunk.shape(), &lacking, false).order;
            if order.is_empty() {
                return;
            }
            let (sent, mut rejects) = (chunk.gather(&order), flushed.tally.rejects);
            flushed.tally.rejects = rejects.saturating_sub(order.len());
            let verdicts = self.isolate(&sent, &single(sent.len()), plan, &mut flushed.tally).await;
            let mut progress = false;
            for (verdict, row) in verdicts.into_iter().zip(order) {
                if matches!(verdict, Some(Verdict::Rejected(_) | Verdict::Returned(Why::TooManyRejects))) {
                    continue;
                }
                progress |= is_settled(verdict.as_ref());
                rejects = rejects.saturating_sub(1);
                flushed.verdicts[row] = verdict;
            }
            flushed.tally.rejects = rejects;
            if !progress {
                return;
            }
            if plan.conflict.inserted_only(chunk.shape()).is_empty() {
                supersede(&all, rows, &mut flushed.verdicts);
            }
        }
    }
}

/// Whether a row may be good once others are stored, or have given up a name.
pub(super) fn lacks_others(cause: &Cause) -> bool {
    matches!(cause.class(), Class::ForeignKey | Class::Unique)
}

/// The key of a row, unless a part of it is NULL.
fn key_of(all: &Slice<'_>, row: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    all.key_bytes(row, &all.shape().key_positions(), &mut bytes).then_some(bytes)
}

/// Of each key the newest of `rows` that `counts`.
fn newest(all: &Slice<'_>, rows: &[usize], counts: impl Fn(usize) -> bool) -> HashMap<Vec<u8>, usize> {
    let mut newest = HashMap::new();
    for &row in rows.iter().filter(|&&row| counts(row)) {
        if let Some(key) = key_of(all, row) {
            newest.entry(key).and_modify(|last: &mut usize| *last = row.max(*last)).or_insert(row);
        }
    }
    newest
}

/// Those of `dropped` that the database still drops while an older row of their key was stored, as one of `sent`: its successors, which it must not
/// overtake. A trigger that compares a row with the one that is stored may let them pass now.
pub(super) fn overtaken(
    all: &Slice<'_>,
    dropped: &[usize],
    sent: &[usize],
    verdicts: &[Option<Verdict>],
) -> Vec<usize> {
    if dropped.is_empty() {
        return Vec::new();
    }
    let stored = newest(all, sent, |row| is_stored(&verdicts[row]));
    let behind =
        |row| key_of(all, row).and_then(|key| stored.get(&key).copied()).is_some_and(|older| older < row);
    dropped.iter().copied().filter(|&row| is_dropped(&verdicts[row]) && behind(row)).collect()
}

fn is_stored(verdict: &Option<Verdict>) -> bool {
    *verdict == Some(Verdict::Settled(Fate::Committed))
}

/// Whether the database took a row and did not store it.
pub(super) fn is_dropped(verdict: &Option<Verdict>) -> bool {
    *verdict == Some(Verdict::Settled(Fate::Skipped))
}

/// What was stored of a key before the newest row that was is superseded by it.
pub(super) fn supersede(all: &Slice<'_>, rows: &[usize], verdicts: &mut [Option<Verdict>]) {
    let newest = newest(all, rows, |row| is_stored(&verdicts[row]));
    for &row in rows {
        let by = key_of(all, row).and_then(|key| newest.get(&key).copied());
        if is_stored(&verdicts[row]) && by.is_some_and(|newest| newest > row) {
            verdicts[row] = Some(Verdict::Settled(Fate::Superseded));
        }
    }
}

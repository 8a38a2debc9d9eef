//! Finding the rows that a database refuses, by slicing.
//!
//! Independent units are isolated while good ones are committed: a part that fails is cut around the row that the database
//! named, or halved, and each piece is a clean transaction of its own. k bad rows among n cost at most 2k·⌈log2 n⌉ + 1
//! transactions. Units that belong together are searched by [rehearsals](crate::batch::rehearse). There is never a
//! savepoint a row.

use crate::batch::flush::{Atomicity, Flusher, Tally};
use crate::batch::outcome::{Fate, Verdict, Why};
use crate::batch::plan::Unit;
use crate::chunk::Chunk;
use crate::error::{Cause, Class, Scope};
use crate::executor::BatchExecutor;
use crate::write::{WriteError, WritePlan, Wrote};
use std::ops::Range;

/// Rounds in which rows with a missing parent are tried again, after the rest of the run.
const FOREIGN_KEY_ROUNDS: usize = 8;
/// Rounds in which a write that was rehearsed may still meet a conflict, because somebody else wrote meanwhile.
pub(crate) const CONTENTION_ROUNDS: usize = 3;

/// The units of one run and the verdicts on the rows of its chunk.
pub(crate) struct Run<'a> {
    pub(crate) chunk: &'a Chunk,
    pub(crate) units: &'a [Unit],
    pub(crate) verdicts: Vec<Option<Verdict>>,
    /// Rows rejected for an unknown reason since something last went through: perhaps the batch is to blame.
    doubtful: Vec<usize>,
}

impl Run<'_> {
    fn rows(&self, units: &Range<usize>) -> Range<usize> {
        self.units[units.start].start..self.units[units.end - 1].end
    }

    /// All rows.
    pub(crate) fn all(&self) -> Range<usize> {
        0..self.chunk.len()
    }

    fn settle(&mut self, units: &Range<usize>, verdict: &Verdict) {
        let rows = self.rows(units);
        self.verdicts[rows].fill(Some(verdict.clone()));
    }

    /// Rows for which the batch is to blame after all.
    fn acquit(&mut self, tally: &mut Tally) {
        for row in std::mem::take(&mut self.doubtful) {
            if let Some(Verdict::Rejected(cause)) = &self.verdicts[row] {
                self.verdicts[row] = Some(Verdict::Returned(Why::Batch(cause.clone())));
                tally.rejects -= 1;
            }
        }
    }

    fn commit(&mut self, units: &Range<usize>, wrote: &Wrote) {
        self.store(&[self.rows(units)], wrote);
    }

    /// The rows of `pieces`, in this order, were written by one transaction.
    pub(crate) fn store(&mut self, pieces: &[Range<usize>], wrote: &Wrote) {
        let fate = if wrote.replayed { Fate::Replayed } else { Fate::Committed };
        let rows: Vec<usize> = pieces.iter().cloned().flatten().collect();
        for &row in &rows {
            self.verdicts[row] = Some(Verdict::Settled(fate));
        }
        for &row in wrote.skipped.iter().filter_map(|&at| rows.get(at)) {
            self.verdicts[row] = Some(Verdict::Settled(Fate::Skipped));
        }
    }

    /// Single rows that were rejected for want of a parent.
    fn orphans(&self) -> Vec<usize> {
        let orphan = |row: usize| matches!(&self.verdicts[row], Some(Verdict::Rejected(c)) if c.class() == Class::ForeignKey);
        (0..self.units.len())
            .filter(|&unit| self.units[unit].len() == 1 && orphan(self.units[unit].start))
            .collect()
    }

    /// Cuts several units around the one that holds the named row, or in halves; the rightmost piece comes first.
    fn cut(&self, units: &Range<usize>, named: Option<usize>) -> Vec<Range<usize>> {
        let rows = self.rows(units);
        let row = named.map(|row| rows.start + row).filter(|row| rows.contains(row));
        let pieces = match row {
            Some(row) => {
                let at = self.units.partition_point(|unit| unit.end <= row);
                vec![at + 1..units.end, at..at + 1, units.start..at]
            }
            None => {
                let middle = units.start + units.len() / 2;
                vec![middle..units.end, units.start..middle]
            }
        };
        pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
    }
}

impl<E: BatchExecutor> Flusher<E> {
    /// Writes all units, good ones for good, and gives every row its verdict.
    pub(crate) async fn isolate(
        &self,
        chunk: &Chunk,
        units: &[Unit],
        plan: &WritePlan,
        tally: &mut Tally,
    ) -> Vec<Option<Verdict>> {
        let mut run = Run { chunk, units, verdicts: vec![None; chunk.len()], doubtful: Vec::new() };
        if self.atomicity == Atomicity::Together && units.len() > 1 {
            self.write_together(&mut run, plan, tally).await;
            return run.verdicts;
        }
        let everything = 0..units.len();
        self.work_off(&mut run, Vec::from([everything]), plan, tally).await;
        if !tally.went {
            run.acquit(tally);
        }
        for _ in 0..FOREIGN_KEY_ROUNDS {
            if !self.retry_orphans(&mut run, plan, tally).await {
                break;
            }
        }
        run.verdicts
    }

    /// Works off a stack of pieces, the leftmost on top: rows of one key keep their order.
    async fn work_off(
        &self,
        run: &mut Run<'_>,
        mut open: Vec<Range<usize>>,
        plan: &WritePlan,
        tally: &mut Tally,
    ) {
        while let Some(units) = open.pop() {
            if let Some(why) = tally.halted.clone() {
                run.settle(&units, &Verdict::Returned(why));
                continue;
            }
            let slice = run.chunk.slice(run.rows(&units));
            tally.prepare(units.len());
            match self.shipper.write(&[slice], plan, tally).await {
                Ok(wrote) => {
                    tally.went_through();
                    run.doubtful.clear();
                    run.commit(&units, &wrote);
                }
                Err(WriteError::CommitUnknown { cause, .. }) => {
                    run.settle(&units, &Verdict::Returned(Why::CommitUnknown(cause)));
                }
                Err(WriteError::Failed { row, cause }) => match tally.scope(&cause) {
                    Scope::Row if units.len() > 1 => open.extend(run.cut(&units, row)),
                    Scope::Row => self.refuse(run, units.start, cause, plan, tally).await,
                    Scope::Transient if tally.searches(&cause) => match units.len() {
                        1 => run.settle(&units, &Verdict::Returned(Why::Unavailable(cause))),
                        _ => open.extend(run.cut(&units, row)),
                    },
                    Scope::Transient => halt(run, &units, Why::Unavailable(cause), tally),
                    Scope::Batch => {
                        run.acquit(tally);
                        halt(run, &units, Why::Batch(cause), tally);
                    }
                },
            }
        }
    }

    /// One unit that the database refuses on its own.
    async fn refuse(
        &self,
        run: &mut Run<'_>,
        unit: usize,
        cause: Cause,
        plan: &WritePlan,
        tally: &mut Tally,
    ) {
        let rows = run.units[unit].clone();
        if rows.len() == 1 {
            if cause.class() == Class::Other {
                run.doubtful.push(rows.start);
            }
            run.verdicts[rows.start] = Some(Verdict::Rejected(cause));
            tally.rejects += 1;
        } else {
            self.refuse_group(run, rows, cause, plan, tally).await;
        }
        if tally.rejects > self.max_rejects {
            tally.halted = Some(Why::TooManyRejects);
        }
    }

    /// Tries rows again whose parent may have come after them; one that fails again keeps its first cause. Whether
    /// another round makes sense.
    async fn retry_orphans(&self, run: &mut Run<'_>, plan: &WritePlan, tally: &mut Tally) -> bool {
        let orphans = run.orphans();
        let settled = run.verdicts.iter().any(|verdict| matches!(verdict, Some(Verdict::Settled(_))));
        if orphans.is_empty() || !settled || tally.halted.is_some() {
            return false;
        }
        let first: Vec<_> = orphans.iter().map(|&unit| run.verdicts[run.units[unit].start].clone()).collect();
        tally.rejects -= orphans.len();
        let again = orphans.iter().rev().map(|&unit| unit..unit + 1).collect();
        self.work_off(run, again, plan, tally).await;
        let mut adopted = false;
        for (&unit, first) in orphans.iter().zip(first) {
            match &mut run.verdicts[run.units[unit].start] {
                again @ Some(Verdict::Rejected(_)) => *again = first,
                _ => adopted = true,
            }
        }
        adopted
    }
}

fn halt(run: &mut Run<'_>, units: &Range<usize>, why: Why, tally: &mut Tally) {
    run.settle(units, &Verdict::Returned(why.clone()));
    tally.halted = Some(why);
}

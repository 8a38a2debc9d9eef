//! Finding the rows that a database refuses, by slicing.
//!
//! Single rows are isolated while good ones are committed: a part that fails is halved (or cut around the row that the
//! database named), and each piece is a clean transaction of its own. k bad rows among n cost at most 2k·⌈log2 n⌉ + 1
//! transactions. The rows of a group are found by rehearsals that are rolled back, each with the rows accepted so far
//! in front of it, so that rows which only clash with each other are found too. There is never a savepoint a row.

use crate::batch::flush::{Flusher, Tally};
use crate::batch::outcome::{Fate, Verdict, Why};
use crate::batch::plan::Unit;
use crate::chunk::Chunk;
use crate::error::{Cause, Class, Scope};
use crate::executor::{BatchExecutor, WriteError, Wrote};
use std::ops::Range;

/// Rounds in which rows with a missing parent are tried again, after the rest of the run.
const FOREIGN_KEY_ROUNDS: usize = 8;

/// The units of one run and the verdicts on the rows of its chunk.
struct Run<'a> {
    chunk: &'a Chunk,
    units: &'a [Unit],
    verdicts: Vec<Option<Verdict>>,
}

impl Run<'_> {
    fn rows(&self, units: &Range<usize>) -> Range<usize> {
        self.units[units.start].start..self.units[units.end - 1].end
    }

    fn settle(&mut self, units: &Range<usize>, verdict: &Verdict) {
        let rows = self.rows(units);
        self.verdicts[rows].fill(Some(verdict.clone()));
    }

    fn commit(&mut self, units: &Range<usize>, wrote: &Wrote) {
        let rows = self.rows(units);
        self.settle(units, &Verdict::Settled(Fate::Committed));
        for &row in wrote.skipped.iter().filter(|&&row| row < rows.len()) {
            self.verdicts[rows.start + row] = Some(Verdict::Settled(Fate::Skipped));
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
        &mut self,
        chunk: &Chunk,
        units: &[Unit],
        tally: &mut Tally,
    ) -> Vec<Option<Verdict>> {
        let mut run = Run { chunk, units, verdicts: vec![None; chunk.len()] };
        let everything = 0..units.len();
        self.work_off(&mut run, Vec::from([everything]), tally).await;
        for _ in 0..FOREIGN_KEY_ROUNDS {
            if !self.retry_orphans(&mut run, tally).await {
                break;
            }
        }
        run.verdicts
    }

    /// Works off a stack of pieces, the leftmost on top: rows of one key keep their order.
    async fn work_off(&mut self, run: &mut Run<'_>, mut open: Vec<Range<usize>>, tally: &mut Tally) {
        while let Some(units) = open.pop() {
            if let Some(why) = tally.halted.clone() {
                run.settle(&units, &Verdict::Returned(why));
                continue;
            }
            let plan = self.plan.clone();
            let slice = run.chunk.slice(run.rows(&units));
            match self.write(&[slice], &plan, tally).await {
                Ok(wrote) => run.commit(&units, &wrote),
                Err(WriteError::CommitUnknown(cause)) => {
                    run.settle(&units, &Verdict::Returned(Why::CommitUnknown(cause)));
                }
                Err(WriteError::Failed { row, cause }) => match cause.class().scope() {
                    Scope::Row if units.len() > 1 => open.extend(run.cut(&units, row)),
                    Scope::Row => self.refuse(run, units.start, cause, tally).await,
                    Scope::Transient => halt(run, &units, Why::Unavailable(cause), tally),
                    Scope::Batch => halt(run, &units, Why::Batch(cause), tally),
                },
            }
        }
    }

    /// One unit that the database refuses on its own.
    async fn refuse(&mut self, run: &mut Run<'_>, unit: usize, cause: Cause, tally: &mut Tally) {
        let rows = run.units[unit].clone();
        if rows.len() == 1 {
            run.verdicts[rows.start] = Some(Verdict::Rejected(cause));
            tally.rejects += 1;
        } else {
            let bad = self.name_bad_rows(run.chunk, rows.clone(), tally).await;
            let why = if bad.is_empty() { Why::GroupConflict(cause) } else { Why::GroupRefused };
            run.verdicts[rows].fill(Some(Verdict::Returned(why)));
            tally.rejects += bad.len();
            for (row, cause) in bad {
                run.verdicts[row] = Some(Verdict::Rejected(cause));
            }
        }
        if tally.rejects > self.max_rejects {
            tally.halted = Some(Why::TooManyRejects);
        }
    }

    /// Every bad row of a group, found without storing anything.
    async fn name_bad_rows(
        &mut self,
        chunk: &Chunk,
        rows: Range<usize>,
        tally: &mut Tally,
    ) -> Vec<(usize, Cause)> {
        let rehearsal = self.plan.rehearsal();
        let (mut accepted, mut bad, mut open) = (Vec::<Range<usize>>::new(), Vec::new(), vec![rows]);
        while let Some(piece) = open.pop() {
            let before: usize = accepted.iter().map(Range::len).sum();
            let parts: Vec<_> =
                accepted.iter().chain([&piece]).map(|rows| chunk.slice(rows.clone())).collect();
            match self.write(&parts, &rehearsal, tally).await {
                Ok(_) => match accepted.last_mut() {
                    Some(last) if last.end == piece.start => last.end = piece.end,
                    _ => accepted.push(piece),
                },
                Err(WriteError::Failed { row, cause }) if cause.class().scope() == Scope::Row => {
                    if piece.len() > 1 {
                        let named = row.and_then(|row| row.checked_sub(before)).map(|row| piece.start + row);
                        open.extend(cut_rows(&piece, named));
                    } else {
                        bad.push((piece.start, cause));
                    }
                }
                Err(_) => break, // the database went away: what is known must do
            }
            if bad.len() > self.max_rejects {
                break;
            }
        }
        bad
    }

    /// Tries rows again whose parent may have come after them; one that fails again keeps its first cause. Whether
    /// another round makes sense.
    async fn retry_orphans(&mut self, run: &mut Run<'_>, tally: &mut Tally) -> bool {
        let orphans = run.orphans();
        let settled = run.verdicts.iter().any(|verdict| matches!(verdict, Some(Verdict::Settled(_))));
        if orphans.is_empty() || !settled || tally.halted.is_some() {
            return false;
        }
        let first: Vec<_> = orphans.iter().map(|&unit| run.verdicts[run.units[unit].start].clone()).collect();
        tally.rejects -= orphans.len();
        self.work_off(run, orphans.iter().rev().map(|&unit| unit..unit + 1).collect(), tally).await;
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

/// Cuts around the named row, or in halves; the rightmost piece comes first.
fn cut_rows(rows: &Range<usize>, named: Option<usize>) -> Vec<Range<usize>> {
    let pieces = match named.filter(|row| rows.contains(row)) {
        Some(row) => vec![row + 1..rows.end, row..row + 1, rows.start..row],
        None => {
            let middle = rows.start + rows.len() / 2;
            vec![middle..rows.end, rows.start..middle]
        }
    };
    pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
}

//! Finding the rows that a database refuses, by slicing.
//!
//! Independent units are isolated while good ones are committed: a part that fails is cut around the row that the database
//! named, or halved, and each piece is a clean transaction of its own. k bad rows among n cost at most 2k·⌈log2 n⌉ + 1
//! transactions. Units that belong together are searched by [rehearsals](crate::batch::rehearse). There is never a
//! savepoint a row.

use crate::batch::flush::{Atomicity, Flusher, Tally, single};
use crate::batch::outcome::{Fate, Verdict, Why};
use crate::batch::plan::Unit;
use crate::batch::sent::Sent;
use crate::chunk::Chunk;
use crate::error::{Cause, Class, Scope};
use crate::executor::BatchExecutor;
use crate::write::{WriteError, WritePlan, Wrote};
use std::ops::Range;

/// Rounds in which rows without a parent are tried again; in the first one also those that were not tried because so many had none.
pub(crate) const ORPHAN_ROUNDS: usize = 8;
/// Rows that are rehearsed before the batch is blamed.
const SAMPLES: usize = 8;
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

    /// Single rows that were rejected for want of a parent; and, where rows were `sorted`, for what they clash with: a row that came before them and
    /// has been stored by now may have taken it away.
    fn orphans(&self, sorted: bool) -> Vec<usize> {
        let orphan = |class| class == Class::ForeignKey || sorted && class == Class::Unique;
        self.singles(|verdict| matches!(verdict, Verdict::Rejected(cause) if orphan(cause.class())))
    }

    /// Single rows that were not tried because too many were rejected before.
    fn untried(&self) -> Vec<usize> {
        self.singles(|verdict| *verdict == Verdict::Returned(Why::TooManyRejects))
    }

    fn singles(&self, with: impl Fn(&Verdict) -> bool) -> Vec<usize> {
        let alone = self.units.iter().filter(|unit| unit.len() == 1).map(|unit| unit.start);
        alone.filter(|&row| self.verdicts[row].as_ref().is_some_and(&with)).collect()
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
        // Where the database may call keys equal that are not, an orphan that is tried again might overtake a newer row.
        if plan.conflict.updates() && !tally.exact {
            return run.verdicts;
        }
        for round in 0..ORPHAN_ROUNDS {
            if !self.retry_orphans(&mut run, plan, tally, round == 0).await {
                break;
            }
        }
        run.verdicts
    }

    /// Writes a chunk that is stored as a whole or not at all, in one transaction, its `turns` one after the other.
    pub(crate) async fn isolate_in_turns(
        &self,
        chunk: &Chunk,
        turns: &[Range<usize>],
        plan: &WritePlan,
        tally: &mut Tally,
    ) -> Vec<Option<Verdict>> {
        let whole = 0..chunk.len();
        let units = std::slice::from_ref(&whole);
        let mut run = Run { chunk, units, verdicts: vec![None; chunk.len()], doubtful: Vec::new() };
        tally.exact = false; // turns stay apart, also in rehearsals
        tally.prepare(1);
        let sent = Sent::new(chunk, turns, plan, tally.exact);
        match self.shipper.write(&sent.parts(chunk), plan, tally).await {
            Ok(wrote) => run.store(turns, &wrote),
            Err(WriteError::CommitUnknown { cause, .. }) => {
                run.settle(&(0..1), &Verdict::Returned(Why::CommitUnknown(cause)));
            }
            Err(WriteError::Failed { cause, .. }) => match tally.scope(&cause) {
                Scope::Row => self.refuse(&mut run, 0, cause, plan, tally).await,
                Scope::Transient => halt(&mut run, &(0..1), Why::Unavailable(cause), tally),
                Scope::Batch => halt(&mut run, &(0..1), Why::Batch(cause), tally),
            },
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
                Err(WriteError::Failed { row, cause }) => {
                    if tally.despairs(&cause) {
                        let untried = open.iter().map(|units| run.rows(units));
                        self.look_elsewhere(run.chunk, untried, plan, tally).await;
                    }
                    match tally.scope(&cause) {
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
                    }
                }
            }
        }
    }

    /// Rehearses some of the rows that were not tried, each by itself: where one goes through, the batch is not to blame for what failed, however many
    /// bad rows stand together.
    pub(crate) async fn look_elsewhere(
        &self,
        chunk: &Chunk,
        untried: impl Iterator<Item = Range<usize>>,
        plan: &WritePlan,
        tally: &mut Tally,
    ) {
        let rows: Vec<usize> = untried.flatten().collect();
        let rehearsal = plan.rehearsal();
        for &row in rows.iter().step_by(rows.len().div_ceil(SAMPLES).max(1)) {
            if self.shipper.write(&[chunk.slice(row..row + 1)], &rehearsal, tally).await.is_ok() {
                return tally.went_through();
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
            if cause.is_strange() {
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

    /// Tries rows again whose parent may have come after them, all in one piece: behind those that were not tried because so many had no
    /// parent. One that fails again keeps its first cause. Whether anything was stored, so that another round makes sense.
    async fn retry_orphans(
        &self,
        run: &mut Run<'_>,
        plan: &WritePlan,
        tally: &mut Tally,
        first: bool,
    ) -> bool {
        let orphans = run.orphans(plan.conflict.updates() && tally.halted.is_none());
        let too_many = first
            && tally.halted == Some(Why::TooManyRejects)
            && tally.rejects.saturating_sub(orphans.len()) <= self.max_rejects;
        if orphans.is_empty() || !(too_many || tally.halted.is_none() && tally.went) {
            return false;
        }
        let mut rows = if too_many { run.untried() } else { Vec::new() };
        let untried = rows.len();
        rows.extend(&orphans);
        (tally.halted, tally.rejects) = (None, tally.rejects - orphans.len());
        let (chunk, units) = (run.chunk.gather(&rows), single(rows.len()));
        let mut again =
            Run { chunk: &chunk, units: &units, verdicts: vec![None; rows.len()], doubtful: Vec::new() };
        let everything = 0..units.len();
        self.work_off(&mut again, Vec::from([everything]), plan, tally).await;
        let stored = again.verdicts.iter().any(|verdict| matches!(verdict, Some(Verdict::Settled(_))));
        for (at, (verdict, row)) in again.verdicts.into_iter().zip(rows).enumerate() {
            match verdict {
                Some(Verdict::Rejected(_)) if at >= untried => {}
                Some(Verdict::Returned(Why::TooManyRejects)) if at >= untried => tally.rejects += 1,
                verdict => run.verdicts[row] = verdict,
            }
        }
        stored
    }
}

fn halt(run: &mut Run<'_>, units: &Range<usize>, why: Why, tally: &mut Tally) {
    run.settle(units, &Verdict::Returned(why.clone()));
    tally.halted = Some(why);
}

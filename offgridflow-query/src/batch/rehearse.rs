//! Rows that are stored in one transaction: bad ones are found by rehearsals that are rolled back, each with the rows
//! accepted so far in front, so that rows which only clash with each other are found too.

use crate::batch::flush::{Flusher, Tally};
use crate::batch::isolate::{CONTENTION_ROUNDS, Run};
use crate::batch::outcome::{Verdict, Why};
use crate::chunk::Chunk;
use crate::error::{Cause, Class, Scope};
use crate::executor::BatchExecutor;
use crate::write::{WriteError, WritePlan};
use std::ops::Range;

/// What rehearsals found.
struct Rehearsed {
    /// Good rows, in the order in which they go together.
    accepted: Vec<Range<usize>>,
    bad: Vec<(usize, Cause)>,
    /// Why the search ended early; nothing more is known then.
    ended: Option<Why>,
}

impl<E: BatchExecutor> Flusher<E> {
    /// Stores the good units of a run in one transaction.
    pub(crate) async fn write_together(&self, run: &mut Run<'_>, plan: &WritePlan, tally: &mut Tally) {
        tally.be_patient();
        let mut pieces = Vec::from([run.all()]);
        for round in 0..=CONTENTION_ROUNDS {
            if pieces.is_empty() {
                return;
            }
            let slices: Vec<_> = pieces.iter().map(|rows| run.chunk.slice(rows.clone())).collect();
            let why = match self.shipper.write(&slices, plan, tally).await {
                Ok(wrote) => return run.store(&pieces, &wrote),
                Err(WriteError::CommitUnknown { cause, .. }) => Why::CommitUnknown(cause),
                Err(WriteError::Failed { cause, .. }) => match tally.scope(&cause) {
                    Scope::Row if round == CONTENTION_ROUNDS => Why::Contended(cause),
                    Scope::Row => match self.set_bad_units_aside(run, &mut pieces, plan, tally).await {
                        None => continue,
                        Some(why) => why,
                    },
                    Scope::Transient => Why::Unavailable(cause),
                    Scope::Batch => Why::Batch(cause),
                },
            };
            for row in pieces.into_iter().flatten() {
                run.verdicts[row] = Some(Verdict::Returned(why.clone()));
            }
            return;
        }
    }

    /// Rehearses `pieces`, gives verdicts to the units with bad rows, and leaves the others.
    async fn set_bad_units_aside(
        &self,
        run: &mut Run<'_>,
        pieces: &mut Vec<Range<usize>>,
        plan: &WritePlan,
        tally: &mut Tally,
    ) -> Option<Why> {
        let Rehearsed { accepted, bad, ended } = self.rehearse(run.chunk, pieces, plan, tally).await;
        tally.rejects += bad.len();
        let mut out = vec![false; run.chunk.len()];
        for (row, cause) in bad {
            let at = run.units.partition_point(|unit| unit.end <= row);
            for neighbour in run.units[at].clone() {
                out[neighbour] = true;
                run.verdicts[neighbour].get_or_insert(Verdict::Returned(Why::GroupRefused));
            }
            run.verdicts[row] = Some(Verdict::Rejected(cause));
        }
        if let Some(why) = ended {
            *pieces = pieces.iter().flat_map(|rows| without(rows, &out)).collect();
            return Some(why);
        }
        *pieces = accepted.iter().flat_map(|rows| without(rows, &out)).collect();
        None
    }

    /// The rows of a group that was refused: every bad one is named. If there is none, somebody else was in the way, and
    /// the group is tried again.
    pub(crate) async fn refuse_group(
        &self,
        run: &mut Run<'_>,
        rows: Range<usize>,
        mut cause: Cause,
        plan: &WritePlan,
        tally: &mut Tally,
    ) {
        for _ in 0..CONTENTION_ROUNDS {
            let found = self.rehearse(run.chunk, std::slice::from_ref(&rows), plan, tally).await;
            if !found.bad.is_empty() || found.ended.is_some() {
                let why = found.ended.unwrap_or(Why::GroupRefused);
                run.verdicts[rows].fill(Some(Verdict::Returned(why)));
                tally.rejects += found.bad.len();
                for (row, cause) in found.bad {
                    run.verdicts[row] = Some(Verdict::Rejected(cause));
                }
                return;
            }
            let slices: Vec<_> = found.accepted.iter().map(|rows| run.chunk.slice(rows.clone())).collect();
            let why = match self.shipper.write(&slices, plan, tally).await {
                Ok(wrote) => return run.store(&found.accepted, &wrote),
                Err(WriteError::CommitUnknown { cause, .. }) => Why::CommitUnknown(cause),
                Err(WriteError::Failed { cause: again, .. }) => match tally.scope(&again) {
                    Scope::Row => {
                        cause = again;
                        continue;
                    }
                    Scope::Transient => Why::Unavailable(again),
                    Scope::Batch => Why::Batch(again),
                },
            };
            return run.verdicts[rows].fill(Some(Verdict::Returned(why)));
        }
        run.verdicts[rows].fill(Some(Verdict::Returned(Why::Contended(cause))));
    }

    /// Tells good rows from bad ones without storing anything.
    async fn rehearse(
        &self,
        chunk: &Chunk,
        pieces: &[Range<usize>],
        plan: &WritePlan,
        tally: &mut Tally,
    ) -> Rehearsed {
        let rehearsal = plan.rehearsal();
        let mut found = Rehearsed { accepted: Vec::new(), bad: Vec::new(), ended: None };
        let mut open: Vec<_> = pieces.iter().rev().cloned().collect();
        while let Some(piece) = open.pop() {
            match self.try_after(chunk, &found.accepted, &piece, &rehearsal, tally).await {
                // Rows that went as two statements may not go as one: the database may call their keys equal.
                Tried::Good if plan.conflict.updates() => found.accepted.push(piece),
                Tried::Good => found.accept(piece),
                Tried::Bad(row, _) if piece.len() > 1 => open.extend(cut_rows(&piece, row)),
                Tried::Bad(_, cause) => found.bad.push((piece.start, cause)),
                Tried::Ended(why) => {
                    if matches!(why, Why::Batch(_)) {
                        found.bad.retain(|(_, cause)| cause.class() != Class::Other); // the batch is to blame
                    }
                    found.ended = Some(why);
                    return found;
                }
            }
            if tally.rejects + found.bad.len() > self.max_rejects {
                found.ended = Some(Why::TooManyRejects);
                return found;
            }
        }
        if let Some((_, cause)) = found.bad.iter().find(|(_, cause)| cause.class() == Class::Other)
            && found.accepted.is_empty()
        {
            found.ended = Some(Why::Batch(cause.clone())); // every piece failed
            found.bad.retain(|(_, cause)| cause.class() != Class::Other);
            return found;
        }
        self.adopt_orphans(chunk, &mut found, &rehearsal, tally).await;
        found
    }

    /// Rows whose parent came after them are tried behind the rest, until no more of them fit.
    async fn adopt_orphans(
        &self,
        chunk: &Chunk,
        found: &mut Rehearsed,
        rehearsal: &WritePlan,
        tally: &mut Tally,
    ) {
        loop {
            let before = found.bad.len();
            for (row, cause) in std::mem::take(&mut found.bad) {
                let alone = row..row + 1;
                let orphan = cause.class() == Class::ForeignKey && !found.accepted.is_empty();
                if orphan
                    && let Tried::Good =
                        self.try_after(chunk, &found.accepted, &alone, rehearsal, tally).await
                {
                    found.accepted.push(alone);
                } else {
                    found.bad.push((row, cause));
                }
            }
            if found.bad.len() == before {
                return;
            }
        }
    }

    async fn try_after(
        &self,
        chunk: &Chunk,
        accepted: &[Range<usize>],
        piece: &Range<usize>,
        rehearsal: &WritePlan,
        tally: &mut Tally,
    ) -> Tried {
        tally.be_patient();
        let before: usize = accepted.iter().map(Range::len).sum();
        let parts: Vec<_> = accepted.iter().chain([piece]).map(|rows| chunk.slice(rows.clone())).collect();
        match self.shipper.write(&parts, rehearsal, tally).await {
            Ok(_) => {
                tally.went_through();
                Tried::Good
            }
            Err(WriteError::CommitUnknown { cause, .. }) => Tried::Ended(Why::Unavailable(cause)),
            Err(WriteError::Failed { row, cause }) => match tally.scope(&cause) {
                Scope::Row => {
                    let named = row.and_then(|row| row.checked_sub(before)).map(|row| piece.start + row);
                    Tried::Bad(named, cause)
                }
                Scope::Transient => Tried::Ended(Why::Unavailable(cause)),
                Scope::Batch => Tried::Ended(Why::Batch(cause)),
            },
        }
    }
}

enum Tried {
    Good,
    Bad(Option<usize>, Cause),
    Ended(Why),
}

impl Rehearsed {
    fn accept(&mut self, piece: Range<usize>) {
        match self.accepted.last_mut() {
            Some(last) if last.end == piece.start => last.end = piece.end,
            _ => self.accepted.push(piece),
        }
    }
}

/// What is left of `rows` without those that are `out`.
fn without(rows: &Range<usize>, out: &[bool]) -> Vec<Range<usize>> {
    let mut left: Vec<Range<usize>> = Vec::new();
    for row in rows.clone().filter(|&row| !out[row]) {
        match left.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => left.push(row..row + 1),
        }
    }
    left
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

//! Rows that are stored in one transaction: bad ones are found by rehearsals that are rolled back, pieces first by themselves and then
//! together, so that rows which only clash with each other are found too.

use crate::batch::flush::{Flusher, Tally};
use crate::batch::isolate::{CONTENTION_ROUNDS, Run};
use crate::batch::outcome::{Verdict, Why};
use crate::batch::plan::Unit;
use crate::batch::sent::Sent;
use crate::chunk::{Chunk, Slice};
use crate::error::{Cause, Class, Scope};
use crate::executor::BatchExecutor;
use crate::write::{WriteError, WritePlan};
use std::collections::HashSet;
use std::ops::Range;

/// What rehearsals found.
#[derive(Default)]
struct Rehearsed {
    /// Good rows, in the order in which they go together.
    accepted: Vec<Range<usize>>,
    bad: Vec<(usize, Cause)>,
    /// Rows that are good by themselves and do not go with others that were accepted before them.
    clashing: Vec<(usize, Cause)>,
    /// Why the search ended early; nothing more is known then.
    ended: Option<Why>,
}

impl<E: BatchExecutor> Flusher<E> {
    /// Stores the good units of a run in one transaction.
    pub(crate) async fn write_together(&self, run: &mut Run<'_>, plan: &WritePlan, tally: &mut Tally) {
        tally.be_patient();
        let mut pieces = Vec::from([run.all()]);
        let mut contended = 0;
        while !pieces.is_empty() {
            let sent = Sent::new(run.chunk, &pieces, plan, tally.exact);
            let why = match self.shipper.write(&sent.parts(run.chunk), plan, tally).await {
                Ok(wrote) => return run.store(&pieces, &wrote),
                Err(WriteError::CommitUnknown { cause, .. }) => Why::CommitUnknown(cause),
                Err(WriteError::Failed { cause, .. }) => match tally.scope(&cause) {
                    Scope::Row if contended == CONTENTION_ROUNDS => Why::Contended(cause),
                    Scope::Row => match self.set_bad_units_aside(run, &mut pieces, plan, tally).await {
                        // What hung on good rows of a group that is out is no conflict with somebody else.
                        Ok(orphaning) => {
                            contended += usize::from(!orphaning);
                            continue;
                        }
                        Err(why) => why,
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

    /// Rehearses `pieces`, gives verdicts to the units with bad rows, and leaves the others. Whether good rows had to go
    /// with the bad ones of their group.
    async fn set_bad_units_aside(
        &self,
        run: &mut Run<'_>,
        pieces: &mut Vec<Range<usize>>,
        plan: &WritePlan,
        tally: &mut Tally,
    ) -> Result<bool, Why> {
        let found = self.rehearse(run.chunk, pieces, plan, tally).await;
        let (accepted, ended) = (found.accepted.clone(), found.ended.clone());
        let (bad, open) = found.settled(run.units);
        let found = bad.len();
        tally.rejects += found;
        let mut out = vec![false; run.chunk.len()];
        for (row, cause) in bad {
            let at = run.units.partition_point(|unit| unit.end <= row);
            for neighbour in run.units[at].clone() {
                out[neighbour] = true;
                run.verdicts[neighbour].get_or_insert(Verdict::Returned(Why::GroupRefused));
            }
            run.verdicts[row] = Some(Verdict::Rejected(cause));
        }
        if ended.is_some() || open {
            *pieces = pieces.iter().flat_map(|rows| without(rows, &out)).collect();
            return ended.map_or(Ok(true), Err);
        }
        *pieces = accepted.iter().flat_map(|rows| without(rows, &out)).collect();
        Ok(out.iter().filter(|out| **out).count() > found)
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
            let mut found = self.rehearse(run.chunk, std::slice::from_ref(&rows), plan, tally).await;
            found.bad.append(&mut found.clashing);
            if !found.bad.is_empty() || found.ended.is_some() {
                let why = found.ended.unwrap_or(Why::GroupRefused);
                run.verdicts[rows].fill(Some(Verdict::Returned(why)));
                tally.rejects += found.bad.len();
                for (row, cause) in found.bad {
                    run.verdicts[row] = Some(Verdict::Rejected(cause));
                }
                return;
            }
            let sent = Sent::new(run.chunk, &found.accepted, plan, tally.exact);
            let why = match self.shipper.write(&sent.parts(run.chunk), plan, tally).await {
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

    /// Tells good rows from bad ones without storing anything: first each piece by itself, then the good ones together, which clash with each
    /// other only seldom, and if they do one behind the other.
    async fn rehearse(
        &self,
        chunk: &Chunk,
        pieces: &[Range<usize>],
        plan: &WritePlan,
        tally: &mut Tally,
    ) -> Rehearsed {
        let rehearsal = plan.rehearsal();
        let mut found = Rehearsed::default();
        // Where the database may call different keys equal, rows stay in their order, each behind those before it.
        let ordered = plan.conflict.updates() && !tally.exact;
        let company = if ordered { Company::Before } else { Company::Alone };
        self.sift(chunk, pieces, company, &rehearsal, tally, &mut found).await;
        if found.ended.is_none() && found.accepted.len() > 1 && !ordered {
            let alone = std::mem::take(&mut found.accepted);
            match self.try_all(chunk, &alone, &rehearsal, tally).await {
                Tried::Good => alone.into_iter().for_each(|piece| found.accept(piece, &rehearsal)),
                Tried::Bad(..) => {
                    self.sift(chunk, &alone, Company::Behind, &rehearsal, tally, &mut found).await;
                }
                Tried::Ended(why) => found.end(why),
            }
        }
        if found.ended.is_none() && !ordered {
            self.adopt_orphans(chunk, &mut found, &rehearsal, tally).await;
        }
        if let Some((_, cause)) = found.bad.iter().find(|(_, cause)| cause.is_strange())
            && found.accepted.is_empty()
        {
            found.end(Why::Batch(cause.clone())); // every piece failed
        }
        found
    }

    /// Cuts pieces until each is accepted or one bad row.
    async fn sift(
        &self,
        chunk: &Chunk,
        pieces: &[Range<usize>],
        company: Company,
        rehearsal: &WritePlan,
        tally: &mut Tally,
        found: &mut Rehearsed,
    ) {
        let mut open: Vec<_> = pieces.iter().rev().cloned().collect();
        while let Some(piece) = open.pop() {
            let before = match company {
                Company::Alone => &[][..],
                Company::Before | Company::Behind => &found.accepted,
            };
            let mut tried = self.try_after(chunk, before, &piece, rehearsal, tally).await;
            if let Tried::Ended(Why::Batch(cause)) = &tried
                && tally.despairs(cause)
            {
                self.look_elsewhere(chunk, open.iter().cloned(), rehearsal, tally).await;
                if !tally.despairs(cause) {
                    tried = Tried::Bad(None, cause.clone());
                }
            }
            match tried {
                Tried::Good if company == Company::Alone => found.accepted.push(piece),
                Tried::Good => found.accept(piece, rehearsal),
                Tried::Bad(row, _) if piece.len() > 1 => open.extend(cut_rows(&piece, row)),
                Tried::Bad(_, cause) if company == Company::Behind => {
                    found.clashing.push((piece.start, cause));
                }
                Tried::Bad(_, cause) => found.bad.push((piece.start, cause)),
                Tried::Ended(why) => return found.end(why),
            }
            if tally.rejects + found.bad.len() + found.clashing.len() > self.max_rejects {
                return found.end(Why::TooManyRejects);
            }
        }
    }

    /// Rows that lack what other rows bring are tried behind these, all at once and then one by one, until no more of them fit.
    async fn adopt_orphans(
        &self,
        chunk: &Chunk,
        found: &mut Rehearsed,
        rehearsal: &WritePlan,
        tally: &mut Tally,
    ) {
        let alone = |row: usize| row..row + 1;
        loop {
            let (orphans, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut found.bad).into_iter().partition(|(_, cause)| lacks(cause));
            found.bad = others;
            if orphans.is_empty() || found.accepted.is_empty() {
                return found.bad.extend(orphans);
            }
            let all: Vec<_> =
                found.accepted.iter().cloned().chain(orphans.iter().map(|(row, _)| alone(*row))).collect();
            if let Tried::Good = self.try_all(chunk, &all, rehearsal, tally).await {
                found.accepted = all;
                return;
            }
            let before = orphans.len();
            let mut left = Vec::new();
            for (row, cause) in orphans {
                match self.try_after(chunk, &found.accepted, &alone(row), rehearsal, tally).await {
                    Tried::Good => found.accepted.push(alone(row)),
                    _ => left.push((row, cause)),
                }
            }
            let adopted = left.len() < before;
            found.bad.extend(left);
            if !adopted {
                return;
            }
        }
    }

    /// Several pieces in one transaction.
    async fn try_all(
        &self,
        chunk: &Chunk,
        pieces: &[Range<usize>],
        rehearsal: &WritePlan,
        tally: &mut Tally,
    ) -> Tried {
        let sent = Sent::new(chunk, pieces, rehearsal, tally.exact);
        self.attempt(&sent.parts(chunk), rehearsal, tally).await
    }

    async fn try_after(
        &self,
        chunk: &Chunk,
        accepted: &[Range<usize>],
        piece: &Range<usize>,
        rehearsal: &WritePlan,
        tally: &mut Tally,
    ) -> Tried {
        let before: usize = accepted.iter().map(Range::len).sum();
        let sent = Sent::new(chunk, accepted, rehearsal, tally.exact);
        let mut parts = sent.parts(chunk);
        parts.push(chunk.slice(piece.clone()));
        match self.attempt(&parts, rehearsal, tally).await {
            Tried::Bad(row, cause) => {
                let named = row.and_then(|row| row.checked_sub(before)).map(|row| piece.start + row);
                Tried::Bad(named, cause)
            }
            other => other,
        }
    }

    async fn attempt(&self, parts: &[Slice<'_>], rehearsal: &WritePlan, tally: &mut Tally) -> Tried {
        tally.be_patient();
        match self.shipper.write(parts, rehearsal, tally).await {
            Ok(_) => {
                tally.went_through();
                Tried::Good
            }
            Err(WriteError::CommitUnknown { cause, .. }) => Tried::Ended(Why::Unavailable(cause)),
            Err(WriteError::Failed { row, cause }) => match tally.scope(&cause) {
                Scope::Row => Tried::Bad(row, cause),
                Scope::Transient => Tried::Ended(Why::Unavailable(cause)),
                Scope::Batch => Tried::Ended(Why::Batch(cause)),
            },
        }
    }
}

/// In whose company a piece is tried.
#[derive(Clone, Copy, PartialEq)]
enum Company {
    /// By itself.
    Alone,
    /// After all that was accepted, which came before it.
    Before,
    /// After all that was accepted, though it is known to be good by itself.
    Behind,
}

enum Tried {
    Good,
    Bad(Option<usize>, Cause),
    Ended(Why),
}

impl Rehearsed {
    /// The search ends early. Where the batch is to blame, rows are not.
    fn end(&mut self, why: Why) {
        if matches!(why, Why::Batch(_)) {
            self.bad.retain(|(_, cause)| !cause.is_strange());
        }
        self.ended = Some(why);
    }

    /// The bad rows that are bad whatever becomes of others, and whether it is open what the rest are. What clashes with a good row of a group that is
    /// out may not clash at all, and what lacks a row that clashes may lack nothing: that is seen once the group is out.
    fn settled(self, units: &[Unit]) -> (Vec<(usize, Cause)>, bool) {
        let of = |row: usize| units.partition_point(|unit| unit.end <= row);
        let spoils = |(row, _): &(usize, Cause)| units[of(*row)].len() > 1;
        let (mut lacking, mut bad): (Vec<_>, Vec<_>) =
            self.bad.into_iter().partition(|(_, cause)| lacks(cause));
        let mut clashing = self.clashing;
        if !bad.iter().any(spoils) {
            match clashing.iter().position(spoils) {
                Some(first) => bad.push(clashing.remove(first)),
                None => bad.append(&mut clashing),
            }
        }
        if bad.iter().any(spoils) {
            let out: HashSet<usize> = bad.iter().map(|(row, _)| of(*row)).collect();
            let (open, named) = lacking.into_iter().partition(|(row, _)| !out.contains(&of(*row)));
            (lacking, bad) = (open, [bad, named].concat());
        } else {
            bad.append(&mut lacking);
        }
        (bad, !(clashing.is_empty() && lacking.is_empty()))
    }

    /// Rows that went as two statements may not go as one where keys are updated: the database may call two of them equal.
    fn accept(&mut self, piece: Range<usize>, plan: &WritePlan) {
        match self.accepted.last_mut() {
            Some(last) if last.end == piece.start && !plan.conflict.updates() => last.end = piece.end,
            _ => self.accepted.push(piece),
        }
    }
}

/// Whether a row may be good behind others.
fn lacks(cause: &Cause) -> bool {
    matches!(cause.class(), Class::ForeignKey | Class::Raised)
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

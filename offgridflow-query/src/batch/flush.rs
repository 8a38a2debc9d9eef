//! One flush: every row of a chunk gets a verdict.

use crate::batch::lacking::{is_dropped, lacks_others, overtaken, supersede};
use crate::batch::outcome::{Fate, Verdict, Why};
use crate::batch::plan::{Unit, deduplicate, runs, turns};
use crate::batch::shipment::Shipper;
use crate::chunk::Chunk;
use crate::error::{Cause, Class, Scope};
use crate::executor::BatchExecutor;
use crate::write::WritePlan;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

/// What happens to the good rows of a flush that has bad ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Atomicity {
    /// Good rows are stored while bad ones are searched, possibly in several transactions. Default.
    #[default]
    Independent,
    /// Good rows are stored in one transaction: bad ones are found by rehearsals that are rolled back. A flush that takes
    /// longer than the server's statement time-out is not made smaller, which would be several transactions: it is returned. Rows of one key that go one after
    /// the other (`UpdateOnly`, and a row whose successor was rejected) go in a transaction more.
    Together,
    /// One bad row keeps the whole flush out; every bad row is named, the others are returned. A flush that is too large for one transaction is two flushes.
    AllOrNothing,
}

/// How the flushes of one writer are done. Several may be under way at a time.
#[derive(Debug)]
pub(crate) struct Flusher<E> {
    pub(crate) shipper: Shipper<E>,
    pub(crate) atomicity: Atomicity,
    pub(crate) max_rejects: usize,
}

/// What a flush came to.
#[derive(Debug)]
pub(crate) struct Flushed {
    /// One a row of the chunk; `None` would be a row that nobody accounted for.
    pub(crate) verdicts: Vec<Option<Verdict>>,
    pub(crate) tally: Tally,
}

/// What a flush has cost so far, and whether it goes on.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) transactions: u64,
    pub(crate) retries: u64,
    pub(crate) rejects: usize,
    /// Time in transactions, waiting for a connection included.
    pub(crate) writing: Duration,
    /// Time between them: pauses before another try, and questions about a lost COMMIT.
    pub(crate) pausing: Duration,
    /// Why nothing more of this flush is tried.
    pub(crate) halted: Option<Why>,
    /// Whether a transaction of it has gone through.
    pub(crate) went: bool,
    /// Failures since then that only a search can tell from those of the whole batch.
    strange: usize,
    /// Statements since then that were cancelled, or could not pass within their retries.
    stuck: usize,
    /// A statement was cancelled: smaller ones are tried instead of the same again.
    cancelled: bool,
    /// All retries were spent on what may be one row's doing: each smaller statement is tried once.
    spent: bool,
    /// A statement that is cancelled is not tried again at its size.
    hasty: bool,
    /// Rows were put in the order of their keys, which holds as long as the database compares keys as values.
    pub(crate) exact: bool,
}

/// Failures in a row after which a search that meets nothing else looks elsewhere, and is given up if nothing goes through there either: enough to find
/// one row among a million.
const SEARCH: usize = 20;

impl Tally {
    /// Something went through: what fails beside it is not the batch as a whole.
    pub(crate) fn went_through(&mut self) {
        (self.went, self.strange, self.stuck) = (true, 0, 0);
    }

    /// The database compares keys otherwise than was thought: what was not written is ordered anew.
    fn no_longer_exact(&mut self) {
        (self.exact, self.halted) = (false, None);
    }

    /// Before a write of `units` units: whether it is tried again or made smaller where it takes too long.
    pub(crate) fn prepare(&mut self, units: usize) {
        self.hasty = units > 1 || self.cancelled;
    }

    /// Before a rehearsal, which is never made smaller.
    pub(crate) fn be_patient(&mut self) {
        (self.hasty, self.spent) = (false, false);
    }

    /// Whether what passes elsewhere is not tried again at its size, because the caller tries less at a time.
    pub(crate) fn tries_less(&self, cause: &Cause) -> bool {
        match cause.class() {
            Class::Cancelled => self.hasty,
            _ => self.spent && cause.may_be_a_rows(),
        }
    }

    /// Whether a failure that does not pass is searched for, row by row in the end, as long as the search does not meet it everywhere.
    pub(crate) fn searches(&mut self, cause: &Cause) -> bool {
        let slow = self.is_slow(cause);
        let sought = self.is_sought(cause) && self.stuck < SEARCH;
        self.stuck += usize::from(sought);
        self.cancelled |= sought && slow;
        self.spent |= sought && !slow;
        sought
    }

    /// Whether a search has met nothing but such failures for so long that one more would end it.
    pub(crate) fn despairs(&self, cause: &Cause) -> bool {
        cause.is_strange() && self.strange >= SEARCH || self.is_sought(cause) && self.stuck >= SEARCH
    }

    fn is_slow(&self, cause: &Cause) -> bool {
        cause.class() == Class::Cancelled && self.hasty
    }

    /// Whether a failure that passes elsewhere is one that smaller writes tell more about.
    fn is_sought(&self, cause: &Cause) -> bool {
        self.is_slow(cause) || cause.may_be_a_rows()
    }

    /// How a failure is dealt with. One of an unknown kind is searched for as if a row was to blame, as long as the search
    /// does not meet it everywhere.
    pub(crate) fn scope(&mut self, cause: &Cause) -> Scope {
        match cause.class() {
            _ if self.strange < SEARCH && cause.is_strange() => {
                self.strange += 1;
                Scope::Row
            }
            class => class.scope(),
        }
    }
}

impl<E: BatchExecutor> Flusher<E> {
    /// Writes the rows of `chunk`; `units` cover it in order, without gaps.
    pub(crate) async fn flush(&self, chunk: &Chunk, units: &[Unit]) -> Flushed {
        let plan = self.shipper.plan();
        let mut flushed = Flushed { verdicts: vec![None; chunk.len()], tally: Tally::default() };
        let everything = [unit(0, chunk.len())];
        let units = if self.atomicity == Atomicity::AllOrNothing { &everything } else { units };
        if chunk.is_empty() {
            return flushed;
        }
        for run in runs(units, plan.conflict.updates()) {
            if plan.conflict.updates() {
                self.flush_updates(chunk, &units[run], &plan, &mut flushed).await;
            } else {
                flushed.verdicts = self.isolate(chunk, &units[run], &plan, &mut flushed.tally).await;
            }
        }
        flushed
    }

    /// Writes the rows of `chunk` as one batch that the ledger knows by name: all of them, once, or none.
    pub(crate) async fn flush_batch(&self, chunk: &Chunk, plan: WritePlan) -> Flushed {
        let mut flushed = Flushed { verdicts: vec![None; chunk.len()], tally: Tally::default() };
        let whole = [unit(0, chunk.len())];
        if plan.conflict.updates() {
            self.flush_updates(chunk, &whole, &plan, &mut flushed).await;
        } else if !chunk.is_empty() {
            flushed.verdicts = self.isolate(chunk, &whole, &plan, &mut flushed.tally).await;
        }
        flushed
    }

    /// One group, or single rows only: one row a key, sorted by key where that changes no outcome. A superseded row is tried after all where its
    /// successor was not stored, and once it is stored, successors that were dropped are tried again. Columns that an update leaves alone are those of the row that inserts them, so the first of a key goes before
    /// the last; a group, which is one statement, is given the first one's columns instead.
    async fn flush_updates(&self, chunk: &Chunk, units: &[Unit], plan: &WritePlan, flushed: &mut Flushed) {
        let group = units.len() == 1 && units[0].len() > 1;
        let rows: Vec<usize> = units.iter().cloned().flatten().collect();
        flushed.tally.exact = self.shipper.has_exact_key(chunk.shape()).await;
        if group && (!flushed.tally.exact || self.shipper.may_drop()) {
            let turns = turns(&chunk.slice(0..chunk.len()), chunk.shape(), &rows);
            if turns.len() > 1 {
                return self.flush_in_turns(chunk, &turns, plan, flushed).await;
            }
        }
        let inserted = plan.conflict.inserted_only(chunk.shape());
        let (mut pending, mut rounds, mut overtook) = (rows.clone(), 0, false);
        let all = chunk.slice(0..chunk.len());
        if !inserted.is_empty() && !group {
            (pending, rounds) = self.insert_firsts(chunk, pending, plan, flushed).await;
        }
        while !pending.is_empty() {
            let exact = flushed.tally.exact;
            let order = deduplicate(&all, chunk.shape(), &pending, exact);
            let dropped: Vec<usize> =
                rows.iter().copied().filter(|&row| is_dropped(&flushed.verdicts[row])).collect();
            let firsts = if group { order.firsts() } else { HashMap::new() };
            let sent = chunk.gather_from(&order.order, &inserted, &firsts);
            let units = if group { vec![unit(0, sent.len())] } else { single(sent.len()) };
            let verdicts = self.isolate(&sent, &units, plan, &mut flushed.tally).await;
            rounds += usize::from(rounds == 0 || verdicts.iter().any(|verdict| is_settled(verdict.as_ref())));
            for (verdict, &row) in verdicts.into_iter().zip(&order.order) {
                flushed.verdicts[row] = verdict;
            }
            let mut left = Vec::new();
            for (row, winner) in order.superseded {
                let mut fate = inherited(flushed.verdicts[winner].as_ref(), group);
                if is_dropped(&flushed.verdicts[winner]) && all.equal(row, winner) {
                    fate = Some(Verdict::Settled(Fate::Skipped)); // what was dropped just now would be again
                }
                if fate.is_none() {
                    left.push(row);
                }
                flushed.verdicts[row] = fate;
            }
            if exact && self.shipper.lost_exact_key() {
                flushed.tally.no_longer_exact();
                pending.retain(|&row| !is_settled(flushed.verdicts[row].as_ref()));
            } else {
                let successors = overtaken(&all, &dropped, &order.order, &flushed.verdicts);
                overtook |= !successors.is_empty();
                left.extend(successors);
                pending = left;
            }
        }
        if overtook && inserted.is_empty() {
            supersede(&all, &rows, &mut flushed.verdicts);
        }
        if rounds > 1 && !group {
            self.retry_lacking(chunk, &rows, plan, flushed).await;
        }
    }

    /// A group in which keys come again, where the database may drop a row: the ones before it must have been stored then.
    async fn flush_in_turns(
        &self,
        chunk: &Chunk,
        turns: &[Vec<usize>],
        plan: &WritePlan,
        flushed: &mut Flushed,
    ) {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for turn in turns {
            let start = ranges.last().map_or(0, |range| range.end);
            ranges.push(start..start + turn.len());
        }
        let order = turns.concat();
        let verdicts = self.isolate_in_turns(&chunk.gather(&order), &ranges, plan, &mut flushed.tally).await;
        for (verdict, &row) in verdicts.into_iter().zip(&order) {
            flushed.verdicts[row] = verdict;
        }
        supersede(&chunk.slice(0..chunk.len()), &order, &mut flushed.verdicts);
    }

    /// Of each key the first row that is not refused; which rows are left to send, and how many rounds it took. A key's only row goes with the firsts of others, which may need
    /// it, unless the database may call it equal to another, whose last row it would then go before.
    async fn insert_firsts(
        &self,
        chunk: &Chunk,
        mut left: Vec<usize>,
        plan: &WritePlan,
        flushed: &mut Flushed,
    ) -> (Vec<usize>, usize) {
        let mut served = HashSet::new(); // keys, by their last row
        for rounds in 0.. {
            let exact = flushed.tally.exact;
            let order = deduplicate(&chunk.slice(0..chunk.len()), chunk.shape(), &left, exact);
            let firsts = order.firsts();
            let open = order.order.iter().filter(|&last| !served.contains(last));
            let (lasts, rows): (Vec<usize>, Vec<usize>) =
                open.filter_map(|last| Some((*last, *firsts.get(last).or(exact.then_some(last))?))).unzip();
            if rows.is_empty() {
                return (left, rounds);
            }
            let verdicts =
                self.isolate(&chunk.gather(&rows), &single(rows.len()), plan, &mut flushed.tally).await;
            let mut sent = HashSet::new();
            let again = exact && self.shipper.lost_exact_key();
            let lacks = |verdict: &Option<Verdict>| matches!(verdict, Some(Verdict::Rejected(cause)) if lacks_others(cause));
            // Another row of a key that was refused may be what others lack: their turn comes again behind it.
            let more = exact
                && (verdicts.iter().zip(&rows).zip(&lasts)).any(|((verdict, row), last)| {
                    matches!(verdict, Some(Verdict::Rejected(_))) && !lacks(verdict) && row != last
                });
            for ((verdict, row), last) in verdicts.into_iter().zip(&rows).zip(lasts) {
                if again && !is_settled(verdict.as_ref()) {
                    continue;
                }
                if more && lacks(&verdict) {
                    flushed.tally.rejects = flushed.tally.rejects.saturating_sub(1);
                    continue;
                }
                if !matches!(verdict, Some(Verdict::Rejected(_) | Verdict::Settled(Fate::Skipped))) {
                    served.insert(last);
                }
                flushed.verdicts[*row] = verdict;
                sent.insert(*row);
            }
            if again {
                flushed.tally.no_longer_exact();
            }
            left.retain(|row| !sent.contains(row));
        }
        unreachable!("each round sends a row")
    }
}

pub(super) fn is_settled(verdict: Option<&Verdict>) -> bool {
    matches!(verdict, Some(Verdict::Settled(_)))
}

/// Every row for itself.
pub(crate) fn single(rows: usize) -> Vec<Unit> {
    (0..rows).map(|row| row..row + 1).collect()
}

fn unit(start: usize, end: usize) -> Unit {
    start..end
}

/// What a superseded row becomes once its successor has a verdict; `None` means that it is its turn now.
fn inherited(winner: Option<&Verdict>, group: bool) -> Option<Verdict> {
    match winner? {
        Verdict::Settled(Fate::Replayed) => Some(Verdict::Settled(Fate::Replayed)),
        // A trigger dropped it. Of a group the transaction is over, and nothing of this key was stored.
        Verdict::Settled(Fate::Skipped) => group.then_some(Verdict::Settled(Fate::Skipped)),
        Verdict::Settled(_) => Some(Verdict::Settled(Fate::Superseded)),
        Verdict::Returned(why) => Some(Verdict::Returned(why.clone())),
        Verdict::Rejected(_) if group => Some(Verdict::Returned(Why::GroupRefused)),
        Verdict::Rejected(_) => None,
    }
}

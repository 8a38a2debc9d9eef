//! One flush: every row of a chunk gets a verdict.

use crate::batch::outcome::{Fate, Verdict, Why};
use crate::batch::plan::{Unit, deduplicate, runs};
use crate::batch::retry::{Jitter, Retry};
use crate::chunk::{Chunk, Slice};
use crate::executor::{BatchExecutor, WriteError, WritePlan, Wrote};
use std::ops::Range;
use tokio::time::Instant;

/// How the flushes of one writer are done.
#[derive(Debug)]
pub(crate) struct Flusher<E> {
    pub(crate) executor: E,
    pub(crate) plan: WritePlan,
    pub(crate) retry: Retry,
    pub(crate) max_rejects: usize,
    pub(crate) jitter: Jitter,
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
    /// Why nothing more of this flush is tried.
    pub(crate) halted: Option<Why>,
}

impl<E: BatchExecutor> Flusher<E> {
    /// Writes the rows of `chunk`; `units` cover it in order, without gaps.
    pub(crate) async fn flush(&mut self, chunk: &Chunk, units: &[Unit]) -> Flushed {
        let mut flushed = Flushed { verdicts: vec![None; chunk.len()], tally: Tally::default() };
        for run in runs(units, self.plan.conflict.updates()) {
            if self.plan.conflict.updates() {
                self.flush_updates(chunk, &units[run], &mut flushed).await;
            } else {
                flushed.verdicts = self.isolate(chunk, &units[run], &mut flushed.tally).await;
            }
        }
        flushed
    }

    /// One group, or single rows only: sorted by key, one row a key. A superseded row is tried after all where its
    /// successor was rejected.
    async fn flush_updates(&mut self, chunk: &Chunk, units: &[Unit], flushed: &mut Flushed) {
        let group = units.len() == 1 && units[0].len() > 1;
        let mut pending: Vec<usize> = units.iter().cloned().flatten().collect();
        while !pending.is_empty() {
            let plan = deduplicate(&chunk.slice(0..chunk.len()), chunk.shape(), &pending);
            let sent = chunk.gather(&plan.order);
            let units =
                if group { vec![unit(0..sent.len())] } else { (0..sent.len()).map(|r| r..r + 1).collect() };
            let verdicts = self.isolate(&sent, &units, &mut flushed.tally).await;
            for (verdict, &row) in verdicts.into_iter().zip(&plan.order) {
                flushed.verdicts[row] = verdict;
            }
            pending.clear();
            for (row, winner) in plan.superseded {
                let fate = inherited(flushed.verdicts[winner].as_ref(), group);
                if fate.is_none() {
                    pending.push(row);
                }
                flushed.verdicts[row] = fate;
            }
        }
    }

    /// Writes `parts` in one transaction, again and again while the failure is transient and the budget lasts.
    pub(crate) async fn write(
        &mut self,
        parts: &[Slice<'_>],
        plan: &WritePlan,
        tally: &mut Tally,
    ) -> Result<Wrote, WriteError> {
        let started = Instant::now();
        let mut failed = 0;
        loop {
            tally.transactions += 1;
            let error = match self.executor.write(parts, plan).await {
                Ok(wrote) => return Ok(wrote),
                Err(error) => error,
            };
            failed += 1;
            if !error.is_transient() {
                return Err(error);
            }
            match self.retry.pause(failed, started.elapsed(), &mut self.jitter) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
            tally.retries += 1;
        }
    }
}

fn unit(rows: Range<usize>) -> Unit {
    rows
}

/// What a superseded row becomes once its successor has a verdict; `None` means that it is its turn now.
fn inherited(winner: Option<&Verdict>, group: bool) -> Option<Verdict> {
    match winner? {
        Verdict::Settled(_) => Some(Verdict::Settled(Fate::Superseded)),
        Verdict::Returned(why) => Some(Verdict::Returned(why.clone())),
        Verdict::Rejected(_) if group => Some(Verdict::Returned(Why::GroupRefused)),
        Verdict::Rejected(_) => None,
    }
}

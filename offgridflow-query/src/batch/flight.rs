//! A flush under way.

use crate::batch::flush::{Flushed, Flusher};
use crate::batch::item::{Item, Vacated};
use crate::batch::outcome::{Fate, Verdict};
use crate::batch::pending::Batch;
use crate::batch::portion;
use crate::batch::report::{Counters, Unheard};
use crate::chunk::Chunk;
use crate::executor::BatchExecutor;
use crate::write::WritePlan;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// The rows of a flush, its number in the writer, and whether it was as large and as crowded as allowed.
pub(crate) struct Flight<R> {
    pub(crate) batch: Batch<R>,
    pub(crate) number: u64,
    pub(crate) saturated: bool,
}

/// A flush that is over.
pub(crate) struct Landed<R> {
    pub(crate) flight: Flight<R>,
    pub(crate) flushed: Flushed,
    pub(crate) took: Duration,
}

impl<R> Flight<R> {
    pub(crate) async fn fly<E: BatchExecutor>(mut self, flusher: Arc<Flusher<E>>) -> Landed<R> {
        let started = Instant::now();
        self.batch.items.iter_mut().for_each(Item::depart);
        let Batch { chunk, units, cuts, ledger, .. } = &self.batch;
        let flushed = match ledger {
            None => portion::flush(&flusher, chunk, units, cuts).await,
            Some(entry) => {
                let plan = WritePlan { ledger: Some(entry.clone()), ..flusher.shipper.plan() };
                flusher.flush_batch(chunk, plan).await
            }
        };
        Landed { flight: self, flushed, took: started.elapsed() }
    }
}

impl<R> Landed<R> {
    /// Hands every row its verdict; how many got one, and the chunk to use again.
    pub(crate) fn settle(self, table: &str, counters: &Counters, unheard: &mut Unheard<R>) -> (u64, Chunk) {
        let Self { flight: Flight { batch, number, .. }, flushed, .. } = self;
        counters.transactions.fetch_add(flushed.tally.transactions, Relaxed);
        counters.retries.fetch_add(flushed.tally.retries, Relaxed);
        counters.bytes.fetch_add(batch.chunk.bytes() as u64, Relaxed);
        let verdicts = batch.items.into_iter().zip(flushed.verdicts);
        let refused = batch.refused.into_iter().map(|(item, verdict)| (item, Some(verdict)));
        let (mut settled, mut labels, mut nobodys) = (0, Labels::default(), Vec::new());
        let mut vacated = Vacated::default();
        for (item, verdict) in verdicts.chain(refused) {
            let Some(verdict) = verdict else { continue }; // dropping the item returns the row
            labels.count(&verdict);
            settled += 1;
            nobodys
                .extend(item.settle(verdict, number, &mut vacated).filter(|outcome| !outcome.is_settled()));
        }
        drop(vacated);
        // Whoever waits has been told: what the user's sink does cannot change that any more.
        nobodys.into_iter().for_each(|outcome| unheard.keep(outcome, counters));
        labels.report(table);
        let mut chunk = batch.chunk;
        chunk.truncate(0);
        (settled, chunk)
    }
}

/// Verdicts of one flush by metric label.
#[derive(Default)]
struct Labels([u64; 5]);

impl Labels {
    const NAMES: [&str; 5] = ["committed", "superseded", "skipped", "rejected", "returned"];

    fn count(&mut self, verdict: &Verdict) {
        self.0[match verdict {
            Verdict::Settled(Fate::Committed) => 0,
            Verdict::Settled(Fate::Superseded) => 1,
            Verdict::Settled(Fate::Skipped | Fate::Replayed) => 2,
            Verdict::Rejected(_) => 3,
            Verdict::Returned(_) => 4,
        }] += 1;
    }

    fn report(&self, table: &str) {
        for (name, rows) in Self::NAMES.into_iter().zip(self.0) {
            crate::telemetry::rows_settled(table, name, rows);
        }
    }
}

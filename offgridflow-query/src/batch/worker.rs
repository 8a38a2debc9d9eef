//! The task that gathers rows and flushes them, one flush at a time.

use crate::batch::flush::{Flushed, Flusher};
use crate::batch::item::Item;
use crate::batch::outcome::{Verdict, Why};
use crate::batch::plan::Unit;
use crate::batch::report::{Counters, Report, Unheard};
use crate::chunk::{Chunk, ChunkWriter};
use crate::error::{Cause, Class, Error};
use crate::executor::BatchExecutor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub(crate) enum Message<R> {
    Rows(Vec<Item<R>>),
    Group(Vec<Item<R>>),
    Flush(oneshot::Sender<Result<(), Error>>),
    Close,
}

/// When a flush is due, and what one row may weigh.
#[derive(Debug, Clone)]
pub(crate) struct Thresholds {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) row_bytes: usize,
    pub(crate) group_bytes: usize,
}

/// The rows of the next flush.
struct Batch<R> {
    chunk: Chunk,
    items: Vec<Item<R>>, // one a row of the chunk
    units: Vec<Unit>,
    refused: Vec<(Item<R>, Verdict)>, // never reached the chunk
    flushes: Vec<oneshot::Sender<Result<(), Error>>>,
}

pub(crate) struct Worker<R, E> {
    pub(crate) table: String,
    pub(crate) queue: mpsc::UnboundedReceiver<Message<R>>, // bounded by the permits that items hold
    pub(crate) put: fn(&R, &mut ChunkWriter<'_>),
    pub(crate) thresholds: Thresholds,
    pub(crate) flusher: Flusher<E>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) unheard: Unheard<R>,
    pub(crate) violation: Option<Error>,
}

impl<R: Send + 'static, E: BatchExecutor> Worker<R, E> {
    /// Runs until the writer is closed or dropped, and everything in the queue is settled.
    pub(crate) async fn run(mut self, chunk: Chunk) -> Report<R> {
        let mut batch =
            Batch { chunk, items: Vec::new(), units: Vec::new(), refused: Vec::new(), flushes: Vec::new() };
        while let Some(message) = self.queue.recv().await {
            self.admit(&mut batch, message);
            self.gather(&mut batch).await;
            self.flush(&mut batch).await;
        }
        self.unheard.report(self.counters.stats(), self.violation)
    }

    /// Takes what is there, and lingers for more, until a flush is due.
    async fn gather(&mut self, batch: &mut Batch<R>) {
        if self.thresholds.linger.is_zero() {
            tokio::task::yield_now().await; // those who are about to push may come along
            while !self.is_due(batch) {
                let Ok(message) = self.queue.try_recv() else { return };
                self.admit(batch, message);
            }
            return;
        }
        let deadline = Instant::now() + self.thresholds.linger;
        while !self.is_due(batch) {
            let Ok(Some(message)) = timeout_at(deadline, self.queue.recv()).await else { return };
            self.admit(batch, message);
        }
    }

    fn is_due(&self, batch: &Batch<R>) -> bool {
        let full = batch.chunk.len() >= self.thresholds.rows || batch.chunk.bytes() >= self.thresholds.bytes;
        full || !batch.flushes.is_empty()
    }

    fn admit(&mut self, batch: &mut Batch<R>, message: Message<R>) {
        match message {
            Message::Rows(items) => items.into_iter().for_each(|item| self.admit_row(batch, item)),
            Message::Group(items) => self.admit_group(batch, items),
            Message::Flush(done) => batch.flushes.push(done),
            Message::Close => self.queue.close(), // what is inside still comes
        }
    }

    fn admit_row(&self, batch: &mut Batch<R>, item: Item<R>) {
        let row = batch.chunk.len();
        match self.encode(&mut batch.chunk, item.row()) {
            Ok(()) => {
                batch.items.push(item);
                batch.units.push(row..row + 1);
            }
            Err(cause) => batch.refused.push((item, Verdict::Rejected(cause))),
        }
    }

    fn admit_group(&self, batch: &mut Batch<R>, items: Vec<Item<R>>) {
        let (start, weight) = (batch.chunk.len(), batch.chunk.bytes());
        let causes: Vec<_> =
            items.iter().map(|item| self.encode(&mut batch.chunk, item.row()).err()).collect();
        let too_large = batch.chunk.bytes() - weight > self.thresholds.group_bytes;
        if causes.iter().all(Option::is_none) && !too_large {
            batch.units.push(start..start + items.len());
            batch.items.extend(items);
            return;
        }
        batch.chunk.truncate(start);
        let size = || Cause::new(Class::TooLarge, "the group is larger than one transaction may be");
        let why = if too_large { Why::GroupConflict(size()) } else { Why::GroupRefused };
        let verdict = |cause: Option<Cause>| cause.map_or(Verdict::Returned(why.clone()), Verdict::Rejected);
        batch.refused.extend(items.into_iter().zip(causes.into_iter().map(verdict)));
    }

    fn encode(&self, chunk: &mut Chunk, row: &R) -> Result<(), Cause> {
        let before = chunk.len();
        let encoded = catch_unwind(AssertUnwindSafe(|| chunk.push(|writer| (self.put)(row, writer))));
        let cause = match encoded {
            Ok(Ok(bytes)) if bytes <= self.thresholds.row_bytes => return Ok(()),
            Ok(Ok(bytes)) => Cause::new(
                Class::TooLarge,
                format!("the row has {bytes} bytes, max_row_bytes allows {}", self.thresholds.row_bytes),
            ),
            Ok(Err(cause)) => cause,
            Err(_) => Cause::new(Class::Encoding, "encoding the row panicked"),
        };
        chunk.truncate(before);
        Err(cause)
    }

    async fn flush(&mut self, batch: &mut Batch<R>) {
        let taken = (batch.items.len() + batch.refused.len()) as u64;
        if taken > 0 {
            let number = self.counters.flushes.fetch_add(1, Relaxed) + 1;
            let started = Instant::now();
            let flushed = self.flusher.flush(&batch.chunk, &batch.units).await;
            let took = started.elapsed();
            self.counters.flush.record(took);
            self.counters.bytes.fetch_add(batch.chunk.bytes() as u64, Relaxed);
            let settled = self.settle(batch, flushed, number);
            self.conserve(number, taken, settled);
            crate::telemetry::flushed(&self.table, taken, took);
        }
        batch.chunk.truncate(0);
        batch.units.clear();
        for done in batch.flushes.drain(..) {
            let _ = done.send(self.violation.clone().map_or(Ok(()), Err)); // whoever asked may have gone
        }
    }

    /// Hands every row its verdict; how many got one.
    fn settle(&mut self, batch: &mut Batch<R>, flushed: Flushed, number: u64) -> u64 {
        self.counters.transactions.fetch_add(flushed.tally.transactions, Relaxed);
        self.counters.retries.fetch_add(flushed.tally.retries, Relaxed);
        let verdicts = batch.items.drain(..).zip(flushed.verdicts);
        let refused = batch.refused.drain(..).map(|(item, verdict)| (item, Some(verdict)));
        let (mut settled, mut labels) = (0, Labels::default());
        for (item, verdict) in verdicts.chain(refused) {
            let Some(verdict) = verdict else { continue }; // dropping the item returns the row
            labels.count(&verdict);
            settled += 1;
            if let Some(outcome) = item.settle(verdict, number) {
                self.unheard.keep(outcome);
            }
        }
        labels.report(&self.table);
        settled
    }

    fn conserve(&mut self, flush: u64, taken: u64, settled: u64) {
        if taken != settled {
            let violation = Error::Conservation { flush, taken, settled };
            self.counters.violations.fetch_add(1, Relaxed);
            crate::telemetry::warn(&self.table, &violation.to_string());
            self.violation.get_or_insert(violation);
        }
    }
}

/// Verdicts of one flush by metric label.
#[derive(Default)]
struct Labels([u64; 5]);

impl Labels {
    const NAMES: [&str; 5] = ["committed", "superseded", "skipped", "rejected", "returned"];

    fn count(&mut self, verdict: &Verdict) {
        use crate::batch::outcome::Fate;
        self.0[match verdict {
            Verdict::Settled(Fate::Committed) => 0,
            Verdict::Settled(Fate::Superseded) => 1,
            Verdict::Settled(Fate::Skipped) => 2,
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

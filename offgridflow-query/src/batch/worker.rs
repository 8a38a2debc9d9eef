//! The task that gathers rows and has them flushed, several flushes at a time if allowed.

use crate::batch::controller::{FlightController, Sample, SizeController};
use crate::batch::flight::{Flight, Landed};
use crate::batch::flush::Flusher;
use crate::batch::item::Item;
use crate::batch::outcome::Outcome;
use crate::batch::partition::Partitioner;
use crate::batch::path::Path;
use crate::batch::pending::{Batch, Encoder};
use crate::batch::report::{Counters, Report, Unheard};
use crate::chunk::Chunk;
use crate::delivery::LedgerEntry;
use crate::error::Error;
use crate::executor::BatchExecutor;
use crate::shape::Shape;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

pub(crate) enum Message<R> {
    Rows(Vec<Item<R>>),
    Group(Vec<Item<R>>),
    Batch(String, Vec<Item<R>>),
    Flush(oneshot::Sender<Result<(), Error>>),
    Unheard(Outcome<R>), // of a row that is not stored: its ticket was dropped after it was told
    Close,
}

/// What waits in front of the pending flushes, in the order it came.
enum Entry<R> {
    Row(Item<R>),
    Group(Vec<Item<R>>),
    Batch(String, Vec<Item<R>>),
    Barrier(oneshot::Sender<Result<(), Error>>),
}

/// When a flush is due, and how many are under way.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) size: SizeController,
    pub(crate) flights: FlightController,
    pub(crate) bytes: usize,
    pub(crate) linger: Duration,
}

pub(crate) struct Worker<R, E> {
    pub(crate) table: String,
    pub(crate) shape: Arc<Shape>,
    pub(crate) queue: mpsc::UnboundedReceiver<Message<R>>, // bounded by the permits that items hold
    pub(crate) encoder: Encoder<R>,
    pub(crate) pace: Pace,
    pub(crate) partitions: usize, // 1 unless updates may be under way side by side
    pub(crate) ledger: Option<LedgerEntry>, // of no batch yet
    pub(crate) flusher: Arc<Flusher<E>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) unheard: Unheard<R>,
}

/// A worker at work.
struct Running<R, E> {
    worker: Worker<R, E>,
    open: bool, // more may come
    backlog: VecDeque<Entry<R>>,
    waiting: Vec<VecDeque<Item<R>>>, // rows of partitions whose pending flush is full
    pending: Vec<Batch<R>>,          // one a partition
    whole: VecDeque<Batch<R>>,       // batches for the ledger, at most one
    busy: Vec<bool>,                 // partitions with a flush under way
    crowded: bool, // somebody waited for the room of rows that linger when it was last looked at
    alone: bool,   // a flush is under way that may touch the rows of any other
    merging: bool, // keys no longer tell partitions apart: one is left once all have left
    partitioner: Partitioner,
    scratch: Chunk, // one row on its way to its partition
    spare: Vec<Chunk>,
    flights: JoinSet<Landed<R>>,
    partition_of: HashMap<Id, usize>,
    path: Path,
    violation: Option<Error>,
}

impl<R: Send + 'static, E: BatchExecutor> Worker<R, E> {
    /// Runs until the writer is closed or dropped, and everything in the queue is settled.
    pub(crate) async fn run(mut self) -> Report<R> {
        let first = self.settle_partitions().await;
        let chunk = || Chunk::new(Arc::clone(&self.shape));
        let mut running = Running {
            open: true,
            backlog: VecDeque::new(),
            waiting: (0..self.partitions).map(|_| VecDeque::new()).collect(),
            pending: (0..self.partitions).map(|_| Batch::new(chunk())).collect(),
            whole: VecDeque::new(),
            busy: vec![false; self.partitions],
            crowded: false,
            alone: false,
            merging: false,
            partitioner: Partitioner::new(self.shape.key_positions(), self.partitions),
            scratch: chunk(),
            spare: Vec::new(),
            flights: JoinSet::new(),
            partition_of: HashMap::new(),
            path: Path::default(),
            violation: None,
            worker: self,
        };
        if let Some(message) = first {
            running.take(message).await;
        }
        running.work().await;
        running.report()
    }

    /// Once rows come: several partitions only where the key tells their rows apart as the database does. The message that
    /// came, `Some(None)` at the end of them.
    async fn settle_partitions(&mut self) -> Option<Option<Message<R>>> {
        if self.partitions == 1 {
            return None;
        }
        let first = self.queue.recv().await;
        if !self.flusher.shipper.finds_exact_key(&self.shape).await {
            self.partitions = 1;
        }
        Some(first)
    }
}

impl<R: Send + 'static, E: BatchExecutor> Running<R, E> {
    async fn work(&mut self) {
        loop {
            self.admit_backlog();
            while self.depart() {
                self.admit_backlog();
            }
            if !self.open && self.is_idle() && self.backlog.is_empty() {
                return;
            }
            let (deadline, counters) = (self.deadline(), Arc::clone(&self.worker.counters));
            tokio::select! {
                biased;
                // Rows in flushes under way make room as these land; those that linger, and those about to, must not keep it from others.
                () = counters.crowd.joined() => self.crowded = true,
                Some(landed) = self.flights.join_next_with_id(), if !self.flights.is_empty() => self.land(landed),
                message = self.worker.queue.recv(), if self.open && self.backlog.is_empty() => {
                    self.take(message).await;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
        }
    }

    /// Takes a message, and what else is there: those who are about to push may come along.
    async fn take(&mut self, message: Option<Message<R>>) {
        let Some(message) = message else {
            self.open = false;
            return;
        };
        self.unpack(message);
        if self.worker.pace.linger.is_zero() && self.has_room() {
            tokio::task::yield_now().await;
        }
        while self.backlog.len() < self.worker.pace.size.rows()
            && let Ok(message) = self.worker.queue.try_recv()
        {
            self.unpack(message);
        }
    }

    fn unpack(&mut self, message: Message<R>) {
        match message {
            Message::Rows(items) => self.backlog.extend(items.into_iter().map(Entry::Row)),
            Message::Group(items) => self.backlog.push_back(Entry::Group(items)),
            Message::Batch(name, items) => self.backlog.push_back(Entry::Batch(name, items)),
            Message::Flush(done) => self.backlog.push_back(Entry::Barrier(done)),
            Message::Unheard(outcome) => self.worker.unheard.keep(outcome, &self.worker.counters),
            Message::Close => self.worker.queue.close(), // what is inside still comes
        }
    }

    fn admit_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if let Some(entry) = self.admit(entry) {
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    /// Puts an entry where it belongs, or gives it back if its turn has not come.
    fn admit(&mut self, entry: Entry<R>) -> Option<Entry<R>> {
        if self.merging {
            if !self.is_idle() {
                return Some(entry);
            }
            self.merge_partitions();
        }
        match entry {
            Entry::Row(item) => self.admit_row(item).map(Entry::Row),
            Entry::Group(items) if self.worker.partitions == 1 => {
                if self.is_full(0) {
                    return Some(Entry::Group(items));
                }
                self.worker.encoder.admit_group(&mut self.pending[0], items);
                None
            }
            Entry::Group(items) if !self.is_idle() => Some(Entry::Group(items)), // it may touch any partition
            Entry::Group(items) => {
                let mut batch = self.batch();
                self.worker.encoder.admit_group(&mut batch, items);
                self.whole.push_back(batch);
                None
            }
            Entry::Batch(name, items) if self.must_wait() => Some(Entry::Batch(name, items)),
            Entry::Batch(name, items) => {
                let rows = items.len() as u64;
                let mut batch = self.batch();
                self.worker.encoder.admit_group(&mut batch, items);
                batch.ledger =
                    self.worker.ledger.clone().map(|entry| LedgerEntry { batch: name, rows, ..entry });
                self.whole.push_back(batch);
                None
            }
            Entry::Barrier(done) if !self.is_idle() => Some(Entry::Barrier(done)),
            Entry::Barrier(done) => {
                let _ = done.send(self.violation.clone().map_or(Ok(()), Err)); // whoever asked may have gone
                None
            }
        }
    }

    fn admit_row(&mut self, item: Item<R>) -> Option<Item<R>> {
        if self.worker.partitions == 1 {
            if self.is_full(0) {
                return Some(item);
            }
            self.worker.encoder.admit_row(&mut self.pending[0], item);
            return None;
        }
        self.scratch.truncate(0);
        // A row that cannot be encoded has no partition, and is refused by whichever it is put into.
        let encoded = self.worker.encoder.encode(&mut self.scratch, item.row()).is_ok();
        let at = if encoded { self.partitioner.of(&self.scratch, 0) } else { 0 };
        // Rows of other partitions must not wait for this one.
        self.waiting[at].push_back(item);
        self.refill(at);
        None
    }

    /// The database compares keys otherwise by now, so rows of one key may come to two partitions: from here on there is one.
    fn merge_partitions(&mut self) {
        (self.worker.partitions, self.merging) = (1, false);
        self.waiting.truncate(1);
        self.pending.truncate(1);
        self.busy.truncate(1);
    }

    fn refill(&mut self, partition: usize) {
        while !self.is_full(partition)
            && let Some(item) = self.waiting[partition].pop_front()
        {
            self.worker.encoder.admit_row(&mut self.pending[partition], item);
        }
    }

    /// A batch for the ledger goes alone where it may touch the rows of other flushes.
    fn must_wait(&self) -> bool {
        let alone = self.worker.flusher.shipper.updates();
        if alone { !self.is_idle() } else { !self.whole.is_empty() }
    }

    fn is_full(&self, partition: usize) -> bool {
        let (batch, pace) = (&self.pending[partition], &self.worker.pace);
        batch.taken() >= pace.size.rows() || batch.chunk.bytes() >= pace.bytes
    }

    fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.whole.is_empty() && !self.lingers()
    }

    /// Whether rows wait for company.
    fn lingers(&self) -> bool {
        self.pending.iter().any(|batch| batch.taken() > 0)
    }

    fn has_room(&self) -> bool {
        self.flights.len() < self.worker.pace.flights.limit()
    }

    /// Whether lingering makes no sense: nobody comes any more, or somebody waits for room, or for everything to be gone.
    fn is_hurried(&self) -> bool {
        !self.open
            || self.crowded && self.worker.counters.crowd.waits()
            || self.merging
            || self.worker.queue.is_closed()
            || self.backlog.front().is_some_and(|entry| !matches!(entry, Entry::Row(_)))
    }

    fn is_due(&self, partition: usize) -> bool {
        let since = self.pending[partition].since;
        let waited =
            || since.and_then(|since| self.until(since)).is_some_and(|until| until <= Instant::now());
        self.is_full(partition) || self.is_hurried() || waited()
    }

    /// When the next pending flush has lingered enough.
    fn deadline(&self) -> Option<Instant> {
        if !self.has_room() || self.alone {
            return None;
        }
        let side_by_side = self.go_side_by_side();
        let waiting = self.pending.iter().zip(&self.busy).filter(|(_, busy)| side_by_side || !**busy);
        waiting.filter_map(|(batch, _)| batch.since).min().and_then(|since| self.until(since))
    }

    /// Whether one flush may start while another of the same partition is under way: no order matters to plain inserts.
    fn go_side_by_side(&self) -> bool {
        self.worker.partitions == 1 && !self.worker.flusher.shipper.updates()
    }

    /// When a flush whose first row came at `since` has lingered enough; `None` is never.
    fn until(&self, since: Instant) -> Option<Instant> {
        since.checked_add(self.worker.pace.linger)
    }

    fn batch(&mut self) -> Batch<R> {
        let shape = &self.worker.shape;
        Batch::new(self.spare.pop().unwrap_or_else(|| Chunk::new(Arc::clone(shape))))
    }

    /// Starts what is due, as long as there is room; whether anything was.
    fn depart(&mut self) -> bool {
        let mut departed = false;
        while self.has_room() && !self.alone {
            if let Some(batch) = self.whole.pop_front() {
                self.alone = self.worker.flusher.shipper.updates();
                self.start(batch, None);
                departed = true;
                continue;
            }
            let side_by_side = self.go_side_by_side();
            let ready = |at: &usize| {
                self.pending[*at].taken() > 0 && (side_by_side || !self.busy[*at]) && self.is_due(*at)
            };
            let Some(at) = (0..self.pending.len()).filter(ready).min_by_key(|&at| self.pending[at].since)
            else {
                return departed;
            };
            departed = true;
            let next = self.batch();
            let batch = std::mem::replace(&mut self.pending[at], next);
            self.busy[at] = true;
            self.refill(at);
            self.crowded &= self.lingers();
            self.start(batch, Some(at));
        }
        departed
    }

    fn start(&mut self, batch: Batch<R>, partition: Option<usize>) {
        let number = self.worker.counters.flushes.fetch_add(1, Relaxed) + 1;
        let (rows, limit) = (self.worker.pace.size.rows(), self.worker.pace.flights.limit());
        self.path.note(number, rows, limit);
        let saturated = batch.taken() >= rows && self.flights.len() + 1 >= limit;
        let flight = Flight { batch, number, saturated };
        let handle = self.flights.spawn(flight.fly(Arc::clone(&self.worker.flusher)));
        if let Some(partition) = partition {
            self.partition_of.insert(handle.id(), partition);
        }
    }

    /// A flush is over: the next one starts first, then those who wait are told.
    fn land(&mut self, landed: Result<(Id, Landed<R>), JoinError>) {
        let id = landed.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        match self.partition_of.remove(&id) {
            Some(partition) => self.busy[partition] = false,
            None => self.alone = false,
        }
        let Ok((_, landed)) = landed else {
            // It panicked; its rows were returned as it unwound.
            self.violate(Error::Aborted);
            return;
        };
        let sample = Sample {
            rows: landed.flight.batch.taken(),
            took: landed.took,
            trouble: landed.flushed.tally.retries > 0,
            saturated: landed.flight.saturated,
        };
        self.worker.pace.size.observe(&sample);
        self.worker.pace.flights.observe(&sample);
        self.merging |= self.worker.partitions > 1 && self.worker.flusher.shipper.lost_exact_key();
        self.crowded |= self.worker.counters.crowd.waits();
        self.depart();
        self.settle(landed);
    }

    fn settle(&mut self, landed: Landed<R>) {
        let Worker { counters, table, unheard, .. } = &mut self.worker;
        counters.flush.record(landed.took);
        let taken = landed.flight.batch.taken() as u64;
        crate::telemetry::flushed(table, taken, landed.took);
        let number = landed.flight.number;
        let panics = counters.sink_panics.load(Relaxed);
        let (settled, chunk) = landed.settle(table, counters, unheard);
        if counters.sink_panics.load(Relaxed) > panics {
            crate::telemetry::warn(
                table,
                "the sink for dead letters panicked; the rows it was given are gone",
            );
        }
        self.spare.push(chunk);
        if taken != settled {
            self.worker.counters.violations.fetch_add(1, Relaxed);
            self.violate(Error::Conservation { flush: number, taken, settled });
        }
    }

    fn violate(&mut self, violation: Error) {
        crate::telemetry::warn(&self.worker.table, &violation.to_string());
        self.violation.get_or_insert(violation);
    }

    fn report(self) -> Report<R> {
        let (strategies, crossover_rows) = self.worker.flusher.shipper.strategies();
        let stats = self.worker.counters.stats();
        let mut report = self.worker.unheard.report(stats, self.violation);
        (report.strategies, report.crossover_rows) = (strategies, crossover_rows);
        report.path = self.path.into_steps();
        report
    }
}

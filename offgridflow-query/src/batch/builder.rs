//! Settings of a writer, checked before its task starts.

use crate::batch::controller::{FlightController, SizeController};
use crate::batch::flush::Atomicity;
use crate::batch::outcome::Rejected;
use crate::batch::partition::partitions;
use crate::batch::pending::Encoder;
use crate::batch::report::{Counters, Unheard};
use crate::batch::retry::Retry;
use crate::batch::setup::Setup;
use crate::batch::worker::{Pace, Worker};
use crate::batch::writer::BatchWriter;
use crate::chunk::ChunkWriter;
use crate::delivery::{Delivery, LedgerEntry};
use crate::error::ConfigError;
use crate::executor::{BatchExecutor, Limits};
use crate::shape::{Conflict, Kind, Shape};
use crate::strategy::Strategy;
use crate::write::Pooling;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Flushes at once that a writer may be set to.
const MOST_IN_FLIGHT: usize = 1 << 16;

/// A sink for rows that were rejected while nobody waited for their outcome.
type DeadLetters<R> = Box<dyn Fn(Rejected<R>) + Send + Sync>;

/// Settings of a [`BatchWriter`].
#[must_use = "nothing is written before start()"]
pub struct BatchWriterBuilder<R, E> {
    executor: E,
    shape: Shape,
    put: fn(&R, &mut ChunkWriter<'_>),
    kinds: Option<Vec<(Kind, bool)>>, // of a tuple's values; a row brings a shape of its own
    flush_rows: RangeInclusive<usize>,
    latency_target: Option<Duration>,
    flush_bytes: usize,
    linger: Duration,
    in_flight: RangeInclusive<usize>,
    row_bytes: usize,
    queue_rows: usize,
    ledger: Option<LedgerEntry>, // of no batch yet
    keep_unheard: usize,
    dead_letters: Option<DeadLetters<R>>,
    setup: Setup,
}

impl<R, E: fmt::Debug> fmt::Debug for BatchWriterBuilder<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchWriterBuilder")
            .field("executor", &self.executor)
            .field("table", &self.shape.table())
            .finish_non_exhaustive()
    }
}

impl<R: Send + 'static, E: BatchExecutor> BatchWriterBuilder<R, E> {
    pub(super) fn new(executor: E, shape: Shape, put: fn(&R, &mut ChunkWriter<'_>)) -> Self {
        Self {
            executor,
            shape,
            put,
            kinds: None,
            flush_rows: 8_192..=8_192,
            latency_target: None,
            flush_bytes: 4 << 20,
            linger: Duration::ZERO,
            in_flight: 1..=1,
            row_bytes: 16 << 20,
            queue_rows: 65_536,
            ledger: None,
            keep_unheard: 1_024,
            dead_letters: None,
            setup: Setup::default(),
        }
    }

    /// Rows whose values have these kinds, whatever the shape says.
    pub(super) fn of_kinds(mut self, kinds: Vec<(Kind, bool)>) -> Self {
        self.kinds = Some(kinds);
        self
    }

    /// A flush is due at this many rows; a group may exceed it, because it is never split. Default: 8 192.
    pub fn flush_rows(mut self, rows: usize) -> Self {
        self.flush_rows = rows..=rows;
        self
    }

    /// A flush is due at as many rows as pay, found while writing: where the fixed cost of a flush is a twentieth of it,
    /// unless that exceeds the [latency target](Self::latency_target). [`Report::path`](crate::Report::path) shows the way.
    pub fn flush_rows_between(mut self, min: usize, max: usize) -> Self {
        self.flush_rows = min..=max;
        self
    }

    /// What a flush may take; only [`flush_rows_between`](Self::flush_rows_between) can respect it. Default: none.
    pub fn latency_target(mut self, target: Duration) -> Self {
        self.latency_target = Some(target);
        self
    }

    /// Flushes under way at a time, each on a connection of its own. Updates are partitioned by their key, so that no two
    /// flushes touch the same row and the last write wins; where the database may call different keys equal, or could not be
    /// asked when the first row came, updates go one at a time. A database with one writer (SQLite) gains nothing. With more than
    /// one, plain inserts of different flushes are stored in any order, so a row may reach the database before its parent of
    /// an earlier flush. Default: 1.
    pub fn in_flight(mut self, flushes: usize) -> Self {
        self.in_flight = flushes..=flushes;
        self
    }

    /// As [`in_flight`](Self::in_flight), between 1 and as many as `max`: more as long as one more gains at least 5 % of
    /// throughput.
    pub fn in_flight_up_to(mut self, max: usize) -> Self {
        self.in_flight = 1..=max;
        self
    }

    /// How the rows travel. Default: whatever is allowed for the table and measures cheapest at the size of the write.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.setup.strategy = Some(strategy);
        self
    }

    /// What happens to the good rows of a flush that has bad ones. Default: [`Atomicity::Independent`].
    pub fn atomicity(mut self, atomicity: Atomicity) -> Self {
        self.setup.atomicity = atomicity;
        self
    }

    /// What happens when the link breaks at COMMIT. Default: [`Delivery::ExactlyOnce`].
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.setup.delivery = delivery;
        self
    }

    /// The table that remembers the batches of [`push_batch`](BatchWriter::push_batch); see
    /// [`ledger_table_sql`](crate::ledger_table_sql). Default: none.
    pub fn ledger(mut self, table: impl Into<String>) -> Self {
        self.ledger = Some(LedgerEntry::new(table, "", 0));
        self
    }

    /// As [`ledger`](Self::ledger), in a schema (PostgreSQL) or an attached database (SQLite).
    pub fn ledger_in(mut self, schema: impl Into<String>, table: impl Into<String>) -> Self {
        self.ledger = Some(LedgerEntry::new(table, "", 0).in_schema(schema));
        self
    }

    /// What stands between the pool and the server. Default: [`Pooling::Session`].
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.setup.plan.pooling = pooling;
        self
    }

    /// Takes the rejected rows for which nobody waits, instead of the report. Called in the writer's task: it must not
    /// block. If it panics, the row is gone, the panic is counted
    /// ([`WriterStats::dead_letter_panics`](crate::WriterStats)), and the writer goes on. Default: none.
    pub fn dead_letters(mut self, sink: impl Fn(Rejected<R>) + Send + Sync + 'static) -> Self {
        self.dead_letters = Some(Box::new(sink));
        self
    }

    /// A flush is due at this many bytes of values, or at as many as the database takes in one transaction. Rows and groups that only come
    /// after others and exceed what it takes go in a transaction after theirs, as if the flush had ended there. Default: 4 MiB.
    pub fn flush_bytes(mut self, bytes: usize) -> Self {
        self.flush_bytes = bytes;
        self
    }

    /// How long the first row of a flush waits for company. Zero is group commit: a flush begins as soon as the one
    /// before has ended, with whatever has come meanwhile. Nobody lingers while somebody waits for room in the
    /// [queue](Self::queue_rows). Default: zero.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Rows inside the writer, waiting or being written; more wait in `reserve`. Default: 65 536.
    pub fn queue_rows(mut self, rows: usize) -> Self {
        self.queue_rows = rows;
        self
    }

    /// A larger row is rejected unsent. With `queue_rows` this bounds the memory of the queue. Default: 16 MiB.
    pub fn max_row_bytes(mut self, bytes: usize) -> Self {
        self.row_bytes = bytes;
        self
    }

    /// What happens to rows whose key is stored already. Default: [`Conflict::Error`].
    pub fn conflict(mut self, conflict: Conflict) -> Self {
        self.setup.plan.conflict = conflict;
        self
    }

    /// How transient failures are retried. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.setup.retry = retry;
        self
    }

    /// Rejects in one flush after which the rest of it is returned untried, so that a wrong schema does not become
    /// thousands of probes. Default: 1 000.
    pub fn max_rejects(mut self, rows: usize) -> Self {
        self.setup.max_rejects = rows;
        self
    }

    /// Rejected, and returned, rows that the report keeps when their tickets were dropped. Default: 1 024 of each.
    pub fn keep_unheard(mut self, rows: usize) -> Self {
        self.keep_unheard = rows;
        self
    }

    /// How long a statement waits for somebody else's lock before the flush is retried, at least a millisecond. Where the retries are spent on one
    /// row's lock, the flush is halved down to that row, with one wait a half. Default: 5 s.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.setup.plan.lock_timeout = timeout;
        self
    }

    /// How long an answer of the server is waited for, a millisecond a row and one for every 10 KiB more for statements with rows; a link that is
    /// silent for longer counts as lost, COMMIT's too, which is then settled. Raise it where triggers, or replicas that
    /// COMMIT waits for, are slower. SQLite has no link and no such limit. Default: 30 s.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.setup.plan.answer_timeout = timeout;
        self
    }

    /// Starts the writer's task.
    ///
    /// # Errors
    /// [`ConfigError`] for a shape that the database cannot take, a conflict rule that does not fit it, or a size of zero.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<BatchWriter<R>, ConfigError> {
        let limits = self.executor.limits(&self.shape);
        self.check(&limits)?;
        let (queue, messages) = mpsc::unbounded_channel();
        let (counters, table) = (Arc::new(Counters::default()), self.shape.table().to_owned());
        let (queue_rows, has_ledger) = (self.queue_rows, self.ledger.is_some());
        let worker = self.worker(messages, Arc::clone(&counters), &limits);
        let task = Mutex::new(Some(tokio::spawn(worker.run())));
        let places = Arc::new(Semaphore::new(queue_rows));
        Ok(BatchWriter { table, queue, places, queue_rows, counters, has_ledger, task })
    }

    fn worker(
        self,
        queue: mpsc::UnboundedReceiver<crate::batch::worker::Message<R>>,
        counters: Arc<Counters>,
        limits: &Limits,
    ) -> Worker<R, E> {
        let (rows, flights) = (self.flush_rows, self.in_flight);
        let ledger = self.ledger.clone();
        let partitions = partitions(&self.shape, &self.setup.plan.conflict, *flights.end());
        Worker {
            table: self.shape.table().to_owned(),
            shape: Arc::new(self.shape),
            queue,
            encoder: Encoder { put: self.put, row_bytes: self.row_bytes, group_bytes: limits.max_bytes },
            pace: Pace {
                size: SizeController::between(*rows.start(), *rows.end(), self.latency_target),
                flights: match flights.start() == flights.end() {
                    true => FlightController::fixed(*flights.end()),
                    false => FlightController::up_to(*flights.end()),
                },
                bytes: self.flush_bytes.min(limits.max_bytes),
                linger: self.linger,
            },
            partitions,
            ledger: self.ledger,
            flusher: Arc::new(self.setup.flusher(self.executor, ledger)),
            counters,
            unheard: Unheard::with_room(self.keep_unheard, self.dead_letters),
        }
    }

    fn check(&self, limits: &Limits) -> Result<(), ConfigError> {
        self.setup.check(&self.shape, limits)?;
        self.kinds.as_ref().map_or(Ok(()), |kinds| fits(&self.shape, kinds))?;
        if let Some(ledger) = &self.ledger {
            ledger.check()?;
        }
        let refuse =
            |setting, value: usize, why| Err(ConfigError::Setting { setting, value: value.to_string(), why });
        for (setting, value) in [("flush_rows", *self.flush_rows.start()), ("flush_bytes", self.flush_bytes)]
        {
            if value == 0 {
                return refuse(setting, value, "a flush needs a row");
            }
        }
        if self.flush_rows.is_empty() {
            return refuse("flush_rows", *self.flush_rows.end(), "it is below the smallest size");
        }
        if *self.in_flight.end() > MOST_IN_FLIGHT {
            return refuse(
                "in_flight",
                *self.in_flight.end(),
                "more than 65 536 flushes at once help nobody",
            );
        }
        if self.in_flight.is_empty() || *self.in_flight.start() == 0 {
            return refuse("in_flight", *self.in_flight.end(), "somebody must write");
        }
        // One portion of push_many must find room, and tokio's semaphore has a limit of its own.
        if self.queue_rows == 0 || self.queue_rows > Semaphore::MAX_PERMITS {
            return refuse("queue_rows", self.queue_rows, "it must be at least 1 and fit the semaphore");
        }
        if self.row_bytes > limits.max_bytes {
            return refuse("max_row_bytes", self.row_bytes, "the database takes less in one transaction");
        }
        Ok(())
    }
}

/// Looks whether values of these kinds fill the columns.
fn fits(shape: &Shape, kinds: &[(Kind, bool)]) -> Result<(), ConfigError> {
    let refuse = |why| Err(ConfigError::Shape { table: shape.table().to_owned(), why });
    let (columns, values) = (shape.columns().len(), kinds.len());
    if columns != values {
        return refuse(format!("it has {columns} columns, the rows have {values} values"));
    }
    match shape.columns().iter().zip(kinds).find(|(column, (kind, _))| column.kind() != *kind) {
        Some((column, (kind, _))) => {
            let (name, own) = (column.name(), column.kind());
            refuse(format!("column {name:?} is {own:?}, the rows have {kind:?} there"))
        }
        None => Ok(()),
    }
}

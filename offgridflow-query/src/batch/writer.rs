//! The writer's front: reserve, push, wait.

use crate::batch::flush::Flusher;
use crate::batch::item::Item;
use crate::batch::outcome::{NotCommitted, Outcome, Receipt};
use crate::batch::report::{Counters, Report, Unheard, WriterStats};
use crate::batch::retry::{Jitter, Retry};
use crate::batch::worker::{Message, Thresholds, Worker};
use crate::chunk::{Chunk, ChunkWriter};
use crate::error::{ConfigError, Error};
use crate::executor::{BatchExecutor, WritePlan};
use crate::row::{Fields, Row};
use crate::shape::{Conflict, Shape};
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Rows that `push_many` hands over at a time.
const PORTION: usize = 1_024;

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Writers of this process that were dropped without [`BatchWriter::close`].
#[must_use]
pub fn dropped_without_close() -> u64 {
    DROPPED.load(Relaxed)
}

/// Gathers rows from many tasks and writes them in few transactions. Acknowledged means committed.
///
/// A row goes in through [`reserve`](Self::reserve), which waits while the queue is full, and gives a [`Ticket`] that
/// resolves when the row's transaction is committed, or with the row itself if it is not. While a flush is under way
/// further rows gather for the next one (group commit), so an idle writer answers at once and a busy one batches.
///
/// Delivery is at least once: a link that breaks at COMMIT returns its rows as [`Why::CommitUnknown`](crate::Why), and
/// whoever writes them again relies on a unique key to make that harmless.
///
/// The writer's work runs in a task of its own: dropping any future here loses no row that was pushed.
///
/// ```
/// use offgridflow_query::{BatchWriter, Conflict, MemoryPool, row};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// struct Reading { id: i64, watts: f64 }
/// row!(Reading in "readings" { id, watts } key { id });
///
/// let pool = MemoryPool::new(4); // or a Gate over SQLite or PostgreSQL
/// let writer = BatchWriter::<Reading>::builder(pool.clone()).conflict(Conflict::Ignore).start()?;
///
/// let ticket = writer.reserve().await?.push(Reading { id: 1, watts: 230.0 });
/// ticket.committed().await?;
///
/// let tickets = writer.push_many([(1, 1.0), (2, 2.0)].map(|(id, watts)| Reading { id, watts })).await?;
/// assert!(tickets.outcomes().await.iter().all(|outcome| outcome.is_settled()));
///
/// let report = writer.close().await?;
/// assert_eq!((report.stats.committed, report.stats.skipped), (2, 1));
/// # Ok(()) }
/// ```
pub struct BatchWriter<R: Send + 'static> {
    table: String,
    queue: mpsc::UnboundedSender<Message<R>>,
    places: Arc<Semaphore>,
    queue_rows: usize,
    counters: Arc<Counters>,
    task: Mutex<Option<JoinHandle<Report<R>>>>, // `None` once closed
}

impl<R: Row> BatchWriter<R> {
    /// A writer for the table of `R`, through a pool or any other [`BatchExecutor`].
    pub fn builder<E: BatchExecutor>(executor: E) -> BatchWriterBuilder<R, E> {
        BatchWriterBuilder::new(executor, R::shape(), R::put)
    }
}

impl<R: Fields> BatchWriter<R> {
    /// A writer for tuples, into a table that is known at run time.
    ///
    /// ```
    /// use offgridflow_query::{BatchWriter, Column, Kind, MemoryPool, Shape};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("name", Kind::Text)]);
    /// let writer = BatchWriter::<(i64, String)>::for_shape(MemoryPool::new(1), shape).start()?;
    /// writer.reserve().await?.push((1, "one".into())).committed().await?;
    /// assert!(writer.close().await?.is_clean());
    /// # Ok(()) }
    /// ```
    pub fn for_shape<E: BatchExecutor>(executor: E, shape: Shape) -> BatchWriterBuilder<R, E> {
        BatchWriterBuilder::new(executor, shape, R::put)
    }
}

impl<R: Send + 'static> BatchWriter<R> {
    /// Waits for room for one row. This is the back-pressure: while the queue is full, callers wait here.
    ///
    /// # Errors
    /// [`Error::Closed`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up the turn; nothing was taken. Dropping the permit gives the room back.
    pub async fn reserve(&self) -> Result<Permit<R>, Error> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::Closed)?;
        Ok(Permit { queue: self.queue.clone(), counters: Arc::clone(&self.counters), place })
    }

    /// Pushes rows that stand on their own, waiting for room as it goes; any number of rows.
    ///
    /// # Errors
    /// [`Refused`] with the rows that were not taken, and the tickets of those that were, if the writer closes.
    ///
    /// # Cancel safety
    /// Rows that had found room are written all the same; the others were never taken and are dropped with the future.
    pub async fn push_many(&self, rows: impl IntoIterator<Item = R>) -> Result<Tickets<R>, Refused<R>> {
        let mut rows: Vec<R> = rows.into_iter().collect();
        rows.reverse(); // taken from the end
        let mut tickets = Tickets { tickets: Vec::with_capacity(rows.len()) };
        while !rows.is_empty() {
            let portion = rows.len().min(PORTION).min(self.queue_rows);
            match self.places(portion).await {
                Ok(places) => {
                    let portion: Vec<R> = rows.drain(rows.len() - portion..).rev().collect();
                    self.send(portion, places, Message::Rows, &mut tickets);
                }
                Err(error) => {
                    rows.reverse();
                    return Err(Refused { error, tickets, rows });
                }
            }
        }
        Ok(tickets)
    }

    /// Pushes rows that are stored together or not at all.
    ///
    /// If the database refuses one, every bad row of the group is [`Rejected`](crate::Rejected) with its own cause and
    /// the others are [`Returned`](crate::Returned). Under a [`Conflict`] that updates, a group is a transaction of its own;
    /// otherwise it shares one with its neighbours until one of them is refused.
    ///
    /// # Errors
    /// [`Refused`] with all rows, if the writer is closed or the group does not fit the queue.
    ///
    /// # Cancel safety
    /// As long as the future has not returned, either the whole group was taken or no row of it.
    pub async fn push_group(&self, rows: impl IntoIterator<Item = R>) -> Result<Tickets<R>, Refused<R>> {
        let rows: Vec<R> = rows.into_iter().collect();
        let mut tickets = Tickets { tickets: Vec::with_capacity(rows.len()) };
        if rows.len() > self.queue_rows {
            let error = Error::GroupTooLarge { rows: rows.len(), queue_rows: self.queue_rows };
            return Err(Refused { error, tickets, rows });
        }
        if rows.is_empty() {
            return Ok(tickets);
        }
        match self.places(rows.len()).await {
            Ok(places) => {
                self.send(rows, places, Message::Group, &mut tickets);
                Ok(tickets)
            }
            Err(error) => Err(Refused { error, tickets, rows }),
        }
    }

    async fn places(&self, rows: usize) -> Result<OwnedSemaphorePermit, Error> {
        let many =
            u32::try_from(rows).map_err(|_| Error::GroupTooLarge { rows, queue_rows: self.queue_rows })?;
        Arc::clone(&self.places).acquire_many_owned(many).await.map_err(|_| Error::Closed)
    }

    fn send(
        &self,
        rows: Vec<R>,
        mut places: OwnedSemaphorePermit,
        message: impl FnOnce(Vec<Item<R>>) -> Message<R>,
        tickets: &mut Tickets<R>,
    ) {
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let place = places.split(1).expect("one place a row was acquired");
            let (item, outcome) = Item::new(row, Arc::clone(&self.counters), place);
            items.push(item);
            tickets.tickets.push(Ticket { outcome });
        }
        let _ = self.queue.send(message(items)); // a closed queue drops the items, which returns the rows
    }

    /// Waits until every row that was pushed before this call has its outcome.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Conservation`] if the rows of any flush so far did not add up.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; the flush goes on.
    pub async fn flush(&self) -> Result<(), Error> {
        let (done, flushed) = oneshot::channel();
        self.queue.send(Message::Flush(done)).map_err(|_| Error::Closed)?;
        flushed.await.map_err(|_| Error::Closed)?
    }

    /// Takes no more rows, settles those inside, and reports. Close the writer before its pool.
    ///
    /// # Errors
    /// [`Error::Closed`] if it was closed before; [`Error::Aborted`] if the writer's task had died.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the writer from settling its rows; only the report is lost.
    pub async fn close(&self) -> Result<Report<R>, Error> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Error::Closed)?;
        self.places.close();
        let _ = self.queue.send(Message::Close); // a dead task is found below
        task.await.map_err(|_| Error::Aborted)
    }

    /// The figures as of now.
    #[must_use]
    pub fn stats(&self) -> WriterStats {
        self.counters.stats()
    }
}

impl<R: Send + 'static> Drop for BatchWriter<R> {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if task.is_some() {
            DROPPED.fetch_add(1, Relaxed);
            crate::telemetry::warn(
                &self.table,
                "a batch writer was dropped without close(); its rows are still written while the runtime lives, \
                 but nobody sees its report",
            );
        }
    }
}

impl<R: Send + 'static> fmt::Debug for BatchWriter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchWriter")
            .field("table", &self.table)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Room for one row. Dropping it gives the room back.
#[must_use = "room that is not used is given back"]
pub struct Permit<R: Send + 'static> {
    queue: mpsc::UnboundedSender<Message<R>>,
    counters: Arc<Counters>,
    place: OwnedSemaphorePermit,
}

impl<R: Send + 'static> Permit<R> {
    /// Hands the row over. Never waits and never loses it: if the writer has ended, the ticket returns the row.
    pub fn push(self, row: R) -> Ticket<R> {
        let (item, outcome) = Item::new(row, self.counters, self.place);
        let _ = self.queue.send(Message::Rows(vec![item])); // a closed queue drops the item, which returns the row
        Ticket { outcome }
    }
}

impl<R: Send + 'static> fmt::Debug for Permit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// The promise of one row's outcome. Dropping it cancels nothing; if the row fails, [`Report`] has it then.
#[must_use = "the outcome is known only through its ticket"]
#[derive(Debug)]
pub struct Ticket<R> {
    outcome: oneshot::Receiver<Outcome<R>>,
}

impl<R> Ticket<R> {
    /// Waits for the row's transaction to be committed.
    ///
    /// # Errors
    /// The row, and why it is not known to be stored.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing.
    pub async fn committed(self) -> Result<Receipt, NotCommitted<R>> {
        self.outcome().await.committed()
    }

    /// Waits for the outcome, whatever it is.
    ///
    /// # Panics
    /// Never: an item answers even when it is dropped.
    pub async fn outcome(self) -> Outcome<R> {
        self.outcome.await.expect("an item answers before it goes")
    }
}

/// The tickets of several rows, in the order of the rows.
#[must_use = "the outcomes are known only through their tickets"]
#[derive(Debug)]
pub struct Tickets<R> {
    tickets: Vec<Ticket<R>>,
}

impl<R> Tickets<R> {
    /// Waits for all outcomes, in the order of the rows.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing, but the outcomes are gone.
    pub async fn outcomes(self) -> Vec<Outcome<R>> {
        let mut outcomes = Vec::with_capacity(self.tickets.len());
        for ticket in self.tickets {
            outcomes.push(ticket.outcome().await);
        }
        outcomes
    }

    /// Rows taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether no row was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }
}

impl<R> IntoIterator for Tickets<R> {
    type Item = Ticket<R>;
    type IntoIter = std::vec::IntoIter<Ticket<R>>;

    fn into_iter(self) -> Self::IntoIter {
        self.tickets.into_iter()
    }
}

/// Rows that a writer did not take.
#[derive(thiserror::Error)]
#[error("{} rows were not taken: {error}", rows.len())]
#[non_exhaustive]
pub struct Refused<R> {
    /// Why.
    #[source]
    pub error: Error,
    /// The tickets of the rows before them, which were taken.
    pub tickets: Tickets<R>,
    /// The rows that were not taken.
    pub rows: Vec<R>,
}

impl<R> fmt::Debug for Refused<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, refused) = (self.tickets.len(), self.rows.len());
        let mut out = f.debug_struct("Refused");
        out.field("error", &self.error).field("taken", &taken).field("refused", &refused).finish()
    }
}

/// Settings of a [`BatchWriter`].
#[derive(Debug)]
#[must_use = "nothing is written before start()"]
pub struct BatchWriterBuilder<R, E> {
    executor: E,
    shape: Shape,
    put: fn(&R, &mut ChunkWriter<'_>),
    thresholds: Thresholds,
    queue_rows: usize,
    conflict: Conflict,
    retry: Retry,
    max_rejects: usize,
    keep_unheard: usize,
    lock_timeout: Duration,
    rows: PhantomData<fn(R)>,
}

impl<R: Send + 'static, E: BatchExecutor> BatchWriterBuilder<R, E> {
    fn new(executor: E, shape: Shape, put: fn(&R, &mut ChunkWriter<'_>)) -> Self {
        let thresholds = Thresholds {
            rows: 8_192,
            bytes: 4 << 20,
            linger: Duration::ZERO,
            row_bytes: 16 << 20,
            group_bytes: usize::MAX,
        };
        Self {
            executor,
            shape,
            put,
            thresholds,
            queue_rows: 65_536,
            conflict: Conflict::Error,
            retry: Retry::default(),
            max_rejects: 1_000,
            keep_unheard: 1_024,
            lock_timeout: Duration::from_secs(5),
            rows: PhantomData,
        }
    }

    /// A flush is due at this many rows; a group may exceed it, because it is never split. Default: 8 192.
    pub fn flush_rows(mut self, rows: usize) -> Self {
        self.thresholds.rows = rows;
        self
    }

    /// A flush is due at this many bytes of values. Default: 4 MiB.
    pub fn flush_bytes(mut self, bytes: usize) -> Self {
        self.thresholds.bytes = bytes;
        self
    }

    /// How long the first row of a flush waits for company. Zero is group commit: a flush begins as soon as the one
    /// before has ended, with whatever has come meanwhile. Default: zero.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.thresholds.linger = linger;
        self
    }

    /// Rows inside the writer, waiting or being written; more wait in `reserve`. Default: 65 536.
    pub fn queue_rows(mut self, rows: usize) -> Self {
        self.queue_rows = rows;
        self
    }

    /// A larger row is rejected unsent. With `queue_rows` this bounds the memory of the queue. Default: 16 MiB.
    pub fn max_row_bytes(mut self, bytes: usize) -> Self {
        self.thresholds.row_bytes = bytes;
        self
    }

    /// What happens to rows whose key is stored already. Default: [`Conflict::Error`].
    pub fn conflict(mut self, conflict: Conflict) -> Self {
        self.conflict = conflict;
        self
    }

    /// How transient failures are retried. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Rejects in one flush after which the rest of it is returned untried, so that a wrong schema does not become
    /// thousands of probes. Default: 1 000.
    pub fn max_rejects(mut self, rows: usize) -> Self {
        self.max_rejects = rows;
        self
    }

    /// Rejected, and returned, rows that the report keeps when their tickets were dropped. Default: 1 024 of each.
    pub fn keep_unheard(mut self, rows: usize) -> Self {
        self.keep_unheard = rows;
        self
    }

    /// How long a statement waits for somebody else's lock before the flush is retried. Default: 5 s.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Starts the writer's task.
    ///
    /// # Errors
    /// [`ConfigError`] for a shape that the database cannot take, a conflict rule that does not fit it, or a size of zero.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(mut self) -> Result<BatchWriter<R>, ConfigError> {
        self.check()?;
        let (queue, messages) = mpsc::unbounded_channel();
        let (counters, table) = (Arc::new(Counters::default()), self.shape.table().to_owned());
        let plan = WritePlan { lock_timeout: self.lock_timeout, ..WritePlan::new(self.conflict) };
        let worker = Worker {
            table: table.clone(),
            queue: messages,
            put: self.put,
            thresholds: self.thresholds,
            flusher: Flusher {
                executor: self.executor,
                plan,
                retry: self.retry,
                max_rejects: self.max_rejects,
                jitter: Jitter::new(seed()),
            },
            counters: Arc::clone(&counters),
            unheard: Unheard::with_room(self.keep_unheard),
            violation: None,
        };
        let task = tokio::spawn(worker.run(Chunk::new(self.shape)));
        let places = Arc::new(Semaphore::new(self.queue_rows));
        Ok(BatchWriter {
            table,
            queue,
            places,
            queue_rows: self.queue_rows,
            counters,
            task: Mutex::new(Some(task)),
        })
    }

    fn check(&mut self) -> Result<(), ConfigError> {
        let limits = self.executor.limits(&self.shape);
        limits.check(&self.shape)?;
        self.conflict.clause(&self.shape)?;
        let refuse =
            |setting, value: usize, why| Err(ConfigError::Setting { setting, value: value.to_string(), why });
        for (setting, value) in [("flush_rows", self.thresholds.rows), ("flush_bytes", self.thresholds.bytes)]
        {
            if value == 0 {
                return refuse(setting, value, "a flush needs a row");
            }
        }
        // One portion of push_many must find room, and tokio's semaphore has a limit of its own.
        if self.queue_rows == 0 || self.queue_rows > Semaphore::MAX_PERMITS {
            return refuse("queue_rows", self.queue_rows, "it must be at least 1 and fit the semaphore");
        }
        if self.retry.attempts == 0 {
            return refuse("retry.attempts", 0, "the first try counts");
        }
        if self.thresholds.row_bytes > limits.max_bytes {
            return refuse(
                "max_row_bytes",
                self.thresholds.row_bytes,
                "the database takes less in one transaction",
            );
        }
        self.thresholds.group_bytes = limits.max_bytes;
        Ok(())
    }
}

/// Differs between processes and writers; only the spread of retries depends on it.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

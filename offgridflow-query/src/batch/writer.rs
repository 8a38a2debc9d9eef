//! The writer's front: reserve, push, wait.

use crate::batch::builder::BatchWriterBuilder;
use crate::batch::item::{Item, Push};
use crate::batch::report::{Counters, Report, WriterStats};
use crate::batch::ticket::{Permit, Refused, Tickets};
use crate::batch::worker::Message;
use crate::error::Error;
use crate::executor::BatchExecutor;
use crate::row::{Fields, Row};
use crate::shape::Shape;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
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
/// A row goes in through [`reserve`](Self::reserve), which waits while the queue is full, and gives a [`Ticket`](crate::Ticket) that
/// resolves when the row's transaction is committed, or with the row itself if it is not. While a flush is under way
/// further rows gather for the next one (group commit), so an idle writer answers at once and a busy one batches.
///
/// A link that breaks at COMMIT is settled by asking the server, or returns its rows as
/// [`Why::CommitUnknown`](crate::Why): see [`Delivery`](crate::Delivery). What must be stored once even across a failover
/// or the death of this process goes through [`push_batch`](Self::push_batch).
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
    pub(super) table: String,
    pub(super) queue: mpsc::UnboundedSender<Message<R>>,
    pub(super) places: Arc<Semaphore>,
    pub(super) queue_rows: usize,
    pub(super) counters: Arc<Counters>,
    pub(super) has_ledger: bool,
    pub(super) task: Mutex<Option<JoinHandle<Report<R>>>>, // `None` once closed
}

impl<R: Row> BatchWriter<R> {
    /// A writer for the table of `R`, through a pool or any other [`BatchExecutor`].
    pub fn builder<E: BatchExecutor>(executor: E) -> BatchWriterBuilder<R, E> {
        BatchWriterBuilder::new(executor, R::shape(), R::put)
    }
}

impl<R: Fields> BatchWriter<R> {
    /// A writer for tuples, into a table that is known at run time. A shape with other columns than the tuple has values, or
    /// of other kinds, is refused by `start`.
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
        BatchWriterBuilder::new(executor, shape, R::put).of_kinds(R::kinds())
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
        let place = self.room(1).await?;
        let (queue, counters) = (self.queue.clone(), Arc::clone(&self.counters));
        Ok(Permit { queue, counters, places: Arc::clone(&self.places), place })
    }

    /// Pushes rows that stand on their own, waiting for room as it goes; any number of rows. All of them are taken from `rows` first:
    /// of a source that does not fit memory, push a part at a time.
    ///
    /// # Errors
    /// [`Refused`] with the rows that were not taken, and the tickets of those that were, if the writer closes.
    ///
    /// # Cancel safety
    /// Rows that had found room are written all the same; the others were never taken and are dropped with the future.
    pub async fn push_many(&self, rows: impl IntoIterator<Item = R>) -> Result<Tickets<R>, Refused<R>> {
        let mut rows: Vec<R> = rows.into_iter().collect();
        rows.reverse(); // taken from the end
        let mut tickets = Tickets::none();
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
    /// the others are [`Returned`](crate::Returned). Under a conflict rule that updates, a group is a transaction of its own;
    /// otherwise it shares one with its neighbours until one of them is refused.
    ///
    /// # Errors
    /// [`Refused`] with all rows, if the writer is closed or the group does not fit the queue.
    ///
    /// # Cancel safety
    /// As long as the future has not returned, either the whole group was taken or no row of it.
    pub async fn push_group(&self, rows: impl IntoIterator<Item = R>) -> Result<Tickets<R>, Refused<R>> {
        self.push_whole(rows.into_iter().collect(), Message::Group).await
    }

    /// Pushes rows that are stored together, once, whatever happens: `batch` names them in the
    /// [ledger](BatchWriterBuilder::ledger), in the same transaction. Pushed again under the same name, by whatever process
    /// after whatever crash, rows that are stored already are settled as [`Fate::Replayed`](crate::Fate::Replayed).
    ///
    /// The name stands for the rows: nobody compares them. Refusals are those of [`push_group`](Self::push_group), and
    /// leave no trace in the ledger.
    ///
    /// # Errors
    /// [`Refused`] with all rows, if the writer is closed, has no ledger, or the batch does not fit the queue.
    ///
    /// # Cancel safety
    /// As long as the future has not returned, either the whole batch was taken or no row of it.
    pub async fn push_batch(
        &self,
        batch: impl Into<String>,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Tickets<R>, Refused<R>> {
        let batch = batch.into();
        if !self.has_ledger {
            let (tickets, rows) = (Tickets::none(), rows.into_iter().collect());
            return Err(Refused { error: Error::NoLedger, tickets, rows });
        }
        self.push_whole(rows.into_iter().collect(), |items| Message::Batch(batch, items)).await
    }

    async fn push_whole(
        &self,
        rows: Vec<R>,
        message: impl FnOnce(Vec<Item<R>>) -> Message<R>,
    ) -> Result<Tickets<R>, Refused<R>> {
        let mut tickets = Tickets::none();
        if rows.len() > self.queue_rows {
            let error = Error::GroupTooLarge { rows: rows.len(), queue_rows: self.queue_rows };
            return Err(Refused { error, tickets, rows });
        }
        if rows.is_empty() {
            return Ok(tickets);
        }
        match self.places(rows.len()).await {
            Ok(places) => {
                self.send(rows, places, message, &mut tickets);
                Ok(tickets)
            }
            Err(error) => Err(Refused { error, tickets, rows }),
        }
    }

    async fn places(&self, rows: usize) -> Result<OwnedSemaphorePermit, Error> {
        let many =
            u32::try_from(rows).map_err(|_| Error::GroupTooLarge { rows, queue_rows: self.queue_rows })?;
        self.room(many).await
    }

    /// Waits for room, and says so: rows that linger must not keep it.
    async fn room(&self, rows: u32) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(room) = Arc::clone(&self.places).try_acquire_many_owned(rows) {
            return Ok(room);
        }
        let _waiting = self.counters.crowd.join();
        Arc::clone(&self.places).acquire_many_owned(rows).await.map_err(|_| Error::Closed)
    }

    fn send(
        &self,
        rows: Vec<R>,
        room: OwnedSemaphorePermit,
        message: impl FnOnce(Vec<Item<R>>) -> Message<R>,
        tickets: &mut Tickets<R>,
    ) {
        let (counters, places) = (Arc::clone(&self.counters), Arc::clone(&self.places));
        let (push, items) = Push::items(rows, &self.queue, counters, places, room);
        tickets.add(push);
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

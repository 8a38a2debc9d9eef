//! The one-shot call: a statement, a batch size, rows.

use crate::batch::flush::{Atomicity, Flushed, Flusher};
use crate::batch::outcome::{Fate, Outcome, Rejected, Returned, Verdict};
use crate::batch::plan::Unit;
use crate::batch::retry::Retry;
use crate::batch::shipment::Shipper;
use crate::batch::statement::{Insert, parse};
use crate::chunk::Chunk;
use crate::delivery::Delivery;
use crate::error::{ConfigError, Error};
use crate::executor::BatchExecutor;
use crate::finish::Finish;
use crate::row::{Fields, tuple_shape};
use crate::shape::Shape;
use crate::write::WritePlan;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Runs one INSERT for many rows, in batches.
///
/// The statement says which table, columns and conflict rule; how it is sent is up to the database (blocks of VALUES on
/// SQLite, UNNEST on PostgreSQL). It must be a plain INSERT with a list of columns, optionally `VALUES` with one tuple of
/// placeholders, optionally `ON CONFLICT (key) DO NOTHING` or `DO UPDATE SET column = excluded.column, …`. Everything
/// else is refused before a row is sent. Names are quoted anew, so nothing of the text reaches the database as it stands.
///
/// ```
/// use offgridflow_query::{BatchedQuery, MemoryPool};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rows = (0..1_000).map(|id| (id, format!("sensor {id}")));
/// let done = BatchedQuery::new("INSERT INTO sensors (id, name) VALUES (?, ?)", 256)
///     .execute(MemoryPool::new(1), rows)
///     .await?;
/// assert_eq!((done.processed, done.batches), (1_000, 4));
/// println!("{:.0} rows/s", done.rows_per_sec());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing runs before execute()"]
pub struct BatchedQuery {
    sql: String,
    size: usize,
    retry: Retry,
    max_rejects: usize,
}

impl BatchedQuery {
    /// `sql` for every row, `size` rows a transaction.
    pub fn new(sql: impl Into<String>, size: usize) -> Self {
        Self { sql: sql.into(), size, retry: Retry::default(), max_rejects: 1_000 }
    }

    /// How transient failures are retried. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Rejects in one batch after which the rest of it is returned untried. Default: 1 000.
    pub fn max_rejects(mut self, rows: usize) -> Self {
        self.max_rejects = rows;
        self
    }

    /// Writes all rows and says what became of them. Rows are taken from the iterator batch by batch.
    ///
    /// # Errors
    /// [`Error::Config`] before the first row is taken, if the statement cannot be batched, its columns are not as many
    /// as the tuple's values, or `size` is 0. [`Error::Conservation`] if rows did not add up, which is a bug. What the
    /// database refuses is in the report.
    ///
    /// # Cancel safety
    /// Dropping the future lets the batch that is under way end in the background; later rows are never taken.
    pub async fn execute<T, E, I>(&self, executor: E, rows: I) -> Result<BatchedReport<T>, Error>
    where
        T: Fields,
        E: BatchExecutor,
        I: IntoIterator<Item = T>,
    {
        let (shape, plan) = self.plan::<T>(&executor)?;
        let shipper = Shipper::new(executor, plan, self.retry, Delivery::ExactlyOnce, self.size as u64);
        let mut flusher =
            Flusher { shipper, atomicity: Atomicity::Independent, max_rejects: self.max_rejects };
        let (started, mut report, mut rows) =
            (Instant::now(), BatchedReport::default(), rows.into_iter().fuse());
        let mut chunk = Chunk::new(shape);
        loop {
            let taken: Vec<T> = rows.by_ref().take(self.size).collect();
            if taken.is_empty() {
                report.elapsed = started.elapsed();
                return Ok(report);
            }
            let sent = report.encode(&mut chunk, taken);
            let flushed;
            (flusher, chunk, flushed) = Finish::new(flush(flusher, chunk)).await;
            report.settle(sent, flushed)?;
            chunk.truncate(0);
        }
    }

    fn plan<T: Fields>(&self, executor: &impl BatchExecutor) -> Result<(Shape, WritePlan), ConfigError> {
        let Insert { schema, table, columns, key, conflict } = parse(&self.sql)?;
        if self.size == 0 {
            return Err(ConfigError::Setting {
                setting: "size",
                value: "0".into(),
                why: "a batch needs a row",
            });
        }
        let values = T::kinds().len();
        if columns.len() != values {
            let why = format!("the statement names {} columns, the rows have {values}", columns.len());
            return Err(ConfigError::Shape { table, why });
        }
        let mut shape = tuple_shape::<T>(&table, &columns).key(key);
        if let Some(schema) = schema {
            shape = shape.in_schema(schema);
        }
        executor.limits(&shape).check(&shape)?;
        conflict.clause(&shape)?;
        Ok((shape, WritePlan::new(conflict)))
    }
}

async fn flush<E: BatchExecutor>(flusher: Flusher<E>, chunk: Chunk) -> (Flusher<E>, Chunk, Flushed) {
    let units: Vec<Unit> = (0..chunk.len()).map(|row| row..row + 1).collect();
    let flushed = flusher.flush(&chunk, &units).await;
    (flusher, chunk, flushed)
}

/// What a [`BatchedQuery`] did.
#[must_use = "rows that were not stored are in here"]
#[non_exhaustive]
pub struct BatchedReport<T> {
    /// Rows taken: `committed` + `superseded` + `skipped` + those rejected and returned.
    pub processed: u64,
    /// Rows stored.
    pub committed: u64,
    /// Rows overwritten by a later one of the same batch before they were sent.
    pub superseded: u64,
    /// Rows that the database neither stored nor refused.
    pub skipped: u64,
    /// Rows that the database refuses.
    pub rejected: Vec<Rejected<T>>,
    /// Rows handed back for no fault of their own.
    pub returned: Vec<Returned<T>>,
    /// Batches sent.
    pub batches: u64,
    /// Transactions tried.
    pub transactions: u64,
    /// Transactions tried again after a transient failure.
    pub retries: u64,
    /// From the first row to the last outcome.
    pub elapsed: Duration,
}

impl<T> Default for BatchedReport<T> {
    fn default() -> Self {
        Self {
            processed: 0,
            committed: 0,
            superseded: 0,
            skipped: 0,
            rejected: Vec::new(),
            returned: Vec::new(),
            batches: 0,
            transactions: 0,
            retries: 0,
            elapsed: Duration::ZERO,
        }
    }
}

impl<T: Fields> BatchedReport<T> {
    /// Fills the chunk with the rows that can be encoded; the others are rejected here.
    fn encode(&mut self, chunk: &mut Chunk, rows: Vec<T>) -> Vec<T> {
        self.batches += 1;
        let mut sent = Vec::with_capacity(rows.len());
        for row in rows {
            match chunk.push(|writer| row.put(writer)) {
                Ok(_) => sent.push(row),
                Err(cause) => {
                    self.processed += 1;
                    self.rejected.push(Rejected { row, cause });
                }
            }
        }
        sent
    }

    fn settle(&mut self, rows: Vec<T>, flushed: Flushed) -> Result<(), Error> {
        let taken = rows.len() as u64;
        let settled = flushed.verdicts.iter().flatten().count() as u64;
        if taken != settled {
            return Err(Error::Conservation { flush: self.batches, taken, settled });
        }
        self.processed += taken;
        self.transactions += flushed.tally.transactions;
        self.retries += flushed.tally.retries;
        for (row, verdict) in rows.into_iter().zip(flushed.verdicts.into_iter().flatten()) {
            self.count(verdict, row);
        }
        Ok(())
    }

    fn count(&mut self, verdict: Verdict, row: T) {
        match verdict.attach(row, self.batches) {
            Outcome::Settled(receipt) => match receipt.fate {
                Fate::Committed => self.committed += 1,
                Fate::Superseded => self.superseded += 1,
                Fate::Skipped | Fate::Replayed => self.skipped += 1,
            },
            Outcome::Rejected(rejected) => self.rejected.push(rejected),
            Outcome::Returned(returned) => self.returned.push(returned),
        }
    }
}

impl<T> BatchedReport<T> {
    /// Rows processed a second of wall clock.
    #[must_use]
    pub fn rows_per_sec(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.processed as f64 / seconds } else { 0.0 }
    }
}

impl<T> fmt::Debug for BatchedReport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchedReport")
            .field("processed", &self.processed)
            .field("committed", &self.committed)
            .field("superseded", &self.superseded)
            .field("skipped", &self.skipped)
            .field("rejected", &self.rejected.len())
            .field("returned", &self.returned.len())
            .field("batches", &self.batches)
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}

//! The one-shot call: a statement, a batch size, rows.

use crate::batch::flush::{Flushed, Flusher};
use crate::batch::outcome::{Fate, Outcome, Rejected, Returned, Verdict};
use crate::batch::plan::Unit;
use crate::batch::portion::Portion;
use crate::batch::retry::Retry;
use crate::batch::setup::Setup;
use crate::batch::statement::{Insert, parse};
use crate::chunk::Chunk;
use crate::error::{Cause, Class, ConfigError, Error};
use crate::executor::BatchExecutor;
use crate::finish::Finish;
use crate::row::{Fields, tuple_shape};
use crate::shape::Shape;
use crate::write::Pooling;
use std::fmt;
use std::iter::Fuse;
use std::time::Duration;
use tokio::time::Instant;

/// Skipped rows that a report names.
const NAMED: usize = 65_536;

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
    setup: Setup,
}

impl BatchedQuery {
    /// `sql` for every row, `size` rows a transaction, or as many of them as the database takes the bytes of.
    pub fn new(sql: impl Into<String>, size: usize) -> Self {
        Self { sql: sql.into(), size, setup: Setup::default() }
    }

    /// How transient failures are retried. Default: [`Retry::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.setup.retry = retry;
        self
    }

    /// Rejects in one batch after which the rest of it is returned untried. Default: 1 000.
    pub fn max_rejects(mut self, rows: usize) -> Self {
        self.setup.max_rejects = rows;
        self
    }

    /// How long a statement waits for somebody else's lock before the batch is retried. Default: 5 s.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.setup.plan.lock_timeout = timeout;
        self
    }

    /// How long an answer of the server is waited for; see
    /// [`BatchWriterBuilder::answer_timeout`](crate::BatchWriterBuilder::answer_timeout). Default: 30 s.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.setup.plan.answer_timeout = timeout;
        self
    }

    /// What stands between the pool and the server. Default: [`Pooling::Session`].
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.setup.plan.pooling = pooling;
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
        let (shape, setup, max_bytes) = self.read::<T>(&executor)?;
        let mut flusher = setup.flusher(executor, None);
        let (started, mut report) = (Instant::now(), BatchedReport::default());
        let mut source = Source { rows: rows.into_iter().fuse(), size: self.size, max_bytes, carried: None };
        let mut chunk = Chunk::new(shape);
        loop {
            let began = Instant::now();
            let Some(sent) = report.encode(&mut chunk, &mut source) else {
                report.elapsed = started.elapsed();
                return Ok(report);
            };
            report.encoding += began.elapsed();
            let flushed;
            (flusher, chunk, flushed) = Finish::new(flush(flusher, chunk)).await;
            report.settle(sent, flushed)?;
            chunk.truncate(0);
        }
    }

    fn read<T: Fields>(&self, executor: &impl BatchExecutor) -> Result<(Shape, Setup, usize), ConfigError> {
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
        let mut setup = self.setup.clone();
        setup.plan.conflict = conflict;
        let limits = executor.limits(&shape);
        setup.check(&shape, &limits)?;
        Ok((shape, setup, limits.max_bytes))
    }
}

/// Where the rows come from, and how many make a batch.
struct Source<I: Iterator> {
    rows: Fuse<I>,
    size: usize,
    max_bytes: usize,
    carried: Option<I::Item>, // it did not fit the batch before
}

impl<I: Iterator> Source<I> {
    fn next(&mut self) -> Option<I::Item> {
        self.carried.take().or_else(|| self.rows.next())
    }
}

/// Encodes a row and returns its size; one that cannot be encoded, or be sent, leaves no trace.
fn encode<T: Fields>(chunk: &mut Chunk, row: &T, max_bytes: usize) -> Result<usize, Cause> {
    let before = chunk.len();
    let bytes = chunk.push(|writer| row.put(writer))?;
    if bytes <= max_bytes {
        return Ok(bytes);
    }
    chunk.truncate(before);
    let what = format!("the row has {bytes} bytes, the database takes {max_bytes} in one transaction");
    Err(Cause::new(Class::TooLarge, what))
}

async fn flush<E: BatchExecutor>(flusher: Flusher<E>, chunk: Chunk) -> (Flusher<E>, Chunk, Flushed) {
    let units: Vec<Unit> = (0..chunk.len()).map(|row| row..row + 1).collect();
    let flushed = flusher.flush(&chunk, &units).await;
    (flusher, chunk, flushed)
}

/// What a [`BatchedQuery`] did. Serialized, the rows in it are without their data: each is its cause.
#[must_use = "rows that were not stored are in here"]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(bound = ""))]
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
    /// Which these are: positions among the rows given, from 0, ascending; the first 65 536 of them.
    pub skipped_at: Vec<u64>,
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
    /// From the first row to the last outcome. What `encoding`, `writing` and `pausing` leave of it went into sorting
    /// rows and handing out outcomes.
    pub elapsed: Duration,
    /// Of it, taking rows from the iterator and encoding them.
    pub encoding: Duration,
    /// Of it, in transactions, waiting for a connection included.
    pub writing: Duration,
    /// Of it, pauses before another try, and questions about a COMMIT that nobody answered.
    pub pausing: Duration,
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
            skipped_at: Vec::new(),
            encoding: Duration::ZERO,
            writing: Duration::ZERO,
            pausing: Duration::ZERO,
        }
    }
}

impl<T: Fields> BatchedReport<T> {
    /// Fills the chunk with the rows of the next batch that can be encoded, and says where they stood; the others are rejected here.
    /// `None` at the end of the rows.
    fn encode<I>(&mut self, chunk: &mut Chunk, source: &mut Source<I>) -> Option<Vec<(u64, T)>>
    where
        I: Iterator<Item = T>,
    {
        let (first, columns) = (self.processed, chunk.shape().columns().len());
        let (mut sent, mut portion) = (Vec::new(), Portion::default());
        for _ in 0..source.size {
            let Some(row) = source.next() else { break };
            match encode(chunk, &row, source.max_bytes) {
                Ok(bytes) if !portion.takes(bytes, columns, source.max_bytes) => {
                    chunk.truncate(sent.len());
                    source.carried = Some(row);
                    break;
                }
                Ok(_) => sent.push((self.processed, row)),
                Err(cause) => self.rejected.push(Rejected { row, cause }),
            }
            self.processed += 1;
        }
        let some = self.processed > first;
        self.batches += u64::from(some);
        some.then_some(sent)
    }

    fn settle(&mut self, rows: Vec<(u64, T)>, flushed: Flushed) -> Result<(), Error> {
        let taken = rows.len() as u64;
        let settled = flushed.verdicts.iter().flatten().count() as u64;
        if taken != settled {
            return Err(Error::Conservation { flush: self.batches, taken, settled });
        }
        self.transactions += flushed.tally.transactions;
        self.retries += flushed.tally.retries;
        self.writing += flushed.tally.writing;
        self.pausing += flushed.tally.pausing;
        for ((at, row), verdict) in rows.into_iter().zip(flushed.verdicts.into_iter().flatten()) {
            self.count(verdict, at, row);
        }
        Ok(())
    }

    fn count(&mut self, verdict: Verdict, at: u64, row: T) {
        match verdict.attach(row, self.batches) {
            Outcome::Settled(receipt) => match receipt.fate {
                Fate::Committed => self.committed += 1,
                Fate::Superseded => self.superseded += 1,
                Fate::Skipped | Fate::Replayed => {
                    self.skipped += 1;
                    if self.skipped_at.len() < NAMED {
                        self.skipped_at.push(at);
                    }
                }
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
            .field("transactions", &self.transactions)
            .field("retries", &self.retries)
            .field("elapsed", &self.elapsed)
            .field("encoding", &self.encoding)
            .field("writing", &self.writing)
            .field("pausing", &self.pausing)
            .finish_non_exhaustive()
    }
}

//! The seam between the writer and a database.

use crate::chunk::Slice;
use crate::error::{Cause, Class, ConfigError, Scope};
use crate::pool::{Acquire, ConnectionPool, Lane};
use crate::shape::{Conflict, Shape};
use std::future::Future;
use std::time::Duration;

/// What a database can take in one write, computed for one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Limits {
    /// Columns a table or statement can have.
    pub max_columns: usize,
    /// Bytes a table or column name can have.
    pub max_name_bytes: usize,
    /// Bytes of values that one transaction is given at most.
    pub max_bytes: usize,
    /// Rows in one statement; a larger write is several statements of one transaction.
    pub statement_rows: usize,
}

impl Limits {
    /// Refuses a shape that the database cannot take.
    ///
    /// # Errors
    /// [`ConfigError::Shape`] with the limit that is exceeded.
    pub fn check(&self, shape: &Shape) -> Result<(), ConfigError> {
        shape.check()?;
        let refuse = |why| Err(ConfigError::Shape { table: shape.table().to_owned(), why });
        let columns = shape.columns().len();
        if columns > self.max_columns {
            return refuse(format!("{columns} columns, the database takes {}", self.max_columns));
        }
        let mut names = shape.columns().iter().map(crate::Column::name).chain([shape.table()]);
        match names.find(|name| name.len() > self.max_name_bytes) {
            Some(name) => refuse(format!("{name:?} is longer than {} bytes", self.max_name_bytes)),
            None => Ok(()),
        }
    }
}

/// How a write ends when every statement went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// COMMIT: the rows are stored when the call returns `Ok`.
    Commit,
    /// ROLLBACK: nothing is stored; `Ok` means that COMMIT would have been tried. Burns sequence values and fires triggers.
    RollBack,
}

/// How one write is done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WritePlan {
    /// What happens to rows whose key is stored already.
    pub conflict: Conflict,
    /// Whether the transaction is kept.
    pub ending: Ending,
    /// How long a statement may wait for somebody else's lock.
    pub lock_timeout: Duration,
}

impl WritePlan {
    /// Commits, waits at most 5 s for a lock.
    #[must_use]
    pub fn new(conflict: Conflict) -> Self {
        Self { conflict, ending: Ending::Commit, lock_timeout: Duration::from_secs(5) }
    }

    /// The same plan as a rehearsal that stores nothing.
    #[must_use]
    pub fn rehearsal(&self) -> Self {
        Self { ending: Ending::RollBack, ..self.clone() }
    }
}

/// What a successful write did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Wrote {
    /// Rows that the database did not store and did not refuse (DO NOTHING, a trigger returning NULL): positions
    /// counted through all parts, ascending.
    pub skipped: Vec<usize>,
    /// Statements that carried rows.
    pub statements: u64,
}

impl Wrote {
    /// `statements` statements stored everything but `skipped`.
    #[must_use]
    pub fn new(skipped: Vec<usize>, statements: u64) -> Self {
        Self { skipped, statements }
    }
}

/// Why nothing was stored, or why nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The transaction was rolled back, or never began.
    #[error("nothing was stored: {cause}")]
    Failed {
        /// The row at fault, counted through all parts, if it is known.
        row: Option<usize>,
        /// What the database said; its class decides between isolating, retrying and giving back.
        cause: Cause,
    },
    /// The link was lost at COMMIT: the rows are stored or not, all of them or none.
    #[error("the outcome of COMMIT is unknown: {0}")]
    CommitUnknown(Cause),
}

impl WriteError {
    /// Nothing was stored, no row is named.
    #[must_use]
    pub fn failed(cause: Cause) -> Self {
        Self::Failed { row: None, cause }
    }

    /// What the database or the driver said.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        match self {
            Self::Failed { cause, .. } | Self::CommitUnknown(cause) => cause,
        }
    }

    /// Whether the connection must not be used again.
    #[must_use]
    pub fn broke_connection(&self) -> bool {
        matches!(self, Self::CommitUnknown(_)) || self.cause().class() == Class::Connection
    }

    /// Whether the same write may succeed later without harm.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Failed { cause, .. } if cause.class().scope() == Scope::Transient)
    }
}

/// One connection that can write slices of a chunk. Implemented once a database; no code is generic over drivers.
///
/// The caller holds the connection alone, in no transaction, and does not drop the future before it is ready
/// (where that happens all the same, it discards the connection).
pub trait BatchConnection: Send + 'static {
    /// The database in OpenTelemetry's words: `postgresql`, `sqlite`.
    const DATABASE: &'static str;

    /// What the database takes for this shape.
    fn limits(shape: &Shape) -> Limits;

    /// Writes all parts, in order, in one transaction of its own.
    ///
    /// On return the connection is outside any transaction, unless [`WriteError::broke_connection`]. A transaction
    /// in which any statement failed must never reach COMMIT.
    fn write(
        &mut self,
        parts: &[Slice<'_>],
        plan: &WritePlan,
    ) -> impl Future<Output = Result<Wrote, WriteError>> + Send;
}

/// Where a [`BatchWriter`](crate::BatchWriter) sends its rows: anything that writes slices in transactions.
///
/// Every [`ConnectionPool`] of [`BatchConnection`]s is one. Several writes may run concurrently.
pub trait BatchExecutor: Send + Sync + 'static {
    /// The database in OpenTelemetry's words.
    fn database(&self) -> &'static str;

    /// What the database takes for this shape.
    fn limits(&self, shape: &Shape) -> Limits;

    /// Writes all parts, in order, in one transaction. See [`BatchConnection::write`].
    ///
    /// Dropping the future leaves nothing stored, or everything; the connection is not reused.
    fn write(
        &self,
        parts: &[Slice<'_>],
        plan: &WritePlan,
    ) -> impl Future<Output = Result<Wrote, WriteError>> + Send;
}

impl<P> BatchExecutor for P
where
    P: ConnectionPool,
    P::Conn: BatchConnection,
{
    fn database(&self) -> &'static str {
        P::Conn::DATABASE
    }

    fn limits(&self, shape: &Shape) -> Limits {
        P::Conn::limits(shape)
    }

    async fn write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let turn = self.acquire(Acquire::lane(Lane::Background)).await;
        let mut guard = turn.map_err(|error| WriteError::failed(error.to_cause()))?;
        guard.mark_broken(); // until the transaction is over: a drop in between must not lend it out again
        let result = guard.write(parts, plan).await;
        if !matches!(&result, Err(error) if error.broke_connection()) {
            guard.mark_whole();
        }
        result
    }
}

/// The boxed twin of [`BatchExecutor`], for executors that are chosen at run time. One box a write.
///
/// ```
/// use offgridflow_query::{BatchWriter, DynBatchExecutor, MemoryPool, row};
/// use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// struct Reading { id: i64 }
/// row!(Reading in "readings" { id } key { id });
/// let chosen: Arc<dyn DynBatchExecutor> = Arc::new(MemoryPool::new(2));
/// let writer = BatchWriter::<Reading>::builder(chosen).start()?;
/// # let _ = writer.close().await?;
/// # Ok(()) }
/// ```
#[async_trait::async_trait]
pub trait DynBatchExecutor: Send + Sync + 'static {
    /// See [`BatchExecutor::database`].
    fn dyn_database(&self) -> &'static str;

    /// See [`BatchExecutor::limits`].
    fn dyn_limits(&self, shape: &Shape) -> Limits;

    /// See [`BatchExecutor::write`].
    async fn dyn_write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError>;
}

#[async_trait::async_trait]
impl<E: BatchExecutor> DynBatchExecutor for E {
    fn dyn_database(&self) -> &'static str {
        self.database()
    }

    fn dyn_limits(&self, shape: &Shape) -> Limits {
        self.limits(shape)
    }

    async fn dyn_write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        self.write(parts, plan).await
    }
}

impl BatchExecutor for std::sync::Arc<dyn DynBatchExecutor> {
    fn database(&self) -> &'static str {
        (**self).dyn_database()
    }

    fn limits(&self, shape: &Shape) -> Limits {
        (**self).dyn_limits(shape)
    }

    async fn write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        (**self).dyn_write(parts, plan).await
    }
}

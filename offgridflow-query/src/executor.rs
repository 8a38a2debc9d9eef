//! The seam between the writer and a database.

use crate::chunk::Slice;
use crate::delivery::{TxOutcome, TxToken};
use crate::error::{Cause, ConfigError};
use crate::pool::{Acquire, ConnectionPool, Guard, Lane};
use crate::shape::{Kind, Shape};
use crate::strategy::Prepared;
use crate::write::{WriteError, WritePlan, Wrote};
use std::collections::HashMap;
use std::future::Future;

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
    /// Whether a column can hold an array.
    pub arrays: bool,
    /// Whether names that differ only in the case of ASCII letters are one name to it, however they are quoted.
    pub ignores_case: bool,
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
        let mut columns = shape.columns().iter();
        if !self.arrays
            && let Some(column) = columns.find(|column| matches!(column.kind(), Kind::Array(_)))
        {
            let name = column.name();
            return refuse(format!("column {name:?} is an array, which this database has no type for"));
        }
        if self.ignores_case
            && let Some((one, other)) = same_but_for_case(shape)
        {
            return refuse(format!("{one:?} and {other:?} are one column to this database"));
        }
        let mut names = shape.columns().iter().map(crate::Column::name).chain([shape.table()]);
        match names.find(|name| name.len() > self.max_name_bytes) {
            Some(name) => refuse(format!("{name:?} is longer than {} bytes", self.max_name_bytes)),
            None => Ok(()),
        }
    }
}

/// Two columns that differ only in the case of ASCII letters.
fn same_but_for_case(shape: &Shape) -> Option<(&str, &str)> {
    let mut seen = HashMap::new();
    let names = shape.columns().iter().map(crate::Column::name);
    names.into_iter().find_map(|name| Some((seen.insert(name.to_ascii_lowercase(), name)?, name)))
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

    /// Looks the table up before its first row is sent: what it cannot take fails here, and the answer goes into
    /// [`WritePlan::prepared`]. Leaves no transaction open. By default nothing is looked up.
    fn prepare(
        &mut self,
        shape: &Shape,
        plan: &WritePlan,
    ) -> impl Future<Output = Result<Prepared, WriteError>> + Send {
        let _ = (shape, plan);
        async { Ok(Prepared::default()) }
    }

    /// What became of a transaction whose COMMIT was not answered. By default nobody can say.
    fn outcome(&mut self, token: &TxToken) -> impl Future<Output = Result<TxOutcome, Cause>> + Send {
        let _ = token;
        async { Ok(TxOutcome::Unknown) }
    }

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

    /// Looks the table up before its first row is sent. See [`BatchConnection::prepare`].
    fn prepare(
        &self,
        shape: &Shape,
        plan: &WritePlan,
    ) -> impl Future<Output = Result<Prepared, WriteError>> + Send {
        let _ = (shape, plan);
        async { Ok(Prepared::default()) }
    }

    /// What became of a transaction whose COMMIT was not answered. See [`BatchConnection::outcome`].
    fn outcome(&self, token: &TxToken) -> impl Future<Output = Result<TxOutcome, Cause>> + Send {
        let _ = token;
        async { Ok(TxOutcome::Unknown) }
    }

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

    async fn prepare(&self, shape: &Shape, plan: &WritePlan) -> Result<Prepared, WriteError> {
        let mut guard = lent(self).await.map_err(WriteError::failed)?;
        let result = guard.prepare(shape, plan).await;
        whole_unless(guard, matches!(&result, Err(error) if error.broke_connection()));
        result
    }

    async fn outcome(&self, token: &TxToken) -> Result<TxOutcome, Cause> {
        let mut guard = lent(self).await?;
        let result = guard.outcome(token).await;
        whole_unless(guard, result.is_err());
        result
    }

    async fn write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let mut guard = lent(self).await.map_err(WriteError::failed)?;
        let result = guard.write(parts, plan).await;
        whole_unless(guard, matches!(&result, Err(error) if error.broke_connection()));
        result
    }
}

/// A connection that is closed if it is dropped: a drop in between must not lend it out again.
async fn lent<P: ConnectionPool>(pool: &P) -> Result<Guard<P::Conn>, Cause> {
    let mut guard = pool.acquire(Acquire::lane(Lane::Background)).await.map_err(|error| error.to_cause())?;
    guard.mark_broken();
    Ok(guard)
}

fn whole_unless<C>(mut guard: Guard<C>, broken: bool) {
    if !broken {
        guard.mark_whole();
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

    /// See [`BatchExecutor::prepare`].
    async fn dyn_prepare(&self, shape: &Shape, plan: &WritePlan) -> Result<Prepared, WriteError>;

    /// See [`BatchExecutor::outcome`].
    async fn dyn_outcome(&self, token: &TxToken) -> Result<TxOutcome, Cause>;

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

    async fn dyn_prepare(&self, shape: &Shape, plan: &WritePlan) -> Result<Prepared, WriteError> {
        self.prepare(shape, plan).await
    }

    async fn dyn_outcome(&self, token: &TxToken) -> Result<TxOutcome, Cause> {
        self.outcome(token).await
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

    async fn prepare(&self, shape: &Shape, plan: &WritePlan) -> Result<Prepared, WriteError> {
        (**self).dyn_prepare(shape, plan).await
    }

    async fn outcome(&self, token: &TxToken) -> Result<TxOutcome, Cause> {
        (**self).dyn_outcome(token).await
    }

    async fn write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        (**self).dyn_write(parts, plan).await
    }
}

//! How often a row may be stored, and how a lost COMMIT is settled.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::error::{Cause, Class, Scope};
use crate::ident::{Ident, target};
use std::fmt;

/// What a writer does when the link breaks at COMMIT, so that nobody can say whether the rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Delivery {
    /// No row is stored twice by the writer. PostgreSQL is asked what became of the transaction; where it cannot say (it
    /// crashed, it was replaced by a replica) and on SQLite, the rows are returned as
    /// [`Why::CommitUnknown`](crate::Why::CommitUnknown). Only the [ledger](crate::BatchWriterBuilder::ledger) survives
    /// a failover and the death of this process. Default.
    #[default]
    ExactlyOnce,
    /// The rows are written again at once, and may be stored twice. For tables whose key makes that harmless.
    AtLeastOnce,
}

/// Names one transaction of one server, so that its outcome can be asked for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxToken {
    pub(crate) server: Box<str>, // system identifier, start and last crash: a transaction id means nothing elsewhere
    pub(crate) timeline: Box<str>,
    pub(crate) xid: Box<str>,
}

impl TxToken {
    /// Transaction `xid` on this timeline of this server. `server` must differ after every crash and on every copy.
    #[must_use]
    pub fn new(server: &str, timeline: &str, xid: &str) -> Self {
        Self { server: server.into(), timeline: timeline.into(), xid: xid.into() }
    }
}

impl fmt::Display for TxToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction {} on timeline {} of {}", self.xid, self.timeline, self.server)
    }
}

/// What became of a transaction whose COMMIT was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TxOutcome {
    /// Its rows are stored.
    Committed,
    /// Nothing of it is stored, nor ever will be.
    Aborted,
    /// The server has not noticed yet that the link is gone. Ask again.
    InProgress,
    /// Nobody can say.
    Unknown,
}

/// The row that is written into the ledger in the same transaction as the rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// The schema (PostgreSQL) or attached database (SQLite) of the ledger's table, if it is named.
    pub schema: Option<String>,
    /// The ledger's table, see [`ledger_table_sql`].
    pub table: String,
    /// The caller's name for the batch.
    pub batch: String,
    /// Rows in the batch.
    pub rows: u64,
}

impl LedgerEntry {
    /// Notes in `table` that `batch`, of `rows` rows, is stored.
    #[must_use]
    pub fn new(table: impl Into<String>, batch: impl Into<String>, rows: u64) -> Self {
        Self { schema: None, table: table.into(), batch: batch.into(), rows }
    }

    /// The same in a table of this schema.
    #[must_use]
    pub fn in_schema(self, schema: impl Into<String>) -> Self {
        Self { schema: Some(schema.into()), ..self }
    }

    /// Looks for a name that no table can have, and for a schema that is not named apart.
    pub(crate) fn check(&self) -> Result<(), crate::ConfigError> {
        self.target()?;
        match &self.schema {
            None if self.table.contains('.') => {
                let (name, why) = (self.table.clone(), "a schema is named apart: ledger_in(schema, table)");
                Err(crate::ConfigError::Ident { name, why })
            }
            _ => Ok(()),
        }
    }

    /// The quoted table, with its schema if that is named.
    pub(crate) fn target(&self) -> Result<String, crate::ConfigError> {
        target(self.schema.as_deref(), &self.table)
    }

    /// Takes the place of the batch in the ledger, or changes nothing if the batch is there already.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn insert_sql(&self) -> Result<String, crate::ConfigError> {
        let table = self.target()?;
        Ok(format!("INSERT INTO {table} (batch, \"rows\") VALUES ($1, $2) ON CONFLICT (batch) DO NOTHING"))
    }

    /// Looks for the batch in the ledger.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn select_sql(&self) -> Result<String, crate::ConfigError> {
        Ok(format!("SELECT 1 FROM {} WHERE batch = $1", self.target()?))
    }

    /// Why a batch is not called replayed that the ledger did not take.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn neither(&self) -> Cause {
        Cause::new(
            Class::Other,
            "it neither took the row nor has one of that name; a trigger dropped it, or a policy hides it",
        )
    }
}

/// The table that a [ledger](crate::BatchWriterBuilder::ledger) needs, on PostgreSQL and SQLite alike.
///
/// Create it with your migrations. Old rows may be deleted once no batch that old can come again.
///
/// # Errors
/// [`ConfigError::Ident`](crate::ConfigError::Ident) for a name no database takes.
///
/// ```
/// let sql = offgridflow_query::ledger_table_sql("batches")?;
/// assert!(sql.starts_with("CREATE TABLE IF NOT EXISTS \"batches\" (batch TEXT PRIMARY KEY"));
/// # Ok::<(), offgridflow_query::ConfigError>(())
/// ```
pub fn ledger_table_sql(table: &str) -> Result<String, crate::ConfigError> {
    let table = Ident::new(table)?;
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS {table} (batch TEXT PRIMARY KEY, \"rows\" BIGINT NOT NULL, \
         stored_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)"
    ))
}

/// What the database said of a batch's own row in the ledger: no row of the batch is to blame for it.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn ledger_refusal(entry: &LedgerEntry, cause: Cause) -> Cause {
    if cause.class().scope() != Scope::Row && cause.class() != Class::Other {
        return cause;
    }
    let said = format!("the ledger {:?} refuses the batch's own row: {}", entry.table, cause.message());
    let refusal = Cause::new(Class::Schema, said);
    match cause.code() {
        Some(code) => refusal.with_code(code),
        None => refusal,
    }
}

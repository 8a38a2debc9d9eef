//! Which index would help a statement, tried before it is said.

mod candidates;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use crate::error::Cause;
use crate::ident::Ident;
use crate::observe::IsConnection;
use crate::observe::plans::watch::Explain;
use crate::pool::{Acquire, ConnectionPool, Lane};
use crate::pool_error::PoolError;
use sqlx::Database;
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// What an advisor may do to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdviceLimits {
    /// Tables larger than this are not indexed for a trial: while an index is built, nobody writes. Default: 64 MiB. For a pool to a copy
    /// of the database that nobody else uses, `u64::MAX`.
    pub table_bytes: u64,
    /// How long building may take, and on SQLite, where a statement is run for its trial, running it five times. What takes longer is
    /// interrupted. Default: 5 s.
    pub build: Duration,
    /// How long a lock is waited for. Default: 100 ms, and never more.
    pub lock: Duration,
}

impl Default for AdviceLimits {
    fn default() -> Self {
        Self { table_bytes: 64 << 20, build: Duration::from_secs(5), lock: LONGEST_LOCK }
    }
}

const LONGEST_LOCK: Duration = Duration::from_millis(100);

/// An index, and what became of it when it was tried.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct IndexAdvice {
    /// The table.
    pub table: String,
    /// The columns, in order; `lower(name)` where it is over what a function makes of one.
    pub columns: Vec<String>,
    /// Whether it helps.
    pub verdict: IndexVerdict,
    /// The statement that makes it for good, without keeping writers out where the database can. Never run by this crate.
    pub statement: String,
    /// What it costs each write, if the database keeps count.
    pub writes: Option<WriteCost>,
}

/// Whether an index helps a statement.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum IndexVerdict {
    /// It was built, the plan uses it, and the statement is at least twice as cheap.
    Helps {
        /// Cost without it: the planner's unit (PostgreSQL), nanoseconds as measured (SQLite).
        before: f64,
        /// Cost with it.
        after: f64,
        /// How long building took; `None` if it was only supposed (HypoPG).
        build: Option<Duration>,
        /// Bytes of the index; an estimate if it was only supposed, `None` where the database does not say.
        bytes: Option<u64>,
    },
    /// It was tried, and is not used, or gains too little.
    NoHelp,
    /// Nobody can say, and why.
    Inconclusive(String),
}

/// How often the indices of a table have to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WriteCost {
    /// Rows written to the table since the database's statistics began.
    pub rows_written: u64,
    /// Indices that the table has now; each row written goes into nearly all of them.
    pub indices: u64,
}

/// An index that costs writes and gives nothing, as far as the database's statistics go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct IdleIndex {
    /// The table.
    pub table: String,
    /// The index.
    pub index: String,
    /// Why nobody needs it.
    pub why: IdleReason,
    /// Its bytes, where the database says.
    pub bytes: Option<u64>,
}

/// Why an index is not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum IdleReason {
    /// No scan since the statistics began (PostgreSQL). Replicas keep statistics of their own.
    NeverScanned,
    /// Another index begins with the same columns.
    CoveredBy(String),
}

/// A database whose indices can be tried.
pub trait TryIndex: Explain {
    /// Tries what might help `sql`, in transactions that are rolled back.
    fn advise(
        conn: &mut Self::Connection,
        sql: &str,
        values: Option<Self::Arguments>,
        limits: &AdviceLimits,
    ) -> impl Future<Output = Result<Vec<IndexAdvice>, Cause>> + Send;

    /// Indices that nobody needs.
    fn idle(conn: &mut Self::Connection) -> impl Future<Output = Result<Vec<IdleIndex>, Cause>> + Send;
}

/// Finds indices that would help, by trying them.
///
/// An index is built in a transaction that is rolled back, so it exists for nobody else. Building keeps writers of the table waiting, as
/// `CREATE INDEX` does: that is why there are [limits](AdviceLimits), and why a copy of the database is the better place. Nothing is ever
/// made for good; the statement for that is part of the advice.
///
/// ```
/// # use offgridflow_query::{Acquire, ConnectionPool, GateConfig, IndexVerdict, Advisor, SqliteGate, sqlx};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default())?;
/// # let mut conn = gate.acquire(Acquire::default()).await?;
/// # sqlx::raw_sql("CREATE TABLE readings (id INTEGER PRIMARY KEY, site INTEGER, kwh REAL);
/// #     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
/// #     INSERT INTO readings SELECT i, i % 1000, i FROM n").execute(&mut *conn).await?; drop(conn);
/// let mut values = sqlx::sqlite::SqliteArguments::default();
/// sqlx::Arguments::add(&mut values, 42).map_err(|error| error.to_string())?;
/// let advice = Advisor::new(gate).advise("SELECT sum(kwh) FROM readings WHERE site = ?", Some(values)).await?;
/// assert!(matches!(advice[0].verdict, IndexVerdict::Helps { .. }), "{advice:?}");
/// assert_eq!(advice[0].statement, r#"CREATE INDEX ON "readings" ("site")"#.replace("INDEX ON", r#"INDEX "readings_site_idx" ON"#));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Advisor<P> {
    pool: P,
    limits: AdviceLimits,
}

impl<P, C> Advisor<P>
where
    P: ConnectionPool<Conn = C>,
    C: IsConnection,
    C::Database: TryIndex,
{
    /// An advisor that tries indices in the database of `pool`.
    #[must_use]
    pub fn new(pool: P) -> Self {
        Self { pool, limits: AdviceLimits::default() }
    }

    /// The same within other limits.
    #[must_use]
    pub fn within(self, limits: AdviceLimits) -> Self {
        Self { limits: AdviceLimits { lock: limits.lock.min(LONGEST_LOCK), ..limits }, ..self }
    }

    /// Tries what might help `sql`; the best first, those that do not help after it. `values` are those of an execution; without them
    /// PostgreSQL is asked for any, and SQLite, which knows no costs, cannot say.
    ///
    /// # Errors
    /// The pool's or the database's refusal.
    ///
    /// # Cancel safety
    /// Dropped, the connection is closed and the trial with it.
    pub async fn advise(
        &self,
        sql: &str,
        values: Option<<C::Database as Database>::Arguments>,
    ) -> Result<Vec<IndexAdvice>, Cause> {
        let mut guard = self.lent().await?;
        let advised = C::Database::advise(&mut guard, sql, values, &self.limits).await;
        if advised.is_ok() {
            guard.mark_whole();
        }
        let mut advice = advised?;
        advice.sort_by(|one, other| one.gain().total_cmp(&other.gain()));
        Ok(advice)
    }

    /// Indices that cost writes and that nobody needs, by the database's own statistics. Look before you drop one.
    ///
    /// # Errors
    /// The pool's or the database's refusal.
    pub async fn idle_indices(&self) -> Result<Vec<IdleIndex>, Cause> {
        let mut guard = self.lent().await?;
        let idle = C::Database::idle(&mut guard).await;
        if idle.is_ok() {
            guard.mark_whole();
        }
        idle
    }

    async fn lent(&self) -> Result<crate::pool::Guard<C>, Cause> {
        let mut guard = self
            .pool
            .acquire(Acquire::lane(Lane::Background))
            .await
            .map_err(|error: PoolError| error.to_cause())?;
        guard.mark_broken(); // until every trial is rolled back
        Ok(guard)
    }
}

impl IndexAdvice {
    /// Cost with it over cost without it: the smaller the better.
    fn gain(&self) -> f64 {
        match self.verdict {
            IndexVerdict::Helps { before, after, .. } => after / before.max(f64::MIN_POSITIVE),
            IndexVerdict::NoHelp => 2.0,
            IndexVerdict::Inconclusive(_) => 1.5,
        }
    }
}

impl fmt::Display for IndexAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            IndexVerdict::Helps { before, after, .. } => write!(
                f,
                "{:.0} times cheaper with: {}",
                before / after.max(f64::MIN_POSITIVE),
                self.statement
            ),
            IndexVerdict::NoHelp => write!(f, "no help: {}", self.statement),
            IndexVerdict::Inconclusive(why) => write!(f, "not known ({why}): {}", self.statement),
        }
    }
}

/// How much cheaper a statement must be for an index to help.
const AT_LEAST: f64 = 2.0;

/// Why a name cannot be written.
fn refused(error: crate::ConfigError) -> Cause {
    Cause::new(crate::Class::Schema, error.to_string())
}

/// `"s"."t"`, or `"t"`.
fn quoted_name(schema: Option<&str>, table: &str) -> Result<String, Cause> {
    let table = Ident::new(table).map_err(refused)?;
    match schema {
        Some(schema) => Ok(format!("{}.{table}", Ident::new(schema).map_err(refused)?)),
        None => Ok(table.to_string()),
    }
}

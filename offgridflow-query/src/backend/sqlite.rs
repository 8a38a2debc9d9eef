//! SQLite: one writer at a time, BEGIN IMMEDIATE, multi-row blocks of 2^k rows.

use crate::backend::{built, driver_cause};
use crate::calendar::{date_text, timestamp_text};
use crate::chunk::{Slice, Value};
use crate::delivery::{LedgerEntry, ledger_insert_sql};
use crate::error::{Cause, Class, ConfigError};
use crate::executor::{BatchConnection, Limits};
use crate::gate::{Gate, GateConfig, GateDatabase};
use crate::shape::{Conflict, Kind, Shape};
use crate::strategy::{Prepared, Strategy};
use crate::transaction::Transact;
use crate::turn::Turns;
use crate::write::{Ending, WriteError, WritePlan, Wrote};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Arguments, Executor, Row as _, Sqlite, SqliteConnection};
use std::str::FromStr;
use std::time::Duration;

const MAX_BLOCK_ROWS: usize = 1_024;
/// Preparing gets slower than linear above this, long before SQLite's limit of 32 766.
const MAX_BLOCK_PARAMETERS: usize = 8_192;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A [`Gate`] over SQLite.
pub type SqliteGate = Gate<Sqlite>;

impl Gate<Sqlite> {
    /// A gate from a `sqlite:` address, set up for many readers beside one writer: WAL, synchronous FULL (an
    /// acknowledged commit survives loss of power), foreign keys on, a busy time-out of 5 s, the file created if
    /// it is missing.
    ///
    /// An in-memory database lives in one connection, so it gets exactly one, for ever.
    ///
    /// # Errors
    /// [`ConfigError::Address`] for an address sqlx cannot read, [`ConfigError::Setting`] for sizes that cannot work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn from_url(url: &str, config: GateConfig) -> Result<Self, ConfigError> {
        let options =
            SqliteConnectOptions::from_str(url).map_err(|e| ConfigError::Address { why: e.to_string() })?;
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let options = options.foreign_keys(true).busy_timeout(BUSY_TIMEOUT);
        if in_memory {
            let config =
                GateConfig { max_open: 1, max_idle: 1, max_lifetime: None, reserve: Some(0), ..config };
            return Self::open(options, config);
        }
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        Self::open(options, config)
    }
}

impl GateDatabase for Sqlite {
    fn cause(error: &sqlx::Error) -> Cause {
        let Some(error) = error.as_database_error() else { return driver_cause(error) };
        let code: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(1);
        Cause::new(class_of(code), error.message()).with_code(code.to_string())
    }
}

/// SQLite's extended result codes (<https://www.sqlite.org/rescode.html>).
fn class_of(code: i32) -> Class {
    match code {
        2067 | 1555 | 2579 => Class::Unique,
        787 => Class::ForeignKey,
        1299 => Class::NotNull,
        275 => Class::Check,
        1811 | 1043 => Class::Raised, // RAISE in a trigger, an error from a function
        3091 | 20 => Class::Data,     // a STRICT table's type, datatype mismatch
        18 => Class::TooLarge,
        _ => match code & 0xff {
            5 | 6 => Class::Contention,
            7 | 13 => Class::Resource,
            8 => Class::ReadOnly,
            9 => Class::Cancelled,
            10 | 11 | 14 | 26 => Class::Connection, // I/O, corrupt, cannot open, not a database
            23 => Class::Permission,
            1 | 17 => Class::Schema,
            19 => Class::Check,
            _ => Class::Other,
        },
    }
}

fn failed(error: &sqlx::Error) -> WriteError {
    WriteError::failed(Sqlite::cause(error))
}

impl Transact for SqliteConnection {
    async fn begin(&mut self) -> Result<(), Cause> {
        self.execute("BEGIN IMMEDIATE").await.map(drop).map_err(|e| Sqlite::cause(&e))
    }

    async fn commit(&mut self) -> Result<(), Cause> {
        self.execute("COMMIT").await.map(drop).map_err(|e| Sqlite::cause(&e))
    }

    async fn rollback(&mut self) -> Result<(), Cause> {
        self.execute("ROLLBACK").await.map(drop).map_err(|e| Sqlite::cause(&e))
    }
}

impl BatchConnection for SqliteConnection {
    const DATABASE: &'static str = "sqlite";

    fn limits(shape: &Shape) -> Limits {
        Limits {
            max_columns: 2_000,
            max_name_bytes: 1 << 20,
            max_bytes: 1 << 30,
            statement_rows: block_rows(shape.columns().len()),
        }
    }

    /// Where the file has one writer at a time, those of this process queue up instead of polling.
    async fn prepare(&mut self, shape: &Shape, _: &WritePlan) -> Result<Prepared, WriteError> {
        let mut prepared = Prepared::new([Strategy::Blocks]);
        let schema = shape.schema().unwrap_or("main");
        for row in self.fetch_all("PRAGMA database_list").await.map_err(|e| failed(&e))? {
            let text = |at: usize| row.try_get::<Option<String>, _>(at).ok().flatten();
            if text(1).as_deref() == Some(schema) {
                prepared.turns = text(2).filter(|path| !path.is_empty()).map(|path| Turns::of(&path));
            }
        }
        Ok(prepared)
    }

    async fn write(&mut self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let Some(first) = parts.first() else { return Ok(Wrote::default()) };
        let statement = Statement::new(first.shape(), &plan.conflict)?;
        let _turn = match &plan.prepared.turns {
            Some(turns) => turns.take().await,
            None => None,
        };
        let millis = plan.lock_timeout.as_millis().min(i32::MAX as u128);
        let busy = built(format!("PRAGMA busy_timeout = {millis}"));
        self.execute(busy).await.map_err(|e| failed(&e))?;
        self.begin().await.map_err(WriteError::failed)?;
        match insert_all(self, &statement, parts, plan.ledger.as_ref()).await {
            Ok(wrote) if plan.ending == Ending::Commit => commit(self).await.map(|()| wrote),
            result => {
                // Where the rollback itself fails the connection is in doubt, and says so.
                self.rollback().await.map_err(|cause| {
                    WriteError::failed(Cause::new(
                        Class::Connection,
                        format!("cannot roll back: {}", cause.message()),
                    ))
                })?;
                result
            }
        }
    }
}

/// Commits; BUSY leaves the transaction open, so it is asked again, as long as the busy handler allows each time.
async fn commit(conn: &mut SqliteConnection) -> Result<(), WriteError> {
    const ATTEMPTS: usize = 3;
    for attempt in 1.. {
        let Err(cause) = conn.commit().await else { return Ok(()) };
        match cause.class() {
            Class::Contention if attempt < ATTEMPTS => {}
            Class::Connection => return Err(WriteError::commit_unknown(cause)),
            _ => {
                // A deferred foreign key, or a full disk: the transaction is still open, or SQLite rolled it back.
                let _ = conn.rollback().await;
                return Err(WriteError::failed(cause));
            }
        }
    }
    unreachable!("the loop ends by returning")
}

/// The largest power of two that respects both limits.
fn block_rows(columns: usize) -> usize {
    let fit = (MAX_BLOCK_PARAMETERS / columns.max(1)).clamp(1, MAX_BLOCK_ROWS);
    1 << fit.ilog2()
}

/// The text of the INSERT around its VALUES.
struct Statement {
    head: String,
    tuple: String,
    tail: String,
    block: usize,
}

impl Statement {
    fn new(shape: &Shape, conflict: &Conflict) -> Result<Self, WriteError> {
        let refuse = |error: ConfigError| WriteError::failed(Cause::new(Class::Schema, error.to_string()));
        let columns = shape.column_list().map_err(refuse)?;
        let marks = vec!["?"; shape.columns().len()].join(", ");
        Ok(Self {
            head: format!("INSERT INTO {} ({columns}) VALUES ", shape.target().map_err(refuse)?),
            tuple: format!("({marks})"),
            tail: conflict.clause(shape).map_err(refuse)?,
            block: block_rows(shape.columns().len()),
        })
    }

    fn text(&self, rows: usize) -> String {
        let mut sql =
            String::with_capacity(self.head.len() + self.tail.len() + rows * (self.tuple.len() + 2));
        sql.push_str(&self.head);
        for row in 0..rows {
            sql.push_str(if row == 0 { "" } else { ", " });
            sql.push_str(&self.tuple);
        }
        sql.push_str(&self.tail);
        sql
    }
}

/// Inserts every part by blocks; the rest of a part goes as ever smaller powers of two, so that a shape needs at
/// most eleven statement texts.
async fn insert_all(
    conn: &mut SqliteConnection,
    statement: &Statement,
    parts: &[Slice<'_>],
    ledger: Option<&LedgerEntry>,
) -> Result<Wrote, WriteError> {
    if let Some(entry) = ledger
        && !enter(conn, entry).await?
    {
        return Ok(Wrote::replay());
    }
    let (mut wrote, mut offset) = (Wrote::default().by(Strategy::Blocks), 0);
    for part in parts {
        let mut done = 0;
        while done < part.len() {
            let left = part.len() - done;
            let rows = statement.block.min(1 << left.ilog2());
            let block = part.narrow(done..done + rows);
            let skipped = insert_block(conn, statement, &block, offset + done).await?;
            wrote.skipped.extend(skipped.into_iter().map(|row| offset + done + row));
            wrote.statements += 1;
            done += rows;
        }
        offset += part.len();
    }
    Ok(wrote)
}

/// Takes the batch's place in the ledger; false if it is there already.
async fn enter(conn: &mut SqliteConnection, entry: &LedgerEntry) -> Result<bool, WriteError> {
    let sql = ledger_insert_sql(&entry.table)
        .map_err(|error| WriteError::failed(Cause::new(Class::Schema, error.to_string())))?;
    let rows = i64::try_from(entry.rows).unwrap_or(i64::MAX);
    let query = sqlx::query(built(sql)).bind(entry.batch.clone()).bind(rows);
    Ok(query.execute(conn).await.map_err(|e| failed(&e))?.rows_affected() == 1)
}

/// Inserts one block and returns the rows it skipped. If the count tells that some were, the block is taken back and
/// inserted row by row, which names them; savepoints are cheap here.
async fn insert_block(
    conn: &mut SqliteConnection,
    statement: &Statement,
    block: &Slice<'_>,
    offset: usize,
) -> Result<Vec<usize>, WriteError> {
    let rows = block.len();
    if rows == 1 {
        let stored = insert_rows(conn, statement, block, offset).await?;
        return Ok(if stored == 0 { vec![0] } else { Vec::new() });
    }
    conn.execute("SAVEPOINT block").await.map_err(|e| failed(&e))?;
    let stored = insert_rows(conn, statement, block, offset).await?;
    let mut skipped = Vec::new();
    if stored == 0 {
        skipped.extend(0..rows);
    } else if stored < rows as u64 {
        conn.execute("ROLLBACK TO block").await.map_err(|e| failed(&e))?;
        for row in 0..rows {
            if insert_rows(conn, statement, &block.narrow(row..row + 1), offset + row).await? == 0 {
                skipped.push(row);
            }
        }
    }
    conn.execute("RELEASE block").await.map_err(|e| failed(&e))?;
    Ok(skipped)
}

/// Runs one INSERT and returns how many rows it stored.
async fn insert_rows(
    conn: &mut SqliteConnection,
    statement: &Statement,
    block: &Slice<'_>,
    offset: usize,
) -> Result<u64, WriteError> {
    let columns = block.shape().columns();
    let mut arguments = SqliteArguments::default();
    arguments.reserve(block.len() * columns.len(), 0);
    for row in 0..block.len() {
        for (column, what) in columns.iter().enumerate() {
            bind(&mut arguments, block.value(row, column), what.kind())
                .map_err(|cause| WriteError::Failed { row: Some(offset + row), cause })?;
        }
    }
    let sql = built(statement.text(block.len()));
    let done = sqlx::query_with(sql, arguments).execute(conn).await.map_err(|e| failed(&e))?;
    Ok(done.rows_affected())
}

fn bind(arguments: &mut SqliteArguments, value: Value<'_>, kind: Kind) -> Result<(), Cause> {
    let bound = match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Bool(v) => arguments.add(v),
        Value::Int2(v) => arguments.add(i32::from(v)),
        Value::Int4(v) => arguments.add(v),
        Value::Int8(v) => arguments.add(v),
        Value::Float4(v) if v.is_nan() => return Err(Cause::new(Class::Data, "SQLite has no NaN")),
        Value::Float4(v) => arguments.add(f64::from(v)),
        Value::Float8(v) if v.is_nan() => return Err(Cause::new(Class::Data, "SQLite has no NaN")),
        Value::Float8(v) => arguments.add(v),
        Value::Text(v) => arguments.add(v.to_owned()),
        Value::Bytes(v) => arguments.add(v.to_vec()),
        Value::Uuid(v) => arguments.add(v.to_vec()),
        Value::Micros(v) => arguments.add(timestamp_text(v, kind == Kind::TimestampTz)),
        Value::Days(v) => arguments.add(date_text(v)),
    };
    bound.map_err(|error| Cause::new(Class::Encoding, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_powers_of_two_within_both_limits() {
        assert_eq!(block_rows(1), 1_024);
        assert_eq!(block_rows(8), 1_024);
        assert_eq!(block_rows(9), 512);
        assert_eq!(block_rows(2_000), 4);
        for columns in 1..=2_000 {
            assert!(block_rows(columns) * columns <= MAX_BLOCK_PARAMETERS.max(columns));
        }
    }
}

//! SQLite: one writer at a time, BEGIN IMMEDIATE, multi-row blocks of 2^k rows.

mod address;
mod blocks;
pub(crate) mod busy;
mod catalog;

use crate::backend::{built, driver_cause};
use crate::chunk::Slice;
use crate::delivery::{LedgerEntry, ledger_refusal};
use crate::error::{Cause, Class, ConfigError};
use crate::executor::{BatchConnection, Limits};
use crate::gate::{Gate, GateDatabase};
use crate::shape::{Conflict, Shape};
use crate::strategy::Prepared;
use crate::transaction::Transact;
use crate::turn::Turns;
use crate::write::{Ending, WriteError, WritePlan, Wrote};
use blocks::Blocks;
use sqlx::sqlite::{SqliteConnectOptions, SqliteQueryResult};
use sqlx::{Executor, Pool, Row as _, Sqlite, SqliteConnection};

/// SQLITE_ERROR: a statement that cannot be, or what a function says of a value.
const ERROR: i32 = 1;
/// How messages begin that say of a statement that it cannot be, whatever its rows are. SQLite has no codes for that.
const UNPLANNABLE: [&str; 19] = [
    "no such ",
    "near ",
    "table ",
    "unrecognized token",
    "incomplete input",
    "cannot modify",
    "cannot UPSERT",
    "cannot INSERT",
    "UPSERT not implemented",
    "foreign key mismatch",
    "ON CONFLICT clause",
    "too many ",
    "all VALUES",
    "ambiguous column",
    "wrong number of arguments",
    "unknown ",
    "unsafe use of",
    "malformed database schema",
    "duplicate column",
];
/// How one begins that sounds like them, and is about a row.
const RECURSION: &str = "too many levels";
/// SQLITE_CANTOPEN.
const CANNOT_OPEN: &str = "14";
/// SQLITE_CONSTRAINT_COMMITHOOK.
const REFUSED_BY_HOOK: &str = "531";

/// A [`Gate`] over SQLite.
pub type SqliteGate = Gate<Sqlite>;

impl GateDatabase for Sqlite {
    fn changed(result: &SqliteQueryResult) -> u64 {
        result.rows_affected()
    }

    fn lives_in_connection(options: &SqliteConnectOptions) -> bool {
        address::is_in_memory(options)
    }

    fn cause(error: &sqlx::Error) -> Cause {
        let Some(error) = error.as_database_error() else { return driver_cause(error) };
        let code: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(ERROR);
        let cause = Cause::new(class_of(code), error.message()).with_code(code.to_string());
        let says = |begins: &str| error.message().starts_with(begins);
        let planned = code != ERROR || UNPLANNABLE.into_iter().any(says) && !says(RECURSION);
        if planned { cause } else { cause.amid_rows() }
    }

    fn unreached(pool: &Pool<Self>, error: &sqlx::Error) -> Cause {
        let (cause, options) = (Self::cause(error), pool.connect_options());
        let path = options.get_filename();
        let missing = cause.code() == Some(CANNOT_OPEN) && !path.exists();
        let cause = if missing { cause.into_class(Class::Schema) } else { cause }; // which waiting does not mend
        cause.at(path.display())
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
            10 | 14 => Class::Connection, // I/O, cannot open; a corrupt file (11) or none of SQLite's (26) does not get better
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

    /// Where SQLite has rolled back by itself (RAISE(ROLLBACK), ON CONFLICT ROLLBACK, a full disk) nothing is left to undo.
    async fn rollback(&mut self) -> Result<(), Cause> {
        match self.execute("ROLLBACK").await.map_err(|e| Sqlite::cause(&e)) {
            Err(cause) if !cause.message().contains("no transaction is active") => Err(cause),
            _ => Ok(()),
        }
    }
}

impl BatchConnection for SqliteConnection {
    const DATABASE: &'static str = "sqlite";

    fn limits(shape: &Shape) -> Limits {
        Limits {
            max_columns: 2_000,
            max_name_bytes: 1 << 20,
            max_bytes: 1 << 30,
            statement_rows: blocks::rows(shape.columns().len()),
            arrays: false,
            ignores_case: true,
        }
    }

    /// Where the file has one writer at a time, those of this process queue up instead of polling.
    async fn prepare(&mut self, shape: &Shape, _: &WritePlan) -> Result<Prepared, WriteError> {
        let mut prepared = catalog::prepare(self, shape).await?;
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
        let _turn = match &plan.prepared.turns {
            Some(turns) => turns.take().await,
            None => None,
        };
        let usual = busy::wait(self, plan.lock_timeout).await.map_err(|e| failed(&e))?;
        let result = write(self, parts, plan, first.shape()).await;
        let _ = usual.restore(self).await; // fails where the connection is gone, which changes nothing about the rows
        result
    }
}

async fn write(
    conn: &mut SqliteConnection,
    parts: &[Slice<'_>],
    plan: &WritePlan,
    shape: &Shape,
) -> Result<Wrote, WriteError> {
    let mut blocks = Blocks::new(shape, &plan.conflict)?;
    if let Some(wrote) = attempt(conn, &mut blocks, parts, plan).await? {
        return Ok(wrote);
    }
    // A trigger dropped rows, and a count cannot say which: once more, with blocks that can be taken back.
    blocks.guard();
    let again = attempt(conn, &mut blocks, parts, plan).await?;
    Ok(again.expect("guarded blocks name what they skip"))
}

/// One transaction; `None`, and nothing stored, if rows were skipped and nobody can say which.
async fn attempt(
    conn: &mut SqliteConnection,
    blocks: &mut Blocks,
    parts: &[Slice<'_>],
    plan: &WritePlan,
) -> Result<Option<Wrote>, WriteError> {
    conn.begin().await.map_err(WriteError::failed)?;
    let shape = parts.first().map(Slice::shape).filter(|_| plan.conflict != Conflict::Error);
    if let Some(shape) = shape
        && let Err(error) = catalog::unchanged(conn, shape, &plan.prepared).await
    {
        return undo(conn, Err(error)).await;
    }
    let result = match &plan.ledger {
        Some(entry) => match enter(conn, entry).await {
            Ok(true) => blocks.insert(conn, parts).await,
            Ok(false) => Ok(Some(Wrote::replay())),
            Err(error) => Err(error),
        },
        None => blocks.insert(conn, parts).await,
    };
    match result {
        Ok(Some(wrote)) if plan.ending == Ending::Commit => commit(conn).await.map(|()| Some(wrote)),
        Ok(Some(wrote)) => rehearse(conn).await.map(|()| Some(wrote)),
        result => undo(conn, result).await,
    }
}

/// Rolls back. Where that fails the connection is in doubt, and says so behind the first error.
async fn undo<T>(conn: &mut SqliteConnection, result: Result<T, WriteError>) -> Result<T, WriteError> {
    let Err(cause) = conn.rollback().await else { return result };
    let first = result.as_ref().err().map(|error| format!("{}; ", error.cause().message()));
    let what = format!("{}cannot roll back: {}", first.unwrap_or_default(), cause.message());
    Err(WriteError::failed(Cause::new(Class::Connection, what)))
}

/// Checks what COMMIT checks, deferred foreign keys, and stores nothing: a COMMIT that a hook of the connection refuses.
/// SQLite asks the hook once the checks are done, and makes a ROLLBACK of a COMMIT that is refused.
async fn rehearse(conn: &mut SqliteConnection) -> Result<(), WriteError> {
    conn.lock_handle().await.map_err(|e| failed(&e))?.set_commit_hook(|| false);
    let end = conn.commit().await;
    conn.lock_handle().await.map_err(|e| failed(&e))?.remove_commit_hook();
    match end {
        Err(cause) if cause.code() == Some(REFUSED_BY_HOOK) => undo(conn, Ok(())).await,
        Err(cause) => undo(conn, Err(WriteError::failed(cause))).await,
        // A transaction that wrote nothing has nothing to ask the hook about.
        Ok(()) => Ok(()),
    }
}

/// Takes the batch's place in the ledger; false if it is there already.
async fn enter(conn: &mut SqliteConnection, entry: &LedgerEntry) -> Result<bool, WriteError> {
    let unbuildable = |error: ConfigError| WriteError::failed(Cause::new(Class::Schema, error.to_string()));
    let refusal = |error| WriteError::failed(ledger_refusal(entry, Sqlite::cause(&error)));
    let rows = i64::try_from(entry.rows).unwrap_or(i64::MAX);
    let insert = sqlx::query(built(entry.insert_sql().map_err(unbuildable)?));
    let taken = insert.bind(entry.batch.clone()).bind(rows).execute(&mut *conn).await.map_err(refusal)?;
    if taken.rows_affected() == 1 {
        return Ok(true);
    }
    let select = sqlx::query(built(entry.select_sql().map_err(unbuildable)?)).bind(entry.batch.clone());
    match select.fetch_optional(conn).await.map_err(refusal)? {
        Some(_) => Ok(false),
        None => Err(WriteError::failed(ledger_refusal(entry, entry.neither()))),
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

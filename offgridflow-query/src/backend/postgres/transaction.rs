//! Transactions: the user's ([`Tx`](crate::Tx)) and the writer's.

use super::ends::{ENDS, Ends};
use super::errors::{changed, failed, unbuildable};
use super::insert::Insert;
use super::{nodelay, settle};
use crate::backend::built;
use crate::chunk::Slice;
use crate::delivery::{LedgerEntry, TxToken, ledger_refusal};
use crate::error::{Cause, Class};
use crate::gate::GateDatabase;
use crate::transaction::Transact;
use crate::write::{Ending, WriteError, WritePlan, Wrote};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{Executor, PgConnection, Postgres};
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// How long the server keeps a transaction whose link went silent; so long may a lost COMMIT stay in progress.
const IDLE_TIMEOUT_MILLIS: u32 = 10_000;

impl Transact for PgConnection {
    async fn begin(&mut self) -> Result<(), Cause> {
        self.execute(sqlx::raw_sql("BEGIN")).await.map(drop).map_err(|e| Postgres::cause(&e))
    }

    async fn commit(&mut self) -> Result<(), Cause> {
        // COMMIT alone answers "fine" to a transaction that a failed statement has aborted; SELECT refuses there.
        // Its row is also how an answer out of step (a dropped COPY) is told from ours.
        match self.fetch_all(sqlx::raw_sql("SELECT 1; COMMIT")).await {
            Ok(rows) if rows.len() == 1 => Ok(()),
            Ok(_) => Err(Cause::new(Class::Connection, "the link answers out of step; COMMIT was sent")),
            Err(error) => {
                let cause = Postgres::cause(&error);
                if cause.class() != Class::Connection {
                    self.rollback().await?;
                }
                Err(cause)
            }
        }
    }

    async fn rollback(&mut self) -> Result<(), Cause> {
        self.execute(sqlx::raw_sql("ROLLBACK")).await.map(drop).map_err(|e| Postgres::cause(&e))
    }
}

/// An open transaction in which nothing has failed. A failing statement consumes it, so that what is left can only
/// be rolled back: the type has no way from an error to COMMIT.
pub(super) struct Clean<'c> {
    conn: &'c mut PgConnection,
    token: Option<TxToken>,
    limit: Duration,         // for each answer
    direct: bool,            // nobody stands between, who might lend the session to others
    check: Option<Box<str>>, // what must hold when it ends
}

impl<'c> Clean<'c> {
    pub(super) async fn begin(conn: &'c mut PgConnection, plan: &WritePlan) -> Result<Self, WriteError> {
        let lock = lock_millis(plan);
        let server = plan.prepared.server.as_ref().filter(|_| plan.ending == Ending::Commit);
        let token = if server.is_some() { settle::TOKEN } else { settle::NO_TOKEN };
        let sql = format!(
            "BEGIN; SET LOCAL lock_timeout = {lock}; SET LOCAL array_nulls = on; SET LOCAL client_encoding = 'UTF8'; \
             SET LOCAL idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MILLIS}; \
             SELECT {ENDS} AS ends, {token}"
        );
        let limit = plan.answer_timeout;
        match answered(limit, conn.fetch_one(sqlx::raw_sql(built(sql)))).await {
            Ok(answer) => {
                let direct = Ends::of(&answer).is_none_or(|ends| nodelay::ensure_own(&ends));
                let token = server.and_then(|server| settle::token_of(&answer, server));
                Ok(Self { conn, token, limit, direct, check: None })
            }
            Err(error) => Err(undo(conn, failed(&error), limit).await),
        }
    }

    /// Takes the batch's place in the ledger; false if it is there already.
    pub(super) async fn enter(self, entry: &LedgerEntry) -> Result<(Self, bool), WriteError> {
        let sql = entry.insert_sql().map_err(unbuildable)?;
        let rows = i64::try_from(entry.rows).unwrap_or(i64::MAX);
        let query = sqlx::query(built(sql)).bind(entry.batch.clone()).bind(rows).persistent(false);
        match answered(self.limit, query.execute(&mut *self.conn)).await {
            Ok(done) if done.rows_affected() > 0 => Ok((self, true)),
            Ok(_) => self.find(entry).await.map(|clean| (clean, false)),
            Err(error) => Err(self.refused_by_ledger(entry, Postgres::cause(&error)).await),
        }
    }

    /// Makes sure that a batch which the ledger did not take is there: a trigger may have dropped its row.
    async fn find(self, entry: &LedgerEntry) -> Result<Self, WriteError> {
        let sql = entry.select_sql().map_err(unbuildable)?;
        let query = sqlx::query(built(sql)).bind(entry.batch.clone()).persistent(false);
        match answered(self.limit, query.fetch_optional(&mut *self.conn)).await {
            Ok(Some(_)) => Ok(self),
            Ok(None) => Err(self.refused_by_ledger(entry, entry.neither()).await),
            Err(error) => Err(self.refused_by_ledger(entry, Postgres::cause(&error)).await),
        }
    }

    async fn refused_by_ledger(self, entry: &LedgerEntry, cause: Cause) -> WriteError {
        undo(self.conn, WriteError::failed(ledger_refusal(entry, cause)), self.limit).await
    }

    pub(super) async fn insert(
        mut self,
        insert: &Insert,
        slice: &Slice<'_>,
        plan: &WritePlan,
        part: usize,
    ) -> Result<(Self, Option<Vec<usize>>), WriteError> {
        let limit = self.limit.saturating_add(load_time(slice));
        let inserted = match timeout(limit, insert.run(self.conn, slice, plan, part, self.direct)).await {
            Ok(inserted) => inserted,
            Err(_) => Err(failed(&silent(limit))),
        };
        match inserted {
            Ok(skipped) => {
                self.check.clone_from(&plan.prepared.unchanged);
                Ok((self, skipped))
            }
            Err(error) => Err(undo(self.conn, error, self.limit).await),
        }
    }

    pub(super) async fn rollback(self) -> Result<(), WriteError> {
        match timeout(self.limit, self.conn.rollback()).await {
            Ok(end) => end.map_err(in_doubt),
            Err(_) => Err(failed(&silent(self.limit))),
        }
    }

    /// Checks what COMMIT would check, then rolls back.
    pub(super) async fn rehearse(self) -> Result<(), WriteError> {
        let end = self.conn.execute(sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK"));
        match answered(self.limit, end).await {
            Ok(_) => Ok(()),
            Err(error) => Err(undo(self.conn, failed(&error), self.limit).await),
        }
    }

    /// An ERROR at COMMIT means that the server aborted, unless its class speaks of the server's own trouble; a link that is
    /// lost, or silent for too long, means that nobody knows.
    pub(super) async fn commit(self, wrote: Wrote) -> Result<Wrote, WriteError> {
        // By now COPY holds its lock, so that what the check sees is what COPY met.
        let sql = self.check.map_or_else(|| "COMMIT".to_owned(), |check| format!("{check}; COMMIT"));
        let commit = self.conn.execute(sqlx::raw_sql(built(sql)));
        let Err(error) = answered(self.limit, commit).await else { return Ok(wrote) };
        if let Some(changed) = changed(&error) {
            return Err(undo(self.conn, changed, self.limit).await);
        }
        let failure = failed(&error);
        if aborts(&error) {
            // Where it was the check that failed, the transaction is still open.
            return Err(undo(self.conn, failure, self.limit).await);
        }
        let cause = failure.cause().clone();
        drop(undo(self.conn, failure, self.limit).await); // one that is still open is over then, and can be asked about
        Err(WriteError::CommitUnknown { cause, token: self.token.map(Box::new), wrote: Box::new(wrote) })
    }
}

/// What `lock_timeout` takes: zero would be for ever.
fn lock_millis(plan: &WritePlan) -> u128 {
    plan.lock_timeout.as_millis().clamp(1, i32::MAX as u128)
}

/// Looks outside a transaction with rows whether the table is what it was. Waits for locks as a write does.
pub(super) async fn check(conn: &mut PgConnection, check: &str, plan: &WritePlan) -> Result<(), WriteError> {
    let lock = lock_millis(plan);
    let sql = format!("BEGIN; SET LOCAL lock_timeout = {lock}; {check}; ROLLBACK");
    let Err(error) = answered(plan.answer_timeout, conn.execute(sqlx::raw_sql(built(sql)))).await else {
        return Ok(());
    };
    let error = changed(&error).unwrap_or_else(|| failed(&error));
    Err(undo(conn, error, plan.answer_timeout).await)
}

/// Whether an answer to COMMIT says that nothing is stored. What ends the session (FATAL), and what a pooler or a server in
/// trouble says in the server's place, does not; what has a context does, for that is a trigger's function.
fn aborts(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| {
        let trouble = matches!(error.code().get(..2), Some("08" | "53" | "57" | "58" | "F0" | "XX"));
        let known = !trouble && error.code() != "40003";
        let triggers = error.r#where().is_some();
        error.severity() == PgSeverity::Error && (known || triggers || error.code() == "57014")
    })
}

fn in_doubt(cause: Cause) -> WriteError {
    WriteError::failed(Cause::new(Class::Connection, format!("cannot roll back: {}", cause.message())))
}

/// What a statement has more for the rows it carries: a millisecond each, and one for every 10 KiB, as a link of 80 Mbit/s needs.
fn load_time(slice: &Slice<'_>) -> Duration {
    Duration::from_millis((slice.len() + slice.bytes_at_most() / (10 << 10)) as u64)
}

/// Waits no longer than `limit`; what is late is a link that is lost.
pub(super) async fn answered<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(limit, answer).await.unwrap_or_else(|_| Err(silent(limit)))
}

fn silent(limit: Duration) -> sqlx::Error {
    let what = format!("no answer within {limit:?}");
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, what))
}

/// Rolls back after an error, and reports the error, or that the connection is in doubt.
async fn undo(conn: &mut PgConnection, error: WriteError, limit: Duration) -> WriteError {
    if error.broke_connection() {
        return error;
    }
    match timeout(limit, conn.rollback()).await {
        Ok(Ok(())) => error,
        Ok(Err(cause)) => in_doubt(cause),
        Err(_) => failed(&silent(limit)),
    }
}

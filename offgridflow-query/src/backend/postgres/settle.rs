//! What names a transaction, and what became of it.
//!
//! A transaction id says nothing without its server: a replica that was promoted, and a server that crashed before the id
//! reached its disk, hand the same id out again, and `pg_xact_status` then speaks of somebody else's transaction. So a
//! token holds the timeline and an identity of the server that changes with every start and every crash. Statistics are
//! reset by crash recovery, which is how a crash that the postmaster survived shows; whoever resets them by hand only makes
//! an answer unknown.

use super::errors::failed;
use super::transaction::answered;
use crate::backend::built;
use crate::delivery::{TxOutcome, TxToken};
use crate::error::{Cause, Class, Scope};
use crate::gate::GateDatabase;
use crate::write::WriteError;
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Postgres, Row as _};
use std::time::Duration;

/// Appended to BEGIN behind [`ENDS`](super::ends::ENDS): nothing for a token.
pub(super) const NO_TOKEN: &str = "NULL::text AS xid, NULL::text AS timeline, NULL::text AS started";

/// The transaction's id, the timeline being written, and the server's start. Assigns the id.
pub(super) const TOKEN: &str = "pg_current_xact_id()::text AS xid, \
     left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline, \
     extract(epoch FROM pg_postmaster_start_time())::text AS started";

/// Identity of the server: system, start, last crash. One place, so that it is compared like with like.
const SERVER: &str = "(SELECT system_identifier FROM pg_control_system())::text || '/' || \
     extract(epoch FROM pg_postmaster_start_time())::text || '/' || \
     coalesce((SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter)::text, '')";

/// The token of the transaction that `answer` came from, if it runs on the server that was looked up.
pub(super) fn token_of(answer: &PgRow, server: &str) -> Option<TxToken> {
    let text = |name| answer.try_get::<Option<String>, _>(name).ok().flatten();
    let (xid, timeline, started) = (text("xid")?, text("timeline")?, text("started")?);
    (server.split('/').nth(1) == Some(&started)).then(|| TxToken::new(server, &timeline, &xid))
}

/// The identity of the server; `None` where it is not to be had (a replica, a role without the right), for then no
/// lost COMMIT can be settled.
pub(super) async fn server(conn: &mut PgConnection) -> Result<Option<Box<str>>, sqlx::Error> {
    let sql = format!(
        "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END, {SERVER}"
    );
    match conn.fetch_one(sqlx::raw_sql(built(sql))).await {
        Ok(answer) if answer.try_get::<Option<String>, _>(0)?.is_none() => Ok(None),
        Ok(answer) => Ok(Some(answer.try_get::<String, _>(1)?.into())),
        Err(error) if is_answer(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the server has refused the question. A server that ends this connection, is short of something or cancels the
/// statement has not: another connection may get an answer, and the farewell of a connection that was ended while it was
/// idle is read as the answer to whatever is asked next.
fn is_answer(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some() && Postgres::cause(error).class().scope() != Scope::Transient
}

/// Asks in one message without values, so that a transaction pooler may stand in between.
pub(super) async fn outcome(conn: &mut PgConnection, token: &TxToken) -> Result<TxOutcome, Cause> {
    if token.xid.is_empty() || !token.xid.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(TxOutcome::Unknown);
    }
    let sql = format!(
        "SELECT {SERVER}, left(pg_walfile_name(pg_current_wal_lsn()), 8), pg_xact_status('{}'::xid8)",
        token.xid
    );
    let answer = match conn.fetch_one(sqlx::raw_sql(built(sql))).await {
        Ok(answer) => answer,
        Err(error) if is_answer(&error) => return Ok(TxOutcome::Unknown), // a replica, or an id of the future
        Err(error) => return Err(Postgres::cause(&error)),
    };
    let text = |at: usize| answer.try_get::<Option<String>, _>(at).ok().flatten().unwrap_or_default();
    if *text(0) != *token.server || *text(1) != *token.timeline {
        return Ok(TxOutcome::Unknown);
    }
    Ok(match text(2).as_str() {
        "committed" => TxOutcome::Committed,
        "aborted" => TxOutcome::Aborted,
        "in progress" => TxOutcome::InProgress,
        _ => TxOutcome::Unknown,
    })
}

/// Whether a refusal to write passes: the server is a standby, or was one when the transaction began and takes writes now.
const PASSES: &str = "SELECT pg_is_in_recovery() OR NOT current_setting('transaction_read_only')::bool";

/// A refusal to write, as it is; from a standby one that passes, for during a failover the address may lead to one that is
/// about to be promoted. Its connection is given up, as the next one may lead elsewhere.
pub(super) async fn unless_standby(
    conn: &mut PgConnection,
    refusal: WriteError,
    limit: Duration,
) -> WriteError {
    let answer = match answered(limit, conn.fetch_one(sqlx::raw_sql(PASSES))).await {
        Err(error) if error.as_database_error().is_none() => return failed(&error),
        answer => answer,
    };
    if !answer.and_then(|row| row.try_get(0)).unwrap_or(false) {
        return refusal;
    }
    if refusal.cause().is_strange() {
        // Raised amid rows, so a trigger may have made it up for one of them: if it does not pass, that one is looked for.
        return WriteError::failed(refusal.cause().clone().into_class(Class::Connection));
    }
    let cause = Cause::new(
        Class::Connection,
        "the server is a standby, or was one when the transaction began: it takes no writes until it is promoted",
    );
    WriteError::failed(cause.with_code(refusal.cause().code().unwrap_or_default()))
}

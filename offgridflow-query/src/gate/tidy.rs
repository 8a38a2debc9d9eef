//! What happens to a connection that comes back after it was used.

use sqlx::Database;
use std::future::Future;

/// A database whose sessions can be brought back to where anybody can use them.
///
/// A future that was dropped may have left a statement under way, or a transaction open that the driver knows nothing
/// of: sqlx 0.9.0 notes a BEGIN only once it was answered (transact-rs/sqlx#4385), and what its own pool does on
/// return, a ping, does not look at the session's state.
pub trait Tidy: Database {
    /// Waits for whatever is under way, and rolls back whatever is open. Whether there was something to roll back.
    ///
    /// An error means that the connection cannot be lent again. Costs one exchange with the database.
    fn tidy(conn: &mut Self::Connection) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;
}

#[cfg(feature = "postgres")]
impl Tidy for sqlx::Postgres {
    async fn tidy(conn: &mut sqlx::PgConnection) -> Result<bool, sqlx::Error> {
        use sqlx::Executor;
        /// Errors of dropped statements that may stand in the link before the answer to the probe.
        const LEFTOVERS: usize = 8;
        for _ in 0..=LEFTOVERS {
            match probe(conn).await? {
                Session::Clean => return Ok(false),
                Session::RolledBack => return Ok(true),
                Session::Aborted => return conn.execute("ROLLBACK").await.map(|_| true),
                Session::Unknown => {}
            }
        }
        Err(sqlx::Error::Protocol("more errors in the link than statements can have left there".into()))
    }
}

/// What a session of PostgreSQL was found in.
#[cfg(feature = "postgres")]
enum Session {
    Clean,
    /// A transaction, which is over now.
    RolledBack,
    /// A transaction in which a statement has failed.
    Aborted,
    /// The answer was meant for somebody who did not wait for it.
    Unknown,
}

/// Asks for the state of a session. The driver knows it after every statement, and tells it only as its verdict on one
/// that ought to begin a transaction.
#[cfg(feature = "postgres")]
async fn probe(conn: &mut sqlx::PgConnection) -> Result<Session, sqlx::Error> {
    use sqlx::{Connection, Error};
    /// Costs the server as little as an empty statement, writes nothing to its log, fails in an aborted transaction, and
    /// closes cursors that the holder declared WITH HOLD and forgot.
    const PROBE: &str = "CLOSE ALL";
    match conn.begin_with(PROBE).await {
        Err(Error::BeginFailed) => Ok(Session::Clean),
        Ok(open) => open.rollback().await.map(|()| Session::RolledBack),
        Err(Error::Database(error)) if error.code().as_deref() == Some("25P02") => Ok(Session::Aborted),
        Err(Error::Database(_)) => Ok(Session::Unknown),
        Err(error) => Err(error),
    }
}

#[cfg(feature = "sqlite")]
impl Tidy for sqlx::Sqlite {
    async fn tidy(conn: &mut sqlx::SqliteConnection) -> Result<bool, sqlx::Error> {
        use sqlx::{Connection, Error, Executor};
        /// SQLITE_ERROR, with the message that no transaction is active.
        const NOTHING_OPEN: &str = "1";
        let open = match conn.execute("ROLLBACK").await {
            Ok(_) => true,
            Err(Error::Database(error)) if error.code().as_deref() == Some(NOTHING_OPEN) => false,
            Err(error) => return Err(error),
        };
        if conn.is_in_transaction() {
            return Err(Error::Protocol("the driver counts a transaction that nobody can end".into()));
        }
        Ok(open)
    }
}

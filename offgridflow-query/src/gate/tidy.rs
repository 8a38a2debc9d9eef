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

    /// The same for a connection whose protocol was left half-way, and that is not closed because the database
    /// [lives in it](crate::GateDatabase::lives_in_connection).
    fn mend(conn: &mut Self::Connection) -> impl Future<Output = Result<bool, sqlx::Error>> + Send {
        Self::tidy(conn)
    }
}

#[cfg(feature = "postgres")]
impl Tidy for sqlx::Postgres {
    async fn tidy(conn: &mut sqlx::PgConnection) -> Result<bool, sqlx::Error> {
        use sqlx::Executor;
        /// Errors of dropped statements that may stand in the link before the answer to the probe.
        const LEFTOVERS: usize = 8;
        let mut rolled_back = false;
        for _ in 0..=LEFTOVERS {
            match probe(conn).await? {
                Session::Clean => return Ok(rolled_back),
                Session::Unknown => {}
                Session::Open | Session::Aborted => {
                    conn.execute("ROLLBACK").await?;
                    rolled_back = true; // and look again
                }
            }
        }
        Err(sqlx::Error::Protocol("more errors in the link than statements can have left there".into()))
    }
}

/// What a session of PostgreSQL was found in.
#[cfg(feature = "postgres")]
enum Session {
    Clean,
    /// Inside a transaction.
    Open,
    /// Inside a transaction in which a statement has failed.
    Aborted,
    /// The answer was an error meant for somebody who did not wait for it.
    Unknown,
}

/// Asks for the state of a session with a number that must come back.
///
/// A dropped COPY leaves answers in the link that the driver does not count: from then on every statement is given the
/// answer of the one before. Outside a transaction `now()` is the time of the statement itself, as it is one message.
#[cfg(feature = "postgres")]
async fn probe(conn: &mut sqlx::PgConnection) -> Result<Session, sqlx::Error> {
    use sqlx::{Error, Row};
    use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let number = i32::from(NEXT.fetch_add(1, Relaxed));
    let sql = format!("/* offgridflow gate */ SELECT {number}, now() <> statement_timestamp()");
    match sqlx::raw_sql(crate::backend::built(sql)).fetch_all(conn).await.as_deref() {
        Ok([row]) if row.try_get(0).is_ok_and(|came: i32| came == number) => {
            Ok(if row.try_get(1)? { Session::Open } else { Session::Clean })
        }
        Ok(_) => Err(Error::Protocol("the link answers out of step".into())),
        Err(Error::Database(error)) if error.code().as_deref() == Some("25P02") => Ok(Session::Aborted),
        Err(Error::Database(_)) => Ok(Session::Unknown),
        Err(_) => Err(Error::Protocol("the link broke".into())),
    }
}

#[cfg(feature = "sqlite")]
impl Tidy for sqlx::Sqlite {
    async fn tidy(conn: &mut sqlx::SqliteConnection) -> Result<bool, sqlx::Error> {
        use sqlx::{Connection, Error};
        /// The driver tells the state only as its verdict on a statement that ought to begin a transaction.
        const NOTHING: &str = "";
        match conn.begin_with(NOTHING).await {
            Err(Error::BeginFailed) => Ok(false),
            Ok(open) => open.rollback().await.map(|()| true),
            Err(error) => Err(error),
        }
    }
    /// A rehearsal that was cut short leaves a hook that refuses every COMMIT. A transaction of the driver's that the database has
    /// ended (RAISE(ROLLBACK)), or that was forgotten, is counted by the driver for ever: its later ones are savepoints, and each may
    /// leave the outermost open.
    async fn mend(conn: &mut sqlx::SqliteConnection) -> Result<bool, sqlx::Error> {
        use sqlx::{Error, Executor};
        conn.lock_handle().await?.remove_commit_hook();
        match Self::tidy(conn).await {
            Err(Error::InvalidSavePointStatement) => {}
            tidied => return tidied,
        }
        match conn.execute("ROLLBACK").await {
            Err(Error::Database(error)) if error.message().contains("no transaction is active") => Ok(false),
            rolled_back => rolled_back.map(|_| true),
        }
    }
}

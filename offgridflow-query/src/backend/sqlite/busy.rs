//! How long a connection waits for other people's locks: a setting of the connection, which is lent on.

use crate::backend::built;
use sqlx::{Executor, SqliteConnection};
use std::time::Duration;

/// The busy time-out that a connection had before.
#[must_use = "whoever gets the connection next counts on it"]
pub(crate) struct Usual(Option<i64>); // `None`: it is the same

/// Waits for locks as long as `patience`, from now on until [`Usual::restore`].
pub(crate) async fn wait(conn: &mut SqliteConnection, patience: Duration) -> Result<Usual, sqlx::Error> {
    let usual: i64 = sqlx::query_scalar("PRAGMA busy_timeout").fetch_one(&mut *conn).await?;
    let wanted = i64::from(i32::try_from(patience.as_millis()).unwrap_or(i32::MAX));
    if usual == wanted {
        return Ok(Usual(None));
    }
    set(conn, wanted).await?;
    Ok(Usual(Some(usual)))
}

impl Usual {
    /// Waits for locks as before.
    pub(crate) async fn restore(self, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        match self.0 {
            Some(usual) => set(conn, usual).await,
            None => Ok(()),
        }
    }
}

async fn set(conn: &mut SqliteConnection, ms: i64) -> Result<(), sqlx::Error> {
    conn.execute(sqlx::raw_sql(built(format!("PRAGMA busy_timeout = {ms}")))).await.map(drop)
}

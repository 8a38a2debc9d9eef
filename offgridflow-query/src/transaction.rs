//! Transactions that a dropped future cannot leave open.

use crate::error::Cause;
use crate::finish::Finish;
use crate::pool::Guard;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a dropped transaction may take to roll back, the end of the statement under way included.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that knows how to begin and end a transaction.
pub trait Transact: Send + 'static {
    /// Opens a transaction; on SQLite one that writes (BEGIN IMMEDIATE).
    fn begin(&mut self) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Makes it durable, and fails, having rolled back, if a statement of the transaction failed on a database
    /// that then stores nothing (PostgreSQL).
    fn commit(&mut self) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Undoes it.
    fn rollback(&mut self) -> impl Future<Output = Result<(), Cause>> + Send;
}

/// A transaction on a lent connection; derefs to the connection.
///
/// `sqlx`'s own `begin` can be cancelled between the server's BEGIN and the driver's note of it, and the pool then
/// lends a connection that is inside somebody else's transaction (sqlx 0.9.0, transact-rs/sqlx#4385). Here BEGIN,
/// COMMIT and ROLLBACK run to their end even if the caller goes away, and a connection in doubt is closed.
/// Dropping a `Tx` rolls back in the background, once the statement under way has ended; after 5 s the connection is
/// closed instead.
#[derive(Debug)]
#[must_use = "a dropped transaction is rolled back"]
pub struct Tx<C: Transact> {
    guard: Option<Guard<C>>, // `None` once ended; marked broken while the transaction is open
}

impl<C: Transact> Tx<C> {
    /// Begins a transaction on a connection that is in none.
    ///
    /// # Errors
    /// The database's refusal; the connection is then closed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves no transaction open and the pool whole.
    pub async fn begin(guard: Guard<C>) -> Result<Self, Cause> {
        Finish::new(async move {
            let mut guard = guard;
            guard.mark_broken();
            guard.begin().await?;
            Ok(Self { guard: Some(guard) })
        })
        .await
    }

    /// Makes the transaction durable and gives the connection back.
    ///
    /// # Errors
    /// The database's refusal. With [`Class::Connection`](crate::Class::Connection) the outcome is unknown; with any
    /// other class nothing was stored.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the COMMIT; only its answer is lost.
    pub async fn commit(mut self) -> Result<(), Cause> {
        let guard = self.guard.take();
        Finish::new(end(guard, true)).await
    }

    /// Undoes the transaction and gives the connection back.
    ///
    /// # Errors
    /// The database's refusal; the connection is then closed, which undoes the transaction as well.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the ROLLBACK.
    pub async fn rollback(mut self) -> Result<(), Cause> {
        let guard = self.guard.take();
        Finish::new(end(guard, false)).await
    }
}

async fn end<C: Transact>(guard: Option<Guard<C>>, keep: bool) -> Result<(), Cause> {
    let Some(mut guard) = guard else { return Ok(()) };
    if keep {
        guard.commit().await?;
        guard.mark_whole();
    } else {
        guard.rollback().await?;
        guard.mark_used(); // whatever made the caller give up may have left more than a transaction behind
    }
    Ok(())
}

impl<C: Transact> Deref for Tx<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.guard.as_ref().expect("present until ended")
    }
}

impl<C: Transact> DerefMut for Tx<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.guard.as_mut().expect("present until ended")
    }
}

impl<C: Transact> Drop for Tx<C> {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take()
            && let Ok(runtime) = Handle::try_current()
        {
            // Past the limit the guard is dropped still marked broken, which closes the connection.
            runtime.spawn(async move { drop(timeout(ROLLBACK_TIMEOUT, end(Some(guard), false)).await) });
        } // outside a runtime the guard is dropped here, still marked broken: the connection closes
    }
}

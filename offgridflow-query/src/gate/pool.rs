//! A front door for `sqlx::Pool`: lanes, exact waiting times, and nothing lost when a caller goes away.

use crate::error::{Cause, ConfigError};
use crate::finish::Finish;
use crate::gate::advice::Advice;
use crate::gate::config::GateConfig;
use crate::gate::keeper;
use crate::gate::lend::Lender;
use crate::gate::tidy::Tidy;
use crate::pool::{Acquire, ConnectionPool, Guard, PoolStatus};
use crate::pool_error::PoolError;
use sqlx::pool::PoolOptions;
use sqlx::{Connection, Database, Pool};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long one attempt to connect may take where the gate's callers would wait without limit; whoever still waits begins another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one may take at least, however hurried callers are: it goes on behind their backs, for those who come after.
const CONNECT_AT_LEAST: Duration = Duration::from_secs(1);

/// A database whose driver errors this crate can classify.
pub trait GateDatabase: Tidy + Database<Arguments: Clone> {
    /// The driver's error in this crate's vocabulary.
    fn cause(error: &sqlx::Error) -> Cause;

    /// Rows that a statement changed.
    fn changed(result: &Self::QueryResult) -> u64;

    /// Whether what is stored lives in the connection and goes with it: such a database has one, which the gate keeps.
    #[must_use]
    fn lives_in_connection(options: &<Self::Connection as Connection>::Options) -> bool {
        let _ = options;
        false
    }

    /// What keeps `pool` from connecting at the moment; `None` where nothing does, or nobody can say. Takes a second at most.
    #[must_use]
    fn obstacle(pool: &Pool<Self>) -> impl Future<Output = Option<Cause>> + Send {
        let _ = pool;
        async { None }
    }

    /// The error of an attempt to connect with the options of `pool`, in this crate's vocabulary.
    #[must_use]
    fn unreached(pool: &Pool<Self>, error: &sqlx::Error) -> Cause {
        let _ = pool;
        Self::cause(error)
    }

    /// A gate has opened a connection with the options of `pool`.
    fn opened(pool: &Pool<Self>) {
        let _ = pool;
    }
}

/// A [`ConnectionPool`] over `sqlx::Pool`. Clones share the connections.
///
/// ```
/// # use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Lane, Sizing, SqliteGate, sqlx};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default())?;
/// let mut conn = gate.acquire(Acquire::lane(Lane::Interactive).within(Duration::from_millis(250))).await?;
/// let one: i64 = sqlx::query_scalar("SELECT 1").fetch_one(&mut *conn).await?;
/// drop(conn); // goes back, is looked at, and waits for the next caller
/// assert_eq!((one, gate.status().acquired), (1, 1));
/// assert_eq!(gate.advice().sizing, Sizing::NotEnoughData);
/// gate.close().await;
/// # Ok(()) }
/// ```
///
/// sqlx's pool opens the connections; from then on the gate keeps them. Callers queue in lanes, first come first
/// served; waiting, connecting and testing are measured apart; a time-out names the holders; leaks are reported
/// with the place in the code. A dropped caller loses no connection, and none is lent inside somebody else's
/// transaction, which sqlx 0.9.0 can do when a `begin` is dropped (transact-rs/sqlx#4385): a connection that was used
/// is looked at before it is lent again, which is one exchange with the database in the background. Where that is known
/// to be needless ([`Tx`](crate::Tx), [`BatchWriter`](crate::BatchWriter), [`Guard::mark_whole`]) it is left out.
///
/// A checkout of a connection at hand takes a place, a slot in the books and a box off a stack: no task, no
/// allocation, no exchange with the database. `scripts/verify.sh query --only Q6` measures it beside sqlx's own.
pub struct Gate<DB: GateDatabase> {
    lender: Arc<Lender<DB>>,
}

impl<DB: GateDatabase> Gate<DB> {
    /// A gate over a pool of its own; connections open when they are first asked for. Its background work (connections that come back are looked at,
    /// kept alive, retired) runs on this runtime, which must go on running for as long as the gate is used.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for settings that cannot work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        options: <DB::Connection as Connection>::Options,
        config: GateConfig,
    ) -> Result<Self, ConfigError> {
        let config = config.checked_for::<DB>(&options)?;
        let max_open = config.check()?;
        let pool = PoolOptions::<DB>::new()
            .max_connections(max_open)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .acquire_timeout(
                config.acquire_timeout.map_or(CONNECT_TIMEOUT, |time| time.max(CONNECT_AT_LEAST)),
            )
            .connect_lazy_with(options);
        Ok(Self::start(pool, true, config.max_open, &config))
    }

    /// A gate over a pool that exists, with its `after_connect` and its limit: of `max_open` and that the smaller one
    /// counts. The gate takes its connections from the pool and does not bring them back, so whoever goes on using
    /// the pool directly needs a `max_open` below the pool's limit. Closing the gate leaves the pool open. Of an in-memory database
    /// the gate takes one connection; what the pool closes before it gives it is the pool's own affair.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for settings that cannot work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn over(pool: Pool<DB>, config: GateConfig) -> Result<Self, ConfigError> {
        let config = config.checked_for::<DB>(&pool.connect_options())?;
        let limit = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let max_open = config.max_open.min(limit);
        Ok(Self::start(pool, false, max_open, &config))
    }

    fn start(pool: Pool<DB>, owns_pool: bool, max_open: usize, config: &GateConfig) -> Self {
        let lender = Arc::new(Lender::new(pool, owns_pool, max_open, config));
        keeper::start(&lender, config.look_every());
        Self { lender }
    }

    /// Whether `max_open` fits the load of the last one to two minutes, with the evidence.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.lender.places.advice()
    }
}

impl<DB: GateDatabase> Clone for Gate<DB> {
    fn clone(&self) -> Self {
        Self { lender: Arc::clone(&self.lender) }
    }
}

impl<DB: GateDatabase> fmt::Debug for Gate<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("places", &self.lender.places).finish_non_exhaustive()
    }
}

impl<DB: GateDatabase> ConnectionPool for Gate<DB> {
    type Conn = DB::Connection;

    #[track_caller]
    fn acquire(&self, ask: Acquire) -> impl Future<Output = Result<Guard<DB::Connection>, PoolError>> + Send {
        let at = Location::caller();
        async move {
            let (places, asked) = (&self.lender.places, Instant::now());
            let place = places.enter(ask, at, asked).await?;
            self.lender.lend(place, places.deadline(&ask, asked)).await
        }
    }

    fn status(&self) -> PoolStatus {
        self.lender.places.status(self.lender.idle.len())
    }

    async fn close(&self) {
        Finish::new(Arc::clone(&self.lender).close_all()).await;
    }
}

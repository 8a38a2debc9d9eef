//! A front door for `sqlx::Pool`: lanes, exact waiting times, and nothing lost when a caller goes away.

use crate::error::{Cause, ConfigError, PoolError};
use crate::finish::Finish;
use crate::places::{Place, Places, default_reserve};
use crate::pool::{Acquire, ConnectionPool, Guard, Lease, PoolStatus};
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{Connection, Database, Pool};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

/// An idle connection older than this is tested before it is lent.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);
/// What testing, and returning to the pool, may take before the connection is given up.
const TEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sqlx may try to connect where the gate's callers would wait without limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of a [`Gate`].
///
/// ```
/// use offgridflow_query::GateConfig;
/// use std::time::Duration;
/// let config = GateConfig::default();
/// assert_eq!((config.max_open, config.max_idle), (25, 5));
/// assert_eq!(config.max_lifetime, Some(Duration::from_secs(300)));
/// assert_eq!(config.acquire_timeout, Some(Duration::from_secs(5)));
/// ```
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// Names the pool in metrics. Default: `main`.
    pub name: String,
    /// Connections open at once, at least 1. Default: 25.
    pub max_open: usize,
    /// Idle connections kept; more are closed as they come back. Default: 5. Where bursts use more than this many at a
    /// time, connections are closed and opened again all the while: raise it towards `max_open` then.
    pub max_idle: usize,
    /// Age after which a connection is replaced. `None` keeps it. Default: 5 min.
    pub max_lifetime: Option<Duration>,
    /// How long a caller without a deadline waits. `None` waits without limit. Default: 5 s.
    pub acquire_timeout: Option<Duration>,
    /// Connections that [`Lane::Background`](crate::Lane) leaves to interactive work. `None` takes a fifth of
    /// `max_open`. Default: `None`.
    pub reserve: Option<usize>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            name: "main".into(),
            max_open: 25,
            max_idle: 5,
            max_lifetime: Some(Duration::from_secs(300)),
            acquire_timeout: Some(Duration::from_secs(5)),
            reserve: None,
        }
    }
}

impl GateConfig {
    fn check(&self) -> Result<u32, ConfigError> {
        let refuse =
            |setting, value: usize, why| Err(ConfigError::Setting { setting, value: value.to_string(), why });
        if self.max_open == 0 {
            return refuse("max_open", 0, "nobody could ever connect");
        }
        if self.reserve.is_some_and(|reserve| reserve >= self.max_open) {
            return refuse("reserve", self.reserve.unwrap_or(0), "it must be smaller than max_open");
        }
        u32::try_from(self.max_open).or_else(|_| refuse("max_open", self.max_open, "it must fit 32 bits"))
    }
}

/// A database whose driver errors this crate can classify.
pub trait GateDatabase: Database {
    /// The driver's error in this crate's vocabulary.
    fn cause(error: &sqlx::Error) -> Cause;
}

/// A [`ConnectionPool`] over `sqlx::Pool`. Clones share the pool.
///
/// What it adds: callers queue in lanes, first come first served; the time spent waiting is measured apart from the
/// time spent connecting; a time-out names the holders; a dropped caller loses no connection (bare sqlx 0.9.0 can
/// hand out one that is still inside a transaction, see [`Tx`](crate::Tx)); idle connections are tested only after a
/// second of idleness. A checkout costs two boxes and some bookkeeping more than sqlx's, and returning goes through a task.
pub struct Gate<DB: Database> {
    pool: Pool<DB>,
    places: Arc<Places>,
    max_idle: usize,
}

impl<DB: GateDatabase> Gate<DB> {
    /// A gate over a pool of its own; connections open when they are first asked for.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for sizes that cannot work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        options: <DB::Connection as Connection>::Options,
        config: GateConfig,
    ) -> Result<Self, ConfigError> {
        let max_open = config.check()?;
        let pool = PoolOptions::<DB>::new()
            .max_connections(max_open)
            .max_lifetime(config.max_lifetime)
            .acquire_timeout(config.acquire_timeout.unwrap_or(CONNECT_TIMEOUT))
            .test_before_acquire(false)
            .before_acquire(|conn, meta| {
                Box::pin(async move {
                    if meta.idle_for < TEST_AFTER_IDLE {
                        return Ok(true);
                    }
                    Ok(matches!(timeout(TEST_TIMEOUT, conn.ping()).await, Ok(Ok(()))))
                })
            })
            .connect_lazy_with(options);
        Self::over(pool, config)
    }

    /// A gate over a pool that exists. `max_lifetime` and testing stay as the pool has them; of `max_open` and the
    /// pool's own limit the smaller one counts.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for sizes that cannot work.
    pub fn over(pool: Pool<DB>, config: GateConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let limit = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let max_open = config.max_open.min(limit);
        let reserve = config.reserve.unwrap_or_else(|| default_reserve(max_open));
        let places = Places::new(&config.name, max_open, reserve, config.acquire_timeout);
        Ok(Self { pool, places, max_idle: config.max_idle })
    }

    /// The pool behind the gate, for migrations and other one-off work. Connections taken from it directly are not
    /// in the gate's books.
    #[must_use]
    pub fn get_ref(&self) -> &Pool<DB> {
        &self.pool
    }
}

impl<DB: Database> Clone for Gate<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), places: Arc::clone(&self.places), max_idle: self.max_idle }
    }
}

impl<DB: Database> fmt::Debug for Gate<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("places", &self.places).finish_non_exhaustive()
    }
}

impl<DB: GateDatabase> ConnectionPool for Gate<DB> {
    type Conn = DB::Connection;

    #[track_caller]
    fn acquire(&self, ask: Acquire) -> impl Future<Output = Result<Guard<DB::Connection>, PoolError>> + Send {
        let at = Location::caller();
        async move {
            let deadline = self.places.deadline(&ask);
            let place = self.places.enter(ask.lane, deadline, at).await?;
            let started = Instant::now();
            let connecting = Finish::new(connect(self.clone(), place));
            match timeout_at(deadline, connecting).await {
                Ok(result) => result,
                Err(_) => Err(PoolError::ConnectTimeout { waited: started.elapsed() }),
            }
        }
    }

    fn status(&self) -> PoolStatus {
        let open = usize::try_from(self.pool.size()).unwrap_or(usize::MAX);
        self.places.status(open, self.pool.num_idle())
    }

    async fn close(&self) {
        self.places.close().await;
        self.pool.close().await;
    }
}

/// Gets a connection for somebody who has a place.
async fn connect<DB: GateDatabase>(gate: Gate<DB>, place: Place) -> Result<Guard<DB::Connection>, PoolError> {
    let started = Instant::now();
    let result = gate.pool.acquire().await;
    gate.places.connect.record(started.elapsed());
    match result {
        Ok(conn) => {
            let lease = SqlxLease {
                conn,
                place,
                max_idle: gate.max_idle,
                pool: gate.pool,
                runtime: Handle::current(),
            };
            Ok(Guard::new(Box::new(lease)))
        }
        Err(sqlx::Error::PoolClosed) => Err(PoolError::Closed),
        Err(error) => {
            gate.places.connect_errors.fetch_add(1, Relaxed);
            Err(match error {
                sqlx::Error::PoolTimedOut => PoolError::ConnectTimeout { waited: started.elapsed() },
                error => PoolError::Connect(DB::cause(&error)),
            })
        }
    }
}

struct SqlxLease<DB: Database> {
    conn: PoolConnection<DB>,
    place: Place,
    max_idle: usize,
    pool: Pool<DB>,
    runtime: Handle,
}

impl<DB: Database> Lease<DB::Connection> for SqlxLease<DB> {
    fn conn(&self) -> &DB::Connection {
        &self.conn
    }

    fn conn_mut(&mut self) -> &mut DB::Connection {
        &mut self.conn
    }

    fn give_back(self: Box<Self>, whole: bool) {
        let Self { mut conn, place, max_idle, pool, runtime } = *self;
        let _entered = runtime.enter(); // sqlx spawns as the connection is dropped
        if !whole {
            // Not closed politely: the server must see the link end, and roll back, whatever it is doing.
            place.note_broken();
            drop(conn.detach());
        } else if pool.num_idle() >= max_idle {
            runtime.spawn(async move {
                let _ = timeout(TEST_TIMEOUT, conn.close()).await;
                drop(place);
            });
        } else {
            // The place is free once the connection is: the next caller then finds it idle.
            let returned = conn.return_to_pool();
            runtime.spawn(async move {
                let _ = timeout(TEST_TIMEOUT, returned).await;
                drop(place);
            });
        }
    }
}
